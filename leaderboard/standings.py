"""Where a row stands in the headline number of each axis, as measured: its rank interval among how many, in words.

A row is strong where all the places that the tests leave open are in the better half, weak where all are in the worse
half. What lies between is said to lie between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from genbench.record import Axis
from leaderboard.cells import Cell
from leaderboard.columns import Column
from leaderboard.table import Row, Section

AXES: tuple[Axis, ...] = ("quality", "diversity", "likelihood", "speed")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A row's headline cell of an axis.

    `among` counts the models that it is compared with, itself included, `rivals` those of other families.
    """

    section: Section
    row: Row
    axis: Axis
    column: Column
    cell: Cell
    among: int
    rivals: int

    @property
    def rank(self) -> str:
        """`rank 1–2 of 9`; empty where there is nobody to compare with."""
        if self.cell.rank is None:
            return ""
        first, last = self.cell.rank
        return f"rank {first if first == last else f'{first}–{last}'} of {self.among}"

    @property
    def verdict(self) -> Literal["strong", "weak", "between", "alone"]:
        if self.cell.rank is None or not self.rivals:
            return "alone"
        first, last = self.cell.rank
        if last <= self.among // 2:
            return "strong"
        return "weak" if first > (self.among + 1) // 2 else "between"


def standings(section: Section, rows: Iterable[Row]) -> list[Standing]:
    """The standings of some rows of a section, axis by axis; without those that have no number."""
    found = []
    chosen = list(rows)
    for axis in AXES:
        index = section.headline(axis)
        if index is None:
            continue
        counts = section.peers[axis]
        found += [
            Standing(
                section=section,
                row=row,
                axis=axis,
                column=section.headings[index].column,
                cell=row.cells[index],
                among=counts[row.cells[index].peers,],
                rivals=counts[row.cells[index].peers,] - counts[row.cells[index].peers, row.family],
            )
            for row in chosen
            if row.cells[index].ok
        ]
    return found


def best(found: Sequence[Standing]) -> Standing:
    """Of standings in one column the one with the best value."""
    sign = -1.0 if found[0].column.better == "higher" else 1.0
    return min(found, key=lambda one: (sign * one.cell.value, one.row.name))
