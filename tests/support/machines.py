"""This machine, as a copy that is thrown away: its own file systems below, all that is written in memory, and its own
processes alone."""

from __future__ import annotations

from pathlib import Path

_MAKE = """
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir -m 755 "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
for place in dev sys; do mount --rbind "/$place" "$1/root/$place"; done
mount -t proc proc "$1/root/proc"
place=$1
shift
# This shell stays: as the first process there it reaps what others leave to it.
chroot "$place/root" "$@"
exit
"""


def on_a_copy(place: Path, *argv: str) -> list[str]:
    """The argument vector that runs ``argv`` there, as root. ``place`` is an empty directory, for what that takes. The
    copy, with all that it runs, is gone when ``argv`` ends or is killed. It sees no process of the machine's, whose
    users may be those of its own tenants."""
    own = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    return [*own, "sh", "-c", _MAKE, "sh", str(place), *argv]
