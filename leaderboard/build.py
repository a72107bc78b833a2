"""Records -> a static site that opens from the file system: pages, stylesheet, script, pictures, figures, the records.

The same records give the same bytes. Nothing is fetched: a content-security policy on every page would stop it. What
a record says is text on a page and never markup. A build that finds the same records and the same code as the one
before it has nothing to do; one that finds others draws only the figures that have changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genbench.errors import Refused
from leaderboard.load import CONFORMANCE, MARKER, collect
from leaderboard.pages import NAVIGATION, PAGES
from leaderboard.site import HERE, Site

STATIC = ("style.css", "site.js")
_READ = (".json", ".png", ".svg", ".toml")  # what records are made of, and what is said about them


def build(records: Path | Sequence[Path], out: Path) -> Path:
    """Builds the site of all records under some folders (or files) into `out` and returns the path of its front page.

    The site is built beside `out` and takes its place when it is whole. A folder is only ever replaced if an earlier
    build wrote every file in it.
    """
    before = _before(out)
    sources = [records] if isinstance(records, Path) else list(records)
    made_from = _made_from(sources)
    if before.get("made_from") == made_from and _whole(out, before["files"]):
        return out / "index.html"
    collection = collect(sources)
    if not collection.records and not collection.invalid:
        raise Refused(f"there are no records at {records}; `genbench run` writes some")

    def known(name: str, key: str) -> tuple[str, bytes] | None:
        if before.get("figures", {}).get(name) != [key, _code()]:
            return None
        paths = [f"figures/{name}.svg", f"figures/{name}.pdf"]
        if not _whole(out, {path: before["files"].get(path, "") for path in paths}):
            return None
        return (out / paths[0]).read_text(encoding="utf-8"), (out / paths[1]).read_bytes()

    try:
        with _replacing(out) as keep:
            site = Site(collection, keep, known, NAVIGATION)
            for name in STATIC:
                keep(name, (HERE / "static" / name).read_bytes())
            for pages in PAGES:
                for page in pages(site):
                    keep(page.path, page.html.encode())
            site.write_records()
            # What another time of day would show, or what was written meanwhile, is looked at again the next time.
            lasting = not collection.premature and _made_from(sources) == made_from
            keep.finish(made_from if lasting else "", {name: [key, _code()] for name, key in site.figure_keys.items()})
    except OSError as error:
        raise Refused(f"cannot write the site to {out}: {(error.strerror or str(error)).lower()}") from error
    return out / "index.html"


class _Keep:
    """Writes files under a folder and remembers their digests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, dict[str, str]()

    def __call__(self, name: str, data: bytes) -> None:
        if name in self.files:
            if self.files[name] != _digest(data):
                raise AssertionError(f"two contents for {name}")
            return
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.files[name] = _digest(data)

    def finish(self, made_from: str, figures: dict[str, list[str]]) -> None:
        marker = {"made_from": made_from, "files": self.files, "figures": figures}
        (self.folder / MARKER).write_text(json.dumps(marker, indent=0, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def _replacing(out: Path) -> Iterator[_Keep]:
    """A new folder beside `out`, which takes its place at the end."""
    out = out.absolute()  # "." has no name to build beside
    out.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    fresh, old = (out.with_name(f".{out.name}.{token}.{word}") for word in ("new", "old"))
    try:
        fresh.mkdir()
        yield _Keep(fresh)
        if out.exists():
            out.rename(old)
        try:
            fresh.rename(out)
        except OSError:
            with suppress(OSError):
                old.rename(out)
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)


# ------------------------------------------------------------------------------------------ what has changed


def _made_from(sources: Sequence[Path]) -> str:
    """The digest of every file that a build can read: the sources' by name and content, and the code."""
    found = hashlib.sha256(_code().encode())
    for root in sources:
        found.update(b"source\0")
        for path in _files(root):
            found.update(os.fsencode(path.relative_to(root) if path != root else path.name) + b"\0")
            found.update(_content(path).encode())
    return found.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, inner, names in os.walk(root):
        if MARKER in names:  # a site among its own records
            inner.clear()
            continue
        inner.sort()
        yield from (path for name in inner if (path := Path(folder, name)).is_symlink())
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(_READ))


def _content(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "no plain file"
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read: {error.strerror}"


@cache
def _code() -> str:
    """The digest of the code that makes a site: ours, and the versions of what draws and writes."""
    found = hashlib.sha256(sys.version.encode())
    for package in ("jinja2", "matplotlib", "msgspec", "numpy", "pillow"):
        found.update(f"{package} {version(package)}\n".encode())
    root = HERE.parent  # pages quote what models and metrics document
    for folder in ("leaderboard", "genbench", "baselines"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".html", ".css", ".js") or path.match(f"{CONFORMANCE}/*.json"):
                found.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return found.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _whole(out: Path, files: dict[str, str]) -> bool:
    """Whether the files are there as they were written."""
    return all(_content(out / name) == digest for name, digest in files.items())


# ------------------------------------------------------------------------------------------ whose folder it is


def _before(out: Path) -> dict[str, Any]:
    """What the last build said of itself; empty if there was none, or one of an older form.

    Refuses a folder with anything in it that no build of a site wrote.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise Refused(f"{out} is not a folder; choose a folder for the site that is new or was written by publish")
    if not out.exists() or not any(out.iterdir()):
        return {}
    marker = out / MARKER
    if not marker.is_file() or marker.is_symlink():
        raise Refused(f"{out} was not written by publish and is not empty; choose another folder for the site")
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        written = {*(found["files"] if isinstance(found, dict) else found), MARKER}
    except (ValueError, TypeError, KeyError):
        raise Refused(f"{marker} is damaged; remove {out} yourself or choose another folder for the site") from None
    present = {
        Path(folder, name).relative_to(out).as_posix() for folder, _, names in os.walk(out) for name in names
    }  # fmt: skip
    if foreign := sorted(present - written):
        raise Refused(f"{out} holds {foreign[0]}, which publish did not write; move it, or choose another folder")
    return found if isinstance(found, dict) and isinstance(found["files"], dict) else {}
