"""A record is run again from itself alone: bit by bit here, within intervals elsewhere, and never a stranger's code."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from genbench import record, reproduce, suite
from genbench.cli import main
from genbench.errors import Refused
from genbench.record import Measurement, Record
from genbench.run import plan, run
from genbench.store import Store
from tests import synthetic

TINY = """
samples = 200
likelihood_images = 50
metrics = ["validity", "modes_captured", "nats", "excess_nats"]
[[group]]
datasets = ["ring8"]
models = ["realnvp[hidden=16]"]
[recipe.realnvp]
steps = 30
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> dict[str, Record]:
    """A tiny training and its reference row, as `genbench run` writes them: by label."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "tiny.toml").write_text(TINY)
    outcome = run(plan(suite.load(str(root / "tiny.toml"))), Store(root / "runs"), progress=False)
    assert not outcome.failed
    return {one.model.label: one for one in outcome.records}


@pytest.fixture
def trained(records) -> Record:
    return records["realnvp[hidden=16]"]


def command(tmp_path: Path, one: Record, *options: str) -> tuple[int, dict[str, Any] | str]:
    path = tmp_path / f"{one.key}.json"
    path.write_bytes(record.encode(one))
    done = CliRunner().invoke(main, ["reproduce", str(path), "--json", *options])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, json.loads(done.stdout) if done.exit_code < 2 else done.stderr


def changed(one: Record, part: str, **changes: Any) -> Record:
    return msgspec.structs.replace(one, **{part: msgspec.structs.replace(getattr(one, part), **changes)})


def shifted(one: Record, metric: str, by: float) -> Record:
    name, old = next((name, m) for name, m in one.measurements.items() if m.metric == metric)
    new = msgspec.structs.replace(old, value=old.value + by, low=old.low + by, high=old.high + by)
    return msgspec.structs.replace(one, measurements={**one.measurements, name: new}, per_image={})


def elsewhere(one: Record) -> Record:
    return msgspec.structs.replace(one, environment={**one.environment, "cpu": "Another CPU"})


# ------------------------------------------------------------------------------------------------ what agrees


def test_a_record_holds_the_numbers_of_each_image(trained, records):
    nats = trained.per_image["nats"]
    assert len(nats) == 50
    assert math.fsum(nats) / 50 == pytest.approx(trained.get("nats").value, rel=1e-4)
    assert records["real"].per_image == {}


@pytest.mark.parametrize("label", ["real", "realnvp[hidden=16]"])
def test_on_the_same_machine_a_record_comes_out_bit_by_bit(records, label, tmp_path):
    one = records[label]
    code, found = command(tmp_path, one, "--out", str(tmp_path / "again"))
    assert (code, found["agrees"], found["bitwise"], found["differs"]) == (0, True, True, [])
    assert Store(tmp_path / "again").has_record(one.key)
    compared = {row["name"].partition("[")[0]: row["agrees"] for row in found["rows"]}
    assert compared.pop("seconds_per_image", None) is None
    assert set(compared.values()) == {True}
    assert ("weights" in compared) == ("per image" in compared) == (label != "real")


def test_one_bit_is_enough_to_disagree_on_the_same_machine(trained, tmp_path):
    nats = trained.get("nats")
    wrong = shifted(trained, "nats", math.ulp(nats.value))
    code, found = command(tmp_path, wrong)
    assert (code, found["agrees"]) == (1, False)
    assert [row["name"] for row in found["rows"] if row["agrees"] is False] == [nats.name]


def test_on_another_machine_the_weights_are_not_compared(trained, tmp_path):
    wrong = changed(trained, "model", weights="0" * 64)
    assert disagreeing(wrong, trained, bitwise=True) == ["weights"]
    code, found = command(tmp_path, elsewhere(wrong))
    assert (code, found["agrees"], found["bitwise"]) == (0, True, False)
    assert found["differs"] == [f"cpu was Another CPU, here it is {trained.environment['cpu']}"]
    assert {row["name"]: row["agrees"] for row in found["rows"]}["weights"] is None


def disagreeing(one: Record, again: Record, bitwise: bool) -> list[str]:
    return [row.name for row in reproduce.compare(one, again, bitwise) if row.agrees is False]


def test_elsewhere_the_intervals_decide(trained):
    nats = trained.get("nats")
    width = nats.high - nats.low
    assert disagreeing(shifted(trained, "nats", 0.1 * width), trained, bitwise=False) == []
    assert disagreeing(shifted(trained, "nats", -5 * width), trained, bitwise=False) == [nats.name]


def test_a_measurement_that_is_not_made_again_is_no_agreement(trained):
    name = trained.get("validity").name
    less = {key: m for key, m in trained.measurements.items() if key != name}
    assert disagreeing(trained, msgspec.structs.replace(trained, measurements=less), bitwise=False) == [name]


def number(value: float, half: float, **more: Any) -> Measurement:
    return Measurement(metric="m", value=value, low=value - half, high=value + half, n=9, **more)


def test_within_is_a_test_of_the_difference():
    """Errors of 1 and 1: a difference of z sqrt 2 is the border."""
    half = 1.9599639845400545
    border = 3.0 * math.sqrt(2)
    for sign in (1, -1):
        assert reproduce.within(number(0, half), number(sign * (border - 1e-3), half), 3.0)
        assert not reproduce.within(number(0, half), number(sign * (border + 1e-3), half), 3.0)
    wide = Measurement(metric="m", value=0.0, low=-100.0, high=0.0, n=9)  # wide on the side that does not matter
    assert not reproduce.within(wide, number(1.0, 0.0), 3.0)
    none = Measurement(metric="m", status="undefined", reason="why")
    assert reproduce.within(none, none, 3.0)
    assert not reproduce.within(none, number(1.0, 1.0), 3.0)
    assert not reproduce.within(number(1.0, 1.0), none, 3.0)


# ------------------------------------------------------------------------------------------------ what is refused


def test_code_that_no_catalog_names_is_not_imported_unless_trusted(trained, tmp_path, monkeypatch):
    (tmp_path / "somebodys.py").write_text("from baselines.realnvp import RealNVP as Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    foreign = changed(trained, "model", reference="somebodys:Mine", label="mine")
    code, text = command(tmp_path, foreign)
    assert code == 2
    assert "--trust-code" in text
    assert "somebodys" not in sys.modules
    found = reproduce.cell_of(foreign, trust_code=True)
    assert "somebodys" in sys.modules
    assert found.model == "somebodys:Mine"
    assert found.plain_config == trained.model.config
    monkeypatch.delitem(sys.modules, "somebodys")


@pytest.mark.parametrize("config", [{"of": "os:system"}, {"of": [{"deeper": "os:system"}]}])
def test_code_that_a_configuration_names_is_not_imported_either(trained, config):
    reference = "baselines.mostly_noise:MostlyNoise"
    foreign = changed(trained, "model", reference=reference, label="mostly-noise", config=config)
    with pytest.raises(Refused, match="names 'os:system', which no catalog does"):
        reproduce.cell_of(foreign)


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("model", {"config": {"breadth": 4}}, "no field 'breadth'"),
        ("model", {"config": {"hidden": "wide"}}, "hidden='wide' is not valid"),
        ("model", {"recipe": {"steps": 1.5}}, "steps=1.5 is not valid"),
        ("model", {"recipe": {}}, "names no recipe"),
        ("model", {"reference": "baselines.vae:VAE"}, "calls baselines.vae:VAE realnvp"),
        ("model", {"family": "pathology"}, "genbench stress"),
        ("dataset", {"shape": [3]}, "another form"),
        ("dataset", {"reference": "genbench.data.files:folder", "label": "folder"}, "--dataset folder:PATH"),
        ("seeds", {"train": -1}, "has the seeds"),
        ("seeds", {"sample": 1}, "has the seeds"),
        ("seeds", {"evaluate": None}, "has the seeds"),
        ("settings", {"samples": -1}, "the settings"),
        ("settings", {"precision": "int8"}, "the settings"),
        ("settings", {"metrics": "fid beauty"}, "beauty"),
        ("settings", {"measured": "speed"}, "genbench speed"),
        ("environment", {"threads": 10**9}, "threads"),
    ],
)
def test_what_a_record_asks_for_is_checked_before_anything_runs(trained, tmp_path, part, changes, says):
    if part in ("model", "dataset"):
        wrong = changed(trained, part, **changes)
    else:
        content = {name: value for name, value in {**getattr(trained, part), **changes}.items() if value is not None}
        wrong = msgspec.structs.replace(trained, **{part: content})
    with pytest.raises(Refused, match=says):
        reproduce.reproduce(wrong, Store(tmp_path / "again"), progress=False)
    assert not (tmp_path / "again").exists()


def test_images_that_are_not_the_records_are_refused(trained):
    digits = msgspec.structs.replace(synthetic.digits(), classes=10)
    with pytest.raises(Refused, match="the checksum of train differs"):
        reproduce.cell_of(msgspec.structs.replace(trained, dataset=digits))


def test_a_folder_that_holds_the_record_reproduces_nothing(trained, tmp_path):
    store = Store(tmp_path / "runs")
    store.write_record(trained, {})
    with pytest.raises(Refused, match="a folder of its own"):
        reproduce.reproduce(trained, store, progress=False)


def test_a_file_that_is_no_record_and_a_record_that_cannot_be_end_with_code_2(trained, tmp_path):
    (tmp_path / "x.json").write_text("{")
    for path in ("x.json", "nowhere.json"):
        assert CliRunner().invoke(main, ["reproduce", str(tmp_path / path)]).exit_code == 2
    code, text = command(tmp_path, msgspec.structs.replace(trained, created="1999-01-01T00:00:00Z"))
    assert code == 2
    assert "lies before 2020" in text
