"""What the metrics are given: computed once, on first use, from samples, a dataset and perhaps a model.

Symbols: x the samples, `real` the split that stands for the data, `scored` the rows of it that a model is scored on.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench import catalog
from genbench.errors import Refused, Undefined
from genbench.features.bank import Bank
from genbench.images import to_unit
from genbench.likelihood import Likelihood, likelihood
from genbench.noise import Streams, derive
from genbench.protocols import Protocol
from genbench.record import MAX_PER_IMAGE
from genbench.types import Dataset, Extractor, Kind, Metric, Model, Needs, Split

_LAW_DRAWS = 20_000  # fresh draws of the law that stand for it
_CHUNK = 1000
_TRAIN_ROWS = 10_000  # of the training set, at most, in metrics of memorization: their cost grows with its square


@dataclass(frozen=True, kw_only=True)
class Given:
    """The arrays of one metric, and all that its number depends on beside the samples."""

    real: Any
    fake: Any
    protocol: str
    train: Any = None
    kind: Kind | None = None


class Inputs:
    """What each kind of need is served with; Undefined where there is nothing to serve it with."""

    def __init__(
        self,
        x: Tensor,
        data: Dataset,
        model: Model | None,
        reference: Split,
        likelihood_images: int,
        seed: int,
        cache: Path | None = None,
        download: bool = False,
        progress: bool = False,
    ) -> None:
        self.download = download
        self.x, self.data, self.model, self.reference, self.seed = x, data, model, reference, seed
        self.real = data.images(reference)
        train = data.images("train")
        if len(train) > _TRAIN_ROWS:
            order = torch.randperm(len(train), generator=torch.Generator().manual_seed(derive(0, "memory") >> 1))
            train = train[order[:_TRAIN_ROWS].sort().values]
        sides = {"real": self.real, "fake": x, "train": train}
        # The samples of one evaluation are rarely seen again: only what is compared with is worth a place on the disk.
        self._banks = {
            side: Bank(images, cache=None if side == "fake" else cache, progress=progress)
            for side, images in sides.items()
        }
        # Some test splits have an order (patches by place): what the model is scored on is drawn from all of it.
        order = torch.randperm(len(self.real), generator=torch.Generator().manual_seed(derive(0, "scored") >> 1))
        self.scored = self.real[order[:likelihood_images].sort().values]
        self._serve: dict[Needs, Callable[[Protocol], Given]] = {
            "features": self._features,
            "memory": self._memory,
            "spatial": self._spatial,
            "images": self._images,
            "pairs": self._pairs,
            "probabilities": self._probabilities,
            "modes": self._modes,
            "surprise": self._surprise,
            "nats": self._nats,
            "bits": self._bits,
            "densities": self._densities,
        }
        self._extractors: dict[str, Extractor] = {}

    def ask(self, metric: Metric, protocol: Protocol) -> None:
        """Says what will be wanted, so that one pass over the images can serve every metric.

        What cannot be had is refused when the metric's own turn comes.
        """
        law = self.data.spec.law
        if metric.needs not in ("features", "memory", "spatial", "probabilities", "modes"):
            return
        if metric.needs == "modes" and law is not None:
            return
        if metric.needs == "probabilities" and protocol.extractor is None and hasattr(law, "class_probabilities"):
            return
        try:
            extractor = self._extractor(protocol)
            tap = "logits" if metric.needs in ("probabilities", "modes") else protocol.tap
            for side in ("real", "fake", "train") if metric.needs == "memory" else ("real", "fake"):
                self._banks[side].ask(extractor, tap)
        except Refused:
            return

    def of(self, metric: Metric, protocol: Protocol) -> Given:
        """What a metric is computed from."""
        return self._serve[metric.needs](protocol)

    # Features, and what a classifier says.

    def _extractor(self, protocol: Protocol) -> Extractor:
        name = protocol.extractor or self.data.extractor
        key = f"{name} {sorted(protocol.options.items())}"
        if key not in self._extractors:
            build, options = catalog.resolve("extractors", name), dict(protocol.options)
            if self.download and "download" in inspect.signature(build).parameters:
                options["download"] = True
            self._extractors[key] = build(self.data.spec, **options)
        return self._extractors[key]

    def _words(self, protocol: Protocol, *parts: str) -> str:
        return ",".join([part for part in (*parts, f"n={len(self.x)}", protocol.words) if part])

    def _features(self, protocol: Protocol) -> Given:
        extractor = self._extractor(protocol)
        return Given(
            real=self._banks["real"].features(extractor, protocol.tap),
            fake=self._banks["fake"].features(extractor, protocol.tap),
            protocol=self._words(protocol, extractor.named(protocol.tap), self.reference),
        )

    def _spatial(self, protocol: Protocol) -> Given:
        extractor = self._extractor(protocol)
        if "spatial" not in extractor.taps:
            raise Undefined(f"{extractor.protocol} has no features that keep their places")
        return self._features(replace(protocol, tap="spatial"))

    def _memory(self, protocol: Protocol) -> Given:
        found = self._features(protocol)
        train = self._banks["train"].features(self._extractor(protocol), protocol.tap)
        return replace(found, train=train, protocol=f"{found.protocol},train={len(train)}")

    def _probabilities(self, protocol: Protocol) -> Given:
        law: Any = self.data.spec.law
        real: np.ndarray | None
        fake: np.ndarray | None
        if protocol.extractor is None and hasattr(law, "class_probabilities"):
            answers, by = law.class_probabilities, "posterior"
            real, fake = (torch.cat([answers(part) for part in x.split(_CHUNK)]).numpy() for x in (self.real, self.x))
        else:
            extractor = self._extractor(protocol)
            real, fake = (self._banks[side].probabilities(extractor) for side in ("real", "fake"))
            if fake is None:
                raise Undefined(f"{extractor.protocol} does not classify the images of {self.data.name}")
            by = extractor.protocol
        return Given(real=real, fake=fake, protocol=self._words(protocol, by, self.reference))

    # Images themselves.

    def _unit(self, x: Tensor) -> np.ndarray:
        """Images on the scale of [0, 1]; points as they are."""
        values: np.ndarray = (to_unit(x, self.data.spec.levels) if self.data.spec.levels else x).cpu().numpy()
        return values

    def _images(self, protocol: Protocol) -> Given:
        if not self.data.spec.is_image:
            raise Undefined(f"{self.data.name} has points, not images")
        return Given(
            real=self._unit(self.real), fake=self._unit(self.x), protocol=self._words(protocol, self.reference)
        )

    def _pairs(self, protocol: Protocol) -> Given:
        if self.model is None:
            raise Undefined("samples alone reconstruct nothing")
        if "reconstruct" not in self.model.capabilities:
            raise Undefined(f"{type(self.model).__name__} does not reconstruct")
        return Given(
            real=self._unit(self.scored),
            fake=self._unit(self._reconstructed),
            protocol=f"{self.reference},n={len(self.scored)}",
        )

    @cached_property
    def _reconstructed(self) -> Tensor:
        assert self.model is not None
        home = self.model.device
        self.model.eval()
        with torch.no_grad():
            parts = [self.model.reconstruct(x.to(home)).cpu() for x in self.scored.split(256)]  # type: ignore[operator]
        return torch.cat(parts)

    # Modes and the law.

    @cached_property
    def _mode_ids(self) -> tuple[np.ndarray, int, str]:
        law = self.data.spec.law
        if law is not None:
            return torch.cat([law.modes(part) for part in self.x.split(_CHUNK)]).numpy(), law.n_modes, "law"
        extractor = self._extractor(Protocol(metric="modes", about=""))
        classes = self._banks["fake"].classes(extractor)
        if classes is None or self.data.spec.classes is None:
            raise Undefined(f"{self.data.name} has neither known modes nor a classifier")
        return classes, self.data.spec.classes, extractor.protocol

    def _modes(self, protocol: Protocol) -> Given:
        ids, count, by = self._mode_ids
        if protocol.metric == "high_quality" and by != "law":
            raise Undefined(f"{self.data.name} has no known modes that a sample could miss")
        words = self._words(protocol, by, f"modes={count}")
        return Given(real=np.full(count, 1.0 / count), fake=ids, protocol=words)

    @property
    def law(self) -> Any:
        if self.data.spec.law is None:
            raise Undefined(f"the law of {self.data.name} is not known")
        return self.data.spec.law

    @cached_property
    def _law_draws(self) -> Tensor:
        chunks = torch.arange(_LAW_DRAWS).split(_CHUNK)
        return torch.cat([self.law.sample(Streams(derive(self.seed, "evaluate"), chunk)) for chunk in chunks])

    def _log_p(self, x: Tensor) -> np.ndarray:
        return torch.cat([self.law.log_prob(part) for part in x.split(_CHUNK)]).numpy()

    def _surprise(self, protocol: Protocol) -> Given:
        real = -self._log_p(self._law_draws)
        return Given(real=real, fake=-self._log_p(self.x), protocol=self._words(protocol, "law"))

    # Likelihood.

    def _likelihood(self, x: Tensor, seed: int) -> Likelihood:
        if self.model is None:
            raise Undefined("samples alone have no likelihood")
        if self.model.likelihood is None:
            raise Undefined(f"{type(self.model).__name__} defines no likelihood")
        return likelihood(self.model, x, seed=seed, progress=False)

    @cached_property
    def likelihood(self) -> Likelihood:
        """Of the scored rows."""
        return self._likelihood(self.scored, self.seed)

    @property
    def per_image(self) -> dict[str, list[float]]:
        """What was computed for each scored row, to six digits: what pairs two models on the same images."""
        if "likelihood" not in self.__dict__:
            return {}
        nats = [float(f"{value:.6g}") for value in self.likelihood.nats[:MAX_PER_IMAGE].tolist()]
        return {"nats": nats} if all(map(math.isfinite, nats)) else {}

    def _of_likelihood(self, real: Any, fake: Any = None, points: str | None = None) -> Given:
        found = self.likelihood
        protocol = f"{found.kind},{points or self.reference},n={len(self.scored)}"
        return Given(real=real, fake=fake, protocol=protocol, kind=found.kind)

    def _nats(self, _: Protocol) -> Given:
        return self._of_likelihood(self.likelihood.nats.numpy())

    def _bits(self, _: Protocol) -> Given:
        if not self.data.spec.is_image:
            raise Undefined(f"{self.data.name} is continuous: a density has no code length")
        return self._of_likelihood(self.likelihood.bits_per_dim.numpy())

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

    def _densities(self, protocol: Protocol) -> Given:
        """Columns log p and log q: for the excess at the scored rows, for divergences at fresh draws of both laws."""
        self.law  # noqa: B018  (raises where the law is not known)
        if protocol.metric == "excess_nats":
            return self._of_likelihood(np.stack([self._log_p(self.scored), self.likelihood.nats.numpy()], axis=1))
        if (kind := self.likelihood.kind) not in ("exact", "ode"):
            raise Undefined(f"a divergence needs a density; {type(self.model).__name__} states a bound ({kind})")
        return self._of_likelihood(self._at_law_draws, self._at_samples, points="fresh draws")

    @cached_property
    def _at_law_draws(self) -> np.ndarray:
        return self._columns(self._law_draws[: len(self.scored)], self.seed + 2)

    @cached_property
    def _at_samples(self) -> np.ndarray:
        return self._columns(self.x[: len(self.scored)], self.seed + 1)

    def _columns(self, x: Tensor, seed: int) -> np.ndarray:
        return np.stack([self._log_p(x), self._likelihood(x, seed).nats.numpy()], axis=1)
