"""A record's cell, run again from the record alone: does it agree?

On the same class of machine (processor or GPU, system, versions of what computes) and with the same code, everything
must be equal bit by bit: the data, the weights, every measured value. Elsewhere it is the intervals that must agree:
|a - b| <= z sqrt(s_a^2 + s_b^2), s the standard errors that the intervals stand for, z such that all comparisons
together err in one case of twenty (Bonferroni). The interval of the record is what is under test, so that s_a is taken
to be at most twice s_b, that of the repetition. Times are never compared.

The rate of errors holds for equal weights, and for rows that have none. Elsewhere a training may take another path from
the first rounding on, and the intervals hold the noise of the samples, not that of the training: a number outside says
nothing against the record then, and nothing for it. That is "not claimed", and such a record is not confirmed.

A record is a stranger's text: what it names is checked before that is imported, and what it leaves out agrees with
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from genbench import provenance
from genbench.errors import Refused
from genbench.files import locked
from genbench.plan import Cell
from genbench.record import Measurement, Record
from genbench.run import run_cell
from genbench.stats import LEVEL, normal_quantile
from genbench.store import Store
from genbench.untrusted import changed_splits

MACHINE = ("device", "system", "cpu", "gpu", "threads", "python", "torch", "cuda", "numpy", "scipy", "scikit-learn")
TIMES = ("seconds_per_image",)
_MOST_THREADS = 1024
_WIDEST = 2.0  # standard errors of the repetition that one of the record counts as, at most

_OTHER_WEIGHTS = (
    "the weights differ, and the intervals hold the noise of the samples, not that of the training: "
    "a number outside them is not claimed to disagree"
)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One line of the verdict; `agrees` is None where nothing is compared.

    Where it is False and not `claimed`, the disagreement may be the training's or this machine's, not the record's.
    """

    name: str
    recorded: str
    again: str
    agrees: bool | None
    claimed: bool = True

    @property
    def word(self) -> str:
        if self.agrees is None:
            return "not compared"
        return "yes" if self.agrees else "NO" if self.claimed else "not claimed"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came out of running a record's cell again."""

    record: Record
    again: Record
    differs: tuple[str, ...]  # why bit-by-bit equality is not promised; empty where it is
    rows: tuple[Compared, ...]

    @property
    def bitwise(self) -> bool:
        """Whether equality bit by bit is what was asked for."""
        return not self.differs

    @property
    def agrees(self) -> bool:
        """Whether all that was compared agrees: the record is confirmed."""
        compared = [row.agrees for row in self.rows if row.agrees is not None]
        return bool(compared) and all(compared)

    @property
    def contradicted(self) -> bool:
        """Whether something disagrees that would not, were the record true; neither this nor `agrees`: nobody knows."""
        return any(row.agrees is False and row.claimed for row in self.rows)


def reproduce(
    one: Record, cell: Cell, store: Store, *, progress: bool = True, say: Callable[[str], None] = lambda _: None
) -> Reproduction:
    """Runs the cell of a record, as `cell_of` gives it, into a store of its own, and compares."""
    threads = _threads(one)
    differs = tuple(_differences(one, cell))
    steps = cell.recipe.steps if cell.recipe else 0
    say(f"{cell}: {steps:,} steps; the record says {one.cost.train_seconds + one.cost.evaluate_seconds:.0f} s")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with locked(store.root):
            _check_empty(store, one.key, cell)
            again = run_cell(cell, store, progress=progress)
    except Refused:
        raise
    except Exception as error:  # a configuration of valid types may still describe no network
        raise Refused(f"{cell} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        torch.set_num_threads(before)
    rows = tuple(compare(one, again, not differs))
    if differs and one.model.weights != again.model.weights:
        differs += (_OTHER_WEIGHTS,)
    return Reproduction(record=one, again=again, differs=differs, rows=rows)


def _check_empty(store: Store, key: str, cell: Cell) -> None:
    """Nothing that is there already may stand for the repetition, or be lost to it."""
    records = [store.records / f"{name}.json" for name in (key, cell.key)]
    if there := next((path for path in (*records, store.checkpoint(cell.weights_key).parent) if path.exists()), None):
        raise Refused(f"{there} is there already; reproduce {key} into a folder of its own")


def _threads(one: Record) -> int:
    """As many threads as the record had: the order of sums depends on them."""
    threads = one.environment.get("threads")
    if type(threads) is not int or not 1 <= threads <= _MOST_THREADS:
        raise Refused(f"the record was made with {threads!r} threads, which is no number from 1 to {_MOST_THREADS}")
    return threads


def _differences(one: Record, cell: Cell) -> Iterator[str]:
    """Why a record need not come out bit by bit here."""
    here = {**provenance.environment(torch.device(cell.device)), "threads": one.environment.get("threads")}
    other = [name for name in MACHINE if one.environment.get(name) != here.get(name)]
    for name in other:
        yield f"{name} was {one.environment.get(name)}, here it is {here.get(name)}"
    if recoded := one.model.code != cell.code:
        yield "the code of the model or of its training has changed"
    if changed := changed_splits(one, cell.data):
        yield f"the data differs in {', '.join(changed)}"
    if one.key != cell.key and not (recoded or changed or {"device", "torch"} & {*other}):
        yield "its key is another: what measures, or knows the law of the data, has changed, or the record"


def compare(one: Record, again: Record, bitwise: bool) -> Iterator[Compared]:
    """A line for the weights and one for every measurement of the record or of the repetition."""
    same = one.model.weights == again.model.weights
    if one.model.weights or again.model.weights:
        recorded, found = ((weights or "none")[:16] for weights in (one.model.weights, again.model.weights))
        elsewhere = not bitwise and one.model.weights and again.model.weights
        yield Compared(name="weights", recorded=recorded, again=found, agrees=None if elsewhere and not same else same)
    pairs = list(_pairs(one, again))
    tests = sum(bool(a and b and a.value is not None and b.value is not None) for _, a, b in pairs)
    z = normal_quantile(1 - (1 - LEVEL) / max(1, tests))
    for name, a, b in pairs:
        agrees: bool | None
        if any(m.metric in TIMES for m in (a, b) if m):
            agrees, claimed = None, False
        elif a is None or b is None:  # where all of the catalog was asked for, it may have held others than today
            agrees, claimed = False, bitwise or "metrics" in one.settings
        else:
            agrees = a == b if bitwise else within(a, b, z)
            claimed = (bitwise or same) and "unavailable" not in (a.status, b.status)
        yield Compared(
            name=name,
            recorded=str(a) if a else "not recorded",
            again=str(b) if b else "not measured",
            agrees=agrees,
            claimed=claimed,
        )
    if bitwise and (one.per_image or again.per_image):
        yield Compared(
            name="per image",
            recorded=", ".join(one.per_image) or "none",
            again=", ".join(again.per_image) or "none",
            agrees=one.per_image == again.per_image,
        )


def _pairs(one: Record, again: Record) -> Iterator[tuple[str, Measurement | None, Measurement | None]]:
    """Every measurement of the two with its like.

    A number meets the number of its name, protocol included, or the reason why there is none, which may have none;
    a time meets any time.
    """
    left = dict(again.measurements)
    for name, a in one.measurements.items():
        likes = (
            other
            for other, b in left.items()
            if b.metric == a.metric
            and other not in one.measurements
            and (a.value is None or b.value is None or a.metric in TIMES)
        )
        like = name if name in left else next(likes, None)
        yield name, a, left.pop(like) if like else None
    for name, b in left.items():
        yield name, None, b


def within(recorded: Measurement, again: Measurement, z: float) -> bool:
    """Whether two measurements differ by no more than z standard errors of their difference.

    The standard error of each is that of the half of its interval that faces the other, at the interval's level; the
    record's counts as at most twice the larger one of the repetition.
    """
    if recorded.value is None or again.value is None:
        return recorded.status == again.status
    if (recorded.n, recorded.kind) != (again.n, again.kind):
        return False
    below, above = _errors(recorded)
    least, most = _errors(again)
    is_lower = recorded.value < again.value
    own = min(above if is_lower else below, _WIDEST * max(least, most))
    error = math.hypot(own, least if is_lower else most)
    return abs(recorded.value - again.value) <= z * error + 1e-6 * max(abs(recorded.value), abs(again.value))


def _errors(one: Measurement) -> tuple[float, float]:
    """The standard errors that the halves of an interval stand for, below the value and above it."""
    assert one.value is not None
    assert one.low is not None
    assert one.high is not None
    z = max(normal_quantile(one.level), 1e-300)  # a level next to 0 has the quantile 0
    return (one.value - one.low) / z, (one.high - one.value) / z
