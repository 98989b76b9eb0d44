"""Versions: what is printed, how they compare, and that the comparison is packaging's."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.version import (
    is_exact,
    parse,
    printed_version,
    satisfies,
)
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ORDER = [
    "0.0.0-dev",
    "0.0.0",
    "0.1.2504172351",
    "0.1.2505291658",
    "0.44.0",
    "0.169.0-alpha",
    "0.169.0-alpha.2",
    "0.169.0-alpha.10",
    "0.169.0-alpha.beta",
    "0.169.0-beta",
    "0.169.0",
    "0.170.0-1",
    "0.170.0",
    "1.0.0",
]


def test_versions_order_as_semantic_versioning_says():
    assert all(parse(lower) < parse(higher) for lower, higher in itertools.pairwise(ORDER))
    assert parse("0.44") == parse("0.44.0")
    assert parse("0.44.0+build.5") == parse("0.44.0")


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("codex-cli 0.169.0\n", "0.169.0"),
        ("codex 0.1.2026021700\n", "0.1.2026021700"),
        ("0.1.2504172351\n", "0.1.2504172351"),
        ("codex-cli 0.170.0-alpha.3\n", "0.170.0-alpha.3"),
        ("codex-cli 0.0.0+dev.abc123\n", "0.0.0+dev.abc123"),
        ("WARNING: proceeding without PATH aliases 1.2.3\ncodex-cli 0.169.0\n", "0.169.0"),
        ("v0.44.0", "0.44.0"),
        ("", None),
        ("hello", None),
        ("node: v20 is too old for 0.169.0", None),
        ("codex-cli unknown", None),
    ],
)
def test_the_version_is_found_in_what_is_printed(output, version):
    assert printed_version(output) == version


@given(st.text())
def test_no_output_breaks_the_search(output):
    found = printed_version(output)
    assert found is None or parse(found)


@pytest.mark.parametrize("text", ["latest", "previous", "0.44", "^0.44.0", "0.44.x", "", "0.44.0 ", "../0.44.0"])
def test_what_is_not_one_exact_version(text):
    assert not is_exact(text)


@pytest.mark.parametrize("requires", ["latest", ">=", ">=0.44;", "~=0.44", ">=0.44 <1", ">=0.44,,<1"])
def test_requirements_that_cannot_be_read_are_refused(requires):
    with pytest.raises(ValueError, match="is not a requirement"):
        satisfies("0.44.0", requires)


numbers = st.tuples(st.integers(0, 3), st.integers(0, 200), st.integers(0, 3))
versions = st.builds("{0[0]}.{0[1]}.{0[2]}{1}".format, numbers, st.sampled_from(["", "-alpha.1", "-beta.2", "-rc.3"]))
clauses = st.builds(
    "{}{}.{}.{}".format,
    st.sampled_from([">=", ">", "<=", "<", "==", "!="]),
    st.integers(0, 3),
    st.integers(0, 200),
    st.integers(0, 3),
)


@given(versions, st.lists(clauses, max_size=3))
def test_targets_judge_releases_as_packaging_does(version, parts):
    requires = ",".join(parts)
    # packaging leaves prereleases of the very bound out of `<`, which Semantic Versioning does not.
    if not any(Version(version).base_version == part.lstrip("<>=!") and part.startswith("<") for part in parts):
        assert satisfies(version, requires) == SpecifierSet(requires, prereleases=True).contains(version)
