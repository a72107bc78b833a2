"""The inception score as torch-fidelity and torchmetrics compute it, from the same logits."""

import warnings

import numpy as np
import pytest
import torch

from genbench.metrics.inception_score import inception_score

fidelity = pytest.importorskip("torch_fidelity.metric_isc")
image = pytest.importorskip("torchmetrics.image.inception")


def logits(n, classes=30, seed=0):
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


@pytest.mark.parametrize("n", [1000, 1003, 57])
@pytest.mark.parametrize("splits", [1, 10])
@pytest.mark.parametrize("shuffle", [True, False])
def test_torch_fidelity(n, splits, shuffle):
    x = logits(n)
    theirs = fidelity.isc_features_to_metric(x, splits=splits, shuffle=shuffle, rng_seed=2020)
    p = x.softmax(dim=1).numpy()
    ours = inception_score(fake=p, splits=splits, shuffle_seed=2020 if shuffle else None)
    assert ours == pytest.approx(theirs[fidelity.KEY_METRIC_ISC_MEAN], rel=1e-6)
    if splits > 1:
        assert inception_score(fake=p, splits=splits, shuffle_seed=2021) != pytest.approx(ours, rel=1e-6)


@pytest.mark.parametrize("n", [1000, 1003, 57, 41])
@pytest.mark.parametrize("splits", [1, 10])
def test_torchmetrics(n, splits):
    x = logits(n, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory that it takes
        score = image.InceptionScore(feature=torch.nn.Identity(), splits=splits)
        score.update(x)
        torch.manual_seed(3)
        theirs = score.compute()[0].item()
    torch.manual_seed(3)
    p = x[torch.randperm(n)].softmax(dim=1).numpy()
    assert inception_score(fake=p, splits=splits, parts="ceiling") == pytest.approx(theirs, rel=1e-6)
    if splits > 1 and n == 1003:
        assert inception_score(fake=p, splits=splits) != pytest.approx(theirs, rel=1e-6)


def test_float32_logits_are_near():
    """Peers that keep float32 differ by its rounding only."""
    x = logits(500).float()
    ours = inception_score(fake=x.double().softmax(dim=1).numpy(), splits=10, shuffle_seed=2020)
    theirs = fidelity.isc_features_to_metric(x)[fidelity.KEY_METRIC_ISC_MEAN]
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert np.isfinite(ours)
