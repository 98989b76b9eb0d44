"""What may be asked for in the way of workspaces, and how what happened to them is told."""

from __future__ import annotations

import json

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats import packing
from ansible_collections.alive.codex.plugins.module_utils._formats.names import name_problem
from ansible_collections.alive.codex.plugins.module_utils._workspaces import report, request
from ansible_collections.alive.codex.plugins.module_utils._workspaces.report import Change
from hypothesis import given
from hypothesis import strategies as st


def problems(items, **defaults) -> str:
    with pytest.raises(request.InvalidRequest) as caught:
        request.read_workspaces(items, defaults)
    return str(caught.value)


def problems_of_text(text: str) -> str:
    with pytest.raises(request.InvalidRequest) as caught:
        request.read_workspaces_json(text, {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        (None, "is empty"),
        (7, "is not text"),
        (".", "names a directory that is there already"),
        ("..", "names a directory that is there already"),
        ("a/b", "has a slash"),
        ("/", "has a slash"),
        ("a\0b", "has a slash or a control character"),
        ("a\nb", "has a slash or a control character"),
        ("a\x1bb", "has a slash or a control character"),
        ("\udcff", "not valid Unicode"),
        ("é" * 128, "has 256 bytes, more than the 255"),
        ("x" * 256, "has 256 bytes, more than the 255"),
    ],
)
def test_names_that_are_not_one_plain_component_are_refused(name, why):
    assert why in problems([{"name": name, "uid": 1}])


@pytest.mark.parametrize("name", ["a", "-rf", "...", " ", "a b", "é" * 127, "x" * 255, "$(id)", "{{ a }}"])
def test_plain_components_are_names(name):
    assert request.read_workspaces([{"name": name, "uid": 1}], {})[0].name == name


@given(st.text(max_size=6) | st.text("a./\n\0", max_size=3))
def test_an_accepted_name_stays_where_it_is_put(name):
    if name_problem(name) is None:
        assert name not in ("", ".", "..") and not set(name) & set("/\0\n") and len(name.encode()) <= 255


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"name": "a"}, "has no owner: give user or uid"),
        ({"name": "a", "gid": 5}, "has no owner: give user or uid"),
        ({"name": "a", "uid": 0}, "cannot have the uid 0"),
        ({"name": "a", "uid": -1}, "cannot have the uid -1"),
        ({"name": "a", "uid": 2**32 - 1}, "cannot have the uid 4294967295"),
        ({"name": "a", "uid": True}, "cannot have the uid True"),
        ({"name": "a", "uid": "x"}, "cannot have the uid 'x'"),
        ({"name": "a", "uid": 1, "gid": 0}, "cannot have the gid 0"),
        ({"name": "a", "user": 5}, "cannot have the user 5: give a name, or uid for a number"),
        ({"name": "a", "user": "a\x00b"}, "cannot have the user"),
        ({"name": "a", "user": ""}, "cannot have the user ''"),
        ({"name": "a", "uid": 1, "state": "Absent"}, "cannot be 'Absent'"),
        ({"name": "a", "uid": 1, "state": "gone"}, "cannot be 'gone'"),
        ({"name": "a", "uid": 1, "state": "started"}, "cannot be 'started'"),
        ({"name": "a", "uid": 1, "owner": "x"}, "has owner, which is unknown"),
        ({"name": "a", "uid": 1, "config": [1]}, "the config of workspace 'a' is no mapping"),
        (
            {"name": "a", "uid": 1, "config": {"b": None}},
            "the config of workspace 'a' cannot be written as TOML: NoneType",
        ),
        ({"name": "a", "uid": 1, "config": {"b": 2**63}}, "an integer has more than 64 bits"),
        ("a", "a workspace is a mapping, not 'a'"),
    ],
)
def test_workspaces_that_cannot_be_are_refused(item, why):
    assert why in problems([item])


def test_all_that_is_wrong_is_told_at_once():
    text = problems([7, {"name": "a", "uid": 1}, {"name": "a", "uid": 2}, {"name": ".."}, {"name": "b"}])
    assert "not 7" in text and "'a' is listed twice" in text and "'..'" in text and "'b' has no owner" in text
    assert problems([{"name": f"n{n}"} for n in range(1000)]).endswith("give user or uid and 990 more")


def test_a_wrong_owner_is_not_called_none():
    assert "has no owner" not in problems([{"name": "a", "uid": 0}])


def test_a_wrong_state_is_not_taken_for_present():
    for state in ("gone", "started"):
        assert problems([{"name": "a", "state": state}]) == (
            f"the workspace 'a' cannot be {state!r}: state is present or absent"
        )


@pytest.mark.parametrize(
    "item",
    [
        {"name": "a", "user": "u", "uid": None, "gid": None},
        {"name": "a", "user": None, "uid": 1, "gid": 1},
        {"name": "a", "user": "u", "uid": 2**32 - 2, "gid": 2**32 - 2},
    ],
)
def test_what_can_be_is_taken_as_it_is(item):
    for state in ({}, {"state": "present"}, {"state": None}):
        (workspace,) = request.read_workspaces([{**item, **state, "config": None}], {})
        assert workspace == (*(item["name"], True), *(item[key] for key in ("user", "uid", "gid")), {})
    everything = {**item, "state": "absent", "config": {"a": 1}}
    assert everything.keys() == request.KEYS
    assert not request.read_workspaces([everything], {})[0].present


def test_numbers_may_come_as_text():
    """As templates of older releases of Ansible give them."""
    (workspace,) = request.read_workspaces_json('[{"name": "a", "uid": "12", "gid": "13"}]', {})
    assert (workspace.uid, workspace.gid) == (12, 13)


@pytest.mark.parametrize("text", ["{", '{"name": "a"}', '"a"', "7"])
def test_json_that_is_no_list_is_refused(text):
    with pytest.raises(request.InvalidRequest, match=r"not valid JSON|not a list"):
        request.read_workspaces_json(text, {})


def test_thousands_of_workspaces_are_packed_small():
    text = json.dumps([{"name": f"ws-{n}é", "uid": n, "config": {"a": "\ud800"}} for n in range(1, 5000)])
    packed = packing.pack(text)
    assert len(packed) < len(text) / 5
    assert problems(json.loads(text)) == problems_of_text(packed)
    good = '[{"name": "é", "uid": 7}]'
    assert request.read_workspaces_json(packing.pack(good), {}) == request.read_workspaces_json(good, {})


@pytest.mark.parametrize("packed", ["zlib:", "zlib:é", "zlib:AAAA", packing.pack("{")])
def test_what_is_packed_wrongly_is_refused(packed):
    assert "are not valid JSON" in problems_of_text(packed)


def test_a_workspace_to_remove_needs_no_owner():
    assert not request.read_workspaces([{"name": "a", "state": "absent"}], {})[0].present


def test_own_settings_go_over_those_of_all():
    items = [{"name": "a", "uid": 1, "config": {"x": {"y": 3}}}, {"name": "b", "uid": 2}]
    first, second = request.read_workspaces(items, {"x": {"y": 1, "z": 2}})
    assert (first.config, second.config) == ({"x": {"y": 3, "z": 2}}, {"x": {"y": 1, "z": 2}})


@pytest.mark.parametrize(("text", "mode"), [("0700", 0o700), ("750", 0o750), ("0711", 0o711)])
def test_modes(text, mode):
    assert request.parse_mode(text) == mode


@pytest.mark.parametrize("text", ["0770", "0702", "0600", "448", "01700", "4700", "rwx", "", "u=rwx"])
def test_modes_that_lock_out_or_let_write_are_refused(text):
    with pytest.raises(request.InvalidRequest):
        request.parse_mode(text)


@pytest.mark.parametrize("path", ["", "a/b", "~/x", "/", "//", "/..", "/./", "/a\0b"])
def test_roots_that_cannot_be_are_refused(path):
    with pytest.raises(request.InvalidRequest):
        request.check_root(path)


def test_shared_uids_are_found():
    assert request.shared_uids([("a", 1), ("b", 2), ("c", 1), ("d", 1)]) == {1: ["a", "c", "d"]}
    assert request.shared_uids([("b", 1), ("a", 1)]) == {1: ["b", "a"]}


MADE = [Change(".", "created", "mode 0700"), Change(".codex", "created", "mode 0700")]


def test_ten_thousand_changes_are_told_in_little():
    changes = {f"ws-{n:05d}": MADE for n in range(10_000)}
    changes["odd"] = [Change(".codex", "mode", "0755 -> 0700")]
    kinds = report.changes_by_kind(changes)
    assert kinds[0]["paths"] == {".": ["created"], ".codex": ["created"]}
    assert len(kinds[0]["workspaces"]) == 10_000
    assert kinds[1] == {"workspaces": ["odd"], "paths": {".codex": ["mode"]}}
    text = report.diff_text([Change("/srv/ws", "created")], changes)
    assert text.startswith("/srv/ws: created\n10000 workspaces: ws-00000, ws-00001, ")
    assert text.endswith("1 workspace: odd\n  .codex: mode (0755 -> 0700)\n")
    assert len(json.dumps([kinds, text])) < 300_000


def test_ten_thousand_failures_are_told_in_little():
    failures = {"odd": "is a FIFO", **{f"ws-{n:05d}": "disk full" for n in range(10_000)}}
    text = report.failure_text(failures, 12_000, 5)
    assert text == (
        "10001 of 12000 workspaces failed, and stopped no other: 5 changed."
        " ws-00000, ws-00001, ws-00002, ws-00003, ws-00004 and 9995 more: disk full; odd: is a FIFO"
    )
    assert report.failures_by_kind(failures)[1] == {"workspaces": ["odd"], "msg": "is a FIFO"}
