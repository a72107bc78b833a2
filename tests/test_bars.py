"""What trained models must reach, measured on cells of the suite `standard` (seed 0): minutes each, `make slow`.

Finished cells are taken from the folder `runs` (or GENBENCH_RUNS), so that `genbench run standard` before this test
leaves it nothing to train.
"""

import math
import os

import pytest

from genbench import suite
from genbench.plan import Plan, plan
from genbench.run import run
from genbench.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells():
    return {(c.data_name, c.model): c for c in plan(suite.load("standard", ["seeds=[0]"])).cells}


@pytest.fixture(scope="module")
def result(cells):
    """(dataset, model) -> its record."""
    store = Store(os.environ.get("GENBENCH_RUNS", "runs"))

    def get(dataset, model):
        outcome = run(Plan([cells[dataset, model]]), store)
        assert not outcome.failed, outcome.failed
        return outcome.records[0]

    return get


def value(record, metric):
    found = record.get(metric)
    assert found.status == "ok", found.reason
    return found.value


@pytest.mark.parametrize(("model", "bar"), [("pixelcnn", 0.05), ("nade", 0.10), ("vae", 0.25)])
def test_glyphs_excess_over_the_entropy(result, model, bar):
    record = result("glyphs", model)
    assert value(record, "excess_nats") / record.dataset.entropy[0] <= bar


def test_independent_stands_where_theory_puts_it(result, cells):
    """Its cross-entropy is the sum of the pixels' marginal entropies, in closed form from the components' means."""
    record = result("glyphs", "independent")
    law = cells["glyphs", "independent"].data.spec.law
    ink = law._templates.double().mean(dim=0).flatten()
    p = ink * 0.98 + (1 - ink) * 0.02
    theory = -(p * p.log() + (1 - p) * (1 - p).log()).sum().item()
    found = -value(record, "nats")
    low, high = -record.get("nats").high, -record.get("nats").low
    assert low - 0.1 <= theory <= high + 0.1, (found, theory)


@pytest.mark.parametrize(("dataset", "modes"), [("ring8", 8), ("grid25", 25)])
@pytest.mark.parametrize("model", ["flow-matching", "ddpm"])
def test_diffusion_covers_the_modes(result, dataset, modes, model):
    record = result(dataset, model)
    assert value(record, "modes_captured") == modes
    assert value(record, "high_quality") >= 0.9


@pytest.mark.parametrize("dataset", ["ring8", "grid25"])
def test_a_perfect_sampler_scores_98_9(result, dataset):
    """P(chi-square with two degrees of freedom <= 9) = 1 - exp(-9/2)."""
    share = result(dataset, "truth").get("high_quality")
    assert share.low <= 1 - math.exp(-4.5) <= share.high


@pytest.mark.parametrize("dataset", ["ring8", "grid25"])
def test_realnvp_comes_close_to_the_truth(result, dataset):
    assert value(result(dataset, "realnvp"), "kl_forward") <= 0.15


@pytest.mark.parametrize("model", ["ddpm", "flow-matching"])
@pytest.mark.parametrize("worse", ["vae", "independent"])
def test_diffusion_beats_on_digits(result, model, worse):
    assert result("digits", model).get("fid").high < result("digits", worse).get("fid").low


def test_a_copycat_stands_at_the_floor(result):
    floor, copycat = result("digits", "real").get("fid"), result("digits", "copycat").get("fid")
    assert copycat.low <= floor.high
    assert floor.low <= copycat.high


def test_narrow_kernels_have_quality_without_likelihood(result):
    kernels, floor = result("digits", "narrow-kernels"), result("digits", "real")
    assert kernels.get("fid").low <= floor.get("fid").high
    assert value(kernels, "nats") < value(result("digits", "independent"), "nats")


def test_mostly_noise_has_likelihood_without_quality(result):
    noise, inner = result("digits", "mostly-noise"), result("digits", "pixelcnn")
    assert value(noise, "nats") >= value(inner, "nats") - math.log(100) - 2
    assert noise.get("fid").low > 5 * inner.get("fid").high


def test_stacked_digits_are_measured(result):
    real = result("digits-stacked", "real")
    for model in ("dcgan", "wgan-gp", "ddpm"):
        record = result("digits-stacked", model)
        assert 0 < value(record, "modes_captured") <= 1000
        assert value(record, "mode_kl") >= value(real, "mode_kl") - 0.02
