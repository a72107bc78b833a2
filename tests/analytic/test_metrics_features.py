"""Metrics on features against closed forms, known configurations, and an independent formula."""

import numpy as np
import pytest
import scipy.linalg

from genbench.errors import Refused
from genbench.metrics.fid import fid
from genbench.metrics.inception_score import inception_score
from genbench.metrics.precision import precision
from genbench.metrics.recall import recall


def with_moments(mean, covariance, n, seed=0):
    """n points whose sample mean and sample covariance (ddof 1) are exactly these: whitened draws, coloured."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(x, rowvar=False)), x.T).T
    return white @ np.linalg.cholesky(covariance).T + mean


def by_square_root(real, fake):
    """The formula as written, with scipy's matrix square root: an independent implementation."""
    s_r, s_f = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = scipy.linalg.sqrtm(s_r @ s_f).real
    return np.square(real.mean(0) - fake.mean(0)).sum() + np.trace(s_r + s_f - 2 * root)


def test_fid_of_shifted_gaussians():
    """N(0, I) against N(1, I): the covariances cancel, |mu_r - mu_f|^2 = d."""
    d = 32
    real, fake = with_moments(np.zeros(d), np.eye(d), 200), with_moments(np.ones(d), np.eye(d), 300, seed=1)
    assert fid(real=real, fake=fake) == pytest.approx(d, abs=1e-9)


def test_fid_of_sampled_gaussians():
    """For draws of N(0, I) and N(1, I) the estimate is d plus a bias of order d^2 / n.

    E|mean difference|^2 = d + 2 d / n. For the trace term expand (S_r S_f)^(1/2) to second order about I:
    E Tr(S_r + S_f - 2 (S_r S_f)^(1/2)) = E|S_r - S_f|_F^2 / 4 = 2 d (d + 1) / (4 n), with a remainder of d^3 / n^2.
    """
    d, n, rng = 16, 2_000, np.random.default_rng(0)
    values = [fid(real=rng.normal(size=(n, d)), fake=1 + rng.normal(size=(n, d))) for _ in range(40)]
    bias = 2 * d / n + d * (d + 1) / (2 * n)
    assert np.mean(values) == pytest.approx(d + bias, abs=4 * np.std(values) / np.sqrt(40))
    same = [fid(real=rng.normal(size=(n, d)), fake=rng.normal(size=(n, d))) for _ in range(40)]
    assert np.mean(same) == pytest.approx(bias, abs=4 * np.std(same) / np.sqrt(40) + d**3 / n**2)


def test_fid_of_commuting_covariances():
    """Diagonal S_r = diag(a^2), S_f = diag(b^2): Tr(...) = sum (a - b)^2."""
    rng = np.random.default_rng(1)
    a, b, shift = rng.uniform(0.1, 3, 12), rng.uniform(0.1, 3, 12), rng.normal(size=12)
    real, fake = with_moments(np.zeros(12), np.diag(a**2), 80), with_moments(shift, np.diag(b**2), 90, seed=1)
    assert fid(real=real, fake=fake) == pytest.approx(np.square(a - b).sum() + np.square(shift).sum(), rel=1e-10)


def test_fid_of_two_by_two_covariances():
    """For 2x2 matrices Tr (M^(1/2)) = sqrt(Tr M + 2 sqrt(det M)): the eigenvalues s^2, t^2 give (s + t)^2."""
    s_r, s_f = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[0.5, -0.3], [-0.3, 3.0]])
    product = s_r @ s_f
    expected = np.trace(s_r + s_f) - 2 * np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    real, fake = with_moments(np.zeros(2), s_r, 30), with_moments(np.zeros(2), s_f, 40, seed=2)
    assert fid(real=real, fake=fake) == pytest.approx(expected, rel=1e-10)


def test_fid_of_two_points_each():
    """n = 2 in d dimensions: rank one, S_r = u u' / 2, S_f = v v' / 2, Tr (S_r S_f)^(1/2) = |u'v| / 2."""
    rng = np.random.default_rng(3)
    real, fake = rng.normal(size=(2, 50)), rng.normal(size=(2, 50))
    u, v = real[0] - real[1], fake[0] - fake[1]
    expected = np.square(real.mean(0) - fake.mean(0)).sum() + 0.5 * (u @ u + v @ v) - abs(u @ v)
    assert fid(real=real, fake=fake) == pytest.approx(expected, rel=1e-12)


def test_fid_agrees_with_the_matrix_square_root():
    rng = np.random.default_rng(4)
    mix = rng.normal(size=(24, 24))
    real, fake = rng.normal(size=(300, 24)) @ mix, rng.laplace(size=(200, 24)) + 0.3
    assert fid(real=real, fake=fake) == pytest.approx(by_square_root(real, fake), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(10, 500, 64), (500, 10, 64), (30, 20, 128)])
def test_fid_with_fewer_samples_than_features(n, m, d):
    """The nuclear norm of S_r^(1/2) S_f^(1/2), from the eigendecompositions, needs no full rank either."""
    rng = np.random.default_rng(5)
    real, fake = rng.normal(size=(n, d)), 1.3 * rng.normal(size=(m, d))

    def root(s):
        values, vectors = np.linalg.eigh(s)
        return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T

    s_r, s_f = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    overlap = np.linalg.svd(root(s_r) @ root(s_f), compute_uv=False).sum()
    expected = np.square(real.mean(0) - fake.mean(0)).sum() + np.trace(s_r + s_f) - 2 * overlap
    assert fid(real=real, fake=fake) == pytest.approx(expected, rel=1e-6)


def test_fid_survives_dead_and_constant_features():
    rng = np.random.default_rng(6)
    real = np.concatenate([rng.normal(size=(100, 5)), np.zeros((100, 40))], axis=1)
    fake = np.concatenate([rng.normal(size=(100, 5)), np.ones((100, 40))], axis=1)
    assert fid(real=real, fake=fake) == pytest.approx(40 + fid(real=real[:, :5], fake=fake[:, :5]), rel=1e-12)
    assert fid(real=np.ones((5, 3)), fake=np.ones((7, 3))) == 0.0


def test_fid_of_a_set_with_itself_is_zero_even_far_from_the_origin():
    x = np.random.default_rng(7).normal(size=(500, 64)) * np.logspace(-6, 3, 64) + 1e5
    scale = np.trace(np.cov(x, rowvar=False))
    assert 0 <= fid(real=x, fake=x) <= 1e-10 * scale


def test_fid_is_never_negative():
    """Traces and overlap of a set with itself cancel up to rounding, which falls to either side of zero."""
    rng = np.random.default_rng(12)
    for x in rng.normal(size=(50, 20, 5)):
        assert fid(real=x, fake=x) >= 0


def test_precision_and_recall_of_points_on_a_line():
    """Real 0, 1, 2, 3 with k = 1: every radius is 1, the manifold is [-1, 4]. Fake 10, 11 with k = 1: [9, 12]."""
    real, fake = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[-1.0], [-1.01], [4.0], [3.5]])
    assert precision(real=real, fake=fake, k=1) == 0.75
    fake = np.array([[2.5], [2.9], [50.0]])
    # radii 0.4, 0.4, 47.1: the outlier's ball reaches down to 2.9, so that 3 lies inside, and 2 does not
    assert recall(real=real, fake=fake, k=1) == 0.25
    assert precision(real=real, fake=fake, k=1) == pytest.approx(2 / 3)


def test_the_two_are_not_swapped():
    """Fakes from one of two modes: all of them are realistic, and half of the data is missing."""
    rng = np.random.default_rng(9)
    real = np.concatenate([rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 100])
    fake = rng.normal(size=(400, 2)) * 0.5
    assert precision(real=real, fake=fake) > 0.95
    assert recall(real=real, fake=fake) < 0.5


def test_ties_count_as_inside():
    """All features equal: every radius is 0 and every distance is 0, so that both are 1."""
    x = np.full((50, 7), 0.1)
    assert precision(real=x, fake=x[:20]) == recall(real=x, fake=x[:20]) == 1.0
    assert precision(real=x, fake=x[:20] + 1e-3) == 0.0


def test_copies_are_at_distance_zero_whatever_rounding_says():
    """Each real vector four times and k = 3: every radius is 0, and only copies lie inside."""
    vectors = np.random.default_rng(13).normal(size=(50, 64)) + 3
    real = np.repeat(vectors, 4, axis=0)
    for fake in (vectors, *vectors[:, None]):  # a single row takes another path through the matrix product
        assert precision(real=real, fake=fake) == 1.0
        assert precision(real=real, fake=fake + 1e-5) == 0.0


def test_lattice_distances_equal_to_the_radius_are_inside():
    """On a lattice of step 0.1 with k = 1 the radius is one step: a neighbour site is inside, a diagonal one is not."""
    site = 0.1 * np.stack(np.meshgrid(np.arange(12), np.arange(12)), axis=-1).reshape(-1, 2)
    outside = np.array([[0.5, 1.2], [1.2, 0.3], [-0.1, -0.1]])
    assert precision(real=site, fake=outside, k=1) == pytest.approx(2 / 3)


def test_precision_agrees_with_brute_force():
    rng = np.random.default_rng(11)
    real, fake = rng.normal(size=(120, 6)), rng.normal(size=(80, 6)) * 1.1
    among = np.linalg.norm(real[:, None] - real[None], axis=-1)
    radius = np.sort(among, axis=1)[:, 3]  # column 0 is the point itself
    inside = (np.linalg.norm(fake[:, None] - real[None], axis=-1) <= radius).any(axis=1)
    assert 0.05 < inside.mean() < 0.95
    assert precision(real=real, fake=fake) == inside.mean()


def test_inception_score_at_its_extremes():
    """One-hot answers, uniform over K classes: H(p(y)) = log K and H(p(y|x)) = 0. Constant answers: both equal."""
    one_hot = np.tile(np.eye(7), (30, 1))
    assert inception_score(fake=one_hot) == pytest.approx(7, rel=1e-12)
    constant = np.tile([[0.2, 0.5, 0.3]], (40, 1))
    assert inception_score(fake=constant) == pytest.approx(1, rel=1e-12)


def test_inception_score_of_two_sharp_answers():
    """Shares 1/4 and 3/4 of two one-hot answers: exp of the entropy of (1/4, 3/4)."""
    answers = np.eye(5)[[0, 1, 1, 1] * 10]
    assert inception_score(fake=answers) == pytest.approx(4 ** (1 / 4) * (4 / 3) ** (3 / 4), rel=1e-12)


def test_inception_score_in_splits():
    """Sorted one-hot answers: each part sees one class alone and scores 1."""
    answers = np.repeat(np.eye(4), 10, axis=0)
    assert inception_score(fake=answers, splits=4) == pytest.approx(1)
    assert inception_score(fake=answers) == pytest.approx(4)
    with pytest.raises(Refused, match="splits is 41"):
        inception_score(fake=answers, splits=41)


@pytest.mark.parametrize("metric", [fid, precision, recall])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: np.where(x > 1, np.nan, x), "NaN or infinite"),
        (lambda x: np.where(x > 1, np.inf, x), "NaN or infinite"),
        (lambda x: x[:, 0], "must have 2 dimensions"),
        (lambda x: x[:, :2], "real has 3 features and fake 2"),
        (lambda x: x[:0], "has 0 rows"),
        (lambda x: x[:, :0], "no columns"),
        (lambda x: x.astype(str), "must hold real numbers"),
        (lambda x: None, "is missing"),
    ],
)
def test_bad_features_are_refused(metric, change, sentence):
    x = np.random.default_rng(0).normal(size=(30, 3))
    assert np.isfinite(metric(real=x, fake=x))
    with pytest.raises(Refused, match=f"{metric.__name__}.*{sentence}"):
        metric(real=x, fake=change(x))


def test_too_few_features_are_refused():
    x = np.zeros((1, 3))
    with pytest.raises(Refused, match="fid: real has 1 rows"):
        fid(real=x, fake=np.zeros((5, 3)))
    with pytest.raises(Refused, match="k is 3"):
        precision(real=np.zeros((3, 2)), fake=np.zeros((5, 2)))
    with pytest.raises(Refused, match="k is 0"):
        recall(real=np.zeros((9, 2)), fake=np.zeros((5, 2)), k=0)


def test_bad_probabilities_are_refused():
    with pytest.raises(Refused, match=r"sums to 0\.9"):
        inception_score(fake=np.array([[0.5, 0.4], [0.5, 0.5]]))
    with pytest.raises(Refused, match="negative"):
        inception_score(fake=np.array([[1.5, -0.5]]))
