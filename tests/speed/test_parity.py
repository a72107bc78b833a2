"""The gate lets an honest backend through and stops each way of being fast and wrong."""

import copy

import pytest
import torch

from genbench.errors import Refused
from genbench.noise import Replay
from genbench.speed.backends import Stages, find
from genbench.speed.parity import TOLERANCES, Figure, Verdict, gate, noises, shift
from genbench.types import Measurement
from tests.speed.toys import Drawing, Folded, OneShot, Points, toy


@pytest.fixture(scope="module")
def model():
    return toy(Folded)


@pytest.fixture(scope="module")
def given(model):
    return noises(model)


def honest(model):
    return lambda tensors: model.sample(Replay(tensors))


def driven(model, call):
    return lambda tensors: model.step().drive(call, Replay(tensors))


def fid(value, half=1.0):
    return Measurement(
        metric="fid", value=value, low=value - half, high=value + half, n=1000, method="jackknife", protocol="toy"
    )


@pytest.mark.parametrize("kind", [OneShot, Folded, Drawing, Points])
def test_eager_passes_its_own_gate(kind):
    model = toy(kind)
    unit = model.step()
    verdict = gate(model, honest(model), noises(model), step=unit.module if unit else None)
    assert verdict.ok, verdict.reason
    assert (verdict.status, verdict.reason) == ("ok", None)
    names = {figure.name for figure in verdict.figures}
    assert ("step" in names) == (kind in (Folded, Points))
    assert ("drawn" in names) == (kind is Drawing)
    assert ("points" in names) == (kind is Points)


def test_noises_never_share_an_image(model, given):
    assert [noise.n for noise in given] == [16, 16, 5]
    rows = torch.cat([noise.tensors[0] for noise in given])
    assert len(rows.unique(dim=0)) == len(rows)


def caching(model):
    kept = {}

    def run(tensors):
        n = len(tensors[0])
        if n not in kept:
            kept[n] = model.sample(Replay(tensors))
        return kept[n]

    return run


def biased(model):
    return driven(model, lambda x, t: model.network(x, t) + 1e-2)


def rounding_down(model):
    """Everything right but the very last operation."""
    sampler = copy.deepcopy(model)

    def run(tensors):
        noise = Replay(tensors)
        x = noise.normal(*model.data.shape)
        for k in range(model.config.steps):
            t = torch.full((1,), k / model.config.steps)
            x = 0.9 * x + 0.3 * sampler.network(x, t) + 0.2 * (1.0 - t) * noise.normal(*model.data.shape)
        return ((x + 1.0) * 8.0).floor().clamp(0, 16).to(torch.uint8)

    return run


def deaf_to_noise(model):
    return lambda tensors: model.sample(Replay([tensor[:1].expand_as(tensor) for tensor in tensors]))


def forgetting_the_last_draw(model):
    return lambda tensors: model.sample(Replay([*tensors[:-1], tensors[-2]]))


def in_one_buffer(model):
    buffers = {}

    def run(tensors):
        x = model.sample(Replay(tensors))
        return buffers.setdefault(len(x), torch.empty_like(x)).copy_(x)

    return run


def wrong_at_other_sizes(model):
    return lambda tensors: model.sample(Replay(tensors)) + int(len(tensors[0]) != 16)


def unstable(model):
    calls = []

    def run(tensors):
        calls.append(1)
        x = model.sample(Replay(tensors))
        return x if len(calls) <= 3 else x.flip(0)

    return run


def as_floats(model):
    return lambda tensors: model.sample(Replay(tensors)).float()


@pytest.mark.parametrize(
    ("wrong", "caught"),
    [
        (caching, {"images", "values", "other noise"}),
        (biased, {"images", "values"}),
        (rounding_down, {"images", "values"}),
        (deaf_to_noise, {"images", "values"}),
        (forgetting_the_last_draw, {"images", "values"}),
        (in_one_buffer, {"kept"}),
        (wrong_at_other_sizes, {"values"}),
        (unstable, {"repeat"}),
        (as_floats, {"form"}),
    ],
)
@torch.no_grad()
def test_a_wrong_backend_is_caught(model, given, wrong, caught):
    verdict = gate(model, wrong(model), given)
    assert verdict.status == "invalid"
    failed = {figure.name for figure in verdict.figures if not figure.ok}
    assert caught <= failed, verdict.reason
    assert "must be" in verdict.reason


@torch.no_grad()
def test_a_step_is_judged_on_eagers_own_trajectory(model, given):
    """A step that errs late is found, though the images hide it: the error is worth no level."""

    def late(x, t):
        return model.network(x, t) * (1.0 + 1e-3 * (t > 0.95))

    verdict = gate(model, honest(model), given, step=late)
    assert [figure.name for figure in verdict.figures if not figure.ok] == ["step"]
    assert verdict["step"].value == pytest.approx(1e-3, rel=0.6)
    with pytest.raises(Refused, match="no step of its own"):
        gate(toy(OneShot), honest(toy(OneShot)), noises(toy(OneShot)), step=late)


@torch.no_grad()
def test_draws_are_judged_under_teacher_forcing():
    """A value drawn otherwise changes all that follow; alone it is one among many."""
    model = toy(Drawing)
    unit = model.step()

    def other(x, position, uniform):
        return unit.module(x, position, (uniform + 0.02) % 1.0)

    verdict = gate(model, honest(model), noises(model), step=other)
    assert not verdict["drawn"].ok
    assert 0.02 < verdict["drawn"].value < 0.9


def in_bfloat16(model):
    def call(x, t):
        with torch.autocast("cpu", torch.bfloat16):
            return model.network(x, t).float()

    return call


@torch.no_grad()
def test_a_reduced_precision_has_two_sides(model, given):
    call = in_bfloat16(model)
    arguments = {"precision": "bfloat16", "step": call, "fid": (fid(10.0), fid(10.5))}
    verdict = gate(model, driven(model, call), given, **arguments)
    assert verdict.ok, verdict.reason
    assert not gate(model, driven(model, call), given, step=call)["step"].ok, "float32 is not so coarse"

    verdict = gate(model, honest(model), given, **{**arguments, "step": model.network})
    assert [figure.name for figure in verdict.figures if not figure.ok] == ["step"]
    assert "at least" in verdict.reason

    for moved in (8.9, 11.1):
        verdict = gate(model, driven(model, call), given, **{**arguments, "fid": (fid(10.0), fid(moved))})
        assert [figure.name for figure in verdict.figures if not figure.ok] == ["fid shift"]
    with pytest.raises(Refused, match="judges the shift in FID"):
        gate(model, driven(model, call), given, precision="bfloat16", step=call)


def test_the_shift_needs_values():
    nothing = Measurement(metric="fid", status="undefined", reason="no value")
    with pytest.raises(Refused, match="needs both values"):
        shift(nothing, fid(1.0))


def test_points_are_judged_by_their_error():
    model = toy(Points)
    verdict = gate(model, lambda tensors: model.sample(Replay(tensors)) * 1.01, noises(model))
    assert [figure.name for figure in verdict.figures if not figure.ok] == ["points"]
    verdict = gate(model, lambda tensors: model.sample(Replay(tensors)) / 0.0, noises(model))
    assert verdict["points"].value == torch.inf


def test_what_is_not_a_number_is_not_ok():
    assert not Figure("x", float("nan"), -torch.inf, torch.inf, "x").ok
    assert Verdict(()).ok


def test_bounds_grow_as_precision_falls():
    order = ["float32", "tf32", "bfloat16"]
    for name in ("drawn", "values", "points"):
        bounds = [getattr(TOLERANCES[precision], name) for precision in order]
        assert bounds == sorted(bounds)
    assert TOLERANCES["float32"].step[1] < TOLERANCES["tf32"].step[1] <= TOLERANCES["bfloat16"].step[1]


def test_two_noises_of_one_size_are_needed(model):
    with pytest.raises(Refused, match="two noises"):
        gate(model, honest(model), noises(model, (4,)))
    with pytest.raises(Refused, match="two noises"):
        gate(model, honest(model), noises(model, (4, 5)))


@pytest.mark.parametrize("what", ["sampler", "step"])
def test_onnx_passes_the_gate(model, given, what):
    prepared = find("onnx-cpu").prepare(model, what, given[0], Stages())
    verdict = gate(model, prepared, given, step=prepared.step)
    assert verdict.ok, verdict.reason
    assert ("step" in {figure.name for figure in verdict.figures}) == (what == "step")
