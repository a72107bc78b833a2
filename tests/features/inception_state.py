"""A random state dict of the FID Inception's layout, for tests: no weights are shipped."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from genbench.features.inception import shapes


@cache
def random_state() -> dict[str, Tensor]:
    """Seeded tensors under which signals neither die nor explode over 94 layers."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes().items():
        drawn = torch.randn(shape, generator=generator)
        if name.endswith("conv.weight"):
            state[name] = drawn * (2.0 / drawn[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = 0.5 + drawn.abs()
        else:
            state[name] = 0.1 * drawn
    return state


def write_state(folder: Path) -> Path:
    """The same as a file that torch wrote."""
    path = folder / "random-inception.pth"
    torch.save(random_state(), path)
    return path
