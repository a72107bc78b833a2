"""The schema of a result: one immutable JSON file for each cell, validated on write and on read. No torch here.

A record says what was run (full references, configuration, checksums, seeds), where (versions, device; no user
paths), how long it took, and what was measured. Unknown keys, NaN, infinities, values out of range, keys given
twice, and files above a size limit are refused. Numbers never travel without their interval. Records of older schemas
are brought up to date when they are read, one version at a time.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from genbench.errors import Refused

SCHEMA = 2
MAX_BYTES = 4 * 2**20
MAX_PER_IMAGE = 4096  # numbers of one name in `per_image`

Axis = Literal["quality", "diversity", "likelihood", "speed", "memorization", "reconstruction"]
Better = Literal["lower", "higher"]
Kind = Literal["exact", "dequantized", "elbo", "iwae", "vlb", "ais", "ode"]
Needs = Literal[
    "features",
    "spatial",
    "memory",
    "images",
    "pairs",
    "probabilities",
    "modes",
    "densities",
    "surprise",
    "nats",
    "bits",
]
Status = Literal["ok", "undefined", "invalid", "unavailable"]

DIRECTION: dict[str, str] = {  # what a likelihood of each kind says about the true one
    "exact": "exact",
    "dequantized": "lower bound",
    "elbo": "lower bound",
    "iwae": "lower bound",
    "vlb": "lower bound",
    "ais": "estimate",
    "ode": "estimate",
}

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=2000)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Key = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Scalar = str | int | float | bool | None
_ASSET = re.compile(r"[0-9a-f]{16}(-[a-z0-9]+)?\.(png|svg)\Z")


class Measurement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One number and its interval, or the reason why there is none.

    `method` says how the interval was found and what it is an interval of; `protocol` everything that the number
    depends on beside the samples (extractor and its weights, reference split, n); `kind` travels with likelihoods.
    """

    metric: Name
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: Count = 0
    level: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    method: Text = ""
    protocol: Text = ""
    kind: Kind | None = None
    status: Status = "ok"
    reason: Text = ""

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high)
        if self.status == "ok":
            if any(number is None or not math.isfinite(number) for number in numbers):
                raise ValueError(f"measurement {self.metric}: value, low and high must be finite numbers")
            if self.low > self.high:  # type: ignore[operator]
                raise ValueError(f"measurement {self.metric}: low {self.low} is above high {self.high}")
            if not self.low <= self.value <= self.high:  # type: ignore[operator]
                raise ValueError(f"measurement {self.metric}: value {self.value} lies outside its interval")
        elif not self.reason:
            raise ValueError(f"measurement {self.metric}: status {self.status!r} needs a reason")
        elif any(number is not None for number in numbers):
            raise ValueError(f"measurement {self.metric}: status {self.status!r} goes without numbers")

    @property
    def name(self) -> str:
        """The metric with its protocol, as it stands in a record: `fid[digitnet@3f2a,test,n=1000]`."""
        return f"{self.metric}[{self.protocol}]" if self.protocol else self.metric

    def __str__(self) -> str:
        if self.status != "ok":
            return f"{self.status}: {self.reason}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


class ModelRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model: `reference` is `module:attribute`, `label` what tables call it."""

    reference: Name
    label: Name
    family: Name
    likelihood: Kind | None
    config: dict[Name, Any]
    recipe: dict[Name, Scalar]
    code: Digest  # of the sources that define the model
    weights: Digest | None  # of the trained weights
    control: bool = False
    capabilities: list[Name] = []


class DatasetRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which data, by reference and by content."""

    reference: Name
    label: Name
    shape: Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=1, max_length=3)]
    levels: int | None
    classes: int | None
    checksums: dict[Name, Digest]
    entropy: tuple[float, float] | None = None  # nats and standard error, where the law is known


class Cost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it took. FLOPs count multiply and add as two; None where they cannot be counted."""

    parameters: Count
    steps: Count
    images: Count
    train_seconds: Seconds
    flops: float | None
    sample_seconds: Seconds
    evaluate_seconds: Seconds

    @classmethod
    def of_measuring(cls, seconds: float, parameters: int = 0) -> Cost:
        """Of measuring alone: nothing was trained, and the samples were there or are not counted."""
        return cls(
            parameters=parameters,
            steps=0,
            images=0,
            train_seconds=0.0,
            flops=None,
            sample_seconds=0.0,
            evaluate_seconds=seconds,
        )


class Curve(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training curve, thinned to at most a few hundred points: step and value."""

    steps: Annotated[list[int], Meta(max_length=2000)]
    values: Annotated[list[float], Meta(max_length=2000)]


class Asset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture that belongs to the record; `file` is a bare name beside it."""

    file: Name
    sha256: Digest
    width: Annotated[int, Meta(ge=1, le=10_000)]
    height: Annotated[int, Meta(ge=1, le=10_000)]

    def __post_init__(self) -> None:
        if not _ASSET.match(self.file):
            raise ValueError(f"asset file {self.file!r} is not of the form KEY-word.png")


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One cell: a model on a dataset under one training seed, measured.

    `per_image` holds the numbers behind a measurement, one for each image of the dataset that it was measured on
    ("nats": of the images for the likelihood, in their order), so that two records of one dataset and the same
    settings can be compared in pairs.
    """

    schema: Annotated[int, Meta(ge=SCHEMA, le=SCHEMA)]
    key: Key
    created: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    model: ModelRun
    dataset: DatasetRun
    seeds: dict[Name, int]
    settings: dict[Name, Scalar]
    environment: dict[Name, Scalar]
    cost: Cost
    curves: dict[Name, Curve]
    report: dict[Name, float]
    measurements: dict[Annotated[str, Meta(min_length=1, max_length=2300)], Measurement]
    assets: dict[Name, Asset]
    per_image: Annotated[dict[Name, Annotated[list[float], Meta(max_length=MAX_PER_IMAGE)]], Meta(max_length=4)] = {}

    def __post_init__(self) -> None:
        for name, measurement in self.measurements.items():
            if name != measurement.name:
                raise ValueError(f"measurement {measurement.name!r} stands under the name {name!r}")
        _check_plain("model.config", self.model.config)

    def get(self, metric: str) -> Measurement | None:
        """The measurement of a metric, whatever its protocol; None if the record has none."""
        return next((m for m in self.measurements.values() if m.metric == metric), None)


def _check_plain(where: str, value: Any, depth: int = 0) -> None:
    """Refuses what `Any` lets through: deep nesting and numbers that are not finite."""
    if depth > 4:
        raise ValueError(f"{where} is nested too deeply")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is not a finite number")
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        _check_plain(f"{where}.{name}", child, depth + 1)


def encode(record: Record) -> bytes:
    """The record as JSON bytes, validated: what `decode` gives back is equal."""
    data = msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1) + b"\n"
    if decode(data) != record:
        raise Refused(f"record {record.key} does not survive writing and reading")
    return data


def decode(data: bytes, name: str = "record") -> Record:
    """Validates and returns a record; refuses in one sentence that says where it is wrong."""
    if len(data) > MAX_BYTES:
        raise Refused(f"{name} has {len(data):,} bytes; a record has at most {MAX_BYTES:,}")
    try:
        version = msgspec.json.decode(data, type=_Version).schema
        if version > SCHEMA:
            raise Refused(
                f"{name} has schema {version}; this genbench reads schemas up to {SCHEMA}: use a newer genbench"
            )
        if version == SCHEMA:
            record = msgspec.json.decode(data, type=Record)
        else:
            record = msgspec.convert(migrate(msgspec.json.decode(data)), Record)
        json.loads(data, object_pairs_hook=_without_repetition)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Refused(f"{name} is not a valid record: {error}") from None
    return record


class _Version(Struct):
    schema: Annotated[int, Meta(ge=1)]


def migrate(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a record of an older schema as the present one has it; what it was given stays as it is."""
    for version in range(content["schema"], SCHEMA):
        content = {**_STEPS[version](content), "schema": version + 1}
    return content


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    if "per_image" in content:
        raise ValueError("schema 1 has no field `per_image`")
    return {**content, "per_image": {}}


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}  # from a schema to the next


def _without_repetition(pairs: list[tuple[str, Any]]) -> None:
    """Refuses an object that gives a key twice: readers disagree on which one counts."""
    if len(names := {name for name, _ in pairs}) < len(pairs):
        twice = next(name for name in names if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {twice[:100]!r} is given twice")


def read(path: Path) -> Record:
    """Reads one record file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Refused(f"{path.name} has more than {MAX_BYTES:,} bytes, more than a record can have")
        data = path.read_bytes()
    except OSError as error:
        raise Refused(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    return decode(data, path.name)
