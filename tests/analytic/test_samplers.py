"""Samplers of fewer steps against the exact flow of a Gaussian, and cached samplers against naive ones.

For data N(m, s^2 I) the probability-flow ODE of diffusion keeps the standardized point. With
V_i = abar_i s^2 + 1 - abar_i the variance of x_i,

    x_s = sqrt(abar_s) m + sqrt(V_s / V_i) (x_i - sqrt(abar_i) m)        for any s < i.

A solver of order p that takes twice as many steps from i to s is 2^p times as close to it.
"""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from baselines.ddpm import DDPM, DDPMConfig, cumulative, ddim, dpmpp, path, path_in_snr
from baselines.flow_matching import FlowMatching, FlowMatchingConfig, euler, heun, midpoint, solve, times
from baselines.pixelcnn import PixelCNN, PixelCNNConfig
from baselines.vqvae import VQVAE, VQVAEConfig
from genbench.noise import Recorded, Replay, Streams, categorical
from genbench.types import DataSpec, Refused

M, S = 0.7, 0.4
T = 4096


def variance(abar: float) -> float:
    return abar * S**2 + 1.0 - abar


def denoiser(abar: list[float]):
    """E[eps | x_i] of the Gaussian."""
    return lambda x, i: math.sqrt(1.0 - abar[i]) * (x - math.sqrt(abar[i]) * M) / variance(abar[i])


def flow(x: Tensor, abar: list[float], i: int, s: int) -> Tensor:
    """x_s from x_i."""
    return math.sqrt(abar[s]) * M + math.sqrt(variance(abar[s]) / variance(abar[i])) * (x - math.sqrt(abar[i]) * M)


class NoNoise:
    """What a deterministic sampler may be given: whoever draws from it fails."""

    n, device = 9, torch.device("cpu")

    def normal(self, *shape: int) -> Tensor:
        raise AssertionError("a deterministic sampler draws nothing")

    uniform = normal


def error(kind: str, steps: list[int], abar: list[float]) -> float:
    """The largest distance from the exact flow at the last of the steps."""
    x, eps = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None], denoiser(abar)
    found = dpmpp(eps, x, abar, steps) if kind == "dpmpp" else ddim(eps, x, NoNoise(), abar, steps)
    return (found - flow(x, abar, steps[0], steps[-1])).abs().max().item()


@pytest.mark.parametrize(("kind", "order"), [("ddim", 1), ("dpmpp", 2)])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_diffusion_samplers_have_their_order(kind: str, order: int, schedule: str) -> None:
    """Between two noise levels well inside, so that every log-SNR is finite; the indices lie evenly."""
    abar, start, end = cumulative(schedule, T), 3 * T // 4, T // 4
    errors = [error(kind, list(range(start, end - 1, -(start - end) // n)), abar) for n in (64, 128, 256)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2.0**order, rel=0.1)


@pytest.mark.parametrize(("schedule", "timesteps"), [("linear", 1000), ("cosine", 1000), ("cosine", 50)])
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_second_order_is_several_times_as_close(schedule: str, timesteps: int, steps: int) -> None:
    """All the way from noise to data, each on its own path."""
    abar = cumulative(schedule, timesteps)
    close, far = error("dpmpp", path_in_snr(abar, steps), abar), error("ddim", path(timesteps, steps), abar)
    assert close < far / 4


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("timesteps", "steps"), [(1, 1), (5, 5), (10, 4), (1000, 50), (7, 1), (7, 2), (50, 49)])
def test_the_path_in_snr_goes_down_from_all_noise_to_none(schedule: str, timesteps: int, steps: int) -> None:
    found = path_in_snr(cumulative(schedule, timesteps), steps)
    assert (found[0], found[-1], len(found)) == (timesteps, 0, steps + 1)
    assert all(i > s for i, s in pairwise(found))


def test_the_path_in_snr_is_even() -> None:
    """T is large, so that an index is near every lambda; the first step leaves the noise behind."""
    abar = cumulative("linear", T)
    found = path_in_snr(abar, 9)
    half_log_snr = [0.5 * math.log(abar[i] / (1 - abar[i])) for i in found[1:-1]]
    step = (0.5 * math.log(abar[1] / (1 - abar[1])) + 3.0) / 8
    assert [b - a for a, b in pairwise(half_log_snr)] == pytest.approx([step] * 7, rel=0.1)
    assert half_log_snr[0] == pytest.approx(-3.0 + step, abs=0.05)


def test_one_and_two_steps_are_ddim() -> None:
    """Without an estimate before it, and at the end, a second-order step has only the first order to go by."""
    abar = cumulative("linear", 100)
    x = torch.randn(5, 2, dtype=torch.float64)
    for steps in ([100, 0], [100, 40, 0]):
        for clip in (None, 0.5):
            found = dpmpp(denoiser(abar), x, abar, steps, clip)
            torch.testing.assert_close(found, ddim(denoiser(abar), x, NoNoise(), abar, steps, clip))


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2), (midpoint, 3)])
@pytest.mark.parametrize("rho", [1.0, 2.0])
def test_flow_samplers_have_their_order(solver, order: int, rho: float) -> None:
    """The flow from N(0, I) is x_1 = m + s x_0, its velocity affine; there the midpoint rule gains an order."""

    def velocity(x: Tensor, t: float) -> Tensor:
        return M + (t * S**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * S**2) * (x - t * M)

    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    errors = [(solve(velocity, x, times(n, rho), solver) - (M + S * x)).abs().max().item() for n in (128, 256, 512)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2.0**order, rel=0.1)


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2), (midpoint, 2)])
def test_flow_samplers_have_their_order_on_a_field_without_symmetry(solver, order: int) -> None:
    """dx/dt = x^2 cos t has the solution x_t = x_0 / (1 - x_0 sin t)."""
    x = torch.linspace(-1, 0.8, 9, dtype=torch.float64)[:, None]
    exact = x / (1 - x * math.sin(1.0))
    errors = [(solve(lambda x, t: x**2 * math.cos(t), x, times(n), solver) - exact).abs().max() for n in (512, 1024)]
    assert (errors[0] / errors[1]).item() == pytest.approx(2.0**order, rel=0.1)


@pytest.mark.parametrize(
    ("name", "nfe", "draws"),
    [("ancestral", 20, 21), ("ddim-5", 5, 1), ("ddim-20", 20, 1), ("dpmpp-10", 10, 1)],
)
def test_a_named_sampler_of_diffusion_takes_the_steps_it_names(name: str, nfe: int, draws: int) -> None:
    data = DataSpec(shape=(2,), levels=None)
    model = DDPM(data, DDPMConfig(timesteps=20, hidden=16, depth=1, octaves=0)).eval().with_sampler(name)
    with torch.no_grad():
        recorded = Recorded(Streams(0, range(3)))
        model.sample(recorded)
    assert (model.nfe, len(recorded.tensors)) == (nfe, draws)


def test_more_steps_than_there_are_have_no_name() -> None:
    config = DDPMConfig(timesteps=20)
    assert set(DDPM.samplers(config)) == {
        "ancestral",
        "ddim-5",
        "ddim-10",
        "ddim-20",
        "dpmpp-5",
        "dpmpp-10",
        "dpmpp-20",
    }
    assert "ddim-50" in DDPM.samplers(DDPMConfig(timesteps=50))


@pytest.mark.parametrize(("name", "nfe"), [("euler-10", 10), ("heun-10", 20), ("midpoint-5", 10)])
def test_nfe_counts_evaluations_not_steps(name: str, nfe: int) -> None:
    model = FlowMatching(DataSpec(shape=(2,), levels=None), FlowMatchingConfig(hidden=16, depth=1, octaves=0))
    assert model.with_sampler(name).nfe == nfe


PLACES = [
    ((1, 3, 3), 2, {}),
    ((1, 2, 2), 3, {"kernel": 1, "width": 4, "blocks": 1}),
    ((3, 1, 2), 2, {}),
    ((2, 4, 3), 17, {}),
    ((1, 8, 8), 17, {}),
    ((3, 8, 8), 17, {"width": 9}),
    ((1, 9, 7), 256, {"reach": 4, "blocks": 4, "kernel": 3}),
    ((3, 5, 6), 256, {"width": 16}),
    ((1, 16, 16), 2, {"reach": 8, "blocks": 4, "width": 16}),
]


def rough(shape: tuple[int, ...], levels: int, change: dict[str, int]) -> PixelCNN:
    """A network whose factors are far from uniform."""
    torch.manual_seed(1)
    data = DataSpec(shape=shape, levels=levels)
    model = PixelCNN(data, dataclasses.replace(PixelCNNConfig.for_data(data), **change)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        model.exit.weight.mul_(20.0)
        for p in model.parameters():
            if p.ndim == 1:
                p.normal_(std=0.3)
    return model


@pytest.mark.parametrize(("shape", "levels", "change"), PLACES)
def test_cached_pixels_are_the_naive_ones(shape: tuple[int, ...], levels: int, change: dict[str, int]) -> None:
    """Image by image; the smallest dilations wrap around their two rows of cache many times, the largest never."""
    model = rough(shape, levels, change)
    assert model.config.sampler == "cached"
    with torch.inference_mode():
        recorded = Recorded(Streams(3, range(20)))
        cached = model.sample(recorded)
        naive = model.with_sampler("naive").sample(Replay(recorded.tensors))
    assert torch.equal(cached, naive)
    assert len(cached.flatten(1).unique(dim=0)) > 5


def test_a_step_holds_the_weights_of_its_making() -> None:
    model = rough((1, 3, 3), 2, {})
    unit = model.step()
    assert unit is not None
    before = unit.module(*unit.example(4))[1]
    with torch.no_grad():
        model.entry.weight.zero_()
    assert torch.equal(unit.module(*unit.example(4))[1], before)
    again = model.step()
    assert again is not None
    assert not torch.equal(again.module(*again.example(4))[1], before)


def test_an_unknown_sampler_of_pixels_is_refused() -> None:
    with pytest.raises(Refused, match="'cached' or 'naive'"):
        PixelCNN(DataSpec(shape=(1, 3, 3), levels=2), PixelCNNConfig(sampler="fast"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "levels"), [((1, 8, 8), 17), ((3, 16, 16), 256)])
def test_codes_with_kept_keys_and_values_are_the_naive_ones(shape: tuple[int, ...], levels: int) -> None:
    """The naive prior runs over all positions for every code."""
    torch.manual_seed(0)
    data = DataSpec(shape=shape, levels=levels)
    prior = VQVAE(data, VQVAEConfig.for_data(data)).prior.eval()
    uniform = Streams(2, range(50)).uniform(len(prior.place))
    with torch.no_grad():
        for p in prior.parameters():
            p.mul_(2.0)
        naive = torch.zeros(uniform.shape, dtype=torch.int64)
        for s, u in enumerate(uniform.T):
            naive[:, s] = categorical(prior(naive)[:, s], u)
        assert torch.equal(prior.sample(uniform), naive)
    assert len(naive.unique()) > 5


def test_what_stands_at_later_positions_does_not_matter() -> None:
    data = DataSpec(shape=(1, 8, 8), levels=2)
    unit = VQVAE(data, VQVAEConfig.for_data(data)).eval().step()
    code, _, uniform, keys, values = unit.example(4)
    position, late = torch.tensor([2]), torch.arange(keys.shape[3])[:, None] >= 2
    with torch.no_grad():
        plain = unit.module(code, position, uniform, keys, values)
        other = unit.module(code, position, uniform, keys.masked_fill(late, 7.0), values.masked_fill(late, 7.0))
        early = unit.module(code, position, uniform, keys.masked_fill(~late, 7.0), values)
    assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))
    assert not torch.equal(plain[2], early[2])
