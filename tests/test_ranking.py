"""Tests of pairs, ranks and fronts against scipy, by hand, and by simulation: errors are rare, ranks are covered."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from genbench import ranking, stats
from genbench.errors import Refused
from genbench.ranking import Measured


def seeded(*values, seeds=None, **more):
    """An estimate from the values of several seeds."""
    return Measured(
        values=values, seeds=tuple(range(len(values))) if seeds is None else seeds, low=-1e3, high=1e3, **more
    )


def lone(value, low, high, **more):
    """An estimate of one seed with its interval."""
    return Measured(values=(value,), seeds=(0,), low=low, high=high, **more)


def test_seeds_are_compared_by_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=3), 1 + 4 * rng.normal(size=4)
    found = ranking.tests([seeded(*a), seeded(*b)])
    expected = scipy_stats.ttest_ind(a, b, equal_var=False)
    assert found.p[0, 1] == found.p[1, 0] == pytest.approx(expected.pvalue)
    assert found.df[0, 1] == pytest.approx(expected.df)
    assert found.difference[0, 1] == pytest.approx(a.mean() - b.mean())
    d = ranking.difference(seeded(*a), seeded(*b))
    low, high = expected.confidence_interval(0.95)
    assert (d.low, d.high) == (pytest.approx(-high), pytest.approx(-low))


def test_five_seeds_in_common_are_compared_in_pairs():
    rng = np.random.default_rng(1)
    a = 10 * rng.normal(size=5)
    b = a + 1 + rng.normal(size=5)
    one, other = seeded(*a), seeded(*b)
    assert ranking.tests([one, other]).p[0, 1] == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue)
    elsewhere = seeded(*b, seeds=(0, 1, 2, 3, 9))
    unpaired = scipy_stats.ttest_ind(a, b, equal_var=False).pvalue
    assert ranking.tests([one, elsewhere]).p[0, 1] == pytest.approx(unpaired)


def test_lone_seeds_are_compared_by_their_intervals():
    """Symmetric intervals v +- 1.96 e: the z test. Asymmetric ones: the halves that face each other count."""
    z = stats.normal_quantile()
    found = ranking.tests([lone(0.0, -z * 0.3, z * 0.3), lone(1.0, 1 - z * 0.4, 1 + z * 0.4)])
    assert found.p[0, 1] == pytest.approx(2 * scipy_stats.norm.sf(2.0))
    found = ranking.tests([lone(0.0, -9.0, z * 0.3), lone(1.0, 1 - z * 0.4, 99.0)])
    assert found.p[0, 1] == pytest.approx(2 * scipy_stats.norm.sf(2.0))
    wide = ranking.tests([lone(0.0, -9.0, z * 0.3), lone(-1.0, -1 - z * 0.4, 99.0)])
    assert wide.p[0, 1] > 0.9


def test_an_interval_of_another_level_is_brought_to_an_error():
    found = ranking.tests([lone(0.0, -1.0, 1.0, level=0.68268949), lone(2.0, 2.0, 2.0)])
    assert found.error[0, 1] == pytest.approx(1.0, abs=1e-6)


def test_images_are_compared_in_pairs():
    rng = np.random.default_rng(2)
    a = 30 * rng.normal(size=50)
    b = a + 0.2 + 0.3 * rng.normal(size=50)
    one, other = (lone(x.mean(), x.mean() - 9, x.mean() + 9, images=x, image_set="test") for x in (a, b))
    assert ranking.tests([one, other]).p[0, 1] == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue)
    stranger = lone(b.mean(), b.mean() - 9, b.mean() + 9, images=b, image_set="another")
    assert ranking.tests([one, stranger]).p[0, 1] > 0.5


def test_the_spread_over_seeds_is_added_to_that_of_the_images():
    """v = s^2(a - b) / N + s_a^2 / S + s_b^2 / S, with Satterthwaite's degrees of freedom."""
    rng = np.random.default_rng(3)
    a, b = 30 * rng.normal(size=(2, 20))
    one = seeded(1.0, 2.0, 3.0, images=a)
    other = seeded(4.0, 8.0, images=b)
    parts = [((a - b).var(ddof=1) / 20, 19), (1 / 3, 2), (8 / 2, 1)]
    total = sum(v for v, _ in parts)
    found = ranking.tests([one, other])
    assert found.error[0, 1] ** 2 == pytest.approx(total)
    assert found.df[0, 1] == pytest.approx(total**2 / sum(v**2 / df for v, df in parts))
    assert found.p[0, 1] == pytest.approx(2 * scipy_stats.t.sf(4 / np.sqrt(total), found.df[0, 1]))
    assert ranking.difference(one, other).method == "pairs of images (20), spread over seeds added"


def test_images_lend_no_degrees_of_freedom_to_the_seeds():
    """Seeds and images with a variance of 2/3 each: t = 10 / sqrt(4/3) with 4 + degrees would pass for p < 1e-5."""
    rng = np.random.default_rng(8)
    noise = rng.normal(size=50)
    noise *= np.sqrt(2 / 3 * 50) / noise.std(ddof=1)
    a, b = (0.0, 1.0, 2.0), (10.0, 11.0, 12.0)
    one, other = seeded(*a, images=np.zeros(50)), seeded(*b, images=noise)
    variance, df = (part[0, 1] for part in ranking._paired(one.paired_over, [one, other]))
    assert variance == pytest.approx(4 / 3)
    assert 2 * scipy_stats.t.sf(10 / np.sqrt(variance), df) < 1e-5
    found = ranking.tests([one, other])
    assert found.p[0, 1] == pytest.approx(scipy_stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert found.p[0, 1] > 1e-4
    assert (found.error[0, 1] ** 2, found.df[0, 1]) == (pytest.approx(2 / 3), pytest.approx(4))


def test_the_interval_is_of_the_test_that_gave_the_p_value():
    """Two seeds each: v = 1/2, two degrees of freedom. With the images' 16/49 about five: 0 would be left out."""
    a, b = seeded(0.0, 1.0, images=np.zeros(50)), seeded(2.7, 3.7, images=np.tile([-4.0, 4.0], 25))
    variance, df = (part[0, 1] for part in ranking._paired(a.paired_over, [a, b]))
    assert scipy_stats.t.ppf(0.975, df) * np.sqrt(variance) < 2.7
    found = ranking.difference(a, b)
    welch = scipy_stats.ttest_ind(b.values, a.values, equal_var=False)
    low, high = welch.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == tuple(map(pytest.approx, (welch.pvalue, low, high)))
    assert found.low < 0 < found.high
    assert found.p > 0.05
    assert found.method == "Welch over seeds (2, 2)"


def test_noise_that_is_not_known_separates_nothing():
    """Of a number that was observed once an interval of no width says nothing; a spread over seeds does."""
    alone = lone(100.0, 100.0, 100.0, once=True)
    estimates = [alone, lone(106.0, 106.0, 106.0, once=True), lone(50.0, 50.0, 50.0), seeded(1.0, 2.0, 3.0)]
    found = ranking.tests(estimates)
    assert found.p[0].tolist() == found.p[:, 0].tolist() == [1.0] * 4
    assert found.p[2, 3] < 1e-3, "the others are tested as ever"
    assert ranking.ranks(estimates, "lower")[0] == ranking.joint_ranks(estimates, "lower")[0] == (1, 4)
    a, b = np.arange(3.0), 50 + np.arange(3.0)
    spread = ranking.tests([seeded(*a, once=True), seeded(*b, once=True)])
    assert spread.p[0, 1] == pytest.approx(scipy_stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_without_any_error_only_equal_numbers_are_equal():
    found = ranking.tests([lone(8.0, 8.0, 8.0), lone(8.0, 8.0, 8.0), lone(7.0, 7.0, 7.0)])
    assert found.p.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    same = np.arange(9.0)
    found = ranking.tests([lone(4.0, 3.0, 5.0, images=same), lone(4.0, 3.0, 5.0, images=same)])
    assert found.p[0, 1] == 1.0


def test_a_wide_row_does_not_blur_the_pairs_of_narrow_ones():
    rng = np.random.default_rng(4)
    a = rng.normal(size=40)
    b = a + 1e-4 * rng.normal(size=40)
    wide = 1e9 * rng.normal(size=40)
    estimates = [lone(x.mean(), x.mean(), x.mean(), images=x) for x in (a, b, wide)]
    assert ranking.tests(estimates).p[0, 1] == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue, rel=1e-3)


def test_ranks_by_hand():
    estimates = [lone(v, v - 1, v + 1) for v in (9.0, 3.0, 4.3)]
    assert ranking.ranks(estimates, "lower") == [(3, 3), (1, 2), (1, 2)]
    assert ranking.ranks(estimates, "higher") == [(1, 1), (2, 3), (2, 3)]


def test_pairs_separate_what_the_spread_of_the_images_hides():
    """Two that differ by noise and one that is clearly worse, over the same images."""
    rng = np.random.default_rng(9)
    shared = 5 * rng.normal(size=400)
    images = [shared + 0.5 * rng.normal(size=400) + shift for shift in (0.3, 0.0, 0.01)]
    estimates = [lone(x.mean(), x.mean() - 0.5, x.mean() + 0.5, images=x) for x in images]
    assert ranking.ranks(estimates, "lower") == [(3, 3), (1, 2), (1, 2)]
    values, p = [x.mean() for x in images], ranking.tests(estimates).adjusted()
    assert [set(group) for group in stats.tie_groups(values, p)] == [{1, 2}, {0}]
    assert p[0, 1] < 1e-12 < scipy_stats.ttest_ind(images[0], images[1]).pvalue


def test_joint_ranks_count_the_intervals_on_either_side():
    estimates = [lone(v, v - 1, v + 1) for v in (9.0, 3.0, 4.3, 30.0)]
    assert ranking.joint_ranks(estimates, "lower") == [(3, 3), (1, 2), (1, 2), (4, 4)]
    assert ranking.joint_ranks(estimates, "higher") == [(2, 2), (3, 4), (3, 4), (1, 1)]
    assert ranking.joint_ranks([], "lower") == []


def test_many_estimates_take_the_joint_intervals():
    estimates = [lone(float(v), v - 0.1, v + 0.1) for v in range(ranking.ALL_PAIRS + 1)]
    assert ranking.ranks(estimates, "lower") == ranking.joint_ranks(estimates, "lower")
    assert ranking.ranks(estimates, "lower")[7] == (8, 8)


@pytest.mark.parametrize("function", [ranking.ranks, ranking.joint_ranks])
@pytest.mark.parametrize("seeds", [1, 3, 6])
def test_rank_intervals_cover_the_true_ranks(function, seeds):
    """Six models, two of them equal, with errors that differ fourfold: all intervals hold in 95% of 400 tables."""
    truth, scale = np.array([0.0, 0.0, 1.0, 2.0, 4.0, 9.0]), np.array([0.5, 1.0, 0.25, 1.0, 0.5, 1.0])
    firsts, lasts = 1 + (truth[None] < truth[:, None]).sum(1), (truth[None] <= truth[:, None]).sum(1)
    rng = np.random.default_rng(seeds)
    held, narrow = 0, 0
    for _ in range(400):
        x = truth[:, None] + scale[:, None] * rng.normal(size=(6, seeds))
        estimates = [
            lone(v[0], v[0] - 1.96 * s, v[0] + 1.96 * s) if seeds == 1 else seeded(*v)
            for v, s in zip(x, scale, strict=True)
        ]
        found = np.array(function(estimates, "lower"))
        # an equal model's true rank is any of those that it shares; the interval must hold one of them
        held += bool(((found[:, 0] <= lasts) & (found[:, 1] >= firsts)).all())
        narrow += (found[:, 1] - found[:, 0]).mean() < 5
    assert held >= 0.95 * 400 - 2 * np.sqrt(400 * 0.05 * 0.95)
    assert narrow > 0 or seeds == 3, "something is separated"


@pytest.mark.parametrize("kind", ["one seed", "three seeds", "six seeds", "images", "images and seeds"])
def test_holm_keeps_false_separations_rare(kind):
    """Eight equal models with unequal errors: in at most 5% of 400 tables is any pair separated."""
    rng = np.random.default_rng(5)
    scale = np.exp(rng.normal(size=8))
    wrong = 0
    for _ in range(400):
        if kind == "one seed":
            values = scale * rng.normal(size=8)
            estimates = [lone(v, v - 1.96 * s, v + 1.96 * s) for v, s in zip(values, scale, strict=True)]
        elif kind in ("three seeds", "six seeds"):
            count = 3 if kind == "three seeds" else 6
            estimates = [seeded(*row) for row in scale[:, None] * rng.normal(size=(8, count))]
        else:
            count = 1 if kind == "images" else 3
            shared = 5 * rng.normal(size=40)
            trained = scale[:, None] * rng.normal(size=(8, count)) if count > 1 else np.zeros((8, 1))
            images = shared + 0.3 * rng.normal(size=(8, count, 40)) + trained[:, :, None]
            estimates = [
                Measured(values=tuple(x.mean(axis=1)), seeds=tuple(range(count)), low=-9, high=9, images=x.mean(axis=0))
                for x in images
            ]
        wrong += bool((ranking.tests(estimates).adjusted() < 0.05).any())
    assert wrong <= 0.05 * 400 + 2 * np.sqrt(400 * 0.05 * 0.95)


def test_intervals_of_differences_cover():
    """Welch's intervals of b - a, three seeds each, spreads of 1 and 3: at least 93% of 1,000 hold the truth."""
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(1000):
        d = ranking.difference(seeded(*rng.normal(size=3)), seeded(*(1 + 3 * rng.normal(size=3))))
        held += d.low <= 1 <= d.high
    assert 930 <= held <= 985


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_intervals_of_paired_differences_cover_and_agree_with_p(seeds):
    """Images in pairs plus seeds, each about half of the variance: 93% of 1,000 hold 1, and 0 just where p >= 0.05."""
    rng = np.random.default_rng(seeds)
    held, welch = 0, 0
    for _ in range(1000):
        shared = 5 * rng.normal(size=40)
        trained = np.sqrt(seeds / 2) * rng.normal(size=(2, seeds, 1)) + np.array([0.0, 1.0])[:, None, None]
        own = np.sqrt(40 / 2) * rng.normal(size=(2, 1, 40))
        a, b = (
            Measured(values=tuple(x.mean(axis=1)), seeds=tuple(range(seeds)), low=-9, high=9, images=x.mean(axis=0))
            for x in shared + own + trained
        )
        d = ranking.difference(a, b)
        held += d.low <= 1 <= d.high
        welch += d.method.startswith("Welch")
        assert (d.low <= 0 <= d.high) == (d.p >= 0.05)
    assert held >= 1000 * 0.95 - 2 * np.sqrt(1000 * 0.05 * 0.95)
    assert 0 < welch < 1000


def test_dominated_beyond_the_intervals():
    """Lower is better. 1 is beaten by 0 in value only, 2 whatever the truth is, 3 on the front by its second number."""
    values = np.array([[1.0, 1.0], [1.5, 1.5], [9.0, 9.0], [20.0, 0.5]])
    found = ranking.dominance(values, values - 1, values + 1, ["lower", "lower"])
    assert found.front.tolist() == [True, False, False, True]
    assert found.beyond.tolist() == [False, False, True, False]
    turned = ranking.dominance(-values, -values - 1, -values + 1, ["higher", "higher"])
    assert turned.beyond.tolist() == found.beyond.tolist()


def test_dominance_against_brute_force():
    rng = np.random.default_rng(7)
    values = rng.integers(0, 6, size=(80, 3)).astype(float)
    below, above = rng.integers(0, 2, size=(2, 80, 3)).astype(float)
    directions = ["lower", "higher", "lower"]
    found = ranking.dominance(values, values - below, values + above, directions)
    sign = np.array([1, -1, 1])
    good = np.where(sign > 0, values - below, -(values + above))
    bad = np.where(sign > 0, values + above, -(values - below))
    expected = [any((b <= g).all() and (b < g).any() for b in bad) for g in good]
    assert found.beyond.tolist() == expected
    assert found.front.tolist() == stats.pareto_front(values, directions).tolist()
    assert 0 < sum(expected) < 80


def test_what_is_no_number_is_refused():
    with pytest.raises(Refused, match="finite"):
        lone(1.0, float("nan"), 2.0)
    with pytest.raises(Refused, match="as many seeds"):
        Measured(values=(1.0, 2.0), seeds=(0,), low=0, high=3)
    with pytest.raises(Refused, match="not 'up'"):
        ranking.joint_ranks([lone(1.0, 0.0, 2.0)], "up")
