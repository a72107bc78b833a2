"""What is commonly said of the families, put to the test: pairs of models on every dataset where both have the number.

A pair shows a claim if the difference goes the way that the claim says and is beyond noise, by the test of
`genbench.ranking` with Holm's correction over the pairs of a claim on one dataset; it contradicts the claim if it is
beyond noise the other way, and leaves it open else. Speeds are compared within one class of hardware.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genbench.ranking import Measured, tests
from genbench.stats import LEVEL, holm
from leaderboard.cells import Cell
from leaderboard.columns import Heading
from leaderboard.table import Row, Section

GANS = ("gan", "dcgan", "wgan-gp")
VAES = ("vae",)
AUTOREGRESSIVE = ("nade", "pixelcnn")
DIFFUSION = ("ddpm", "flow-matching")
FAST = ("ddpm[ddim-20]",)

Outcome = Literal["shown", "contradicted", "open"]
Verdict = Literal["reproduced", "largely", "in part", "open", "not reproduced", "no data"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`models` have a `metric` that is higher, or lower, than that of the `others`."""

    anchor: str
    says: str
    metric: str
    way: Literal["higher", "lower"]
    models: tuple[str, ...]
    others: tuple[str, ...]


CLAIMS = (
    Claim(
        anchor="gans-sharp", says="GANs are sharp: more precise than a VAE",
        metric="precision", way="higher", models=GANS, others=VAES,
    ),
    Claim(
        anchor="gans-fast", says="GANs are fast: faster than autoregressive models and diffusion",
        metric="seconds_per_image", way="lower", models=GANS, others=(*AUTOREGRESSIVE, *DIFFUSION),
    ),
    Claim(
        anchor="gans-collapse", says="GANs collapse: they recall less than the other families",
        metric="recall", way="lower", models=GANS, others=(*VAES, *AUTOREGRESSIVE, *DIFFUSION),
    ),
    Claim(
        anchor="gans-lose-modes", says="GANs collapse: they capture fewer modes than real data",
        metric="modes_captured", way="lower", models=GANS, others=("real",),
    ),
    Claim(
        anchor="vaes-fast", says="VAEs are fast: faster than autoregressive models and diffusion",
        metric="seconds_per_image", way="lower", models=VAES, others=(*AUTOREGRESSIVE, *DIFFUSION),
    ),
    Claim(
        anchor="vaes-cover", says="VAEs cover: they recall more than GANs",
        metric="recall", way="higher", models=VAES, others=GANS,
    ),
    Claim(
        anchor="vaes-blur", says="VAEs blur: less precise than the other families",
        metric="precision", way="lower", models=VAES, others=(*GANS, *AUTOREGRESSIVE, *DIFFUSION),
    ),
    Claim(
        anchor="autoregressive-cover", says="Autoregressive models cover: they recall more than GANs",
        metric="recall", way="higher", models=AUTOREGRESSIVE, others=GANS,
    ),
    Claim(
        anchor="autoregressive-slow", says="Autoregressive models are slow: slower than GANs and a VAE",
        metric="seconds_per_image", way="higher", models=AUTOREGRESSIVE, others=(*GANS, *VAES),
    ),
    Claim(
        anchor="diffusion-sharp", says="Diffusion is sharp: more precise than a VAE",
        metric="precision", way="higher", models=DIFFUSION, others=VAES,
    ),
    Claim(
        anchor="diffusion-covers", says="Diffusion covers: it recalls more than GANs",
        metric="recall", way="higher", models=DIFFUSION, others=GANS,
    ),
    Claim(
        anchor="diffusion-slow", says="Diffusion is slow: slower than GANs and a VAE",
        metric="seconds_per_image", way="higher", models=DIFFUSION, others=(*GANS, *VAES),
    ),
    Claim(
        anchor="fast-sampler", says="… until a fast sampler: twenty steps are faster than the whole chain",
        metric="seconds_per_image", way="lower", models=FAST, others=("ddpm",),
    ),
    Claim(
        anchor="fast-sampler-sharp", says="… and are still more precise than a VAE",
        metric="precision", way="higher", models=FAST, others=VAES,
    ),
    Claim(
        anchor="fast-sampler-covers", says="… and still recall more than GANs",
        metric="recall", way="higher", models=FAST, others=GANS,
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A model and one of those that a claim sets it against."""

    model: Row
    other: Row
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Here:
    """What the pairs of one dataset say of a claim; each side with its numbers, in the order of the rows."""

    section: Section
    heading: Heading
    pairs: tuple[Pair, ...]
    models: tuple[tuple[Row, Cell], ...]
    others: tuple[tuple[Row, Cell], ...]

    def count(self, outcome: Outcome) -> int:
        return sum(pair.outcome == outcome for pair in self.pairs)

    @property
    def verdict(self) -> Verdict:
        return _verdict(self.pairs)

    @property
    def against(self) -> tuple[Pair, ...]:
        """The pairs that contradict the claim."""
        return tuple(pair for pair in self.pairs if pair.outcome == "contradicted")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim and what every dataset says of it, by the dataset's anchor."""

    claim: Claim
    here: dict[str, Here]

    @property
    def verdict(self) -> Verdict:
        return _verdict([pair for one in self.here.values() for pair in one.pairs])


def _verdict(pairs: Sequence[Pair]) -> Verdict:
    shown, against = (sum(pair.outcome == outcome for pair in pairs) for outcome in ("shown", "contradicted"))
    if not pairs:
        return "no data"
    if shown == len(pairs):
        return "reproduced"
    if 2 * shown > len(pairs):
        return "largely"
    if shown > against:
        return "in part"
    return "not reproduced" if against else "open"


def judged(sections: Sequence[Section]) -> list[Judged]:
    """Every claim, on every dataset that has a pair for it."""
    return [
        Judged(claim=claim, here={one.section.anchor: one for section in sections if (one := _here(claim, section))})
        for claim in CLAIMS
    ]


def _here(claim: Claim, section: Section) -> Here | None:
    """The first protocol of the metric under which there is a pair."""
    for index, heading in enumerate(section.headings):
        if heading.column.metric != claim.metric:
            continue
        sides = [
            [(row, row.cells[index]) for row in section.rows if row.label in labels and _counts(row.cells[index])]
            for labels in (claim.models, claim.others)
        ]
        pairs = [(a, b) for a in sides[0] for b in sides[1] if a[1].peers == b[1].peers]
        if pairs:
            there = {id(row) for pair in pairs for row, _ in pair}
            models, others = (tuple(one for one in side if id(one[0]) in there) for side in sides)
            outcomes = _outcomes([(_estimate(a[1]), _estimate(b[1])) for a, b in pairs], claim.way)
            return Here(
                section=section,
                heading=heading,
                pairs=tuple(
                    Pair(model=a[0], other=b[0], outcome=outcome)
                    for (a, b), outcome in zip(pairs, outcomes, strict=True)
                ),
                models=models,
                others=others,
            )
    return None


def _counts(cell: Cell) -> bool:
    return cell.ok and cell.estimate is not None and cell.estimate.noise_is_known


def _estimate(cell: Cell) -> Measured:
    assert cell.estimate is not None
    return cell.estimate


def _outcomes(pairs: Iterable[tuple[Measured, Measured]], way: Literal["higher", "lower"]) -> list[Outcome]:
    found = [tests(pair) for pair in pairs]
    adjusted = holm(np.array([test.p[0, 1] for test in found]))
    sign = 1.0 if way == "higher" else -1.0
    return [
        "open" if p > 1 - LEVEL else "shown" if sign * test.difference[0, 1] > 0 else "contradicted"
        for test, p in zip(found, adjusted, strict=True)
    ]
