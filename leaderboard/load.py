"""Records and their pictures from a folder: what can be trusted, and for the rest the reason why not.

Nothing that a file holds stops a build. A picture is taken only if it lies beside its record, is a plain PNG file of
the stated size, and has the sha256 that the record states.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genbench import record
from genbench.errors import Refused
from genbench.record import Asset, Record

MARKER = ".genbench-site"  # a folder that holds it is a built site, not a source of records
MAX_PICTURE_BYTES = 4 * 2**20
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@dataclass(frozen=True, kw_only=True)
class Invalid:
    """A file that is not shown, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG that passed every check; `name` is its file name in the site, made of its content."""

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

    def picture(self, of: Record, asset: str) -> Picture | str:
        """A record's picture, or in words why there is none to show."""
        found = of.assets.get(asset)
        if found is None:
            return "the record has no such picture"
        try:
            return _picture(self.folders[of.key], found)
        except Refused as refused:
            return str(refused)


def collect(source: Path | Sequence[Path]) -> Collection:
    """Reads every `*.json` under the given folders or files; links are not followed, built sites not entered."""
    sources = [source] if isinstance(source, Path) else list(source)
    records: dict[str, Record] = {}
    folders: dict[str, Path] = {}
    names: dict[str, str] = {}
    invalid: list[Invalid] = []
    for root in sources:
        if not root.exists():
            raise Refused(f"there are no records at {root}; `genbench run` writes some")
        for path in _files(root):
            name = _printable(path.relative_to(root) if path != root else Path(path.name))
            try:
                found = _read(path)
                if records.get(found.key, found) != found:
                    raise Refused(f"its key {found.key} is that of {names[found.key]}, but its content is not")
            except Refused as refused:
                invalid.append(Invalid(name=name, reason=str(refused)))
                continue
            if found.key not in records:
                records[found.key], folders[found.key], names[found.key] = found, path.parent, name
    return Collection(
        records=tuple(records[key] for key in sorted(records)),
        folders=folders,
        invalid=tuple(sorted(invalid, key=lambda one: (one.name, one.reason))),
    )


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        return [root]
    found = []
    for folder, inner, names in os.walk(root):
        if MARKER in names:
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith("."))
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
    if not data.startswith(_PNG):
        raise Refused(f"{asset.file} is not a PNG")
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if (width, height) != (asset.width, asset.height):
        raise Refused(f"{asset.file} is {width}×{height}, the record says {asset.width}×{asset.height}")
    return Picture(name=f"{asset.sha256}.png", data=data, width=width, height=height)


def _printable(path: Path) -> str:
    """A path as text; bytes of a name that are not UTF-8 become U+FFFD."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
