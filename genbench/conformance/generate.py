"""Derives the answers of the golden cases: `python -m genbench.conformance.generate [ID...]`.

Cases that are named are derived anew, and those that have no answer or whose arrays changed; `--all` derives every
one, `--check` writes nothing and fails if an answer moved. Needs mpmath, of the optional extra `peers`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path

from genbench.conformance import subjects
from genbench.conformance.arrays import digest
from genbench.conformance.cases import Answer, Case, all_cases, answers

GOLDEN = Path(__file__).with_name("golden.json")


@cache
def derivations() -> dict[str, Callable[..., subjects.Derived]]:
    """How each metric's answers are derived."""
    found: dict[str, Callable[..., subjects.Derived]] = {}
    for module in pkgutil.iter_modules(subjects.__path__):
        found |= importlib.import_module(f"{subjects.__name__}.{module.name}").derive
    return found


def derive(case: Case) -> Answer:
    """The answer of a case; where it has a closed form, that must agree with what is derived from its arrays."""
    arrays = case.arrays()
    if case.refused:
        return Answer(value=None, provenance="definition", arrays=digest(arrays))
    sides = {name: array for name, array in arrays.items() if array is not None}
    found = derivations()[case.metric](**sides, **case.arguments)
    value, provenance = float(found.value), found.provenance
    if case.closed is not None:
        if not math.isclose(value, case.closed, rel_tol=1e-14, abs_tol=1e-14):
            raise ArithmeticError(f"{case.id}: derived {value!r}, but {case.formula} gives {case.closed!r}")
        value, provenance = case.closed, f"closed form: {case.formula}"
    scale = case.atol + case.rtol * abs(value)
    # A mistake that does not show in this case explains nothing.
    instead = {why: float(other) for why, other in found.instead.items() if abs(float(other) - value) > 2 * scale}
    return Answer(value=value, provenance=provenance, arrays=digest(arrays), instead=instead)


def main(arguments: list[str] | None = None) -> int:
    """Writes golden.json; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ids", nargs="*", help="cases (or metrics) to derive anew")
    parser.add_argument("--all", action="store_true", help="derive every case anew")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if an answer moved")
    options = parser.parse_args(arguments)
    old = answers() if GOLDEN.exists() else {}
    new: dict[str, Answer] = {}
    for case in all_cases():
        kept = old.get(case.id)
        wanted = (
            options.all or (options.check and not options.ids) or case.id in options.ids or case.metric in options.ids
        )
        if wanted or kept is None or kept.arrays != digest(case.arrays()):
            new[case.id] = derive(case)
            if kept != new[case.id]:
                print(f"{case.id}: {new[case.id].value}")  # noqa: T201
        else:
            new[case.id] = kept
    if options.check:
        return int(new != old)
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(asdict(answer))}" for key, answer in new.items())
    GOLDEN.write_text('{"format": 1, "cases": {\n' + lines + "\n}}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
