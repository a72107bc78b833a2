"""Records before they are published: `genbench publish --check` and `--into`.

What is checked is what a build reads, by the code that a build reads it with (`collect`). A build shows a record
without a picture that is wrong; here that is a fault. In a published folder, so is whatever belongs to no record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench import files
from genbench.errors import Refused
from leaderboard.load import CONFORMANCE, INDEXES, collect, place

_BESIDE = frozenset({*INDEXES, "README.md"})  # what else lies at the root of a published folder


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A record or what lies beside one, and what is wrong with it: nothing, if it may be published."""

    path: Path
    reasons: tuple[str, ...] = ()


def verdicts(paths: Sequence[Path], until: str | None = None) -> list[Verdict]:
    """Every record and picture under the given files and folders with its faults, in the order of their names.

    Args:
        until: the latest time that a record may have been made at; by default the present and a day.
    """
    wanted: dict[Path, list[Path]] = {}
    for path in map(_absolute, paths):
        if not path.exists() and not path.is_symlink():
            raise Refused(f"there is no {path}; give records or folders of records")
        wanted.setdefault(_root(path), []).append(path)
    found = {}
    for root, below in wanted.items():
        for verdict in _verdicts(root, until):
            if any(verdict.path.is_relative_to(path) for path in below):
                found[verdict.path] = verdict
        for path in below:
            if path.is_file() and path not in found:
                found[path] = Verdict(path=path, reasons=("it is no record",))
    return [found[path] for path in sorted(found)]


def publish_into(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Copies valid records and their pictures to their places in a published folder; returns what is new there.

    One record that is not valid, or that is there with another content, and nothing is copied.
    """
    if wrong := [verdict for verdict in verdicts(paths) if verdict.reasons]:
        raise Refused(f"{len(wrong)} files are not valid, {wrong[0].path.name} first: {wrong[0].reasons[0]}")
    collection = collect(list(paths))
    if collection.invalid:
        raise Refused(f"{collection.invalid[0].name}: {collection.invalid[0].reason}")
    content: dict[Path, bytes] = {}
    for one in collection.records:  # a record comes after its pictures: its presence says that all of it is there
        for name in (*(asset.file for asset in one.assets.values()), f"{one.key}.json"):
            content[(folder / place(one)).with_name(name)] = (collection.folders[one.key] / name).read_bytes()
    for path, data in content.items():
        if path.exists() and path.read_bytes() != data:
            raise Refused(f"{path} is there with another content; a published record is never changed")
    new = [path for path in content if not path.exists()]
    for path in new:
        files.write(path, content[path])
    if not (folder / INDEXES[0]).exists():
        files.write(
            folder / INDEXES[0], b'# KEY = "reproduced" or "maintainer-run"; what is not here is self-reported\n'
        )
    return new


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  (links must not be resolved: they are refused later)


def _root(path: Path) -> Path:
    """The published folder that a path lies in, the outermost if there are several; else the path itself."""
    above = [folder for folder in (path, *path.parents) if (folder / INDEXES[0]).is_file()]
    return above[-1] if above else path


def _verdicts(root: Path, until: str | None) -> Iterator[Verdict]:
    """Every record and picture under a root; in a published folder, every file."""
    collection = collect(root, until)
    found = [
        Verdict(path=root / wrong.name if root.is_dir() else root, reasons=(wrong.reason,))
        for wrong in collection.invalid
    ]
    for one in (*collection.records, *collection.withdrawn):
        home = collection.folders[one.key]
        faults: dict[Path, tuple[str, ...]] = {}
        for name, asset in one.assets.items():
            picture = collection.picture(one, name)
            faults[home / asset.file] = (picture,) if isinstance(picture, str) else ()
        found.append(Verdict(path=home / f"{one.key}.json", reasons=sum(faults.values(), ())))
        found += [Verdict(path=path, reasons=reasons) for path, reasons in faults.items()]
    yield from found
    if (root / INDEXES[0]).is_file():
        yield from _others(root, {verdict.path for verdict in found})
        here = {one.key for one in (*collection.records, *collection.withdrawn)}
        if missing := sorted(collection.named - here):
            yield Verdict(path=root / INDEXES[0], reasons=(f"there is no record {missing[0]} that an index names",))


def _others(root: Path, known: set[Path]) -> Iterator[Verdict]:
    """The files of a published folder that are neither records nor their pictures."""
    for folder, inner, names in os.walk(root):
        for name in (*names, *(name for name in inner if Path(folder, name).is_symlink())):
            path = Path(folder, name)
            beside = path.parent == root and name in _BESIDE
            conformance = path.parent == root / CONFORMANCE and path.suffix == ".json" and not path.is_symlink()
            if path not in known:
                yield Verdict(path=path, reasons=() if beside or conformance else ("it belongs to no record",))
