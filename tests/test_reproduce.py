"""A record is run again from itself alone: bit by bit here, within intervals elsewhere, and never a stranger's code."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from genbench import record, reproduce, suite, untrusted
from genbench.cli import main
from genbench.errors import Refused
from genbench.record import Measurement, Record
from genbench.run import plan, run, run_cell
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
    return measuring(
        one, {name: msgspec.structs.replace(old, value=old.value + by, low=old.low + by, high=old.high + by)}
    )


def measuring(one: Record, changes: dict[str, Measurement | None]) -> Record:
    """The record with some measurements replaced; None leaves one out."""
    found = {name: m for name, m in {**one.measurements, **changes}.items() if m is not None}
    return msgspec.structs.replace(one, measurements=found)


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
    cpu, weights = found["differs"]
    assert cpu == f"cpu was Another CPU, here it is {trained.environment['cpu']}"
    assert weights.startswith("the weights differ, and the intervals hold the noise of the samples, not that of the tr")
    assert {row["name"]: row["agrees"] for row in found["rows"]}["weights"] is None


def rows(one: Record, again: Record, bitwise: bool) -> dict[str, reproduce.Compared]:
    return {row.name: row for row in reproduce.compare(one, again, bitwise)}


def disagreeing(one: Record, again: Record, bitwise: bool) -> list[str]:
    return [name for name, row in rows(one, again, bitwise).items() if row.agrees is False]


def verdict(one: Record, again: Record, bitwise: bool = False) -> reproduce.Reproduction:
    differs = () if bitwise else ("another machine",)
    return reproduce.Reproduction(
        record=one, again=again, differs=differs, rows=tuple(reproduce.compare(one, again, bitwise))
    )


def test_elsewhere_the_intervals_decide(trained):
    nats = trained.get("nats")
    width = nats.high - nats.low
    assert disagreeing(shifted(trained, "nats", 0.1 * width), trained, bitwise=False) == []
    assert disagreeing(shifted(trained, "nats", -5 * width), trained, bitwise=False) == [nats.name]


def test_a_measurement_that_is_not_made_again_is_no_agreement(trained):
    name = trained.get("validity").name
    assert disagreeing(trained, measuring(trained, {name: None}), bitwise=False) == [name]


@pytest.mark.parametrize("bitwise", [True, False])
def test_what_a_record_leaves_out_is_no_agreement_either(trained, bitwise):
    nats = trained.get("nats").name
    for less, name in (
        (measuring(trained, {nats: None}), nats),
        (changed(trained, "model", weights=None), "weights"),
    ):
        assert disagreeing(less, trained, bitwise) == [name]
        assert verdict(less, trained, bitwise).contradicted
    seconds = trained.get("seconds_per_image").name
    assert disagreeing(measuring(trained, {seconds: None}), trained, bitwise) == []
    without = msgspec.structs.replace(trained, per_image={})
    assert disagreeing(without, trained, bitwise) == (["per image"] if bitwise else [])


def test_a_metric_of_a_later_catalog_is_not_held_against_a_record_that_asked_for_all(trained):
    settings = {name: value for name, value in trained.settings.items() if name != "metrics"}
    earlier = measuring(msgspec.structs.replace(trained, settings=settings), {trained.get("nats").name: None})
    assert rows(earlier, trained, bitwise=False)[trained.get("nats").name].word == "not claimed"
    found = verdict(earlier, trained)
    assert (found.agrees, found.contradicted) == (False, False)
    assert verdict(earlier, trained, bitwise=True).contradicted


def test_a_number_of_another_protocol_is_another_number(trained):
    old = trained.get("validity")
    renamed = msgspec.structs.replace(old, protocol="test,n=10000")
    found = rows(measuring(trained, {old.name: None, renamed.name: renamed}), trained, bitwise=False)
    assert (found[renamed.name].again, found[renamed.name].agrees) == ("not measured", False)
    assert (found[old.name].recorded, found[old.name].agrees) == ("not recorded", False)


def test_a_reason_stands_beside_the_number_that_it_is_there_for(trained):
    old = trained.get("validity")
    none = Measurement(metric="validity", status="undefined", reason="why")
    less = measuring(trained, {old.name: None, none.name: none})
    found = rows(less, trained, bitwise=False)[none.name]
    assert (found.recorded, found.again, found.word) == ("undefined: why", str(old), "NO")
    gone = msgspec.structs.replace(none, status="unavailable")
    less = measuring(trained, {old.name: None, gone.name: gone})
    assert rows(trained, less, bitwise=False)[old.name].word == "not claimed"


def test_where_the_weights_differ_a_number_outside_is_not_claimed_to_disagree(trained):
    """The intervals hold the noise of the samples, not that of the training."""
    outside = shifted(trained, "nats", -5 * (trained.get("nats").high - trained.get("nats").low))
    name = trained.get("nats").name
    assert rows(outside, trained, bitwise=False)[name].word == "NO"
    other = changed(outside, "model", weights="0" * 64)
    assert rows(other, trained, bitwise=False)[name].word == "not claimed"
    assert rows(other, trained, bitwise=True)[name].word == "NO"
    found = verdict(other, trained)
    assert (found.agrees, found.contradicted) == (False, False)
    assert rows(other, trained, bitwise=False)["weights"].word == "not compared"


def test_neither_confirmed_nor_contradicted_ends_with_code_1(trained, tmp_path):
    nats = trained.get("nats")
    other = changed(elsewhere(trained), "model", weights="0" * 64, likelihood=None)
    other = measuring(other, {
        nats.name: msgspec.structs.replace(nats, value=nats.value - 9, low=nats.low - 9, high=nats.high - 9, kind=None)
    })  # fmt: skip
    other = msgspec.structs.replace(other, per_image={})
    path = tmp_path / f"{other.key}.json"
    path.write_bytes(record.encode(other))
    done = CliRunner().invoke(main, ["reproduce", str(path)])
    assert done.exit_code == 1
    assert f"{other.key} is neither confirmed nor contradicted within the intervals." in done.stdout
    assert "not claimed" in done.stdout
    assert "NO" not in done.stdout


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


def test_the_interval_under_test_buys_no_tolerance():
    """It counts as at most twice the repetition's: a difference of z sqrt(1 + 4) is the border, however wide it is."""
    again = number(150, 1.9599639845400545)
    for wide in (number(1, 2000), number(1, 1, level=1e-300), number(1, 1, level=1e-9)):
        assert not reproduce.within(wide, again, 3.0)
    border = 3.0 * math.sqrt(5)
    for sign in (1, -1):
        assert reproduce.within(number(150 + sign * (border - 1e-3), 1000), again, 3.0)
        assert not reproduce.within(number(150 + sign * (border + 1e-3), 1000), again, 3.0)


def test_intervals_count_at_their_own_level():
    """Half widths of 0.6745 at the level 0.5 and of 1.96 at 0.95 are standard errors of 1 both."""
    low, high = number(0.0, 0.6744897501960817, level=0.5), 1.9599639845400545
    border = 3.0 * math.sqrt(2)
    assert reproduce.within(low, number(border - 1e-3, high), 3.0)
    assert not reproduce.within(low, number(border + 1e-3, high), 3.0)


def test_a_number_of_other_images_or_of_another_kind_is_another_number():
    one = number(1.0, 0.5, kind="exact")
    assert not reproduce.within(msgspec.structs.replace(one, n=10**6), one, 3.0)
    assert not reproduce.within(one, msgspec.structs.replace(one, kind="elbo"), 3.0)


def test_a_key_that_other_torch_gave_says_nothing_of_the_code_that_measures(trained):
    other = msgspec.structs.replace(
        trained, key="0" * 16, environment={**trained.environment, "torch": "0.1"}, assets={}
    )
    differs = list(reproduce._differences(other, untrusted.cell_of(other)))
    assert differs == [f"torch was 0.1, here it is {trained.environment['torch']}"]
    (reason,) = reproduce._differences(msgspec.structs.replace(trained, key="0" * 16), untrusted.cell_of(trained))
    assert reason == "its key is another: what measures, or knows the law of the data, has changed, or the record"


def test_a_reference_row_that_asked_for_more_than_there_is_comes_out_bit_by_bit(tmp_path):
    """There are 1,000 training images; the settings say what was asked for, each measurement how many there were."""
    text = 'samples = 2000\nmetrics = ["sliced_wasserstein"]\n[[group]]\ndatasets = ["digits"]\nmodels = ["gaussian"]\n'
    (tmp_path / "more.toml").write_text(text)
    (cell, _) = plan(suite.load(str(tmp_path / "more.toml"))).cells
    one = run_cell(cell, Store(tmp_path / "runs"), progress=False)
    assert one.settings["samples"] == 2000
    assert {m.n for m in one.measurements.values()} == {1000}
    code, found = command(tmp_path, one)
    assert (code, found["agrees"], found["differs"]) == (0, True, [])


# ------------------------------------------------------------------------------------------------ what is refused


def test_code_that_no_catalog_names_is_not_imported_unless_trusted(trained, tmp_path, monkeypatch):
    (tmp_path / "somebodys.py").write_text("from baselines.realnvp import RealNVP as Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    foreign = changed(trained, "model", reference="somebodys:Mine", label="mine")
    code, text = command(tmp_path, foreign)
    assert code == 2
    assert "--trust-code" in text
    assert "somebodys" not in sys.modules
    found = untrusted.cell_of(foreign, trust_code=True)
    assert "somebodys" in sys.modules
    assert found.model == "somebodys:Mine"
    assert found.plain_config == trained.model.config
    monkeypatch.delitem(sys.modules, "somebodys")


@pytest.mark.parametrize("config", [{"of": "os:system"}, {"of": [{"deeper": "os:system"}]}, {"of": {"os:system": 1}}])
def test_code_that_a_configuration_names_is_not_imported_either(trained, config):
    reference = "baselines.mostly_noise:MostlyNoise"
    foreign = changed(trained, "model", reference=reference, label="mostly-noise", config=config)
    with pytest.raises(Refused, match="names 'os:system', which no catalog does"):
        untrusted.cell_of(foreign)


def test_a_text_without_a_colon_names_no_model_either(trained):
    """What a field's type does not list is the catalog's, or what the model itself would choose."""
    reference = "baselines.mostly_noise:MostlyNoise"
    for of in ("this", "realnvp", "antigravity"):
        foreign = changed(trained, "model", reference=reference, label="mostly-noise", config={"of": of})
        with pytest.raises(Refused, match=f"names '{of}', which no catalog does"):
            untrusted.cell_of(foreign)
    assert "this" not in sys.modules
    for of in ("baselines.realnvp:RealNVP", "baselines.gaussian:Gaussian"):
        ours = changed(trained, "model", reference=reference, label="mostly-noise", config={"of": of})
        assert untrusted.cell_of(ours).config.of == of
    listed = changed(trained, "model", reference="baselines.gan:GAN", label="gan", config={"loss": "saturating"})
    assert untrusted.cell_of(listed).config.loss == "saturating"


def test_a_metric_is_an_import_too(trained, tmp_path, monkeypatch):
    (tmp_path / "somebodys_metric.py").write_text("from genbench.metrics.validity import METRIC\nWRONG = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("METRIC", "WRONG"):
        settings = {**trained.settings, "metrics": f"nats somebodys_metric:{name}"}
        foreign = msgspec.structs.replace(trained, settings=settings)
        code, text = command(tmp_path, foreign)
        assert code == 2
        assert f"names 'somebodys_metric:{name}', which no catalog does" in text
        assert "somebodys_metric" not in sys.modules
    with pytest.raises(Refused, match="among its metrics, which is none"):
        untrusted.cell_of(foreign, trust_code=True)
    foreign = msgspec.structs.replace(trained, settings={**settings, "metrics": "somebodys_metric:METRIC"})
    assert untrusted.cell_of(foreign, trust_code=True).settings.metrics == ["somebodys_metric:METRIC"]
    monkeypatch.delitem(sys.modules, "somebodys_metric")


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("model", {"config": {"breadth": 4}}, "no field 'breadth'"),
        ("model", {"config": {"hidden": "wide"}}, "hidden='wide' is not valid"),
        ("model", {"recipe": {"steps": 1.5}}, "steps=1.5 is not valid"),
        ("model", {"recipe": {}}, "names no recipe"),
        ("model", {"reference": "baselines.vae:VAE"}, "calls baselines.vae:VAE realnvp"),
        ("model", {"family": "pathology"}, "genbench stress"),
        ("model", {"reference": "genbench.data.digits:digits", "label": "mine"}, "which is one of the datasets"),
        ("dataset", {"reference": "baselines.vae:VAE", "label": "mine"}, "which is one of the models"),
        ("dataset", {"shape": [3]}, "another form"),
        ("dataset", {"reference": "genbench.data.files:folder", "label": "folder"}, "--dataset folder:PATH"),
        ("seeds", {"train": -1}, "has the seeds"),
        ("seeds", {"train": None}, "has the seeds"),
        ("seeds", {"sample": 1}, "has the seeds"),
        ("seeds", {"evaluate": None}, "has the seeds"),
        ("settings", {"samples": -1}, "the settings"),
        ("settings", {"precision": "int8"}, "the settings"),
        ("settings", {"metrics": "fid beauty"}, "beauty"),
        ("settings", {"metrics": 5}, "metrics is 5"),
        ("settings", {"metrics": " "}, "metrics is ' '"),
        ("settings", {"measured": "speed"}, "genbench speed"),
        ("environment", {"threads": 10**9}, "threads"),
        ("environment", {"threads": True}, "made with True threads"),
        ("environment", {"device": "foo"}, "the device 'foo'"),
        ("environment", {"device": "cpu:7"}, "the device 'cpu:7'"),
        ("environment", {"device": 5}, "the device 5"),
    ],
)
def test_what_a_record_asks_for_is_checked_before_anything_runs(trained, tmp_path, part, changes, says):
    if part in ("model", "dataset"):
        wrong = changed(trained, part, **changes)
    else:
        content = {name: value for name, value in {**getattr(trained, part), **changes}.items() if value is not None}
        wrong = msgspec.structs.replace(trained, **{part: content})
    code, _ = command(tmp_path, wrong, "--out", str(tmp_path / "again"))
    with pytest.raises(Refused, match=says):
        reproduce.reproduce(wrong, untrusted.cell_of(wrong), Store(tmp_path / "again"), progress=False)
    assert code == 2
    assert not (tmp_path / "again").exists()


def test_what_is_no_dataset_is_refused_though_it_is_trusted(trained):
    wrong = changed(trained, "dataset", reference="genbench.run:real_rows", label="mine")
    with pytest.raises(Refused, match="real_rows is no dataset"):
        untrusted.cell_of(wrong, trust_code=True)
    with pytest.raises(Refused, match="vae:VAE is no dataset"):
        untrusted.cell_of(trained, dataset="baselines.vae:VAE")


def test_a_configuration_that_describes_no_network_is_refused_in_a_sentence(trained, tmp_path):
    code, text = command(tmp_path, changed(trained, "model", config={**trained.model.config, "hidden": -5}))
    assert code == 2
    assert "cannot be run" in text


def test_images_that_are_not_the_records_are_refused(trained):
    digits = msgspec.structs.replace(synthetic.digits(), classes=10)
    with pytest.raises(Refused, match="the checksum of train differs"):
        untrusted.cell_of(msgspec.structs.replace(trained, dataset=digits))


def test_a_folder_that_holds_the_record_or_its_weights_reproduces_nothing(trained, tmp_path):
    """Weights that lie there would stand for the repetition, and a record under the cell's own key would be lost."""
    cell = untrusted.cell_of(trained)
    foreign = msgspec.structs.replace(trained, key="0" * 16)
    for name, one, path in (
        ("same", trained, f"records/{trained.key}.json"),
        ("its", foreign, f"records/{foreign.key}.json"),
        ("cell", foreign, f"records/{cell.key}.json"),
        ("weights", foreign, f"weights/{cell.weights_key}/history.json"),
        ("begun", foreign, f"weights/{cell.weights_key}/checkpoint.pt"),
    ):
        there = tmp_path / name / path
        there.parent.mkdir(parents=True)
        there.write_bytes(b"mine")
        with pytest.raises(Refused, match="a folder of its own"):
            reproduce.reproduce(one, cell, Store(tmp_path / name), progress=False)
        assert there.read_bytes() == b"mine"


def test_a_file_that_is_no_record_and_a_record_that_cannot_be_end_with_code_2(trained, tmp_path):
    (tmp_path / "x.json").write_text("{")
    for path in ("x.json", "nowhere.json"):
        assert CliRunner().invoke(main, ["reproduce", str(tmp_path / path)]).exit_code == 2
    code, text = command(tmp_path, msgspec.structs.replace(trained, created="1999-01-01T00:00:00Z"))
    assert code == 2
    assert "lies before 2020" in text
