"""Intervals, tests, ranks and fronts against closed forms, other implementations and simulated coverage."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats as scipy_stats

from genbench import stats
from genbench.errors import Refused


def test_the_module_needs_neither_torch_nor_scipy_to_be_imported():
    code = "import sys, genbench.stats; assert not {'torch', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_mean_interval_is_students():
    x = np.random.default_rng(0).normal(size=9)
    low, high = scipy_stats.t.interval(0.9, 8, loc=x.mean(), scale=scipy_stats.sem(x))
    interval = stats.mean_interval(x, level=0.9)
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (989, 1000)])
def test_wilson_agrees_with_scipy(successes, n):
    expected = scipy_stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    interval = stats.wilson(successes, n)
    assert (interval.low, interval.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert 0 <= interval.low <= successes / n <= interval.high <= 1


def test_jackknife_of_a_mean_with_single_groups_is_its_standard_error():
    """For T = mean and G = n: T_i - mean T_i = (mean - x_i) / (n - 1), so that v = s^2 / n exactly."""
    x = np.random.default_rng(1).normal(size=17)
    replicates = stats.leave_group_out(lambda real, fake: fake.mean(), None, x, groups=17, resample=("fake",))
    variance, df = stats.jackknife_variance(replicates)
    assert variance == pytest.approx(x.var(ddof=1) / 17)
    assert df == pytest.approx(16)
    interval, expected = stats.jackknife_interval(replicates), stats.mean_interval(x)
    assert (interval.low, interval.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_jackknife_variances_of_two_samples_add():
    rng = np.random.default_rng(2)
    real, fake = rng.normal(size=(40, 2)), 3 * rng.normal(size=(60, 2))

    def difference(real, fake):
        return real.mean() - fake.mean()

    both = stats.leave_group_out(difference, real, fake)
    one = stats.leave_group_out(difference, real, fake, resample=("real",))
    other = stats.leave_group_out(difference, real, fake, resample=("fake",))
    variances = [stats.jackknife_variance(replicates)[0] for replicates in (both, one, other)]
    assert variances[0] == pytest.approx(variances[1] + variances[2])
    assert 19 <= stats.jackknife_variance(both)[1] <= 38


def test_jackknife_groups_are_fixed_and_even():
    """Each observation is left out once, nothing is drawn twice, and the same n gives the same groups."""
    seen = []
    stats.leave_group_out(lambda real, fake: seen.append(set(fake)) or 0.0, None, np.arange(50), 20, ("fake",))
    left_out = [seen[0] - kept for kept in seen[1:]]
    assert len(left_out) == 20
    assert sorted(i for group in left_out for i in group) == list(range(50))
    assert {len(group) for group in left_out} == {2, 3}
    np.testing.assert_array_equal(stats.groups_of(50), stats.groups_of(50))
    assert stats.groups_of(5).tolist() != [0, 1, 2, 3, 4]
    assert sorted(stats.groups_of(5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("order", [lambda x: x, np.sort, lambda x: np.sort(x).reshape(20, 50).T.reshape(-1)])
def test_the_order_of_the_data_does_not_line_up_with_the_groups(order):
    """Shuffled, sorted, or cycling with a period of twenty: the jackknife of a mean finds its standard error."""
    x = order(np.random.default_rng(7).normal(size=1000))
    errors = [
        np.sqrt(
            stats.jackknife_variance(stats.leave_group_out(lambda real, fake: fake.mean(), None, x, g, ("fake",)))[0]
        )
        for g in (20, 50)
    ]
    np.testing.assert_allclose(errors, x.std() / np.sqrt(1000), rtol=0.6)


def test_constant_statistics_have_no_width():
    interval = stats.jackknife(lambda real, fake: 2.5, np.zeros(30), np.zeros(30))
    assert (interval.low, interval.high) == (2.5, 2.5)


def test_share_interval_keeps_a_width_at_its_ends_and_grows_with_dependence():
    certain = stats.Replicates(value=1.0, fake=np.ones(20))
    assert 0.99 < stats.share_interval(certain, 1000).low < 1.0
    rng = np.random.default_rng(3)
    loose = stats.Replicates(value=0.5, fake=0.5 + 0.01 * rng.normal(size=20))
    tight = stats.Replicates(value=0.5, fake=0.5 + 1e-6 * rng.normal(size=20))
    plain = stats.wilson(500, 1000)
    wide, narrow = stats.share_interval(loose, 1000), stats.share_interval(tight, 1000)
    assert wide.high - wide.low > 2 * (plain.high - plain.low)
    assert narrow.high - narrow.low == pytest.approx(plain.high - plain.low, rel=0.1)


def test_intervals_are_clipped_to_a_range():
    clipped = stats.Interval(low=-0.2, high=0.3, method="m").clipped(0.0, np.inf)
    assert (clipped.low, clipped.high, clipped.method) == (0.0, 0.3, "m")
    assert stats.Interval(low=-2, high=-1, method="").clipped(0, 1).high == 0


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04; the last is raised to 0.06."""
    np.testing.assert_allclose(stats.holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(stats.holm([0.9, 0.8]), [1.0, 1.0])
    assert stats.holm([]).shape == (0,)


def test_ties_are_not_transitive():
    """A ~ B and B ~ C but A and C apart: two overlapping runs."""
    p = np.array([[1, 0.5, 0.001], [0.5, 1, 0.5], [0.001, 0.5, 1]])
    assert stats.tie_groups([1.0, 2.0, 3.0], p) == [(0, 1), (1, 2)]
    assert stats.rank_intervals([1.0, 2.0, 3.0], p) == [(1, 2), (1, 3), (2, 3)]
    assert stats.tie_groups([1.0, 2.0, 3.0], np.ones((3, 3))) == [(0, 1, 2)]


def test_pareto_front():
    points = np.array([[1.0, 5.0], [2.0, 4.0], [2.0, 6.0], [3.0, 4.0], [1.0, 5.0]])
    assert stats.pareto_front(points, ["lower", "lower"]).tolist() == [True, True, False, False, True]
    assert stats.pareto_front(points, ["lower", "higher"]).tolist() == [True, False, True, False, True]
    assert stats.pareto_front(np.zeros((0, 2)), ["lower", "lower"]).tolist() == []


def test_pareto_front_against_brute_force():
    points = np.random.default_rng(6).integers(0, 5, size=(60, 3)).astype(float)
    directions = ["lower", "higher", "lower"]
    signed = points * [1, -1, 1]
    expected = [not any((other <= one).all() and (other < one).any() for other in signed) for one in signed]
    assert stats.pareto_front(points, directions).tolist() == expected


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: stats.mean_interval([1.0]), "at least 2"),
        (lambda: stats.mean_interval([1.0, np.nan]), "1 values that are not finite"),
        (lambda: stats.mean_interval(np.zeros((2, 2))), "one-dimensional"),
        (lambda: stats.wilson(5, 4), "5 of 4"),
        (lambda: stats.wilson(0, 0), "n > 0"),
        (lambda: stats.groups_of(1), "at least 2 observations"),
        (lambda: stats.holm([0.5, 1.2]), "lies in"),
        (lambda: stats.rank_intervals([1, 2], np.ones((3, 3))), "square matrix"),
        (lambda: stats.rank_intervals([1, 2], np.ones((2, 2)), better="up"), "not 'up'"),
        (lambda: stats.pareto_front([[1, 2]], ["lower"]), "1 directions"),
        (lambda: stats.pareto_front([[1.0]], ["up"]), "not 'up'"),
        (lambda: stats.pareto_front([[np.nan]], ["lower"]), "finite"),
    ],
)
def test_bad_input_is_refused(call, sentence):
    with pytest.raises(Refused, match=sentence):
        call()
