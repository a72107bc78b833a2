"""What of two records may be compared with what: hardware, seeds, and numbers as estimates. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from genbench.ranking import Measured
from genbench.record import Measurement, Record
from genbench.stats import normal_quantile

SINGLE_RUN = "a single run"  # stands in the method of a number that was observed once
_HARDWARE = ("system", "cpu", "cores", "threads", "device", "gpu")


def hardware(record: Record) -> str:
    """The class of hardware that speeds are compared within: processor, system, cores and threads."""
    found = {name: record.environment.get(name) for name in _HARDWARE}
    words = [found["gpu"] or found["cpu"] or found["device"] or "unknown machine", found["system"]]
    words += [f"{name}: {found[name]}" for name in ("cores", "threads") if found[name] is not None]
    if found["device"] == "cuda" and not found["gpu"]:
        words.append("cuda")
    return ", ".join(str(word) for word in words if word)


def newest(group: Sequence[Record]) -> list[Record]:
    """One record for each training seed, in their order, all of the newest record's code."""
    ordered = sorted(group, key=lambda one: (one.created, one.key))
    by_seed = {training_seed(one): one for one in ordered if one.model.code == ordered[-1].model.code}
    return [by_seed[seed] for seed in sorted(by_seed)]


def training_seed(record: Record) -> int:
    """The seed of the training; 0 for what was not trained."""
    return record.seeds.get("train", 0)


def observed_once(one: Measurement) -> bool:
    """Whether its interval is itself because there was one observation, and not because it was counted."""
    return one.status == "ok" and one.low == one.high and SINGLE_RUN in one.method


def estimate(found: Sequence[tuple[Record, Measurement]]) -> Measured:
    """One number from a measurement for each training seed; all must have a value, and one protocol.

    Seeds whose values are all equal (of a model that is not trained) repeat one measurement and stand for one seed,
    with its interval. `low` and `high` are those of the mean over the seeds for the samples and the images alone: as
    far away as the ends of the measurements' intervals are on average, since all seeds share their images.
    What was observed once has an interval of no width; `once` keeps tests from taking that for precision.
    """
    values, low, high, level = [], [], [], found[0][1].level
    for _, one in found:
        if one.value is None or one.low is None or one.high is None:
            raise ValueError(f"{one.name} has no value")
        scale = normal_quantile(level) / normal_quantile(one.level)
        values.append(one.value)
        low.append((one.value - one.low) * scale)
        high.append((one.high - one.value) * scale)
    seeds = [training_seed(record) for record, _ in found]
    images, sets = None, {_image_set(record) for record, _ in found}
    contributions = [x for record, one in found if (x := _contributions(record, one)) is not None]
    if len(contributions) == len(found) and len(sets) == 1 and len({len(x) for x in contributions}) == 1:
        images = np.mean(contributions, axis=0)
    below, above = (math.fsum(halves) / len(halves) for halves in (low, high))
    if len(set(values)) == 1:
        values, seeds = values[:1], seeds[:1]
    mean = math.fsum(values) / len(values)
    return Measured(
        values=tuple(values), seeds=tuple(seeds), low=mean - below, high=mean + above, level=level,
        images=images, image_set=next(iter(sets)) if images is not None else None,
        once=any(observed_once(one) for _, one in found),
    )  # fmt: skip


def _image_set(record: Record) -> tuple[str | None, int | str | float | None]:
    """Which images a likelihood was measured on: the split, and how many of it."""
    return record.dataset.checksums.get("test"), record.settings.get("likelihood_images")


def _contributions(record: Record, one: Measurement) -> np.ndarray | None:
    """What each image adds to a measurement, in its unit; None where the record does not say."""
    if one.metric not in ("nats", "bits_per_dim", "excess_nats") or len(record.per_image.get("nats", ())) != one.n:
        return None
    nats = np.asarray(record.per_image["nats"], dtype=np.float64)
    if one.metric == "bits_per_dim":
        return -nats / (math.prod(record.dataset.shape) * math.log(2))
    return nats if one.metric == "nats" else -nats


def canonical(value: object) -> bytes:
    """Bytes that are equal for equal content."""
    return msgspec.json.encode(value, order="sorted")
