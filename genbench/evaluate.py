"""Samples and a dataset -> measurements: one pass of features feeds every metric, every number has its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench import catalog
from genbench.errors import Unavailable, Undefined
from genbench.images import to_unit
from genbench.likelihood import likelihood
from genbench.metrics.measure import measure
from genbench.noise import Streams, derive
from genbench.progress import Bar
from genbench.types import Dataset, Extractor, Kind, Measurement, Metric, Model, Refused, Split

_LAW_DRAWS = 20_000  # fresh draws of the law that stand for it
_CHUNK = 1000


def evaluate(
    images: Tensor | np.ndarray,
    data: Dataset,
    *,
    model: Model | None = None,
    metrics: Iterable[str] | None = None,
    reference: Split = "test",
    likelihood_images: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Measurement]:
    """Measures samples against a dataset.

    Args:
        images: uint8 `(n, C, H, W)` or float32 points `(n, D)`.
        model: adds the likelihood metrics, for a model that has one.
        metrics: names; by default the whole catalog. A metric that does not apply is in the table with its reason.
        reference: the split that stands for the real data.
        likelihood_images: how many images of that split are given to the model, at most.

    Returns:
        metric name -> measurement.
    """
    x = as_samples(images, data)
    inputs = _Inputs(x, data, model, reference, likelihood_images, seed)
    names = list(metrics) if metrics is not None else list(catalog.shelf("metrics"))
    table: dict[str, Measurement] = {}
    with Bar(f"evaluate {data.name}", len(names), progress) as bar:
        for done, name in enumerate(names):
            metric = catalog.resolve("metrics", name)
            bar.to(done, name)
            table[name] = _one(name, metric, inputs)
    if metrics is None and model is not None and "terms" in model.capabilities:
        protocol = f"{reference},n={len(inputs.scored)}"
        for name, value in inputs.terms.items():
            kind: Kind | None = "elbo" if name == "elbo" else None
            table[name] = measure(name, _TERM, real=value, fake=None, protocol=protocol, kind=kind)
    return table


def _one(name: str, metric: Metric, inputs: _Inputs) -> Measurement:
    try:
        real, fake, protocol, kind = inputs.of(name, metric)
        train = inputs.train_features if metric.needs == "memory" else None
    except Undefined as reason:
        return Measurement(metric=name, status="undefined", reason=str(reason))
    except Unavailable as reason:
        return Measurement(metric=name, status="unavailable", reason=str(reason))
    return measure(name, metric, real=real, fake=fake, train=train, protocol=protocol, kind=kind)


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


_TERM = Metric(
    fn=lambda *, real, fake=None: float(np.mean(real)), axis="likelihood", better="higher", needs="nats", interval="t"
)


class _Inputs:
    """What the metrics need, each computed once, on first use."""

    def __init__(
        self, x: Tensor, data: Dataset, model: Model | None, reference: Split, likelihood_images: int, seed: int
    ) -> None:
        self.x, self.data, self.model, self.reference, self.seed = x, data, model, reference, seed
        self.real = data.images(reference)
        # Some test splits have an order (patches by place): what the model is scored on is drawn from all of it.
        order = torch.randperm(len(self.real), generator=torch.Generator().manual_seed(derive(0, "scored") >> 1))
        self.scored = self.real[order[:likelihood_images].sort().values]
        self._of: dict[str, Callable[[str], tuple[Any, Any, str]]] = {
            "features": self._features,
            "memory": self._features,
            "spatial": self._spatial,
            "images": self._images,
            "pairs": self._pairs,
            "probabilities": self._probabilities,
            "modes": self._modes,
            "surprise": self._surprise,
            "nats": lambda _: (self.likelihood.nats.numpy(), None, self.likelihood_protocol),
            "bits": self._bits,
            "densities": self._densities,
        }

    def of(self, name: str, metric: Metric) -> tuple[Any, Any, str, Any]:
        real, fake, protocol = self._of[metric.needs](name)
        kind = self.model.likelihood if self.model and metric.needs in ("nats", "bits", "densities") else None
        return real, fake, protocol, kind

    @cached_property
    def extractor(self) -> Extractor:
        return catalog.resolve("extractors", self.data.extractor)(self.data.spec)

    @property
    def law(self) -> Any:
        if self.data.spec.law is None:
            raise Undefined(f"the law of {self.data.name} is not known")
        return self.data.spec.law

    @cached_property
    def _feature_pair(self) -> tuple[np.ndarray, np.ndarray]:
        return self.extractor.features(self.real), self.extractor.features(self.x)

    def _features(self, _: str) -> tuple[Any, Any, str]:
        real, fake = self._feature_pair
        return real, fake, f"{self.extractor.protocol},{self.reference},n={len(fake)}"

    @cached_property
    def train_features(self) -> np.ndarray:
        return self.extractor.features(self.data.images("train"))

    def _spatial(self, _: str) -> tuple[Any, Any, str]:
        raise Undefined(f"{self.extractor.protocol} has no features that keep their places")

    def _unit(self, x: Tensor) -> np.ndarray:
        """Images on the scale of [0, 1]; points as they are."""
        values: np.ndarray = (to_unit(x, self.data.spec.levels) if self.data.spec.levels else x).cpu().numpy()
        return values

    def _images(self, _: str) -> tuple[Any, Any, str]:
        if not self.data.spec.is_image:
            raise Undefined(f"{self.data.name} has points, not images")
        return self._unit(self.real), self._unit(self.x), f"{self.reference},n={len(self.x)}"

    @cached_property
    def _reconstructed(self) -> Tensor:
        if self.model is None:
            raise Undefined("samples alone reconstruct nothing")
        if "reconstruct" not in self.model.capabilities:
            raise Undefined(f"{type(self.model).__name__} does not reconstruct")
        self.model.eval()
        with torch.no_grad():
            parts = [self.model.reconstruct(x.to(self.model.device)).cpu() for x in self.scored.split(256)]  # type: ignore[operator]
        return torch.cat(parts)

    def _pairs(self, _: str) -> tuple[Any, Any, str]:
        fake = self._reconstructed
        return self._unit(self.scored), self._unit(fake), f"{self.reference},n={len(fake)}"

    def _probabilities(self, _: str) -> tuple[Any, Any, str]:
        if self.data.spec.law is not None and hasattr(self.data.spec.law, "class_probabilities"):
            found = torch.cat([self.data.spec.law.class_probabilities(part) for part in self.x.split(_CHUNK)]).numpy()
            return None, found, f"posterior,n={len(found)}"
        probabilities = self.extractor.probabilities(self.x)
        if probabilities is None:
            raise Undefined(f"{self.data.name} has no classifier")
        return None, probabilities, f"{self.extractor.protocol},n={len(probabilities)}"

    @cached_property
    def _mode_ids(self) -> tuple[np.ndarray, int, str]:
        law = self.data.spec.law
        if law is not None:
            return torch.cat([law.modes(part) for part in self.x.split(_CHUNK)]).numpy(), law.n_modes, "law"
        classes = self.extractor.classes(self.x)
        if classes is None or self.data.spec.classes is None:
            raise Undefined(f"{self.data.name} has neither known modes nor a classifier")
        return classes, self.data.spec.classes, self.extractor.protocol

    def _modes(self, name: str) -> tuple[Any, Any, str]:
        ids, count, by = self._mode_ids
        if name == "high_quality" and by != "law":
            raise Undefined(f"{self.data.name} has no known modes that a sample could miss")
        return np.full(count, 1.0 / count), ids, f"{by},modes={count},n={len(ids)}"

    @cached_property
    def _law_draws(self) -> Tensor:
        chunks = torch.arange(_LAW_DRAWS).split(_CHUNK)
        return torch.cat([self.law.sample(Streams(derive(self.seed, "evaluate"), chunk)) for chunk in chunks])

    def _log_p(self, x: Tensor) -> np.ndarray:
        return torch.cat([self.law.log_prob(part) for part in x.split(_CHUNK)]).numpy()

    def _surprise(self, _: str) -> tuple[Any, Any, str]:
        return -self._log_p(self._law_draws), -self._log_p(self.x), f"law,n={len(self.x)}"

    @cached_property
    def likelihood(self) -> Any:
        if self.model is None:
            raise Undefined("samples alone have no likelihood")
        if self.model.likelihood is None:
            raise Undefined(f"{type(self.model).__name__} defines no likelihood")
        return likelihood(self.model, self.scored, seed=self.seed, progress=False)

    def _bits(self, _: str) -> tuple[Any, Any, str]:
        if not self.data.spec.is_image:
            raise Undefined(f"{self.data.name} is continuous: a density has no code length")
        return self.likelihood.bits_per_dim.numpy(), None, self.likelihood_protocol

    @property
    def likelihood_protocol(self) -> str:
        return f"{self.likelihood.kind},{self.reference},n={len(self.scored)}"

    @cached_property
    def terms(self) -> dict[str, np.ndarray]:
        """The likelihood's terms, for a model that keeps them apart: name -> nats of each image."""
        assert self.model is not None
        found: dict[str, list[Tensor]] = {}
        home = self.model.device
        self.model.eval()
        with torch.no_grad():
            for rows in torch.arange(len(self.scored)).split(256):
                noise = Streams(derive(self.seed, "terms"), rows, home)
                terms = self.model.terms(self.scored[rows].to(home), noise)  # type: ignore[operator]
                for name, value in terms._asdict().items():
                    found.setdefault(name, []).append(value.double().cpu())
        return {name: torch.cat(values).numpy() for name, values in found.items()}

    def _densities(self, name: str) -> tuple[Any, Any, str]:
        """Columns log p and log q, at the scored real data and at the samples."""
        kind = self.likelihood.kind
        self.law  # noqa: B018  (raises where the law is not known)
        real = np.stack([self._log_p(self.scored), self.likelihood.nats.numpy()], axis=1)
        if name == "excess_nats":
            return real, None, self.likelihood_protocol
        if kind not in ("exact", "ode"):
            raise Undefined(f"a divergence needs a density; {type(self.model).__name__} states a bound ({kind})")
        return real, self._fake_densities, self.likelihood_protocol

    @cached_property
    def _fake_densities(self) -> np.ndarray:
        assert self.model is not None
        x = self.x[: len(self.scored)]
        nats = likelihood(self.model, x, seed=self.seed + 1, progress=False).nats.numpy()
        return np.stack([self._log_p(x), nats], axis=1)
