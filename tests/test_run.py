"""Cells: planned before they run, never run twice, identical after a kill, and one failure does not stop the rest."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from genbench import files, provenance, suite
from genbench.errors import Refused
from genbench.run import plan, run
from genbench.store import Store

TINY = """
samples = 200
likelihood_images = 50
metrics = ["fid", "precision", "modes_captured", "nats", "excess_nats"]
[[group]]
datasets = ["ring8"]
models = ["truth", "gan", "realnvp"]
[recipe.gan]
steps = 40
[recipe.realnvp]
steps = 40
"""


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    return str(tmp_path / "tiny.toml")


def without_times(record):
    """What must not differ between two runs of the same cell."""
    content = msgspec.to_builtins(record)
    content.pop("created")
    content["environment"].pop("commit")  # somebody may work in the checkout while this runs
    for name in ("train_seconds", "sample_seconds", "evaluate_seconds"):
        content["cost"].pop(name)
    content["measurements"] = {
        k: v for k, v in content["measurements"].items() if not k.startswith("seconds_per_image")
    }
    return content


def test_a_finished_cell_is_never_run_again_and_a_finished_training_never_repeated(tiny, tmp_path, monkeypatch):
    store = Store(tmp_path / "runs")
    work = plan(suite.load(tiny))
    assert [cell.model for cell in work.cells] == ["real", "truth", "gan", "realnvp"]
    first = run(work, store, progress=False)
    assert not first.failed
    assert first.reused == 0
    for record in first.records:
        assert store.read_record(record.key) == record
        asset = record.assets["samples"]
        assert (store.records / asset.file).stat().st_size > 100
        assert record.get("fid").status == "ok"
    assert first.records[0].model.family == "reference"
    names = {r.model.label: r for r in first.records}
    assert names["gan"].get("nats").status == "undefined"
    assert names["realnvp"].get("excess_nats").kind == "exact"
    assert names["realnvp"].get("seconds_per_image").value > 0
    assert names["truth"].get("excess_nats").value == pytest.approx(0.0, abs=1e-9)

    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.json")}
    second = run(plan(suite.load(tiny)), store, progress=False)
    assert second.reused == 4
    assert second.records == first.records
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.json")}

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("genbench.run.train", never)
    more = run(plan(suite.load(tiny, ["samples=250"])), store, progress=False)
    assert not more.failed
    assert more.reused == 0
    assert more.records[2].model.weights == first.records[2].model.weights


def test_a_failing_cell_is_reported_and_the_rest_goes_on(tiny, tmp_path, monkeypatch):
    import baselines.gan

    def breaks(self, batch, step):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(baselines.gan.GAN, "losses", breaks)
    said = []
    outcome = run(plan(suite.load(tiny)), Store(tmp_path / "runs"), progress=False, say=said.append)
    assert list(outcome.failed) == ["ring8 / gan / seed 0"]
    assert outcome.failed["ring8 / gan / seed 0"] == "RuntimeError: on purpose"
    assert len(outcome.records) == 3
    assert any("FAILED" in line for line in said)


def test_a_key_changes_with_all_that_can_change_the_result_and_with_nothing_else(tiny):
    def cell(*changes):
        return plan(suite.load(tiny, list(changes))).cells[2]

    base = cell()
    assert cell().key == base.key
    for change in ("gan.latent=3", "gan.recipe.steps=41", "gan.recipe.batch_size=64", "seeds=[1]"):
        assert cell(change).weights_key != base.weights_key, change
        assert cell(change).key != base.key, change
    assert cell("samples=201").key != base.key
    assert cell("samples=201").weights_key == base.weights_key
    assert cell("about=other").key == base.key
    changed = dataclasses.replace(
        base, data=dataclasses.replace(base.data, x={**base.data.x, "train": base.data.x["test"]})
    )
    assert changed.weights_key != base.weights_key


def test_samplers_of_a_model_share_one_training(tmp_path, monkeypatch):
    """Two samplers, two records with different samples, one training; what says the default is the default."""
    path = tmp_path / "s.toml"
    path.write_text(
        'samples = 200\nlikelihood_images = 8\nmetrics = ["fid"]\n'
        '[[group]]\ndatasets = ["ring8"]\nmodels = ["ddpm", "ddpm[ddim-20]", "ddpm[sampling_steps=250]"]\n'
        "[recipe.ddpm]\nsteps = 3\n[config.ddpm]\nhidden = 16\n"
    )
    work = plan(suite.load(str(path)))
    assert [cell.model for cell in work.cells] == ["real", "ddpm", "ddpm[ddim-20]"]
    plain_cell, ddim = work.cells[1:]
    assert plain_cell.weights_key == ddim.weights_key
    assert plain_cell.key != ddim.key
    assert (ddim.sampling, ddim.name) == ({"sampler": "ddim", "sampling_steps": 20, "eta": 0.0}, "ddpm")

    trainings, real = [], sys.modules["genbench.run"].train
    monkeypatch.setattr("genbench.run.train", lambda *a, **k: trainings.append(1) or real(*a, **k))
    outcome = run(work, Store(tmp_path / "runs"), progress=False)
    assert not outcome.failed
    assert len(trainings) == 1
    first, second = outcome.records[1:]
    assert first.model.weights == second.model.weights
    assert second.model.label == "ddpm[ddim-20]"
    assert second.model.config["sampler"] == "ddim"
    assert first.get("fid").value != second.get("fid").value

    path.write_text('[[group]]\ndatasets = ["ring8"]\nmodels = ["ddpm[ddmi-20]"]\n')
    with pytest.raises(Refused, match="did you mean ddim-20"):
        plan(suite.load(str(path)))


def test_a_model_that_cannot_serve_is_skipped_with_its_reason(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('[[group]]\ndatasets = ["digits"]\nmodels = ["rbm", "truth"]\n')
    work = plan(suite.load(str(path)))
    assert [cell.model for cell in work.cells] == ["real"]
    assert "17" in work.skipped["digits / rbm"]
    assert "law" in work.skipped["digits / truth"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("gan.latnt=3", "has no field 'latnt'; did you mean latent"),
        ("gan.latent=wide", "latent='wide' is not valid"),
        ("gan.recipe.step=3", "did you mean steps"),
        ("gam.latent=3", r"\[config.gam\]: the suite runs no model 'gam'; did you mean gan"),
    ],
)
def test_overrides_are_checked_before_anything_runs(tiny, change, says):
    with pytest.raises(Refused, match=says):
        plan(suite.load(tiny, [change]))


def test_too_few_samples_are_refused_before_anything_runs(tiny):
    with pytest.raises(Refused, match="samples = 5 is too few: fid needs at least"):
        plan(suite.load(tiny, ["samples=5"]))
    with pytest.raises(Refused, match="likelihood_images = 1 is too few"):
        plan(suite.load(tiny, ["likelihood_images=1"]))


def test_a_full_disk_ends_the_run_with_a_sentence(tiny, tmp_path, monkeypatch):
    work = plan(suite.load(tiny))
    store = Store(tmp_path / "runs")
    monkeypatch.setattr(Store, "write_record", lambda *_: files.write(tmp_path, b""))
    with pytest.raises(Refused, match="cannot write"):
        run(work, store, progress=False)
    assert not list(store.records.glob("*.json"))


def test_kill_minus_nine_during_a_run_then_again(tiny, tmp_path):
    """No finished cell runs twice; the records are those of an uninterrupted run but for times."""

    def command(out):
        return [sys.executable, "-m", "genbench.cli", "run", tiny, "--out", str(tmp_path / out), "--json"]

    process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = tmp_path / "killed" / "records"
    deadline = time.monotonic() + 120
    while len(list(records.glob("*.json"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {p.name: p.stat().st_mtime_ns for p in records.glob("*.json")}
    assert 2 <= len(before) < 4

    done = subprocess.run(command("killed"), check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["reused"] == len(before)
    assert before.items() <= {p.name: p.stat().st_mtime_ns for p in records.glob("*.json")}.items()

    quiet = run(plan(suite.load(tiny)), Store(tmp_path / "quiet"), progress=False)
    store = Store(tmp_path / "killed")
    for record in quiet.records:
        assert without_times(store.read_record(record.key)) == without_times(record)


def test_the_environment_names_the_commit_of_a_checkout_and_none_elsewhere(tmp_path, monkeypatch):
    def found():
        provenance.commit.cache_clear()
        return provenance.commit()

    code = tmp_path / "genbench" / "provenance.py"
    monkeypatch.setattr(provenance, "__file__", str(code))
    assert found() is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    code.parent.mkdir()
    code.write_text("one")
    for words in (["init", "-q"], ["add", "genbench"], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *words], check=True)
    clean = found()
    assert re.fullmatch(r"[0-9a-f]{12}", clean)
    (tmp_path / "notes.md").write_text("no code")
    assert found() == clean
    (code.parent / "new.py").write_text("code that no commit holds")
    assert found() == clean + "+"
    (code.parent / "new.py").unlink()
    code.write_text("two")
    assert found() == clean + "+"
    provenance.commit.cache_clear()


def test_the_commit_is_the_one_of_the_plan(monkeypatch):
    """Whoever commits while hours of training run changes nothing about the code that has been imported."""
    asked = []
    monkeypatch.setattr(provenance, "commit", lambda: asked.append(1))
    plan(suite.load("quick"), models=["independent"], datasets=["digits"])
    assert asked
