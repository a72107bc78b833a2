"""How the models of a table compare: the rank interval of each cell, and the Pareto fronts of the headline numbers.

No score is made of several metrics: where two axes disagree, both models stay on the front.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from genbench.ranking import dominance, ranks
from genbench.record import Axis, Better
from leaderboard.cells import Cell
from leaderboard.columns import Heading


@dataclass(frozen=True, kw_only=True)
class Front:
    """Which models are Pareto-optimal in the headline numbers of two or three axes.

    Rows are named by their index in the section; reference rows take no part. A model is `dominated` if another is at
    least as good in every number and better in one; it is dominated `beyond` the intervals if that stays so wherever
    inside their intervals the true values of both lie. Whoever lacks a number, or has one of another kind, is left
    out; `elsewhere` counts whom another class of hardware has timed and another front shows.
    """

    axes: tuple[Axis, ...]
    headings: tuple[int, ...]  # one for each axis
    hardware: str  # the class that the speeds are of; empty without the axis of speed
    on: tuple[int, ...]
    dominated: tuple[int, ...]
    beyond: tuple[int, ...]
    left_out: tuple[tuple[int, str], ...]  # row, why
    elsewhere: int


FRONTS: tuple[tuple[Axis, ...], ...] = (
    ("speed", "quality"),
    ("speed", "diversity"),
    ("diversity", "quality"),
    ("speed", "diversity", "quality"),
)


def ranked(cells: Sequence[Cell], better: Better | None) -> list[Cell]:
    """One column's cells of the models, with their ranks among the cells of the same peers.

    Of two or more; one alone has no rank. Bold (`best`) needs that somebody is separated from the best.
    """
    found = list(cells)
    by_peers: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        if better is not None and cell.ok and cell.estimate is not None:
            by_peers.setdefault(cell.peers, []).append(index)
    for members in by_peers.values():
        if better is None or len(members) < 2:
            continue
        found_ranks = ranks([one for index in members if (one := cells[index].estimate)], better)
        anybody_behind = any(first > 1 for first, _ in found_ranks)
        for index, rank in zip(members, found_ranks, strict=True):
            found[index] = replace(cells[index], rank=rank, best=anybody_behind and rank[0] == 1)
    return found


def fronts(
    headlines: Mapping[Axis, int], headings: Sequence[Heading], models: Mapping[int, Sequence[Cell]]
) -> tuple[Front, ...]:
    """The fronts of a section: speed-quality, speed-diversity, diversity-quality, all three.

    Args:
        headlines: the heading that stands for each axis that has one.
        models: the cells of each model, by the index of its row.
    """
    found: list[Front] = []
    for axes in FRONTS:
        if all(axis in headlines for axis in axes):
            chosen = tuple(headlines[axis] for axis in axes)
            rows = {index: [cells[column] for column in chosen] for index, cells in models.items()}
            found += _of_classes(axes, chosen, [headings[column] for column in chosen], rows)
    return tuple(found)


def _of_classes(
    axes: tuple[Axis, ...], columns: tuple[int, ...], headings: list[Heading], rows: dict[int, list[Cell]]
) -> Iterable[Front]:
    """One front for each class of hardware; of the other axes, the kind of number that most models have counts."""
    complete = [cells for cells in rows.values() if all(cell.ok for cell in cells)]
    kinds = [_commonest(cells[place].peers for cells in complete) for place in range(len(axes))]
    speed = axes.index("speed") if "speed" in axes else None
    left_out: list[tuple[int, str]] = []
    classes: dict[str, dict[int, list[Cell]]] = {}
    for index, cells in rows.items():
        wanted = [cell.peers if place == speed else kinds[place] for place, cell in enumerate(cells)]
        if why := _why_not(cells, headings, wanted):
            left_out.append((index, why))
        else:
            classes.setdefault(cells[speed].peers if speed is not None else "", {})[index] = cells
    shared = tuple(left_out)  # one for all classes, of which there may be many
    for hardware, inside in sorted(classes.items()):
        elsewhere = len(rows) - len(shared) - len(inside)
        yield _front(axes, columns, headings, hardware, inside, shared, elsewhere)


def _front(
    axes: tuple[Axis, ...], columns: tuple[int, ...], headings: list[Heading], hardware: str,
    rows: dict[int, list[Cell]], left_out: tuple[tuple[int, str], ...], elsewhere: int,
) -> Front:  # fmt: skip
    ends = np.array([[(cell.value, cell.low, cell.high) for cell in cells] for cells in rows.values()])
    directions = [str(heading.column.better) for heading in headings]
    found = dominance(ends[:, :, 0], ends[:, :, 1], ends[:, :, 2], directions)
    places = list(zip(rows, found.front, found.beyond, strict=True))
    return Front(
        axes=axes,
        headings=columns,
        hardware=hardware,
        on=tuple(index for index, front, _ in places if front),
        dominated=tuple(index for index, front, beyond in places if not front and not beyond),
        beyond=tuple(index for index, front, beyond in places if not front and beyond),
        left_out=left_out,
        elsewhere=elsewhere,
    )


def _commonest(names: Iterable[str]) -> str:
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name), default="")


def _why_not(cells: list[Cell], headings: list[Heading], wanted: list[str]) -> str:
    """Why a model takes no part in a front; empty where it does."""
    missing = [
        f"{heading.column.heading}: {cell.text}" for cell, heading in zip(cells, headings, strict=True) if not cell.ok
    ]
    if missing:
        return "; ".join(missing)
    for cell, heading, kind in zip(cells, headings, wanted, strict=True):
        if cell.peers != kind:
            return f"{heading.column.heading}: {cell.peers}, not {kind}"
    return ""
