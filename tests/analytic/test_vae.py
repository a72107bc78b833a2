"""VAE against exact numbers: on a small space p(x) is an integral over one latent variable, done by quadrature."""

import itertools
import math

import pytest
import torch

import genbench
from genbench.noise import Streams
from genbench.types import DataSpec, Refused, Step

SPEC = DataSpec(shape=(1, 3, 3), levels=2)


def everything(size: int, levels: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(levels), repeat=size)), dtype=torch.uint8).reshape(-1, *shape)


def linear(spec: DataSpec, **config: object) -> torch.nn.Module:
    """One latent variable and linear maps with random weights, so that q(z|x) is not the posterior."""
    model = genbench.build("vae", spec, seed=0, latents=1, depth=0, width=0, **config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
        for p in model.encoder.parameters():
            p.copy_(0.1 * torch.randn(p.shape, generator=generator))
    return model


def by_quadrature(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """log p(x) = log int N(z; 0, 1) p(x|z) dz by the trapezoid rule on [-9, 9], whose error is far below 1e-6 here."""
    z = torch.linspace(-9.0, 9.0, 2001)
    log_prior = -0.5 * z.square() - 0.5 * math.log(2.0 * math.pi)
    with torch.no_grad():
        terms = torch.stack([model.observation(x, v.expand(len(x), 1)) + p for v, p in zip(z, log_prior, strict=True)])
    return torch.logsumexp(terms.double(), dim=0) + math.log(18.0 / 2000)


def mean_bound(model: torch.nn.Module, x: torch.Tensor, repeats: int) -> torch.Tensor:
    runs = [genbench.likelihood(model, x, seed=s, progress=False).nats for s in range(repeats)]
    return torch.stack(runs).mean(dim=0)


@pytest.mark.parametrize("spec", [SPEC, DataSpec(shape=(1, 2, 2), levels=3)], ids=["bernoulli", "discretized logistic"])
def test_bounds_rise_to_the_exact_likelihood(spec):
    """E ELBO <= E IWAE-4 <= E IWAE-256 <= log p(x), the last nearly equal, and sum exp(log p) = 1."""
    x = everything(spec.dim, spec.levels, spec.shape)
    exact = by_quadrature(linear(spec), x)
    assert exact.exp().sum().item() == pytest.approx(1.0, abs=1e-4)
    elbo, few, many = (mean_bound(linear(spec, importance_samples=k), x, 12) for k in (1, 4, 256))
    assert elbo.mean() + 0.05 < few.mean() < many.mean() < exact.mean() + 0.005
    assert (exact - many).mean() < 0.05
    assert elbo.exp().sum() <= few.exp().sum() <= many.exp().sum() + 1e-3 <= 1.01


def test_one_importance_sample_is_the_elbo():
    """With K = 1 the expectation of log w is reconstruction - kl, and kl is that of torch.distributions."""
    model, x = linear(SPEC, importance_samples=1), everything(9, 2, SPEC.shape)[::16]
    with torch.no_grad():
        terms = [model.elbo(x, Streams(s, range(len(x)))) for s in range(400)]
    elbo = torch.stack([reconstruction - kl for reconstruction, kl in terms]).mean(dim=0)
    single = mean_bound(model, x, 400)
    assert elbo.mean().item() == pytest.approx(single.mean().item(), abs=0.05)
    with torch.no_grad():
        mu, log_sigma = (part.double() for part in model.encoder(model._input(x)))
    q, p = torch.distributions.Normal(mu[:, 0], log_sigma.exp()[:, 0]), torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(terms[0][1].double(), torch.distributions.kl_divergence(q, p), rtol=1e-5, atol=1e-5)


def test_the_bound_does_not_depend_on_how_many_are_decoded_at_once():
    x = everything(9, 2, SPEC.shape)[::50]
    whole = genbench.likelihood(linear(SPEC, importance_samples=37), x, progress=False).nats
    pieces = genbench.likelihood(linear(SPEC, importance_samples=37, chunk=1), x, progress=False).nats
    torch.testing.assert_close(whole, pieces, rtol=0, atol=1e-5)


def test_points_have_the_marginal_density_of_a_linear_model():
    """A linear decoder W z + c with noise sigma on standardized points: p(x) = N(c, W W' + sigma^2 I), rescaled."""
    spec = DataSpec(shape=(2,), levels=None)
    model = genbench.build("vae", spec, seed=0, latents=2, depth=0, importance_samples=16384)
    model.decoder = torch.nn.Linear(2, 4)  # means, then log scales
    data = torch.randn(500, 2, generator=torch.Generator().manual_seed(4)) * 3.0 + 1.0
    with torch.no_grad():
        model.standardize.observe(data)
        encoder, map_, log_scale = model.encoder.head[0], torch.tensor([[0.8, 0.2], [-0.3, 0.5]]), [-0.7, -0.3]
        model.decoder.weight.copy_(torch.cat([map_, torch.zeros(2, 2)]))
        model.decoder.bias.copy_(torch.tensor([0.1, -0.4, *log_scale]))
        encoder.weight.zero_()
        encoder.bias.zero_()  # q(z|x) is the prior
        covariance = map_ @ map_.T + torch.diag(torch.exp(2.0 * torch.tensor(log_scale)))
        law = torch.distributions.MultivariateNormal(torch.tensor([0.1, -0.4]), covariance)
        x = data[:20]
        exact = law.log_prob(model.standardize(x)) + model.standardize.log_det
    found = genbench.likelihood(model, x, progress=False).nats
    torch.testing.assert_close(found, exact.double(), rtol=0, atol=0.3)
    assert (found - exact).abs().mean() < 0.05


def test_points_spread_by_a_scale_of_their_own():
    """Where z decides the scale alone, log scale = z_1 - 2 below 0, samples are standardized: x_1 = exp(...) eps."""
    spec = DataSpec(shape=(1,), levels=None)
    model = genbench.build("vae", spec, seed=0, latents=1)
    model.decoder = torch.nn.Linear(1, 2)
    with torch.no_grad():
        model.decoder.weight.copy_(torch.tensor([[0.0], [1.0]]))
        model.decoder.bias.copy_(torch.tensor([0.0, -2.0]))
        z = Streams(3, range(20_000)).normal(1)
    x = genbench.sample(model, 20_000, seed=0, batch_size=20_000, progress=False)
    # E x^2 = E exp(2 min(z - 2, 0)), here by other draws of z.
    expected = torch.exp(2.0 * (z - 2.0).clamp(max=0.0)).mean()
    assert x.square().mean().item() == pytest.approx(expected.item(), rel=0.1)


def test_the_floor_under_the_scale_falls_from_the_width_of_the_data_to_none():
    """scale^2 + floor^2 in place of scale^2 while the floor stands; the bound that is reported knows none."""
    model = genbench.build("vae", DataSpec(shape=(2,), levels=None), seed=0)
    noise = Streams(0, range(5))
    assert model._floor(Step(0, 1000, noise)) == 1.0
    assert model._floor(Step(150, 1000, noise)) == pytest.approx(math.sqrt(0.003))
    assert model._floor(Step(300, 1000, noise)) == 0.0
    x, z = noise.normal(2), torch.zeros(5, 2)
    with torch.no_grad():
        mean, log_scale = model._gaussian(z)
        scale = torch.sqrt(torch.exp(2.0 * log_scale) + 0.25)
        expected = torch.distributions.Normal(mean, scale).log_prob(x).sum(dim=1)
        torch.testing.assert_close(model.observation(x, z, floor=0.5), expected)
        expected = torch.distributions.Normal(mean, torch.exp(log_scale)).log_prob(x).sum(dim=1)
        torch.testing.assert_close(model.observation(x, z), expected)


def test_samples_follow_the_decoder_and_not_its_mean():
    """The share of ink in the samples is the mean of p(x|z) over the prior, by quadrature; and they are not smooth."""
    model = linear(SPEC)
    x = genbench.sample(model, 20_000, seed=0, batch_size=20_000, progress=False).float()
    z = torch.linspace(-9.0, 9.0, 2001)
    weight = torch.exp(-0.5 * z.square())
    with torch.no_grad():
        expected = (torch.sigmoid(model.decoder(z[:, None])) * weight[:, None, None, None]).sum(dim=0) / weight.sum()
    torch.testing.assert_close(x.mean(dim=0), expected, rtol=0, atol=0.02)


def test_the_kind_says_how_many_importance_samples():
    assert genbench.build("vae", SPEC).likelihood == "iwae"
    assert genbench.build("vae", SPEC, importance_samples=1).likelihood == "elbo"
    with pytest.raises(Refused, match="at least 1"):
        genbench.build("vae", SPEC, importance_samples=0)


@pytest.mark.parametrize("shape", [(3, 12, 10), (1, 16, 8), (2, 3, 6)])
@pytest.mark.parametrize("width", [0, 8])
def test_perceptrons_and_convolutions_serve_any_size(width, shape):
    spec = DataSpec(shape=shape, levels=4)
    model = genbench.build("vae", spec, width=width, hidden=32, importance_samples=2)
    x = genbench.sample(model, 5, progress=False)
    assert genbench.likelihood(model, x, progress=False).nats.shape == (5,)
    with torch.no_grad():
        assert model.encode(x).shape == (5, model.config.latents)
        assert model.reconstruct(x).shape == x.shape
        assert model.reconstruct(x).dtype == torch.uint8
    sum(model.elbo(x, Streams(0, range(5)))).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_a_cell_of_the_smallest_map_is_a_place_in_the_image():
    """16x16 from 4x4: cell (i, j) covers the pixels 4i to 4i + 3 and reaches what the kernels add on each side.

    In pixels: 3x3 at 4x4 adds 4, a transposed 4x4 to 8x8 adds 2, 3x3 at 8x8 adds 2, a transposed 4x4 adds 1: 9.
    """
    model = genbench.build("vae", DataSpec(shape=(1, 16, 16), levels=2), seed=0, width=4)
    decoder = model.decoder
    assert decoder.smallest == (8, 4, 4)
    maps = torch.zeros(1, 8, 4, 4, requires_grad=True)
    reach = []
    for pixel in (0, 15):
        (gradient,) = torch.autograd.grad(decoder.convolutions(maps)[0, 0, pixel, pixel], maps)
        reach.append(gradient[0].abs().sum(dim=0) > 0)
    assert reach[0].nonzero().tolist() == [[i, j] for i in range(3) for j in range(3)]
    assert reach[1].nonzero().tolist() == [[i, j] for i in range(1, 4) for j in range(1, 4)]


def test_images_above_8x8_get_convolutions():
    widths = {side: genbench.build("vae", DataSpec(shape=(1, side, side), levels=2)).config.width for side in (8, 16)}
    assert widths == {8: 0, 16: 32}
