"""A set of records by name: a file, a folder, or what a commit has under a path. No torch here."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from genbench import record
from genbench.errors import Refused
from genbench.record import Record

_COMMIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@{}^~+-]{0,199}")
_MARKER = ".genbench-site"  # a folder that holds it is a built site: its records are copies
_TOTAL = 2**31  # bytes of all records of a commit
_TIMEOUT = 120.0  # seconds, of one call of git
_ENVIRONMENT = {
    "GIT_LITERAL_PATHSPECS": "1",  # a path is a path, never a pattern
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


class _Outline(msgspec.Struct):
    """What tells a record from another JSON file."""

    measurements: msgspec.Raw | None = None
    model: msgspec.Raw | None = None


def load(name: str) -> list[Record]:
    """The records of a file, of a folder and all below it, or of `COMMIT:PATH`; an invalid one is refused.

    A path that exists is taken as a path. JSON files that are no records, hidden files and folders, links and built
    sites are passed over. PATH is relative to the root of the repository that the current folder lies in.
    """
    path = Path(name)
    if path.is_file() or path.is_dir():
        found = _of_files(path)
    elif ":" in name:
        commit, _, inside = name.partition(":")
        found = _of_commit(commit, inside)
    else:
        raise Refused(f"there is nothing at {name}; give a record, a folder of records, or COMMIT:PATH")
    records: dict[str, Record] = {}
    for where, data in found:
        one = _decode(data, where)
        if one is None:
            continue
        if records.setdefault(one.key, one) != one:
            raise Refused(f"{name} holds two different records with the key {one.key}")
    if not records:
        raise Refused(f"there are no records at {name}")
    return [records[key] for key in sorted(records)]


def _decode(data: bytes, where: str) -> Record | None:
    try:
        outline = msgspec.json.decode(data, type=_Outline)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        outline = None
    if outline is not None and outline.measurements is None and outline.model is None:
        return None
    if outline is None and data.lstrip()[:1] == b"[":
        return None  # a list: a report, not a record
    return record.decode(data, where)


def _of_files(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in [root] if root.is_file() else _walk(root):
        try:
            status = path.stat() if path == root else path.lstat()
            if not stat.S_ISREG(status.st_mode):
                continue
            if status.st_size > record.MAX_BYTES:
                raise Refused(f"{path} has {status.st_size:,} bytes; a record has at most {record.MAX_BYTES:,}")
            yield str(path), path.read_bytes()
        except OSError as error:
            raise Refused(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _walk(root: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(root):
        if _MARKER in names:
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if _is_candidate(name))


def _is_candidate(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _of_commit(commit: str, path: str) -> Iterator[tuple[str, bytes]]:
    if not _COMMIT.fullmatch(commit) or ".." in commit:
        raise Refused(f"{commit!r} is no name of a commit; give a branch, a tag or a hash, as in main:runs/records")
    parts = path.strip("/").split("/")
    if path.startswith("/") or "\0" in path or "\n" in path or {"", "..", "."} & set(parts):
        raise Refused(f"{path!r} is no path inside a repository; give it from the root, as in main:runs/records")
    if not (head := _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}", quiet=True)):
        raise Refused(f"{commit!r} is no commit of this repository; in a shallow clone, fetch it first")
    sha = head.decode("ascii").strip()
    listing = _git("ls-tree", "-r", "-z", "-l", "--full-tree", sha, "--", "/".join(parts))
    blobs: list[tuple[str, str]] = []
    total = 0
    for line in filter(None, listing.split(b"\0")):
        facts, _, raw = line.partition(b"\t")
        mode, kind, blob, size = facts.decode("ascii").split()
        name = raw.decode("utf-8", "replace")
        hidden = any(part.startswith(".") for part in name.split("/"))
        if kind != "blob" or mode not in ("100644", "100755") or hidden or not _is_candidate(name.rpartition("/")[2]):
            continue
        total += int(size)
        if int(size) > record.MAX_BYTES or total > _TOTAL:
            raise Refused(f"{commit}:{name} has {int(size):,} bytes, {total:,} with those before it: too many")
        blobs.append((f"{commit}:{name}", blob))
    if not blobs:
        raise Refused(f"there are no records at {commit}:{path}")
    yield from zip((name for name, _ in blobs), _contents([blob for _, blob in blobs]), strict=True)


def _contents(blobs: list[str]) -> Iterator[bytes]:
    """What some blobs hold, in one call."""
    output = memoryview(_git("cat-file", "--batch", sent="".join(f"{blob}\n" for blob in blobs).encode()))
    start = 0
    for _ in blobs:
        end = start + bytes(output[start : start + 200]).index(b"\n")
        size = int(bytes(output[start:end]).split()[-1])
        yield bytes(output[end + 1 : end + 1 + size])
        start = end + size + 2


def _git(*arguments: str, sent: bytes = b"", quiet: bool = False) -> bytes:
    """What git prints; never through a shell. With `quiet`, nothing where it finds nothing."""
    try:
        done = subprocess.run(
            ["git", "--no-replace-objects", *arguments],
            input=sent, capture_output=True, timeout=_TIMEOUT, check=False, env={**os.environ, **_ENVIRONMENT},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"git cannot be run: {error}") from None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode and not (quiet and not said):
        raise Refused(f"git {arguments[0]} failed: {said[0] if said else f'exit code {done.returncode}'}")
    return done.stdout if not done.returncode else b""
