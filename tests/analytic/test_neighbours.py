"""Balls around points: exact against brute force, whatever the precision, the ties, the tiles and the order."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genbench.errors import Refused, Undefined
from genbench.metrics import distances, halves, neighbours
from genbench.metrics.clipped_coverage import METRIC as CLIPPED_COVERAGE
from genbench.metrics.clipped_coverage import clipped_coverage, expected
from genbench.metrics.clipped_density import METRIC as CLIPPED_DENSITY
from genbench.metrics.clipped_density import clipped_density
from genbench.metrics.coverage import METRIC as COVERAGE
from genbench.metrics.coverage import coverage
from genbench.metrics.density import METRIC as DENSITY
from genbench.metrics.density import density
from genbench.metrics.measure import measure
from genbench.metrics.nearest import nearest, nearest_others
from genbench.metrics.precision import METRIC as PRECISION
from genbench.metrics.precision import precision
from genbench.metrics.recall import METRIC as RECALL

METRICS = {m.fn.__name__: m for m in (PRECISION, RECALL, DENSITY, COVERAGE, CLIPPED_DENSITY, CLIPPED_COVERAGE)}


@pytest.fixture(autouse=True)
def forgetful():
    """What was counted for another test, perhaps in other tiles, is no answer."""
    neighbours._memory.clear()


def squared(a, b):
    return np.square(a[:, None].astype(np.float64) - b[None]).sum(axis=-1)


def brute(real, fake, k, tie):
    """All six, from whole matrices of squared distances; distances equal up to rounding are ties."""

    def below(distance, radius):
        return distance < radius * (1 - 1e-9) if tie == "<" else distance <= radius * (1 + 1e-9)

    among, across = squared(real, real), squared(real, fake)
    np.fill_diagonal(among, np.inf)
    of_fake = squared(fake, fake)
    np.fill_diagonal(of_fake, np.inf)
    radius, fake_radius = np.sort(among, axis=1)[:, k - 1], np.sort(of_fake, axis=1)[:, k - 1]
    inside = below(across, radius[:, None])
    clipped = np.minimum(radius, np.median(np.sqrt(radius)) ** 2)[:, None]
    crowd = (among <= clipped * (1 + 1e-9)).sum(axis=0)
    best = np.minimum(crowd, k).mean()
    held = np.minimum(below(across, clipped).sum(axis=0), k).mean()
    return {
        "precision": inside.any(axis=0).mean(),
        "recall": below(across, fake_radius).any(axis=1).mean(),
        "density": inside.sum() / (k * len(fake)),
        "coverage": inside.any(axis=1).mean(),
        "clipped_density": min(1.0, held / best) if best else None,
        "raw": np.minimum(inside.sum(axis=1), k).mean() / k,
    }


def data(kind, rng, n):
    x = rng.normal(size=(n, 3))
    if kind == "float32":
        return x.astype(np.float32)
    if kind == "lattice":
        return rng.integers(-2, 3, (n, 3)).astype(np.float64)
    if kind == "tenths":  # distances that are equal, and whose roundings are not
        return 0.1 * rng.integers(-3, 4, (n, 2))
    if kind == "repeated":
        return x[rng.integers(0, n // 3, n)]
    if kind == "tight":  # clusters that float32 products cannot see into
        return 1e-6 * x + 100.0 * rng.integers(0, 3, (n, 1))
    if kind == "tiny":
        return x * 1e-200
    if kind == "huge":
        return x * 1e307
    if kind == "outlier":
        x[0] = 1e9
    if kind == "line":
        return x[:, :1]
    return x


KINDS = ["float64", "float32", "lattice", "tenths", "repeated", "tight", "tiny", "huge", "outlier", "line"]


@pytest.mark.parametrize("tie", ["<", "<="])
@pytest.mark.parametrize("kind", KINDS)
def test_all_six_agree_with_brute_force(monkeypatch, kind, tie):
    monkeypatch.setattr(distances, "TILE", 40)
    rng = np.random.default_rng(0)
    real, fake = data(kind, rng, 130), data(kind, rng, 97)
    scale = {"tiny": 1e200, "huge": 1e-307}.get(kind, 1.0)  # squares of these would be 0 or infinite
    for k in (1, 3, 7):
        truth = brute(real * scale, fake * scale, k, tie)
        raw = truth.pop("raw")
        for name, value in truth.items():
            found = METRICS[name].fn(real=real, fake=fake, k=k, tie=tie)
            assert found == pytest.approx(value, rel=1e-12), (name, k)
        share = clipped_coverage(real=real, fake=fake, k=k, tie=tie)
        assert share == 1.0 or expected(130, 97 * share, k) == pytest.approx(raw, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_nearest_agrees_with_brute_force(monkeypatch, kind):
    monkeypatch.setattr(distances, "TILE", 40)
    rng = np.random.default_rng(1)
    a, b = data(kind, rng, 90), data(kind, rng, 110)
    p, q = distances.together(distances.rows_of(a, "a"), distances.rows_of(b, "b"))
    scale = {"tiny": 1e200, "huge": 1e-307}.get(kind, 1.0)
    all_pairs = squared(a * scale, b * scale)
    values, index = nearest(p, q, 4)
    unit = np.take_along_axis(all_pairs, index, axis=1)
    np.testing.assert_allclose(unit, np.sort(all_pairs, axis=1)[:, :4], rtol=1e-9)
    ratio = values[unit > 0] / unit[unit > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    values, index = nearest_others(p, 4)
    among = squared(a * scale, a * scale)
    np.fill_diagonal(among, np.inf)
    np.testing.assert_allclose(values * (1 / ratio[0]), np.sort(among, axis=1)[:, :4], rtol=1e-9)
    assert (index != np.arange(90)[:, None]).all()


def test_near_ties_are_decided_in_float64():
    """Distances that differ by 1e-7 of themselves, far below what a float32 product can tell apart."""
    rng = np.random.default_rng(2)
    direction = rng.normal(size=(400, 300))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    step = np.where(np.arange(400) % 2, 1 - 1e-7, 1 + 1e-7)
    real = np.concatenate([np.zeros((1, 300)), np.eye(300)[:1], 50 + rng.normal(size=(60, 300))])
    fake = direction * step[:, None]
    inside = squared(real[:1], fake)[0] < 1
    assert 190 < inside.sum() < 210
    held, _ = neighbours.counts("test", "real", real=real, fake=fake, k=1, tie="<", count_self=False)
    assert held.of_balls[0, 0] == inside.sum()
    np.testing.assert_array_equal(held.of_points[:, 0] - (squared(real[1:2], fake)[0] < 1), inside)


@pytest.mark.parametrize("precision", distances.PRECISIONS)
@pytest.mark.parametrize("kind", [*KINDS, "flat"])
def test_bounds_hold_and_are_as_narrow_as_they_say(kind, precision):
    """Beside an exact distance for each pair; "flat" rows round by as much as bfloat16 ever does."""
    rng = np.random.default_rng(12)
    a, b = ((data(kind, rng, n) * (1 + 2.0**-8) if kind == "flat" else data(kind, rng, n)) for n in (60, 70))
    if kind == "flat":
        a, b = np.sign(a) * (1 + 2.0**-8), np.sign(b) * (1 - 2.0**-9)
    p, q = distances.together(a, b)
    low = distances.lower_bounds(p.tile(slice(0, 60), precision), q.tile(slice(0, 70), precision)).astype(np.float64)
    i, j = (index.ravel() for index in np.indices(low.shape))
    truth = distances._from_differences(p, i, q, j)
    assert (low.ravel() <= truth).all()
    high = distances.upper_bounds(low.ravel(), p, i, q, j, precision)
    assert (high >= truth).all()
    width = {"bfloat16": 0.05, "float32": 1e-5, "float64": 1e-13}[precision]
    assert (high - low.ravel() <= width * (p.squares[i] + q.squares[j]) + 1e-30).all()


@pytest.mark.parametrize("tie", ["<", "<="])
@pytest.mark.parametrize("kind", KINDS)
def test_all_six_agree_with_brute_force_after_bfloat16_and_products(monkeypatch, kind, tie):
    """As wide features are treated: screened by a bfloat16 product, settled by float64 products of rows."""
    used = []
    monkeypatch.setattr(distances, "_multiplies_bfloat16", lambda: used.append(1) or True)
    monkeypatch.setattr(distances, "_WORTH", 0)
    monkeypatch.setattr(distances, "_WIDE", 1)
    monkeypatch.setattr(distances, "_SEVERAL", 1)
    test_all_six_agree_with_brute_force(monkeypatch, kind, tie)
    assert used


def test_products_settle_what_they_can_and_differences_the_rest():
    """Wide rows far from the origin, some of them almost equal: each to 1e-10 of itself."""
    rng = np.random.default_rng(13)
    a = 50 + rng.normal(size=(30, 600))
    a[7] = a[3] + 1e-7 * rng.normal(size=600)
    (p,) = distances.together(a)
    i, j = (index.ravel() for index in np.indices((30, 30)))
    np.testing.assert_allclose(distances.exact(p, i, p, j), distances._from_differences(p, i, p, j), rtol=1e-10)


def test_many_ties_need_no_exact_distances(monkeypatch):
    """Binary images tie by the hundred: bounds in float64 tell a tie from a difference."""
    pairs = []
    taken = distances._from_differences
    monkeypatch.setattr(distances, "_from_differences", lambda *args: pairs.append(len(args[1])) or taken(*args))
    rng = np.random.default_rng(14)
    real, fake = (rng.integers(0, 2, (n, 24)).astype(np.float64) for n in (1200, 400))
    assert METRICS["precision"].estimate(real=real, fake=fake).value == brute(real, fake, 3, "<=")["precision"]
    assert sum(pairs) < 0.07 * 1200 * 1200


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_are_found_and_rows_with_the_same_values_elsewhere_are_not(dtype):
    x = np.array([[1, 2, 0], [2, 1, 0], [1, 2, -0.0], [5, 5, 5], [2, 1, -0.0], [0, 1, 2]], dtype=dtype)
    assert distances.first_equal(x).tolist() == [0, 1, 0, 3, 1, 5]


def test_copies_in_masses_are_settled_once_a_kind(monkeypatch):
    """Clusters that float64 products cannot see into, each row hundreds of times: still exact."""
    rng = np.random.default_rng(15)
    kinds = data("tight", rng, 12)
    real, fake = kinds[rng.integers(0, 12, 500)], kinds[rng.integers(0, 12, 400)]
    fake[:200] += 3e-7
    for tie in ("<", "<="):
        truth = brute(real, fake, 3, tie)
        for name in ("precision", "recall", "density", "coverage"):
            assert METRICS[name].fn(real=real, fake=fake, k=3, tie=tie) == pytest.approx(truth[name], rel=1e-12)


def test_results_do_not_depend_on_the_tiles(monkeypatch):
    rng = np.random.default_rng(10)
    real, fake = rng.normal(size=(90, 4)), rng.normal(size=(70, 4)) * 1.3
    whole = {name: metric.estimate(real=real, fake=fake) for name, metric in METRICS.items()}
    neighbours._memory.clear()
    monkeypatch.setattr(distances, "TILE", 7)
    for name, metric in METRICS.items():
        assert metric.estimate(real=real, fake=fake) == whole[name]


ARGUMENTS = [{}, {"k": 2, "tie": "<="}, {"k": 4, "tie": "<", "count_self": True}]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_halves_are_those_of_the_function_itself(metric, arguments):
    """With copies and an outlier among them, and samples so poor that nothing is cut at 1."""
    rng = np.random.default_rng(8)
    clipped = metric in (CLIPPED_DENSITY, CLIPPED_COVERAGE)
    scale, shift = (2.0, 1.5) if clipped else (1.0, 1.0)
    real, fake = rng.normal(size=(61, 3)), rng.normal(size=(44, 3)) * scale + shift
    fake[5] = fake[9] = fake[11] = fake[12] = real[3] = real[4]
    of_real, of_fake = halves.halves_of(61, 0), halves.halves_of(44, 1)
    direct = [metric.fn(real=real[a], fake=fake[b], **arguments) for a, b in zip(of_real.T, of_fake.T, strict=True)]
    assert max(direct) < 1 or not clipped
    value = metric.fn(real=real, fake=fake, **arguments)
    share = 44 if metric in (PRECISION, RECALL, COVERAGE) else None
    interval = halves.halves_interval(value, np.array(direct), share)
    found = metric.estimate(real=real, fake=fake, **arguments)
    assert 0.1 < value < 0.97
    assert found.value == pytest.approx(value, rel=1e-12)
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert interval.low < value < interval.high


def test_halves_share_nothing_and_leave_out_one_at_most():
    for n in (40, 41):
        member = halves.halves_of(n, 0)
        assert (member.sum(axis=0) == n // 2).all()
        assert not (member[:, 0::2] & member[:, 1::2]).any()
        assert (member != halves.halves_of(n, 1)).any()
        assert (member == halves.halves_of(n, 0)).all()


def test_an_interval_of_halves_by_hand():
    """Halves that differ by 2 in every split: v = 2^2 / 4 = 1, and t with 20 degrees of freedom is 2.08596."""
    interval = halves.halves_interval(3.0, np.tile([4.0, 2.0], halves.SPLITS))
    assert (interval.low, interval.high) == pytest.approx((3 - 2.085963, 3 + 2.085963), abs=1e-6)
    share = halves.halves_interval(1.0, np.ones(2 * halves.SPLITS), share_of=50)
    assert share.low == pytest.approx(1 / (1 + 2.085963**2 / 50), abs=1e-6)
    assert share.high == 1.0


def test_one_pass_serves_all(monkeypatch):
    """The second metric finds what the first one counted; other features, or the same ones changed, do not."""
    passes = []
    counted = neighbours._tables
    monkeypatch.setattr(neighbours, "_tables", lambda *args: passes.append(1) or counted(*args))
    rng = np.random.default_rng(3)
    real, fake = rng.normal(size=(50, 3)), rng.normal(size=(60, 3))
    values = [metric.fn(real=real, fake=fake) for metric in METRICS.values()]
    assert len(passes) == 1
    real[0] += 3.0
    again = [metric.fn(real=real, fake=fake) for metric in METRICS.values()]
    assert len(passes) == 2
    assert values != again
    precision(real=real, fake=fake, k=9)
    assert len(passes) == 3


def test_k_may_count_the_centre_itself():
    """The fourth nearest, the centre being the first, is the third nearest other."""
    rng = np.random.default_rng(4)
    real, fake = rng.normal(size=(50, 3)), rng.normal(size=(60, 3))
    for metric in METRICS.values():
        assert metric.fn(real=real, fake=fake, k=4, count_self=True) == metric.fn(real=real, fake=fake, k=3)
        with pytest.raises(Refused, match="k is 1; it must lie between 2 and 50"):
            metric.fn(real=real, fake=np.concatenate([fake[:50]]), k=1, count_self=True)


def test_all_features_equal():
    """Every radius and every distance is 0: inside under "<=", outside under "<"."""
    x = np.full((50, 7), 0.1)
    real, fake = x, x[:20]
    for name in ("precision", "recall", "coverage", "clipped_coverage"):
        assert METRICS[name].fn(real=real, fake=fake, tie="<") == 0.0
        assert METRICS[name].fn(real=real, fake=fake, tie="<=") == 1.0
    assert density(real=real, fake=fake) == 0.0
    assert density(real=real, fake=fake, tie="<=") == 50 / 5
    assert clipped_density(real=real, fake=fake) == 1.0
    assert clipped_density(real=real, fake=fake, tie="<") == 0.0
    assert clipped_density(real=real, fake=fake + 1) == 0.0


def test_the_median_is_that_of_the_radii():
    """Radii 1, 1, 10, 10: their median is 5.5, so that the clipped ball around 100 does not reach down to 93.5."""
    real = np.array([[0.0], [1.0], [100.0], [110.0]])
    assert clipped_density(real=real, fake=np.array([[93.5]]), k=1) == 0.0
    assert clipped_density(real=real, fake=np.array([[94.6]]), k=1) == 1.0


def test_no_clipped_ball_holds_another():
    """More than half of the radii are 0, so that their median is; under "<=" those copies still hold each other."""
    rng = np.random.default_rng(5)
    real = np.concatenate([np.zeros((40, 2)), rng.normal(size=(9, 2))])
    assert clipped_density(real=real, fake=real) == 1.0
    assert clipped_density(real=real, fake=real + 7) == 0.0


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: np.where(x > 1, np.nan, x), "NaN or infinite"),
        (lambda x: np.where(x > 1, -np.inf, x), "NaN or infinite"),
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
    with pytest.raises(Refused, match=f"{metric.fn.__name__}.*{sentence}"):
        metric.fn(real=x, fake=change(x))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_bad_arguments_are_refused(metric):
    x = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(Refused, match="k is 30; it must lie between 1 and 29 with 30 centres"):
        metric.fn(real=x, fake=x, k=30)
    with pytest.raises(Refused, match="tie is '>'"):
        metric.fn(real=x, fake=x, tie=">")
    with pytest.raises(Refused, match="k is 15; it must lie between 1 and 14 with 30 centres, for an interval"):
        metric.estimate(real=x, fake=x, k=15)
    one = metric.fn(real=x[:1] if metric is RECALL else x, fake=x if metric is RECALL else x[:1])
    assert 0 <= one < 10


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_integer_features_do_not_overflow(metric):
    x = np.random.default_rng(0).integers(0, 256, (60, 4)).astype(np.uint8)
    for dtype in (np.int8, np.int64, np.float16):
        y = (x % 128).astype(dtype)
        assert metric.fn(real=y, fake=y[:30][::-1]) == metric.fn(real=(x % 128) * 1.0, fake=(x % 128)[:30] * 1.0)


features = st.floats(-100, 100, width=32)


@st.composite
def feature_pairs(draw):
    d, n, m = draw(st.integers(1, 5)), draw(st.integers(7, 14)), draw(st.integers(7, 14))
    return draw(arrays(np.float32, (n, d), elements=features)), draw(arrays(np.float32, (m, d), elements=features))


@settings(max_examples=60, deadline=None)
@given(feature_pairs(), st.integers(0, 2**32 - 1), st.sampled_from(["<", "<="]))
def test_order_scale_and_rank_deficiency_do_not_matter(pair, seed, tie):
    """Rows and columns in another order, another power of two, a column of zeros, a shift by whole numbers."""
    real, fake = pair
    rng = np.random.default_rng(seed)
    columns = rng.permutation(real.shape[1])
    for metric in METRICS.values():
        try:
            value = metric.fn(real=real, fake=fake, tie=tie)
        except Undefined:
            continue
        assert 0 <= value <= (len(real) / 5 if metric is DENSITY else 1)

        def moved(x, columns=columns):
            return np.pad(8.0 * rng.permutation(x)[:, columns], [(0, 0), (0, 2)])

        assert metric.fn(real=moved(real), fake=moved(fake), tie=tie) == pytest.approx(value, rel=1e-12)


def test_rotation_and_shift_do_not_matter():
    rng = np.random.default_rng(6)
    real, fake = rng.normal(size=(80, 4)), rng.normal(size=(70, 4)) + 0.5
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    for metric in METRICS.values():
        value = metric.fn(real=real, fake=fake)
        assert value > 0
        assert metric.fn(real=real @ rotation + 1e4, fake=fake @ rotation + 1e4) == pytest.approx(value, rel=1e-12)


def test_expected_clipped_coverage_by_enumeration():
    """All orders of m - 1 real and n fake features on the way out from a real one are equally likely.

    B counts the fakes before the k-th real one. The mean of min(1, B / k) over the orders is `expected`.
    """
    for m, n, k in [(5, 3, 2), (4, 4, 3), (7, 2, 1)]:
        values = []
        for order in product([0, 1], repeat=m - 1 + n):
            if sum(order) == n:
                end = np.flatnonzero(np.array(order) == 0)[k - 1]
                values.append(min(1.0, sum(order[:end]) / k))
        assert expected(m, n, k) == pytest.approx(np.mean(values), rel=1e-12)
    assert expected(1000, 0, 5) == pytest.approx(0.0, abs=1e-12)
    shares = [expected(200, n / 4, 5) for n in range(1200)]
    assert (np.diff(shares) > 0).all()


def test_clipped_metrics_are_shares_of_good_samples():
    """A share q of samples from the law itself, the others far away: both are q, up to noise, outliers or not.

    A tenth of the real features lie anywhere in a box ten times as wide: density and coverage are moved by them.
    """
    rng = np.random.default_rng(7)
    for q in (0.25, 0.6, 1.0):
        for outliers in (0, 60):
            real, fake = rng.normal(size=(1200, 8)), rng.normal(size=(1200, 8))
            real[:outliers] = rng.uniform(-30, 30, (outliers, 8))
            fake[int(q * 1200) :] += 1000.0
            assert clipped_density(real=real, fake=fake) == pytest.approx(q, abs=0.06)
            if not outliers:
                assert clipped_coverage(real=real, fake=fake) == pytest.approx(q, abs=0.06)


def test_an_outlier_makes_a_large_ball_and_the_clipped_do_not_notice():
    rng = np.random.default_rng(11)
    real, fake = rng.normal(size=(300, 4)), rng.normal(size=(300, 4)) + 6
    assert precision(real=real, fake=fake) < 0.05
    real[0] = 9.0
    assert precision(real=real, fake=fake) > 0.95
    assert clipped_density(real=real, fake=fake) < 0.05


def expected_coverage(n, m, k):
    return 1 - math.prod((n - j) / (n + m - j) for j in range(1, k + 1))


def test_expected_density_and_coverage_of_real_against_real():
    """The k nearest of the n - 1 + m others of a real feature are all real with P = prod (n - j) / (n + m - j), and a
    fake one lies inside its ball otherwise; each ball holds k / n of the law in the mean (Naeem and others, 2020)."""
    rng, repeats = np.random.default_rng(5), 60
    pairs = [(rng.normal(size=(150, 4)), rng.normal(size=(100, 4))) for _ in range(repeats)]
    for fn, k, truth in [
        (coverage, 5, expected_coverage(150, 100, 5)),
        (coverage, 3, expected_coverage(150, 100, 3)),
        (density, 5, 1.0),
    ]:
        values = [fn(real=real, fake=fake, k=k) for real, fake in pairs]
        error = np.std(values) / math.sqrt(repeats)
        assert abs(np.mean(values) - truth) < 4 * error < 0.1


def alike(rng):
    """Both from one law: coverage and density have known expectations."""
    return {"real": rng.normal(size=(120, 3)), "fake": rng.normal(size=(90, 3))}


def apart(rng):
    return {"real": rng.normal(size=(200, 4)), "fake": rng.normal(size=(160, 4)) * 1.3 + 0.6}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "truth"),
    [(alike, {"density": 1.0, "coverage": expected_coverage(120, 90, 5)}), (apart, dict.fromkeys(METRICS))],
)
def test_intervals_cover_the_expected_value(draw, truth):
    """The known expectation, or the mean of all values where only simulation knows it."""
    rng = np.random.default_rng(0)
    found = {name: [] for name in truth}
    for _ in range(1000):
        sides = draw(rng)
        for name, values in found.items():
            values.append(measure(name, METRICS[name], **sides, protocol=""))
    covered = {}
    for name, measured in found.items():
        target = np.mean([m.value for m in measured]) if truth[name] is None else truth[name]
        covered[name] = np.mean([m.low <= target <= m.high for m in measured])
    print(covered)  # noqa: T201
    assert all(0.93 <= share <= 0.97 for share in covered.values()), covered
