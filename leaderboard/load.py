"""Records and their pictures from a folder: what can be believed, and for the rest the reason why not.

Nothing that a file holds stops a build. A picture is taken only if it lies beside its record, is a plain PNG file of
the stated size, and has the sha256 that the record states; only its pixels pass.

A record lies in a file called by its key. In a published folder, which `trust.toml` makes it, that file has its place:
DATASET/MODEL/KEY.json, with the slugs of the labels. What `genbench conform` found lies in `conformance/`.

How far a record is to be trusted it never says itself. Two index files at the root of a folder of records do, and only
there; maintainers write them:

    trust.toml         0123456789abcdef = "reproduced"
    retracted.toml     0123456789abcdef = {reason = "trained on the test split", date = 2026-03-01}
"""

from __future__ import annotations

import datetime
import hashlib
import os
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from genbench import record
from genbench.errors import Refused
from genbench.record import Asset, Key, Record
from leaderboard.check import faults, latest
from leaderboard.png import pixels_only
from leaderboard.slugs import slug

MARKER = ".genbench-site"  # a folder that holds it is a built site, not a source of records
INDEXES = ("trust.toml", "retracted.toml")
CONFORMANCE = "conformance"  # the folder beside the datasets' that holds no records
MAX_PICTURE_BYTES = 4 * 2**20
MAX_INDEX_BYTES = 2**20


Trust = Literal["self-reported", "reproduced", "maintainer-run"]
TRUST: dict[Trust, str] = {
    "self-reported": "nobody but its author has run it",
    "reproduced": "a maintainer ran it again, and it agreed",
    "maintainer-run": "a maintainer ran it",
}


class Retraction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a record is no longer shown, and since when."""

    reason: Annotated[str, Meta(min_length=10, max_length=500)]
    date: datetime.date


@dataclass(frozen=True, kw_only=True)
class Invalid:
    """A file that is not shown, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG of pixels alone that passed every check; `name` is its file name in the site, made of its content."""

    name: str
    data: bytes = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What a folder holds: valid records in the order of their keys, where each lies, and what is not valid."""

    records: tuple[Record, ...]
    folders: dict[str, Path]  # by key
    invalid: tuple[Invalid, ...]
    trust: dict[str, Trust] = field(default_factory=dict)  # by key, of every record
    retracted: dict[str, str] = field(default_factory=dict)  # reason by key; these are not among the records
    withdrawn: tuple[Record, ...] = ()  # the retracted ones that are here, valid as they are
    named: frozenset[str] = frozenset()  # keys that the indexes name
    premature: bool = False  # whether something is invalid only until its time comes

    def picture(self, of: Record, asset: str) -> Picture | str:
        """A record's picture, or in words why there is none to show."""
        found = of.assets.get(asset)
        if found is None:
            return "the record has no such picture"
        try:
            return _picture(self.folders[of.key], found)
        except Refused as refused:
            return str(refused)


def collect(source: Path | Sequence[Path], until: str | None = None) -> Collection:
    """Reads every `*.json` under the given folders or files; links are not followed, built sites not entered.

    Args:
        until: the latest time that a record may have been made at; by default the present and a day. Valid records
            stay valid, so that a later build of them gives the same bytes.
    """
    sources, until = [source] if isinstance(source, Path) else list(source), until or latest()
    records: dict[str, Record] = {}
    folders: dict[str, Path] = {}
    names: dict[str, str] = {}
    invalid: list[Invalid] = []
    trust: dict[str, Trust] = {}
    retracted: dict[str, Retraction] = {}
    premature = False
    for root in sources:
        if not root.exists():
            raise Refused(f"there are no records at {root}; `genbench run` writes some")
        trust |= _index(root / INDEXES[0], dict[Key, Literal["reproduced", "maintainer-run"]])
        retracted |= _index(root / INDEXES[1], dict[Key, Retraction])
        published = (root / INDEXES[0]).is_file()
        for path in _files(root):
            name = _printable(path.relative_to(root) if path != root else Path(path.name))
            try:
                found = _read(path)
                if records.get(found.key, found) != found:
                    raise Refused(f"its key {found.key} is that of {names[found.key]}, but its content is not")
                premature |= found.created > until
                if wrong := faults(found, until):
                    raise Refused("; ".join([*wrong[:5], *([f"and {len(wrong) - 5} more"] if wrong[5:] else [])]))
                if path.name != f"{found.key}.json":
                    raise Refused(f"a file is called by its record's key, {found.key}.json")
                if published and path != root / place(found):
                    raise Refused(f"it belongs at {place(found)}")
            except Refused as refused:
                invalid.append(Invalid(name=name, reason=str(refused)))
                continue
            if found.key not in records:
                records[found.key], folders[found.key], names[found.key] = found, path.parent, name
    shown = sorted(key for key in records if key not in retracted)
    return Collection(
        records=tuple(records[key] for key in shown),
        folders=folders,
        invalid=tuple(sorted(invalid, key=lambda one: (one.name, one.reason))),
        trust={key: trust.get(key, "self-reported") for key in shown},
        withdrawn=tuple(records[key] for key in sorted(records) if key in retracted),
        named=frozenset(trust) | frozenset(retracted),
        premature=premature,
        retracted={key: f"{one.reason} ({one.date})" for key, one in sorted(retracted.items())},
    )


def place(one: Record) -> Path:
    """Where a record lies in a published folder."""
    return Path(slug(one.dataset.label), slug(one.model.label), f"{one.key}.json")


def _index(path: Path, kind: Any) -> Any:
    """An index that maintainers keep: empty where there is none; a wrong one is refused, for nobody may guess it."""
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        return msgspec.convert(tomllib.loads(_bytes(path, MAX_INDEX_BYTES).decode()), kind)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise Refused(f"{path} is no index of records: {error}") from None


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        return [root]
    found = []
    for folder, inner, names in os.walk(root):
        if MARKER in names:
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found += [Path(folder, name) for name in inner if Path(folder, name).is_symlink()]
        if Path(folder) == root / CONFORMANCE:
            continue
        found += [Path(folder, name) for name in names if name.endswith(".json") and not name.startswith(".")]
    return sorted(found)


def _read(path: Path) -> Record:
    return record.decode(_bytes(path, record.MAX_BYTES), _printable(Path(path.name)))


def _bytes(path: Path, limit: int) -> bytes:
    """A plain file's content; a link, a device, a file that is too large or cannot be read is refused."""
    name = _printable(Path(path.name))
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{name} is not a plain file")
        if status.st_size > limit:
            raise Refused(f"{name} has {status.st_size:,} bytes; at most {limit:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{name} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _picture(folder: Path, asset: Asset) -> Picture:
    # The schema lets only bare names pass; whoever loosens it must not open the folder above.
    if Path(asset.file).name != asset.file:
        raise Refused(f"{asset.file} does not lie beside its record")
    data = _bytes(folder / asset.file, MAX_PICTURE_BYTES)
    if hashlib.sha256(data).hexdigest() != asset.sha256:
        raise Refused(f"{asset.file} is not the file that the record was written with: its sha256 differs")
    pixels = pixels_only(data, asset.file, asset.width, asset.height)
    return Picture(
        name=f"{hashlib.sha256(pixels).hexdigest()}.png", data=pixels, width=asset.width, height=asset.height
    )


def _printable(path: Path) -> str:
    """A path as text; bytes of a name that are not UTF-8 become U+FFFD."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
