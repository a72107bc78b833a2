"""What is measured: a model with its weights, and what is true of its sampler on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from genbench import construct, plan
from genbench.errors import Refused
from genbench.lane import built
from genbench.noise import Recorded, Replay, Streams
from genbench.record import Measurement
from genbench.speed.protocol import single_number
from genbench.suite import Settings, split_label
from genbench.types import Dataset, Model


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured: a model by its label, with its weights, for a dataset.

    `config` says all of its configuration, where the label does not (a suite may).
    """

    label: str
    data: Dataset
    data_name: str
    weights: Path | None = None
    seed: int = 0
    data_root: Path | None = None
    config: dict[str, Any] | None = None

    def configured(self) -> Any:
        """All of the configuration."""
        if self.config is None:
            return construct.configured(self.label, self.data.spec)
        return construct.configure(split_label(self.label).name, self.data.spec, self.config)

    def built(self) -> Model:
        """The model on the CPU with its weights."""
        kind = construct.model_class(split_label(self.label).name)
        return built(kind, self.data.spec, self.configured(), self.seed, self.weights)

    def cell(self, model: Model, device: str) -> plan.Cell:
        """As `run` knows it."""
        return plan.Cell(
            data=self.data,
            data_name=self.data_name,
            model=self.label,
            seed=self.seed,
            settings=Settings(),
            config=model.config,
            device=device,
        )


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is true of a sampler on every machine, counted while it makes one image on the CPU."""

    draws: list[tuple[str, tuple[int, ...]]]  # law and shape of all that it draws, in order
    flops: float
    calls: int | None  # of the step's module
    parameters: int
    nfe: int | None

    def measurements(self) -> list[Measurement]:
        """Those that belong into a record."""
        found = [single_number("parameters", self.parameters)]
        if self.nfe is not None:
            found.append(single_number("nfe", self.nfe, method="network evaluations for an image, as the model states"))
        if self.calls is not None:
            found.append(single_number("network_calls", self.calls, method="calls of the step for an image, counted"))
        method = "products, convolutions and attention for one image, multiply and add as two, counted"
        return [*found, single_number("flops_per_image", self.flops, method=method)]


def facts(model: Model) -> Facts:
    """Draws, FLOPs and network calls for one image."""
    recorded = Recorded(Streams(0, range(1)))
    # Without gradients, but not in inference mode, which hides products.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.sample(recorded)
    if not recorded.tensors:
        raise Refused(f"{type(model).__name__} draws no noise when it samples, so that there is nothing to replay")
    calls, unit = None, model.step()
    if unit is not None:
        calls = 0

        def counted(*tensors: torch.Tensor) -> Any:
            nonlocal calls
            calls = (calls or 0) + 1
            return unit.module(*tensors)

        with torch.inference_mode():
            unit.drive(counted, Replay(recorded.tensors))
    return Facts(
        draws=[(law, tuple(t.shape[1:])) for law, t in zip(recorded.kinds, recorded.tensors, strict=True)],
        flops=float(counter.get_total_flops()),
        calls=calls,
        parameters=sum(p.numel() for p in model.parameters()),
        nfe=model.nfe,
    )
