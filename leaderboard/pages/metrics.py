"""The page of methods: what each metric is, in the words of its source; what it sees; whether it computes that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from markupsafe import Markup
from msgspec import Struct

from genbench import catalog, record
from genbench.record import DIRECTION, Record
from leaderboard import docstrings, pathology
from leaderboard.columns import AXES, COLUMNS, Column
from leaderboard.grouping import use_of
from leaderboard.pathology import Matrix
from leaderboard.site import HERE, Page, Site
from leaderboard.typography import plain

CONFORMANCE = HERE / "records" / "conformance"  # what `genbench conform --json` printed, one file a run
_MAX_BYTES = 8 * 2**20
KINDS: dict[record.Kind, str] = {
    "exact": "the model computes its own likelihood",
    "dequantized": "the density of the image with uniform noise added, averaged over the noise",
    "elbo": "the evidence lower bound of a latent-variable model",
    "iwae": "the importance-weighted bound, tighter than the ELBO",
    "vlb": "the variational bound of a diffusion model",
    "ais": "the partition function by annealed importance sampling; on average too optimistic",
    "ode": "the change of variables along an integrated flow, with the integrator's error",
}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A metric: its column and what its source documents, as markup; none for what is timed or counted."""

    column: Column
    text: list[Markup]


class Case(Struct, frozen=True):
    """What the page needs of a case of conformance."""

    metric: str
    about: str


class Outcome(Struct, frozen=True):
    """How one implementation did on one case."""

    case: str
    implementation: str
    verdict: str
    reason: str = ""
    deviation: float | str | None = None


class Report(Struct, frozen=True):
    """The JSON of `genbench conform`."""

    cases: dict[str, Case]
    outcomes: list[Outcome]


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """Metrics against implementations: how many cases of each verdict, and what deviates, in words."""

    implementations: list[str]
    rows: list[tuple[str, list[tuple[str, bool]]]]  # metric, and for each implementation words and whether all is well
    wrong: list[tuple[str, str, str]]  # implementation, case, why
    cases: int


def pages(site: Site) -> Iterator[Page]:
    """`metrics.html`."""
    axes = [(axis, title, _methods(axis)) for axis, title in AXES.items()]
    yield site.render(
        "metrics.html",
        "metrics.html",
        axes=[(axis, title, methods) for axis, title, methods in axes if methods],
        kinds=[(kind, DIRECTION[kind], words) for kind, words in KINDS.items()],
        matrices=matrices(site.records),
        axis_of=pathology.AXIS_OF,
        conformance=conformance(CONFORMANCE),
    )


def _methods(axis: record.Axis) -> list[Method]:
    return [Method(column=column, text=_text(column.metric)) for column in COLUMNS if column.axis == axis]


def _text(metric: str) -> list[Markup]:
    """The docstrings of a metric's module and function, from our own sources."""
    target = catalog.METRICS.get(metric)
    if target is None:
        return []
    module = target.partition(":")[0]
    return [Markup(docstrings.html(text)) for text in docstrings.docstring(f"{module}:{metric}") if text]


def matrices(records: Sequence[Record]) -> list[Matrix]:
    """The pathology matrices, of records that say what was damaged and how much."""

    def says(one: Record) -> bool:
        config = one.model.config
        return not config or (isinstance(config.get("pathology"), str) and isinstance(config.get("dose"), int | float))

    stressed = [one for one in records if use_of(one) == "damage" and says(one)]
    return pathology.matrices(sorted(stressed, key=lambda one: (one.dataset.label, one.key)))


def conformance(folder: Path) -> Conformance | None:
    """All reports of a folder as one matrix; None where there is none that can be read."""
    verdicts: dict[tuple[str, str], Counter[str]] = {}
    wrong: dict[tuple[str, str, str], None] = {}
    metrics: dict[str, None] = {}
    implementations: dict[str, None] = {}
    cases: set[str] = set()
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        if path.is_symlink() or path.stat().st_size > _MAX_BYTES:
            continue
        try:
            report = msgspec.json.decode(path.read_bytes(), type=Report)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        for one in report.outcomes:
            case = report.cases.get(one.case)
            if case is None:
                continue
            cases.add(one.case)
            metrics[case.metric] = implementations[one.implementation] = None
            verdicts.setdefault((case.metric, one.implementation), Counter())[one.verdict] += 1
            if one.verdict not in ("agrees", "not offered"):
                wrong[one.implementation, one.case, f"{one.verdict}: {plain(one.reason, 300)}"] = None
    if not verdicts:
        return None
    return Conformance(
        implementations=list(implementations),
        rows=[
            (metric, [_words(verdicts.get((metric, one), Counter())) for one in implementations]) for metric in metrics
        ],
        wrong=list(wrong),
        cases=len(cases),
    )


def _words(counts: Counter[str]) -> tuple[str, bool]:
    """`12 of 13 agree`, or that the implementation does not offer it."""
    tried = sum(number for verdict, number in counts.items() if verdict != "not offered")
    if not tried:
        return "not offered", True
    return f"{counts['agrees']} of {tried} agree", counts["agrees"] == tried
