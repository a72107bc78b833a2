"""Exported graphs: checked, described, of any batch size, at home in a bare onnxruntime, equal to eager."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

import genbench
from genbench import catalog, provenance, store
from genbench.cli import main
from genbench.construct import build, model_class
from genbench.errors import Unavailable
from genbench.noise import Recorded, Replay, Streams
from genbench.speed import export as exporting
from genbench.speed.backends import Stages, find
from genbench.speed.export import STAGES, export, to_graph
from genbench.speed.parity import gate, noises
from genbench.train import train
from tests.contract.table import MODELS
from tests.speed.toys import SPEC, Drawing, Folded, OneShot, Points, Unfolded, toy

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="module")
def graphs():
    return {(kind, unit): to_graph(toy(kind), unit) for kind, unit in [(Folded, "sampler"), (OneShot, "sampler")]}


def opened(graph):
    return onnxruntime.InferenceSession(graph.proto.SerializeToString(), providers=["CPUExecutionProvider"])


def test_a_loop_is_one_scan_however_long(graphs):
    graph = graphs[Folded, "sampler"]
    kinds = [node.op_type for node in graph.proto.graph.node]
    assert kinds.count("Scan") == 1
    assert "Conv" not in kinds, "the network stands inside the loop"
    assert [entry.shape for entry in graph.inputs] == [("n", 1, 4, 4), (30, "n", 1, 4, 4)]
    assert [entry.law for entry in graph.inputs] == ["normal", "normal"]


@pytest.mark.parametrize("kind", [Folded, OneShot])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_any_batch_size_gives_eagers_integers(graphs, kind, n):
    graph, model = graphs[kind, "sampler"], toy(kind)
    noise = Recorded(Streams(n, range(n)))
    expected = model.sample(noise)
    feed = {entry.name: entry.take(noise.tensors).numpy() for entry in graph.inputs}
    (found,) = opened(graph).run(None, feed)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected.numpy())


def test_the_graph_says_what_it_is(graphs):
    facts, model = graphs[Folded, "sampler"].facts(), toy(Folded)
    assert facts["model"] == "tests.speed.toys:Folded"
    assert facts["version"] == genbench.__version__
    assert facts["weights"] == provenance.weights_digest(model.state_dict())
    assert facts["config"] == {"steps": 30, "width": 8}
    assert (facts["unit"], facts["nfe"]) == ("sampler", 30)
    assert facts["data"] == {"shape": [1, 4, 4], "levels": 17, "classes": None}
    assert facts["opset"] >= 18
    assert facts["inputs"][1] == {"name": "normal_1", "law": "normal", "shape": [30, "n", 1, 4, 4]}
    assert facts["outputs"] == ["images"]
    assert {entry.name for entry in opened(graphs[Folded, "sampler"]).get_inputs()} == {"normal_0", "normal_1"}
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    assert facts["weights"] != provenance.weights_digest(model.state_dict())


def test_no_path_of_this_machine_is_left_in_the_graph(graphs):
    content = graphs[Folded, "sampler"].proto.SerializeToString()
    assert b".py" not in content
    assert b"stack_trace" not in content


def test_a_loop_that_would_unroll_is_refused():
    with pytest.raises(Unavailable, match=r"would unroll to 30 copies of the network; its step can be exported"):
        to_graph(toy(Unfolded))


def test_what_has_no_step_or_no_likelihood_says_so():
    with pytest.raises(Unavailable, match="one shot"):
        to_graph(toy(OneShot), "step")
    with pytest.raises(Unavailable, match="defines no likelihood"):
        to_graph(toy(Folded), "log_prob")


def test_an_exporter_that_fails_gives_its_reason(monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no such operator\nand a long story") from ValueError("the cause")

    monkeypatch.setattr(torch.export, "export", broken)
    with pytest.raises(Unavailable, match="OneShot cannot be exported as sampler: ValueError: the cause"):
        to_graph(toy(OneShot))


def test_a_graph_that_does_not_hold_is_not_written(monkeypatch, tmp_path):
    def odd(proto):
        proto.graph.node[-1].op_type = "NoSuchOperator"
        return proto

    monkeypatch.setattr(exporting, "_bare", odd)
    with pytest.raises(Unavailable, match="the graph does not hold"):
        export(toy(OneShot), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_likelihood_is_a_graph_too():
    graph, model = to_graph(toy(OneShot), "log_prob"), toy(OneShot)
    x, noise = torch.arange(80).reshape(5, 1, 4, 4).remainder(17).to(torch.uint8), Recorded(Streams(0, range(5)))
    expected = model.log_prob(x, noise).detach().numpy()
    assert [(entry.name, entry.law) for entry in graph.inputs] == [("x", None), ("normal_0", "normal")]
    (found,) = opened(graph).run(None, {"x": x.numpy(), "normal_0": noise.tensors[0].numpy()})
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_likelihood_of_too_many_operations_is_refused(monkeypatch):
    monkeypatch.setattr(exporting, "MOST_OPERATIONS", 3)
    with pytest.raises(Unavailable, match="operations, more than the 3 that a graph may hold"):
        to_graph(toy(OneShot), "log_prob")


@pytest.mark.parametrize("kind", [Drawing, Points])
def test_other_loops(kind):
    """A loop over rows of one draw, with an output a step; and a loop in Python, which has but its step."""
    model = toy(kind)
    what = "sampler" if kind is Drawing else "step"
    given = noises(model, (4, 4, 2))
    prepared = find("onnx-cpu").prepare(model, what, given[0], Stages())
    assert gate(model, prepared, given, step=prepared.step).ok


def test_a_training_model_is_left_as_it_is():
    model = toy(OneShot).train()
    to_graph(model)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_file_runs_where_there_is_no_genbench(tmp_path):
    """The README's script imports numpy and onnxruntime alone, in a process that could find nothing of ours."""
    said = []
    export(toy(Folded), tmp_path / "toy.onnx", say=said.append)
    assert said == list(STAGES)
    onnx.checker.check_model(tmp_path / "toy.onnx", full_check=True)
    (script,) = (part for part in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S) if "onnx" in part)
    assert len([line for line in script.splitlines() if line.strip()]) <= 11
    command = [sys.executable, "-c", script, "toy.onnx", "images.npy"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    images = np.load(tmp_path / "images.npy")
    assert (images.shape, images.dtype) == ((16, 1, 4, 4), np.uint8)
    assert 4 < len(np.unique(images)) <= SPEC.levels
    assert len(np.unique(images.reshape(16, -1), axis=0)) == 16


def test_the_command_writes_given_weights(tmp_path):
    data = genbench.dataset("digits").spec
    trained = build("gan", data, seed=5)
    store.write_weights(trained, tmp_path / "w.safetensors")
    path = tmp_path / "gan.onnx"
    arguments = ["export", "gan", "--dataset", "digits", "-o", str(path), "--weights", str(tmp_path / "w.safetensors")]
    found = CliRunner().invoke(main, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    facts = json.loads(found.stdout)
    assert facts["file"] == str(path)
    assert facts["weights"] == provenance.weights_digest(trained.state_dict())
    meta = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_modelmeta()
    assert meta.custom_metadata_map["genbench.model"] == "baselines.gan:GAN"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["gan", "--dataset", "digits", "--unit", "step"], "one shot"),
        (["gan", "--dataset", "digits", "--unit", "log_prob"], "defines no likelihood"),
        (["rbm", "--dataset", "digits"], "binary"),
        (["ddpm[ddim-21]", "--dataset", "digits"], "did you mean ddim-2"),
        (["ddpm[ddim-20,sampling_steps=5]", "--dataset", "digits"], "means sampling_steps=20, not 5"),
        (["nothing", "--dataset", "digits"], "nothing"),
    ],
)
def test_the_command_says_why_not(arguments, reason, tmp_path):
    out = tmp_path / "x.onnx"
    found = CliRunner().invoke(main, ["export", *arguments, "-o", str(out)])
    assert found.exit_code == 2
    assert reason in found.output
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx-cpu", "compile"])
@pytest.mark.parametrize("dataset", ["digits", "glyphs"])
@pytest.mark.parametrize("name", [n for n in catalog.MODELS if not model_class(n).control])
def test_every_model_passes_the_gate(name, dataset, backend):
    """As a whole sampler, and as a step where there is one; default sizes. Compiled, a long loop is refused whole."""
    data, runner = genbench.dataset(dataset), find(backend)
    if reason := model_class(name).supports(data.spec) or runner.unavailable(torch.device("cpu")):
        pytest.skip(reason)
    model = build(name, data.spec)
    # Networks start near nothing: a few steps of training let the images differ.
    train(model, data, steps=max(10, 5 * MODELS[name].warm), progress=False)
    given, passed, refused = noises(model, (8, 8, 3)), [], {}
    for what in ("sampler",) if model.step() is None else ("sampler", "step"):
        try:
            prepared = runner.prepare(model, what, given[0], Stages())
        except Unavailable as reason:
            refused[backend, what] = str(reason)
            continue
        verdict = gate(model, prepared, given, step=prepared.step)
        assert verdict.ok, verdict.reason
        passed.append(what)
    assert passed
    assert set(refused) <= {("compile", "sampler")}
    assert all("its step compiles" in reason for reason in refused.values())
    with torch.no_grad():
        assert len(model.sample(Replay(given[0].tensors)).unique(dim=0)) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset"),
    [("pixelcnn", "digits"), ("vae", "digits"), ("vqvae", "digits"), ("realnvp", "digits"), ("rbm", "glyphs")],
)
def test_likelihoods_that_export(name, dataset):
    data = genbench.dataset(dataset)
    model, x, noise = build(name, data.spec), data.images("test")[:5], Recorded(Streams(1, range(5)))
    with torch.no_grad():
        expected = model.log_prob(x, noise)
    graph = to_graph(model, "log_prob")
    feed = {e.name: (x if e.law is None else e.take(noise.tensors)).numpy() for e in graph.inputs}
    np.testing.assert_allclose(opened(graph).run(None, feed)[0], expected, rtol=1e-5)
