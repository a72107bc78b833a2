"""The site: nothing blank, nothing hostile, nothing that leads nowhere, the same bytes every time."""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from genbench import record
from genbench.errors import Refused
from genbench.record import Measurement
from leaderboard import figures, intervals, svg
from leaderboard.build import build
from leaderboard.downloads import downloads
from leaderboard.load import MARKER, Collection, collect
from leaderboard.pages import dataset, front
from leaderboard.site import Site
from leaderboard.slugs import slug
from leaderboard.table import sections
from leaderboard.typography import plain
from tests import synthetic
from tests.html_page import Page
from tests.test_leaderboard import printed

ROOT = Path(__file__).resolve().parents[1]
STYLE = (ROOT / "leaderboard/static/style.css").read_text(encoding="utf-8")
LABELS = ("real", "copycat", "independent", "pixelcnn", "vae", "gan", "ddpm", "ddpm[steps=20]")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Two datasets, all three groups, two seeds for some of the models."""
    folder = tmp_path_factory.mktemp("records")
    for number, data in enumerate((synthetic.digits(), synthetic.ring8())):
        for label in LABELS:
            for seed in range(2 if label in ("vae", "gan") else 1):
                picture = synthetic.png(random.Random(f"{label} {seed} {number}"), side=2)
                day = f"2026-03-{1 + seed + 7 * number:02d}T12:00:00Z"
                synthetic.write(folder, synthetic.make(label, data, seed, created=day, picture=picture), picture)
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Three records with pictures, for what takes several builds."""
    folder = tmp_path_factory.mktemp("few")
    for label in ("real", "vae", "gan"):
        picture = synthetic.png(random.Random(label), side=1)
        synthetic.write(folder, synthetic.make(label, picture=picture), picture)
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """Figures cost nothing; their names in the order in which they would have been drawn."""
    names: list[str] = []

    def stand_in(what, name, *rest):
        names.append(name)
        return svg.Figure(svg=f"<svg><title>{what.facts!r}</title></svg>".replace("'", ""), pdf=b"%PDF")

    monkeypatch.setattr(figures, "draw", stand_in)
    monkeypatch.setattr(intervals, "draw", stand_in)
    return names


@pytest.fixture(scope="module")
def site(records, tmp_path_factory):
    return build(records, tmp_path_factory.mktemp("built") / "site").parent


@pytest.fixture(scope="module")
def pages(site):
    """Every page by its path."""
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="module")
def page(pages):
    return pages["datasets/digits.html"]


@pytest.fixture(scope="module")
def data(records):
    """What pages are made from."""
    kept: dict[str, bytes] = {}
    return Site(collect(records), kept.__setitem__)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def section_of(data: Site, title: str):
    return next(section for section in data.sections if section.title == title)


# ------------------------------------------------------------------------------------------------ addresses


def test_a_slug_is_the_name_itself_where_that_is_a_good_file_name():
    assert [slug(name) for name in ("vae", "flow-matching", "wgan-gp", "x" * 60)] == [
        "vae", "flow-matching", "wgan-gp", "x" * 60,
    ]  # fmt: skip


FOREIGN = ["../../etc/passwd", "VAE", "vae ", "a/b", "", ".", "模型", "con", "index", "x" * 61, "\ud800", "-vae", "a\n"]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_slug_of_any_other_name_is_a_safe_one(name):
    assert re.fullmatch(r"[a-z0-9-]*[0-9a-f]{8}", slug(name))


def test_two_names_never_share_a_slug():
    names = [*FOREIGN, "vae", "a-b", "con-", "a b"]
    assert len({slug(name) for name in names}) == len(names)
    taken = slug("VAE")  # somebody calls a model what ours is reduced to
    assert slug(taken) != taken


def test_two_datasets_under_one_name_have_two_pages():
    other = msgspec.structs.replace(synthetic.digits(), levels=16)  # the same test split: one title for both
    folder = [synthetic.make("vae"), synthetic.make("gan", dataset=other)]
    found = Site(collection(folder), lambda path, content: None)
    assert len({found.dataset(section) for section in found.sections}) == 2


def collection(found):
    return Collection(
        records=tuple(found), folders={}, invalid=(), trust={one.key: "self-reported" for one in found}, retracted={}
    )


# ------------------------------------------------------------------------------------------------ every page


def test_no_cell_is_blank_and_no_missing_number_is_a_zero(pages):
    for path in ("index.html", "datasets/digits.html", "datasets/ring8.html"):
        cells = pages[path].cells
        blank = [cell for cell in cells if not cell.strip()]
        assert len(blank) == path.startswith("datasets/"), "only the corner over the model names is empty"
        assert not re.search(r"\b(nan|inf|None)\b", " ".join(cells))
    # gan, copycat and real data have no likelihood: two columns on digits, and those of the best seed
    assert sum("not defined" in cell for cell in pages["datasets/digits.html"].cells) == 3 * 4


def test_a_page_asks_for_nothing_and_runs_nothing_of_its_own(pages):
    for path, page in pages.items():
        policy = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
        assert policy[0].startswith("default-src 'none'")
        assert "unsafe" not in policy[0]
        for script in page.all("script"):
            assert script.get("src") or script.get("type") == "application/json", path
        for tag, attributes in page.elements:
            assert not any(name.startswith("on") or name == "style" for name in attributes), (path, tag, attributes)
            for name in ("href", "src"):
                assert not re.match(r"(?i)\s*([a-z]+:|//)", attributes.get(name) or ""), (path, tag, attributes)
        assert not page.all("style"), path
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_every_link_leads_somewhere_and_every_name_is_given_once(pages, site):
    names = {path: [a["id"] for _, a in page.elements if "id" in a] for path, page in pages.items()}
    for path, page in pages.items():
        assert len(names[path]) == len(set(names[path])), path
        for tag, attributes in page.elements:
            for name in ("href", "src"):
                address, _, anchor = (attributes.get(name) or "").partition("#")
                target = os.path.normpath(os.path.join(os.path.dirname(path), address)) if address else path  # noqa: PTH118, PTH120
                assert (site / target).is_file(), (path, tag, attributes)
                if anchor and "=" not in anchor and target in names:
                    assert anchor in names[target], (path, tag, attributes)
            for name in ("aria-labelledby", "aria-describedby", "for"):
                assert set((attributes.get(name) or "").split()) <= set(names[path]), (path, attributes)


def test_tables_and_pictures_can_be_read_without_eyes(pages):
    for path, page in pages.items():
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("h1")) == 1, path
        filled = [
            table for table in page.all("table") if table.get("id") != "compare-table"
        ]  # that one the script fills
        assert len(page.all("caption")) >= len(filled), path
        assert all(attributes.get("scope") for attributes in page.all("th")), path
        for image in page.all("img"):
            assert image["alt"]
            assert int(image["width"]) > 0
            assert int(image["height"]) > 0
            assert image["loading"] == "lazy"
        for scrolled in page.all("div"):
            if scrolled.get("class") == "scroll":
                assert scrolled["tabindex"] == "0"
                assert scrolled.get("aria-label") or scrolled.get("aria-labelledby")


def test_pages_are_small(site):
    assert (site / "index.html").stat().st_size < 300_000
    assert all(path.stat().st_size < 1_000_000 for path in site.rglob("*.html"))


def test_every_page_says_when_and_by_which_version(pages):
    words = "from 2026-03-01 to 2026-03-09 by genbench 0.1.0. The oldest record shown is 8 days older than the newest."
    for path, page in pages.items():
        assert words in " ".join(page.text.split()), path


# ------------------------------------------------------------------------------------------------ the front page


def test_the_front_page_shows_the_trilemma_and_every_dataset(pages):
    front = pages["index.html"]
    assert len([a for a in front.all("svg") if "aria-labelledby" in a]) == 3
    assert {"datasets/digits.html", "datasets/ring8.html"} <= {a.get("href") for a in front.all("a")}
    assert "The trilemma on " in " ".join(front.text.split())
    newest = [cell for cell in front.cells if re.fullmatch(r"[0-9a-f]{16}", cell.strip())]
    assert len(newest) == 8
    assert f"genbench reproduce {newest[0].strip()}.json" in front.text


def test_a_point_leads_to_its_model(pages):
    for path, prefix in (("index.html", ""), ("datasets/digits.html", "../")):
        links = {a["href"] for a in pages[path].all("a") if "href" in a}
        assert {f"{prefix}models/{slug(label)}.html" for label in LABELS} <= links


def test_a_long_table_is_cut_on_the_front_page_and_says_so(data):
    section = section_of(data, "digits")
    assert front.lines(section) == section.rows
    longer = replace(section, rows=(*section.rows, *section.rows_of("model") * 20))
    rows = front.lines(longer)
    assert len(rows) == front.LINES
    assert [row.group for row in rows[:3]] == ["reference", "control", "control"]


# ------------------------------------------------------------------------------------------------ a dataset's page


def test_the_table_has_every_column_and_what_sorting_needs(page, data):
    section = section_of(data, "digits")
    heads = [a for a in page.all("th") if "data-key" in a]
    keys = [a["data-key"] for a in heads]
    assert len(keys) == len(set(keys))
    assert {heading.column.metric for heading in section.headings} <= set(keys)
    assert [(a["data-key"], a["aria-sort"]) for a in heads if "aria-sort" in a] == [("fid", "ascending")]
    numbers = [float(a["data-v"]) for a in page.all("td") if "data-v" in a]
    expected = [cell.value for row in section.rows for cell in row.cells if cell.ok]
    for value in expected:
        assert min(abs(number - value) for number in numbers) <= 1e-5 * abs(value)


def test_one_metric_under_two_protocols_has_two_keys():
    numbers = [
        Measurement(metric="fid", value=3.0, low=2.0, high=4.0, n=9, protocol=protocol) for protocol in ("a", "b")
    ]
    (section,) = sections([synthetic.make("vae", measurements=numbers)])
    assert [one.key for block in dataset.blocks(section) for one in block.columns] == ["fid", "fid.2"]


def test_the_best_seed_has_a_column_of_its_own(page, data):
    section = section_of(data, "digits")
    fid = section.headline("quality")
    cell = next(row for row in section.rows if row.label == "vae").cells[fid]
    assert cell.minimum is not None
    assert cell.minimum < cell.value
    assert "FID, best seed" in page.text
    assert f"{cell.minimum:.4g}" in [text.strip() for text in page.cells]
    assert sum(text.strip() == "one seed" for text in page.cells) >= 3


def test_ranks_and_trust_stand_in_the_rows(page):
    assert re.search(r"rank \d+–\d+", page.text)
    rows = [a for a in page.all("tr") if "data-family" in a]
    assert len(rows) == len(LABELS)
    assert {a["data-trust"] for a in rows} == {"self-reported"}
    assert len({a["data-hardware"] for a in rows}) == 1


def test_a_row_claims_no_more_trust_than_its_least_record(data):
    row = next(row for row in section_of(data, "digits").rows if row.label == "vae")
    first, second = (one.key for one in row.records)
    before = dict(data.collection.trust)
    data.collection.trust.update({first: "maintainer-run", second: "reproduced"})
    assert dataset.least(data, row) == "reproduced"
    data.collection.trust.update(before)


def test_downloads_are_those_of_the_table(site, data):
    for suffix, content in downloads(section_of(data, "digits")).items():
        assert (site / "downloads" / f"digits.{suffix}").read_bytes() == content


def test_records_are_part_of_the_site(site, records):
    for path in records.glob("*.json"):
        assert record.read(site / "records" / path.name) == record.read(path)


def test_a_picture_of_every_row(page, site):
    shown = page.all("img")
    assert len(shown) == len(LABELS)
    assert all((site / "datasets" / image["src"]).resolve().is_file() for image in shown)


# ------------------------------------------------------------------------------------------------ figures


def test_figures_say_in_words_what_they_show(page):
    drawn = [attributes for attributes in page.all("svg") if "aria-labelledby" in attributes]
    assert len(drawn) == 4  # three scatters and the likelihoods
    assert len(page.all("desc")) == 4
    assert "on the front" in page.text


def test_figures_in_a_page_take_their_colours_from_the_stylesheet(page):
    found = re.findall(r'(?:fill|stroke)="([^"]+)"', page.source)
    assert {colour for colour in found if colour.startswith("#")} == set()
    for name in set(re.findall(r"var\((--[a-z0-9-]+)", page.source + STYLE)):
        assert f"{name}:" in STYLE


def test_a_figure_by_itself_has_the_colours_of_light_paper():
    light = re.search(r":root \{([^}]*)\}", STYLE)[1]
    for colour, name in svg.VARIABLES.items():
        assert f"{name}: {colour};" in light
    assert len(svg.VARIABLES) == 4 + len(svg.FAMILIES), "two roles of one colour could not be told apart"


def test_a_figure_by_itself_is_an_image_and_a_document(site):
    found = {path.suffix for path in (site / "figures").glob("digits_quality-speed.*")}
    assert found == {".svg", ".pdf"}
    text = (site / "figures/digits_quality-speed.svg").read_text(encoding="utf-8")
    assert text.startswith("<svg ")
    assert "var(" not in text
    assert "style=" not in text
    assert "../models/vae.html" in text
    data = (site / "figures/digits_quality-speed.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert b"CreationDate" not in data
    assert b"models/vae" not in data


def test_families_differ_in_marker_as_well_as_in_colour(data):
    assert len({mark.marker for mark in data.marks.values()}) == len(data.marks)
    assert len({mark.colour for mark in data.marks.values()}) == len(data.marks)


def test_an_axis_of_counts_has_no_fractions():
    """Where all eight modes are captured by everybody, the axis shows 6 to 10 and not 7.95 to 8.05."""
    numbers = {
        "modes_captured": (8.0, 8.0),
        "high_quality": (0.9, 0.01),
    }
    found = [
        synthetic.make(
            label,
            synthetic.ring8(),
            measurements=[
                Measurement(metric=name, value=value, low=value - half * (name != "modes_captured"), high=value, n=9)
                for name, (value, half) in numbers.items()
            ],
        )
        for label in ("vae", "gan")
    ]
    (section,) = sections(found)
    (scatter,) = figures.trilemma(section)
    drawn = figures.draw(scatter, "x", "x", figures.marks(["gan", "variational"]), lambda row: "x").svg
    ticks = re.findall(r">([0-9.]+)</text>", drawn)
    assert {"6", "7", "8", "9", "10"} <= set(ticks)
    assert not [tick for tick in ticks if re.match(r"7\.\d", tick)]


def test_the_front_is_a_line_through_the_models_that_nobody_beats(data):
    section = section_of(data, "digits")
    for scatter in figures.trilemma(section):
        (expected,) = figures.fronts(section, scatter.axes)
        assert set(scatter.front) == set(expected.on)
        assert all(section.rows[index].group == "model" for index in scatter.front)


def drawn_by(draw, plot, monkeypatch, *rest):
    """The canvas of a figure, before it becomes a file."""
    canvases = []
    with monkeypatch.context() as patch:
        patch.setattr(svg, "finish", lambda canvas, *words: canvases.append(canvas))
        draw(plot, "name", "title", *rest)
    return canvases[0]


CROWD = {  # label: sampling time in ms, quality: a front of four models among others at the same places
    "gan": (0.0095, 123), "gan[loss=saturating]": (0.0098, 51), "wgan-gp": (0.004, 26.9), "dcgan": (0.6, 150),
    "vqvae": (0.141, 34.4), "realnvp": (0.27, 53), "pixelcnn": (0.37, 72), "nade": (0.57, 40), "vae": (0.0145, 110),
    "ddpm[ddim-20]": (3.9, 31), "flow-matching": (8.2, 32), "ddpm": (9.7, 19.5),
}  # fmt: skip


def crowd():
    found = []
    for label, (ms, quality) in CROWD.items():
        speed = Measurement(metric="seconds_per_image", value=ms / 1e3, low=ms / 1.02e3, high=ms / 0.98e3, n=9)
        fid = Measurement(metric="fid", value=quality, low=quality * 0.8, high=quality * 1.3, n=9)
        found.append(synthetic.make(label, measurements=[speed, fid]))
    (section,) = sections(found)
    return section


def test_no_name_covers_another_and_no_front_runs_through_one(monkeypatch):
    section = crowd()
    (scatter,) = figures.trilemma(section)
    families = figures.marks(sorted({row.family for row in section.rows}))
    (axes,) = drawn_by(figures.draw, scatter, monkeypatch, families, lambda row: "x").axes
    boxes = {text.get_text(): np.array(text.get_window_extent().extents) for text in axes.texts}
    assert set(boxes) == set(CROWD)
    (front,) = [line for line in axes.lines if line.get_alpha() == 0.55]
    corners = axes.transData.transform(front.get_xydata())
    assert len(corners) >= 3
    line = np.concatenate([np.linspace(a, b, 500) for a, b in pairwise(corners)])
    for name, (left, low, right, high) in boxes.items():
        inside = (line[:, 0] > left) & (line[:, 0] < right) & (line[:, 1] > low + 1) & (line[:, 1] < high - 1)
        assert not inside.any(), name
        for other, (l2, b2, r2, t2) in boxes.items():
            common = min(right, r2) - max(left, l2), min(high, t2) - max(low, b2)
            assert other == name or min(common) < 2, (name, other)


def test_the_legend_names_what_is_drawn(data):
    section = section_of(data, "digits")
    scatters = figures.trilemma(section)
    assert [name for name, _ in figures.legend(scatters, data.marks)][-2:] == ["control", "real data"]
    (models,) = [one for one in scatters if one.name == "quality-speed"]
    names = [name for name, _ in figures.legend([models], data.marks)]
    assert names == ["autoregressive", "diffusion", "gan", "variational", "control"]
    left = replace(models, drawn=tuple(point for point in models.drawn if point.row.family != "gan"))
    assert "gan" not in [name for name, _ in figures.legend([left], data.marks)]


def test_many_points_are_drawn_in_part_and_said_to_be(data, monkeypatch):
    monkeypatch.setattr(figures, "DRAWN", 5)
    section = section_of(data, "digits")
    for scatter in figures.trilemma(section):
        assert len(scatter.drawn) == 5
        assert re.match(r"5 of \d+ rows drawn", scatter.note)


def test_likelihoods_carry_their_kind_and_the_truth_where_it_is_known(data):
    shown = intervals.likelihood(section_of(data, "digits"))
    assert shown.column.metric == "bits_per_dim"
    assert shown.truth is None
    assert {cell.kind for _, cell in shown.rows} == {"exact", "iwae", "vlb"}
    values = [cell.value for _, cell in shown.rows]
    assert values == sorted(values)
    numbers = [Measurement(metric="excess_nats", value=0.1, low=0.0, high=0.2, n=9, kind="exact")]
    (section,) = sections([synthetic.make("nade", synthetic.ring8(), measurements=numbers)])
    assert intervals.likelihood(section).truth == 0.0


def test_a_dataset_without_likelihoods_has_no_figure_of_them():
    numbers = [Measurement(metric="fid", value=3.0, low=2.0, high=4.0, n=9)]
    (section,) = sections([synthetic.make("gan", measurements=numbers)])
    assert intervals.likelihood(section) is None


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme):
    """WCAG: (L1 + 0.05) / (L2 + 0.05) >= 4.5 for text on every background that text stands on, 3 for markers."""
    blocks = re.findall(r":root \{([^}]*)\}", STYLE)
    values = dict(re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]{6})", blocks[0 if scheme == "light" else 1]))

    def ratio(one: str, other: str) -> float:
        high, low = sorted((luminance(values[one]), luminance(values[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for background in ("--paper", "--raised", "--best"):
        for text in ("--ink", "--muted", "--link"):
            assert ratio(text, background) >= 4.5, (text, background)
    for marker in ["--control", *(f"--family-{index}" for index in range(len(svg.FAMILIES)))]:
        assert ratio(marker, "--paper") >= 3, marker


# ------------------------------------------------------------------------------------------------ the build


def test_the_same_records_give_the_same_bytes(few, tmp_path):
    assert tree(build(few, tmp_path / "one").parent) == tree(build(few, tmp_path / "another").parent)


def test_where_the_records_lie_does_not_matter(few, tmp_path, drawn):
    for path in sorted(few.iterdir(), reverse=True):
        folder = tmp_path / "spread" / path.name[:1] / path.name[1:2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)
    spread, here = (
        tree(build(folder, tmp_path / f"site-{folder.name}").parent) for folder in (tmp_path / "spread", few)
    )
    assert spread.pop(MARKER) != here.pop(MARKER), "the marker says what the site was built from"
    assert spread == here


def test_a_build_needs_no_torch(few, tmp_path):
    code = (
        "import sys; from pathlib import Path; from leaderboard.build import build;"
        "build(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print([name for name in ('torch', 'torchvision', 'onnx', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, few, tmp_path / "site"], capture_output=True, text=True, cwd=ROOT, check=True
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
    site = build(tmp_path / "records", tmp_path / "site").parent
    for path in site.rglob("*.html"):
        page = Page(path)
        assert all(script.get("src") or script.get("type") == "application/json" for script in page.all("script")), path
        assert {tuple(a) for a in page.all("b")} <= {()}
        assert not page.all("img")
        assert not any(attribute.startswith("on") for _, attributes in page.elements for attribute in attributes)
        assert not set(page.source) & set("\x00\x07\x1b\u202e\u202c"), path
        if path.parent.name == "datasets":
            assert plain(name)[:20] in page.text
    assert {path.parent.parent for path in site.rglob("*") if path.is_file()} <= {site, site.parent}
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
    site = build(tmp_path / "records", tmp_path / "site").parent
    assert "a number beyond 1e+30 is no measurement" in Page(site / "datasets" / "digits.html").text


def test_broken_files_are_listed_with_their_reason_and_stop_nothing(tmp_path, drawn):
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
    site = build(folder, tmp_path / "site").parent
    assert "Not shown: 8 files that are not valid" in Page(site / "index.html").text
    for name in reasons:
        assert name in Page(site / "invalid.html").text


def test_only_broken_files_still_make_a_page(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "x.json").write_text("{")
    page = Page(build(tmp_path / "records", tmp_path / "site"))
    assert "No valid record" in page.text
    assert "Not shown: 1 file that is not valid" in page.text


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
    page = Page(site / "datasets" / "digits.html")
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
def test_a_picture_must_be_what_the_record_says(tmp_path, data, reason, drawn):
    one = synthetic.make("vae")
    asset = record.Asset(file=f"{one.key}-samples.png", sha256=hashlib.sha256(data).hexdigest(), width=50, height=50)
    synthetic.write(tmp_path / "records", msgspec.structs.replace(one, assets={"samples": asset}), data)
    site = build(tmp_path / "records", tmp_path / "site").parent
    assert reason in Page(site / "datasets" / "digits.html").text
    assert not (site / "assets").exists()


# ------------------------------------------------------------------------------------------------ the next build


@pytest.fixture
def two_datasets(tmp_path):
    for of in (synthetic.digits(), synthetic.ring8()):
        for label in ("vae", "gan"):
            synthetic.write(tmp_path / "records", synthetic.make(label, of))
    return tmp_path / "records"


def test_unchanged_records_cost_nothing(two_datasets, tmp_path, monkeypatch, drawn):
    site = build(two_datasets, tmp_path / "site").parent
    before = site.stat().st_ino
    monkeypatch.setattr("leaderboard.build.collect", None)  # is not even called
    assert build(two_datasets, site) == site / "index.html"
    assert site.stat().st_ino == before


def test_only_what_changed_is_drawn_again_and_all_else_is_the_same(two_datasets, tmp_path, drawn):
    site = build(two_datasets, tmp_path / "site").parent
    assert drawn
    first, before = list(drawn), tree(site)
    drawn.clear()
    changed = synthetic.make("vqvae", synthetic.ring8())
    synthetic.write(two_datasets, changed)
    build(two_datasets, site)
    again = [name for name in drawn if name in first]
    assert again
    assert all(name.startswith("ring8_") for name in again)
    expected = tree(build(two_datasets, tmp_path / "fresh").parent)
    assert tree(site) == expected
    assert before["figures/digits_likelihood.svg"] == expected["figures/digits_likelihood.svg"]


def test_a_record_of_tomorrow_is_shown_when_its_time_has_come(few, tmp_path, drawn, monkeypatch):
    shutil.copytree(few, tmp_path / "records")
    tomorrow = synthetic.make("nade", created="2099-03-01T12:00:00Z")
    synthetic.write(tmp_path / "records", tomorrow)
    first = tree(build(tmp_path / "records", tmp_path / "site").parent)
    assert b"lies in the future" in first["invalid.html"]
    assert tree(build(tmp_path / "records", tmp_path / "site").parent) == first
    monkeypatch.setattr("leaderboard.load.latest", lambda: "2099-03-02T12:00:00Z")
    assert (build(tmp_path / "records", tmp_path / "site").parent / f"runs/{tomorrow.key}.html").is_file()


def test_what_is_written_during_a_build_is_seen_by_the_next(few, tmp_path, drawn, monkeypatch):
    shutil.copytree(few, tmp_path / "records")
    expected = tree(build(tmp_path / "records", tmp_path / "expected").parent)

    def collect_too_late(sources):
        passing = synthetic.write(tmp_path / "records", synthetic.make("nade"))
        found = collect(sources)
        passing.unlink()
        synthetic.write(tmp_path / "records", synthetic.make("nade", seed=1))
        return found

    with monkeypatch.context() as patched:
        patched.setattr("leaderboard.build.collect", collect_too_late)
        between = tree(build(tmp_path / "records", tmp_path / "site").parent)
    (tmp_path / "records" / f"{synthetic.make('nade', seed=1).key}.json").unlink()
    assert between["index.html"] != expected["index.html"]
    assert tree(build(tmp_path / "records", tmp_path / "site").parent) == expected


@pytest.mark.parametrize("what", ["a link to a folder", "a picture in another form"])
def test_whatever_a_page_speaks_of_makes_another_site(few, tmp_path, drawn, what):
    shutil.copytree(few, tmp_path / "records")
    asset = record.Asset(
        file=f"{'a' * 16}-samples.svg", sha256=hashlib.sha256(b"<svg/>").hexdigest(), width=1, height=1
    )
    one = msgspec.structs.replace(synthetic.make("nade"), key="a" * 16, assets={"samples": asset})
    synthetic.write(tmp_path / "records", one)
    before = tree(build(tmp_path / "records", tmp_path / "site").parent)
    if what == "a link to a folder":
        (tmp_path / "records" / "linked").symlink_to(few, target_is_directory=True)
    else:
        (tmp_path / "records" / asset.file).write_bytes(b"<svg/>")
    after = tree(build(tmp_path / "records", tmp_path / "site").parent)
    assert after == tree(build(tmp_path / "records", tmp_path / "fresh").parent)
    assert {path for path in after if before[path] != after[path]} > {MARKER}


def test_a_page_that_somebody_edited_is_mended(two_datasets, tmp_path, drawn):
    site = build(two_datasets, tmp_path / "site").parent
    before = tree(site)
    (site / "index.html").write_text("<h1>mine</h1>")
    (site / "style.css").unlink()
    build(two_datasets, site)
    assert tree(site) == before


def test_a_figure_that_somebody_edited_is_drawn_again(two_datasets, tmp_path, drawn):
    site = build(two_datasets, tmp_path / "site").parent
    before = tree(site)
    path = site / "figures" / "digits_likelihood.svg"
    path.write_text(path.read_text() + "<script/>")
    drawn.clear()
    build(two_datasets, site)
    assert drawn == ["digits_likelihood"]
    assert tree(site) == before


def test_other_code_makes_another_site(two_datasets, tmp_path, drawn, monkeypatch):
    site = build(two_datasets, tmp_path / "site").parent
    first = list(drawn)
    drawn.clear()
    monkeypatch.setattr("leaderboard.build._code", lambda: "other")
    build(two_datasets, site)
    assert drawn == first


# ------------------------------------------------------------------------------------------------ the folder


@pytest.fixture
def one_record(tmp_path):
    synthetic.write(tmp_path / "records", synthetic.make("vae"))
    return tmp_path / "records"


def test_a_site_takes_the_place_of_an_older_one(one_record, tmp_path, drawn):
    site = build(one_record, tmp_path / "site").parent
    before = tree(site)
    synthetic.write(one_record, synthetic.make("gan"))
    build(one_record, site)
    assert set(before) < set(tree(site))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_empty_folder_will_do(one_record, tmp_path, drawn):
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


def test_a_foreign_file_in_a_site_is_refused_and_kept(one_record, tmp_path, drawn):
    site = build(one_record, tmp_path / "site").parent
    (site / "CNAME").write_text("example.org")
    with pytest.raises(Refused, match="holds CNAME"):
        build(one_record, site)
    assert (site / "CNAME").read_text() == "example.org"


@pytest.mark.parametrize("content", ["", "3", "{", "[[]]"])
def test_a_damaged_marker_is_refused(one_record, tmp_path, content, drawn):
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


def test_a_build_that_fails_leaves_the_old_site_whole(one_record, tmp_path, monkeypatch, drawn):
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


def test_a_site_among_its_own_records_is_not_read_back(one_record, drawn):
    build(one_record, one_record / "site")
    synthetic.write(one_record, synthetic.make("gan"))
    build(one_record, one_record / "site")
    assert len(collect(one_record).records) == 2
