# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Whether users of this host may make namespaces, on which Codex's sandbox rests."""

from __future__ import annotations

_SYSCTLS = {
    "user.max_user_namespaces": ("0", "give it a number such as 10000"),
    "kernel.unprivileged_userns_clone": ("0", "set it to 1"),
    "kernel.apparmor_restrict_unprivileged_userns": (
        "1",
        "install the AppArmor profile for bwrap (package apparmor-profiles), or set it to 0",
    ),
}
_OTHERWISE = (
    "have the host allow them (user.max_user_namespaces, kernel.unprivileged_userns_clone, AppArmor, a container's "
    "seccomp profile)"
)


def user_namespaces() -> str:
    """What keeps users from making user namespaces, as far as the kernel's settings tell, and the cure."""
    for name, (forbids, cure) in _SYSCTLS.items():
        try:
            with open("/proc/sys/" + name.replace(".", "/"), encoding="ascii") as file:
                value = file.read().strip()
        except OSError:
            continue
        if value == forbids:
            return f"{name} is {value} on this host: {cure}"
    return f"it needs user namespaces: {_OTHERWISE}"
