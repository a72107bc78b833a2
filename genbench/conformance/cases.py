"""What a golden case is, and all of them.

The recipes stand in `subjects/`, one subject a file, beside the derivation of their answers; the answers lie in
`golden.json`, written by `python -m genbench.conformance.generate`.
"""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from genbench.catalog import did_you_mean
from genbench.conformance.arrays import Arrays, digest
from genbench.errors import Refused

Argument = str | int | float | bool | None

FLOAT32 = "an answer that is rounded to float32 agrees; a mistake is larger"
EXACT = "a ratio of counts: nothing but its last rounding"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input whose answer is known.

    `arguments` are those of our metric's function, and only those that differ from its defaults: an implementation that
    cannot be given one of them does not offer the case. An answer is met within `atol + rtol |answer|`; `because` says
    why no closer. `pitfalls` are words for what goes wrong here in implementations that are known.
    """

    id: str  # metric/what-is-special
    about: str
    arrays: Callable[[], Arrays]
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    rtol: float = 1e-6
    atol: float = 0.0
    because: str = FLOAT32
    pitfalls: tuple[str, ...] = ()
    closed: float | None = None  # the closed form's value, where there is one
    formula: str = ""  # that closed form, in words
    refused: bool = False  # no number is the right answer: an error, NaN or an infinity is
    large: bool = False  # seconds rather than milliseconds, for implementations that form d x d matrices

    @property
    def metric(self) -> str:
        return self.id.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is kept of a case: its value, how it was derived, and the values that named mistakes would give."""

    value: float | None
    provenance: str
    arrays: str
    instead: Mapping[str, float] = field(default_factory=dict)

    def met_by(self, value: float, case: Case) -> bool:
        """Whether a value is the answer, within the case's tolerance."""
        if self.value is None:
            return not math.isfinite(value)
        return math.isfinite(value) and abs(value - self.value) <= case.atol + case.rtol * abs(self.value)


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case, in the order of the subjects."""
    from genbench.conformance import subjects

    modules = [
        importlib.import_module(f"{subjects.__name__}.{m.name}") for m in pkgutil.iter_modules(subjects.__path__)
    ]
    return tuple(case for module in modules for case in getattr(module, "CASES", ()))


@cache
def answers() -> dict[str, Answer]:
    """The kept answers by the cases' ids."""
    kept = json.loads(files("genbench.conformance").joinpath("golden.json").read_text(encoding="utf-8"))
    return {key: Answer(**entry) for key, entry in kept["cases"].items()}


def select(metrics: Iterable[str] = ()) -> list[Case]:
    """The cases of some metrics, or all."""
    wanted = list(metrics)
    there = {case.metric for case in all_cases()}
    for name in wanted:
        if name not in there:
            raise Refused(f"there is no case for metric {name!r}{did_you_mean(name, there)}")
    return [case for case in all_cases() if not wanted or case.metric in wanted]


def inputs(case: Case) -> dict[str, object]:
    """A case's arrays, fresh, after making sure that they are those that the answer was derived for."""
    arrays = case.arrays()
    if case.id not in answers():
        raise Refused(f"case {case.id} has no answer yet; python -m genbench.conformance.generate derives it")
    if digest(arrays) != answers()[case.id].arrays:
        raise Refused(f"case {case.id}: its arrays are not those that its answer was derived for")
    return {name: None if array is None else array.copy() for name, array in arrays.items()}
