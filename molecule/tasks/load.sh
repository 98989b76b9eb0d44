# shellcheck shell=sh
# What a tenant's host is busy with, noted in the directory $1: the stable path is spawned without end, until there is a file
# stop, and one process of the release that is active now goes on.
cd "$1" || exit
umask 022
exec < /dev/null > spawned 2> failed
real=$(readlink -e /usr/local/bin/codex)
long=${real%/bin/*}/codex-path/rg # a sleep, in the small packages
if [ -x "$long" ]; then
  "$long" 3600 &
  echo $! > long
fi
while [ ! -e stop ]; do
  env -i "PATH=$PATH" /usr/local/bin/codex --version || echo "ended with $?" >&2
  echo spawned
  sleep 0.02
done
: > ended
