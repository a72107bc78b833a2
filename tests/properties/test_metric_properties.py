"""What holds for any input: invariances, bounds, identities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genbench.metrics.fid import fid
from genbench.metrics.inception_score import inception_score
from genbench.metrics.jensen_shannon import jensen_shannon
from genbench.metrics.mode_kl import mode_kl
from genbench.metrics.modes_captured import modes_captured
from genbench.metrics.precision import precision
from genbench.metrics.recall import recall
from genbench.stats import holm, pareto_front, wilson

values = st.floats(-100, 100, width=32)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def feature_pairs(draw, least=2):
    """Two sets of the same width, often with duplicates and constant columns."""
    d = draw(st.integers(1, 6))
    n, m = draw(st.integers(least, 12)), draw(st.integers(least, 12))
    return draw(arrays(np.float64, (n, d), elements=values)), draw(arrays(np.float64, (m, d), elements=values))


def scale(real, fake):
    return np.square(np.concatenate([real, fake])).sum(axis=1).max() + 1e-12


@given(feature_pairs())
def test_fid_is_symmetric_finite_and_not_negative(pair):
    real, fake = pair
    there, back = fid(real=real, fake=fake), fid(real=fake, fake=real)
    assert np.isfinite(there)
    assert there >= 0
    assert there == pytest.approx(back, abs=1e-10 * scale(real, fake))


@given(feature_pairs())
def test_fid_of_a_set_with_itself_is_zero(pair):
    real, _ = pair
    assert fid(real=real, fake=real) <= 1e-10 * scale(real, real)


@given(feature_pairs(), seeds)
def test_fid_ignores_order_rotation_and_shift(pair, seed):
    real, fake = pair
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(real.shape[1],) * 2))
    shift = rng.normal(size=real.shape[1])
    moved = fid(real=rng.permutation(real) @ rotation + shift, fake=rng.permutation(fake) @ rotation + shift)
    assert moved == pytest.approx(fid(real=real, fake=fake), abs=1e-9 * scale(real, fake))


@given(feature_pairs())
def test_fid_is_at_least_the_distance_of_the_means(pair):
    real, fake = pair
    apart = np.square(real.mean(axis=0) - fake.mean(axis=0)).sum()
    assert fid(real=real, fake=fake) >= apart - 1e-10 * scale(real, fake)


@given(feature_pairs(least=5), seeds)
def test_precision_and_recall_exchange_with_the_sets_and_ignore_order(pair, seed):
    real, fake = pair
    value = precision(real=real, fake=fake)
    assert 0 <= value <= 1
    assert value == recall(real=fake, fake=real)
    rng = np.random.default_rng(seed)
    assert precision(real=rng.permutation(real), fake=rng.permutation(fake)) == value


@given(feature_pairs(least=5))
def test_samples_that_are_real_are_precise(pair):
    real, _ = pair
    assert precision(real=real, fake=real[:3]) == 1.0
    assert recall(real=real, fake=real) == 1.0


@given(seeds)
def test_precision_ignores_rotation_of_points_in_general_position(seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(20, 3)), rng.normal(size=(15, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    assert precision(real=real @ rotation, fake=fake @ rotation) == precision(real=real, fake=fake)


@st.composite
def probabilities(draw):
    n, k = draw(st.integers(1, 12)), draw(st.integers(2, 6))
    raw = draw(arrays(np.float64, (n, k), elements=st.floats(0, 1, width=32)))
    return (raw + 1e-3) / (raw + 1e-3).sum(axis=1, keepdims=True)


@given(probabilities(), seeds)
def test_inception_score_lies_between_one_and_the_number_of_classes(p, seed):
    value = inception_score(fake=p)
    assert 1 - 1e-12 <= value <= p.shape[1] + 1e-12
    assert inception_score(fake=np.random.default_rng(seed).permutation(p)) == pytest.approx(value, rel=1e-12)
    assert inception_score(fake=p[:, ::-1]) == pytest.approx(value, rel=1e-12)
    assert inception_score(fake=np.concatenate([p, p])) == pytest.approx(value, rel=1e-12)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), seeds)
def test_mode_kl_is_a_divergence(ids, seed):
    rng = np.random.default_rng(seed)
    weights, ids = rng.dirichlet(np.ones(5)) * 0.95 + 0.01, np.array(ids)
    value = mode_kl(real=weights, fake=ids)
    assert 0 <= value <= -np.log(weights.min()) + 1e-12
    assert mode_kl(real=weights, fake=rng.permutation(ids)) == value
    assert 1 <= modes_captured(real=weights, fake=ids) <= 5


@given(
    arrays(np.float64, (8, 2), elements=st.floats(-1e4, 1e4)), arrays(np.float64, (8, 2), elements=st.floats(-1e4, 1e4))
)
def test_jensen_shannon_is_at_most_log_two(real, fake):
    value = jensen_shannon(real=real, fake=fake)
    assert np.isfinite(value)
    assert value <= np.log(2) + 1e-12


@given(arrays(np.float64, 6, elements=st.floats(0.01, 1)), arrays(np.float64, 6, elements=st.floats(0.01, 1)))
@settings(max_examples=30)
def test_jensen_shannon_over_a_whole_space_is_not_negative(a, b):
    """With every atom in exact proportion the Monte Carlo mean is the sum itself, and that is >= 0."""
    p, q = (np.maximum(1, np.round(1000 * x / x.sum())).astype(int) for x in (a, b))
    table = np.stack([np.log(p / p.sum()), np.log(q / q.sum())], axis=1)
    value = jensen_shannon(real=np.repeat(table, p, axis=0), fake=np.repeat(table, q, axis=0))
    assert -1e-12 <= value <= np.log(2)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_its_share(n, data):
    successes = data.draw(st.integers(0, n))
    interval, mirror = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirror.high, abs=1e-12)


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1)))
def test_holm_keeps_the_order_and_only_raises(p):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@given(arrays(np.float64, st.tuples(st.integers(1, 15), st.just(2)), elements=values))
def test_somebody_is_always_on_the_front(points):
    front = pareto_front(points, ["lower", "higher"])
    assert front.any()
    assert front[points[:, 0].argmin()] or (points[:, 0] == points[:, 0].min()).sum() > 1
