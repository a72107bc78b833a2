"""A section's table as files to work with: CSV and JSON for programs, Markdown and LaTeX for papers.

The same section gives the same bytes. Numbers are in the unit of the table's heading; CSV and JSON hold them in full
precision. A text that a spreadsheet would take for a formula begins with an apostrophe; what Markdown or LaTeX would
take for markup is escaped. A number that does not exist is an empty field beside its status, or says so in words.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genbench.errors import Refused
from leaderboard.columns import AXES, BESIDE
from leaderboard.latex import latex
from leaderboard.load import Collection
from leaderboard.table import KINDS, Cell, Heading, Row, Section, grouped, sections
from leaderboard.typography import compact, duration, plain, spaced

VERSION = 1  # of the JSON's form
# The wide forms are formulas in some locales, and in some a semicolon begins a field even where quotes enclose it.
_FORMULA = re.compile(r'(\A|[;"])(?=[=+\-@\t\r\n＝＋－＠])')


def downloads(section: Section) -> dict[str, bytes]:
    """The files of a section's table by their suffixes: csv, json, md, tex."""
    return {suffix: write(section).encode() for suffix, write in FORMATS.values()}


def tables(collection: Collection, form: str, dataset: str | None = None) -> bytes:
    """A dataset's table in one of the `FORMATS`; without a name all tables, where one file can hold them."""
    found = sections(collection.records)
    if not found:
        raise Refused("there is no valid record to make a table of; `genbench run` writes some")
    names = ", ".join(section.title for section in found)
    if dataset is not None:
        fitting = [one for one in found if dataset in (one.title, plain(one.dataset.label))]
        if not fitting:
            raise Refused(f"there are no records on {plain(dataset, 100)}; there are some on {names}")
        found = [one for one in fitting if one.title == dataset] or fitting
    if len(found) > 1 and (dataset is not None or form in ("csv", "json")):
        raise Refused(f"a {form} file holds one table, and there are several; choose with --dataset one of {names}")
    return "\n".join(FORMATS[form][1](section) for section in found).encode()


# ------------------------------------------------------------------------------------------------ CSV


def as_csv(section: Section) -> str:
    """One line for each row; a heading has value, low, high, status; some a rank, the best seed, a kind."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    headings = [name for heading in section.headings for name in _csv_names(heading)]
    writer.writerow([_field(name) for name in (*_ABOUT, *headings, "records")])
    for row in section.rows:
        numbers = [
            field
            for heading, cell in zip(section.headings, row.cells, strict=True)
            for field in _csv_numbers(heading, cell)
        ]
        keys = " ".join(record.key for record in row.records)
        writer.writerow([_field(value) for value in (*_about(row).values(), *numbers, keys)])
    return out.getvalue()


_ABOUT = ("group", "model", "variant", "family", "seeds", "parameters", "train_seconds")


def _about(row: Row) -> dict[str, Any]:
    seconds = row.train_seconds if math.isfinite(row.train_seconds) else None
    values = (row.group, row.label, row.variant, row.family, row.seeds, row.parameters, seconds)
    return dict(zip(_ABOUT, values, strict=True))


def _csv_names(heading: Heading) -> Iterator[str]:
    column = heading.column
    stem = f"{column.metric}[{heading.protocol}]" if heading.protocol else column.metric
    unit = f" ({column.unit})" if column.unit else ""
    yield f"{stem}{unit}"
    yield from (f"{stem} {word}" for word in ("low", "high", "status"))
    if column.better:
        yield from (f"{stem} {word}" for word in ("rank from", "rank to", "best seed"))
    if column.merged:
        yield from (f"{stem} {word}" for word in ("kind", "protocol"))
    for metric in column.beside:
        yield from (f"{metric}{word}" for word in (unit, " low", " high"))


def _csv_numbers(heading: Heading, cell: Cell) -> Iterator[Any]:
    column = heading.column
    yield from _interval(cell)
    yield cell.status
    if column.better:
        yield from (*(cell.rank or ("", "")), "" if cell.minimum is None else cell.minimum)
    if column.merged:
        yield from (cell.kind or "", cell.protocol)
    for metric in column.beside:
        beside = [inner for title, inner in cell.beside if title == BESIDE[metric]]
        yield from _interval(beside[0]) if beside else ("", "", "")


def _interval(cell: Cell) -> tuple[Any, Any, Any]:
    return (cell.value, cell.low, cell.high) if cell.ok else ("", "", "")


def _field(value: Any) -> Any:
    """A field that no spreadsheet evaluates; numbers stay numbers."""
    if not isinstance(value, str):
        return "" if value is None else value
    return _FORMULA.sub(r"\1'", plain(value))


# ------------------------------------------------------------------------------------------------ JSON


def as_json(section: Section) -> str:
    """One object: what the table is, its columns, and its rows; a row's `cells` are in the order of `columns`."""
    head = {
        "form": "genbench table",
        "version": VERSION,
        "dataset": section.title,
        "about": section.about,
        "columns": [
            {
                "metric": heading.column.metric,
                "heading": heading.column.heading,
                "axis": heading.column.axis,
                "better": heading.column.better,
                "unit": heading.column.unit,
                "scale": heading.column.scale,  # what the number of a record was multiplied with
                "protocol": plain(heading.protocol),
            }
            for heading in section.headings
        ],
    }
    rows = [
        {
            **_about(row),
            "records": [record.key for record in row.records],
            "cells": [_plain(cell) for cell in row.cells],
            "further": {name: _plain(cell) for name, cell in row.further},
        }
        for row in section.rows
    ]
    # a line for each row: a table of ten thousand of them can still be read, compared and searched
    text = json.dumps(head, ensure_ascii=False, allow_nan=False, indent=1).removesuffix("\n}")
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    return text + ',\n "rows": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def _plain(cell: Cell) -> dict[str, Any]:
    found: dict[str, Any] = {"status": cell.status}
    if cell.ok:
        found |= {"value": cell.value, "low": cell.low, "high": cell.high, "level": cell.level, "seeds": cell.seeds}
    said = {
        "kind": cell.kind,
        "protocol": cell.protocol,
        "rank": cell.rank,
        "best": cell.best,
        "best_seed": cell.minimum,
        "reason": cell.reason,
    }
    found |= {name: value for name, value in said.items() if not (value is None or value is False or value == "")}
    if cell.beside:
        found["beside"] = {title: _plain(inner) for title, inner in cell.beside}
    return found


# ------------------------------------------------------------------------------------------------ printed tables


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """One of the two tables of a section as it is printed: the headlines, or the details."""

    section: Section
    columns: list[int]
    main: bool

    @property
    def letters(self) -> dict[str, str]:
        """A letter for each protocol, which a heading carries and the legend explains: a to z, then aa."""
        protocols = dict.fromkeys(self.section.headings[index].protocol for index in self.columns)
        named = [protocol for protocol in protocols if protocol]
        alphabet = [chr(ord("a") + place) for place in range(26)]
        return dict(zip(named, alphabet + [one + two for one in alphabet for two in alphabet], strict=False))

    @property
    def notes(self) -> list[tuple[int, str]]:
        """The reasons that its cells point to, under the numbers of the section."""
        cells = [row.cells[index] for row in self.section.rows for index in self.columns]
        cells += [inner for cell in cells for _, inner in cell.beside]
        return [(number, self.section.notes[number - 1]) for number in sorted({c.note for c in cells if c.note})]

    @property
    def about(self) -> str:
        words = "Each value with its interval, at 95% unless another level is named."
        if any(row.cells[index].best for row in self.section.rows for index in self.columns):
            words += " Bold: the best of its kind, and what cannot be told from it."
        if any(row.seeds > 1 for row in self.section.rows):
            words += " ×n: the mean of n training seeds."
        return words

    def costs(self, row: Row) -> list[str]:
        """Parameters and training, in the main table alone."""
        if not self.main:
            return []
        if row.group == "reference":
            return ["no model", "no model"]
        return [compact(row.parameters), duration(row.train_seconds)]


def _sheets(section: Section) -> list[_Sheet]:
    found = [_Sheet(section=section, columns=section.columns(detail), main=not detail) for detail in (False, True)]
    return [sheet for sheet in found if sheet.main or sheet.columns]


def _name(row: Row) -> str:
    return f"{row.name} ×{row.seeds}" if row.seeds > 1 else row.name


_ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}
_COSTS = ("Parameters", "Training")


# ------------------------------------------------------------------------------------------------ Markdown


def as_markdown(section: Section) -> str:
    """Tables in the dialect of GitHub: the headlines, then the details, each with its legend and its notes."""
    parts = [f"**{_md(section.title)}**: {_md(section.about)}."]
    for sheet in _sheets(section):
        parts += ["\n".join(_markdown_rows(sheet)), _md(sheet.about)]
        legend = [f"- <sup>{letter}</sup> {_md(spaced(protocol))}" for protocol, letter in sheet.letters.items()]
        legend += [f"- <sup>{number}</sup> {_md(reason)}" for number, reason in sheet.notes]
        if legend:
            parts.append("\n".join(legend))
    return "\n\n".join(parts) + "\n"


def as_headline(section: Section) -> str:
    """The models' headline numbers alone, with real data above them: a short Markdown table for a README."""
    axes = [axis for axis in AXES if axis != "reconstruction"]  # which few models have
    columns = [index for axis in axes if (index := section.headline(axis)) is not None]
    lines = [["Model", "Family", *(_markdown_heading(section.headings[index], {}) for index in columns)]]
    lines.append([":--", ":--", *["--:"] * len(columns)])
    for row in [*section.rows_of("reference"), *section.rows_of("model")]:
        cells = [replace(row.cells[index], note=None, beside=()) for index in columns]
        lines.append([_md(_name(row)), _md(row.family), *map(_markdown_cell, cells)])
    return "\n".join(map(_line, lines)) + "\n"


def _markdown_rows(sheet: _Sheet) -> Iterator[str]:
    headings = [sheet.section.headings[index] for index in sheet.columns]
    costs = list(_COSTS) if sheet.main else []
    yield _line(["Model", "Family", *(_markdown_heading(heading, sheet.letters) for heading in headings), *costs])
    yield _line([":--", ":--", *["--:"] * (len(headings) + len(costs))])
    for title, rows in grouped(sheet.section.rows):
        yield _line([f"*{title}*", *[""] * (1 + len(headings) + len(costs))])
        for row in rows:
            cells = [_markdown_cell(row.cells[index]) for index in sheet.columns]
            yield _line([_md(_name(row)), _md(row.family), *cells, *map(_md, sheet.costs(row))])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_heading(heading: Heading, letters: dict[str, str]) -> str:
    letter = letters.get(heading.protocol)
    return _md(heading.column.title + _ARROWS[heading.column.better]) + (f" <sup>{letter}</sup>" if letter else "")


def _markdown_cell(cell: Cell) -> str:
    note = f"<sup>{cell.note}</sup>" if cell.note else ""
    if not cell.ok:
        return cell.text + note
    words = [f"**{cell.text}**{note}" if cell.best else cell.text + note, _md(cell.interval), _level(cell)]
    words.append(_md(cell.kind_text))
    words += [f"{_md(title)} {_markdown_cell(inner)}" for title, inner in cell.beside]
    return " ".join(filter(None, words))


def _level(cell: Cell) -> str:
    return "" if cell.level == 0.95 else f"({cell.level:.4g})"


def _md(text: str) -> str:
    """Text that Markdown prints as it is: no table, link, tag, entity, formula or emphasis begins in it."""
    return re.sub(r"([\\`*_\[\]<>|~&$#!])", r"\\\1", plain(text))


# ------------------------------------------------------------------------------------------------ LaTeX


def as_latex(section: Section) -> str:
    """Tables with the rules of booktabs: the headlines, then the details; the interval is sub- and superscript."""
    return "\n".join("\n".join(_latex_table(sheet)) + "\n" for sheet in _sheets(section))


def _latex_table(sheet: _Sheet) -> Iterator[str]:
    section = sheet.section
    headings = [section.headings[index] for index in sheet.columns]
    label = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "table"
    costs = list(_COSTS) if sheet.main else []
    width = 2 + len(headings) + len(costs)
    yield r"% Needs \usepackage{booktabs} and \usepackage{graphicx}."
    yield r"\begin{table}"
    yield r"\centering\renewcommand{\arraystretch}{1.3}"
    yield rf"\caption{{{latex(section.title)}: {latex(section.about)}. {latex(sheet.about)}}}"
    yield rf"\label{{tab:{label}{'' if sheet.main else '-details'}}}"
    yield r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    yield rf"\begin{{tabular}}{{ll{'r' * (width - 2)}}}"
    yield r"\toprule"
    axes = [*section.axes(sheet.columns), *([("Cost", 2)] if sheet.main else [])]
    yield _latex_row(["", "", *(rf"\multicolumn{{{count}}}{{c}}{{{latex(title)}}}" for title, count in axes)])
    first = 3
    for _, count in axes:
        yield rf"\cmidrule(lr){{{first}-{first + count - 1}}}"
        first += count
    yield _latex_row(["Model", "Family", *(_latex_heading(heading, sheet.letters) for heading in headings), *costs])
    for title, rows in grouped(section.rows):
        yield r"\midrule"
        yield _latex_row([rf"\multicolumn{{{width}}}{{l}}{{\emph{{{latex(title)}}}}}"])
        for row in rows:
            cells = [_latex_cell(row.cells[index]) for index in sheet.columns]
            yield _latex_row([latex(_name(row)), latex(row.family), *cells, *map(latex, sheet.costs(row))])
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    legend = [rf"$^{{{letter}}}$\,{latex(spaced(protocol))}" for protocol, letter in sheet.letters.items()]
    legend += [rf"$^{{{number}}}$\,{latex(reason)}" for number, reason in sheet.notes]
    if legend:
        yield rf"\par\smallskip{{\footnotesize\raggedright {'; '.join(legend)}.\par}}"
    yield r"\end{table}"


def _latex_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _latex_heading(heading: Heading, letters: dict[str, str]) -> str:
    letter = letters.get(heading.protocol)
    return latex(heading.column.title + _ARROWS[heading.column.better]) + (f"$^{{{letter}}}$" if letter else "")


def _latex_cell(cell: Cell) -> str:
    note = f"$^{{{cell.note}}}$" if cell.note else ""
    if not cell.ok:
        return cell.text + note
    value = _number(cell.text.removeprefix(f"{cell.sign}\u2009"))
    sign = rf"{_SIGNS[cell.sign]}\," if cell.sign else ""
    low, high = map(_number, cell.interval[1:-1].split(", "))
    bold = rf"\mathbf{{{value}}}" if cell.best else value
    words = [f"${sign}{bold}_{{{low}}}^{{{high}}}${note}", _level(cell)]
    name = KINDS[cell.kind] if cell.kind else cell.kind_text
    words.append(rf"{{\scriptsize {latex(name)}}}" if name else "")
    words += [f"{latex(title)} {_latex_cell(inner)}" for title, inner in cell.beside]
    return " ".join(filter(None, words))


_SIGNS = {"≥": r"\geq", "≤": r"\leq", "≈": r"\approx"}


def _number(text: str) -> str:
    """A printed number in mathematics: `1.2e−5` is 1.2 times a power of ten, as a group."""
    mantissa, _, exponent = text.replace("\u2212", "-").partition("e")
    return rf"{{{mantissa}\cdot 10^{{{exponent}}}}}" if exponent else mantissa


FORMATS: dict[str, tuple[str, Callable[[Section], str]]] = {
    "csv": ("csv", as_csv),
    "json": ("json", as_json),
    "markdown": ("md", as_markdown),
    "latex": ("tex", as_latex),
}
