"""Glyphs: the law is a law (enumerated on a miniature), draws follow it, and the drawings are what they should be."""

import itertools
import math

import pytest
import torch
from scipy.stats import binom, chi2

from genbench.data.glyphs import FLIP, FONT, SIZES, GlyphLaw, binomial_quantile, font, glyphs, law
from genbench.noise import Streams
from genbench.types import Dataset, DataSpec

# two glyphs of 2x2 pixels on a 3x3 canvas: 8 modes, 512 images
MINIATURE = GlyphLaw(torch.tensor([[[1, 0], [1, 1]], [[1, 1], [1, 0]]], dtype=torch.uint8), canvas=3, flip=0.1)
ALL = torch.tensor(list(itertools.product([0, 1], repeat=9)), dtype=torch.uint8).reshape(512, 1, 3, 3)


@pytest.fixture(scope="module")
def data():
    return glyphs()


def by_hand(truth, x):
    """log p(x, k) of every component from its definition, pixel by pixel, `(n, K)`."""
    clean = truth._templates.double().flatten(1)
    same = x.flatten(1).double()[:, None] == clean[None]
    factor = torch.where(same, math.log(1 - truth.flip), torch.tensor(math.log(truth.flip), dtype=torch.float64))
    return factor.sum(-1) - math.log(len(clean))


def test_the_miniatures_law_sums_to_one():
    assert MINIATURE.n_modes == 8
    assert MINIATURE.log_prob(ALL).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_log_prob_and_posterior_are_those_of_the_definition(data):
    for truth, x in ((MINIATURE, ALL), (data.law, data.images("test")[:20]), (data.law, 1 - data.images("test")[:5])):
        joint = by_hand(truth, x)
        torch.testing.assert_close(truth.log_prob(x), joint.logsumexp(1), rtol=1e-12, atol=1e-9)
        posterior = torch.softmax(joint, 1).reshape(len(x), truth.glyphs, -1).sum(2)
        torch.testing.assert_close(truth.class_probabilities(x), posterior, rtol=1e-9, atol=1e-12)
        assert truth.log_prob(x).dtype == truth.class_probabilities(x).dtype == torch.float64


def test_draws_follow_the_law():
    n = 50_000
    x = MINIATURE.sample(Streams(1, torch.arange(n)))
    code = x.flatten(1).long() @ (2 ** torch.arange(8, -1, -1))
    counts, expected = code.bincount(minlength=512).double(), n * MINIATURE.log_prob(ALL).exp()
    common = expected >= 5  # the chi-square law needs cells that are not too rare; the rare ones are one cell
    pooled = torch.cat([expected[common], expected[~common].sum()[None]])
    found = torch.cat([counts[common], counts[~common].sum()[None]])
    assert len(pooled) > 300
    assert ((found - pooled) ** 2 / pooled).sum().item() < chi2.ppf(0.9999, len(pooled) - 1)


def test_entropy_is_the_enumerated_one():
    spec = DataSpec(shape=(1, 3, 3), levels=2, law=MINIATURE)
    log_p = MINIATURE.log_prob(ALL)
    value, error = Dataset(name="miniature", spec=spec, x={}).entropy()
    assert abs(value + (log_p.exp() * log_p).sum().item()) < 4 * error
    assert error < 0.02


def test_entropy_lies_between_that_of_the_flips_and_that_of_flips_and_modes(data):
    """H(flips) <= H(x) <= H(flips) + log K, close to the upper end where images tell their mode."""
    flips = -256 * (FLIP * math.log(FLIP) + (1 - FLIP) * math.log(1 - FLIP))
    value, error = data.entropy(5000)
    assert flips + math.log(4320) - 0.2 < value < flips + math.log(4320) + 4 * error


def test_the_font_has_36_different_glyphs_that_fill_their_box():
    bitmaps = font()
    assert "".join(FONT) == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert bitmaps.shape == (36, 7, 5)
    assert len(bitmaps.flatten(1).unique(dim=0)) == 36
    assert bitmaps.any(2).all()  # no empty row: nothing can be mistaken for itself one place further


def test_the_4320_templates_are_different():
    assert law().n_modes == 4320
    assert len(law()._templates.flatten(1).unique(dim=0)) == 4320


@pytest.mark.parametrize(("n", "p", "level"), [(256, 0.02, 0.999), (9, 0.1, 0.999), (256, 0.02, 0.5), (3, 0.5, 1.0)])
def test_the_binomial_quantile_is_scipys(n, p, level):
    assert binomial_quantile(n, p, level) == binom.ppf(level, n, p)


def test_modes_are_the_nearest_template_up_to_the_quantile():
    truth = law()
    assert truth.most_flips == 13
    k = torch.tensor([0, 119, 10 * 120, 4319])
    clean = truth._templates[k][:, None]
    assert truth.modes(clean).tolist() == k.tolist()
    image = clean[:1].clone()  # the zero in the upper left corner
    image[0, 0, 15, :13] = 1
    assert truth.modes(image).tolist() == [0]
    image[0, 0, 15, 13] = 1
    assert truth.modes(image).tolist() == [-1]
    assert truth.modes(torch.ones_like(image)).tolist() == [-1]


def test_the_dataset_is_drawn_from_its_law(data):
    assert {split: len(x) for split, x in data.x.items()} == SIZES
    assert (data.spec.shape, data.spec.levels, data.spec.classes) == ((1, 16, 16), 2, 36)
    x, y = data.images("test"), data.labels("test")
    assert int(x.max()) == 1
    modes = data.modes(x)
    assert (modes < 0).double().mean() < 0.003  # 0.1% by construction, less what another template takes in
    assert (modes[modes >= 0] // 120 == y[modes >= 0]).double().mean() > 0.97
    counts = data.labels("train").bincount(minlength=36).double()
    assert ((counts - 60_000 / 36) ** 2 / (60_000 / 36)).sum().item() < chi2.ppf(0.9999, 35)
    assert data.modes(data.images("train")[:30_000]).unique().numel() > 4200


def test_pixels_flip_as_often_as_they_should(data):
    components = law().component(Streams(9, torch.arange(4000)))
    flipped = law().sample(Streams(9, torch.arange(4000)))[:, 0] != law()._templates[components]
    share = flipped.double().mean((0,))
    assert flipped.double().mean().item() == pytest.approx(FLIP, abs=4 * math.sqrt(FLIP / flipped.numel()))
    assert (share - FLIP).abs().max() < 6 * math.sqrt(FLIP / 4000)


def test_splits_are_not_copies_of_each_other(data):
    size = 2000
    heads = [data.x[split][:size] for split in SIZES]
    for one, other in itertools.combinations(heads, 2):
        assert (one == other).flatten(1).all(1).double().mean() < 0.01


def test_glyphs_stay_what_they_were(data):
    assert {split: data.checksum(split)[:16] for split in SIZES} == {
        "train": "7b7111394e6b24a9",
        "validation": "ce0361d0be670a64",
        "test": "4ae145e182d7d5d0",
    }
