# Makes a directory the root of a worker that Ansible can reach: bootstrap.sh ROOT SUITE MIRROR PACKAGES
set -eu
root=$1 suite=$2 mirror=$3 packages=$4
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror"

# cron comes later: from trixie and noble on it pre-depends on more than debootstrap can put in order.
apt-config dump | grep '^Acquire::' > "$root/etc/apt/apt.conf.d/99acquire"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || : # only a mirror with HTTPS needs it
chroot "$root" apt-get install --yes --no-install-recommends cron
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root/etc/apt/apt.conf.d/99acquire"

chroot "$root" useradd --create-home --shell /bin/bash deploy
echo 'deploy ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/deploy"
chmod 0440 "$root/etc/sudoers.d/deploy"
cp "$(dirname "$0")/init.py" "$root/usr/local/sbin/host-init"
# Each host has a key of its own; who may log in is one file that the fleet writes, for root and for deploy.
rm -f "$root"/etc/ssh/ssh_host_*
mkdir -p "$root/etc/ssh/sshd_config.d"
cat > "$root/etc/ssh/sshd_config.d/fleet.conf" <<'SSHD'
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 200
MaxSessions 100
SSHD
grep -qs '^Include /etc/ssh/sshd_config.d' "$root/etc/ssh/sshd_config" ||
  sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' "$root/etc/ssh/sshd_config"
