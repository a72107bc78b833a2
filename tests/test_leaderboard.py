"""The site and its tables: right numbers, nothing blank, nothing hostile, the same bytes every time."""

import hashlib
import json
import math
import random
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from genbench import catalog, record
from genbench.errors import Refused
from genbench.record import Measurement
from leaderboard import figures
from leaderboard.build import build
from leaderboard.columns import COLUMNS, column
from leaderboard.load import MARKER, collect
from leaderboard.table import MISSING, Row, Section, families, sections
from leaderboard.terminal import terminal_tables
from leaderboard.typography import compact, duration, fixed, measured, plain
from tests import synthetic

ROOT = Path(__file__).resolve().parents[1]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Every element with its attributes, and the text inside each table cell."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cells: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.text += data
        if {"td", "th"} & set(self._open):
            self.cells[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    synthetic.populate(folder, side=2)
    return folder


@pytest.fixture(scope="module")
def site(records, tmp_path_factory):
    return build(records, tmp_path_factory.mktemp("built") / "site").parent


@pytest.fixture(scope="module")
def page(site):
    return Page(site / "index.html")


def only(found: list[Section]) -> Section:
    assert len(found) == 1
    return found[0]


def row_of(section: Section, label: str) -> Row:
    return next(row for row in section.rows if row.label == label)


def cell_of(section: Section, label: str, metric: str):
    index = next(i for i, heading in enumerate(section.headings) if heading.column.metric == metric)
    return row_of(section, label).cells[index]


def number(metric: str, value: float, half: float = 0.0, **more) -> Measurement:
    return Measurement(metric=metric, value=value, low=value - half, high=value + half, n=100, **more)


def simple(label: str, seed: int = 0, numbers: tuple[Measurement, ...] = (), **more):
    return synthetic.make(label, seed=seed, measurements=numbers, **more)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def printed(folder: Path) -> str:
    """The terminal's tables of a folder of records."""
    console = Console(width=200, color_system=None, force_terminal=True)
    with console.capture() as capture:
        for table in terminal_tables(collect(folder).records):
            console.print(table)
    return capture.get()


# ------------------------------------------------------------------------------------------------ tables


def test_several_seeds_give_their_mean_and_its_t_interval():
    """Values 1, 2, 6: mean 3, s^2 = (4 + 1 + 9) / 2 = 7, t_{2; 0.975} = 4.302653, half = t sqrt(7 / 3) = 6.5724."""
    found = [simple("vae", seed, (number("fid", value, 0.1, protocol="x"),)) for seed, value in enumerate((1, 2, 6))]
    section = only(sections(found))
    cell = cell_of(section, "vae", "fid")
    assert row_of(section, "vae").seeds == cell.seeds == 3
    assert cell.value == pytest.approx(3.0)
    assert cell.high == pytest.approx(3.0 + 6.5724, abs=1e-4)
    assert cell.low == 0.0, "a Fréchet distance is never negative; the interval ends there"


def test_one_seed_keeps_the_interval_of_the_measurement():
    section = only(sections([simple("vae", 0, (Measurement(metric="fid", value=5, low=4, high=9, n=9),))]))
    cell = cell_of(section, "vae", "fid")
    assert (cell.value, cell.low, cell.high, cell.seeds) == (5, 4, 9, 1)


def test_a_unit_scales_value_and_interval_alike():
    section = only(
        sections(
            [simple("vae", 0, (Measurement(metric="seconds_per_image", value=0.002, low=0.001, high=0.004, n=9),))]
        )
    )
    cell = cell_of(section, "vae", "seconds_per_image")
    assert (cell.value, cell.low, cell.high) == pytest.approx((2.0, 1.0, 4.0))


def test_configurations_are_never_averaged_and_say_what_differs():
    found = [
        simple("vae", 0, (number("fid", value, 1),), config={"latent": latent, "width": 8})
        for value, latent in ((3, 4), (9, 16))
    ]
    section = only(sections(found))
    assert sorted(row.variant for row in section.rows) == ["latent = 16", "latent = 4"]
    assert sorted(row.cells[0].value for row in section.rows) == [3, 9]


def test_older_records_of_a_row_give_way_and_are_counted():
    old = simple("vae", 0, (number("fid", 9, 1),), code="old", created="2026-01-01T00:00:00Z")
    older_seed = simple("vae", 1, (number("fid", 9, 1),), code="old", created="2026-01-01T00:00:00Z")
    first = simple("vae", 0, (number("fid", 8, 1),), code="new", created="2026-02-01T00:00:00Z")
    again = simple("vae", 0, (number("fid", 3, 1),), code="new", created="2026-02-02T00:00:00Z")
    section = only(sections([again, old, first, older_seed]))
    assert row_of(section, "vae").records == (again,)
    assert cell_of(section, "vae", "fid").value == 3
    assert section.superseded == 3


def test_two_contents_under_one_name_are_two_datasets():
    other = msgspec.structs.replace(synthetic.digits(), checksums={"test": synthetic.digest("another")})
    found = sections([simple("vae"), simple("gan", dataset=other)])
    assert len(found) == 2
    assert len({section.title for section in found}) == 2


def test_protocols_stand_in_columns_of_their_own():
    numbers = (number("fid", 3, 1, protocol="digitnet@3f2a,n=1000"), number("fid", 4, 1, protocol="pixels,n=200"))
    section = only(sections([simple("vae", 0, numbers), simple("gan", 0, numbers[:1])]))
    assert [heading.protocol for heading in section.headings] == ["digitnet@3f2a,n=1000", "pixels,n=200"]
    assert [cell.status for cell in row_of(section, "gan").cells] == ["ok", "absent"]


def test_bold_goes_to_the_best_and_to_what_no_test_separates_from_it():
    """Halves of 1 are errors of 1 / 1.96: z of vae and gan is 1.3 x 1.96 / sqrt 2 = 1.80, p = 0.072."""
    found = [simple(label, 0, (number("fid", value, 1),)) for label, value in (("vae", 3), ("gan", 4.3), ("ddpm", 9))]
    found.append(simple("copycat", 0, (number("fid", 0.1, 0.05),)))
    found.append(simple("real", 0, (number("fid", 0.1, 0.05),)))
    section = only(sections(found))
    assert {row.label for row in section.rows if row.cells[0].best} == {"vae", "gan"}
    assert [row.label for row in section.rows] == ["real", "copycat", "vae", "gan", "ddpm"]
    ranks = {row.label: row.cells[0].rank for row in section.rows}
    assert ranks == {"real": None, "copycat": None, "vae": (1, 2), "gan": (1, 2), "ddpm": (3, 3)}


def test_bold_follows_the_direction_of_the_metric():
    found = [simple(label, 0, (number("recall", value, 0.01),)) for label, value in (("vae", 0.3), ("gan", 0.6))]
    assert cell_of(only(sections(found)), "gan", "recall").best


def test_kinds_of_likelihood_are_never_ranked_against_each_other():
    kinds = {"vae": ("iwae", -90.0), "nade": ("exact", -85.0), "pixelcnn": ("exact", -80.0), "ddpm": ("vlb", -70.0)}
    found = [
        simple(label, 0, (number("nats", value, 0.5, kind=kind, protocol=kind),))
        for label, (kind, value) in kinds.items()
    ]
    section = only(sections(found))
    assert {row.label for row in section.rows if row.cells[0].best} == {"pixelcnn"}
    assert cell_of(section, "vae", "nats").text.startswith("≥")
    assert cell_of(section, "vae", "nats").kind_text == "IWAE, lower bound"
    assert cell_of(section, "nade", "nats").kind_text == "exact"


def test_a_bound_of_the_likelihood_bounds_the_code_length_from_above():
    section = only(sections([simple("vae", 0, (number("bits_per_dim", 2.0, 0.1, kind="elbo"),))]))
    assert cell_of(section, "vae", "bits_per_dim").text.startswith("≤")
    section = only(sections([simple("rbm", 0, (number("bits_per_dim", 2.0, 0.1, kind="ais"),))]))
    assert cell_of(section, "rbm", "bits_per_dim").text.startswith("≈")


def test_speeds_of_different_machines_are_not_compared():
    slow = {**synthetic.MACHINE, "cpu": "Another CPU"}
    found = [
        simple("vae", 0, (number("seconds_per_image", 0.1, 0.001),)),
        simple("gan", 0, (number("seconds_per_image", 0.2, 0.001),)),
        simple("ddpm", 0, (number("seconds_per_image", 0.01, 0.001),), environment=slow),
    ]
    section = only(sections(found))
    assert {row.label for row in section.rows if row.cells[0].best} == {"vae"}
    assert len(section.hardware) == 2


def test_speeds_of_one_row_on_two_machines_are_not_averaged():
    slow = {**synthetic.MACHINE, "cpu": "Another CPU"}
    found = [
        simple("vae", 0, (number("seconds_per_image", 0.1, 0.001),)),
        simple("vae", 1, (number("seconds_per_image", 0.3, 0.001),), environment=slow),
    ]
    cell = cell_of(only(sections(found)), "vae", "seconds_per_image")
    assert cell.value == pytest.approx(300)
    assert "1 of 2 seeds" in cell.reason
    assert "Another CPU" in cell.reason


def test_a_missing_number_says_why():
    found = [
        simple("vae", 0, (number("fid", 3, 1), number("nats", -80, 1, kind="iwae"))),
        simple("gan", 0, (synthetic.undefined("fid", "all samples are equal"),)),
        simple("ddpm", 0, (Measurement(metric="fid", status="unavailable", reason="no memory"),)),
    ]
    section = only(sections(found))
    assert (cell_of(section, "gan", "fid").text, cell_of(section, "gan", "fid").reason) == (
        "not defined",
        "all samples are equal",
    )
    assert (cell_of(section, "ddpm", "fid").text, cell_of(section, "ddpm", "fid").reason) == (
        "not available",
        "no memory",
    )
    assert (cell_of(section, "gan", "nats").text, cell_of(section, "gan", "nats").reason) == (
        "not defined",
        "gan defines no likelihood",
    )
    assert cell_of(section, "ddpm", "nats").text == "not measured"
    for row in section.rows:
        for cell in row.cells:
            assert (cell.note is None) == (cell.reason == "")
            assert cell.note is None or section.notes[cell.note - 1] == cell.reason


def test_a_failed_seed_is_left_out_visibly():
    found = [simple("vae", seed, (number("fid", 3 + seed, 1),)) for seed in (0, 1)]
    found.append(simple("vae", 2, (Measurement(metric="fid", status="invalid", reason="the loss was not finite"),)))
    cell = cell_of(only(sections(found)), "vae", "fid")
    assert cell.value == pytest.approx(3.5)
    assert cell.reason == "2 of 3 seeds; the others: the loss was not finite"


def test_a_metric_without_any_number_is_named_below_the_table():
    section = only(sections([simple("vae", 0, (synthetic.undefined("validity", "the law is not known"),))]))
    assert section.headings == ()
    assert section.absent == (("Validity", "the law is not known"),)


def test_measurements_without_a_column_are_kept():
    section = only(sections([simple("vae", 0, (number("somebody_score", 3, 1),))]))
    assert [(name, cell.value) for name, cell in row_of(section, "vae").further] == [("somebody_score", 3)]


def test_the_elbo_stands_beside_the_iwae_bound():
    numbers = (number("nats", -80, 1, kind="iwae"), number("elbo", -82, 1))
    cell = cell_of(only(sections([simple("vae", 0, numbers)])), "vae", "nats")
    assert [(title, inner.value) for title, inner in cell.beside] == [("ELBO", -82)]


def test_models_that_ran_elsewhere_are_named():
    found = sections(
        [simple("vae"), simple("rbm", dataset=synthetic.ring8()), simple("vae", dataset=synthetic.ring8())]
    )
    assert {section.title: section.missing for section in found} == {"digits": ("rbm",), "ring8": ()}


def test_a_known_law_goes_before_features_and_densities_have_no_bits():
    numbers = tuple(
        number(name, 0.5, 0.1) for name in ("fid", "high_quality", "bits_per_dim", "nats", "recall", "modes_captured")
    )
    for dataset, expected in (
        (synthetic.ring8(), {"likelihood": "nats", "quality": "high_quality", "diversity": "modes_captured"}),
        (synthetic.digits(), {"likelihood": "bits_per_dim", "quality": "fid", "diversity": "recall"}),
    ):
        section = only(sections([simple("nade", 0, numbers, dataset=dataset)]))
        for axis, metric in expected.items():
            assert section.headings[section.headline(axis)].column.metric == metric


def test_how_fast_weights_sample_stands_in_their_row(tmp_path):
    """A speed record joins the row of its weights on its machine, newest first; its own row otherwise."""

    def fast(of, name, **more):
        numbers = {m.name: m for m in (number("latency_p50", 0.001, 1e-5, protocol="eager"), number("nfe", 1.0))}
        kept = {"settings": {"measured": "speed"}, "measurements": numbers, "key": name * 16, **more}
        return msgspec.structs.replace(of, **kept)

    slow = simple("vae", 0, (number("fid", 3.0), number("nfe", 2.0)))
    other = simple("gan", 0, (number("fid", 4.0),))
    elsewhere = slow.environment | {"cpu": "another"}
    beside = fast(slow, "a", model=msgspec.structs.replace(slow.model, recipe={}))
    section = only(sections([slow, other, beside, fast(other, "b", environment=elsewhere)]))
    assert len(section.rows) == 3
    row = next(row for row in section.rows if row.label == "vae")
    assert (row.records, row.companions) == ((slow,), (beside,))
    assert cell_of(section, "vae", "latency_p50").value == pytest.approx(1.0)
    assert cell_of(section, "vae", "nfe").value == 2.0, "the record's own number goes first"
    assert [cell_of(section, "vae", "fid").value, section.superseded] == [3.0, 0]
    for one in (slow, beside):
        (tmp_path / f"{one.key}.json").write_bytes(record.encode(one))
    built = build(tmp_path, tmp_path / "site").parent
    assert {p.stem for p in (built / "records").iterdir()} == {slow.key, beside.key}


def test_the_order_of_the_records_does_not_matter(records):
    found = list(collect(records).records)
    expected = sections(found)
    random.Random(0).shuffle(found)
    assert sections(found) == expected


@pytest.mark.parametrize("name", list(catalog.METRICS))
def test_columns_agree_with_what_the_metrics_declare(name):
    declared, shown = catalog.resolve("metrics", name), column(name)
    assert shown in COLUMNS
    assert (shown.axis, shown.better) == (declared.axis, declared.better)
    assert (shown.lowest, shown.highest) == declared.range


# ------------------------------------------------------------------------------------------------ typography


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (12.345, 11.9, 12.8, ("12.35", "[11.90, 12.80]")),
        (123.4, 100, 150, ("123", "[100, 150]")),
        (-0.5, -0.62, -0.38, ("−0.50", "[−0.62, −0.38]")),
        (8, 8, 8, ("8", "[8, 8]")),
        (0.25, 0.25, 0.25, ("0.2500", "[0.2500, 0.2500]")),
        (0.0, 0.0, 0.0, ("0", "[0, 0]")),
        (1.5e-9, 1.4e-9, 1.6e-9, ("1.5e−9", "[1.4e−9, 1.6e−9]")),
        (2.5e9, 1e9, 4e9, ("2.5e9", "[1.0e9, 4.0e9]")),
    ],
)
def test_numbers_keep_the_digits_that_their_interval_supports(value, low, high, expected):
    assert measured(value, low, high) == expected


def test_small_numbers_are_printed_without_lies():
    assert fixed(-0.001, 1) == "0.0", "no minus before a zero"
    assert (compact(950), compact(12_345), compact(999_999), compact(10**400)) == (
        "950", "12.3\u202fk", "1000\u202fk", "more than 10^15",
    )  # fmt: skip
    assert (duration(0.42), duration(12.4), duration(61), duration(150), duration(9000)) == (
        "0.4\u202fs", "12\u202fs", "61\u202fs", "2.5\u202fmin", "2.5\u202fh",
    )  # fmt: skip


def test_foreign_text_loses_what_could_deceive():
    assert plain("a\n b\x1b[31m\u202ec\x00") == "a b\ufffd[31m\ufffdc\ufffd"
    assert plain("x" * 50, 10) == "x" * 9 + "…"
    assert plain("Größe 模型 ∑") == "Größe 模型 ∑"


# ------------------------------------------------------------------------------------------------ the page


def test_no_cell_is_blank_and_no_missing_number_is_a_zero(page):
    blank = [cell for cell in page.cells if not cell.strip()]
    assert len(blank) == 2, "only the corner over the model names is empty, once for each dataset"
    assert not re.search(r"\b(nan|inf|None)\b", " ".join(page.cells))
    # gan, dcgan, wgan-gp, copycat and real data have no likelihood: two columns on digits, one on ring8
    assert sum("not defined" in cell for cell in page.cells) == 5 * 3


def test_a_page_asks_for_nothing_and_runs_nothing(page):
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not page.all("script")
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ("href", "src"):
            assert not re.match(r"(?i)\s*([a-z]+:|//)", attributes.get(name) or ""), (tag, attributes)
    style = (ROOT / "leaderboard/static/style.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_every_link_leads_somewhere_and_every_name_is_given_once(page, site):
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for tag, attributes in page.elements:
        for name in ("href", "src"):
            target = attributes.get(name)
            if target:
                assert target[1:] in names if target.startswith("#") else (site / target).is_file(), (tag, target)
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(names)


def test_tables_and_pictures_can_be_read_without_eyes(page):
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("title")
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attributes.get("scope") for attributes in page.all("th"))
    for image in page.all("img"):
        assert image["alt"]
        assert int(image["width"]) > 0
        assert int(image["height"]) > 0
        assert image["loading"] == "lazy"
    scrolled = [attributes for attributes in page.all("div") if attributes.get("class") == "scroll"]
    assert len(scrolled) == len(page.all("table"))
    assert all(attributes["tabindex"] == "0" and attributes["role"] == "region" for attributes in scrolled)


def test_three_figures_for_each_dataset_with_title_and_description(page):
    drawn = [attributes for attributes in page.all("svg") if "aria-labelledby" in attributes]
    assert len(drawn) == 6
    assert len(page.all("desc")) == 6
    assert len(page.all("svg")) == len(page.all("symbol")) + 6 + sum(
        a.get("aria-hidden") == "true" for a in page.all("svg")
    )


def test_figures_take_their_colours_from_the_stylesheet(page):
    for stand_in in (*figures._VARIABLES, "#000000", "#ffffff"):
        assert f'"{stand_in}"' not in page.source
    style = (ROOT / "leaderboard/static/style.css").read_text(encoding="utf-8")
    for name in set(re.findall(r"var\((--[a-z0-9-]+)", page.source + style)):
        assert f"{name}:" in style


def test_families_differ_in_marker_as_well_as_in_colour(records):
    marks = figures.marks(families(sections(collect(records).records)))
    assert len({mark.marker for mark in marks.values()}) == len({mark.colour for mark in marks.values()}) == len(marks)


def test_the_page_says_when_and_by_which_version(page):
    assert "from 2026-03-01 to 2026-03-28 by genbench 0.1.0" in " ".join(page.text.split())


def test_the_methods_quote_the_metrics(page):
    assert catalog.summary(catalog.METRICS["fid"]) in page.text


def test_records_are_part_of_the_site(site, records):
    for path in records.glob("*.json"):
        assert record.read(site / "records" / path.name) == record.read(path)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme):
    """WCAG: (L1 + 0.05) / (L2 + 0.05) >= 4.5 for text on every background that text stands on, 3 for markers."""
    blocks = re.findall(r":root \{([^}]*)\}", (ROOT / "leaderboard/static/style.css").read_text(encoding="utf-8"))
    values = dict(re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]{6})", blocks[0 if scheme == "light" else 1]))

    def ratio(one: str, other: str) -> float:
        high, low = sorted((luminance(values[one]), luminance(values[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for background in ("--paper", "--raised", "--best"):
        for text in ("--ink", "--muted", "--link"):
            assert ratio(text, background) >= 4.5, (text, background)
    for marker in ["--control", *(f"--family-{index}" for index in range(figures.COLOURS))]:
        assert ratio(marker, "--paper") >= 3, marker


# ------------------------------------------------------------------------------------------------ the build


def test_the_same_records_give_the_same_bytes(site, records, tmp_path):
    assert tree(build(records, tmp_path / "again").parent) == tree(site)


def test_where_the_records_lie_does_not_matter(site, records, tmp_path):
    for path in sorted(records.iterdir(), reverse=True):
        folder = tmp_path / "spread" / path.name[:1] / path.name[1:2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)
    assert tree(build(tmp_path / "spread", tmp_path / "site").parent) == tree(site)


def test_a_build_needs_no_torch(records, tmp_path):
    code = (
        "import sys; from pathlib import Path; from leaderboard.build import build;"
        "build(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print([name for name in ('torch', 'torchvision', 'onnx', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, records, tmp_path / "site"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    r"$\frac{$ \undefined{$$ ^_",
    "]]><!-- -->&lt;&#x3c;b&#x3e;",
    "\u202egnp.live\u202c\x1b[31m\x00\x07",
    "=HYPERLINK(1)\n\tnext",
    "模型 🦆 \\input{/etc/passwd}",
    "x" * 200,
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_record_says_is_never_markup(tmp_path, hostile, unchecked):
    name = hostile[:200]
    base = synthetic.make("vae", measurements=[])
    numbers = [
        Measurement(metric="fid", value=2, low=1, high=3, n=2, protocol=name[:150]),
        Measurement(metric="recall", value=0.5, low=0.4, high=0.6, n=2, protocol=name[:150]),
        Measurement(metric="seconds_per_image", value=2, low=1, high=3, n=2, protocol=name[:150]),
        Measurement(metric=name, value=2, low=1, high=3, n=2),
        Measurement(metric="precision", status="undefined", reason=name),
    ]
    replace = msgspec.structs.replace
    model = replace(base.model, label=name, family=name, reference=name, config={name: name})
    dataset = replace(base.dataset, label=name, reference=name)
    environment = {"genbench": name, "device": name, "cpu": name, "gpu": name}
    bad = replace(
        base, model=model, dataset=dataset, environment=environment, measurements={m.name: m for m in numbers}
    )
    good = replace(synthetic.make("gan"), dataset=dataset)
    for one in (bad, good):
        synthetic.write(tmp_path / "records", one)
    (tmp_path / "records" / "<b>.json").write_text(f'{{"a": {json.dumps(name)}}}')
    page = Page(build(tmp_path / "records", tmp_path / "site"))
    assert not page.all("script")
    assert not page.all("b") or {tuple(a) for a in page.all("b")} == {()}
    assert not page.all("img")
    assert not any(attribute.startswith("on") for _, attributes in page.elements for attribute in attributes)
    assert not set(page.source) & set("\x00\x07\x1b\u202e\u202c")
    assert plain(name)[:20] in page.text
    text = printed(tmp_path / "records")
    assert not set(text) & set("\x00\x07\u202e\u202c")
    assert "\x1b[31m" not in text


def test_absurd_numbers_do_not_stop_a_build(tmp_path, unchecked):
    for index, value in enumerate((1e308, -1e308, 5e-324, 0.0, -3.0, 1e29)):
        numbers = [
            Measurement(metric=metric, value=value, low=value, high=value, n=2)
            for metric in ("fid", "recall", "seconds_per_image", "nats")
        ]
        synthetic.write(tmp_path / "records", synthetic.make(f"model-{index}", measurements=numbers))
        synthetic.write(tmp_path / "records", synthetic.make(f"model-{index}", seed=1, measurements=numbers))
    page = Page(build(tmp_path / "records", tmp_path / "site"))
    assert "a number beyond 1e+30 is no measurement" in page.text


def test_broken_files_are_listed_with_their_reason_and_stop_nothing(tmp_path):
    folder = tmp_path / "records"
    good = synthetic.make("vae")
    text = record.encode(good).decode()
    synthetic.write(folder, good)
    (folder / "truncated.json").write_text(text[:500])
    (folder / "unknown.json").write_text(text.replace('"curves"', '"curvature"'))
    (folder / "nan.json").write_text(text.replace('"sample_seconds": 0.012', '"sample_seconds": NaN'))
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "large.json").write_bytes(b" " * (record.MAX_BYTES + 1))
    (folder / "other.json").write_text(text.replace('"family": "variational"', '"family": "gan"'))
    (folder / "link.json").symlink_to(folder / f"{good.key}.json")
    (folder / "folder.json").mkdir()
    collection = collect(folder)
    assert [one.key for one in collection.records] == [good.key]
    reasons = {one.name: one.reason for one in collection.invalid}
    assert set(reasons) == {
        f"{n}.json" for n in ("truncated", "unknown", "nan", "deep", "binary", "large", "other", "link")
    }
    assert "curvature" in reasons["unknown.json"]
    assert "not a plain file" in reasons["link.json"]
    assert "but its content is not" in reasons["other.json"]
    page = Page(build(folder, tmp_path / "site"))
    for name in reasons:
        assert name in page.text


def test_only_broken_files_still_make_a_page(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "x.json").write_text("{")
    page = Page(build(tmp_path / "records", tmp_path / "site"))
    assert "No valid record" in page.text
    assert "x.json" in page.text


def test_no_record_at_all_is_refused(tmp_path):
    with pytest.raises(Refused, match="no records"):
        build(tmp_path / "nowhere", tmp_path / "site")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match="no records"):
        build(tmp_path / "empty", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def picture_of(tmp_path: Path, change) -> str:
    """Builds a site of one record whose picture was tampered with; returns the page's text."""
    data = synthetic.png(random.Random(1), side=2)
    one = synthetic.make("vae", picture=data)
    synthetic.write(tmp_path / "records", one, data)
    change(tmp_path / "records" / one.assets["samples"].file, one)
    site = build(tmp_path / "records", tmp_path / "site").parent
    page = Page(site / "index.html")
    assert not page.all("img")
    assert not (site / "assets").exists()
    return page.text


def test_a_picture_that_was_changed_is_not_shown(tmp_path):
    text = picture_of(tmp_path, lambda path, _: path.write_bytes(path.read_bytes() + b"x"))
    assert "sha256 differs" in text


def test_a_picture_that_is_a_link_is_not_shown(tmp_path):
    def change(path: Path, _) -> None:
        path.rename(tmp_path / "elsewhere.png")
        path.symlink_to(tmp_path / "elsewhere.png")

    assert "is not a plain file" in picture_of(tmp_path, change)


def test_a_picture_that_is_missing_is_said_to_be(tmp_path):
    assert "cannot be read: no such file" in picture_of(tmp_path, lambda path, _: path.unlink())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<svg onload='alert(1)'/>", "is not a PNG"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (7).to_bytes(4) + (9).to_bytes(4), "is 7×9, the record says 50×50"),
    ],
)
def test_a_picture_must_be_what_the_record_says(tmp_path, data, reason):
    one = synthetic.make("vae")
    asset = record.Asset(file=f"{one.key}-samples.png", sha256=hashlib.sha256(data).hexdigest(), width=50, height=50)
    synthetic.write(tmp_path / "records", msgspec.structs.replace(one, assets={"samples": asset}), data)
    site = build(tmp_path / "records", tmp_path / "site").parent
    assert reason in Page(site / "index.html").text
    assert not (site / "assets").exists()


# ------------------------------------------------------------------------------------------------ the folder


@pytest.fixture
def one_record(tmp_path):
    synthetic.write(tmp_path / "records", synthetic.make("vae"))
    return tmp_path / "records"


def test_a_site_takes_the_place_of_an_older_one(one_record, tmp_path):
    site = build(one_record, tmp_path / "site").parent
    before = tree(site)
    synthetic.write(one_record, synthetic.make("gan"))
    build(one_record, site)
    assert set(before) < set(tree(site))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_empty_folder_will_do(one_record, tmp_path):
    (tmp_path / "site").mkdir()
    assert build(one_record, tmp_path / "site").is_file()


def test_a_folder_of_somebody_else_is_refused_and_kept(one_record, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.tex").write_text("precious")
    with pytest.raises(Refused, match="was not written by publish"):
        build(one_record, tmp_path / "site")
    with pytest.raises(Refused, match="was not written by publish"):
        build(one_record, one_record)
    assert tree(tmp_path / "site") == {"thesis.tex": b"precious"}


def test_a_foreign_file_in_a_site_is_refused_and_kept(one_record, tmp_path):
    site = build(one_record, tmp_path / "site").parent
    (site / "CNAME").write_text("example.org")
    with pytest.raises(Refused, match="holds CNAME"):
        build(one_record, site)
    assert (site / "CNAME").read_text() == "example.org"


@pytest.mark.parametrize("content", ["", "3", "{", "[[]]"])
def test_a_damaged_marker_is_refused(one_record, tmp_path, content):
    site = build(one_record, tmp_path / "site").parent
    (site / MARKER).write_text(content)
    with pytest.raises(Refused, match=r"damaged|did not write"):
        build(one_record, site)
    assert (site / "index.html").is_file()


def test_a_link_or_a_file_is_no_folder_for_a_site(one_record, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("x")
    for name in ("link", "file"):
        with pytest.raises(Refused, match="is not a folder"):
            build(one_record, tmp_path / name)


def test_a_build_that_fails_leaves_the_old_site_whole(one_record, tmp_path, monkeypatch):
    site = build(one_record, tmp_path / "site").parent
    before = tree(site)
    synthetic.write(one_record, synthetic.make("gan"))
    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "style.css":
            raise OSError(28, "No space left on device")
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Refused, match="no space left"):
        build(one_record, site)
    assert tree(site) == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_site_among_its_own_records_is_not_read_back(one_record):
    build(one_record, one_record / "site")
    synthetic.write(one_record, synthetic.make("gan"))
    build(one_record, one_record / "site")
    assert len(collect(one_record).records) == 2


# ------------------------------------------------------------------------------------------------ the terminal


def test_the_terminal_shows_the_numbers_of_the_page(records, page):
    found, text = collect(records).records, printed(records)
    section = next(section for section in sections(found) if section.title == "digits")
    cell = cell_of(section, "ddpm", "fid")
    assert cell.text in text
    assert cell.interval in text
    assert cell.interval in page.text
    assert "VLB, lower bound" in text
    assert "not defined" in text
    assert MISSING["absent"] in text
    assert math.isfinite(cell.value)
