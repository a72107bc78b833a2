"""Metrics on images and their reconstructions against closed forms; the coverage of their intervals, too."""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest

from genbench import catalog
from genbench.errors import Refused, Undefined
from genbench.metrics.inception_score import inception_score
from genbench.metrics.measure import measure
from genbench.metrics.ms_ssim import ms_ssim, multiscale, scale_weights
from genbench.metrics.psnr import psnr
from genbench.metrics.reconstruction_error import reconstruction_error
from genbench.metrics.similarity import C1, C2, similarity, window_of
from genbench.metrics.ssim import ssim

PAIRS = [psnr, ssim, reconstruction_error]


def constant(*greys, size=8, channels=1):
    """One image of each grey."""
    return np.tile(np.reshape(np.asarray(greys, float), (-1, 1, 1, 1)), (1, channels, size, size))


def luminance(a, b):
    return (2 * a * b + C1) / (a**2 + b**2 + C1)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape)


# --- reconstructions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.5, 0.1, 1e-3, -0.25])
def test_a_constant_offset(offset):
    """MSE = offset^2 and PSNR = -20 log10 |offset|, whatever the image."""
    real = noise(5, 3, 6, 7) * 0.25 + 0.25
    assert psnr(real=real, fake=real + offset) == pytest.approx(-20 * math.log10(abs(offset)), rel=1e-12)
    assert reconstruction_error(real=real, fake=real + offset) == pytest.approx(offset**2, rel=1e-12)


def test_psnr_is_a_mean_over_images_and_not_of_the_error():
    """Offsets 0.1 and 0.01: 20 dB and 40 dB, mean 30; the ratio of the mean error would be 22.97."""
    real, fake = constant(0.3, 0.3), constant(0.4, 0.31)
    assert psnr(real=real, fake=fake) == pytest.approx(30, rel=1e-12)
    assert psnr(real=constant(0), fake=constant(1)) == 0


@pytest.mark.parametrize(("a", "b"), [(0, 1), (0.2, 0.4), (0.5, 0.5), (1, 0.99)])
def test_ssim_of_constant_images_is_their_luminance(a, b):
    """No variance and no covariance: s = C2 / C2 = 1, so that l alone is left."""
    for size in (3, 4, 8, 11, 20):
        value = ssim(real=constant(a, size=size), fake=constant(b, size=size))
        assert value == pytest.approx(luminance(a, b), rel=1e-9)


def test_ssim_of_one_window_by_hand():
    """11 x 11 pixels have one place for the window: the weighted moments written out."""
    real, fake = noise(1, 1, 11, 11), noise(1, 1, 11, 11, seed=1)
    w = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    w = np.outer(w, w) / np.outer(w, w).sum()
    a, b = real[0, 0], fake[0, 0]
    mean_a, mean_b = (w * a).sum(), (w * b).sum()
    var_a, var_b = (w * (a - mean_a) ** 2).sum(), (w * (b - mean_b) ** 2).sum()
    cov = (w * (a - mean_a) * (b - mean_b)).sum()
    expected = luminance(mean_a, mean_b) * (2 * cov + 0.03**2) / (var_a + var_b + 0.03**2)
    assert ssim(real=real, fake=fake) == pytest.approx(expected, rel=1e-10)


def test_ssim_of_a_checkerboard_and_its_negative():
    """Means equal, covariance opposite: l = 1 nearly and s = (C2 - 2 v) / (C2 + 2 v) with v = 1/4 nearly."""
    board = (np.indices((16, 16)).sum(axis=0) % 2).astype(float)[None, None]
    assert ssim(real=board, fake=1 - board) == pytest.approx((C2 - 0.5) / (C2 + 0.5), abs=1e-3)
    assert ssim(real=board, fake=board) == pytest.approx(1, abs=1e-12)


def test_ssim_averages_channels_and_images():
    a, b = noise(3, 2, 12, 12), noise(3, 2, 12, 12, seed=1)
    each = [ssim(real=a[i : i + 1, c : c + 1], fake=b[i : i + 1, c : c + 1]) for i in range(3) for c in range(2)]
    assert ssim(real=a, fake=b) == pytest.approx(np.mean(each), rel=1e-12)
    assert ssim(real=b, fake=a) == pytest.approx(ssim(real=a, fake=b), rel=1e-12)


def test_many_images_are_compared_in_pieces(monkeypatch):
    a, b = noise(30, 1, 12, 12), noise(30, 1, 12, 12, seed=1)
    whole = ssim(real=a, fake=b), ms_ssim(fake=a)
    monkeypatch.setattr("genbench.metrics.similarity.CHUNK_VALUES", 1000)
    assert (ssim(real=a, fake=b), ms_ssim(fake=a)) == pytest.approx(whole, rel=1e-14)


def test_the_window_is_odd_and_fits():
    sizes = (3, 4, 5, 8, 10, 11, 12, 300)
    assert [window_of((1, 1, size, 300), "x") for size in sizes] == [3, 3, 5, 7, 9, 11, 11, 11]
    for function in (lambda x: ssim(real=x, fake=x), lambda x: ms_ssim(fake=x)):
        with pytest.raises(Undefined, match="3 pixels a side at least; these are 2x9"):
            function(noise(4, 1, 2, 9))


def test_the_border_is_valid_or_reflect():
    a, b = noise(2, 1, 12, 12), noise(2, 1, 12, 12, seed=1)
    assert ssim(real=a, fake=b) != ssim(real=a, fake=b, border="reflect")
    with pytest.raises(Refused, match="border is 'valid' or 'reflect', not 'same'"):
        ssim(real=a, fake=b, border="same")


def test_reconstructed_points():
    """Shifts 1 and 3 of two coordinates each: errors 1 and 9 a value."""
    real = np.array([[0, 5], [1, 2]], np.float32)
    assert reconstruction_error(real=real, fake=real + np.array([[1, 1], [3, 3]])) == 5
    assert reconstruction_error(real=real, fake=real) == 0
    with pytest.raises(Refused, match="overflows"):
        reconstruction_error(real=np.full((2, 2), 1e200), fake=-np.full((2, 2), 1e200))
    with pytest.raises(Refused, match="real has 2 rows and fake 1"):
        reconstruction_error(real=real, fake=real[:1])
    with pytest.raises(Refused, match="real has 2 features and fake 1"):
        reconstruction_error(real=real, fake=real[:, :1])
    # bytes are not subtracted as bytes: 1 - 255 would be 2
    ends = np.array([[1], [1]], np.uint8), np.array([[255], [255]], np.uint8)
    assert reconstruction_error(real=ends[0], fake=ends[1]) == 254**2


def test_equal_images():
    real = noise(30, 1, 8, 8)
    assert ssim(real=real, fake=real) == pytest.approx(1, abs=1e-12)
    fake = np.clip(real + 0.1, 0, 1)
    fake[7] = real[7]
    with pytest.raises(Undefined, match="psnr: 1 of 30 reconstructions equal their originals"):
        psnr(real=real, fake=fake)
    found = measure("psnr", catalog.resolve("metrics", "psnr"), real=real, fake=real, protocol="")
    assert (found.status, found.value) == ("undefined", None)
    assert "30 of 30" in found.reason


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_points_are_no_images(metric):
    with pytest.raises(Undefined, match=rf"{metric.__name__} compares images; these are points \(9, 2\)"):
        metric(real=noise(9, 2), fake=noise(9, 2))


@pytest.mark.parametrize("metric", PAIRS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x[:3], "they are compared row by row"),
        (lambda x: x[..., :5], "they are compared row by row"),
        (lambda x: np.where(x > 0.5, np.nan, x), "NaN or infinite"),
        (lambda x: np.where(x > 0.5, np.inf, x), "NaN or infinite"),
        (lambda x: (x * 255).astype(np.uint8), r"from 0 to 25\d; images stand on the scale of \[0, 1\]"),
        (lambda x: x * 2 - 1, r"from -0\.9\d+ to 0\.9\d+; images"),
        (lambda x: x[:0], "has 0 rows"),
        (lambda x: x[:, :0], "no pixels"),
        (lambda x: x[0], "must have 4 dimensions"),
        (lambda x: x.astype(str), "must hold real numbers"),
        (lambda x: None, "is missing"),
    ],
)
def test_bad_pairs_are_refused(metric, change, sentence):
    real = noise(6, 1, 9, 9)
    with pytest.raises(Refused, match=f"{metric.__name__}: .*{sentence}"):
        metric(real=real, fake=change(real))


# --- diversity --------------------------------------------------------------------------------------------------


def test_the_scales_follow_the_size():
    sides = (3, 8, 21, 22, 32, 43, 44, 87, 88, 175, 176, 1000)
    assert [len(scale_weights((1, 1, side, 2000))) for side in sides] == [1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5]
    assert scale_weights((1, 1, 64, 64)).sum() == pytest.approx(1, rel=1e-15)
    assert scale_weights((1, 1, 32, 32)) == pytest.approx(np.array([0.0448, 0.2856]) / 0.3304)
    assert scale_weights((1, 3, 200, 200)).tolist() == [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


@pytest.mark.parametrize("size", [5, 11, 25, 44, 90])
def test_ms_ssim_of_constant_images_is_a_power_of_their_luminance(size):
    """s = 1 on every scale, and l is left on the coarsest with its weight."""
    greys = [(0.1, 0.9), (0.4, 0.5), (1.0, 0.0)]
    a, b = (constant(*side, size=size, channels=2) for side in zip(*greys, strict=True))
    expected = [luminance(*pair) ** scale_weights(a.shape)[-1] for pair in greys]
    assert multiscale(a, b) == pytest.approx(np.array(expected), rel=1e-9)


def test_two_scales_by_hand():
    """s of the images to the first weight, times the similarity of their 2 x 2 means to the second."""
    smooth = np.add.outer(np.arange(23), np.arange(25)) / 48.0
    a = smooth[None, None]
    b = np.clip(a + 0.1 * (noise(1, 1, 23, 25) - 0.5), 0, 1)

    def half(x):
        return (x[..., :22:2, :24:2] + x[..., 1:22:2, :24:2] + x[..., :22:2, 1:24:2] + x[..., 1:22:2, 1:24:2]) / 4

    first, second = np.array([0.0448, 0.2856]) / 0.3304
    expected = similarity(a, b, 11)[1] ** first * similarity(half(a), half(b), 11)[0] ** second
    assert multiscale(a, b) == pytest.approx(expected, rel=1e-12)


def test_opposed_structures_are_clipped_at_zero():
    """A checkerboard and its negative are opposed on the finest scale; their 2 x 2 means are equal greys."""
    board = (np.indices((24, 24)).sum(axis=0) % 2).astype(float)[None, None]
    assert similarity(board, 1 - board, 11)[1] < -0.9
    assert multiscale(board, 1 - board) == 0
    assert multiscale(board, board) == pytest.approx(1, abs=1e-12)


def test_collapse_raises_ms_ssim():
    """All equal: 1. Two images: the pairs of unequal ones alone are below 1. Fresh noise: far below."""
    image = noise(2, 1, 24, 24)
    assert ms_ssim(fake=np.repeat(image[:1], 50, axis=0)) == pytest.approx(1, abs=1e-12)
    fresh, two = ms_ssim(fake=noise(200, 1, 24, 24)), ms_ssim(fake=np.repeat(image, 100, axis=0))
    assert fresh < 0.2 < two < 0.8
    metric = catalog.resolve("metrics", "ms_ssim")
    found = measure("ms_ssim", metric, real=None, fake=np.repeat(image[:1], 50, axis=0), protocol="")
    assert (found.low, found.value, found.high) == pytest.approx((1, 1, 1), abs=1e-12)
    assert found.n == 50
    assert "mean of 25 disjoint pairs" in found.method


def test_each_image_is_in_one_pair(monkeypatch):
    """Image i is the constant grey i / 100: every image is met once, an odd one is left out."""
    seen = []

    def spy(a, b):
        seen.extend(np.round(100 * np.stack([a[:, 0, 0, 0], b[:, 0, 0, 0]], axis=1)).astype(int).tolist())
        return np.ones(len(a))

    monkeypatch.setattr(sys.modules["genbench.metrics.ms_ssim"], "multiscale", spy)
    images = constant(*(np.arange(41) / 100), size=3)
    ms_ssim(fake=images)
    first, met = [tuple(pair) for pair in seen], np.ravel(seen).tolist()
    assert len(first) == 20
    assert len(set(met)) == 40
    seen.clear()
    ms_ssim(fake=images)
    assert [tuple(pair) for pair in seen] == first
    seen.clear()
    ms_ssim(fake=images, seed=1)
    assert [tuple(pair) for pair in seen] != first


def test_ms_ssim_refuses_what_are_no_images():
    with pytest.raises(Refused, match="has 1 rows; at least 2"):
        ms_ssim(fake=noise(1, 1, 8, 8))
    with pytest.raises(Refused, match=r"images stand on the scale of \[0, 1\]"):
        ms_ssim(fake=noise(9, 1, 8, 8) * 255)
    with pytest.raises(Refused, match="NaN or infinite"):
        ms_ssim(fake=np.full((9, 1, 8, 8), np.nan))
    with pytest.raises(Refused, match="must have 4 dimensions"):
        ms_ssim(fake=noise(9, 2))


# --- inception score in splits ----------------------------------------------------------------------------------


def test_splits_after_a_shuffle():
    """One-hot answers of two classes, sorted: without a shuffle each of two parts scores 1; shuffled, nearly 2."""
    answers = np.repeat(np.eye(2), 200, axis=0)
    assert inception_score(fake=answers, splits=2) == pytest.approx(1)
    assert inception_score(fake=answers, splits=2, shuffle_seed=2020) == pytest.approx(2, abs=0.01)


def test_the_two_ways_to_cut():
    """41 rows in 10: evenly 4 or 5 rows each, at i 41 // 10; by ceilings eight parts of 5 rows and one of 1."""
    answers = np.random.default_rng(0).dirichlet(np.ones(4), size=41)

    def mean_of(edges):
        return np.mean([inception_score(fake=answers[low:high]) for low, high in pairwise(edges)])

    assert inception_score(fake=answers, splits=10) == pytest.approx(mean_of([i * 41 // 10 for i in range(11)]))
    by_ceilings = inception_score(fake=answers, splits=10, parts="ceiling")
    assert by_ceilings == pytest.approx(mean_of([0, 5, 10, 15, 20, 25, 30, 35, 40, 41]))
    with pytest.raises(Refused, match="parts is 'even' or 'ceiling', not 'odd'"):
        inception_score(fake=answers, parts="odd")


@pytest.mark.parametrize("arguments", [{}, {"splits": 10, "shuffle_seed": 2020}, {"splits": 3, "parts": "ceiling"}])
def test_replicates_are_the_score_without_a_group(arguments):
    """Each row keeps its split when a group is left out; the score without it is that of what is left in the splits."""
    from genbench.stats import groups_of

    p = np.random.default_rng(0).dirichlet(np.full(6, 0.3), size=211)
    metric = catalog.resolve("metrics", "inception_score").bound(**arguments)
    found = metric.replicates(real=None, fake=p)
    assert found.value == pytest.approx(metric.fn(fake=p), rel=1e-13)
    seed, splits = arguments.get("shuffle_seed"), arguments.get("splits", 1)
    if seed is not None:
        p = p[np.random.RandomState(seed).permutation(211)]
    edges = [0, 71, 142, 211] if "parts" in arguments else [i * 211 // splits for i in range(splits + 1)]
    group = groups_of(211)
    for g in range(20):
        scores = [inception_score(fake=p[low:high][group[low:high] != g]) for low, high in pairwise(edges)]
        assert found.fake[g] == pytest.approx(np.mean(scores), rel=1e-12)


def test_splits_that_a_group_would_empty_have_no_interval():
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=40)
    metric = catalog.resolve("metrics", "inception_score").bound(splits=40)
    found = measure("inception_score", metric, real=None, fake=p, protocol="")
    assert found.status == "undefined"
    assert "40 samples in 40 splits" in found.reason


# --- coverage ---------------------------------------------------------------------------------------------------

GREYS = np.array([0.2, 0.5, 0.6, 0.9])


def greys(rng, n):
    return constant(*rng.choice(GREYS, n), size=3)


def shifted(rng, n=100, size=3):
    """A grey image and the same by u lighter, u uniform in (0.1, 0.3)."""
    real = constant(*rng.choice([0.2, 0.5, 0.6], n), size=size)
    return {"real": real, "fake": real + rng.uniform(0.1, 0.3, (n, 1, 1, 1))}


def _mean_of_log(low, high):
    """E log u of a uniform: the integral of log is u log u - u."""
    return ((high * math.log(high) - high) - (low * math.log(low) - low)) / (high - low)


def unequal_answers(rng, n=300):
    """Soft answers around one of five classes of unequal weight."""
    classes = rng.choice(5, n, p=np.array([5, 4, 3, 2, 1]) / 15)
    return {"real": None, "fake": rng.dirichlet(np.ones(5) * 0.3, size=n) * 0.3 + 0.7 * np.eye(5)[classes]}


def pair_of_greys(rng, n=100):
    return {"real": greys(rng, n), "fake": greys(rng, n)}


MEAN_LUMINANCE = float(np.mean([[luminance(a, b) for a in GREYS] for b in GREYS]))
TORCH_FIDELITY = {"splits": 10, "shuffle_seed": 2020}
COVERAGE = {
    "psnr": (-20 * _mean_of_log(0.1, 0.3) / math.log(10), {}, shifted),
    "reconstruction_error": ((0.3**3 - 0.1**3) / (3 * 0.2), {}, shifted),
    "ssim": (MEAN_LUMINANCE, {}, pair_of_greys),
    "ms_ssim": (MEAN_LUMINANCE, {}, lambda rng: {"real": None, "fake": greys(rng, 200)}),
    "inception_score": (None, {}, unequal_answers),
    "inception_score, in splits": (None, TORCH_FIDELITY, lambda rng: unequal_answers(rng, 1000)),
}


def coverage(name, repetitions, seed=0):
    """How often the interval holds the truth; the mean of the values stands for it where no formula is known."""
    truth, arguments, draw = COVERAGE[name]
    metric = catalog.resolve("metrics", name.partition(",")[0]).bound(**arguments)
    rng = np.random.default_rng(seed)
    found = [measure(name, metric, **draw(rng), protocol="") for _ in range(repetitions)]
    values = np.array([m.value for m in found])
    if truth is not None:
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / math.sqrt(repetitions))
    target = values.mean() if truth is None else truth
    return float(np.mean([m.low <= target <= m.high for m in found]))


@pytest.mark.parametrize("name", COVERAGE)
def test_coverage_in_short(name):
    """Of 200 intervals at 95%: 190, give or take four standard deviations of the binomial."""
    assert coverage(name, 200) >= 0.95 - 0.0617


@pytest.mark.slow
@pytest.mark.parametrize("name", COVERAGE)
def test_coverage(name):
    assert 0.93 <= coverage(name, 4000, seed=1) <= 0.97
