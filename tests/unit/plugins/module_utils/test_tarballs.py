"""Tarballs of every sort, unpacked on a real disk: the package as npm would lay it out, or one clear sentence and
nothing written."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._release.binary import PLATFORMS
from ansible_collections.alive.codex.plugins.module_utils._release.tarballs import Tarball, TarballError, unpack_release
from hypothesis import given, settings
from hypothesis import strategies as st

VERSION = "0.98.0"
PLATFORM = PLATFORMS["x86_64"]
END = bytes(1024)
MANIFEST = {"name": "@openai/codex", "version": VERSION, "bin": {"codex": "bin/codex.js"}}
NATIVE = {"name": "@openai/codex", "version": f"{VERSION}-linux-x64", "os": ["linux"], "cpu": ["x64"]}


def header(
    name: bytes, size: int = 0, mode: int = 0o644, kind: bytes = b"0", link: bytes = b"", magic: bytes = b"ustar\x0000"
) -> bytes:
    """As it is written, whatever it says; a long name goes into the prefix."""
    slash = name.find(b"/", len(name) - 101) if len(name) > 100 else -1
    above, name = name[: max(slash, 0)], name[slash + 1 :]
    block = name.ljust(100, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, 0, 0, size, 0)
    block += b" " * 8 + kind + link.ljust(100, b"\0") + magic.ljust(8, b"\0") + bytes(80) + above.ljust(155, b"\0")
    block = block.ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def entry(name: str | bytes, content: bytes = b"x", mode: int = 0o644, kind: bytes = b"0", link: bytes = b"") -> bytes:
    raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    return header(raw, len(content), mode, kind, link) + content + bytes(-len(content) % 512)


def records(**values: str | bytes) -> bytes:
    """The records of an extended header."""
    lines = b""
    for key, value in values.items():
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        rest = b" " + key.replace("__", ".").encode() + b"=" + raw + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        lines += str(length).encode() + rest
    return lines


def extended(kind: bytes = b"x", **values: str | bytes) -> bytes:
    return entry("PaxHeader/x", records(**values), kind=kind)


def package(manifest: object, native: bool = False) -> bytes:
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    binary = entry("package/bin/codex.js", b"#!/usr/bin/env node\n", 0o755)
    return entry("package/package.json", text) + (b"" if native else binary)


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1)


# What a member beside those of a good package must not be, and what is said of it. Each stands before and behind them.
MEMBERS: dict[str, tuple[bytes, str]] = {
    "absolute": (entry("/etc/x"), "empty"),
    "absolute below": (entry("package//etc/x"), "empty"),
    "absolute in an extended header": (extended(path="package//etc/x") + entry("package/x"), "empty"),
    "absolute directory": (entry("package//etc", b"", kind=b"5"), "empty"),
    "above": (entry("package/../../x"), "'..'"),
    "above, in the middle": (entry("package/a/../b"), "'..'"),
    "above, at once": (entry("../x"), "'..'"),
    "above in the prefix": (entry("package/" + "xxxxxxxxx/" * 9 + "../" * 12 + "x"), "'..'"),
    "here": (entry("package/./x"), "'.'"),
    "nothing": (entry(""), "empty"),
    "ends as a directory": (entry("package/x/"), "empty"),
    "another top": (entry("pocket/x"), "not below package/"),
    "the top alone": (entry("package"), "not below package/"),
    "the top's name only begins so": (entry("packages/x"), "not below package/"),
    "backslash": (entry("package/..\\..\\x"), "backslash"),
    "newline": (entry("package/x\ny"), "control character"),
    "NUL": (extended(path="package/x\0y") + entry("package/x"), "control character"),
    "not UTF-8": (entry(b"package/\xff"), "UTF-8"),
    "not UTF-8 in an extended header": (extended(path=b"package/\xff") + entry("package/x"), "UTF-8"),
    "long component": (extended(path="package/" + "x" * 256) + entry("package/x"), "too long"),
    "long name": (extended(path="package/" + "xxxxxxx/" * 130 + "x") + entry("package/x"), "too long"),
    "2,000 levels": (extended(path="package/" + "a/" * 2000 + "x") + entry("package/x"), "too long or too deep"),
    "2,000 directories": (extended(path="package/" + "a/" * 2000) + entry("package/x", b"", kind=b"5"), "too deep"),
    "70 levels": (entry("package/" + "a/" * 70 + "x"), "too deep"),
    "symbolic link": (entry("package/x", b"", kind=b"2", link=b"/etc/passwd"), "neither a file nor a directory"),
    "hard link": (entry("package/x", b"", kind=b"1", link=b"package/package.json"), "neither a file nor a directory"),
    "hard link outside": (entry("package/x", b"", kind=b"1", link=b"/etc/passwd"), "neither a file nor a directory"),
    "through a link": (entry("package/x", b"", kind=b"2", link=b"/tmp") + entry("package/x/y"), "neither a file"),
    "character device": (entry("package/x", b"", kind=b"3"), "neither a file nor a directory"),
    "block device": (entry("package/x", b"", kind=b"4"), "neither a file nor a directory"),
    "FIFO": (entry("package/x", b"", kind=b"6"), "neither a file nor a directory"),
    "contiguous file": (entry("package/x", b"x", kind=b"7"), "neither a file nor a directory"),
    "unknown kind": (entry("package/x", b"x", kind=b"Z"), "neither a file nor a directory"),
    "GNU's long name": (entry("package/x", b"package/y", kind=b"L") + entry("package/x"), "neither a file"),
    "GNU's sparse file": (entry("package/x", b"", kind=b"S"), "neither a file nor a directory"),
    "sparse file": (extended(GNU__sparse__realsize="9" * 15) + entry("package/x"), "sparse"),
    "setuid": (entry("package/x", mode=0o4755), "set-ID or sticky bit"),
    "setgid": (entry("package/x", mode=0o2755), "set-ID or sticky bit"),
    "sticky": (entry("package/x", mode=0o1644), "set-ID or sticky bit"),
    "sticky directory": (entry("package/x", b"", 0o1777, b"5"), "set-ID or sticky bit"),
    "directory with content": (entry("package/x", b"x", kind=b"5"), "more than it may have"),
    "twice": (entry("package/x") + entry("package/x"), "more than once"),
    "twice but for case": (entry("package/x") + entry("package/X"), "more than once"),
    "the manifest twice": (entry("package/package.json", b"{}"), "more than once"),
    "file, then directory": (entry("package/x") + entry("package/x", b"", kind=b"5"), "more than once"),
    "directory, then file": (entry("package/x", b"", kind=b"5") + entry("package/x"), "more than once"),
    "file, then file below": (entry("package/x") + entry("package/x/y"), "more than once"),
    "file below, then file": (entry("package/x/y") + entry("package/x"), "more than once"),
    "huge": (header(b"package/x", 3 << 30) + bytes(512), "more than it may have"),
    "huge in an extended header": (extended(size="9" * 19) + entry("package/x"), "more than it may have"),
    "negative size": (extended(size="-1") + entry("package/x"), "no number"),
    "a size that is no number": (extended(size="") + entry("package/x"), "no number"),
    "a size of 10,000 digits": (extended(size="1" * 10_000) + entry("package/x"), "no number"),
    "a size in base 256": (header(b"package/x")[:124] + b"\x80" + header(b"package/x")[125:], "does not add up"),
    "huge extended header": (header(b"x", 1 << 30, kind=b"x") + bytes(512), "does not write"),
    "two extended headers": (extended(mtime="1") * 2 + entry("package/x"), "does not write"),
    "2,000 extended headers": (extended(mtime="1") * 2000 + entry("package/x"), "does not write"),
    "broken records": (entry("x", b"99 a=b\n", kind=b"x") + entry("package/x"), "do not add up"),
    "records without end": (entry("x", b"0 a=b\n", kind=b"x") + entry("package/x"), "do not add up"),
    "records of no number": (entry("x", b"path=package/x\n", kind=b"x") + entry("package/x"), "no number"),
    "a name for all": (extended(b"g", path="package//x") + entry("package/x"), "for all of the archive"),
    "5,000 members": (b"".join(entry(f"package/{n}", b"", kind=b"5") for n in range(5000)), "more than 5000 members"),
    "bomb": (entry("package/x", bytes(64 << 20)), "far more than a release"),
    "bomb of small members": (b"".join(entry(f"package/{n}", bytes(1 << 20)) for n in range(99)), "far more than"),
    "damaged": (b"\1" * 512, "has no number"),
    "a header that was changed": (header(b"package/x").replace(b"x", b"y", 1), "does not add up"),
}  # fmt: skip

WHOLE: dict[str, tuple[bytes, str]] = {
    "no gzip": (b"not a tarball", "not packed with gzip"),
    "nothing": (b"", "breaks off"),
    "plain tar": (package(MANIFEST) + END, "not packed with gzip"),
    "nothing in it": (packed(b""), "breaks off"),
    "no members": (packed(END), "no package.json"),
    "text in it": (packed(b"not a tarball" * 100), "has no number"),
    "cut": (packed(package(MANIFEST) + END)[:-20], "breaks off"),
    "its last byte is missing": (packed(package(MANIFEST) + END)[:-1], "breaks off"),
    "cut inside": (packed(package(MANIFEST)[:600]), "breaks off"),
    "without an end": (packed(package(MANIFEST)), "breaks off"),
    "with half an end": (packed(package(MANIFEST) + bytes(512)), "breaks off"),
    "with an end in between": (packed(package(MANIFEST) + END + entry("package//etc/x") + END), "follows its end"),
    "a block of zeros in between": (packed(package(MANIFEST) + bytes(512) + entry("package/x") + END), "is missing"),
    "a header for no member": (packed(package(MANIFEST) + extended(path="package/x") + END), "is missing"),
    "garbage behind": (packed(package(MANIFEST) + END) + b"garbage", "follows its end"),
    "another archive behind": (packed(package(MANIFEST) + END) * 2, "follows its end"),
    "a wrong checksum": (packed(package(MANIFEST) + END)[:-8] + bytes(8), "not packed with gzip"),
    "zeros without end": (packed(package(MANIFEST) + bytes(64 << 20)), "far more than a release"),
}

NESTED = b'{"name": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
MANIFESTS: dict[str, tuple[object, str]] = {
    "no JSON": (b"{", "no JSON mapping"),
    "a list": ([], "no JSON mapping"),
    "null": (None, "no JSON mapping"),
    "not UTF-8": (b'{"name": "\xff"}', "no JSON mapping"),
    "nested 10,000 deep": (NESTED, "no JSON mapping"),
    "a list 10,000 deep": (b"[" * 10_000, "no JSON mapping"),
    "a number of 200,000 digits": (b"9" * 200_000, "no JSON mapping"),
    "huge": (json.dumps({**MANIFEST, "x": "x" * (1 << 20)}).encode(), "of a sensible size"),
    "nested in what is shown": ({**MANIFEST, "version": [[[[1]]]]}, "a list as version"),
    "os of something": ({**MANIFEST, "os": [1]}, "a list as os"),
    "cpu of something": ({**MANIFEST, "cpu": [None]}, "a list as cpu"),
    "another system": ({**MANIFEST, "os": ["win32"]}, "not for linux-x64"),
    "another machine": ({**MANIFEST, "cpu": "arm64"}, "not for linux-x64"),
    "another package": ({**MANIFEST, "name": "leftpad"}, "wanted are @openai/codex"),
    "another version": ({**MANIFEST, "version": "0.97.0"}, "wanted are @openai/codex"),
    "another platform": ({**MANIFEST, "version": f"{VERSION}-linux-arm64"}, "wanted are @openai/codex"),
    "a long version": ({**MANIFEST, "version": "1" * 100_000}, "wanted are @openai/codex"),
    "no name": ({"version": VERSION}, "None as name"),
    "no version": ({"name": "@openai/codex"}, "None as version"),
    "no command": ({**MANIFEST, "bin": {}}, "no command codex"),
    "a command that is not there": ({**MANIFEST, "bin": "bin/other.js"}, "no command codex"),
    "an absolute command": ({**MANIFEST, "bin": "/bin/sh"}, "as the command codex"),
    "a command outside": ({**MANIFEST, "bin": {"codex": "../../../../../../bin/sh"}}, "as the command codex"),
    "a command of another type": ({**MANIFEST, "bin": {"codex": ["x"]}}, "as the command codex"),
    "the platform package alone": (NATIVE, "give that one too"),
    **{
        f"{key} of type {type(value).__name__}": ({**MANIFEST, key: value}, f"as {key}")
        for key in ("name", "version", "bin", "os", "cpu", "optionalDependencies")
        for value in (5, 5.5, True, None, [1], {"x": 1}, "x")
        if not isinstance(value, {"bin": (str, dict), "optionalDependencies": dict, "name": str, "version": str}.get(
            key, str))
    },
}  # fmt: skip

TABLE: dict[str, tuple[bytes, str]] = {
    **WHOLE,
    **{f"{name}, last": (packed(package(MANIFEST) + bad + END), told) for name, (bad, told) in MEMBERS.items()},
    **{f"{name}, first": (packed(bad + package(MANIFEST) + END), told) for name, (bad, told) in MEMBERS.items()},
    **{f"manifest: {name}": (packed(package(bad) + END), told) for name, (bad, told) in MANIFESTS.items()},
}


def listing(folder: Path) -> dict[str, tuple[int, str]]:
    """All that is below it, with modes and content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else "",
        )
        for path in folder.rglob("*")
    }


class Lab:
    """A directory in which the prefix lies, several levels deep, so that what climbs out of it is seen."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix = root / "a/b/c/d/e/f/prefix"
        self.prefix.mkdir(parents=True)

    def tarball(self, content: bytes, name: str = "codex.tgz") -> Tarball:
        path = self.root / name
        path.write_bytes(content)
        return Tarball(str(path), f"sha256:{hashlib.sha256(content).hexdigest()}")

    def refused(self, *tarballs: Tarball) -> str:
        """Why these are not unpacked; nothing is written meanwhile."""
        before = listing(self.root)
        with pytest.raises(TarballError) as caught:
            unpack_release(tarballs, VERSION, PLATFORM, str(self.prefix))
        assert listing(self.root) == before
        return str(caught.value)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def assert_clear(said: str, told: str) -> None:
    assert told in said
    assert len(said) < 500 and said.isprintable()
    assert (
        "get it anew" in said
        or "wanted are" in said
        or "give that one too" in said
        or f": get {MANIFEST['name']}" in said
    )


@pytest.mark.parametrize("name", TABLE)
def test_a_tarball_that_is_none_of_npms_is_refused_in_one_sentence(lab: Lab, name: str) -> None:
    content, told = TABLE[name]
    assert_clear(lab.refused(lab.tarball(content)), told)


@pytest.mark.parametrize("name", [f"{name}, last" for name in ("bomb", "huge extended header", "5,000 members")])
def test_what_is_huge_costs_little_memory(lab: Lab, name: str) -> None:
    tarball = lab.tarball(TABLE[name][0])
    tracemalloc.start()
    try:
        lab.refused(tarball)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["FIFO", "directory", "device", "missing"])
def test_what_is_no_file_is_not_waited_for(lab: Lab, kind: str) -> None:
    path = lab.root / "codex.tgz"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    with pytest.raises(TarballError, match="cannot be read" if kind == "missing" else "is no regular file"):
        unpack_release([Tarball(str(path), "sha256:" + "0" * 64)], VERSION, PLATFORM, str(lab.prefix))


def test_both_tarballs_are_laid_out(lab: Lab) -> None:
    optional = {**MANIFEST, "optionalDependencies": {"@openai/codex-linux-x64": "npm:@openai/codex@x"}}
    long = "package/vendor/" + "x" * 60 + "/" + "y" * 60  # in the header's prefix
    main = lab.tarball(packed(package(optional) + END + bytes(8192)))
    binary = extended(path="package/vendor/bin/códex") + entry("package/vendor/bin/c", b"\0" * 5000, 0o755)
    directory = entry("package/", b"", 0o755, b"5") + entry("package/empty/", b"", kind=b"5")
    native = lab.tarball(packed(directory + package(NATIVE, native=True) + entry(long) + binary + END), "native.tgz")
    assert "platform package is missing: give that of" in lab.refused(main)
    assert "wanted are" in lab.refused(main, main) and "wanted are" in lab.refused(main, native, native)
    unpack_release([native, main], VERSION, PLATFORM, str(lab.prefix))
    modules = lab.prefix / "lib/node_modules/@openai"
    assert (lab.prefix / "bin/codex").resolve() == modules / "codex/bin/codex.js"
    files = {name: mode & 0o7777 for name, (mode, _content) in listing(modules).items() if mode & 0o100000}
    assert files == {
        "codex/package.json": 0o644,
        "codex/bin/codex.js": 0o755,
        "codex-linux-x64/package.json": 0o644,
        "codex-linux-x64/vendor/bin/códex": 0o755,
        f"codex-linux-x64/{long[8:]}": 0o644,
    }
    assert (modules / "codex-linux-x64/vendor/bin/códex").read_bytes() == b"\0" * 5000


# --- any archive


PARTS = st.sampled_from(
    ["package", "x", "y", "", ".", "..", "bin", "codex.js", "package.json", "X", "é", "a\\b", "\udcff"]
)
NAMES = st.one_of(
    st.lists(PARTS, min_size=1, max_size=6).map("/".join),
    st.lists(PARTS, max_size=3).map(lambda parts: "/".join(["package", *parts])),
    st.text(max_size=20).map(lambda text: f"package/{text}"),
)
KINDS = st.sampled_from([b"0"] * 8 + [b"\0", b"5", b"1", b"2", b"3", b"6", b"x", b"g", b"L", b"S", b"Z"])
ENTRIES = st.builds(
    lambda name, content, mode, kind: entry(name.encode("utf-8", "replace")[:200], content, mode, kind, b"/tmp"),
    NAMES, st.binary(max_size=1500), st.sampled_from([0o644] * 4 + [0o755, 0, 0o4755, 0o1777]), KINDS,
)  # fmt: skip
EXTENDED = st.builds(
    lambda name, size, content: extended(path=name, **({"size": str(size)} if size is not None else {}))
    + entry("package/z", content),
    NAMES, st.none() | st.integers(-1, 1 << 40), st.binary(max_size=1500),
)  # fmt: skip


def altered(draw: Callable[..., bytes], content: bytes) -> bytes:
    """Some bytes of it are others, or it ends early."""
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    raw = bytearray(content)
    for _byte in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw[: chance.randrange(len(raw))] if draw(st.sampled_from([False] * 7 + [True])) else raw)


@st.composite
def archives(draw: Callable[..., bytes]) -> bytes:
    entries = draw(st.lists(ENTRIES | EXTENDED, max_size=5))
    entries.insert(draw(st.integers(0, len(entries))), package(MANIFEST))
    return altered(draw, packed(altered(draw, b"".join(entries) + END)))


@given(archives())
@settings(max_examples=500)
def test_whatever_the_archive_it_is_refused_or_unpacked_rightly(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    tarball = lab.tarball(content)
    before = listing(lab.root)
    try:
        unpack_release([tarball], VERSION, PLATFORM, str(lab.prefix))
    except TarballError as error:
        assert str(error).isprintable() and len(str(error)) < 500
        assert listing(lab.root) == before
        return
    after = listing(lab.root)
    inside = f"{lab.prefix.relative_to(lab.root)}/"
    assert before == {name: entry for name, entry in after.items() if not name.startswith(inside)}
    links = [lab.root / name for name, (mode, _content) in after.items() if mode & 0o170000 == 0o120000]
    assert links == [lab.prefix / "bin/codex"]
    with tarfile.open(tarball.path) as archive:  # another reader of the same
        wanted = {
            member.name[len("package/") :]: (0o100755 if member.mode & 0o111 else 0o100644, stream.read().hex())
            for member in archive
            if member.isreg() and (stream := archive.extractfile(member))
        }
    modules = lab.prefix / "lib/node_modules/@openai/codex"
    assert wanted == {name: found for name, found in listing(modules).items() if found[0] & 0o100000}
