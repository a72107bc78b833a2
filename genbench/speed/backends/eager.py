"""PyTorch as it is: every operation a call of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genbench.noise import Recorded, Replay
from genbench.speed.backends import Prepared, Run, Stages, What, driven, step_of
from genbench.types import Model


class Eager:
    """The sampler as it is written."""

    name = "eager"

    def unavailable(self, device: torch.device) -> str | None:
        return None

    def prepare(self, model: Model, what: What, noise: Recorded, stages: Stages) -> Prepared:
        model.eval()
        if what == "step":
            unit = step_of(model)
            prepared = Prepared(driven(unit, unit.module), step=unit.module)
        else:
            prepared = Prepared(whole(model))
        with stages("first call"):
            prepared(noise.tensors)
        return prepared


def whole(model: Model) -> Run:
    """`model.sample` as a function of the noise tensors."""

    def run(tensors: Sequence[Tensor]) -> Tensor:
        with torch.inference_mode():
            return model.sample(Replay(tensors))

    return run
