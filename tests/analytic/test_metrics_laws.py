"""Metrics on modes, densities and likelihoods against known mixtures, quadrature and expected values."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from genbench.errors import Refused, Undefined
from genbench.metrics.bits_per_dim import bits_per_dim
from genbench.metrics.excess_nats import excess_nats
from genbench.metrics.high_quality import high_quality
from genbench.metrics.jensen_shannon import jensen_shannon
from genbench.metrics.kl_forward import kl_forward
from genbench.metrics.kl_reverse import kl_reverse
from genbench.metrics.mode_kl import mode_kl
from genbench.metrics.modes_captured import modes_captured
from genbench.metrics.nats import nats
from genbench.metrics.validity import validity


class Mixture:
    """Gaussians on a line."""

    def __init__(self, weights, means, scales):
        self.weights, self.means, self.scales = map(np.array, (weights, means, scales))

    def log_prob(self, x):
        terms = np.log(self.weights) + stats.norm.logpdf(np.asarray(x)[..., None], self.means, self.scales)
        return np.logaddexp.reduce(terms, axis=-1)

    def sample(self, n, seed):
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self.weights), n, p=self.weights)
        return self.means[which] + self.scales[which] * rng.normal(size=n)


P = Mixture([0.3, 0.7], [-2.0, 1.0], [0.5, 1.0])
Q = Mixture([0.5, 0.5], [-1.5, 1.5], [1.0, 1.0])


def at_draws(drawn_from, n, seed):
    x = drawn_from.sample(n, seed)
    return np.stack([P.log_prob(x), Q.log_prob(x)], axis=1)


def integral(f):
    return integrate.quad(f, -12, 12, limit=400)[0]


def quadrature():
    """KL(p||q), KL(q||p) and JSD by numerical integration."""

    def kl(a, b):
        return integral(lambda x: np.exp(a(x)) * (a(x) - b(x)))

    def middle(x):
        return np.logaddexp(P.log_prob(x), Q.log_prob(x)) - math.log(2)

    p, q = P.log_prob, Q.log_prob
    return kl(p, q), kl(q, p), 0.5 * kl(p, middle) + 0.5 * kl(q, middle)


def test_divergences_of_mixtures_agree_with_quadrature():
    n = 200_000
    of_p, of_q = at_draws(P, n, 0), at_draws(Q, n, 1)
    forward, reverse, middle = quadrature()
    assert forward != pytest.approx(reverse, rel=0.1)
    for value, expected, terms in (
        (kl_forward(real=of_p), forward, of_p),
        (excess_nats(real=of_p), forward, of_p),
        (kl_reverse(fake=of_q), reverse, of_q),
        (jensen_shannon(real=of_p, fake=of_q), middle, of_p),
    ):
        assert value == pytest.approx(expected, abs=4 * np.ptp(np.diff(terms), axis=None).clip(max=2) / math.sqrt(n))


def test_jensen_shannon_is_symmetric():
    of_p, of_q = at_draws(P, 500, 0), at_draws(Q, 700, 1)
    swapped = jensen_shannon(real=of_q[:, ::-1], fake=of_p[:, ::-1])
    assert jensen_shannon(real=of_p, fake=of_q) == pytest.approx(swapped, rel=1e-12)


def test_jensen_shannon_at_its_ends():
    """Equal laws: every term is log 1. Disjoint ones: every term is log 2, with densities of zero or of exp(-10^6)."""
    equal = np.array([[-3.0, -3.0], [1e6, 1e6]])
    assert jensen_shannon(real=equal, fake=equal) == pytest.approx(0, abs=1e-15)
    for nothing in (-np.inf, -1e6):
        value = jensen_shannon(real=np.array([[1.0, nothing]] * 2), fake=np.array([[nothing, 2.0]] * 2))
        assert value == pytest.approx(math.log(2), rel=1e-15)


def test_divergences_of_a_law_from_itself_are_zero():
    x = P.log_prob(P.sample(100, 0))
    same = np.stack([x, x], axis=1)
    assert kl_forward(real=same) == kl_reverse(fake=same) == excess_nats(real=same) == 0.0


def test_infinite_divergences_have_no_value():
    hole = np.array([[-1.0, -np.inf], [-1.0, -2.0]])
    with pytest.raises(Undefined, match="kl_forward: the probability is zero at 1 of 2 points"):
        kl_forward(real=hole)
    with pytest.raises(Undefined, match="kl_reverse"):
        kl_reverse(fake=hole[:, ::-1])
    with pytest.raises(Undefined, match="p is zero at 1 of 2 points that were drawn from it"):
        kl_forward(real=hole[:, ::-1])


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (np.zeros((5, 3)), "two columns"),
        (np.zeros(5), "must have 2 dimensions"),
        (np.array([[np.nan, 0.0]] * 3), "log p holds 3 values that are NaN"),
        (np.array([[0.0, np.inf]] * 3), "log q holds 3 values that are NaN or \\+inf"),
        (np.zeros((1, 2)), "has 1 rows"),
    ],
)
def test_bad_densities_are_refused(bad, sentence):
    for call in (
        lambda: kl_forward(real=bad),
        lambda: kl_reverse(fake=bad),
        lambda: excess_nats(real=bad),
        lambda: jensen_shannon(real=bad, fake=bad),
    ):
        with pytest.raises(Refused, match=sentence):
            call()


def test_mode_kl_of_known_shares():
    """Shares (1/2, 1/2, 0) against weights (1/4, 1/4, 1/2): log 2; samples of no mode do not count."""
    ids = np.array([0, 1] * 10 + [-1] * 7)
    assert mode_kl(real=[0.25, 0.25, 0.5], fake=ids) == pytest.approx(math.log(2), rel=1e-12)
    assert mode_kl(real=np.full(8, 1 / 8), fake=np.zeros(50, int)) == pytest.approx(math.log(8), rel=1e-12)
    assert mode_kl(real=[0.5, 0.5], fake=np.array([0, 1])) == 0.0


def test_mode_kl_has_the_floor_of_its_plug_in():
    """Draws from the law itself: E KL = (K - 1) / 2N + O(1 / N^2), half a chi-square with K - 1 degrees over N."""
    k, n, rng = 50, 5_000, np.random.default_rng(0)
    weights = rng.dirichlet(np.full(k, 5.0))
    values = [mode_kl(real=weights, fake=rng.choice(k, n, p=weights)) for _ in range(200)]
    floor = (k - 1) / (2 * n)
    error = math.sqrt((k - 1) / 2) / n / math.sqrt(200)
    assert np.mean(values) == pytest.approx(floor, abs=4 * error)


def test_mode_kl_without_any_mode_has_no_value():
    with pytest.raises(Undefined, match="none of the 9 samples"):
        mode_kl(real=[0.5, 0.5], fake=np.full(9, -1))


def test_modes_captured_counts_modes_not_samples():
    assert modes_captured(real=np.full(5, 0.2), fake=np.array([4, 4, 4, 0, -1, -1])) == 2
    assert modes_captured(fake=np.array([-1, -1])) == 0


def test_expected_number_of_modes():
    """n draws from K equal modes reach K (1 - (1 - 1/K)^n) of them on average."""
    k, n, rng = 100, 150, np.random.default_rng(1)
    values = [modes_captured(fake=rng.integers(0, k, n)) for _ in range(400)]
    expected = k * (1 - (1 - 1 / k) ** n)
    assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / 20)


def test_high_quality_is_the_share_in_a_mode():
    assert high_quality(real=[0.5, 0.5], fake=np.array([0, 1, -1, -1])) == 0.5


@pytest.mark.parametrize("metric", [modes_captured, high_quality, mode_kl])
@pytest.mark.parametrize(
    ("real", "fake", "sentence"),
    [
        ([0.5, 0.5], np.array([0, 2]), "holds the mode 2; the law has the modes 0 to 1"),
        ([0.5, 0.5], np.array([0, -2]), "holds the mode -2"),
        ([0.5, 0.5], np.array([0.0, 1.0]), "must hold integers"),
        ([0.5, 0.5], np.array([], int), "has 0 rows"),
        ([0.5, 0.4], np.array([0, 1]), "sums to 0.9"),
        ([1.0, 0.0], np.array([0, 1]), "positive weight"),
    ],
)
def test_bad_modes_are_refused(metric, real, fake, sentence):
    with pytest.raises(Refused, match=f"{metric.__name__}.*{sentence}"):
        metric(real=real, fake=fake)


def test_means_of_likelihoods():
    assert nats(real=[-1.0, -2.0, -6.0]) == -3.0
    assert bits_per_dim(real=[1.0, 2.0, 6.0]) == 3.0


def test_an_impossible_image_leaves_no_mean():
    with pytest.raises(Undefined, match="nats: the probability is zero at 1 of 2"):
        nats(real=[-1.0, -np.inf])
    with pytest.raises(Undefined, match="bits_per_dim: the probability is zero at 1 of 2"):
        bits_per_dim(real=[1.0, np.inf])
    for call in (lambda: nats(real=[np.nan]), lambda: nats(real=[np.inf]), lambda: bits_per_dim(real=[-np.inf])):
        with pytest.raises(Refused, match="NaN or"):
            call()
    with pytest.raises(Refused, match="must have 1 dimension;"):
        nats(real=np.zeros((3, 1)))


def test_validity_of_a_gaussian_law():
    """Surprise of N(0, I_D) is |x|^2 / 2 + const: draws of the law score 0.999, those of N(0, s^2 I) by chi-square.

    The quantiles of 100,000 draws carry noise of about sqrt(0.0005 / 10^5) = 7e-5 at each end.
    """
    d, rng = 20, np.random.default_rng(2)
    law = 0.5 * np.square(rng.normal(size=(100_000, d))).sum(axis=1)
    low, high = stats.chi2.ppf([0.0005, 0.9995], d)
    for scale in (1.0, 1.3, 0.7):
        fake = 0.5 * np.square(scale * rng.normal(size=(50_000, d))).sum(axis=1)
        expected = np.diff(stats.chi2.cdf(np.array([low, high]) / scale**2, d))[0]
        error = math.sqrt(expected * (1 - expected) / 50_000)
        assert validity(real=law, fake=fake) == pytest.approx(expected, abs=4 * error + 0.005 * (scale != 1) + 3e-4)
    assert expected < 0.999


def test_validity_looks_at_both_ends():
    """The likeliest image of all is not typical; an impossible one is not either."""
    law = np.random.default_rng(3).normal(100, 5, size=5_000)
    assert validity(real=law, fake=np.array([100.0, 50.0, 150.0, np.inf])) == 0.25
    with pytest.raises(Refused, match="at least 2000"):
        validity(real=law[:1_999], fake=law)
    with pytest.raises(Refused, match="NaN"):
        validity(real=law, fake=np.array([np.nan]))
