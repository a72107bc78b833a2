"""The contracts: what a dataset says of itself, what a model offers, what a metric declares.

Symbols: n the batch, (C, H, W) an image's shape, D its number of values, x an integer image or a point, p the law
of the data, q the law of a model. Likelihoods are in nats of the integer image (densities for points).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from genbench.catalog import did_you_mean
from genbench.errors import Refused
from genbench.noise import Noise, Streams, derive
from genbench.record import Axis, Better, Kind, Measurement, Needs

__all__ = [
    "Accounting", "Axis", "Batch", "Better", "DataSpec", "Dataset", "Extractor", "History", "Kind", "Law",
    "Measurement", "Metric", "Model", "Needs", "Noise", "Recipe", "Refused", "Split", "Step", "Unit", "sampling_only",
]  # fmt: skip

Split = Literal["train", "validation", "test"]


class Law(Protocol):
    """A generating law that is known exactly."""

    n_modes: int

    def log_prob(self, x: Tensor) -> Tensor:
        """Nats, float64 `(n,)`: log mass of integer images, log density of points."""

    def sample(self, noise: Noise) -> Tensor:
        """Draws as a pure function of the noise: uint8 images or float32 points, `(n, *shape)`."""

    def modes(self, x: Tensor) -> Tensor:
        """int64 `(n,)`: the mode that each x belongs to, -1 for none."""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What a model may know before it sees data."""

    shape: tuple[int, ...]  # (C, H, W) for images, (D,) for points
    levels: int | None  # values a channel takes: 2, 17, 256; None for continuous points
    classes: int | None = None  # labels, if any
    law: Law | None = field(default=None, compare=False, repr=False)  # the generating law, where it is known

    @property
    def dim(self) -> int:
        """D, the number of values of one x."""
        return torch.Size(self.shape).numel()

    @property
    def is_image(self) -> bool:
        return self.levels is not None


@dataclass(frozen=True)
class Batch:
    """Training examples: `x` uint8 `(n, C, H, W)` or float32 `(n, D)`; `labels` int64 `(n,)` or None."""

    x: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class Step:
    """Where the training stands, and the only randomness that `losses` may use.

    `noise` has as many rows as the batch; it is a pure function of (seed, index), so resuming needs no state.
    """

    index: int
    total: int
    noise: Noise

    @property
    def progress(self) -> float:
        """In [0, 1)."""
        return self.index / self.total


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The training that suits a model on a dataset; everything here belongs to the loop, not to the model."""

    steps: int
    batch_size: int | None  # None: the whole training set in every step (closed-form models)
    ema: float | None = None  # decay of the weights' exponential moving average, which then does the sampling
    clip: float | None = None  # largest gradient norm of a group
    warmup: int = 0  # steps over which the learning rate grows linearly
    schedule: Literal["constant", "cosine", "linear"] = "constant"  # the learning rate after the warm-up

    def learning_rate_factor(self, index: int) -> float:
        """What the optimizers' own learning rates are multiplied by at a step."""
        if index < self.warmup:
            return (index + 1) / self.warmup
        fraction = (index - self.warmup) / max(1, self.steps - self.warmup)
        if self.schedule == "cosine":
            return 0.5 * (1.0 + float(torch.cos(torch.tensor(torch.pi * fraction, dtype=torch.float64))))
        return 1.0 - fraction if self.schedule == "linear" else 1.0


def sampling_only(config: Any) -> frozenset[str]:
    """The fields of a `Config` that only the sampler reads: `field(default=..., metadata={"sampling": True})`.

    They change no weight, so that all settings of them share one training.
    """
    return frozenset(f.name for f in fields(config) if f.metadata.get("sampling"))


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The step of a sampler that loops, and the loop apart from it: what is exported, compiled and timed by itself.

    `module` computes one step: tensors in, tensors out, without randomness or memory of its own. Whatever changes from
    step to step is an input, so that one graph serves them all: a time is a tensor, a draw a tensor of uniforms; of
    what is kept from step to step (keys and values, feature maps) a step takes the part it reads and gives the part
    to be written, and the loop keeps the rest. It may hold copies of the weights as they were when it was made.

    `drive(call, noise)` is the sampler's loop around any callable that computes the same: the module, a compiled one,
    a session of another runtime. With the module itself it gives what `Model.sample` gives, bit for bit.

    Args:
        example: `example(n)` are inputs of the module for a batch of n.
        inputs, outputs: names for the module's arguments and for what it returns (one tensor, or a tuple), in order.
    """

    module: nn.Module
    example: Callable[[int], tuple[Tensor, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    drive: Callable[[Callable[..., Any], Noise], Tensor]

    @property
    def batched(self) -> tuple[bool, ...]:
        """Which inputs have a leading batch dimension; the others (a time, a position) are of one shape always."""
        return tuple(a.shape != b.shape for a, b in zip(self.example(2), self.example(3), strict=True))


class Model(nn.Module):
    """A generative model: a protocol with a thin base. A subclass defines what it has and nothing else.

    Class attributes: `family` its leaf in the taxonomy; `likelihood` the kind of number that `log_prob` returns, or
    None (an instance may narrow it, when its configuration decides); `Config` its frozen dataclass, with
    `Config.for_data(spec)`; `capabilities` the optional methods it has ("conditional", "encode", "reconstruct").

    A model whose sampler loops says so by `nfe`, `step` and, where there is a choice, `samplers`.
    """

    family: ClassVar[str]
    likelihood: Kind | None = None
    Config: ClassVar[type]
    capabilities: ClassVar[frozenset[str]] = frozenset()
    control: ClassVar[bool] = False  # True for what only gives the tables their floor and ceiling

    def __init__(self, data: DataSpec, config: Any) -> None:
        super().__init__()
        if reason := self.supports(data):
            raise Refused(f"{type(self).__name__} cannot serve this dataset: {reason}")
        self.data = data
        self.config = config

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        """None, or the reason why this model cannot serve such data."""
        return None

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        """The training that suits such data at budget 1."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the model is; a model without parameters and buffers is on the CPU."""
        return next((t.device for t in (*self.parameters(), *self.buffers())), torch.device("cpu"))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One optimizer for each group of parameters; the loop steps the group that `losses` yields."""
        return {}

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        """Yields `(group, loss)` in update order; the loop takes one optimizer step for each yield.

        Each loss is computed after the update of the one before it. Never yield inside `no_grad`; no graph
        straddles a yield; what must survive a restart lives in buffers. `self.log(name=value)` adds a curve.
        """
        raise NotImplementedError

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """`noise.n` samples: uint8 `(n, C, H, W)` in 0..levels-1, or float32 `(n, D)`."""
        raise NotImplementedError

    @classmethod
    def samplers(cls, config: Any) -> dict[str, dict[str, Any]]:
        """The samplers that the same weights have, by name: the changes of sampling-only fields that give each."""
        return {}

    @classmethod
    def sampler_config(cls, config: Any, sampler: str) -> Any:
        """A configuration with one of the `samplers`."""
        known = cls.samplers(config)
        if sampler not in known:
            listed = did_you_mean(sampler, known) if known else "; it has one sampler only"
            raise Refused(f"{cls.__name__} has no sampler {sampler!r}{listed}")
        if wrong := set(known[sampler]) - sampling_only(config):
            raise Refused(f"sampler {sampler!r} of {cls.__name__} sets {', '.join(sorted(wrong))}, not sampling-only")
        return replace(config, **known[sampler])

    def with_sampler(self, sampler: str) -> Self:
        """This model under another of its `samplers`: the very same weights and buffers, no copies of them."""
        with torch.random.fork_rng(devices=[]):
            other = type(self)(self.data, self.sampler_config(self.config, sampler))
        theirs = dict(other.named_modules())
        for name, module in self.named_modules():
            # The dictionaries themselves are shared: what is trained, moved or loaded in one is so in the other.
            theirs[name]._parameters, theirs[name]._buffers = module._parameters, module._buffers
        return other.train(self.training)

    @property
    def nfe(self) -> int | None:
        """Network evaluations for a sample, which is calls of the step where there is one; None where unknown."""
        return 1

    def step(self) -> Unit | None:
        """The sampler's step and loop, apart; None where the sampler is one shot, or its steps have no one shape."""
        return None

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """Nats of the integer image (of the density, for points), `(n,)`, of the kind `likelihood` says."""
        raise Refused(f"{type(self).__name__} defines no likelihood")

    def log(self, **values: Tensor | float) -> None:
        """Adds values to the training curves; the loop collects them after each step."""
        self.__dict__.setdefault("_logged", {}).update(
            {name: value.detach() if isinstance(value, Tensor) else value for name, value in values.items()}
        )

    def report(self) -> dict[str, float]:
        """Numbers about the trained model that belong into its record (codebook usage, say)."""
        return {}

    def refuse_labels(self, labels: Tensor | None) -> None:
        """For unconditional models: labels are an error, not a hint to ignore."""
        if labels is not None:
            raise Refused(f"{type(self).__name__} is not conditional: it takes no labels")


@dataclass
class Accounting:
    """What a training took, summed over interruptions."""

    seconds: float = 0.0
    images: int = 0
    steps: int = 0
    flops: float | None = 0.0


class History(dict[str, dict[str, list[Any]]]):
    """The training curves: name -> {"steps": [...], "values": [...]}, means over equal windows of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.accounting = Accounting()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Integer images or points in three splits that never overlap.

    `x` maps a split to uint8 `(n, C, H, W)` or float32 `(n, D)`; `y` a split to int64 `(n,)`, empty where there
    are no labels. `extractor` names the feature extractor that suits the data.
    """

    name: str
    spec: DataSpec
    x: Mapping[str, Tensor]
    y: Mapping[str, Tensor] = field(default_factory=dict)
    extractor: str = "pixels"
    about: str = ""
    _memo: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def images(self, split: Split = "train") -> Tensor:
        """The images (or points) of a split."""
        return self.x[self._known(split)]

    def labels(self, split: Split = "train") -> Tensor | None:
        """The labels of a split, or None."""
        return self.y.get(self._known(split))

    def _known(self, split: str) -> str:
        if split not in self.x:
            raise Refused(f"dataset {self.name} has no split {split!r}; it has {', '.join(self.x)}")
        return split

    def checksum(self, split: Split = "train") -> str:
        """sha256 over shape, type, bytes and labels of a split."""
        if split not in self._memo:
            x, y = self.images(split), self.labels(split)
            digest = hashlib.sha256(f"{tuple(x.shape)} {x.dtype}".encode())
            for part in (x,) if y is None else (x, y):
                digest.update(part.contiguous().numpy().data)
            self._memo[split] = digest.hexdigest()
        return str(self._memo[split])

    @property
    def law(self) -> Law:
        """The generating law; refused where it is not known."""
        if self.spec.law is None:
            raise Refused(f"the law of dataset {self.name} is not known; glyphs, ring8, grid25 have one")
        return self.spec.law

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, float64 `(n,)`."""
        return self.law.log_prob(x)

    def modes(self, x: Tensor) -> Tensor:
        """The mode that each x belongs to, -1 for none."""
        return self.law.modes(x)

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Fresh draws from the law, `(n, *shape)`; never those of a split."""
        return self.law.sample(Streams(derive(seed, "draw"), torch.arange(n)))

    def entropy(self, n: int = 20_000, seed: int = 0) -> tuple[float, float]:
        """H(p) in nats and its standard error: the Monte Carlo mean of exact terms -log p(x), x drawn from p."""
        if (n, seed) not in self._memo:
            noise = (Streams(derive(seed, "entropy"), chunk) for chunk in torch.arange(n).split(1000))
            terms = torch.cat([-self.log_prob(self.law.sample(part)) for part in noise])
            self._memo[n, seed] = terms.mean().item(), (terms.std() / n**0.5).item()
        return self._memo[n, seed]


class Extractor(Protocol):
    """Images (or points) to features; built as `SomeExtractor(spec)`, refuses a spec that it cannot serve.

    An extractor derives from this class and gives `protocol`, `taps`, `tap`, `spec`, `outputs`; the rest follows. A tap
    is a place in the network where numbers are taken out; one pass serves all that are asked for. The tap "logits",
    where there is one, holds a classifier's answers before the softmax. Everywhere "features" stands for `tap`.
    """

    protocol: str  # its name with the head of its weights' hash and its options, "digitnet@3f2a"; tap `tap`
    taps: tuple[str, ...]  # what a pass can give
    tap: str  # what `features` gives
    spec: DataSpec
    batch: int = 1000  # how many images a pass takes

    @property
    def identity(self) -> str:
        """All that its numbers depend on beside the images, the spec and the code: weights by their whole hash."""
        return self.protocol

    def prepare(self, x: Tensor) -> Tensor:
        """What can be done ahead of the network, in another thread: resizing, scaling."""
        return x

    def outputs(self, prepared: Tensor, taps: Sequence[str]) -> dict[str, np.ndarray]:
        """One pass over what `prepare` gave, perhaps no rows: tap -> float32 `(n, d)`."""
        raise NotImplementedError

    def named(self, tap: str) -> str:
        """The protocol of a tap."""
        return self.protocol

    def known(self, tap: str) -> str:
        """A tap by its name; one that there is not is refused."""
        if tap == "features":
            return self.tap
        if tap not in self.taps:
            raise Refused(f"{self.protocol} has no tap {tap!r}; it has {', '.join(self.taps)}")
        return tap

    def passed(self, x: Tensor, taps: Sequence[str]) -> dict[str, np.ndarray]:
        """All taps in one pass, batch by batch: tap -> float32 `(n, d)`."""
        asked = [self.known(tap) for tap in taps]
        parts = [self.outputs(self.prepare(part), asked) for part in x.split(self.batch)]
        return {tap: np.concatenate([part[tap] for part in parts]) for tap in asked}

    def features(self, x: Tensor) -> np.ndarray:
        """float32 `(n, d)`."""
        return self.passed(x, (self.tap,))[self.tap]

    def probabilities(self, x: Tensor) -> np.ndarray | None:
        """Class probabilities `(n, K)`, or None where the extractor does not classify."""
        return self.to_probabilities(self.passed(x, ("logits",))["logits"]) if "logits" in self.taps else None

    def classes(self, x: Tensor) -> np.ndarray | None:
        """The class of each image, int64 `(n,)` in 0..spec.classes-1, or None where it does not classify."""
        return self.to_classes(self.passed(x, ("logits",))["logits"]) if "logits" in self.taps else None

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray | None:
        """Class probabilities of the tap "logits", float64 `(n, K)`."""
        return np.asarray(torch.softmax(torch.from_numpy(logits).double(), dim=-1).numpy())

    def to_classes(self, logits: np.ndarray) -> np.ndarray | None:
        """The dataset's classes from the tap "logits"; None where the network knows other classes."""
        return None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a metric declares beside its function.

    `fn` takes keyword-only `real=` and `fake=` and returns a float. What they are, `needs` says:

        features       `(m, d)` and `(n, d)`
        spatial        the same, of an extractor's tap that keeps the places
        memory         the same, and `train=` `(t, d)`, the features of what the model was trained on
        images         `(m, C, H, W)` and `(n, C, H, W)` on the scale of [0, 1]
        pairs          originals and their reconstructions, row by row, `(n, C, H, W)` in [0, 1] or points `(n, D)`
        probabilities  None and `(n, K)`, a classifier's answers
        modes          the modes' weights `(K,)` and the mode of each sample `(n,)`, -1 for none
        densities      `(m, 2)` and `(n, 2)`: log p and log q, at draws from the law and at samples
        surprise       -log p `(m,)` at draws from the law and `(n,)` at samples
        nats, bits     `(n,)` of each test image, and None

    `interval` names how its interval is found: "jackknife" (delete-a-group), "wilson" (a share of n independent
    trials), "t" (a mean), "own". "t" and "wilson" work on `terms`, which takes what `fn` takes and returns the `(n,)`
    values (booleans, for a share) whose mean is the metric; for `needs="nats"` and `"bits"` they are `real` itself.
    "jackknife" calls `fn` with a group left out each time, or asks `replicates` for a `genbench.stats.Replicates` if
    there is a shorter way. "own" asks `estimate` for a `genbench.stats.Estimate`. All of them take the arguments of
    `fn`, so that a protocol can bind them.

    `range` bounds the interval; under "jackknife" (0, 1) marks a share. `better` is None where the best value, `ideal`,
    lies inside the range. `min_samples` holds for each side that is random.
    """

    fn: Callable[..., Any]
    axis: Axis
    better: Better | None
    needs: Needs
    interval: Literal["jackknife", "wilson", "t", "own"]
    unit: str = ""
    version: int = 1
    min_samples: int = 2
    range: tuple[float, float] = (-math.inf, math.inf)
    ideal: float | None = None
    terms: Callable[..., Any] | None = None
    replicates: Callable[..., Any] | None = None
    estimate: Callable[..., Any] | None = None

    def bound(self, **arguments: Any) -> Metric:
        """The same metric with arguments of its functions fixed, as a protocol asks for it."""

        def fixed(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
            return None if function is None else partial(function, **arguments)

        return replace(
            self,
            fn=partial(self.fn, **arguments),
            terms=fixed(self.terms),
            replicates=fixed(self.replicates),
            estimate=fixed(self.estimate),
        )
