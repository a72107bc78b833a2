"""The critic's penalty and the critic's distance against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from baselines.wgan_gp import WGANGP, gradient_penalty
from genbench.noise import Streams
from genbench.types import Batch, DataSpec, Refused, Step

POINTS = DataSpec(shape=(2,), levels=None)


def test_the_penalty_of_a_linear_critic() -> None:
    """f(x) = w.x has gradient w everywhere: the penalty is (|w| - 1)^2, its gradient 2 (|w| - 1) w / |w|."""
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 32, 3, 2, 2, dtype=torch.float64, generator=generator)
    eps = torch.rand(32, 1, dtype=torch.float64, generator=generator)
    w = torch.randn(12, dtype=torch.float64, generator=generator).requires_grad_(True)
    penalty = gradient_penalty(lambda x: x.flatten(1) @ w, real, fake, eps)
    norm = w.norm().item()
    assert penalty.item() == pytest.approx((norm - 1.0) ** 2, rel=1e-12)
    penalty.backward()
    assert w.grad is not None
    assert torch.allclose(w.grad, 2.0 * (norm - 1.0) * w.detach() / norm, rtol=1e-10)


def test_the_penalty_of_a_quadratic_critic_is_taken_between_the_pairs() -> None:
    """f(x) = |x|^2 / 2 has gradient x: the penalty is the mean of (|eps x + (1 - eps) x~| - 1)^2, eps on the real."""
    real = torch.tensor([[4.0, 0.0], [0.0, 2.0]])
    fake = torch.tensor([[0.0, 0.0], [0.0, -2.0]])
    eps = torch.tensor([[0.75], [0.5]])
    penalty = gradient_penalty(lambda x: 0.5 * x.square().sum(dim=1), real, fake, eps)
    assert penalty.item() == pytest.approx(((3.0 - 1.0) ** 2 + (0.0 - 1.0) ** 2) / 2)


@pytest.mark.parametrize("penalty", [1.0, 10.0])
def test_a_trained_critic_measures_the_distance_of_two_shifted_clouds(penalty: float) -> None:
    """Two small clouds at distance d have W1 = d, with a critic linear along the shift; the penalty is soft, so
    that its slope k maximizes k d - lambda (k - 1)^2: k = 1 + d / (2 lambda), and the estimate is k d."""
    torch.manual_seed(0)
    d = 2.0
    critic = WGANGP(POINTS, WGANGP.Config(width=64)).critic
    optimizer = torch.optim.Adam(critic.parameters(), lr=5e-3, betas=(0.5, 0.9))
    generator = torch.Generator().manual_seed(0)
    shift = d * torch.tensor([math.cos(1.0), math.sin(1.0)])
    for index in range(400):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1.0 - index / 400)
        real = 0.05 * torch.randn(128, 2, generator=generator) + shift
        fake = 0.05 * torch.randn(128, 2, generator=generator)
        distance = critic(real).mean() - critic(fake).mean()
        eps = torch.rand(128, 1, generator=generator)
        loss = -distance + penalty * gradient_penalty(critic, real, fake, eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert distance.item() == pytest.approx(d * (1.0 + d / (2.0 * penalty)), rel=0.02)


def test_every_round_of_the_critic_sees_its_own_minibatch() -> None:
    """With weights held still, n_critic losses on a batch of n_critic parts are those of the parts, one by one."""
    torch.manual_seed(0)
    model = WGANGP(POINTS, WGANGP.Config(n_critic=3))
    x = torch.randn(12, 2)
    losses = [loss for _, loss in model.losses(Batch(x), Step(0, 10, Streams(4, torch.arange(12))))]
    assert len(losses) == 4
    model.config = WGANGP.Config(n_critic=1)
    for part, loss in enumerate(losses[:3]):
        rows = torch.arange(4 * part, 4 * part + 4)
        # The standardization of step 0 stays that of the whole batch.
        alone = next(model.losses(Batch(x[rows]), Step(1, 10, Streams(4, rows))))[1]
        assert torch.allclose(alone, loss)


def test_convolutions_refuse_points() -> None:
    with pytest.raises(Refused, match="convolutions need images"):
        WGANGP(POINTS, WGANGP.Config(network="convolutions"))
