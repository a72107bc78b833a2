"""Samples from a model, as a pure function of (weights, seed, index)."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.noise import Streams, derive
from genbench.progress import Bar
from genbench.types import DataSpec, Model, Refused


def sample(
    model: Model,
    n: int,
    *,
    seed: int = 0,
    labels: Tensor | None = None,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    start: int = 0,
    progress: bool = True,
) -> Tensor:
    """Samples number `start` to `start + n - 1` of the endless sequence that the seed names.

    Args:
        labels: `(n,)`, for conditional models.
        batch_size: how many at once; the noise of a sample does not depend on it, its rounding may.
        device: where to compute; by default where the model is.
        start: the index of the first sample, so that shards and later calls continue the sequence.

    Returns:
        uint8 `(n, C, H, W)` in 0..levels-1, or float32 `(n, D)`, on the CPU.
    """
    if n < 1 or batch_size < 1:
        raise Refused(f"n and batch_size must be at least 1; they are {n} and {batch_size}")
    if labels is not None and len(labels) != n:
        raise Refused(f"there are {len(labels)} labels for {n} samples; there must be one for each")
    if device is not None:
        model.to(device)
    home = torch.device(device) if device else model.device
    was_training, drawn = model.training, []
    model.eval()
    with torch.inference_mode(), Bar(f"sample {type(model).__name__}", n, progress) as bar:
        for rows in torch.arange(start, start + n).split(batch_size):
            noise = Streams(derive(seed, "sample"), rows, home)
            part = None if labels is None else labels[rows - start].to(home)
            drawn.append(_checked(model.sample(noise, part), model.data, len(rows)).cpu())
            bar.to(int(rows[-1]) - start + 1)
    model.train(was_training)
    return torch.cat(drawn)


def _checked(x: Tensor, spec: DataSpec, n: int) -> Tensor:
    """What a model hands out must be what the contract says."""
    dtype = torch.uint8 if spec.is_image else torch.float32
    if tuple(x.shape) != (n, *spec.shape) or x.dtype != dtype:
        raise Refused(f"a sample is {x.dtype} {tuple(x.shape)}; it must be {dtype} {(n, *spec.shape)}")
    if spec.levels and int(x.max()) >= spec.levels:
        raise Refused(f"a sample holds the value {int(x.max())}; the data has levels 0 to {spec.levels - 1}")
    if not spec.is_image and not torch.isfinite(x).all():
        raise Refused("a sample holds a value that is not finite")
    return x
