"""Coloured glyphs: the factorised likelihood is the sum over all modes, and sums to one over all images."""

import itertools
import math

import pytest
import torch
from scipy.stats import chi2

from genbench.data.glyphs_rgb import BACKGROUNDS, FOREGROUNDS, ColourGlyphLaw, law
from genbench.images import discretized_logistic, to_signed
from genbench.noise import Streams

GLYPHS = torch.tensor([[[1, 0], [1, 1]], [[1, 1], [0, 1]], [[0, 1], [1, 0]]], dtype=torch.uint8)


def miniature(channels, levels, *, blocks, block, log_scale=-1.0):
    """Three glyphs, two foreground colours, three backgrounds; colours spread over the levels."""
    palette = torch.arange(5 * channels).reshape(5, channels) * 7 % levels
    return ColourGlyphLaw(
        GLYPHS[:, :blocks, :blocks],
        blocks=blocks,
        block=block,
        foregrounds=palette[:2],
        backgrounds=palette[2:],
        levels=levels,
        log_scale=log_scale,
    )


def everything(channels, side, levels):
    count = channels * side * side
    images = list(itertools.product(range(levels), repeat=count))
    return torch.tensor(images, dtype=torch.uint8).reshape(-1, channels, side, side)


def by_hand(truth, x):
    """log p(x, k, f, b) of every mode from the definition, `(n, K F B)`; no factorisation, no table."""
    clean = truth._templates.repeat_interleave(truth.block, 1).repeat_interleave(truth.block, 2)
    found = []
    for mask in clean:
        for f in range(truth.colours[0]):
            for b in range(truth.colours[1]):
                ink, ground = (truth._means.double()[i][:, None, None] for i in (f, truth.colours[0] + b))
                mean = torch.where(mask.bool(), ink, ground)
                log_p = discretized_logistic(x, mean, truth._log_scale.double(), truth.levels)
                found.append(log_p.flatten(1).sum(1) - math.log(truth.n_modes))
    return torch.stack(found, 1)


@pytest.mark.parametrize(("channels", "levels"), [(1, 3), (2, 2), (1, 5)])
def test_the_miniatures_law_sums_to_one(channels, levels):
    truth = miniature(channels, levels, blocks=2, block=1)
    assert truth.n_modes == 18
    assert truth.log_prob(everything(channels, 2, levels)).exp().sum().item() == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize(("channels", "levels", "blocks", "block"), [(1, 3, 2, 1), (3, 256, 3, 2), (2, 17, 2, 3)])
def test_log_prob_modes_and_posterior_are_those_of_the_definition(channels, levels, blocks, block):
    truth = miniature(channels, levels, blocks=blocks, block=block)
    drawn = truth.sample(Streams(2, torch.arange(100)))
    wild = (Streams(3, torch.arange(30)).uniform(*drawn.shape[1:]) * levels).to(torch.uint8)
    x = torch.cat([drawn, wild])
    joint = by_hand(truth, x)
    torch.testing.assert_close(truth.log_prob(x), joint.logsumexp(1), rtol=1e-6, atol=1e-4)
    posterior = torch.softmax(joint, 1).reshape(len(x), truth.glyphs, -1).sum(2)
    torch.testing.assert_close(truth.class_probabilities(x), posterior, rtol=1e-3, atol=1e-4)
    modes = truth.modes(x)
    known = modes >= 0
    best = joint.gather(1, modes.clamp(min=0)[:, None])[:, 0]
    torch.testing.assert_close(best[known], joint.max(1).values[known], rtol=1e-6, atol=1e-4)


def test_draws_follow_the_law():
    truth, n = miniature(1, 3, blocks=2, block=1), 50_000
    images = everything(1, 2, 3)
    code = truth.sample(Streams(1, torch.arange(n))).flatten(1).long() @ torch.tensor([27, 9, 3, 1])
    expected = n * truth.log_prob(images).exp()
    assert expected.min() > 1
    statistic = ((code.bincount(minlength=81) - expected) ** 2 / expected).sum().item()
    assert statistic < chi2.ppf(0.9999, 80)


@pytest.fixture(scope="module")
def drawn():
    rows = torch.arange(1500)
    return law().sample(Streams(4, rows)), law().labels(Streams(4, rows))


def test_images_tell_their_mode(drawn):
    x, labels = drawn
    assert x.shape == (1500, 3, 32, 32)
    modes = law().modes(x)
    assert (modes < 0).double().mean() < 0.006  # 0.1% by construction
    assert torch.equal(modes[modes >= 0] // (120 * 16), labels[modes >= 0])
    probabilities = law().class_probabilities(x[:100])
    assert torch.equal(probabilities.argmax(1), labels[:100])
    torch.testing.assert_close(probabilities.sum(1), torch.ones(100).double())


def test_the_threshold_of_a_mode_is_a_quantile_of_the_law():
    """Cornish and Fisher's quantile against draws: 0.1% of the images of the law lie below it."""
    truth = miniature(3, 256, blocks=3, block=4, log_scale=-4.0)
    x = truth.sample(Streams(6, torch.arange(20_000)))
    share = (truth.modes(x) < 0).double().mean().item()
    assert share == pytest.approx(0.001, abs=4 * math.sqrt(0.001 / 20_000))


def test_what_the_law_does_not_make_has_no_mode(drawn):
    x = drawn[0][:3]
    noise = (Streams(7, torch.arange(3)).uniform(3, 32, 32) * 256).to(torch.uint8)
    swapped = x.flip(1)  # red and blue exchanged: none of the palette
    louder = (x.float() + 12 * Streams(8, torch.arange(3)).normal(3, 32, 32)).clamp(0, 255).to(torch.uint8)
    for strange in (noise, swapped, louder, torch.zeros_like(x)):
        assert law().modes(strange).tolist() == [-1, -1, -1]
        assert law().log_prob(strange).isfinite().all()


def test_entropy_is_that_of_the_noise_and_of_the_modes(drawn):
    """Images tell their mode, so H(x) = log(modes) + H(noise | mode): the table's entropies, summed over pixels."""
    x, _ = drawn
    truth = law()
    surprise = -truth._cumulants[0]
    ink = truth._ink.sum(1).mean()
    noise = 4 * (ink * surprise[:4].mean() + (256 - ink) * surprise[4:].mean())
    terms = -truth.log_prob(x)
    assert abs(terms.mean() - (math.log(69_120) + noise)) < 4 * terms.std() / math.sqrt(len(x))
    assert truth.n_modes == 69_120


def test_the_palettes_have_no_common_colour():
    palette = torch.tensor(FOREGROUNDS + BACKGROUNDS)
    apart = (palette[:, None] - palette[None]).abs().sum(-1) + 1000 * torch.eye(8).long()
    assert apart.min() > 60
    assert to_signed(palette, 256).abs().max() < 1


def test_draws_are_a_function_of_their_noise_alone():
    whole = law().sample(Streams(3, torch.arange(6)))
    assert torch.equal(whole[2:4], law().sample(Streams(3, torch.tensor([2, 3]))))
