"""The named preprocessings, held against the libraries that they are named after, bit by bit."""

import warnings
from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
import torch.nn as nn

from genbench.features.preprocess import pillow_bicubic, resized, tensorflow_bilinear, to_bytes

pytorch_fid = pytest.importorskip("pytorch_fid.inception")
cleanfid = pytest.importorskip("cleanfid.resize")
torch_fidelity = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")

SIZES = [(1, 1), (2, 3), (8, 8), (32, 32), (53, 37), (298, 300), (299, 299), (640, 600)]


def images(height: int, width: int, channels: int = 3) -> torch.Tensor:
    """Noise, with a black and a white image between: the worst case for overshoots."""
    x = torch.randint(0, 256, (3, channels, height, width), generator=torch.Generator().manual_seed(height))
    x[1] = 255 * (x[1] > 127)
    return x.to(torch.uint8)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_ttur_is_torch_fidelity_bit_by_bit(height, width):
    x = images(height, width).float()
    theirs = torch_fidelity.interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    torch.testing.assert_close(tensorflow_bilinear(x, 299), theirs, rtol=0, atol=0)
    scaled = resized(images(height, width), 299, "ttur")
    torch.testing.assert_close(scaled, (theirs - 128) / 128, rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pytorch_is_pytorch_fid_bit_by_bit(height, width, monkeypatch):
    """Their network with its first block taken out hands back what it would have been given."""
    monkeypatch.setattr(pytorch_fid, "fid_inception_v3", lambda: pytorch_fid._inception_v3(weights=None))
    with torch.no_grad():
        network = pytorch_fid.InceptionV3([0])
        network.blocks[0] = nn.Identity()
        theirs = network(images(height, width).float() / 255)[0]
    torch.testing.assert_close(resized(images(height, width), 299, "pytorch"), theirs, rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_clean_is_clean_fid_bit_by_bit(height, width):
    resize = cleanfid.build_resizer("clean")
    x = images(height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # they name the mode of an image explicitly
        theirs = np.stack([resize(image.permute(1, 2, 0).numpy()) for image in x]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(pillow_bicubic(x, 299).numpy(), theirs)
    np.testing.assert_array_equal(resized(x, 299, "clean").numpy(), (theirs - np.float32(128)) / np.float32(128))


@pytest.mark.parametrize("preprocess", ["ttur", "pytorch", "clean"])
def test_grey_is_the_same_as_three_equal_channels(preprocess):
    grey = images(9, 7, channels=1)
    repeated = resized(grey.expand(-1, 3, -1, -1).contiguous(), 64, preprocess)
    torch.testing.assert_close(resized(grey, 64, preprocess), repeated, rtol=0, atol=0)


def test_the_protocols_differ():
    """Three protocols, three numbers: what mixing them would do to a small image."""
    x = images(32, 32)
    found = [resized(x, 299, preprocess) for preprocess in ("ttur", "pytorch", "clean")]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (found[first] - found[second]).abs().max() > 0.1


@pytest.mark.parametrize("levels", [2, 3, 4, 7, 16, 17, 255, 256])
def test_levels_go_to_the_nearest_byte(levels):
    """Against exact fractions; ends to ends, halves upwards."""
    x = torch.arange(levels, dtype=torch.uint8).view(1, 1, 1, -1)
    exact = [floor(Fraction(255 * value, levels - 1) + Fraction(1, 2)) for value in range(levels)]
    assert to_bytes(x, levels).flatten().tolist() == exact
    assert exact[0] == 0
    assert exact[-1] == 255
