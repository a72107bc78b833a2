"""DDPM against closed forms: data N(m, s^2 I), whose exact denoiser is affine.

With x_i = sqrt(abar_i) x_0 + sqrt(1 - abar_i) eps, write V_i = abar_i s^2 + 1 - abar_i for the variance of x_i. Then

    E[x_0 | x_i] = m + g_i (x_i - sqrt(abar_i) m),   g_i = sqrt(abar_i) s^2 / V_i,
    E[eps | x_i] = sqrt(1 - abar_i) (x_i - sqrt(abar_i) m) / V_i,   Var[x_0 | x_i] = s^2 (1 - abar_i) / V_i.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from baselines.ddpm import (
    DDPM,
    DDPMConfig,
    ancestral,
    cumulative,
    ddim,
    discretized_gaussian,
    estimate,
    path,
    posterior,
)
from genbench.noise import Recorded, Replay, Streams
from genbench.types import DataSpec, Refused

M, S = 0.7, 0.4
POINTS = DataSpec(shape=(2,), levels=None)
IMAGES = DataSpec(shape=(1, 3, 3), levels=3)
SMALL = DDPMConfig(timesteps=20, width=8, multipliers=(1,), hidden=16, depth=1, octaves=0)


def variance(abar: float) -> float:
    return abar * S**2 + 1.0 - abar


def exact(x: Tensor, abar: Tensor | float) -> Tensor:
    abar = torch.as_tensor(abar, dtype=x.dtype)
    return (1.0 - abar).sqrt() * (x - abar.sqrt() * M) / (abar * S**2 + 1.0 - abar)


class Drawn:
    """Noise from a function."""

    def __init__(self, draw: Callable[[], Tensor]) -> None:
        self.draw = draw

    def normal(self, *shape: int) -> Tensor:
        return self.draw()


class Exact(nn.Module):
    """The exact denoiser, in the place of the network: t = i / T."""

    def __init__(self, abar: list[float]) -> None:
        super().__init__()
        self.abar = torch.tensor(abar)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        i = (t * (len(self.abar) - 1)).round().long()
        return exact(x, self.abar[i][:, None])


def test_linear_schedule_is_the_paper_s() -> None:
    expected = torch.cumprod(1.0 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    abar = torch.tensor(cumulative("linear", 1000), dtype=torch.float64)
    torch.testing.assert_close(abar[1:], expected)
    assert abar[0] == 1
    short = cumulative("linear", 100)[-1]
    assert math.log(short) == pytest.approx(math.log(expected[-1]), rel=0.1), "T does not change the total much"


def test_cosine_schedule_is_the_paper_s() -> None:
    t = torch.linspace(0, 1, 501, dtype=torch.float64)
    f = torch.cos((t + 0.008) / 1.008 * torch.pi / 2) ** 2
    abar = torch.tensor(cumulative("cosine", 500), dtype=torch.float64)
    torch.testing.assert_close(abar[:-1], (f / f[0])[:-1])
    assert abar[-1] == pytest.approx(abar[-2].item() * 0.001), "the last beta is cut at 0.999"


@pytest.mark.parametrize(("timesteps", "steps"), [(1, 1), (5, 5), (10, 4), (1000, 50), (7, 1), (7, 2)])
def test_paths_go_from_the_last_step_to_zero(timesteps: int, steps: int) -> None:
    found = path(timesteps, steps)
    assert len(found) == steps + 1
    assert found[0] == timesteps
    assert found[-1] == 0
    assert all(a > b for a, b in pairwise(found))


@pytest.mark.parametrize("steps", [100, 10])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ancestral_sampling_follows_its_recursion(schedule: str, steps: int) -> None:
    """With the exact denoiser x_s = a (x_i) + b + sqrt(v) z is affine, so mean and variance obey a recursion.

    From the posterior's mean c_0 x_0 + c_1 x_i and E[x_0 | x_i]:
    mu_s = c_0 (m + g_i (mu_i - sqrt(abar_i) m)) + c_1 mu_i and V_s = (c_0 g_i + c_1)^2 V_i + v.
    """
    abar, n = cumulative(schedule, 100), 100_000
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(n, 1, generator=generator, dtype=torch.float64)  # noqa: E731
    x = ancestral(lambda x, i: exact(x, abar[i]), draw(), Drawn(draw), abar, path(100, steps), last=0.1)
    mean, var = 0.0, 1.0
    for i, s in pairwise(path(100, steps)):
        a = abar[i] / abar[s]
        c0 = math.sqrt(abar[s]) * (1 - a) / (1 - abar[i])
        c1 = math.sqrt(a) * (1 - abar[s]) / (1 - abar[i])
        g = math.sqrt(abar[i]) * S**2 / variance(abar[i])
        mean = c0 * (M + g * (mean - math.sqrt(abar[i]) * M)) + c1 * mean
        var = (c0 * g + c1) ** 2 * var + ((1 - a) * (1 - abar[s]) / (1 - abar[i]) if s else 0.1**2)
    assert x.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(var / n))
    assert x.var().item() == pytest.approx(var, rel=4 * math.sqrt(2 / n))
    if steps == 100:
        assert mean == pytest.approx(M, abs=0.01)
        assert math.sqrt(var - 0.1**2) == pytest.approx(S, rel=0.1), "many steps come near the data's law"


@pytest.mark.parametrize("steps", [200, 20, 1])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ddim_is_the_closed_form_affine_map(schedule: str, steps: int) -> None:
    """Deviations from the mean are multiplied, d_s = k d_i with d_i = x_i - sqrt(abar_i) m, where by the exact denoiser

        k = (sqrt(abar_s abar_i) s^2 + sqrt((1 - abar_s) (1 - abar_i))) / V_i,

    so that x_0 = m + (product of all k) (x_T - sqrt(abar_T) m), draw by draw.
    """
    abar = cumulative(schedule, 200)
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    found = ddim(lambda x, i: exact(x, abar[i]), x, Drawn(lambda: pytest.fail("drew noise")), abar, path(200, steps))
    k = math.prod(
        (math.sqrt(abar[s] * abar[i]) * S**2 + math.sqrt((1 - abar[s]) * (1 - abar[i]))) / variance(abar[i])
        for i, s in pairwise(path(200, steps))
    )
    torch.testing.assert_close(found, M + k * (x - math.sqrt(abar[-1]) * M), rtol=1e-9, atol=1e-9)
    if steps == 200:
        assert k == pytest.approx(S / math.sqrt(variance(abar[-1])), rel=0.03), "many steps: the ODE's scale"


def test_ddim_with_eta_one_is_ancestral_sampling() -> None:
    abar, steps = cumulative("cosine", 50), path(50, 25)
    x, noise = torch.randn(8, 2, dtype=torch.float64), torch.randn(25, 8, 2, dtype=torch.float64)
    for clip in (None, 0.5):
        rows, again = Drawn(iter(noise).__next__), Drawn(iter(noise).__next__)
        stochastic = ddim(lambda x, i: exact(x, abar[i]), x, rows, abar, steps, clip, eta=1.0)
        expected = ancestral(lambda x, i: exact(x, abar[i]), x, again, abar, steps, clip)
        torch.testing.assert_close(stochastic, expected)


def test_posterior_is_bayes_rule() -> None:
    """q(x_s | x_i, x_0) from the joint Gaussian of (x_s, x_i) given x_0, by regression."""
    abar = cumulative("linear", 30)
    i, s, x0, xi = 20, 13, 0.3, -0.8
    cov = math.sqrt(abar[i] / abar[s]) * (1 - abar[s])  # x_i = sqrt(a) x_s + noise
    slope = cov / (1 - abar[i])
    mean, var = posterior(torch.tensor(xi), torch.tensor(x0), abar[i], abar[s])
    assert mean.item() == pytest.approx(math.sqrt(abar[s]) * x0 + slope * (xi - math.sqrt(abar[i]) * x0))
    assert var == pytest.approx(1 - abar[s] - slope * cov)


def test_estimate_inverts_the_noising_and_clips() -> None:
    x0, e = torch.randn(100) * 2, torch.randn(100)
    noisy = math.sqrt(0.3) * x0 + math.sqrt(0.7) * e
    torch.testing.assert_close(estimate(noisy, e, 0.3, None), x0)
    torch.testing.assert_close(estimate(noisy, e, 0.3, 1.0), x0.clamp(-1, 1))


@pytest.mark.parametrize("scale", [0.01, 0.2, 3.0])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_discretized_gaussian_sums_to_one_and_is_finite(levels: int, scale: float) -> None:
    mean = torch.tensor([-1.3, -1.0, -0.21, 0.0, 0.4, 1.0, 1.3])
    x = torch.arange(levels)[:, None].to(torch.uint8)
    logs = discretized_gaussian(x, mean, scale, levels)
    assert torch.isfinite(logs).all()
    torch.testing.assert_close(logs.exp().sum(0), torch.ones(7), atol=1e-5, rtol=0)


def test_discretized_gaussian_is_the_difference_of_the_cdf() -> None:
    mean, scale, levels = torch.tensor([0.1, -0.6]), 0.3, 17
    law = torch.distributions.Normal(mean.double(), scale)
    x = torch.arange(1, 16)[:, None]
    centre = 2 * x.double() / 16 - 1
    expected = law.cdf(centre + 1 / 16) - law.cdf(centre - 1 / 16)
    torch.testing.assert_close(
        discretized_gaussian(x, mean, scale, levels).exp().double(), expected, rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_bound_of_the_exact_denoiser_has_its_expected_value(schedule: str) -> None:
    """The means of all three terms over x ~ N(m, s^2 I) in D dimensions, and the bound against the entropy.

    With W_i = Var[x_0 | x_i]: the prior's mean is D/2 (abar_T (s^2 + m^2 - 1) - log(1 - abar_T)); step i gives
    D/2 (SNR_{i-1} - SNR_i) W_i; the decoder D/2 (log(2 pi beta_1) + W_1 / beta_1). Their sum exceeds the entropy
    D/2 log(2 pi e s^2), since each reverse step has the variance of q, which leaves out that of x_0.
    """
    config = replace(SMALL, timesteps=100, schedule=schedule)  # type: ignore[arg-type]
    model, n = DDPM(POINTS, config), 4000
    abar = model.abar
    model.network = Exact(abar)
    generator = torch.Generator().manual_seed(1)
    x = M + S * torch.randn(n, 2, generator=generator)
    with torch.no_grad():
        terms = model.terms(x, Streams(0, range(n)))
        bound = model.log_prob(x, Streams(0, range(n)))
    snr = [math.inf] + [a / (1 - a) for a in abar[1:]]
    left = [S**2 * (1 - a) / variance(a) for a in abar]
    expected = (
        abar[-1] * (S**2 + M**2 - 1) - math.log(1 - abar[-1]),
        sum((snr[i - 1] - snr[i]) * left[i] for i in range(2, 101)),
        math.log(2 * math.pi * (1 - abar[1])) + left[1] / (1 - abar[1]),
    )
    for found, value in zip(terms, expected, strict=True):
        assert found.mean().item() == pytest.approx(value, abs=4 * found.std().item() / math.sqrt(n) + 1e-6)
    torch.testing.assert_close(bound, -(terms.prior + terms.diffusion + terms.decoder))
    entropy = math.log(2 * math.pi * math.e * S**2)
    assert sum(expected) > entropy


def test_bound_of_points_counts_the_change_of_scale() -> None:
    """The same points, ten times as large, have a density that is 2 log 10 nats lower."""
    model, x = DDPM(POINTS, SMALL).eval(), torch.randn(50, 2)
    found = []
    for factor in (1.0, 10.0):
        model.standardize.observe(factor * x)
        with torch.no_grad():
            found.append(model.log_prob(factor * x, Streams(0, range(50))))
    torch.testing.assert_close(found[0] - found[1], torch.full((50,), 2 * math.log(10)), atol=1e-3, rtol=0)


def test_bound_of_an_untrained_network_on_images() -> None:
    """eps = 0 gives the estimate clip(x_i / sqrt(abar_i)); with T = 1 only prior and decoder are left, by hand."""
    model = DDPM(IMAGES, replace(SMALL, timesteps=1)).eval()
    x = torch.randint(0, 3, (5, 1, 3, 3), dtype=torch.uint8)
    noise = Streams(0, range(5)).normal(1, 3, 3)
    a = model.abar[1]
    x0 = x.float() - 1.0
    guess = (x0 + math.sqrt((1 - a) / a) * noise).clamp(-1, 1)
    prior = 0.5 * (a * x0**2 - a - math.log(1 - a)).flatten(1).sum(1)
    decoder = -discretized_gaussian(x, guess, math.sqrt(1 - a), 3).flatten(1).sum(1)
    with torch.no_grad():
        found = model.log_prob(x, Streams(0, range(5)))
    torch.testing.assert_close(found, -(prior + decoder))


@pytest.mark.parametrize(
    ("data", "change", "draws"),
    [
        (IMAGES, {}, 20),  # the start and every step but the last
        (POINTS, {}, 21),  # points add the decoder's noise
        (IMAGES, {"sampling_steps": 4}, 4),
        (IMAGES, {"sampler": "ddim"}, 1),
        (POINTS, {"sampler": "ddim", "eta": 0.5}, 20),
    ],
)
def test_a_sampler_is_a_function_of_its_noise(data: DataSpec, change: dict[str, object], draws: int) -> None:
    torch.manual_seed(0)
    model = DDPM(data, replace(SMALL, **change)).eval()  # type: ignore[arg-type]
    for p in model.parameters():
        nn.init.normal_(p, std=0.2)
    with torch.no_grad():
        recorded = Recorded(Streams(3, range(6)))
        x = model.sample(recorded)
        assert len(recorded.tensors) == draws
        assert torch.equal(model.sample(Replay(recorded.tensors)), x)
        torch.testing.assert_close(model.sample(Streams(3, [4])), x[4:5], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schedule": "sqrt"}, "schedule 'sqrt'"),
        ({"sampler": "euler"}, "sampler 'euler'"),
        ({"sampling_steps": 21}, "1 to timesteps = 20"),
        ({"timesteps": 0}, "1 to timesteps = 0"),
        ({"eta": 1.5}, "eta"),
    ],
)
def test_a_wrong_configuration_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        DDPM(POINTS, replace(SMALL, **change))  # type: ignore[arg-type]
