"""Submissions: what strangers send is believed in nothing that can be checked, and harms nothing where it is wrong."""

import hashlib
import io
import json
import math
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

from genbench import catalog, record
from genbench.cli import main
from genbench.errors import Refused
from genbench.record import Measurement, Record
from leaderboard import png
from leaderboard.build import build
from leaderboard.check import ENTROPIES, declared_range, faults
from leaderboard.load import collect, place
from leaderboard.submission import publish_into, verdicts
from tests import synthetic

UNTIL = "2026-06-01T00:00:00Z"


def publish(root: Path, one: Record, picture: bytes | None = None) -> Path:
    """Writes a record where it belongs in a published folder."""
    return synthetic.write((root / place(one)).parent, one, picture)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A published folder of two valid records, `vae` and `gan`."""
    for label in ("vae", "gan"):
        publish(tmp_path / "records", synthetic.make(label))
    (tmp_path / "records" / "trust.toml").touch()
    return tmp_path / "records"


VAE, GAN = (synthetic.make(label).key for label in ("vae", "gan"))


# ------------------------------------------------------------------------------------------------ trust, retractions


def test_trust_comes_from_the_index_alone(folder):
    assert collect(folder).trust == {VAE: "self-reported", GAN: "self-reported"}
    (folder / "trust.toml").write_text(f'{VAE} = "reproduced"\n')
    assert collect(folder).trust == {VAE: "reproduced", GAN: "self-reported"}


def test_an_index_below_the_root_of_a_folder_counts_for_nothing(folder):
    (folder / "digits" / "trust.toml").write_text(f'{VAE} = "maintainer-run"\n')
    (folder / "digits" / "retracted.toml").write_text(f'{GAN} = {{reason = "too good", date = 2026-03-01}}\n')
    found = collect(folder)
    assert set(found.trust.values()) == {"self-reported"}
    assert not found.retracted


def test_a_retracted_record_is_listed_and_not_shown(folder):
    (folder / "retracted.toml").write_text(f'{GAN} = {{reason = "trained on the test split", date = 2026-03-01}}\n')
    found = collect(folder)
    assert [one.key for one in found.records] == [VAE]
    assert found.retracted == {GAN: "trained on the test split (2026-03-01)"}
    assert set(found.trust) == {VAE}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trust.toml", f'{VAE} = "self-made"'),
        ("trust.toml", f'{VAE} = "self-reported"'),
        ("trust.toml", '"../../x" = "reproduced"'),
        ("trust.toml", "= ="),
        ("trust.toml", f'{VAE} = "reproduced"\n{VAE} = "maintainer-run"'),
        ("trust.toml", "a = " + "[" * 100_000),
        ("retracted.toml", f'{VAE} = "because"'),
        ("retracted.toml", f'{VAE} = {{reason = "no date was given"}}'),
        ("retracted.toml", f'{VAE} = {{reason = "", date = 2026-03-01}}'),
        ("retracted.toml", f'{VAE} = {{reason = "well argued", date = 2026-03-01, who = "me"}}'),
    ],
)
def test_an_index_that_is_wrong_is_refused(folder, name, text):
    (folder / name).write_text(text)
    with pytest.raises(Refused, match=name):
        collect(folder)


def test_an_index_that_is_a_link_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere.toml").write_text(f'{VAE} = "reproduced"')
    (folder / "trust.toml").unlink()
    (folder / "trust.toml").symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(Refused, match="not a plain file"):
        collect(folder)


# ------------------------------------------------------------------------------------------------ what cannot be


def number(metric: str, value: float, half: float = 0.0, **more: Any) -> Measurement:
    return Measurement(metric=metric, value=value, low=value - half, high=value + half, n=1000, **more)


def with_numbers(*numbers: Measurement, **changes: Any) -> Record:
    return msgspec.structs.replace(synthetic.make("nade", measurements=numbers), **changes)


def changed(part: str, **changes: Any) -> Record:
    base = synthetic.make("nade")
    return msgspec.structs.replace(base, **{part: msgspec.structs.replace(getattr(base, part), **changes)})


def on(dataset: str, *numbers: Measurement, entropy: tuple[float, float] | None = None) -> Record:
    data = msgspec.structs.replace(
        synthetic.ring8(), label=dataset, reference=catalog.DATASETS.get(dataset, "my.data:set"), entropy=entropy
    )
    return with_numbers(*numbers, dataset=data)


IMPOSSIBLE: list[tuple[Record, str]] = [
    (with_numbers(number("fid", -1.0)), "fid is -1"),
    (with_numbers(number("fid", 1.0, half=2.0)), "fid is 1"),
    (with_numbers(number("recall", 1.01)), "recall is 1.01"),
    (with_numbers(number("inception_score", 0.5)), "within 1 and inf"),
    (with_numbers(number("kid", 1e31)), "beyond 1e\\+30"),
    (with_numbers(number("modes_captured", 11.0, protocol="law,modes=10")), "11 of 10"),
    (with_numbers(number("latency_p50", -1.0)), "latency_p50 is -1"),
    (on("ring8", number("nats", 4.6, 0.01, kind="exact")), "better than the truth: the entropy is -4.28"),
    (on("ring8", number("nats", 4.6, 0.01, kind="exact"), entropy=(-5.0, 0.01)), "dataset.entropy is -5 nats"),
    (on("mine", number("nats", -0.5, 0.01, kind="exact"), entropy=(1.0, 0.01)), "better than the truth"),
    (on("ring8", number("bits_per_dim", -4.0, 0.01, kind="exact")), "better than the truth"),
    (on("ring8", number("nats", 4.0, 0.01, kind="ode")), "of the kind ode, the model's likelihood of the kind exact"),
    (on("ring8", number("excess_nats", -0.2, 0.01, kind="exact")), "nothing beats the truth"),
    (with_numbers(number("bits_per_dim", 1.0, kind="exact"), number("nats", -90.0, kind="exact")), "same likelihood"),
    (with_numbers(number("images_per_second", 1e9), number("flops_per_image", 1e9)), "more than any machine computes"),
    (with_numbers(number("images_per_second", 1e13)), "more than any machine writes"),
    (with_numbers(number("latency_p50", 1e-8)), "no call takes less than 1e-07 s"),
    (with_numbers(number("seconds_per_image", 1e-9, protocol="eager,cpu,batch=64")), "no call takes less"),
    (with_numbers(number("nats", -90.0, kind="exact"), per_image={"nats": [-80.0] * 1000}), "has the mean -80"),
    (with_numbers(per_image={"<b>": []}), "is not a plain name"),
    (with_numbers(created="2026-06-02T00:00:00Z"), "lies in the future"),
    (with_numbers(created="2019-12-31T23:59:59Z"), "lies before 2020"),
    (with_numbers(created="2026-02-30T00:00:00Z"), "is no date"),
    (changed("cost", train_seconds=1e9), "more than three years"),
    (changed("cost", flops=1e30), "more than any machine does"),
    (changed("cost", flops=-1.0), "less than 0"),
    (changed("dataset", shape=[10**6, 10**6]), "more than 100,000,000 values"),
    (changed("dataset", levels=1), "levels 1"),
    (changed("dataset", classes=0), "classes 0"),
    (changed("dataset", reference="my.data:digits"), "the dataset digits of the catalog is genbench.data.digits"),
    (changed("model", reference="my.models:NADE"), "the model nade of the catalog is baselines.nade:NADE"),
    (changed("model", label="real"), "the model real of the catalog is genbench.run:real_rows"),
    (changed("model", label="<script>alert(1)</script>"), "model.label '<script>"),
    (changed("model", label="=CMD|' /C calc'!A0"), "model.label"),
    (changed("model", label="\\input{/etc/passwd}"), "model.label"),
    (changed("model", label="\u202egnp"), "does not print"),
    (changed("model", label="../../x"), "model.label"),
    (changed("model", label="vae\n"), "model.label"),
    (changed("model", family="$\\frac{"), "model.family"),
    (changed("model", reference="os:system('x')"), "model.reference"),
    (changed("model", config={"a": "x" * 3000}), "record.model.config.a has 3,000 characters"),
    (changed("model", config={"a": 10**30}), "beyond 64 bits"),
    (changed("model", config={"a": [[1] * 9999]}), "9,999 entries"),
    (with_numbers(seeds={"train": -(10**5000)}), "beyond 64 bits"),
    (with_numbers(report={f"n{i}": 0.0 for i in range(3000)}), "3,000 entries"),
    (with_numbers(environment={"cpu\x1b[31m": 1}), "does not print"),
    (with_numbers(number("fid", 1.0, protocol="=HYPERLINK(1)")), "the protocol"),
    (with_numbers(number("Fid<b>", 1.0)), "the metric"),
    (with_numbers(curves={"loss": record.Curve(steps=[1, 2], values=[1.0])}), "2 steps and 1 values"),
    (
        with_numbers(assets={"a": record.Asset(file="0" * 16 + "-a.png", sha256="0" * 64, width=1, height=1)}),
        "does not begin with the record's key",
    ),
]


@pytest.mark.parametrize(("one", "says"), IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_what_cannot_be_is_a_fault(one, says):
    found = faults(one, UNTIL)
    assert found
    with pytest.raises(AssertionError, match=says):
        raise AssertionError("; ".join(found))


@pytest.mark.parametrize(
    "one",
    [
        *(synthetic.make(label, data()) for label in synthetic.MODELS for data in (synthetic.digits, synthetic.ring8)),
        synthetic.make("real"),
        synthetic.make("my.models:Model[width=16, ddim-20]"),
        on("ring8", number("nats", 4.29, 0.05, kind="exact"), number("excess_nats", -0.01, 0.02, kind="exact")),
        with_numbers(number("fid_infinity", -3.0), number("my_metric", -1.0), number("seconds_per_image", 1e-6)),
        with_numbers(number("nats", -90.0, kind="exact"), per_image={"nats": [-90.0] * 1000}),
    ],
)
def test_what_can_be_is_none(one):
    assert faults(one, UNTIL) == []


@pytest.mark.parametrize("name", catalog.METRICS)
def test_ranges_read_from_sources_are_those_that_metrics_declare(name):
    assert declared_range(name) == tuple(catalog.resolve("metrics", name).range)


def test_some_ranges_are_bounded():
    assert declared_range("fid") == (0.0, math.inf)
    assert declared_range("recall") == (0.0, 1.0)
    assert declared_range("unheard_of") == (-math.inf, math.inf)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("glyphs")) for name in ENTROPIES]
)
def test_known_entropies_are_those_of_the_datasets(name):
    import genbench

    assert genbench.dataset(name).entropy() == pytest.approx(ENTROPIES[name], rel=1e-3)


# ------------------------------------------------------------------------------------------------ pictures


def packed(image: Image.Image, **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **more)
    return file.getvalue()


GREY = Image.frombytes("L", (30, 20), bytes(i % 251 for i in range(600)))


def test_a_plain_picture_passes_as_it_is():
    for mode in ("L", "LA", "RGB", "RGBA"):
        data = packed(GREY.convert(mode))
        assert png.pixels_only(data, "a.png", 30, 20) == data


def test_only_pixels_pass():
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", "<script>")
    data = packed(GREY, pnginfo=about, icc_profile=b"profile" * 9, dpi=(72, 72)) + b"PK appended"
    found = png.pixels_only(data, "a.png", 30, 20)
    assert b"script" in data
    assert not any(word in found for word in (b"script", b"tEXt", b"iCCP", b"pHYs", b"PK"))
    assert Image.open(io.BytesIO(found)).tobytes() == GREY.tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def header(width: int, height: int, rest: bytes = b"\x08\0\0\0\0") -> bytes:
    return png.SIGNATURE + chunk(b"IHDR", width.to_bytes(4) + height.to_bytes(4) + rest)


END = chunk(b"IEND", b"")
ROWS = (b"\0" + bytes(30)) * 20
BAD_PICTURES = {
    "more than it promises": (header(30, 20) + chunk(b"IDAT", zlib.compress(bytes(10**7))) + END, "does not unpack"),
    "less than it promises": (header(30, 20) + chunk(b"IDAT", zlib.compress(ROWS[:-1])) + END, "does not unpack"),
    "smuggled bytes": (header(30, 20) + chunk(b"IDAT", zlib.compress(ROWS) + b"hidden") + END, "does not unpack"),
    "no compression": (header(30, 20) + chunk(b"IDAT", ROWS) + END, "does not unpack"),
    "unknown filter": (header(30, 20) + chunk(b"IDAT", zlib.compress(b"\5" + ROWS[1:])) + END, "row of an unknown"),
    "interlaced": (header(30, 20, b"\x08\0\0\0\1") + chunk(b"IDAT", zlib.compress(ROWS)) + END, "interlacing"),
    "palette": (packed(GREY.convert("P")), "palette"),
    "16 bit": (header(30, 20, b"\x10\0\0\0\0") + chunk(b"IDAT", zlib.compress(ROWS)) + END, "8-bit"),
    "cut off": (packed(GREY)[:-20], "cut off"),
    "no end": (packed(GREY)[:-12], "cut off"),
    "wrong checksum": (packed(GREY)[:-1] + b"x", "damaged"),
    "endless chunk": (header(30, 20) + b"\xff\xff\xff\xffIDAT", "cut off"),
    "other size": (packed(GREY.resize((7, 9))), "is 7×9"),
    "svg": (b"<svg onload='alert(1)'/>", "is not a PNG"),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_picture_that_is_none_is_refused(name):
    data, says = BAD_PICTURES[name]
    with pytest.raises(Refused, match=says):
        png.pixels_only(data, "a.png", 30, 20)


def test_a_bomb_is_refused_before_it_is_unpacked():
    side = 9000
    data = header(side, side) + chunk(b"IDAT", zlib.compress(bytes(side * (side + 1)))) + END
    assert len(data) < 10**5
    with pytest.raises(Refused, match="at most 16,777,216"):
        png.pixels_only(data, "a.png", side, side)


# ------------------------------------------------------------------------------------------------ hostile files


def raw(change: Callable[[dict[str, Any]], None], label: str = "vae") -> bytes:
    content = json.loads(record.encode(synthetic.make(label)))
    change(content)
    return json.dumps(content).encode()


def put(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return change


PLAIN = record.encode(synthetic.make("vae"))
MARKUP = "<script>alert('reached')</script>"
HOSTILE = {
    "markup": (raw(put("model", "label", value=MARKUP)), "not a plain name"),
    "markup in the data": (raw(put("dataset", "label", value=MARKUP)), "not a plain name"),
    "markup in a key": (raw(put("model", "config", MARKUP * 9, value=1)), "length <= 200"),
    "formula": (raw(put("model", "label", value="=CMD|'/C calc'!A0")), "not a plain name"),
    "LaTeX": (raw(put("model", "family", value="\\input{/etc/passwd}")), "not a plain name"),
    "10 MB": (raw(put("model", "config", "a", value="x" * 10**7)), "more|at most"),
    "3 MB": (raw(put("model", "config", "a", value="x" * 3 * 10**6)), "has 3,000,000 characters"),
    "deep": (b'{"schema": 2, "x": ' + b"[" * 10**5, "not a valid record"),
    "deep and whole": (b'{"schema": 2, "x": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", "not a valid record"),
    "deep configuration": (raw(put("model", "config", "a", value=[[[[[[1]]]]]])), "nested too deeply"),
    "NaN": (PLAIN.replace(b'"sample_seconds": 0.012', b'"sample_seconds": NaN'), "not a valid record"),
    "twice": (PLAIN.replace(b'"seeds"', b'"created": "2026-03-01T12:00:00Z", "seeds"'), "given twice"),
    "traversal": (raw(put("assets", "a", value={"file": "../../a.png", "sha256": "0" * 64, "width": 1, "height": 1})),
                  "asset file"),
    "huge integer": (PLAIN.replace(b'"train": 0', b'"train": ' + b"9" * 5000), "."),
    "future": (raw(put("created", value="9999-01-01T00:00:00Z")), "future"),
    "unknown field": (raw(put("trust", value="maintainer-run")), "unknown field"),
    "newer schema": (raw(put("schema", value=3)), "use a newer genbench"),
    "not text": (b"\xff\xfe\x00", "not a valid record"),
    "empty": (b"", "not a valid record"),
}  # fmt: skip


@pytest.fixture(scope="module")
def besieged(tmp_path_factory) -> Path:
    """A folder with one good record and every hostile file, each called by a key of its own."""
    root = tmp_path_factory.mktemp("records")
    synthetic.write(root, synthetic.make("gan"))
    for name, (data, _) in HOSTILE.items():
        (root / file_of(name)).write_bytes(data)
    (root / "link.json").symlink_to("/etc/passwd")
    (root / "linked").symlink_to("/etc")
    (root / f"{MARKUP.replace('/', '')}.json").write_bytes(PLAIN)
    return root


def file_of(name: str) -> str:
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def test_every_hostile_file_is_listed_with_its_reason(besieged):
    found = {verdict.path.name: verdict.reasons for verdict in verdicts([besieged])}
    for name, (_, says) in HOSTILE.items():
        (reason,) = found.pop(file_of(name))
        with pytest.raises(AssertionError, match=says):
            raise AssertionError(reason)
    assert "not a plain file" in found.pop("link.json")[0]
    assert "not a plain file" in found.pop("linked")[0]
    assert "called by its record's key" in found.pop(f"{MARKUP.replace('/', '')}.json")[0]
    assert found == {f"{GAN}.json": ()}


def test_no_hostile_file_stops_a_build_or_reaches_a_page_unescaped(besieged, tmp_path):
    site = build(besieged, tmp_path / "site").parent
    text = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert any("gan" in page for page in text.values())
    for page in text.values():
        assert "<script>alert" not in page
        assert "x" * 3000 not in page
    assert [path.name for path in (site / "records").iterdir()] == [f"{GAN}.json"]
    assert {one.name for one in collect(besieged).invalid} >= {file_of(name) for name in HOSTILE}


# ------------------------------------------------------------------------------------------------ the command


def check(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["publish", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output


def test_the_check_says_what_is_wrong_and_with_which_code(folder, tmp_path):
    assert check("--check", folder) == (0, "3 files are valid, 0 are not.\n")
    bad = synthetic.make("ddpm", measurements=[number("recall", 2.0)])
    path = publish(folder, bad)
    code, text = check("--check", folder)
    assert code == 1
    assert f"{bad.key}.json: recall is 2" in text
    assert "3 files are valid, 1 are not" in text
    code, text = check("--check", path, "--json")
    assert code == 1
    assert json.loads(text)["valid"] is False
    assert [row["file"] for row in json.loads(text)["files"]] == [str(path)]
    assert check("--check", folder / "digits" / "vae")[0] == 0
    assert check("--check", tmp_path / "nowhere")[0] == 2
    assert check(folder)[0] == 2


def test_a_published_record_lies_in_its_place(folder):
    path = folder / "digits" / "vae" / f"{VAE}.json"
    (folder / "digits" / "gan" / path.name).write_bytes(path.read_bytes())
    path.unlink()
    code, text = check("--check", folder)
    assert code == 1
    assert f"it belongs at digits/vae/{VAE}.json" in text


def test_nothing_else_lies_in_a_published_folder(folder):
    for name in ("page.html", "digits/vae/trust.toml", "digits/vae/x.png", ".hidden/a"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
        code, text = check("--check", folder)
        assert code == 1
        assert f"{name}: it belongs to no record" in text
        assert check("--check", folder / name)[0] == 1
        (folder / name).unlink()
    (folder / "README.md").write_text("x")
    (folder / "conformance").mkdir()
    (folder / "conformance" / "genbench.json").write_text("{}")
    assert check("--check", folder)[0] == 0
    (folder / "trust.toml").write_text('0000000000000000 = "reproduced"')
    assert "there is no record 0000000000000000 that an index names" in check("--check", folder)[1]


def test_a_missing_or_changed_picture_is_a_fault_of_its_record(folder):
    picture = synthetic.png(random.Random(0), side=2)
    one = synthetic.make("nade", picture=picture)
    path = publish(folder, one, picture)
    beside = path.with_name(f"{one.key}-samples.png")
    assert check("--check", path)[0] == 0
    assert check("--check", beside)[0] == 0
    beside.write_bytes(picture + b"x")
    assert "sha256 differs" in check("--check", path)[1]
    beside.unlink()
    assert "cannot be read" in check("--check", path)[1]


def test_into_puts_records_where_they_belong_and_changes_none(tmp_path):
    picture = synthetic.png(random.Random(0), side=2)
    one = synthetic.make("ddpm[steps=20]", picture=picture)
    synthetic.write(tmp_path / "runs", one, picture)
    code, text = check("--into", tmp_path / "published", tmp_path / "runs")
    assert (code, "2 new files" in text) == (0, True)
    home = tmp_path / "published" / place(one)
    assert home.parent.name.startswith("ddpm-steps-20-")
    assert home.read_bytes() == record.encode(one)
    assert check("--check", tmp_path / "published")[0] == 0
    assert publish_into(tmp_path / "published", [tmp_path / "runs"]) == []
    home.write_bytes(home.read_bytes().replace(b"float32", b"float16"))
    with pytest.raises(Refused, match="never changed"):
        publish_into(tmp_path / "published", [tmp_path / "runs"])


def test_into_copies_nothing_if_one_record_is_wrong(tmp_path):
    for label, value in (("vae", 1.0), ("gan", -1.0)):
        synthetic.write(tmp_path / "runs", synthetic.make(label, measurements=[number("fid", value)]))
    assert check("--into", tmp_path / "published", tmp_path / "runs")[0] == 2
    assert not (tmp_path / "published").exists()
