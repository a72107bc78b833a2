"""Likelihoods of integer images (densities of points), in nats, with the kind of number they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.noise import Streams, derive
from genbench.progress import Bar
from genbench.types import Kind, Model, Refused


@dataclass(frozen=True)
class Likelihood:
    """`nats` float64 `(n,)` is log q(x), or a bound or an estimate of it, as `kind` says."""

    nats: Tensor
    kind: Kind
    dim: int

    @property
    def bits_per_dim(self) -> Tensor:
        """-nats / (D ln 2), `(n,)`: the code length of one value of an image."""
        return -self.nats / (self.dim * math.log(2.0))


def likelihood(
    model: Model,
    x: Tensor,
    *,
    seed: int = 0,
    labels: Tensor | None = None,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Likelihood:
    """The log-likelihood of each x under a model; row i depends on (weights, seed, i, x_i) alone.

    Args:
        x: uint8 `(n, C, H, W)` or float32 `(n, D)`.
        seed: of the noise that bounds and estimates use.
    """
    if model.likelihood is None:
        raise Refused(f"{type(model).__name__} defines no likelihood")
    dtype = torch.uint8 if model.data.is_image else torch.float32
    if x.dtype != dtype or not len(x):
        raise Refused(f"x is {x.dtype} with {len(x)} rows; it must be {dtype} with at least one")
    if tuple(x.shape[1:]) != model.data.shape:
        raise Refused(f"x has the shape {tuple(x.shape[1:])}; the model was built for {model.data.shape}")
    if model.data.levels and int(x.max()) >= model.data.levels:
        raise Refused(f"x holds the value {int(x.max())}; the model knows levels 0 to {model.data.levels - 1}")
    if device is not None:
        model.to(device)
    home = torch.device(device) if device else model.device
    was_training, found = model.training, []
    model.eval()
    with torch.no_grad(), Bar(f"likelihood {type(model).__name__}", len(x), progress) as bar:
        for rows in torch.arange(len(x)).split(batch_size):
            noise = Streams(derive(seed, "likelihood"), rows, home)
            part = None if labels is None else labels[rows].to(home)
            found.append(model.log_prob(x[rows].to(home), noise, part).double().cpu())
            bar.to(int(rows[-1]) + 1)
    model.train(was_training)
    return Likelihood(torch.cat(found), model.likelihood, model.data.dim)
