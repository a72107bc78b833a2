"""Outcomes as a table, a matrix, JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from genbench.conformance.cases import all_cases, answers
from genbench.conformance.run import Outcome


def is_wrong(outcome: Outcome) -> bool:
    """Whether an outcome makes the answer "no"."""
    return outcome.verdict in ("deviates", "crashed")


def any_wrong(outcomes: Sequence[Outcome]) -> bool:
    """Whether any outcome makes the answer "no"."""
    return any(is_wrong(outcome) for outcome in outcomes)


def in_words(outcome: Outcome) -> str:
    """An outcome in one cell of a matrix."""
    if outcome.verdict == "deviates":
        by = "" if outcome.deviation is None else f"by {outcome.deviation:.2g}"
        return f"deviates {by}: {outcome.reason}"
    return f"crashed: {outcome.reason}" if outcome.verdict == "crashed" else outcome.verdict


def _number(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.9g}"


def _by_case(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Outcome]]:
    found: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.case, {})[outcome.implementation] = outcome
    # What nobody offers says nothing.
    return {c: row for c, row in found.items() if any(o.verdict != "not offered" for o in row.values())}


def table(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: every detail of one implementation, or a matrix of several."""
    names = list(dict.fromkeys(outcome.implementation for outcome in outcomes))
    rows = _by_case(outcomes)
    if len(names) > 1:
        return ["case", *names], [[c, *(in_words(row[name]) for name in names)] for c, row in rows.items()]
    return ["case", "expected", "got", "deviation", "verdict"], [
        [
            o.case,
            _number(o.expected, "no value"),
            _number(o.value, ""),
            "" if o.deviation is None else f"{o.deviation:.1e}",
            f"{o.verdict}: {o.reason}" if o.verdict != "agrees" else o.verdict,
        ]
        for row in rows.values()
        for o in row.values()
    ]


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each implementation: how many cases of each verdict."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.implementation, Counter())[outcome.verdict] += 1
    return [
        f"{name}: " + ", ".join(f"{count[v]} {v}" for v in ("agrees", "deviates", "crashed", "not offered") if count[v])
        for name, count in counts.items()
    ]


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinities: they become words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def plain(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything about the outcomes and their cases, for JSON."""
    there = {outcome.case for outcome in outcomes}
    return {
        "cases": {
            case.id: {
                "metric": case.metric,
                "about": case.about,
                "arguments": {name: _finite(value) for name, value in case.arguments.items()},
                "expected": answers()[case.id].value,
                "tolerance": {"relative": case.rtol, "absolute": case.atol, "because": case.because},
                "provenance": answers()[case.id].provenance,
                "pitfalls": list(case.pitfalls),
            }
            for case in all_cases()
            if case.id in there
        },
        "outcomes": [{key: _finite(value) for key, value in asdict(outcome).items()} for outcome in outcomes],
    }
