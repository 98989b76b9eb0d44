# shellcheck shell=sh
# Makes a Debian root ($1) a worker that Ansible can reach.
set -eu
root=$1
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
