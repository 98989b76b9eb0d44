"""This machine, as a copy that is thrown away: its own file systems below, all that is written in memory."""

from __future__ import annotations

from pathlib import Path

_MAKE = """
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir -m 755 "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
for place in proc dev sys; do mount --rbind "/$place" "$1/root/$place"; done
place=$1
shift
exec chroot "$place/root" "$@"
"""


def on_a_copy(place: Path, *argv: str) -> list[str]:
    """The argument vector that runs ``argv`` there, as root. ``place`` is an empty directory, for what that takes. The
    copy is gone with the last process in it."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MAKE, "sh", str(place), *argv]
