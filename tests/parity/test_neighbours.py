"""Same features through prdc and torch-fidelity, same precision, recall, density and coverage: equal, not close."""

import contextlib
import io

import numpy as np
import pytest

from genbench import protocols
from genbench.metrics.coverage import coverage
from genbench.metrics.density import density
from genbench.metrics.precision import precision
from genbench.metrics.recall import recall


def random(rng, n, d):
    return rng.normal(size=(n, d))


def pooled(rng, n, d):
    """Not negative and far from the origin, as pooled features of a network are."""
    return np.maximum(rng.normal(0.4, 0.5, (n, d)), 0)


def tied(rng, n, d):
    """Whole numbers, whose distances are exact in float64 and often equal."""
    return rng.integers(0, 3, (n, d)).astype(np.float64)


def repeated(rng, n, d):
    """Whole numbers, each row about four times: radii of 0."""
    rows = rng.integers(-50, 50, (n // 4, d)).astype(np.float64)
    return rows[rng.integers(0, len(rows), n)]


def overlapping(rng, n, d):
    """Half of the rows from one small pool, so that real and fake share them."""
    pool = np.random.default_rng(99).integers(-9, 9, (40, d)).astype(np.float64)
    return np.concatenate([pool[rng.integers(0, 40, n // 2)], rng.integers(-9, 9, (n - n // 2, d)).astype(np.float64)])


def equal(rng, n, d):
    return np.full((n, d), 3.0)


KINDS = [random, pooled, tied, repeated, overlapping, equal]
SHAPES = [(300, 260, 5), (200, 330, 64), (1500, 1100, 8)]


def pair(kind, shape):
    n, m, d = shape
    rng = np.random.default_rng(n)
    return kind(rng, n, d), kind(rng, m, d)


def as_named(name, real, fake):
    """The number of a protocol: `precision/prdc`, say."""
    metric, _ = protocols.find(name)
    return metric.fn(real=real, fake=fake)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_prdc(kind, shape):
    """The k-th neighbour without the centre itself, strictly below: its k 5 by the protocol, and 3."""
    peer = pytest.importorskip("prdc").compute_prdc
    real, fake = pair(kind, shape)
    for k in (5, 3):
        with contextlib.redirect_stdout(io.StringIO()):
            theirs = peer(real_features=real, fake_features=fake, nearest_k=k)
        ours = {fn.__name__: fn(real=real, fake=fake, k=k, tie="<") for fn in (precision, recall, density, coverage)}
        assert ours == pytest.approx({name: float(value) for name, value in theirs.items()}, rel=1e-12, abs=0)
        if k == 5:
            assert {name: as_named(f"{name}/prdc", real, fake) for name in ours} == ours


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_torch_fidelity(kind, shape):
    """The fourth of the sorted distances, the centre's own included, and equality inside; both ways to compute it."""
    peer = pytest.importorskip("torch_fidelity.metric_prc")
    import torch

    real, fake = pair(kind, shape)
    for save_memory in (False, True):
        theirs = peer.prc_features_to_metric(
            torch.from_numpy(fake),
            torch.from_numpy(real),
            prc_neighborhood=3,
            prc_batch_size=500,
            save_cpu_ram=save_memory,
            verbose=False,
        )
        ours = {name: as_named(f"{name}/torch-fidelity", real, fake) for name in ("precision", "recall")}
        # a mean of float32 on their side
        assert ours == pytest.approx({name: theirs[name] for name in ours}, rel=0, abs=1e-7)
        assert ours == {fn.__name__: fn(real=real, fake=fake, k=3, tie="<=") for fn in (precision, recall)}


def test_float32_features_are_decided_as_their_float64_values_are():
    """Where the peers round distances to float32 they may differ by one pair in many thousands; we do not."""
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(size=(n, 128)).astype(np.float32) for n in (900, 1100))
    for fn in (precision, recall, density, coverage):
        assert fn(real=real, fake=fake) == fn(real=real.astype(np.float64), fake=fake.astype(np.float64))
