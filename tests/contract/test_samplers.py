"""What every model of the catalog promises of its samplers: named, of the same weights, with a step that exports."""

from __future__ import annotations

import pytest
import torch

import genbench
from genbench.noise import Recorded, Replay, Streams
from genbench.types import DataSpec, Model, Refused, Unit, sampling_only

from .table import MODELS
from .test_models import SPACES, make

LOOPS = {"nade", "pixelcnn", "vqvae", "rbm", "ddpm", "ddpm[sampler=ddim]", "flow-matching"}
PLAIN = [label for label in MODELS if label in LOOPS and "[" not in label]


def stir(model: Model) -> Model:
    """Weights at which what is still zero in an untrained network matters."""
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.add_(0.1 * Streams(number, [0]).normal(*p.shape)[0])
    return model


def variants(label: str, spec: DataSpec) -> list[Model]:
    """A model and all its samplers."""
    model = stir(make(label, spec))
    return [model, *(model.with_sampler(name) for name in model.samplers(model.config))]


class Counted:
    """A unit's module that counts its calls and checks what it gets against the example."""

    def __init__(self, unit: Unit) -> None:
        self.unit, self.calls = unit, 0

    def __call__(self, *inputs: torch.Tensor) -> object:
        self.calls += 1
        for name, given, expected in zip(self.unit.inputs, inputs, self.unit.example(len(inputs[0])), strict=True):
            assert isinstance(given, torch.Tensor), name
            assert (given.shape, given.dtype, given.device) == (expected.shape, expected.dtype, expected.device), name
        return self.unit.module(*inputs)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("label", MODELS)
def test_the_loop_around_the_step_is_the_sampler(label, space):
    """The same integers, bit for bit; as many calls as `nfe` says; one shape for all of them."""
    for model in variants(label, SPACES[space]):
        unit = model.step()
        if unit is None:
            assert label not in LOOPS or model.config.sampler == "naive"
            continue
        assert label in LOOPS
        with torch.inference_mode():
            recorded = Recorded(Streams(5, range(3)))
            expected, call = model.sample(recorded), Counted(unit)
            assert torch.equal(unit.drive(call, Replay(recorded.tensors)), expected)
            given = unit.module(*unit.example(3))
        assert call.calls == model.nfe
        assert len(unit.outputs) == (1 if isinstance(given, torch.Tensor) else len(given))


@pytest.mark.parametrize("label", MODELS)
def test_samplers_share_the_weights(label):
    """No copies, one `state_dict`; a name changes what only the sampler reads; another name is refused."""
    model = make(label, SPACES["binary"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    for name, changes in model.samplers(model.config).items():
        other = model.with_sampler(name)
        assert changes.keys() <= sampling_only(model.config)
        assert {field: getattr(other.config, field) for field in changes} == changes
        assert list(other.state_dict()) == list(before)
        mine, theirs = model.state_dict(keep_vars=True), other.state_dict(keep_vars=True)
        assert all(mine[key] is theirs[key] for key in mine)
        assert other.training == model.training
    assert torch.equal(torch.get_rng_state(), state), "making a sampler consumes no random numbers"
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    with pytest.raises(Refused, match="has no sampler 'no-such'"):
        model.with_sampler("no-such")


def test_a_sampler_is_found_by_its_label_and_a_misspelt_one_named():
    assert genbench.build("ddpm[dpmpp-10]", SPACES["points"]).config.sampler == "dpmpp"
    with pytest.raises(Refused, match="did you mean dpmpp-10"):
        genbench.build("ddpm[dpmp-10]", SPACES["points"])
    with pytest.raises(Refused, match="has no sampler 'latent'; it has one sampler only"):
        genbench.build("gan[latent]", SPACES["points"])


def test_a_sampler_that_would_change_the_weights_is_refused(monkeypatch):
    model = make("rbm", SPACES["binary"])
    monkeypatch.setattr(type(model), "samplers", classmethod(lambda cls, config: {"wide": {"hidden": 3}}))
    with pytest.raises(Refused, match="sets hidden, not sampling-only"):
        model.with_sampler("wide")


def test_training_one_sampler_trains_all():
    """What replaces a buffer or moves the model reaches the others too."""
    model = make("rbm", SPACES["binary"])
    other = model.with_sampler("gibbs-10")
    model.chains = torch.ones(4, 64)
    assert torch.equal(other.chains, model.chains)
    model.double()
    assert other.w.dtype == torch.float64


@pytest.mark.parametrize("space", ["digits", "binary", "points"])
@pytest.mark.parametrize("label", PLAIN)
def test_the_step_exports_with_a_dynamic_batch(label, space):
    """One graph for every batch size, without constants of the step baked in: other inputs, equal outputs."""
    unit = stir(make(label, SPACES[space])).step()
    assert unit is not None
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes = tuple({0: batch} if batched else None for batched in unit.batched)
    with torch.no_grad():
        graph = torch.export.export(unit.module, unit.example(3), dynamic_shapes=shapes, strict=False).module()
        for n in (3, 7):
            expected, found = unit.module(*unit.example(n)), graph(*unit.example(n))
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
