"""What every model of the catalog promises, checked from one table."""

import dataclasses
import math
import sys

import pytest
import torch
from scipy import stats

import genbench
from genbench import catalog, construct
from genbench.noise import Recorded, Replay, Streams
from genbench.plan import split_label
from genbench.store import load, write_weights
from genbench.types import Batch, Dataset, DataSpec, Refused, Step

from .table import MODELS, WORLDS, ring_world, table_world

SPACES = {
    "digits": DataSpec(shape=(1, 8, 8), levels=17, classes=10),
    "binary": DataSpec(shape=(1, 8, 8), levels=2),
    "colour": DataSpec(shape=(3, 8, 8), levels=256),
    "points": DataSpec(shape=(2,), levels=None),
}


def make(label: str, spec: DataSpec, seed: int = 0):
    """A model of the table for such data; skips the test where the model says that it cannot."""
    name, overrides, sampler = split_label(label)
    if reason := construct.model_class(name).supports(spec):
        pytest.skip(reason)
    row = MODELS[label]
    suited = {**row.config, **(row.images if spec.is_image else row.points), **overrides}
    config = construct.configure(name, spec, suited, sampler)
    return construct.build_configured(construct.model_class(name), spec, config, seed)


def some_data(spec: DataSpec, n: int = 64) -> torch.Tensor:
    noise = Streams(99, range(n))
    if spec.levels is None:
        return noise.normal(*spec.shape)
    return (noise.uniform(*spec.shape) * spec.levels).to(torch.uint8)


def some_dataset(spec: DataSpec, n: int = 64) -> Dataset:
    return Dataset(name="some", spec=spec, x={split: some_data(spec, n) for split in ("train", "validation", "test")})


def train(label: str, data: Dataset, steps: int | None = None, **options):
    """The model of a row after its short training."""
    model = make(label, data.spec)
    recipe = model.recipe(data.spec)
    short = dataclasses.replace(
        recipe,
        steps=min(recipe.steps, steps or MODELS[label].steps),
        warmup=min(recipe.warmup, 10),
        batch_size=recipe.batch_size and min(recipe.batch_size, 256),
        ema=recipe.ema and min(recipe.ema, 0.95),
    )
    history = genbench.train(model, data, recipe=short, progress=False, **options)
    return model, history


@pytest.fixture(scope="module", params=MODELS)
def label(request):
    return request.param


def test_every_model_of_the_catalog_has_a_row():
    assert set(catalog.MODELS) == {split_label(name).name for name in MODELS}


# 1. Probabilities sum to one.


@pytest.fixture(scope="module")
def trained_on():
    """(label, world) -> the trained model; each is trained once."""
    known = {}

    def get(label: str, world: str):
        if (label, world) not in known:
            data = table_world(*WORLDS[world])
            known[label, world] = data, train(label, data)[0]
        return known[label, world]

    return get


def probabilities(model, x, repeats, **options):
    """exp(E l) of every x and its standard error, l the noisy estimate of log q; the error is zero for exact models.

    The mean of R estimates has the variance v / R, and the exponential of it is too large by exp(v / 2R) on average.
    """
    if repeats == 1:
        mass = genbench.likelihood(model, x, progress=False, **options).nats.exp()
        return mass, torch.zeros_like(mass)
    runs = [genbench.likelihood(model, x, seed=r, progress=False, **options).nats for r in range(repeats)]
    nats, variance = torch.stack(runs).mean(dim=0), torch.stack(runs).var(dim=0) / repeats
    mass = (nats - variance / 2).exp()
    return mass, mass * variance.sqrt()


def total_probability(model, everything, repeats):
    """The sum over all images and its standard error."""
    mass, error = probabilities(model, everything, repeats)
    return mass.sum().item(), error.square().sum().sqrt().item()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("state", ["untrained", "trained"])
def test_probabilities_sum_to_one(label, world, state, trained_on):
    """Exact: 1 within 1e-4. A lower bound: at most 1 within the Monte Carlo error, and not trivially small.

    For an unbiased estimate l of a lower bound of log q, sum exp(E l) <= sum q = 1 by Jensen's inequality.
    """
    data = table_world(*WORLDS[world])
    model = make(label, data.spec)
    if model.likelihood is None:
        with pytest.raises(Refused, match="defines no likelihood"):
            genbench.likelihood(model, data.images("test")[:2])
        return
    if state == "trained":
        model = trained_on(label, world)[1]
    everything = data.spec.law.everything()
    exact = model.likelihood == "exact"
    total, error = total_probability(model, everything, repeats=1 if exact else 8)
    if exact:
        assert total == pytest.approx(1.0, abs=1e-4)
    else:
        assert total <= 1.0 + 4 * error + (0.05 if model.likelihood == "ode" else 0.0)
        if state == "trained":
            assert total >= MODELS[label].sum_at_least


@pytest.mark.parametrize("state", ["untrained", "trained"])
def test_densities_integrate_to_one(label, state):
    data = ring_world()
    model = make(label, data.spec)
    if model.likelihood is None:
        pytest.skip("defines no likelihood")
    if state == "trained":
        model = train(label, data)[0]
    reach, steps = MODELS[label].reach, MODELS[label].grid
    axis = torch.linspace(-reach, reach, steps)
    grid = torch.cartesian_prod(axis, axis)
    repeats = 1 if model.likelihood in ("exact", "ode") else 8
    mass, error = probabilities(model, grid, repeats, batch_size=20_000)
    cell = (2 * reach / (steps - 1)) ** 2
    total = mass.sum().item() * cell
    if repeats == 1:
        assert total == pytest.approx(1.0, abs=1e-3)
    else:
        assert total <= 1.0 + 4 * error.square().sum().sqrt().item() * cell


# 2. Samples follow the law that the model states.


@pytest.mark.parametrize("world", WORLDS)
def test_samples_follow_the_stated_law(label, world, trained_on):
    """Chi-square of 200,000 samples against exp(log q), images with small expectations pooled."""
    data, model = trained_on(label, world)
    if model.likelihood != "exact":
        pytest.skip("states no exact law")
    law, n = data.spec.law, 200_000
    x = genbench.sample(model, n, seed=1, batch_size=20_000, progress=False)
    counts = torch.bincount(law.number(x), minlength=law.n_modes).double()
    expected = genbench.likelihood(model, law.everything(), progress=False).nats.exp() * n
    rare = expected < 5
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    keep = expected > 0
    result = stats.chisquare(counts[keep].numpy(), (expected[keep] * n / expected[keep].sum()).numpy())
    assert result.pvalue > 1e-4


# 3. Nobody beats the truth.


@pytest.mark.parametrize("state", ["untrained", "trained"])
def test_nobody_beats_the_truth(label, state, glyphs):
    """Mean -log q >= entropy - 3 standard errors, on the paired difference -log q + log p at the same images."""
    model = make(label, glyphs.spec)
    if model.likelihood is None:
        pytest.skip("defines no likelihood")
    if state == "trained":
        model = train(label, glyphs, steps=20)[0]
    x = glyphs.images("test")[:128]
    nats = genbench.likelihood(model, x, progress=False).nats
    excess = glyphs.log_prob(x) - nats
    assert torch.isfinite(nats).all()
    assert excess.mean() >= -3 * excess.std() / math.sqrt(len(x)) - 1e-6


@pytest.fixture(scope="module")
def glyphs():
    whole = genbench.dataset("glyphs")
    return dataclasses.replace(whole, x={split: x[:4096] for split, x in whole.x.items()})


# 4. The same noise gives the same images.


@pytest.mark.parametrize("space", SPACES)
def test_same_noise_same_images(label, space, tmp_path):
    spec = SPACES[space]
    data = some_dataset(spec)
    model = make(label, spec)
    recipe = dataclasses.replace(model.recipe(spec), steps=min(MODELS[label].warm, model.recipe(spec).steps))
    if recipe.batch_size:
        recipe = dataclasses.replace(recipe, batch_size=20)
    genbench.train(model, data, recipe=recipe, progress=False)
    whole = genbench.sample(model, 12, seed=3, progress=False)

    def agree(x, y, bitwise=False):
        """Equal; across batch sizes a matrix product may round differently, which moves few values and those little."""
        if bitwise or spec.levels is None:
            torch.testing.assert_close(x, y, rtol=0, atol=0 if bitwise else 1e-4)
        else:
            same = (x == y).flatten(1).all(dim=1)
            assert same.float().mean() >= 0.9, f"{int((~same).sum())} of {len(x)} images differ"

    agree(whole, genbench.sample(model, 12, seed=3, progress=False), bitwise=True)
    agree(whole, genbench.sample(model, 12, seed=3, batch_size=5, progress=False))
    agree(whole[4:9], genbench.sample(model, 5, seed=3, start=4, progress=False))
    assert not torch.equal(whole, genbench.sample(model, 12, seed=4, progress=False))

    write_weights(model, tmp_path / "model.safetensors")
    other = load(make(label, spec, seed=5), tmp_path / "model.safetensors")
    agree(whole, genbench.sample(other, 12, seed=3, progress=False), bitwise=True)

    with torch.inference_mode():
        recorded = Recorded(Streams(7, range(12)))
        first = model.sample(recorded)
        agree(first, model.sample(Replay(recorded.tensors)), bitwise=True)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
        agree(first[order], model.sample(Replay([tensor[order] for tensor in recorded.tensors])))


# 5. A training that was interrupted ends with the same weights (killed processes: test_train.py).


class _Stop(Exception):
    pass


@pytest.mark.parametrize("space", ["binary", "points"])
def test_resumed_training_is_bitwise_the_same(label, space, tmp_path, monkeypatch):
    spec = SPACES[space]
    data = some_dataset(spec)
    model = make(label, spec)
    steps = min(12, model.recipe(spec).steps)
    recipe = dataclasses.replace(model.recipe(spec), steps=steps)
    if recipe.batch_size:
        recipe = dataclasses.replace(recipe, batch_size=20)
    genbench.train(model, data, recipe=recipe, progress=False)

    monkeypatch.setattr(sys.modules["genbench.train"], "_FLUSH", 1)
    for stop in {1, steps // 2, steps - 1} - {0, steps}:
        path = tmp_path / f"{stop}.pt"
        other = make(label, spec)
        losses = other.losses

        def cut(batch, step, losses=losses, stop=stop):
            if step.index == stop:
                raise _Stop
            return losses(batch, step)

        other.losses = cut
        with pytest.raises(_Stop):
            genbench.train(other, data, recipe=recipe, checkpoint=path, checkpoint_seconds=0, progress=False)
        fresh = make(label, spec)
        genbench.train(fresh, data, recipe=recipe, checkpoint=path, progress=False)
        assert set(fresh.state_dict()) == set(model.state_dict())
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, fresh.state_dict()[name]), name


# 6. Gradients, groups, shapes, ranges, labels.


@pytest.mark.parametrize("space", SPACES)
def test_gradients_and_groups(label, space):
    """Every parameter of a group gets a gradient at some step, and a yield moves its own group alone."""
    spec = SPACES[space]
    model = make(label, spec)
    optimizers = model.optimizers()
    groups = {name: [p for g in o.param_groups for p in g["params"]] for name, o in optimizers.items()}
    grouped = [id(p) for parameters in groups.values() for p in parameters]
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    assert len(grouped) == len(set(grouped)), "a parameter stands in two groups"
    assert set(grouped) == trainable, "a trainable parameter stands in no group, or a foreign one in a group"

    recipe, moved = model.recipe(spec), set()
    size = min(recipe.batch_size or 40, 40)
    total = 12
    model.train()
    for index in range(total if groups else 1):
        rows = torch.arange(index * size, (index + 1) * size)
        batch = Batch(some_data(spec, size))
        for group, loss in model.losses(batch, Step(index, total, Streams(0, rows))):
            assert loss.shape == ()
            before = {n: [p.detach().clone() for p in ps] for n, ps in groups.items() if n != group}
            optimizers[group].zero_grad(set_to_none=True)
            loss.backward(inputs=groups[group])
            for p in groups[group]:
                if p.grad is not None and bool((p.grad != 0).any()):
                    moved.add(id(p))
            optimizers[group].step()
            for name, parameters in before.items():
                assert all(torch.equal(p, q) for p, q in zip(parameters, groups[name], strict=True)), name
    names = {id(p): n for n, p in model.named_parameters()}
    assert not [names[i] for i in trainable - moved], "these parameters never received a gradient"


@pytest.mark.parametrize("space", SPACES)
def test_shapes_ranges_and_labels(label, space):
    spec = SPACES[space]
    model = make(label, spec)
    x = genbench.sample(model, 3, progress=False)
    assert x.shape == (3, *spec.shape)
    assert x.dtype == (torch.uint8 if spec.levels else torch.float32)
    assert not spec.levels or int(x.max()) < spec.levels
    if model.likelihood is not None:
        result = genbench.likelihood(model, some_data(spec, 3), progress=False)
        assert result.nats.shape == (3,)
        assert torch.isfinite(result.nats).all()
        assert result.bits_per_dim.tolist() == pytest.approx((-result.nats / spec.dim / math.log(2)).tolist())
    if "conditional" not in model.capabilities:
        labels = torch.zeros(3, dtype=torch.int64)
        with pytest.raises(Refused, match="takes no labels"):
            genbench.sample(model, 3, labels=labels, progress=False)
        if model.likelihood is not None:
            with pytest.raises(Refused, match="takes no labels"):
                genbench.likelihood(model, some_data(spec, 3), labels=labels, progress=False)


def test_initial_weights_follow_the_seed(label):
    spec = SPACES["binary"]
    a, b, c = make(label, spec), make(label, spec), make(label, spec, seed=1)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    if list(a.parameters()):
        assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


def test_configuration_is_frozen_and_its_fields_are_overridden_by_name(label):
    model, name = make(label, SPACES["binary"]), split_label(label).name
    for field in dataclasses.fields(model.config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(model.config, field.name, None)
        value = getattr(model.config, field.name)
        if isinstance(value, float) and 0 < value < 1:
            again = genbench.build(name, SPACES["binary"], **{field.name: value / 2})
            assert getattr(again.config, field.name) == value / 2
    with pytest.raises(Refused, match="has no field 'no_such_field'"):
        genbench.build(name, SPACES["binary"], no_such_field=1)
