"""Records: what is written is what is read, and nothing else gets in."""

import json
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench import record
from genbench.errors import Refused
from genbench.record import Asset, Cost, Curve, DatasetRun, Measurement, ModelRun, Record

HASH = "0" * 64
STORED = Path(__file__).parent / "stored"


def example(**changes) -> Record:
    fid = Measurement(
        metric="fid", value=1.5, low=1.0, high=2.0, n=100, protocol="pixels,test,n=100", method="jackknife"
    )
    undefined = Measurement(metric="nats", status="undefined", reason="defines no likelihood")
    fields = {
        "schema": record.SCHEMA,
        "key": "0123456789abcdef",
        "created": "2026-01-02T03:04:05Z",
        "model": ModelRun(
            reference="baselines.vae:VAE",
            label="vae",
            family="variational",
            likelihood="elbo",
            config={"latent": 8, "widths": [1, 2]},
            recipe={"steps": 10, "ema": None},
            code=HASH,
            weights=HASH,
        ),
        "dataset": DatasetRun(
            reference="a:b", label="digits", shape=[1, 8, 8], levels=17, classes=10, checksums={"train": HASH}
        ),
        "seeds": {"train": 0},
        "settings": {"samples": 100},
        "environment": {"torch": "2.6"},
        "cost": Cost(
            parameters=1, steps=10, images=100, train_seconds=1.0, flops=1e9, sample_seconds=0.1, evaluate_seconds=0.1
        ),
        "curves": {"loss": Curve(steps=[1, 2], values=[0.5, 0.25])},
        "report": {},
        "measurements": {fid.name: fid, undefined.name: undefined},
        "assets": {"samples": Asset(file="0123456789abcdef-samples.png", sha256=HASH, width=10, height=10)},
        "per_image": {"nats": [-1.5, -2.25]},
    }
    return Record(**{**fields, **changes})


def test_what_is_written_is_what_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(record.encode(example()))
    assert record.read(path) == example()
    assert record.read(path).get("fid").name == "fid[pixels,test,n=100]"
    assert record.read(path).get("absent") is None


def _changed(path: list, value) -> bytes:
    content = json.loads(record.encode(example()))
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(content).encode()


FID = ["measurements", "fid[pixels,test,n=100]"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (_changed(["surprise"], 1), "unknown field `surprise`"),
        (_changed(["model", "surprise"], 1), "unknown field `surprise`"),
        (_changed([*FID, "value"], math.nan), "malformed"),
        (_changed([*FID, "value"], None), "finite"),
        (_changed([*FID, "low"], 3.0), "low 3.0 is above high 2.0"),
        (_changed([*FID, "status"], "undefined"), "needs a reason"),
        (_changed([*FID, "metric"], "kid"), "stands under the name"),
        (_changed(["key"], "../../etc"), "key"),
        (_changed(["created"], "yesterday"), "created"),
        (_changed(["schema"], 99), "schema 99; this genbench reads schemas up to 2"),
        (_changed(["schema"], 0), "schema"),
        (_changed(["schema"], "2"), "schema"),
        (_changed(["schema"], 1), "schema 1 has no field `per_image`"),
        (_changed(["per_image", "nats"], [math.inf]), "malformed"),
        (_changed(["per_image", "nats"], [None]), "per_image"),
        (_changed(["per_image", "nats"], [0.5] * (record.MAX_PER_IMAGE + 1)), "per_image"),
        (_changed(["per_image"], {f"n{i}": [] for i in range(5)}), "per_image"),
        (record.encode(example()).replace(b'"seeds"', b'"key": "0123456789abcdef",\n"seeds"'), "'key' is given twice"),
        (record.encode(example()).replace(b'"latent"', b'"widths": 1,\n"latent"'), "'widths' is given twice"),
        (_changed(["cost", "steps"], -1), "steps"),
        (_changed(["cost", "train_seconds"], "long"), "train_seconds"),
        (_changed(["assets", "samples", "file"], "../a.png"), "asset file"),
        (_changed(["assets", "samples", "file"], "0123456789abcdef-a.html"), "asset file"),
        (_changed(["model", "config"], {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}), "nested too deeply"),
        (_changed(["dataset", "checksums", "train"], "abc"), "checksums"),
        (record.encode(example())[:-20], "truncated"),
        (b"", "not a valid record"),
        (b"[" * 100_000, "not a valid record"),
        (b"\xff\xfe", "not a valid record"),
        (b" " * (record.MAX_BYTES + 1), "at most"),
    ],
)
def test_what_is_wrong_is_refused_with_the_place(data, says):
    with pytest.raises(Refused, match=says):
        record.decode(data, "a.json")


def test_an_infinite_number_is_refused():
    data = record.encode(example()).replace(b'"value": 1.5', b'"value": 1e999')
    with pytest.raises(Refused):
        record.decode(data)


def test_a_record_of_schema_1_is_brought_up_to_date():
    data = (STORED / "record-schema-1.json").read_bytes()
    before, found = json.loads(data), record.decode(data)
    assert before["schema"] == 1
    assert "per_image" not in before
    assert (found.schema, found.per_image) == (record.SCHEMA, {})
    after = json.loads(record.encode(found))
    assert after == {**before, "schema": record.SCHEMA, "per_image": {}}
    assert record.decode(record.encode(found)) == found


def test_migrating_leaves_what_it_was_given_as_it_was():
    content = json.loads((STORED / "record-schema-1.json").read_bytes())
    before = json.dumps(content)
    record.migrate(content)
    assert json.dumps(content) == before


def test_what_is_wrong_in_a_record_of_an_older_schema_is_refused_too():
    data = (STORED / "record-schema-1.json").read_bytes()
    for wrong in (data.replace(b'"steps": 10000', b'"steps": -1'), data.replace(b'"cost"', b'"surprise": 1,\n"cost"')):
        assert wrong != data
        with pytest.raises(Refused):
            record.decode(wrong)


@given(st.floats(), st.floats(), st.floats())
def test_a_measurement_is_finite_and_ordered_or_refused(value, low, high):
    fine = all(map(math.isfinite, (value, low, high))) and low <= value <= high
    try:
        made = Measurement(metric="m", value=value, low=low, high=high)
    except ValueError:
        assert not fine
    else:
        assert fine
        assert msgspec.json.decode(msgspec.json.encode(made), type=Measurement) == made


def test_a_status_without_a_number_says_why():
    with pytest.raises(ValueError, match="reason"):
        Measurement(metric="m", status="unavailable")
    with pytest.raises(ValueError, match="goes without numbers"):
        Measurement(metric="m", status="invalid", reason="x", value=1.0, low=1.0, high=1.0)
    assert str(Measurement(metric="m", status="unavailable", reason="no weights")) == "unavailable: no weights"
