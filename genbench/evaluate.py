"""Samples and a dataset -> measurements: one pass of features feeds every metric, every number has its interval."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench import catalog, protocols
from genbench.errors import Unavailable, Undefined
from genbench.inputs import Inputs
from genbench.metrics.measure import measure
from genbench.progress import Bar
from genbench.types import Dataset, Kind, Measurement, Metric, Model, Refused, Split


class Table(dict[str, Measurement]):
    """name -> measurement; `per_image` holds numbers of each scored image behind them."""

    per_image: dict[str, list[float]]


def evaluate(
    images: Tensor | np.ndarray,
    data: Dataset,
    *,
    model: Model | None = None,
    metrics: Iterable[str] | None = None,
    reference: Split = "test",
    likelihood_images: int = 1000,
    seed: int = 0,
    cache: Path | None = None,
    download: bool = False,
    progress: bool = True,
) -> Table:
    """Measures samples against a dataset.

    Args:
        images: uint8 `(n, C, H, W)` or float32 points `(n, D)`.
        model: adds the likelihood metrics, for a model that has one.
        metrics: names of metrics, or of protocols ("fid/clean"); by default all metrics of the catalog. A metric that
            does not apply is in the table with its reason.
        reference: the split that stands for the real data.
        likelihood_images: how many images of that split are given to the model, at most.
        cache: a folder where features of the dataset are kept from one evaluation to the next.
        download: fetches the weights of extractors that a protocol needs.

    Returns:
        name -> measurement.
    """
    x = as_samples(images, data)
    inputs = Inputs(x, data, model, reference, likelihood_images, seed, cache, download, progress)
    names = list(metrics) if metrics is not None else list(catalog.shelf("metrics"))
    for name in names:
        inputs.ask(*protocols.find(name))
    table = Table()
    with Bar(f"evaluate {data.name}", len(names), progress) as bar:
        for done, name in enumerate(names):
            bar.to(done, name)
            table[name] = _one(name, inputs)
    if "nats" in table and model is not None and "terms" in model.capabilities:
        for name, value in inputs.terms.items():
            kind: Kind | None = "elbo" if name == "elbo" else None
            protocol = f"{reference},n={len(inputs.scored)}"
            name = name if name == "elbo" else f"bound_{name}"  # "kl" is a metric of its own
            table[name] = measure(name, _TERM, real=value, fake=None, protocol=protocol, kind=kind)
    table.per_image = inputs.per_image
    return table


def _one(name: str, inputs: Inputs) -> Measurement:
    metric, protocol = protocols.find(name)
    try:
        given = inputs.of(metric, protocol)
    except Undefined as reason:
        return Measurement(metric=protocol.metric, status="undefined", reason=str(reason))
    except Unavailable as reason:
        return Measurement(metric=protocol.metric, protocol=name, status="unavailable", reason=str(reason))
    words = f"{name.partition('/')[2]}:{given.protocol}" if "/" in name else given.protocol
    return measure(
        protocol.metric,
        metric,
        real=given.real,
        fake=given.fake,
        train=given.train,
        protocol=words,
        kind=given.kind,
    )


_TERM = Metric(
    fn=lambda *, real, fake=None: float(np.mean(real)), axis="likelihood", better="higher", needs="nats", interval="t"
)


def as_samples(images: Tensor | np.ndarray, data: Dataset) -> Tensor:
    """Samples as the contract has them, or a sentence that says what is wrong with them."""
    x = torch.as_tensor(images)
    dtype = torch.uint8 if data.spec.is_image else torch.float32
    if tuple(x.shape[1:]) != data.spec.shape:
        raise Refused(f"the samples have the shape {tuple(x.shape[1:])}; {data.name} has {data.spec.shape}")
    if x.dtype != dtype:
        raise Refused(f"the samples are {x.dtype}; {data.name} needs {dtype}")
    if data.spec.levels and len(x) and int(x.max()) >= data.spec.levels:
        raise Refused(f"the samples hold the value {int(x.max())}; {data.name} has levels 0 to {data.spec.levels - 1}")
    if not data.spec.is_image and not torch.isfinite(x).all():
        raise Refused("the samples hold a value that is not finite")
    return x
