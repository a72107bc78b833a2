"""Records -> a static site that opens from the file system: one page, its stylesheet, its pictures, the records.

The same records give the same bytes. Nothing is fetched and nothing runs: no script, no request, a
content-security policy that would stop either. What a record says is text on the page and never markup.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from genbench import catalog, record
from genbench.errors import Refused
from genbench.record import DIRECTION
from leaderboard import figures
from leaderboard.columns import COLUMNS, Column
from leaderboard.load import MARKER, Collection, Picture, collect
from leaderboard.table import GROUPS, KINDS, Row, Section, families, sections
from leaderboard.typography import compact, count, duration, plain, plural, spaced

_HERE = Path(__file__).parent
_SCATTER = "the figure needs a model with a number on both axes"


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """A row's samples: the picture's address in the site, or why there is none."""

    row: Row
    picture: Picture | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Chapter:
    """A section with what is drawn for it."""

    section: Section
    legend: list[tuple[str, Markup]]
    panels: list[tuple[Markup, str]]
    grids: list[_Grid]


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """A line of the methodology: the column, and the first line of what the metric documents."""

    column: Column
    definition: str


def build(records: Path | Sequence[Path], out: Path) -> Path:
    """Builds the site of all records under some folders (or files) into `out` and returns the path of its page.

    The site is built beside `out` and takes its place when it is whole. A folder is only ever replaced if an earlier
    build wrote every file in it.
    """
    collection = collect(records)
    if not collection.records and not collection.invalid:
        raise Refused(f"there are no records at {records}; `genbench run` writes some")
    found = sections(collection.records)
    chapters = [_chapter(section, collection, figures.marks(families(found))) for section in found]
    files: dict[str, bytes] = {
        "index.html": _page(chapters, collection).encode(),
        "style.css": (_HERE / "static" / "style.css").read_bytes(),
    }
    for chapter in chapters:
        for grid in chapter.grids:
            if grid.picture:
                files[f"assets/{grid.picture.name}"] = grid.picture.data
        for row in chapter.section.rows:
            files.update((f"records/{one.key}.json", record.encode(one)) for one in (*row.records, *row.companions))
    try:
        _replace(out, files)
    except OSError as error:
        raise Refused(f"cannot write the site to {out}: {(error.strerror or str(error)).lower()}") from error
    return out / "index.html"


def _chapter(section: Section, collection: Collection, of_family: dict[str, figures.Mark]) -> _Chapter:
    panels = figures.trilemma(section, of_family)
    grids = []
    for row in section.rows:
        found = collection.picture(row.records[0], "samples")
        if isinstance(found, Picture):
            grids.append(_Grid(row=row, picture=found, reason=""))
        else:
            grids.append(_Grid(row=row, picture=None, reason=found))
    return _Chapter(
        section=section,
        # the only markup that is not the template's own: SVG that figures.py wrote through an XML serializer
        legend=[(name, Markup(svg)) for name, svg in figures.legend(section, of_family)] if panels else [],
        panels=[(Markup(panel.svg), panel.left_out) for panel in panels],
        grids=grids,
    )


def _page(chapters: list[_Chapter], collection: Collection) -> str:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    environment.filters |= {
        "compact": compact,
        "count": count,
        "duration": duration,
        "plural": plural,
        "spaced": spaced,
    }
    created = sorted(one.created for one in collection.records)
    versions = {str(one.environment.get("genbench") or "unknown") for one in collection.records}
    used = {heading.column.metric for chapter in chapters for heading in chapter.section.headings}
    return environment.get_template("index.html").render(
        chapters=chapters,
        groups=GROUPS,
        invalid=collection.invalid,
        kinds=[(KINDS[kind], DIRECTION[kind], meaning) for kind, meaning in _KIND_HELP.items()],
        measures=[_measure(column) for column in COLUMNS if column.metric in used],
        no_figure=_SCATTER,
        records=collection.records,
        since=created[0][:10] if created else "",
        until=created[-1][:10] if created else "",
        versions=sorted(versions),
    )


_KIND_HELP: dict[record.Kind, str] = {
    "exact": "the model computes its own likelihood",
    "dequantized": "the density of the image with uniform noise added, averaged over the noise",
    "elbo": "the evidence lower bound of a latent-variable model",
    "iwae": "the importance-weighted bound, tighter than the ELBO",
    "vlb": "the variational bound of a diffusion model",
    "ais": "the partition function by annealed importance sampling; on average too optimistic",
    "ode": "the change of variables along an integrated flow, with the integrator's error",
}


def _measure(column: Column) -> _Measure:
    known = catalog.METRICS.get(column.metric)
    definition = catalog.summary(known) if known else ""
    return _Measure(column=column, definition="" if definition == "(not installed)" else definition)


def _replace(out: Path, files: dict[str, bytes]) -> None:
    """Writes the files into a new folder beside `out` and swaps the two."""
    _check_ours(out)
    out = out.absolute()  # "." has no name to build beside
    out.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    fresh, old = (out.with_name(f".{out.name}.{token}.{word}") for word in ("new", "old"))
    try:
        for name, data in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (fresh / MARKER).write_text(json.dumps(sorted(files), indent=0) + "\n", encoding="utf-8")
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


def _check_ours(out: Path) -> None:
    """Refuses a folder with anything in it that no build of a site wrote."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise Refused(f"{out} is not a folder; choose a folder for the site that is new or was written by publish")
    if not out.exists() or not any(out.iterdir()):
        return
    marker = out / MARKER
    if not marker.is_file() or marker.is_symlink():
        raise Refused(f"{out} was not written by publish and is not empty; choose another folder for the site")
    try:
        written = {*json.loads(marker.read_text(encoding="utf-8")), MARKER}
    except (ValueError, TypeError):
        raise Refused(f"{marker} is damaged; remove {out} yourself or choose another folder for the site") from None
    present = {
        Path(folder, name).relative_to(out).as_posix() for folder, _, names in os.walk(out) for name in names
    }  # fmt: skip
    if foreign := sorted(present - written):
        raise Refused(f"{out} holds {foreign[0]}, which publish did not write; move it, or choose another folder")
