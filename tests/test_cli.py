"""The command line: every refusal is one sentence with exit code 2, nothing half-written, no traceback."""

import json
import os
import re
import stat

import numpy as np
import pytest
from click.testing import CliRunner

import genbench
from genbench.cli import main


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def refused(*arguments):
    """The sentence of a refusal."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("verb", sorted(main.commands))
def test_every_verb_has_help_with_an_example(verb):
    result = call(verb, "--help")
    assert result.exit_code == 0
    assert re.search(rf"^ *Example\b.*\bgenbench {verb}\b", result.output, re.DOTALL | re.MULTILINE)


def test_lists():
    result = call("list", "models", "--json")
    assert result.exit_code == 0
    assert {"vae", "ddpm", "truth"} <= set(json.loads(result.output)["models"])
    assert "pixelcnn" in call("list").output


def test_doctor_tells_what_is_there():
    found = json.loads(call("doctor", "--json").output)
    assert found["versions"]["genbench"] == genbench.__version__
    assert "CPUExecutionProvider" in found["onnx"]["providers"]
    assert found["weights"]["digitnet"].startswith("found, digitnet@")


def test_names_that_do_not_exist(tmp_path):
    assert "unknown suite 'quik'; did you mean quick" in refused("run", "quik")
    suite = tmp_path / "s.toml"
    for content, says in (
        ('datasets = ["digit"]\nmodels = ["vae"]', "unknown dataset 'digit'; did you mean digits"),
        ('datasets = ["digits"]\nmodels = ["vea"]', "unknown model 'vea'; did you mean vae"),
        ('datasets = ["digits"]\nmodels = ["vae"]\nbudgets = 1', "unknown key 'budgets'"),
        ('datasets = ["digits"]\nmodels = ["vae"]\nbudget = "1"', "got `str`"),
    ):
        suite.write_text("[[group]]\n" + content)
        assert says in refused("run", suite, "--out", tmp_path / "runs")
    assert "has no field 'latnt'; did you mean latent" in refused(
        "run", "quick", "--set", "vae.latnt=3", "--out", tmp_path / "runs"
    )
    assert "unknown metric 'fidd'; did you mean fid" in refused("score", "x", "--against", "digits", "--metric", "fidd")
    assert "did you mean digits" in refused("score", "x.npy", "--against", "digitz")
    assert "no CUDA device" in refused("run", "quick", "--device", "cuda")
    assert "is not a device" in refused("run", "quick", "--device", "gpu9")
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def digits():
    return genbench.dataset("digits").images("test").permute(0, 2, 3, 1).numpy()


def test_samples_are_scored(tmp_path, digits):
    np.savez(tmp_path / "good.npz", arr_0=digits[:300])
    result = call("score", tmp_path / "good.npz", "--against", "digits", "--json")
    assert result.exit_code == 0, result.output
    table = {name.partition("[")[0]: m for name, m in json.loads(result.output).items()}
    assert table["fid"]["low"] <= table["fid"]["value"] <= table["fid"]["high"]
    assert table["modes_captured"]["value"] == 10
    assert table["nats"]["reason"] == "samples alone have no likelihood"
    assert "fid" in call("score", tmp_path / "good.npz", "--against", "digits", "--metric", "fid").output


def test_samples_that_are_wrong(tmp_path, digits):
    def score(array, name="x.npz"):
        np.savez(tmp_path / name, arr_0=array)
        return refused("score", tmp_path / name, "--against", "digits")

    assert "height 8, width 8" in score(digits[:, :4])
    assert "uint8" in score(digits.astype(np.float32))
    assert "levels 0 to 16" in score(digits + np.uint8(9)) or "17" in score(digits + np.uint8(9))
    assert "at least" in score(digits[:1])
    objects = np.empty(3, dtype=object)
    np.savez(tmp_path / "pickled.npz", arr_0=objects)
    assert refused("score", tmp_path / "pickled.npz", "--against", "digits")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not really")
    assert refused("score", tmp_path / "broken.npz", "--against", "digits")
    (tmp_path / "empty").mkdir()
    assert refused("score", tmp_path / "empty", "--against", "digits")
    assert "neither a file or folder nor a model" in refused("score", "nothing", "--against", "digits")


def test_weights_of_another_model_and_broken_weights(tmp_path):
    from genbench.store import write_weights

    spec = genbench.dataset("ring8").spec
    write_weights(genbench.build("gan", spec), tmp_path / "gan.safetensors")
    fine = call("score", "gan", "--against", "ring8", "--weights", tmp_path / "gan.safetensors", "--metric", "fid")
    assert fine.exit_code == 0, fine.output
    says = refused("score", "wgan-gp", "--against", "ring8", "--weights", tmp_path / "gan.safetensors")
    assert "holds weights of baselines.gan:GAN" in says
    data = (tmp_path / "gan.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-100])
    assert "cannot be read" in refused("score", "gan", "--against", "ring8", "--weights", tmp_path / "cut.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_for_the_output(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "cannot write" in refused("run", "quick", "--out", tmp_path / "runs")


def test_an_output_folder_that_cannot_be(tmp_path):
    (tmp_path / "taken").write_text("")
    assert "cannot write" in refused("run", "quick", "--out", tmp_path / "taken" / "runs")


def test_publish_without_records(tmp_path):
    assert "there is no folder" in refused("publish", "--records", tmp_path / "none", "--out", tmp_path / "site")
