"""The minimax game against its closed forms.

p the law of the data, q the generator's, D*(x) = p(x) / (p(x) + q(x)) the best discriminator, whose logit is
log p(x) - log q(x). Then V(D*, G) = E_p log p/(p+q) + E_q log q/(p+q) = 2 JSD(p, q) - 2 log 2.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from baselines.dcgan import DCGAN, Discriminator, Generator, pyramid
from baselines.gan import GAN, game_value, generator_loss
from baselines.wgan_gp import WGANGP
from genbench.data.mixtures import ring8
from genbench.noise import Streams
from genbench.types import Batch, DataSpec, Refused, Step

POINTS = DataSpec(shape=(2,), levels=None)
DIGITS = DataSpec(shape=(1, 8, 8), levels=17)


def jensen_shannon_of_shifted_normals(shift: float) -> float:
    """JSD(N(0, 1), N(shift, 1)) in nats, by the trapezoid rule."""
    x = torch.linspace(-12.0, 12.0 + shift, 20_001, dtype=torch.float64)
    log_p, log_q = -0.5 * x**2, -0.5 * (x - shift) ** 2
    log_m = torch.logaddexp(log_p, log_q) - math.log(2.0)
    integrand = 0.5 * (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m))
    return torch.trapezoid(integrand, x).item() / math.sqrt(2.0 * math.pi)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0, 6.0])
def test_value_at_the_optimal_discriminator_is_twice_the_divergence_less_two_log_two(shift: float) -> None:
    """Normal laws at distance s: the logit of D* is s^2 / 2 - s x. Stratified quantiles replace random draws, so
    that the means are quadratures."""
    levels = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    real = math.sqrt(2.0) * torch.erfinv(2.0 * levels - 1.0)
    fake = real + shift
    value = game_value(0.5 * shift**2 - shift * real, 0.5 * shift**2 - shift * fake)
    expected = 2.0 * jensen_shannon_of_shifted_normals(shift) - 2.0 * math.log(2.0)
    assert value.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kept", [1, 4, 7, 8])
def test_value_of_a_generator_that_keeps_some_modes_of_the_ring(kept: int) -> None:
    """q uniform on k of the K = 8 modes, which do not overlap: with m = (p + q) / 2,

    KL(p||m) = (k/K) log(2k / (K+k)) + (1 - k/K) log 2,   KL(q||m) = log(2K / (K+k)),   2 JSD = their sum.

    On a mode that q keeps, log p - log q = log(k/K); on another it is infinite.
    """
    ring = ring8()
    x = ring.draw(20_000, seed=3)
    mode = ring.modes(x)
    logit = torch.where(mode < kept, math.log(kept / 8), 1e3)
    # The draws fall on the modes in random numbers; weighting each mode by 1/8 takes that noise away.
    real = torch.stack([logit[mode == k].mean() for k in range(8)])
    value = game_value(real, real[:kept])
    forward = kept / 8 * math.log(2 * kept / (8 + kept)) + (1 - kept / 8) * math.log(2)
    expected = forward + math.log(16 / (8 + kept)) - 2 * math.log(2)
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_a_trained_discriminator_approaches_the_optimal_value_and_the_optimal_logit() -> None:
    """p = N(0, I), q = N((2, 0), I) in the plane: the JSD is that of the first coordinate, the logit 2 - 2 x_1."""
    torch.manual_seed(0)
    discriminator = GAN(POINTS, GAN.Config(hidden=64)).discriminator
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=3e-3)
    shift = torch.tensor([2.0, 0.0])
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        return torch.randn(n, 2, generator=generator), torch.randn(n, 2, generator=generator) + shift

    for index in range(400):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1.0 - index / 400)
        real, fake = draw(512)
        optimizer.zero_grad()
        (-game_value(discriminator(real), discriminator(fake))).backward()
        optimizer.step()
    with torch.no_grad():
        real, fake = draw(100_000)
        value = game_value(discriminator(real), discriminator(fake)).item()
        centre = torch.tensor([[0.0, 0.0], [1.0, 0.5], [2.0, 0.0]])
        logits = discriminator(centre)[:, 0]
    best = 2.0 * jensen_shannon_of_shifted_normals(2.0) - 2.0 * math.log(2.0)
    assert best - 0.02 < value < best + 0.01  # 0.01: about three standard errors of the two means
    assert torch.allclose(logits, 2.0 - 2.0 * centre[:, 0], atol=0.35)


def test_gradients_of_the_two_losses_where_the_discriminator_wins() -> None:
    """d/dl log(1 - D) = -D, d/dl (-log D) = -(1 - D): at l = -20 the first is gone, the second is whole."""
    logit = torch.tensor([-20.0, -3.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    d = torch.sigmoid(logit.detach())
    (saturating,) = torch.autograd.grad(generator_loss(logit, "saturating") * 4, logit)
    (other,) = torch.autograd.grad(generator_loss(logit, "non-saturating") * 4, logit)
    assert torch.allclose(saturating, -d, rtol=1e-9, atol=0.0)
    assert torch.allclose(other, d - 1.0, rtol=1e-9, atol=0.0)


def generator_gradient(loss: Literal["saturating", "non-saturating"]) -> float:
    """Norm of the generator's gradient under a discriminator that is sure of itself: its bias lowered by 15."""
    torch.manual_seed(0)
    model = GAN(DIGITS, GAN.Config(loss=loss))
    with torch.no_grad():
        list(model.discriminator.parameters())[-1].sub_(15.0)
    for group, value in model.losses(batch_of(DIGITS), step_of(16)):
        if group == "generator":
            value.backward()
    return sum(p.grad.square().sum().item() for p in model.generator.parameters() if p.grad is not None) ** 0.5


def test_the_saturating_generator_stops_learning_when_the_discriminator_wins() -> None:
    saturating, other = generator_gradient("saturating"), generator_gradient("non-saturating")
    assert saturating == pytest.approx(other * math.exp(-15.0), rel=0.5)
    assert other > 1e-3


def test_the_instance_noise_fades_linearly_to_nothing_or_geometrically_to_its_least() -> None:
    """Halfway: the arithmetic mean of the first and zero, the geometric mean of the first and the least."""
    linear = GAN(POINTS, GAN.Config(hidden=4, instance_noise=0.2))
    geometric = GAN(POINTS, GAN.Config(hidden=4, instance_noise=0.32, least_noise=0.02))
    assert [linear._noise_scale(p) for p in (0.0, 0.5)] == pytest.approx([0.2, 0.1])
    assert [geometric._noise_scale(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.32, 0.08, 0.02])
    assert GAN(POINTS, GAN.Config(hidden=4, instance_noise=0.0, least_noise=0.02))._noise_scale(0.5) == 0.0


@pytest.mark.parametrize("build", [GAN, WGANGP])
def test_fourier_features_of_the_latent_reach_the_generator(build: Any) -> None:
    """z of length 2 reaches the first layer as 2 (1 + 2 octaves) numbers."""
    torch.manual_seed(0)
    model = build(POINTS, build.Config(latent=2, latent_octaves=3)).eval()
    first = next(m for m in model.generator.modules() if isinstance(m, torch.nn.Linear))
    assert first.in_features == 2 * (1 + 2 * 3)
    with torch.no_grad():
        assert model.sample(Streams(0, range(4))).std(dim=0).min() > 0


def batch_of(spec: DataSpec, n: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(1)
    if spec.levels is None:
        return Batch(torch.randn(n, *spec.shape, generator=generator))
    return Batch(torch.randint(spec.levels, (n, *spec.shape), generator=generator, dtype=torch.uint8))


def step_of(n: int) -> Step:
    return Step(0, 10, Streams(0, torch.arange(n)))


@pytest.mark.parametrize(
    ("build", "spec", "rounds"),
    [(GAN, POINTS, 1), (GAN, DIGITS, 1), (DCGAN, DIGITS, 1), (WGANGP, POINTS, 5), (WGANGP, DIGITS, 5)],
)
def test_a_loss_moves_its_own_network_only_and_sees_the_update_before_it(
    build: Any, spec: DataSpec, rounds: int
) -> None:
    """Plain `backward()` leaves no gradient on the other network; the generator's loss changes with the update."""
    first = "critic" if build is WGANGP else "discriminator"

    def play(update: bool) -> tuple[list[str], Tensor]:
        torch.manual_seed(0)
        model = build(spec, build.Config.for_data(spec))
        opponent = {first: "generator", "generator": first}
        optimizers, groups, loss = model.optimizers(), [], torch.zeros(())
        for group, loss in model.losses(batch_of(spec, 40), step_of(40)):
            groups.append(group)
            model.zero_grad(set_to_none=True)
            loss.backward()
            others = list(model.get_submodule(opponent[group]).parameters())
            assert all(p.grad is None for p in others)
            assert all(p.grad is not None for p in model.get_submodule(group).parameters())
            if update:
                optimizers[group].step()
        return groups, loss.detach()

    groups, moved = play(update=True)
    assert groups == [first] * rounds + ["generator"]
    assert moved != play(update=False)[1]


@pytest.mark.parametrize("build", [GAN, DCGAN, WGANGP])
def test_a_sample_does_not_depend_on_its_batch(build: Any) -> None:
    torch.manual_seed(0)
    model = build(DIGITS, build.Config.for_data(DIGITS))
    for _ in model.losses(batch_of(DIGITS, 40), step_of(40)):
        pass  # moves the running statistics of the batch normalization away from (0, 1)
    model.eval()
    with torch.no_grad():
        together = model.sample(Streams(5, torch.arange(7)))
        alone = torch.cat([model.sample(Streams(5, [index])) for index in range(7)])
    # A product of matrices may round differently for another number of rows: one level at a half.
    assert (together.int() - alone.int()).abs().max() <= 1
    assert (together == alone).float().mean() > 0.99


@pytest.mark.parametrize(
    "size", [(2, 2), (3, 3), (4, 4), (5, 7), (8, 8), (16, 16), (28, 28), (32, 32), (64, 64), (9, 1)]
)
def test_the_pyramid_leads_down_and_back_at_every_size(size: tuple[int, int]) -> None:
    sizes = pyramid(size)
    assert max(sizes[-1]) <= 4
    shape = (3, *size)
    images = Generator(shape, latent=5, width=2)(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    assert Discriminator(shape, width=2, normalize=True)(images).shape == (2, 1)
    steps = [module for module in Discriminator(shape, 2, True) if isinstance(module, torch.nn.Conv2d)]
    h = images
    for convolution, expected in zip(steps, [*sizes[1:], (1, 1)], strict=True):
        h = convolution(h)
        assert tuple(h.shape[2:]) == expected


def test_refusals_name_what_would_be_right() -> None:
    with pytest.raises(Refused, match="convolutions need images"):
        DCGAN(POINTS, DCGAN.Config())
    with pytest.raises(Refused, match="non-saturating"):
        GAN(POINTS, GAN.Config(loss="hinge"))  # type: ignore[arg-type]
    with pytest.raises(Refused, match="no likelihood"):
        GAN(POINTS, GAN.Config()).log_prob(torch.zeros(1, 2), Streams(0, [0]))
