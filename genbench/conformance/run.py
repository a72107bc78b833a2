"""Runs implementations against the golden cases, and says where they deviate and why.

An implementation is a name and a function for each metric that it offers, called as `function(real=, fake=, ...)` with
the arguments of the case. A function that cannot be given one of them (it has no parameter of that name) does not offer
the case: its conventions are others, not wrong.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import io
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from genbench import catalog
from genbench.conformance.cases import Answer, Case, all_cases, answers, inputs
from genbench.errors import Refused, Unavailable

Verdict = Literal["agrees", "deviates", "not offered", "crashed"]

TIMEOUT = 120.0  # seconds for a case, of foreign code
_LONGEST = 160  # characters of a foreign exception's text

ADAPTERS = {
    "torch-fidelity": "torch_fidelity",
    "torchmetrics": "torchmetrics",
    "pytorch-fid": "pytorch_fid",
    "clean-fid": "cleanfid",
    "prdc": "prdc",
    "torcheval": "torcheval",
}


class NotOffered(Exception):
    """What an adapter raises for a case that its library has no way to compute; the sentence says why."""


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """A name, a function for each metric, and what is known to go wrong: a pitfall's word -> a sentence; "" stands for
    whatever nothing else explains."""

    name: str
    functions: Mapping[str, Callable[..., Any]]
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one implementation did on one case; `deviation` is the value's distance from the answer."""

    case: str
    implementation: str
    verdict: Verdict
    expected: float | None
    value: float | None = None
    deviation: float | None = None
    tolerance: float = 0.0
    reason: str = ""
    seconds: float = 0.0


class _Ours(Mapping[str, Callable[..., Any]]):
    """Our metrics, each imported when it is asked for."""

    def __getitem__(self, metric: str) -> Callable[..., Any]:
        if metric not in catalog.METRICS:
            raise KeyError(metric)
        return catalog.resolve("metrics", metric).fn

    def __iter__(self) -> Iterator[str]:
        return iter(catalog.METRICS)

    def __len__(self) -> int:
        return len(catalog.METRICS)


def implementation(name: str, metric: str | None = None) -> Implementation:
    """`genbench`, a library of `ADAPTERS`, or `module:function` as a metric (also written `module:function=metric`).

    Args:
        metric: what `module:function` is an implementation of.
    """
    if name == "genbench":
        return Implementation(name=name, functions=_Ours())
    if name in ADAPTERS:
        if importlib.util.find_spec(ADAPTERS[name]) is None:
            raise Unavailable(f"{name} is not installed; pip install 'genbench[peers]' brings it")
        adapter = importlib.import_module(f"genbench.conformance.adapters.{ADAPTERS[name]}")
        return Implementation(name=name, functions=adapter.FUNCTIONS, known=adapter.KNOWN)
    reference, _, stated = name.partition("=")
    metric = stated or metric
    if ":" not in reference:
        raise Refused(
            f"{name!r} is no implementation: it is genbench, {', '.join(ADAPTERS)}, or module:function with --as METRIC"
        )
    there = {case.metric for case in all_cases()}
    if metric is None:
        raise Refused(f"{reference}: say which metric it implements, for instance {reference}=fid or --as fid")
    if metric not in there:
        raise Refused(f"{reference}: there is no case for metric {metric!r}{catalog.did_you_mean(metric, there)}")
    return Implementation(name=reference, functions={metric: _foreign(reference)})


def _foreign(reference: str) -> Callable[..., Any]:
    function = catalog.resolve("metrics", reference)
    if hasattr(function, "fn"):
        function = function.fn
    if not callable(function):
        raise Refused(f"{reference} is a {type(function).__name__}; it must be a function of real= and fake=")
    return function


def _call(function: Callable[..., Any], arrays: Mapping[str, Any], case: Case) -> float:
    """Calls a function by the names of its parameters; those of a single one, or of none known, by position."""
    parameters = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name, value in case.arguments.items():
        if name not in parameters and not takes_all:
            raise NotOffered(f"takes no argument {name} ({name}={value!r})")
    sides = {name: array for name, array in arrays.items() if array is not None}
    if takes_all or all(name in parameters for name in sides):
        return float(function(**sides, **case.arguments))
    return float(function(*sides.values(), **case.arguments))


def run_case(who: Implementation, case: Case) -> Outcome:
    """One implementation on one case; whatever the implementation does, an outcome comes back."""
    arrays, answer = inputs(case), answers()[case.id]
    tolerance = case.atol + case.rtol * abs(answer.value or 0.0)

    def outcome(verdict: Verdict, reason: str = "", value: float | None = None) -> Outcome:
        finite = value is not None and math.isfinite(value) and answer.value is not None
        return Outcome(
            case=case.id,
            implementation=who.name,
            verdict=verdict,
            expected=answer.value,
            value=value,
            deviation=abs(value - answer.value) if finite else None,  # type: ignore[operator]
            tolerance=tolerance,
            reason=reason,
            seconds=time.perf_counter() - start,
        )

    start = time.perf_counter()
    if case.metric not in who.functions:
        return outcome("not offered", f"has no {case.metric}")
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            value = _call(who.functions[case.metric], arrays, case)
    except NotOffered as reason:
        return outcome("not offered", str(reason))
    except (Exception, SystemExit) as error:
        if answer.value is None:
            return outcome("agrees", f"refuses: {_sentence(error)}")
        return outcome("crashed", "; ".join([_sentence(error), *_known(who, case)]))
    if answer.met_by(value, case):
        return outcome("agrees", value=value)
    return outcome("deviates", "; ".join(_reasons(who, case, answer, value)), value)


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _known(who: Implementation, case: Case) -> list[str]:
    return [who.known[word] for word in case.pitfalls if word in who.known]


def _reasons(who: Implementation, case: Case, answer: Answer, value: float) -> list[str]:
    """Mistakes whose value this is, to 1% of their distance from the answer; else what is known of the library."""
    if answer.value is None:
        return [f"gives {value:.6g} where there is no value ({case.about})"]
    gap = abs(value - answer.value)
    if gap <= 2**-23 * abs(answer.value):
        return ["rounded to float32"]
    found = []
    for why, other in answer.instead.items():
        near = max(case.atol + case.rtol * abs(other), 0.01 * min(abs(other - answer.value), abs(other)))
        if abs(value - other) <= near:
            found.append(f"the value of: {why}")
    found += _known(who, case)
    if not math.isfinite(value):
        found.append(f"gives {value}")
    if not found and "" in who.known:
        found = [who.known[""]]
    if not found and case.pitfalls:
        found = [f"not known; the case tries {', '.join(case.pitfalls)}"]
    return found or ["not known"]
