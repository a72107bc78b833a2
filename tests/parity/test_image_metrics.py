"""PSNR, SSIM, MS-SSIM and the mean squared error as torchmetrics computes them, from the same images."""

import numpy as np
import pytest
import torch

from genbench.metrics.ms_ssim import multiscale, scale_weights
from genbench.metrics.psnr import psnr
from genbench.metrics.reconstruction_error import reconstruction_error
from genbench.metrics.ssim import ssim

image = pytest.importorskip("torchmetrics.functional.image")


def pair(*shape, noise=0.1, seed=0):
    """Smooth images and noisy copies, as float64 tensors in [0, 1]."""
    rng = np.random.default_rng(seed)
    waves = rng.uniform(0, 0.3, (*shape[:2], 2, 1, 1))
    rows, columns = np.mgrid[: shape[2], : shape[3]]
    real = 0.5 + 0.5 * np.sin(waves[:, :, 0] * rows + waves[:, :, 1] * columns)
    fake = np.clip(real + rng.normal(0, noise, shape), 0, 1)
    return real, fake, torch.from_numpy(real), torch.from_numpy(fake)


@pytest.mark.parametrize("shape", [(6, 1, 8, 8), (4, 3, 40, 29)])
def test_psnr(shape):
    real, fake, a, b = pair(*shape)
    theirs = image.peak_signal_noise_ratio(b, a, data_range=1.0, dim=(1, 2, 3)).item()
    assert psnr(real=real, fake=fake) == pytest.approx(theirs, rel=1e-6)  # their logarithm of the base is float32


@pytest.mark.parametrize("shape", [(6, 1, 12, 12), (4, 3, 40, 29), (2, 3, 11, 64)])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_ssim_on_both_borders(shape, noise):
    real, fake, a, b = pair(*shape, noise=noise)
    theirs, places = image.structural_similarity_index_measure(b, a, data_range=1.0, return_full_image=True)
    assert ssim(real=real, fake=fake, border="reflect") == pytest.approx(theirs.item(), rel=1e-9)
    inside = places[..., 5:-5, 5:-5].mean().item()
    assert ssim(real=real, fake=fake) == pytest.approx(inside, rel=1e-9)
    assert inside != pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize(("side", "scales"), [(32, 2), (64, 3), (120, 4), (180, 5)])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_multiscale(side, scales, noise):
    real, fake, a, b = pair(2, 1, side, side + 5, noise=noise)
    weights = scale_weights(real.shape)
    assert len(weights) == scales
    theirs = image.multiscale_structural_similarity_index_measure(
        b, a, data_range=1.0, betas=tuple(weights.tolist()), reduction="none"
    )
    # their weights are float32
    assert multiscale(real, fake, border="reflect") == pytest.approx(theirs.numpy(), rel=1e-6)


def test_multiscale_of_opposed_images_is_clipped_as_theirs():
    real, _, a, _ = pair(3, 1, 32, 32)
    theirs = image.multiscale_structural_similarity_index_measure(
        1 - a, a, data_range=1.0, betas=tuple(scale_weights(real.shape).tolist()), reduction="none"
    )
    assert multiscale(real, 1 - real, border="reflect") == pytest.approx(theirs.numpy(), abs=1e-7)
    assert 0 in multiscale(real, 1 - real)


def test_mean_squared_error():
    from torchmetrics.functional.regression import mean_squared_error

    real, fake, a, b = pair(5, 3, 9, 7)
    assert reconstruction_error(real=real, fake=fake) == pytest.approx(mean_squared_error(b, a).item(), rel=1e-12)
