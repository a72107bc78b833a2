"""Same features through the peers' kernel and transport distances, same numbers."""

import numpy as np
import pytest

from genbench.metrics.cmmd import cmmd
from genbench.metrics.kid import kid
from genbench.metrics.sliced_wasserstein import directions, sliced_wasserstein
from genbench.metrics.wasserstein import wasserstein


def pair(n=400, m=300, d=64, seed=0):
    """Not negative and far from the origin, as pooled features of a network are."""
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(0.3, 0.5, (n, d)), 0), np.maximum(rng.normal(0.35, 0.5, (m, d)), 0)


def by_torch_fidelity(x, y, subsets, size):
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    import torch

    found = fidelity.kid_features_to_metric(
        torch.from_numpy(y),
        torch.from_numpy(x),
        kid_subsets=subsets,
        kid_subset_size=size,
        rng_seed=2020,
        verbose=False,
    )
    return found["kernel_inception_distance_mean"]


def test_kid_with_the_subsets_of_torch_fidelity():
    x, y = pair()
    ours = kid(real=x, fake=y, subsets=100, subset_size=100)
    assert ours == pytest.approx(by_torch_fidelity(x, y, 100, 100), rel=1e-9)
    single = by_torch_fidelity(x.astype(np.float32), y.astype(np.float32), 100, 100)
    assert ours == pytest.approx(single, abs=1e-6)


@pytest.mark.slow
def test_kid_with_the_subsets_of_torch_fidelity_at_their_size():
    x, y = pair(n=3000, m=2000, d=2048)
    assert kid(real=x, fake=y, subsets=100) == pytest.approx(by_torch_fidelity(x, y, 100, 1000), rel=1e-6)


def test_kid_with_the_formula_of_torchmetrics():
    peer = pytest.importorskip("torchmetrics.image.kid")
    import torch

    x, y = pair(n=300, m=300)
    expected = float(peer.poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))
    assert kid(real=x, fake=y) == pytest.approx(expected, rel=1e-9)
    expected = float(peer.poly_mmd(torch.from_numpy(x), torch.from_numpy(y), degree=2, gamma=0.5, coef=2.0))
    assert kid(real=x, fake=y, degree=2, gamma=0.5, coef0=2.0) == pytest.approx(expected, rel=1e-9)


def test_kid_with_the_subsets_of_clean_fid():
    """Its first argument is the reference; it draws from numpy's global state, the other side first."""
    peer = pytest.importorskip("cleanfid.fid")
    x, y = pair()
    np.random.seed(2020)  # noqa: NPY002
    expected = peer.kernel_distance(x, y, num_subsets=20, max_subset_size=150)
    assert kid(real=x, fake=y, subsets=20, subset_size=150) == pytest.approx(expected, rel=1e-9)


def test_cmmd_with_the_gaussian_kernel_of_torch_fidelity():
    """The peer's kernel matrices, in the means that include the diagonals."""
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    x, y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in pair(n=200, m=200))
    k_xx, k_yy, k_xy = (fidelity.kernel_rbf(a, b, kid_kernel_rbf_sigma=10.0) for a, b in ((x, x), (y, y), (x, y)))
    expected = 1000 * fidelity.mmd2(k_xx, k_xy, k_yy, mmd_est="biased")
    assert cmmd(real=x, fake=y) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(60, 60), (60, 45)])
def test_transport_distances_of_pot(n, m):
    ot = pytest.importorskip("ot")
    x, y = pair(n=n, m=m, d=6)
    assert wasserstein(real=x, fake=y) == pytest.approx(ot.emd2([], [], ot.dist(x, y, metric="euclidean")), rel=1e-9)
    for p in (1, 2):
        rays = directions(50, 6, 0).T
        expected = ot.sliced_wasserstein_distance(x, y, p=p, projections=rays)
        assert sliced_wasserstein(real=x, fake=y, projections=50, p=p) == pytest.approx(expected, rel=1e-9)
