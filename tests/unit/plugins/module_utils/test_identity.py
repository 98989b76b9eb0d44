"""Who a text names; a number that the system does not take for a user is none."""

from __future__ import annotations

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host.identity import lookup_identity


@pytest.mark.parametrize(
    "spec", ["4294967295", "0:4294967295", "9" * 400, "9" * 5000, "", ":", "1:", "a:1", "x\0y", "-1:0"]
)
def test_what_names_nobody_is_refused_in_one_line(spec: str) -> None:
    with pytest.raises((ValueError, LookupError)) as caught:
        lookup_identity(spec)
    told = str(caught.value)
    assert "\n" not in told and len(told) < 200 and ("user" in told or "UID" in told)


def test_the_highest_number_is_one() -> None:
    assert lookup_identity("4294967294:4294967294")[:2] == (4294967294, 4294967294)
