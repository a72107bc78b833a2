"""The same moments and features through other libraries: the same Fréchet distance."""

import numpy as np
import pytest

from genbench.metrics.fid import fid
from genbench.moments import Moments


def well_conditioned():
    """n = 600, d = 48, correlated, the spread falling tenfold, a shift; skewed on the generated side."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(48, 48)))[0]
    scales = np.logspace(0, -1, 48)
    real = rng.normal(size=(600, 48)) * scales @ turn + 0.4
    fake = (rng.gamma(4, 0.6, size=(500, 48)) - 2.4) * scales @ np.roll(turn, 1, axis=1) + 0.5
    return real, fake


def nearly_singular():
    """The spread falls by 1e6, as along the last directions of deep features."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(32, 32)))[0]
    scales = np.logspace(0, -6, 32)
    return rng.normal(size=(400, 32)) * scales @ turn, 1.2 * rng.normal(size=(300, 32)) * scales @ turn + 0.1


def fewer_samples_than_features():
    rng = np.random.default_rng(2)
    return rng.normal(size=(30, 64)), 1.3 * rng.normal(size=(50, 64)) + 0.2


def textbook(x):
    return x.mean(axis=0), np.cov(x, rowvar=False)


def pytorch_fid(real, fake):
    score = pytest.importorskip("pytorch_fid.fid_score")
    return score.calculate_frechet_distance(*textbook(real), *textbook(fake))


def clean_fid(real, fake):
    return pytest.importorskip("cleanfid.fid").frechet_distance(*textbook(real), *textbook(fake))


def torch_fidelity(real, fake):
    metric = pytest.importorskip("torch_fidelity.metric_fid")
    torch = pytest.importorskip("torch")
    statistics = [metric.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    return metric.fid_statistics_to_metric(*statistics, verbose=False)[metric.KEY_METRIC_FID]


def torchmetrics(real, fake):
    compute = pytest.importorskip("torchmetrics.image.fid")._compute_fid
    torch = pytest.importorskip("torch")
    return float(compute(*(torch.from_numpy(part) for x in (real, fake) for part in textbook(x))))


def torcheval(real, fake):
    kind = pytest.importorskip("torcheval.metrics").FrechetInceptionDistance
    torch = pytest.importorskip("torch")
    parts = [torch.from_numpy(part) for x in (real, fake) for part in textbook(x)]
    return float(kind._calculate_frechet_distance(None, *parts))


# scipy's matrix square root and eigvals of the unsymmetric product: both good to 1e-8 and better here.
PEERS = [pytorch_fid, clean_fid, torch_fidelity, torchmetrics, torcheval]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # they call scipy's sqrtm with an argument it retires
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.__name__)
def test_frechet_distance_is_theirs(peer):
    real, fake = well_conditioned()
    assert fid(real=real, fake=fake) == pytest.approx(peer(real, fake), rel=1e-8)
    assert fid(real=Moments.of(real), fake=Moments.of(fake)) == pytest.approx(peer(real, fake), rel=1e-8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.__name__)
@pytest.mark.parametrize("data", [nearly_singular, fewer_samples_than_features], ids=lambda data: data.__name__)
def test_frechet_distance_of_singular_covariances_is_nearly_theirs(peer, data):
    """1e-6: rounding in the product's null space enters theirs by its square root, 1e-8 of the traces a direction."""
    real, fake = data()
    assert fid(real=real, fake=fake) == pytest.approx(peer(real, fake), rel=1e-6)


def test_float32_features_are_accumulated_in_float64():
    """torchmetrics and torch-fidelity likewise; clean-fid's mean in float32 is the peers' one deviation."""
    real, fake = (x.astype(np.float32) for x in well_conditioned())
    assert fid(real=real, fake=fake) == pytest.approx(torch_fidelity(real.astype(float), fake.astype(float)), rel=1e-8)
