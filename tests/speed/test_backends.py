"""The backends: what each needs, what each says when it cannot, and that all compute the same."""

import re

import pytest
import torch

from genbench.errors import Refused, Unavailable
from genbench.noise import Recorded, Replay, Streams
from genbench.speed.backends import BACKENDS, Stages, find, session
from genbench.speed.export import to_graph
from genbench.speed.parity import gate, noises
from tests.speed.toys import Drawing, Folded, OneShot, toy

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_every_name_finds_its_backend():
    for name in BACKENDS:
        assert find(name).name == name
    with pytest.raises(Refused, match="did you mean onnx-cpu"):
        find("onnx-cp")


def test_what_needs_a_gpu_says_so():
    for name in ("cudagraph", "onnx-cuda", "onnx-tensorrt"):
        backend = find(name)
        assert "CUDA" in backend.unavailable(CPU)
        with pytest.raises(Unavailable, match="CUDA"):
            backend.prepare(toy(OneShot), "sampler", Recorded(Streams(0, [0])), Stages())
    assert "CPU" in find("onnx-cpu").unavailable(CUDA)
    assert find("eager").unavailable(CPU) is None
    assert find("onnx-cpu").unavailable(CPU) is None


def test_a_missing_provider_is_named(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "without CUDAExecutionProvider" in find("onnx-cuda").unavailable(CUDA)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    assert "libnvinfer" in find("onnx-tensorrt").unavailable(CUDA)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the provider works")
def test_a_session_never_falls_back_in_silence():
    """The CUDA provider is built in but finds no device: ONNX Runtime would run on the CPU and say nothing."""
    content = to_graph(toy(OneShot)).proto.SerializeToString()
    if session.missing("onnx-cuda"):
        pytest.skip("this onnxruntime has no CUDA provider")
    with pytest.raises(Unavailable, match=r"fell back|cannot load"):
        session.Session(content, "CUDAExecutionProvider", CPU, {})


def test_a_session_takes_torchs_threads():
    content = to_graph(toy(OneShot)).proto.SerializeToString()
    held = session.Session(content, "CPUExecutionProvider", CPU, {})
    assert held.session.get_session_options().intra_op_num_threads == torch.get_num_threads()
    assert held.session.get_providers() == ["CPUExecutionProvider"]


def test_a_compiler_must_be_there(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    assert "C++ compiler" in find("compile").unavailable(CPU)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler" in find("compile").unavailable(CPU)


def test_a_long_loop_is_not_compiled_whole():
    with pytest.raises(Unavailable, match="unroll the 30 network calls"):
        find("compile").prepare(toy(Folded), "sampler", Recorded(Streams(0, [0])), Stages())


@pytest.mark.parametrize("name", ["eager", "onnx-cpu"])
def test_a_one_shot_sampler_has_no_step(name):
    model = toy(OneShot)
    with pytest.raises(Unavailable, match="one shot"):
        find(name).prepare(model, "step", noises(model)[0], Stages())


@pytest.mark.parametrize("what", ["sampler", "step"])
@pytest.mark.parametrize("kind", [Folded, Drawing])
def test_eager_is_the_model_itself(kind, what):
    model = toy(kind)
    given = noises(model)
    stages = Stages()
    prepared = find("eager").prepare(model, what, given[0], stages)
    for noise in given:
        assert torch.equal(prepared(noise.tensors), model.sample(Replay(noise.tensors)))
    assert list(stages.seconds) == ["first call"]
    assert (prepared.step is None) == (what == "sampler")


def test_stages_of_an_onnx_session():
    model, stages = toy(OneShot), Stages()
    find("onnx-cpu").prepare(model, "sampler", noises(model)[0], stages)
    assert set(stages.seconds) == {"import", "export", "load", "first call"}
    assert stages.seconds["export"] > stages.seconds["first call"]


def test_onnx_runtime_says_on_what_it_spends_its_time():
    model = toy(Folded)
    given = noises(model)
    words = find("onnx-cpu").prepare(model, "sampler", given[0], Stages()).explain(given[0].tensors)
    found = re.fullmatch(r"of the time inside its ([\d,]+) operators (\w+ \d+%, ){2}\w+ \d+%", words)
    assert int(found[1].replace(",", "")) >= 2 * 30, "two convolutions in each of 30 steps"
    assert "Conv" in words
    assert "Scan" not in words, "its time is that of what is inside"


def test_a_stage_inside_another_is_counted_once():
    ticks = iter([0.0, 1.0, 4.0, 10.0, 20.0, 21.0])
    stages = Stages(lambda: next(ticks))
    with stages("outer"), stages("inner"):
        pass
    assert stages.seconds == {"outer": 7.0, "inner": 3.0}
    with stages("outer"):
        pass
    assert stages.seconds == {"outer": 8.0, "inner": 3.0}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "what"), [(OneShot, "sampler"), (Folded, "step"), (Drawing, "step")])
def test_what_is_compiled_passes_the_gate(kind, what):
    backend, model = find("compile"), toy(kind)
    if reason := backend.unavailable(CPU):
        pytest.skip(reason)
    given, stages = noises(model), Stages()
    prepared = backend.prepare(model, what, given[0], stages)
    verdict = gate(model, prepared, given, step=prepared.step)
    assert verdict.ok, verdict.reason
    assert stages.seconds["compile"] > 10 * stages.seconds["first call"]
    assert prepared.notes == ["mode default", "compiled anew for batch 5"]


@ON_A_GPU
@pytest.mark.parametrize("what", ["sampler", "step"])
@pytest.mark.parametrize("name", ["cudagraph", "onnx-cuda", "compile"])
def test_a_gpu_passes_the_gate(name, what):
    backend, model = find(name), toy(Folded).to(CUDA)
    if reason := backend.unavailable(CUDA):
        pytest.skip(reason)
    if (name, what) == ("compile", "sampler"):
        pytest.skip("a long loop is not compiled whole")
    given = noises(model, device=CUDA)
    prepared = backend.prepare(model, what, given[0], Stages())
    verdict = gate(model, prepared, given, step=prepared.step)
    assert verdict.ok, verdict.reason
