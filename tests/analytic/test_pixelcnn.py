"""PixelCNN: what a factor may see, what it must see, and that the factors make a law."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from baselines.pixelcnn import MaskedConv2d, PixelCNN, PixelCNNConfig
from genbench.noise import Replay, Streams, categorical
from genbench.types import DataSpec, Refused

SPACES = [((1, 3, 3), 2), ((1, 2, 2), 3), ((3, 1, 2), 2), ((2, 2, 1), 3)]


def rough(shape: tuple[int, ...], levels: int, scale: float = 2.0) -> PixelCNN:
    """A network whose factors are far from uniform."""
    torch.manual_seed(1)
    data = DataSpec(shape=shape, levels=levels)
    model = PixelCNN(data, PixelCNNConfig.for_data(data)).eval()
    with torch.no_grad():
        model.exit.weight.mul_(10.0 * scale)
    return model


def sees(model: PixelCNN, x: Tensor, channel: int, row: int, column: int) -> Tensor:
    """Which inputs the logits of a factor depend on, boolean `(C, H, W)`, by the gradient of a random combination."""
    x = x.clone().requires_grad_(True)
    logits = model.logits(x)[:, channel, :, row, column]
    (gradient,) = torch.autograd.grad((logits * torch.randn_like(logits)).sum(), x)
    return (gradient != 0).any(dim=0)


@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 4, 5), (2, 3, 3)])
def test_a_factor_depends_on_nothing_that_comes_after_it(shape: tuple[int, ...]) -> None:
    """Raster order over pixels, R before G before B inside one."""
    channels, height, width = shape
    model = rough(shape, 4)
    x = torch.rand(8, *shape) * 3
    position = torch.arange(height * width).reshape(height, width) * channels
    order = position[None] + torch.arange(channels)[:, None, None]
    for row, column, channel in itertools.product(range(height), range(width), range(channels)):
        seen = sees(model, x, channel, row, column)
        assert not seen[order >= order[channel, row, column]].any()
        if channel:
            assert seen[:channel, row, column].all(), "a channel sees those before it"
        if column:
            assert seen[:, row, column - 1].all(), "a pixel sees the one to its left"


@pytest.mark.parametrize("size", [3, 8, 16])
def test_the_last_pixel_sees_the_first(size: int) -> None:
    """The receptive field covers the image for the sizes that `for_data` picks."""
    model = rough((1, size, size), 2)
    seen = sees(model, torch.rand(16, 1, size, size), 0, size - 1, size - 1)
    assert seen[0, 0, 0]
    assert seen[0, 0].all()


def test_mask_b_adds_the_own_group_to_mask_a() -> None:
    """With three groups of two features: A shows earlier groups at the centre, B the own one too."""
    a = MaskedConv2d(6, 6, 3, "A", 3).mask[:, :, -1, 1]
    b = MaskedConv2d(6, 6, 3, "B", 3).mask[:, :, -1, 1]
    blocks = torch.ones(2, 2)
    assert torch.equal(a, torch.kron(torch.ones(3, 3).tril(-1), blocks))
    assert torch.equal(b, torch.kron(torch.ones(3, 3).tril(), blocks))


@pytest.mark.parametrize(("shape", "levels"), SPACES)
def test_probabilities_of_all_images_sum_to_one(shape: tuple[int, ...], levels: int) -> None:
    rows = list(itertools.product(range(levels), repeat=math.prod(shape)))
    x = torch.tensor(rows, dtype=torch.uint8).reshape(-1, *shape)
    with torch.no_grad():
        nats = rough(shape, levels).log_prob(x, Streams(0, range(len(x))))
    assert nats.double().exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    assert nats.std() > 0.2


@pytest.mark.parametrize(("shape", "levels"), SPACES)
def test_samples_are_the_inverse_cdf_of_the_stated_factors(shape: tuple[int, ...], levels: int) -> None:
    """Given the finished image, every value is where its uniform falls in its factor; so the crop loses nothing."""
    channels, height, width = shape
    model = rough(shape, levels)
    uniform = Streams(5, range(100)).uniform(height, width, channels)
    with torch.no_grad():
        x = model.sample(Replay([uniform]))
        again = categorical(model.logits(x).movedim(2, -1), uniform.permute(0, 3, 1, 2))
    assert x.shape == (100, *shape)
    assert x.dtype == torch.uint8
    assert (again == x).float().mean() > 0.999
    assert len(x.flatten(1).unique(dim=0)) > 5


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(Refused, match="points have none"):
        PixelCNN(DataSpec(shape=(2,), levels=None), PixelCNNConfig())
    with pytest.raises(Refused, match="must be odd"):
        PixelCNN(DataSpec(shape=(1, 8, 8), levels=2), PixelCNNConfig(kernel=4))
