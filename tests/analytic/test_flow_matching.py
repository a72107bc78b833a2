"""Flow matching against closed forms: data N(m, s^2 I), whose exact velocity is affine.

On the straight path x_t = (1 - t) x_0 + t x_1 has mean t m and variance w_t^2 = (1 - t)^2 + t^2 s^2, and

    v(x, t) = E[x_1 - x_0 | x_t = x] = m + (t s^2 - (1 - t)) / w_t^2 (x - t m),

since Cov(x_1 - x_0, x_t) = t s^2 - (1 - t). The coefficient is d/dt log w_t, so the flow is x_t = t m + w_t x_0.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from baselines.flow_matching import (
    FlowMatching,
    FlowMatchingConfig,
    Solver,
    divergence,
    euler,
    heun,
    log_density,
    runge_kutta,
    solve,
    times,
)
from genbench.noise import Recorded, Replay, Streams
from genbench.types import Batch, DataSpec, Refused, Step

M, S = 0.7, 0.4
POINTS = DataSpec(shape=(2,), levels=None)
SMALL = FlowMatchingConfig(steps=6, likelihood_steps=8, width=8, multipliers=(1,), hidden=32, depth=2, octaves=2)


def exact(x: Tensor, t: float) -> Tensor:
    return M + (t * S**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * S**2) * (x - t * M)


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2), (runge_kutta, 4)])
@pytest.mark.parametrize("rho", [1.0, 2.0])
def test_solvers_have_their_order(solver: Solver, order: int, rho: float) -> None:
    """Halving the steps divides the error by 2^order; the solution is x_1 = m + s x_0."""
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    errors = [(solve(exact, x, times(n, rho), solver) - (M + S * x)).abs().max().item() for n in (256, 512)]
    assert errors[0] / errors[1] == pytest.approx(2.0**order, rel=0.1)


def test_times_are_refined_toward_the_data() -> None:
    assert times(4) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert times(2, rho=2.0) == [0.0, 0.75, 1.0]


@pytest.mark.parametrize("rho", [1.0, 2.0])
def test_exact_velocity_gives_the_exact_log_density(rho: float) -> None:
    x = M + S * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.distributions.Normal(M, S).log_prob(x).sum(1)
    torch.testing.assert_close(log_density(exact, x, times(40, rho)), expected, atol=1e-4, rtol=0)


def nonlinear(dim: int) -> Callable[[Tensor, float], Tensor]:
    mix = torch.randn(dim, dim, generator=torch.Generator().manual_seed(0))
    return lambda x, t: torch.tanh(x @ mix + t) * x.flip(1)


def test_divergence_is_the_trace_of_the_jacobian() -> None:
    field, x = nonlinear(4), torch.randn(3, 4, requires_grad=True)
    traces = [torch.autograd.functional.jacobian(lambda row: field(row[None], 0.3)[0], row).trace() for row in x]
    torch.testing.assert_close(divergence(field(x, 0.3), x, None), torch.stack(traces))


def test_hutchinson_is_unbiased_over_all_signs() -> None:
    """The mean of e^T J e over all 2^D sign vectors is the trace exactly, since E[e e^T] = I."""
    field, x = nonlinear(4), torch.randn(3, 4, requires_grad=True)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)))[:, None].expand(16, 3, 4)
    estimate = divergence(field(x, 0.3), x, signs)
    torch.testing.assert_close(estimate, divergence(field(x, 0.3), x, None))
    one = divergence(field(x, 0.3), x, signs[:1])
    assert (one - estimate).abs().max() > 1e-3, "a single probe is only an estimate"


def test_densities_integrate_to_one() -> None:
    """Untrained it is the standard normal; after some training it still integrates to one within 1e-3."""
    torch.manual_seed(0)
    model = FlowMatching(POINTS, replace(SMALL, likelihood_steps=20, rho=2.0))
    side = torch.linspace(-5, 5, 101)
    grid = torch.cartesian_prod(side, side)
    generator = torch.Generator().manual_seed(1)
    data = (
        torch.randn(256, 2, generator=generator) * 0.3 + 2.0 * torch.randint(0, 2, (256, 1), generator=generator) - 1.0
    )

    def integral() -> float:
        nats = model.log_prob(grid, Streams(0, range(len(grid))))
        return nats.double().exp().sum().item() * (side[1] - side[0]).item() ** 2

    model.eval()
    torch.testing.assert_close(
        model.log_prob(grid, Streams(0, range(len(grid)))), torch.distributions.Normal(0, 1).log_prob(grid).sum(1)
    )
    (optimizer,) = model.optimizers().values()
    for index in range(120):
        step = Step(index=index, total=120, noise=Streams(index, range(256)))
        for _, loss in model.losses(Batch(data), step):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert integral() == pytest.approx(1.0, abs=1e-3)
    found = model.log_prob(data, Streams(0, range(256))).mean()
    assert found > torch.distributions.Normal(0, 1).log_prob(data).sum(1).mean() + 0.5, "it has learned"


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 6)], ids=["exact divergence", "Hutchinson"])
def test_nats_of_an_untrained_image_model(shape: tuple[int, ...]) -> None:
    """The field is 0, so the law is N(0, I) on the scale of [-1, 1]: log N(z) + D log(2 / L) at the dequantized z."""
    data = DataSpec(shape=shape, levels=3)
    model = FlowMatching(data, SMALL).eval()
    x = torch.randint(0, 3, (20, *shape), dtype=torch.uint8)
    u = Streams(5, range(20)).uniform(*shape)
    z = 2 * (x + u) / 3 - 1
    expected = (torch.distributions.Normal(0, 1).log_prob(z) + math.log(2 / 3)).flatten(1).sum(1)
    torch.testing.assert_close(model.log_prob(x, Streams(5, range(20))), expected)


def test_masses_of_images_add_up_to_the_cube() -> None:
    """Summed over every 2x2 image of 3 levels, the mean of exp(log_prob) is the mass of N(0, I) in [-1, 1]^4."""
    data = DataSpec(shape=(1, 2, 2), levels=3)
    model = FlowMatching(data, replace(SMALL, likelihood_steps=1)).eval()
    x = torch.cartesian_prod(*[torch.arange(3)] * 4).to(torch.uint8).reshape(81, 1, 2, 2).repeat(40, 1, 1, 1)
    masses = model.log_prob(x, Streams(0, range(len(x)))).exp().reshape(40, 81).sum(1)
    expected = math.erf(math.sqrt(0.5)) ** 4
    assert masses.mean().item() == pytest.approx(expected, abs=4 * masses.std().item() / math.sqrt(40))


@pytest.mark.parametrize("data", [POINTS, DataSpec(shape=(2, 3, 3), levels=3)], ids=["points", "images"])
@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_likelihood_works_where_the_caller_forbids_gradients(
    guard: Callable[[], torch.no_grad], data: DataSpec
) -> None:
    torch.manual_seed(0)
    model = FlowMatching(data, SMALL).eval()
    x = torch.randint(0, 3, (4, *data.shape), dtype=torch.uint8) if data.is_image else torch.randn(4, 2)
    for p in model.parameters():
        nn.init.normal_(p, std=0.2)
    expected = model.log_prob(x, Streams(0, range(4)))
    with guard():
        found = model.log_prob(x.clone(), Streams(0, range(4)))
    assert torch.equal(found, expected)
    assert not expected.requires_grad


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_a_sampler_is_a_function_of_its_noise(solver: str) -> None:
    torch.manual_seed(0)
    data = DataSpec(shape=(1, 3, 3), levels=17)
    model = FlowMatching(data, replace(SMALL, solver=solver)).eval()  # type: ignore[arg-type]
    for p in model.parameters():
        nn.init.normal_(p, std=0.2)
    with torch.no_grad():
        recorded = Recorded(Streams(3, range(6)))
        x = model.sample(recorded)
        assert len(recorded.tensors) == 1
        assert torch.equal(model.sample(Replay(recorded.tensors)), x)
        assert x.float().std() > 1


@pytest.mark.parametrize(
    ("change", "says"),
    [({"solver": "rk45"}, "solver 'rk45'"), ({"steps": 0}, "steps"), ({"probes": 0}, "probes"), ({"rho": 0.5}, "rho")],
)
def test_a_wrong_configuration_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        FlowMatching(POINTS, replace(SMALL, **change))  # type: ignore[arg-type]
