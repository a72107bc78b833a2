"""The controls against their closed forms, and the two lessons that they teach.

Symbols: D values in an image, L levels, N training images, e the chance that a pixel flips in `glyphs`.
"""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import genbench
from baselines import mostly_noise
from baselines.closed_form import Plain
from baselines.copycat import Copycat
from baselines.gaussian import Gaussian
from baselines.independent import Independent, IndependentConfig
from baselines.mostly_noise import MixtureConfig, MostlyNoise
from baselines.narrow_kernels import KernelConfig, NarrowKernels
from baselines.truth import Truth
from genbench.data.glyphs import law as glyph_law
from genbench.images import discretized_logistic, to_signed
from genbench.noise import Streams
from genbench.types import Batch, Dataset, DataSpec, Model, Recipe, Refused, Step

BINARY = DataSpec(shape=(1, 3, 3), levels=2)
TERNARY = DataSpec(shape=(1, 2, 2), levels=3)
POINTS = DataSpec(shape=(2,), levels=None)
CONTROLS = [Truth, Copycat, NarrowKernels, MostlyNoise, Independent, Gaussian]


def everything(data: DataSpec) -> Tensor:
    assert data.levels is not None
    rows = list(itertools.product(range(data.levels), repeat=data.dim))
    return torch.tensor(rows, dtype=torch.uint8).reshape(-1, *data.shape)


def training_set(data: DataSpec, n: int = 40) -> Tensor:
    noise = Streams(11, range(n))
    if data.levels is None:
        return noise.normal(*data.shape) @ torch.tensor([[1.0, 0.4], [0.0, 0.5]]) + torch.tensor([0.3, -0.2])
    return (noise.uniform(*data.shape).square() * data.levels).to(torch.uint8)


def fitted(model: Any, x: Tensor) -> Any:
    """Trains a closed-form model on a set; it must have nothing to yield."""
    assert list(model.losses(Batch(x), Step(0, 1, Streams(0, range(len(x)))))) == []
    return model.eval()


def nats(model: Model, x: Tensor) -> Tensor:
    return model.log_prob(x, Streams(0, range(len(x)))).double()


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_says_that_it_is_one(control: type[Model]) -> None:
    assert control.control
    assert control.family == "control"
    assert not Model.control


# truth


def test_truth_is_the_law() -> None:
    glyphs = glyph_law()
    data = DataSpec(shape=(1, 16, 16), levels=2, law=glyphs)
    model = Truth(data, Plain())
    x = model.sample(Streams(3, range(20)))
    assert torch.equal(x, glyphs.sample(Streams(3, range(20))))
    assert torch.equal(nats(model, x), glyphs.log_prob(x))
    assert Truth.recipe(data).steps == 0
    with pytest.raises(Refused, match="its generating law is not known"):
        Truth(BINARY, Plain())


# copycat


@pytest.mark.parametrize("data", [BINARY, TERNARY, POINTS])
def test_copycat_draws_every_training_example_equally_often(data: DataSpec) -> None:
    """Counts of 4,000 draws from 40 examples: mean 100, standard deviation 9.9."""
    x = torch.arange(40.0)[:, None].repeat(1, 2) if data.levels is None else everything(data)[:40]
    drawn = fitted(Copycat(data, Plain()), x).sample(Streams(1, range(4000)))
    assert drawn.dtype == x.dtype
    hits = (drawn[:, None] == x[None]).flatten(2).all(dim=2)
    assert hits.any(dim=1).all()
    assert (hits.sum(dim=0) - 100).abs().max() < 5 * 9.9


@pytest.mark.parametrize("kind", [Copycat, NarrowKernels])
def test_the_memory_survives_loading_into_a_fresh_model(kind: type[Model]) -> None:
    config = kind.Config.for_data(BINARY)  # type: ignore[attr-defined]
    model = fitted(kind(BINARY, config), training_set(BINARY))
    fresh = kind(BINARY, config)
    fresh.load_state_dict(model.state_dict())
    noise = [Streams(2, range(10)) for _ in range(2)]
    assert torch.equal(model.sample(noise[0]), fresh.sample(noise[1]))


# narrow-kernels


@pytest.mark.parametrize("data", [BINARY, TERNARY])
@pytest.mark.parametrize("scale", [0.1, 0.4])
def test_narrow_kernels_are_the_mixture_that_they_claim_to_be(data: DataSpec, scale: float) -> None:
    x, train = everything(data), training_set(data)
    model = fitted(NarrowKernels(data, KernelConfig(scale=scale)), train)
    assert data.levels is not None
    terms = discretized_logistic(
        x[:, None], to_signed(train, data.levels)[None], torch.tensor(scale).log(), data.levels
    )
    direct = terms.flatten(2).sum(dim=2).double().logsumexp(dim=1) - math.log(len(train))
    torch.testing.assert_close(nats(model, x), direct, rtol=0, atol=1e-4)
    assert nats(model, x).exp().sum().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("data", [BINARY, POINTS])
def test_a_training_set_of_several_chunks_counts_as_a_whole(data: DataSpec) -> None:
    """Five copies of 1,000 examples make the same law as one."""
    once = training_set(data, 1000)
    config = KernelConfig(scale=0.3)
    one, five = (fitted(NarrowKernels(data, config), once.repeat(k, *[1] * len(data.shape))) for k in (1, 5))
    torch.testing.assert_close(nats(five, once[:50]), nats(one, once[:50]), rtol=0, atol=1e-4)


def test_a_narrow_kernel_flips_one_binary_pixel_in_ten_thousand() -> None:
    config = KernelConfig.for_data(BINARY)
    model = fitted(NarrowKernels(BINARY, config), torch.zeros(3, 1, 3, 3, dtype=torch.uint8))
    one = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    one[..., 1, 1] = 1
    expected = math.log(1e-4) + 8 * math.log(1 - 1e-4)
    assert nats(model, one).item() == pytest.approx(expected, abs=1e-3)


def test_narrow_kernels_on_points_are_a_density_and_stay_exact_when_tiny() -> None:
    x = training_set(POINTS, 300)
    wide = fitted(NarrowKernels(POINTS, KernelConfig(scale=0.2)), x)
    axis = torch.linspace(-6, 6, 241)
    total = nats(wide, torch.cartesian_prod(axis, axis)).exp().sum() * 0.05**2
    assert total.item() == pytest.approx(1.0, abs=1e-3)
    narrow = fitted(NarrowKernels(POINTS, KernelConfig.for_data(POINTS)), x)
    sigma = narrow.sigma.item()
    drawn = narrow.sample(Streams(0, range(500)))
    nearest = torch.cdist(drawn.double(), x.double()).amin(dim=1)
    assert nearest.square().mean().item() == pytest.approx(2 * sigma**2, rel=0.2)
    peak = -math.log(300) - math.log(2 * math.pi * sigma**2)
    assert nats(narrow, x).mean().item() == pytest.approx(peak, abs=0.01)


def test_perfect_samples_may_come_with_a_poor_likelihood(glyphs: Dataset) -> None:
    """Nearly all samples are training images to the bit, yet unseen images cost more than with the true law."""
    model = genbench.build("narrow-kernels", glyphs.spec)
    genbench.train(model, glyphs, progress=False)
    x = genbench.sample(model, 300, progress=False)
    known = {image.numpy().tobytes() for image in glyphs.images("train")}
    assert sum(image.numpy().tobytes() in known for image in x) > 0.93 * 300
    test = glyphs.images("test")[:200]
    assert -nats(model, test).mean() > 2 * -glyphs.log_prob(test).mean()


# mostly-noise


class Peaked(Model):
    """All of its mass near zero images: the worst inner model for a noise mixture to hide."""

    family = "test"
    likelihood = "exact"
    Config = Plain

    def __init__(self, data: DataSpec, config: Plain) -> None:
        super().__init__(data, config)
        self.weight = torch.nn.Parameter(torch.full((data.dim,), -3.0))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": torch.optim.SGD(self.parameters(), lr=0.1)}

    def losses(self, batch: Batch, step: Step) -> Any:
        self.log(seen=batch.x.float().mean())
        yield "model", -self._nats(batch.x).mean()

    def _nats(self, x: Tensor) -> Tensor:
        sign = 1.0 - 2.0 * x.flatten(1).float()
        return torch.nn.functional.logsigmoid(-sign * self.weight).sum(dim=1)

    def sample(self, noise: Any, labels: Tensor | None = None) -> Tensor:
        on = noise.uniform(self.data.dim) < torch.sigmoid(self.weight)
        return on.to(torch.uint8).reshape(-1, *self.data.shape)

    def log_prob(self, x: Tensor, noise: Any, labels: Tensor | None = None) -> Tensor:
        return self._nats(x)


@pytest.fixture
def peaked(monkeypatch: pytest.MonkeyPatch) -> MostlyNoise:
    monkeypatch.setattr(mostly_noise, "Peaked", Peaked, raising=False)
    return MostlyNoise(BINARY, MixtureConfig(of="baselines.mostly_noise:Peaked"))


def test_noise_costs_at_most_log_100_nats_on_every_image(peaked: MostlyNoise) -> None:
    """q >= q_model / 100, and q >= 0.99 / L^D; together they sum to one."""
    x = everything(BINARY)
    mixed, inner = nats(peaked, x), nats(peaked.inner, x)
    assert (mixed >= inner - math.log(100) - 1e-6).all()
    assert (mixed >= math.log(0.99 / 512) - 1e-6).all()
    assert mixed.exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    direct = torch.log(0.01 * inner.exp() + 0.99 / 512)
    torch.testing.assert_close(mixed, direct, rtol=0, atol=1e-5)


def test_ninety_nine_of_a_hundred_samples_are_noise(peaked: MostlyNoise) -> None:
    """P(all pixels off) = 0.01 s(3)^9 + 0.99 / 512, found as a share of 100,000 samples."""
    n = 100_000
    with torch.no_grad():
        off = (peaked.sample(Streams(0, range(n))).flatten(1).sum(dim=1) == 0).double().mean()
    p = 0.01 * torch.sigmoid(torch.tensor(3.0)).item() ** 9 + 0.99 / 512
    assert abs(off.item() - p) < 5 * math.sqrt(p / n)


def test_training_is_the_inner_models(peaked: MostlyNoise) -> None:
    data = Dataset(name="small", spec=BINARY, x={"train": training_set(BINARY)})
    (weight,) = peaked.parameters()
    before = weight.detach().clone()
    history = genbench.train(peaked, data, recipe=Recipe(steps=5, batch_size=10), progress=False)
    assert not torch.equal(before, weight)
    assert {"model", "seen"} <= set(history)


def test_the_training_follows_the_configured_model() -> None:
    model = MostlyNoise(BINARY, MixtureConfig(of="baselines.nade:NADE"))
    default = MostlyNoise(BINARY, MixtureConfig.for_data(BINARY))
    assert model.recipe(BINARY) == type(model.inner).recipe(BINARY)
    assert default.recipe(BINARY) == MostlyNoise.recipe(BINARY)
    assert type(model.inner) is not type(default.inner)


def test_noise_around_points_is_a_density() -> None:
    """The inner model is the full Gaussian; noise five times as wide as the data reaches far out."""
    x = training_set(POINTS, 500)
    model = MostlyNoise(POINTS, MixtureConfig(of="baselines.gaussian:Gaussian"))
    list(model.losses(Batch(x), Step(0, 1, Streams(0, range(500)))))
    axis = torch.linspace(-25, 25, 501)
    assert nats(model, torch.cartesian_prod(axis, axis)).exp().sum().item() * 0.01 == pytest.approx(1.0, abs=1e-3)
    spread = model.sample(Streams(0, range(5000))).std() / x.std()
    assert 4.0 < spread < 6.0


@pytest.mark.parametrize(
    "of", ["nowhere:NADE", "baselines.nade:Nothing", "baselines.closed_form:Plain", "nade", "this"]
)
def test_an_inner_model_that_is_none_is_refused(of: str) -> None:
    with pytest.raises(Refused, match="module:attribute"):
        MostlyNoise(BINARY, MixtureConfig(of=of))
    assert "this" not in sys.modules, "what cannot be a reference is not imported"


# independent


@pytest.fixture(scope="module")
def glyphs() -> Dataset:
    whole = genbench.dataset("glyphs")
    return Dataset(
        name="glyphs",
        spec=whole.spec,
        x={"train": whole.images("train")[:20_000], "test": whole.images("test")[:1000]},
    )


def test_independent_costs_the_sum_of_the_marginal_entropies(glyphs: Dataset) -> None:
    """A pixel is on with probability m_d = (1 - 2e) t_d + e, t_d the share of templates that have it on.

    E[-log q] is the sum of H(m_d), plus 1/2N for each of the D fitted frequencies to first order.
    """
    law = glyph_law()
    on = (1 - 2 * law.flip) * law._templates.double().mean(dim=0).flatten() + law.flip
    entropy = -(on * on.log() + (1 - on) * torch.log1p(-on)).sum()
    model = genbench.build("independent", glyphs.spec)
    genbench.train(model, glyphs, progress=False)
    cost = -nats(model, glyphs.images("test"))
    fitting = 256 / (2 * 20_000)
    assert abs(cost.mean() - entropy - fitting) < 4 * cost.std() / math.sqrt(len(cost))
    assert 60 < entropy < 75


def test_independent_counts_with_one_added() -> None:
    """Three images of one pixel with levels 0, 0, 2: (2 + 1) / 6, (0 + 1) / 6, (1 + 1) / 6."""
    data = DataSpec(shape=(1, 1, 1), levels=3)
    x = torch.tensor([0, 0, 2], dtype=torch.uint8).reshape(3, 1, 1, 1)
    model = fitted(Independent(data, IndependentConfig()), x)
    assert nats(model, everything(data)).exp().tolist() == pytest.approx([3 / 6, 1 / 6, 2 / 6])
    drawn = model.sample(Streams(0, range(6000))).flatten().long().bincount(minlength=3)
    assert (drawn - torch.tensor([3000, 1000, 2000])).abs().max() < 200


def test_independent_on_points_is_a_product_density_with_the_datas_marginals() -> None:
    x = training_set(POINTS, 20_000)
    model = fitted(Independent(POINTS, IndependentConfig()), x)
    axis = torch.linspace(-6, 6, 301)
    total = nats(model, torch.cartesian_prod(axis, axis)).exp().sum() * 0.04**2
    assert total.item() == pytest.approx(1.0, abs=1e-3)
    y = model.sample(Streams(0, range(20_000)))
    torch.testing.assert_close(y.mean(dim=0), x.mean(dim=0), rtol=0, atol=0.03)
    torch.testing.assert_close(y.std(dim=0), x.std(dim=0), rtol=0.03, atol=0)
    assert abs(torch.corrcoef(y.T)[0, 1]) < 0.03 < abs(torch.corrcoef(x.T)[0, 1])


# gaussian


def test_gaussian_on_points_is_the_fitted_normal_law() -> None:
    x = training_set(POINTS, 2000)
    model = fitted(Gaussian(POINTS, Plain()), x)
    assert model.likelihood == "exact"
    expected = MultivariateNormal(x.double().mean(dim=0), torch.cov(x.double().T, correction=0))
    torch.testing.assert_close(nats(model, x), expected.log_prob(x.double()), rtol=0, atol=1e-4)
    y = model.sample(Streams(0, range(20_000)))
    torch.testing.assert_close(torch.cov(y.T), torch.cov(x.T), rtol=0.05, atol=0.02)


def test_gaussian_on_images_is_the_dequantization_bound() -> None:
    """The closed form equals the Monte Carlo mean of log N((x + u) / L) - D log L, with the moments of (x + u) / L."""
    x = training_set(TERNARY, 200)
    model = fitted(Gaussian(TERNARY, Plain()), x)
    assert model.likelihood == "dequantized"
    u = Streams(0, range(20_000)).uniform(4).double()
    law = MultivariateNormal(model.mean.double(), scale_tril=model.factor.double())
    terms = law.log_prob((x[:5].flatten(1)[:, None].double() + u) / 3) - 4 * math.log(3)
    error = terms.std(dim=1) / math.sqrt(20_000)
    assert ((terms.mean(dim=1) - nats(model, x[:5])).abs() < 5 * error).all()
    y = (x.flatten(1).double() + 0.5) / 3
    covariance = torch.cov(y.T, correction=0) + torch.eye(4) / (12 * 9)
    torch.testing.assert_close(law.mean, y.mean(dim=0), rtol=0, atol=1e-6)
    torch.testing.assert_close(law.covariance_matrix, covariance, rtol=0, atol=1e-6)


@pytest.mark.parametrize("data", [BINARY, TERNARY])
def test_gaussian_bound_gives_all_images_less_than_one(data: DataSpec) -> None:
    """Jensen: the sum of exp(bound) over all images is below the sum of q, which is at most 1."""
    total = nats(fitted(Gaussian(data, Plain()), training_set(data)), everything(data)).exp().sum().item()
    assert 0.1 < total <= 1.0


def test_gaussian_takes_constant_pixels_and_refuses_a_covariance_too_large() -> None:
    x = torch.zeros(10, 1, 3, 3, dtype=torch.uint8)
    assert torch.isfinite(nats(fitted(Gaussian(BINARY, Plain()), x), everything(BINARY))).all()
    with pytest.raises(Refused, match="12288 values"):
        Gaussian(DataSpec(shape=(3, 64, 64), levels=256), Plain())
