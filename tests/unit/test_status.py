"""The document of the playbook ``status``: what hosts said, in a form that programs can rely on."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.version import DEFAULT
from ansible_collections.alive.codex.plugins.plugin_utils import _status, _status_page
from hypothesis import given
from hypothesis import strategies as st
from support.documentation import CHECKOUT

SCHEMA = json.loads((CHECKOUT / "playbooks/files/status.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
AVAILABLE = {"version": DEFAULT}

WELL: dict[str, Any] = {
    "codex_cli_version": "latest",
    _status.VALIDATION: {"version": DEFAULT, "checks": [], "problems": []},
    _status.SESSIONS: {
        "totals": {},
        "workspaces": [
            {
                "name": "acme",
                "owner": "20001:20001",
                "stores": {
                    "codex": {"sessions": 3, "bytes": 3000, "newest": 1764408605.9},
                    "claude": {"sessions": 1, "bytes": 500, "newest": 1764400000.0},
                },
                "problems": [],
            }
        ],
    },
    _status.DISK: {
        "stdout": "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a b 100 40 60 40% /var/lib"
    },
    _status.PRUNE: {
        "stdout": json.dumps(
            {"started": 1764370000.1, "duration": 1.5, "ok": True, "changed": True, "pruned": 2, "pruned_bytes": 9}
            | {"kept": 4, "kept_bytes": 3500, "problems": []}
        )
    },
}


def one(found: dict[str, Any], available: dict[str, Any] | None = None) -> dict[str, Any]:
    registry = AVAILABLE if available is None else available
    document = _status.document({"w1": found}, ["w1"], registry, 1764408605)
    VALIDATOR.validate(document)
    return document["hosts"][0]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_host_that_is_well():
    host = one(WELL)
    assert (host["state"], host["problems"], host["wanted"]) == ("ok", [], DEFAULT)
    assert host["totals"] == {"workspaces": 1, "sessions": 4, "bytes": 3500}
    assert host["workspaces"][0]["last_used"] == "2025-11-29T09:30:05Z"
    assert host["disk"] == {"bytes": 102400, "free": 61440}
    assert (host["last_prune"]["started"], host["last_prune"]["kept"]) == ("2025-11-28T22:46:40Z", 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"codex_cli_version": "0.160.0"}, f"{DEFAULT} is installed, 0.160.0 is wanted"),
        ({_status.VALIDATION: {"msg": "no Python"}}, "the binary was not validated: no Python"),
        ({_status.SESSIONS: {"msg": "no such root"}}, "the workspaces were not looked at: no such root"),
        ({_status.SESSIONS: {}}, "the workspaces were not looked at: there is no result"),
        (
            {_status.PRUNE: {"stdout": '{"started": 1, "duration": 1, "ok": false, "problems": ["acme: full"]}'}},
            "the last prune had 1 problem: acme: full",
        ),
    ],
)
def test_problems_are_told_in_words(change: dict[str, Any], words: str):
    host = one({**WELL, **change})
    assert (host["state"], host["problems"]) == ("problems", [words])


def test_a_host_out_of_reach_is_listed_with_the_reason():
    host = one({_status.VALIDATION: {"unreachable": True, "msg": "Connection refused"}})
    assert (host["state"], host["problems"], host["workspaces"]) == ("unreachable", ["Connection refused"], [])
    document = _status.document({"w1": {}}, ["w1"], {"msg": "no npm"}, 0)
    assert document["available"] == {"version": None, "problem": "no npm"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
LIKE = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("version", "checks", "problems", "unreachable", "msg", "stdout", "totals", "workspaces", "stores"), ANYTHING
    ),
)
LINES = st.fixed_dictionaries({}, optional=dict.fromkeys(("started", "duration", "ok", "pruned", "problems"), ANYTHING))


@given(
    st.tuples(
        LIKE | ANYTHING, LIKE | ANYTHING, LIKE | ANYTHING, LIKE | LINES.map(lambda line: {"stdout": json.dumps(line)})
    )
)
def test_whatever_hosts_say_the_document_fits_its_schema(said: tuple[Any, ...]):
    names = (_status.VALIDATION, _status.SESSIONS, _status.DISK, _status.PRUNE)
    host = one(dict(zip(names, said, strict=True)), {"version": said[0]} if isinstance(said[0], str) else {})
    json.dumps(host, allow_nan=False)


@given(ANYTHING)
def test_the_document_lies_in_the_page_as_it_is(value: Any):
    text = _status_page.embedded({"value": value, "end": "</script><!--<script>\u2028"})
    assert "<" not in text and text.isascii()
    assert json.dumps(json.loads(text)["value"]) == json.dumps(value)


def test_the_page_allows_nothing_but_its_own_style_and_script():
    page = _status_page.page(_status.document({"w1": WELL}, ["w1"], AVAILABLE, 0))
    assert "default-src 'none'; base-uri 'none'; style-src 'sha256-" in page and "@" not in page.split("<style>")[0]
    assert page.count("<script") == 2 and " style=" not in page and " on" + "click" not in page
    assert not [word for word in ("http:", "https:", "innerHTML", "insertAdjacentHTML", "eval(") if word in page]
