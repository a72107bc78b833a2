"""What a record of a stranger must be beyond its schema to be believed: possible, plainly named, of its own time.

The schema says what form a record has; here stands what no honest run can write. Whatever is in doubt is refused, with
a sentence for each fault; nothing of genbench that needs torch is imported, ranges of metrics are read from sources.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from genbench import catalog
from genbench.errors import Refused
from genbench.record import Measurement, Record

_IDENTIFIER = r"[A-Za-z_]\w*"
_REFERENCE = re.compile(rf"{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}(\.{_IDENTIFIER})*\Z", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9][\w.:=-]{0,79}(\[[A-Za-z0-9][\w .,:=+/-]{0,119}\])?\Z", re.ASCII)
_FAMILY = re.compile(r"[a-z][a-z0-9 -]{0,39}\Z")
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,79}\Z")
_PROTOCOL = re.compile(r"([A-Za-z0-9][\w .,:;=+/@()*%-]{0,299})?\Z", re.ASCII)
_NOT_NEGATIVE = re.compile(
    r"(latency|seconds|images_per|memory|joules|flops)_\w+\Z|(parameters|nfe|network_calls|best_batch)\Z"
)

REAL = ("real", "genbench.run:real_rows")  # label and reference of the rows of real data
EARLIEST = "2020-01-01T00:00:00Z"
MAX_NUMBER = 1e30
MAX_SECONDS = 1e8  # three years
MAX_FLOPS = 1e17  # a second, of any one machine: fifty times the fastest
MAX_BYTES_PER_SECOND = 1e14  # written by any one device
LEAST_SECONDS = 1e-7  # of any call of a sampler
SIGMAS = 5.0  # what is further than so many standard errors beyond the possible is impossible
BOUNDS = ("exact", "dequantized", "elbo", "iwae", "vlb")  # kinds of likelihood that are never above the true one
DIVERGENCES = ("excess_nats", "kl_forward", "kl_reverse", "jensen_shannon")

# Nats and standard error, as `genbench.dataset(NAME).entropy()` has them; a test holds them to it.
ENTROPIES = {
    "ring8": (-4.28204, 0.00709),
    "grid25": (0.07627, 0.00709),
    "spirals": (0.14565, 0.00511),
    "glyphs": (33.35352, 0.06128),
    "glyphs-rgb": (8766.002, 0.3287),
}


def latest() -> str:
    """The latest time that a record may have been made at: the present and a day, for clocks that differ."""
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def faults(one: Record, until: str) -> list[str]:
    """Everything about a record that cannot be, a sentence each; empty for one that can be believed.

    Args:
        until: the latest time that it may have been made at, "2026-03-01T12:00:00Z".
    """
    found = list(_untidy("record", msgspec.to_builtins(one)))
    if found:
        return found  # what is not even plain is not looked into
    return [
        *_names(one),
        *_times(one, until),
        *_shape(one),
        *(fault for measured in one.measurements.values() for fault in _value(measured)),
        *_likelihood(one),
        *_speed(one),
        *_per_image(one),
    ]


# ------------------------------------------------------------------------------------------ plain content


def _untidy(where: str, value: Any) -> Iterator[str]:
    """What the schema leaves open: long texts, signs that do not print, integers beyond 64 bits, endless tables."""
    if isinstance(value, str):
        if len(value) > 2000:
            yield f"{where} has {len(value):,} characters; a text has at most 2,000"
        elif not value.replace("\n", "").replace("\t", "").isprintable():
            yield f"{where} holds a character that does not print"
    elif isinstance(value, int) and abs(value) >= 2**63:
        yield f"{where} is an integer beyond 64 bits"
    elif isinstance(value, dict):
        if len(value) > 2000:
            yield f"{where} has {len(value):,} entries; at most 2,000 are read"
            return
        for name, content in value.items():
            if not name.isprintable():
                yield f"{where} has a name with a character that does not print: {ascii(name)[:80]}"
            yield from _untidy(f"{where}.{ascii(name)[1:-1][:80]}", content)
    elif isinstance(value, list | tuple):
        if len(value) > 5000:
            yield f"{where} has {len(value):,} entries; at most 5,000 are read"
        elif not all(type(content) is float for content in value):
            for index, content in enumerate(value):
                yield from _untidy(f"{where}[{index}]", content)


def _names(one: Record) -> Iterator[str]:
    """Labels, references and names are made of plain signs, and nobody takes a name of the catalog."""
    for where, pattern, text in (
        ("model.label", _LABEL, one.model.label),
        ("model.reference", _REFERENCE, one.model.reference),
        ("model.family", _FAMILY, one.model.family),
        ("dataset.label", _LABEL, one.dataset.label),
        ("dataset.reference", _REFERENCE, one.dataset.reference),
        *(("measurements: the metric", _METRIC, measured.metric) for measured in one.measurements.values()),
        *(("measurements: the protocol", _PROTOCOL, measured.protocol) for measured in one.measurements.values()),
    ):
        if not pattern.match(text):
            yield f"{where} {ascii(text)[:120]} is not a plain name"
    taken = {REAL[0]: REAL[1], **catalog.MODELS}.get(one.model.label.partition("[")[0])
    for what, label, reference, owner in (
        ("model", one.model.label, one.model.reference, taken),
        ("dataset", one.dataset.label, one.dataset.reference, catalog.DATASETS.get(one.dataset.label)),
    ):
        if owner is not None and reference != owner:
            yield f"the {what} {label} of the catalog is {owner}, not {ascii(reference)[1:-1][:120]}"
    wrong = next((asset.file for asset in one.assets.values() if not asset.file.startswith(f"{one.key}-")), None)
    if wrong:
        yield f"the asset {wrong} does not begin with the record's key {one.key}"


def _times(one: Record, until: str) -> Iterator[str]:
    try:
        datetime.strptime(one.created, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        yield f"created {one.created} is no date"
        return
    if one.created > until:
        yield f"created {one.created} lies in the future"  # and not how far: it is printed on a page
    if one.created < EARLIEST:
        yield f"created {one.created} lies before {EARLIEST}, when there was no genbench"
    for name in ("train_seconds", "sample_seconds", "evaluate_seconds"):
        if (spent := getattr(one.cost, name)) > MAX_SECONDS:
            yield f"cost.{name} {spent:g} is more than three years"


def _shape(one: Record) -> Iterator[str]:
    data, cost = one.dataset, one.cost
    if math.prod(data.shape) > 10**8:
        yield f"dataset.shape {data.shape} has more than 100,000,000 values"
    if data.levels is not None and not 2 <= data.levels <= 65536:
        yield f"dataset.levels {data.levels} is not within 2 and 65,536"
    if data.classes is not None and data.classes < 1:
        yield f"dataset.classes {data.classes} is below 1"
    for name, curve in one.curves.items():
        if len(curve.steps) != len(curve.values):
            yield f"the curve {name} has {len(curve.steps)} steps and {len(curve.values)} values"
    if cost.flops is not None and not 0 <= cost.flops <= max(cost.train_seconds, 1e-3) * MAX_FLOPS:
        yield f"cost.flops {cost.flops:g} in {cost.train_seconds:g} s is more than any machine does, or less than 0"


# ------------------------------------------------------------------------------------------ measurements


def _value(measured: Measurement) -> Iterator[str]:
    """A value within the range that its metric declares."""
    if measured.value is None or measured.low is None or measured.high is None:
        return
    if abs(measured.value) > MAX_NUMBER:
        yield f"{measured.metric} is {measured.value:g}; a number beyond {MAX_NUMBER:g} is no measurement"
    low, high = (0.0, math.inf) if _NOT_NEGATIVE.match(measured.metric) else declared_range(measured.metric)
    modes = re.search(r"\bmodes=(\d{1,9})\b", measured.protocol)
    if measured.metric == "modes_captured" and modes and measured.value > int(modes[1]):
        yield f"modes_captured is {measured.value:g} of {modes[1]}"
    if measured.low < low or measured.high > high:
        yield (
            f"{measured.metric} is {measured.value:g} [{measured.low:g}, {measured.high:g}]; "
            f"it lies within {low:g} and {high:g}"
        )


def _error(measured: Measurement) -> float:
    """The standard error that an interval of a mean stands for."""
    assert measured.low is not None
    assert measured.high is not None
    return (measured.high - measured.low) / 2 / 1.96


def _ok(one: Record, metric: str) -> Iterator[tuple[float, float, Measurement]]:
    """Value and standard error of every measurement of a metric."""
    for measured in one.measurements.values():
        if measured.metric == metric and measured.value is not None:
            yield measured.value, _error(measured), measured


def _likelihood(one: Record) -> Iterator[str]:
    """No bound and no exact likelihood is better than the data's entropy, and no divergence below 0, but by chance."""
    known = {catalog.DATASETS[name]: entropy for name, entropy in ENTROPIES.items()}.get(one.dataset.reference)
    stated = one.dataset.entropy
    if known and stated and abs(known[0] - stated[0]) > SIGMAS * math.hypot(known[1], stated[1]):
        yield f"dataset.entropy is {stated[0]:g} nats; that of {one.dataset.label} is {known[0]:g}"
    entropy = known or stated
    nats_per_bit = math.prod(one.dataset.shape) * math.log(2)
    for metric, scale in (("nats", 1.0), ("bits_per_dim", -nats_per_bit)):
        for value, error, measured in _ok(one, metric):
            kind = measured.kind or one.model.likelihood
            if kind != one.model.likelihood:
                yield f"{metric} is of the kind {kind}, the model's likelihood of the kind {one.model.likelihood}"
            if entropy is None or kind not in BOUNDS:
                continue
            slack = SIGMAS * math.hypot(entropy[1], error * abs(scale))
            if value * scale > -entropy[0] + slack:
                yield f"{metric} {value:g} ({kind}) is better than the truth: the entropy is {entropy[0]:g} nats"
    for metric in DIVERGENCES:
        for value, error, measured in _ok(one, metric):
            if value < -SIGMAS * error and (measured.kind or one.model.likelihood) in BOUNDS:
                yield f"{metric} is {value:g}, below 0 by more than its errors: nothing beats the truth"
    for bits, bits_error, _ in _ok(one, "bits_per_dim"):
        for nats, nats_error, _ in _ok(one, "nats"):
            slack = SIGMAS * (bits_error * nats_per_bit + nats_error) + 1e-6 * abs(nats)
            if abs(nats + bits * nats_per_bit) > slack:
                yield f"bits_per_dim {bits:g} and nats {nats:g} do not speak of the same likelihood"


def _speed(one: Record) -> Iterator[str]:
    """No device draws faster than it counts or writes."""
    flops = max((value for value, _, _ in _ok(one, "flops_per_image")), default=0.0)
    rates = [("images_per_second", value, 1) for value, _, _ in _ok(one, "images_per_second")]
    for metric in {measured.metric for measured in one.measurements.values()}:
        if metric != "seconds_per_image" and not metric.startswith("latency_"):
            continue
        for value, _, measured in _ok(one, metric):
            batch = re.search(r"\bbatch=(\d{1,9})\b", measured.protocol)
            calls = int(batch[1]) if batch else 1
            if value * (calls if metric == "seconds_per_image" else 1) < LEAST_SECONDS:
                yield f"{metric} is {value:g} s; no call takes less than {LEAST_SECONDS:g} s"
            else:
                rates.append((metric, 1 / value, calls))
    for metric, rate, _ in rates:
        if rate * flops > MAX_FLOPS:
            yield f"{metric}: {rate:g} images a second of {flops:g} FLOPs each are more than any machine computes"
        if rate * math.prod(one.dataset.shape) > MAX_BYTES_PER_SECOND:
            yield f"{metric}: {rate:g} images a second are more than any machine writes"


def _per_image(one: Record) -> Iterator[str]:
    """The numbers of each image have the mean that the measurement states."""
    for name, values in one.per_image.items():
        if not _METRIC.match(name):
            yield f"per_image: {ascii(name)[:100]} is not a plain name"
        for value, error, measured in _ok(one, name):
            mean = math.fsum(values) / max(len(values), 1)
            if len(values) == measured.n and abs(mean - value) > 1e-4 * (abs(value) + error):
                yield f"per_image.{name} has the mean {mean:g}, the measurement says {value:g}"


# ------------------------------------------------------------------------------------------ ranges, from sources


_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@cache
def declared_range(metric: str) -> tuple[float, float]:
    """The range that a metric of ours declares in its `METRIC`; everything, for a foreign one."""
    target = catalog.METRICS.get(metric)
    if target is None:
        return -math.inf, math.inf
    module, _, attribute = target.partition(":")
    source = Path(catalog.__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    constants = {
        node.targets[0].id: node.value
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    declared = constants[attribute]
    assert isinstance(declared, ast.Call)
    given = next((keyword.value for keyword in declared.keywords if keyword.arg == "range"), None)
    if given is None:
        return -math.inf, math.inf
    assert isinstance(given, ast.Tuple)
    low, high = (_number(end, constants) for end in given.elts)
    return low, high


def _number(node: ast.expr, constants: dict[str, ast.expr]) -> float:
    """A number as sources write it: a literal, an infinity, a constant of the module, a sum or product of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Attribute) and node.attr == "inf":
        return math.inf
    if isinstance(node, ast.Name) and node.id in constants:
        return _number(constants[node.id], constants)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand, constants)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_number(node.left, constants), _number(node.right, constants))
    raise Refused(f"the range {ast.unparse(node)!r} of a metric is no number that can be read from its source")
