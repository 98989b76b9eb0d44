"""Versions: what is printed, how they compare, and that order and requirements are packaging's."""

from __future__ import annotations

import re

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.specifier import satisfies
from ansible_collections.alive.codex.plugins.module_utils._formats.version import (
    NEWEST_PROVEN,
    check_request,
    is_exact,
    parse_version,
    printed_version,
    why_unproven,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

ORDER = [
    "0.0.0-dev",
    "0.0.0",
    "0.1.2504172351",
    "0.1.2505291658",
    "0.44.0",
    "0.169.0-nightly.20261120",
    "0.169.0-alpha",
    "0.169.0-alpha.2",
    "0.169.0-alpha.10",
    "0.169.0-beta",
    "0.169.0-rc.1",
    "0.169.0",
    "0.170.0-1",
    "0.170.0",
    "1.0.0",
]
# Builds that have no place among alphas, betas and release candidates.
DEVELOPMENT = ["0.169.0-nightly.20261120", "0.169.0-alpha.beta", "0.169.0-1", "0.169.0-dev", "0.169.0-dev.0"]


def test_versions_are_ordered():
    assert all(parse_version(lower) < parse_version(higher) for lower, higher in zip(ORDER, ORDER[1:]))
    assert parse_version("0.44") == parse_version("0.44.0")
    assert parse_version("0.44.0+build.5") == parse_version("0.44.0")


@pytest.mark.parametrize("same", [("alpha.4", "a4"), ("beta.4", "b.4"), ("rc.4", "c4", "pre.4", "PREVIEW.4")])
def test_every_name_of_a_stage_is_read(same):
    assert len({parse_version(f"1.2.3-{stage}") for stage in same}) == 1
    assert parse_version(f"1.2.3-{same[0][:-2]}") == parse_version(f"1.2.3-{same[0][:-2]}.0")


def test_what_comes_before_its_release_is_a_prerelease():
    early = [*DEVELOPMENT, "1.0.0-alpha", "1.0.0-beta.1", "1.0.0-rc.2"]
    assert all(parse_version(text).is_prerelease for text in early)
    assert not any(parse_version(text).is_prerelease for text in ("1.0.0", "0.44", "1.0.0+dev"))


@pytest.mark.parametrize("text", ["1", "a.b.c", "", "1.0.0 ", "1.0.0-", "0.0.1-" + "a" * 95, "x" * 10_000])
def test_what_is_no_version_is_refused_in_a_line(text):
    with pytest.raises(ValueError, match=r"^'[^\n]{0,100}' is not a version such as "):
        parse_version(text)


def test_a_version_may_have_100_characters():
    longest = "0.0.1-" + "a" * 94
    assert parse_version(longest) and is_exact(longest) and not is_exact(longest + "a")
    check_request(longest)
    check_request("t" * 100)


def test_only_what_is_newer_than_all_that_was_tried_is_told():
    newer = f"{NEWEST_PROVEN.partition('.')[0]}.999.0"
    assert why_unproven(NEWEST_PROVEN) is why_unproven("0.44.0") is None
    assert f"Codex {newer} is newer than {NEWEST_PROVEN}" in str(why_unproven(newer))


def test_development_builds_of_a_release_are_equal_and_older_than_all_else_of_it():
    assert len({parse_version(build) for build in DEVELOPMENT}) == 1
    assert parse_version("0.168.9") < parse_version(DEVELOPMENT[0]) < parse_version("0.169.0-alpha.0")


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
    assert found is None or parse_version(found)


@pytest.mark.parametrize("text", ["latest", "previous", "0.44", "^0.44.0", "0.44.x", "", "0.44.0 ", "../0.44.0"])
def test_what_is_not_one_exact_version(text):
    assert not is_exact(text)


@pytest.mark.parametrize("text", ["0.44.0", "0.170.0-alpha.3", "latest", "next-1", "alpha", "canary_x.y", "version"])
def test_a_version_or_a_tag_can_be_asked_for(text):
    check_request(text)


RANGES = ["0.44", "^0.44.0", ">=1", "v1", "v", "V", "x", "x.1", "X.x", "1.x", "*", "v*"]


@pytest.mark.parametrize("text", [*RANGES, "", "a b", "../x", "a/b", "@x/y", "-a", "npm:x", "latest\n", "t" * 101])
def test_nothing_else_can_be_asked_for(text):
    with pytest.raises(ValueError, match=r"^version must be an exact version, [^\n]{0,170}$"):
        check_request(text)


REFUSED = [
    "latest",
    ">=",
    ">=0.44;",
    "~=0",
    ">=0.44 <1",
    "=0.44",
    ">=0.44.*",
    "<1+local",
    "==1.0a1.*",
    ">=0.44-nightly",
]


@pytest.mark.parametrize("requires", REFUSED)
def test_requirements_that_cannot_be_read_are_refused(requires):
    with pytest.raises(ValueError, match="is not a requirement"):
        satisfies("0.44.0", requires)
    with pytest.raises(InvalidSpecifier):
        SpecifierSet(requires)


numbers = st.sampled_from(["0", "1", "2", "10", "169", "170", "0170"])
builds = st.sampled_from(["", "", "", "+abc", "+abc.1", "+5"])
prereleases = st.sampled_from(["", "-alpha", "-alpha.1", "-alpha.10", "-beta.2", "-rc.3", "-rc1", "-preview.1", "-a1"])
unfinished = st.sampled_from(["-dev", "-dev.3", "-nightly.5", "-1", "-alpha.beta", "-0abc"])
versions = st.builds("{}.{}.{}{}{}".format, numbers, numbers, numbers, prereleases | unfinished, builds)
suffixes = ["a1", "-alpha.1", ".rc1", "rc", "b2", ".post1", "-1", "rev2", ".dev1", "dev", ".*", "+abc", "+ABC.01"]
suffixes += ["a1.dev2", ".post1.dev2", "rc1.post2", ".x", " 1", "-nightly"]
releases = st.lists(numbers, min_size=1, max_size=4).map(".".join)
clauses = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(["", " "]),
    st.sampled_from([">=", ">", "<=", "<", "==", "!=", "~=", "===", "=>"]),
    st.sampled_from(["", " ", "v", "0!", "1!"]),
    releases,
    st.just("") | st.sampled_from(suffixes),
    st.sampled_from(["", " "]),
)


def as_packaging_reads_it(text: str) -> Version:
    """A version of the CLI, with the one meaning that a build has which packaging knows no place for."""
    release, _dash, prerelease = text.partition("+")[0].partition("-")
    build = text.partition("+")[2]
    known = re.fullmatch(r"(alpha|beta|rc|preview|a|dev)[.]?[0-9]*", prerelease)
    stage = f"-{prerelease}" if known else ".dev0" if prerelease else ""
    return Version(f"{release}{stage}{f'+{build}' if build else ''}")


def test_what_comes_after_a_release_is_not_that_release():
    assert satisfies("0.44.0", "==0.44")
    assert not satisfies("1.0.0", ">=1.0.post0") and not satisfies("1.0.0", "==1.0.post")
    assert satisfies("1.0.0", "<1.0.post0") and satisfies("1.0.1", ">1.0.post")


@settings(max_examples=1000)
@given(versions, st.lists(clauses, max_size=3))
def test_requirements_are_judged_as_packaging_does(version, parts):
    requires = ",".join(parts)
    try:
        expected = SpecifierSet(requires, prereleases=True).contains(as_packaging_reads_it(version))
    except InvalidSpecifier:
        with pytest.raises(ValueError, match="is not a requirement"):
            satisfies(version, requires)
    else:
        assert satisfies(version, requires) == expected


@given(versions, versions)
def test_the_order_is_that_of_packaging(one, other):
    expected = [Version(as_packaging_reads_it(text).public) for text in (one, other)]
    assert (parse_version(one) < parse_version(other), parse_version(one) == parse_version(other)) == (
        expected[0] < expected[1],
        expected[0] == expected[1],
    )
