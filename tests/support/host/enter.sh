# shellcheck shell=sh
# Turns this process, PID 1 of fresh namespaces, into a host: enter.sh STATE LOWERDIRS
# STATE holds seed/ (files of this host alone) and gets upper/, work/ and root/. Prints its PID as the outside sees it.
set -eu
state=$1 lower=$2
read -r pid _ < /proc/self/stat
echo "$pid"
cd "$state"
hostname "$(cat seed/etc/hostname)"
mkdir -p upper work root
# An upper directory cannot lie on another overlay, as in a container: then the host writes to memory.
mount -t overlay -o "lowerdir=$lower,upperdir=upper,workdir=work" overlay root 2>/dev/null || {
  mount -t tmpfs -o mode=0755 tmpfs upper
  mkdir upper/upper upper/work
  mount -t overlay -o "lowerdir=$lower,upperdir=upper/upper,workdir=upper/work" overlay root
}
cp -R seed/. root/
cd root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
# Whichever version this machine's kernel counts memory by.
mount -t cgroup -o memory cgroup sys/fs/cgroup 2>/dev/null || mount -t cgroup2 cgroup2 sys/fs/cgroup 2>/dev/null || :
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=0755,nosuid tmpfs dev
for node in 'null 3' 'zero 5' 'full 7' 'random 8' 'urandom 9'; do
  mknod -m 0666 "dev/${node% *}" c 1 "${node#* }"
done
mknod -m 0666 dev/tty c 5 0
mkdir dev/pts dev/shm run/lock
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for stream in 'stdin 0' 'stdout 1' 'stderr 2'; do ln -s "fd/${stream#* }" "dev/${stream% *}"; done
# A connection that the host closed while it was cut off must not keep its network alive for minutes.
echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries
pivot_root . mnt
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
  chroot . sh -c 'umount -l /mnt; exec python3 /usr/local/sbin/host-init'
