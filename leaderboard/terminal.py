"""The tables of the page, for the terminal: the same rows, one column for each axis."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genbench.record import Record
from leaderboard.columns import AXES
from leaderboard.table import Cell, Section, sections
from leaderboard.typography import compact


def terminal_tables(records: Iterable[Record]) -> list[Table]:
    """One table for each dataset: what stands for likelihood, quality, diversity and speed in each row."""
    return [_table(section) for section in sections(records)]


def print_tables(records: Iterable[Record]) -> None:
    """Prints them: on a terminal as wide as it is, into a file or a pipe as wide as they need to be."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    for table in terminal_tables(records):
        console.print(table)


def _table(section: Section) -> Table:
    chosen = [(axis, index) for axis in AXES if (index := section.headline(axis)) is not None]
    table = Table(
        title=Text(section.title, style="bold"), caption=Text(_caption(section)), box=box.SIMPLE_HEAD,
        title_justify="left", caption_justify="left", pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column(Text("\nmodel\nfamily, parameters"), overflow="fold")
    for axis, index in chosen:
        column = section.headings[index].column
        arrow = {"lower": "↓ ", "higher": "↑ ", None: ""}[column.better]
        heading = Text(f"{AXES[axis].lower()}\n{arrow}{column.heading}\n{column.unit}")
        table.add_column(heading, justify="right", overflow="fold")
    previous = None
    for row in section.rows:
        if previous not in (None, row.group):
            table.add_section()
        previous = row.group
        name = Text(row.name if row.seeds == 1 else f"{row.name} ×{row.seeds}")
        size = "" if row.group == "reference" else f", {compact(row.parameters)}"
        name.append(f"\n{row.family}{size}", style="dim")
        table.add_row(name, *(_printed(row.cells[index]) for _, index in chosen))
    return table


def _printed(cell: Cell) -> Text:
    if not cell.ok:
        return Text(cell.text, style="dim")
    text = Text(cell.text, style="bold" if cell.best else "")
    text.append(f"\n{cell.interval}", style="not bold dim")
    if cell.rank:
        text.append(f"\nrank {_places(cell.rank)}", style="not bold dim")
    if cell.minimum is not None:
        text.append(f"\nbest seed {cell.minimum:.4g}", style="not bold dim")
    if cell.kind_text:
        text.append(f"\n{cell.kind_text}", style="not bold dim")
    return text


def _places(rank: tuple[int, int]) -> str:
    first, last = rank
    return f"{first}" if first == last else f"{first}–{last}"


def _caption(section: Section) -> str:
    words = "Below each number its 95% interval"
    if any(row.seeds > 1 for row in section.rows):
        words += "; ×n: the mean of n training seeds with its t-interval"
    if any(cell.rank for row in section.rows for cell in row.cells):
        words += "; the ranks that pairwise tests leave open (Holm, 5%), among models with a number of the same kind"
    if any(cell.best for row in section.rows for cell in row.cells):
        words += ". Bold: no model is significantly better"
    return f"{words}."
