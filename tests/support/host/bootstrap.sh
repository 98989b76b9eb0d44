# shellcheck shell=sh
# Makes a directory the root of a worker that Ansible can reach: bootstrap.sh ROOT SUITE MIRROR PACKAGES KIN
# KIN is a suite of the same distribution: a debootstrap that is older than SUITE builds it likewise.
set -eu
root=$1 suite=$2 mirror=$3 packages=$4 kin=$5
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
if [ -e "/usr/share/debootstrap/scripts/$suite" ]; then set --; else set -- "$kin"; fi
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" "$@"

# cron comes later: from trixie and noble on it pre-depends on more than debootstrap can put in order.
apt-config dump | grep '^Acquire::' > "$root/etc/apt/apt.conf.d/99acquire"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || : # only a mirror with HTTPS needs it
chroot "$root" apt-get install --yes --no-install-recommends cron
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root/etc/apt/apt.conf.d/99acquire"

sh "$(dirname "$0")/prepare.sh" "$root"
