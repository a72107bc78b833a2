"""NADE against its own definition: sums over whole spaces, the paper's recursion written out, the sampler's inverse."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.nade import NADE, NADEConfig
from genbench.noise import Replay, Streams, categorical
from genbench.types import Batch, DataSpec, Refused, Step

SPACES = [((1, 3, 3), 2), ((1, 2, 2), 3), ((3, 1, 2), 2), ((1, 1, 2), 40)]


DEPTHS = [0, 1, 2]  # further hidden layers


def rough(shape: tuple[int, ...], levels: int, layers: int, window: int = 5) -> NADE:
    """A machine whose conditionals are far from uniform."""
    torch.manual_seed(3)
    deep = {"layers": layers, "width": 6, "rank": 2} if layers else {}
    model = NADE(DataSpec(shape=shape, levels=levels), NADEConfig(features=4, window=window, stride=2, **deep))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_().mul_(0.4)
    return model.eval()


def everything(shape: tuple[int, ...], levels: int) -> Tensor:
    rows = list(itertools.product(range(levels), repeat=math.prod(shape)))
    return torch.tensor(rows, dtype=torch.uint8).reshape(-1, *shape)


@pytest.mark.parametrize("layers", DEPTHS)
@pytest.mark.parametrize(("shape", "levels"), SPACES)
def test_probabilities_of_all_images_sum_to_one(shape: tuple[int, ...], levels: int, layers: int) -> None:
    x = everything(shape, levels)
    with torch.no_grad():
        nats = rough(shape, levels, layers).log_prob(x, Streams(0, range(len(x))))
    assert nats.double().exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    assert nats.std() > 0.3


@pytest.mark.parametrize(("shape", "levels"), [((1, 3, 3), 2), ((2, 2, 2), 2)])
@pytest.mark.parametrize(("window", "layers"), [(3, 0), (5, 0), (3, 1), (5, 2)])
def test_log_prob_is_the_product_of_the_papers_conditionals(
    shape: tuple[int, ...], levels: int, window: int, layers: int
) -> None:
    """p(x_d | x_<d) = softmax(b_d + V_d h_d), h_d = g(c + sum_(i<d) W_i phi(x_i)), without any running sum.

    The deep machine: V_d h_d becomes O k, with k = s(e_d + V_d s(a_d)), then k + s(U k + u) for each further layer.
    W and V are written out in full, from every value to every unit of the padded grid, with zeros outside the windows.
    """
    model = rough(shape, levels, layers, window)
    (channels, height, width), radius, features = shape, window // 2, model.config.features
    places = list(itertools.product(range(-radius, height + radius), range(-radius, width + radius)))
    values = list(itertools.product(range(height), range(width), range(channels)))
    w = torch.zeros(len(values), 2, len(places), features)
    v = torch.zeros(len(values), len(places), features, 6 if layers else 1)
    for (d, (y, x, channel)), (p, (row, column)) in itertools.product(enumerate(values), enumerate(places)):
        if max(abs(y - row), abs(x - column)) <= radius:
            w[d, :, p] = model.w[:, channel, y - row + radius, x - column + radius].detach()
            v[d, p] = model.v[row - y + radius, column - x + radius, :, channel].detach()
    images = everything(shape, levels)
    raster = images.permute(0, 2, 3, 1).flatten(1).float()
    phi = torch.stack([torch.ones_like(raster), raster], dim=2)
    total = torch.zeros(len(images))
    with torch.no_grad():
        for d in range(len(values)):
            a = model.c + torch.einsum("nif,ifph->nph", phi[:, :d], w[:d])
            h = a * torch.sigmoid(a) if layers else torch.sigmoid(a)
            read = torch.einsum("nph,pho->no", h, v[d])
            if model.e is not None:
                k = F.silu(read + model.e[d])
                for layer in model.deeper:
                    k = k + F.silu(layer(k))
                read = model.exit(k)
            p_on = torch.sigmoid(model.b[d] + read[:, 0])
            total += torch.log(torch.where(raster[:, d] > 0, p_on, 1.0 - p_on))
        found = model.log_prob(images, Streams(0, range(len(images))))
    torch.testing.assert_close(found, total, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("shape", "levels"), SPACES)
@pytest.mark.parametrize(("stride", "layers"), [(1, 0), (2, 0), (3, 0), (4, 0), (3, 2)])
def test_the_training_estimate_is_unbiased(shape: tuple[int, ...], levels: int, stride: int, layers: int) -> None:
    """Its mean over the S offsets is log p(x), also where S does not divide D; S = 1 is log p(x) itself."""
    model = rough(shape, levels, layers)
    model.config = dataclasses.replace(model.config, stride=stride)
    x = everything(shape, levels)[::7]
    offsets = (torch.arange(stride) + 0.5) / stride
    with torch.no_grad():
        mean = torch.stack([model._estimate(x, u.expand(len(x))) for u in offsets]).mean(dim=0)
        # A batch in which every image has an offset of its own gives each what it would get alone.
        mixed = model._estimate(x, offsets[torch.arange(len(x)) % stride])
        alone = torch.cat([model._estimate(x[i : i + 1], offsets[i % stride][None]) for i in range(len(x))])
        exact = model.log_prob(x, Streams(0, range(len(x))))
    torch.testing.assert_close(mean, exact, rtol=0, atol=1e-4)
    torch.testing.assert_close(mixed, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layers", DEPTHS)
@pytest.mark.parametrize(("shape", "levels"), SPACES)
def test_samples_are_the_inverse_cdf_of_the_stated_conditionals(
    shape: tuple[int, ...], levels: int, layers: int
) -> None:
    """Given the finished image, every pixel is where its uniform falls in its conditional."""
    model = rough(shape, levels, layers)
    dim = model.data.dim
    uniform = Streams(5, range(200)).uniform(dim)
    with torch.no_grad():
        x = model.sample(Replay([uniform]))
        v, again, a = x.permute(0, 2, 3, 1).flatten(1), [], model._start(200)
        for d in range(dim):
            again.append(categorical(model._conditional(a, d), uniform[:, d]))
            model._absorb(a, d, v[:, d])
    assert x.shape == (200, *shape)
    assert x.dtype == torch.uint8
    assert (torch.stack(again, dim=1) == v).float().mean() > 0.999
    assert len(x.flatten(1).unique(dim=0)) > 5


@pytest.mark.parametrize("layers", [0, 2])
def test_training_starts_from_the_base_rates(layers: int) -> None:
    """At step 0 the biases are the marginals' log odds, so that the cost is about the independent model's."""
    rates = torch.linspace(0.05, 0.95, 64)
    x = (Streams(0, range(2000)).uniform(64) < rates).to(torch.uint8).reshape(-1, 1, 8, 8)
    data = DataSpec(shape=(1, 8, 8), levels=2)
    torch.manual_seed(0)
    model = NADE(data, NADEConfig(stride=8, layers=layers))
    ((group, _),) = list(model.losses(Batch(x), Step(0, 10, Streams(0, range(2000)))))
    entropy = -(rates * rates.log() + (1 - rates) * torch.log1p(-rates)).sum()
    assert group == "model"
    with torch.no_grad():
        cost = -model.log_prob(x, Streams(0, range(2000))).mean()
    assert cost.item() == pytest.approx(entropy.item(), abs=0.5)


def test_points_are_refused() -> None:
    data = DataSpec(shape=(2,), levels=None)
    with pytest.raises(Refused, match="points have none"):
        NADE(data, NADEConfig.for_data(data))


def test_settings_that_make_no_sense_are_refused() -> None:
    data = DataSpec(shape=(1, 4, 4), levels=2)
    with pytest.raises(Refused, match="window=4 odd"):
        NADE(data, NADEConfig(stride=4, window=4))
    with pytest.raises(Refused, match="stride=0 must be at least 1"):
        NADE(data, NADEConfig(stride=0))
    with pytest.raises(Refused, match="layers=-1 must be at least 0"):
        NADE(data, NADEConfig(stride=4, layers=-1))


def test_few_numbers_reach_all_levels_smoothly() -> None:
    """At the start E is made of cosines: each of the few outputs moves neighbouring levels alike."""
    data = DataSpec(shape=(1, 8, 8), levels=17)
    model = NADE(data, NADEConfig.for_data(data))
    assert model.config.rank < 17
    assert isinstance(model.expand, torch.nn.Linear)
    weight = model.expand.weight.detach()
    assert weight.shape == (17, model.config.rank)
    for r, column in enumerate(weight.T, start=1):
        expected = [2.0 * math.cos(math.pi * r * level / 16) for level in range(17)]
        torch.testing.assert_close(column, torch.tensor(expected), rtol=0, atol=1e-5)
