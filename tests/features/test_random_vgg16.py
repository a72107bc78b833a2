"""Random VGG16: weights that are a pure function of the seed, bit by bit; the network that they make."""

import hashlib

import numpy as np
import pytest
import torch
import torchvision

from genbench.errors import Refused
from genbench.features.preprocess import resized, to_bytes
from genbench.features.random_vgg16 import VGG16, Layout, Network, RandomVGG16, drawn
from genbench.types import DataSpec

SMALL = Layout(stages=((8, 8), (16,), (16,)), hidden=32, side=32)
SPEC = DataSpec(shape=(1, 16, 16), levels=2)


def images(n: int) -> torch.Tensor:
    return torch.randint(0, 2, (n, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_the_weights_are_these_bits():
    """Pinned: everybody's first layer under seed 0. Uniforms of 23 bits and one rounding leave no room for machines."""
    weights = drawn(0, "conv1_1", 64, 27)
    assert weights.dtype == torch.float32
    found = hashlib.sha256(weights.numpy().astype("<f4").tobytes()).hexdigest()
    assert found == "565c297948522e35a46023e0df1799f2411377b07dc39d8d77e83fc1446a074b"


def test_the_weights_have_the_variance_of_he():
    """Var w = 2 / f, mean 0, within four standard errors; bounded by sqrt(6 / f)."""
    f = 300
    weights = drawn(5, "fc1", 500, f).double()
    n = weights.numel()
    assert abs(weights.mean()) < 4 * (2 / f / n) ** 0.5
    assert weights.var().item() == pytest.approx(2 / f, rel=4 * (0.8 / n) ** 0.5)  # of a uniform: Var s^2 = 0.8 s^4 / n
    assert weights.abs().max() <= (6 / f) ** 0.5


def test_seed_layer_and_unit_choose_the_weights_and_nothing_else_does():
    reference = drawn(0, "fc1", 130, 50)
    torch.testing.assert_close(drawn(0, "fc1", 70, 50), reference[:70], rtol=0, atol=0)  # however many are drawn
    for other in (drawn(1, "fc1", 130, 50), drawn(0, "fc2", 130, 50)):
        assert (other != reference).float().mean() > 0.99
    assert len(torch.unique(reference)) > 0.99 * reference.numel()


def test_the_network_is_torchvisions_vgg16():
    """The same weights in torchvision's network (its third layer left out), narrow and small."""
    ours = Network(3, SMALL)
    convolutions, channels = [], 3
    for stage, widths in enumerate(SMALL.stages, start=1):
        for place, width in enumerate(widths, start=1):
            convolutions.append(drawn(3, f"conv{stage}_{place}", width, 9 * channels).view(width, channels, 3, 3))
            channels = width
    plan = [width for widths in SMALL.stages for width in (*widths, "M")]
    theirs = torchvision.models.vgg.make_layers(plan)
    layers = [layer for layer in theirs if isinstance(layer, torch.nn.Conv2d)]
    for layer, weight in zip(layers, convolutions, strict=True):
        layer.weight.data, layer.bias.data = weight, torch.zeros(len(weight))
    x = resized(to_bytes(images(2), 2), 32, "clean")
    with torch.no_grad():
        hidden = torch.relu(theirs(x).flatten(1) @ drawn(3, "fc1", 32, 16 * 16).T)
        expected = torch.relu(hidden @ drawn(3, "fc2", 32, 32).T)
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5)
    assert [sum(map(len, VGG16.stages)), VGG16.hidden, VGG16.side] == [13, 4096, 224]


def test_the_extractor():
    net = RandomVGG16(SPEC, layout=SMALL)
    x = images(5)
    found = net.features(x)
    assert (found.shape, found.dtype) == ((5, 32), np.float32)
    assert found.std(axis=0).max() > 0
    np.testing.assert_allclose(net.features(x[4:]), found[4:], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(RandomVGG16(SPEC, layout=SMALL).features(x), found)
    assert np.abs(RandomVGG16(SPEC, layout=SMALL, seed=1).features(x) - found).max() > 0.01
    assert net.features(x[:0]).shape == (0, 32)
    assert net.probabilities(x) is None
    assert net.classes(x) is None


def test_the_protocol_names_seed_construction_and_preprocessing():
    full = RandomVGG16(SPEC)
    assert full.protocol == f"random-vgg16@{VGG16.digest[:4]},seed=0,clean"
    others = [RandomVGG16(SPEC, seed=1), RandomVGG16(SPEC, preprocess="ttur"), RandomVGG16(SPEC, layout=SMALL)]
    assert len({e.protocol for e in (full, *others)}) == len({e.identity for e in (full, *others)}) == 4


def test_data_that_is_no_picture():
    with pytest.raises(Refused, match="random-vgg16 reads images of one or three channels"):
        RandomVGG16(DataSpec(shape=(2,), levels=None))


@pytest.mark.slow
def test_signals_survive_sixteen_layers():
    """With variance 2 / f the features neither die nor explode: their mean square stays near the input's."""
    found = RandomVGG16(SPEC).features(images(2))
    assert found.shape == (2, 4096)
    assert 0.3 < (found > 0).mean() < 0.7
    assert 0.1 < np.sqrt((found**2).mean()) < 10
