"""The pages of families, models, runs, comparisons, history, metrics and what is not shown: what they say of what.

Figures are not drawn here: an earlier build is pretended that drew them all, but for the test of the sweep itself.
"""

from __future__ import annotations

import html
import json
import math
import random
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from genbench import catalog
from genbench.record import Curve, DatasetRun, Measurement, Record
from leaderboard import curves, history, sweeps
from leaderboard.build import STATIC
from leaderboard.feed import Entry, atom
from leaderboard.load import Collection, Invalid, collect
from leaderboard.pages import NAVIGATION, PAGES, metrics, run
from leaderboard.site import Site
from leaderboard.standings import standings
from leaderboard.typography import plain
from tests.synthetic import MACHINE, digest, digits, make, png, ring8, undefined, write

DRAWN = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><title>drawn</title></svg>'
EVIL = "\"><img src=x onerror=alert(1)>'</script>{{ 7 * 7 }}"
LIMIT = 1_000_000


def number(metric: str, value: float, half: float = 0.01, protocol: str = "") -> Measurement:
    return Measurement(
        metric=metric, value=value, low=value - half, high=value + half, n=1000, method="by hand", protocol=protocol
    )


def site_of(collection: Collection) -> tuple[Site, dict[str, bytes]]:
    """A site whose figures exist already, and the files that it keeps."""
    files: dict[str, bytes] = dict.fromkeys(STATIC, b"")

    def keep(name: str, data: bytes) -> None:
        files[name] = data

    return Site(collection, keep, lambda name, key: (DRAWN, b"%PDF"), NAVIGATION), files


def pages_of(collection: Collection, *kinds: str) -> dict[str, str]:
    """All pages, or those of some modules; and the other files, without their content."""
    site, files = site_of(collection)
    chosen = [pages for pages in PAGES if not kinds or pages.__module__.rpartition(".")[2] in kinds]
    pages = {page.path: page.html for kind in chosen for page in kind(site)}
    site.write_records()
    return pages | {name: "" for name in files if name not in pages}


def collection(records: list[Record], **further: object) -> Collection:
    return replace(
        Collection(records=tuple(records), folders={}, invalid=(), trust={one.key: "self-reported" for one in records}),
        **further,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """A few models on two datasets, two seeds each, one of them measured before by older code; pictures of some."""
    folder = tmp_path_factory.mktemp("records")
    for dataset in (digits(), ring8()):
        for label in ("real", "copycat", "vae", "gan", "dcgan", "nade", "ddpm", "ddpm[steps=20]"):
            for seed in (0, 1) if label == "vae" else (0,):
                picture = png(random.Random(0), side=2, cell=9) if label in ("vae", "ddpm") else None
                write(folder, make(label, dataset, seed, created="2026-03-02T12:00:00Z", picture=picture), picture)
    old = make("vae", digits(), 0, created="2026-03-01T12:00:00Z", code="older")
    write(folder, msgspec.structs.replace(old, measurements={"fid": number("fid", 4321.0)}))
    return collect(folder)


@pytest.fixture(scope="module")
def pages(records: Collection) -> dict[str, str]:
    return pages_of(records)


def of(records: Collection, label: str, dataset: str = "digits", seed: int = 0) -> Record:
    return max(
        (r for r in records.records if (r.model.label, r.dataset.label, r.seeds["train"]) == (label, dataset, seed)),
        key=lambda one: one.created,
    )


class Checker(HTMLParser):
    """Ids, links, and what no page may have."""

    void = frozenset({"meta", "link", "img", "input", "br", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        assert not {name for name in found if name.startswith("on") or name == "style"}, found
        if found.get("id"):
            self.ids.append(str(found["id"]))
        self.links += [str(found[name]) for name in ("href", "src") if found.get(name)]
        if tag == "img":
            assert {"alt", "width", "height"} <= found.keys()
        if tag == "script":
            self.scripts.append(found)
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.void:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> after {self.open[-3:]}"


def checked(pages: dict[str, str]) -> Iterator[tuple[str, Checker]]:
    for path, text in pages.items():
        if path.endswith(".html"):
            yield path, Checker(text)


# ------------------------------------------------------------------------------------------ all pages


def test_every_link_leads_to_a_page_and_every_fragment_to_a_place(pages: dict[str, str]) -> None:
    found = dict(checked(pages))
    for path, page in found.items():
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            target, _, fragment = link.partition("#")
            steps = [*path.split("/")[:-1], *target.split("/")] if target else path.split("/")
            while ".." in steps:
                at = steps.index("..")
                assert at, f"{path}: {link} leaves the site"
                steps[at - 1 : at + 1] = []
            where = "/".join(steps)
            assert where in pages, f"{path}: {link}"
            if fragment and where in found and where != "compare.html":
                assert fragment in found[where].ids, f"{path}: {link}"


def test_no_page_runs_anything_but_its_two_scripts(pages: dict[str, str]) -> None:
    for path, page in checked(pages):
        for script in page.scripts:
            ours = str(script.get("src", "")).removeprefix("../") in ("site.js", "compare.js")
            assert ours or script.get("type") == "application/json", (path, script)
            assert path == "compare.html" or not str(script.get("src")).endswith("compare.js")


def test_the_same_records_give_the_same_pages(records: Collection, pages: dict[str, str]) -> None:
    assert pages_of(records) == pages


def test_every_address_of_the_navigation_is_a_page(pages: dict[str, str]) -> None:
    assert {address for address, _ in NAVIGATION} <= pages.keys()


def hostile() -> list[Record]:
    """Records with markup in everything that is text."""
    one = make("vae", digits(), environment=MACHINE | {"cpu": EVIL, EVIL: EVIL}, config={EVIL: {"x": [EVIL]}})
    model = msgspec.structs.replace(one.model, label=EVIL, family=EVIL, reference=EVIL, capabilities=[EVIL])
    evil = number(EVIL, 1.0, protocol=EVIL)
    measurements = one.measurements | {evil.name: evil, "kid": undefined("kid", EVIL)}
    first = msgspec.structs.replace(
        one, model=model, measurements=measurements, curves={EVIL: Curve(steps=[0, 1], values=[0.0, 1.0])},
        settings=one.settings | {"measured": EVIL, EVIL: EVIL}, seeds=one.seeds | {EVIL: 1}, report={EVIL: 1.0},
    )  # fmt: skip
    data = msgspec.structs.replace(digits(), label=EVIL, reference=EVIL)
    return [first, make("gan", data), make("vae", data), make("gan", digits())]


def test_nothing_that_a_record_says_is_markup() -> None:
    evil = hostile()
    bad = [Invalid(name=EVIL, reason=EVIL)]
    shown = pages_of(collection(evil, invalid=tuple(bad), retracted={"0" * 16: EVIL}))
    seen = 0
    for path, page in checked(shown):
        assert "<img src=x" not in shown[path], path
        assert "49" not in re.findall(r"\}\}|\b49\b", shown[path]), path
        assert "x" not in page.links, path
        seen += "&lt;img src=x" in shown[path]
    assert seen > 5
    ElementTree.fromstring(shown["feed.atom"])


# ------------------------------------------------------------------------------------------ runs


def test_a_run_page_says_everything_that_the_record_says(records: Collection, pages: dict[str, str]) -> None:
    one = of(records, "vae")
    text = html.unescape(pages[f"runs/{one.key}.html"])
    assert f"genbench reproduce {one.key}.json" in text
    assert "self-reported" in text
    for m in one.measurements.values():
        assert m.metric in text
        assert m.method in text
        assert (m.reason or m.method) in text
    for words in (one.model.code, one.model.weights, *one.dataset.checksums.values(), one.assets["samples"].sha256):
        assert f"<dd>{words}</dd>" in text
    for name, value in (*one.environment.items(), *one.settings.items(), *one.seeds.items()):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert 'class="line" d="M' in text
    assert f"../records/{one.key}.json" in text


def test_a_run_that_newer_code_replaced_says_so(records: Collection, pages: dict[str, str]) -> None:
    old = next(one for one in records.records if one.created.startswith("2026-03-01"))
    assert "stands in no table" in pages[f"runs/{old.key}.html"]
    assert "stands in the table" in pages[f"runs/{of(records, 'vae').key}.html"]


def test_neighbours_are_shown_where_there_is_a_picture_and_missed_where_not(tmp_path: Path) -> None:
    picture = png(random.Random(0), side=2, cell=9)
    one = make("vae", digits(), picture=picture)
    assets = {"samples": one.assets["samples"]}
    assets["neighbours"] = msgspec.structs.replace(assets["samples"], file=f"{one.key}-neighbours.png")
    two = msgspec.structs.replace(one, assets=assets)
    write(tmp_path / "a", one, picture)
    write(tmp_path / "b", two, picture)
    (tmp_path / "b" / f"{one.key}-neighbours.png").write_bytes(picture)
    without, shown = (pages_of(collect(tmp_path / name), "run")[f"runs/{one.key}.html"] for name in "ab")
    assert "no picture of the training images nearest" in without
    assert without.count("<img") == 1
    assert "no picture of the training images nearest" not in shown
    assert shown.count("<img") == 2


def test_a_curve_keeps_its_spikes_and_chooses_its_scale() -> None:
    values = [1.0] * 1000
    values[503] = 9.0
    drawn = curves.drawing("loss", Curve(steps=list(range(1000)), values=values))
    assert drawn is not None
    assert len(re.findall("[ML]", drawn.path)) <= 240
    assert f" {curves.TOP:.1f}" in drawn.path
    assert (drawn.low, drawn.high) == ("1.00", "9.00")
    assert "log scale" not in drawn.words
    steep = curves.drawing("loss", Curve(steps=[0, 1, 2], values=[100.0, 10.0, 1.0]))
    assert steep is not None
    assert "log scale" in steep.words
    assert f" {(curves.TOP + curves.BOTTOM) / 2:.1f}L" in steep.path  # ten is halfway from one to a hundred


def test_curves_are_files_of_their_own() -> None:
    """The SVG is well formed, whatever a curve is called; the PDF's table points to its objects."""
    found = [
        curves.drawing(name, Curve(steps=[0, 500, 1000], values=values))
        for name, values in (("loss", [3.0, 1.0, 0.8]), ("<b>) Tj \u6a21 \\", [-0.5, 2.0, 1.0]))
    ]
    drawn = [one for one in found if one is not None]
    root = ElementTree.fromstring(curves.as_svg(drawn, "Training & <more>"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text not in ("0", "step 1\u202f000")] == [
        "loss", "3.00", "0.800", "<b>) Tj \u6a21 \\", "2.00", "\u22120.500",
    ]  # fmt: skip
    assert root.get("height") == str(2 * (curves.TITLE + curves.HEIGHT))
    assert [element.get("d") for element in root.iter() if element.get("stroke-width")] == [one.path for one in drawn]
    data = curves.as_pdf(drawn, "Training (of)")
    table = data[int(data.split(b"startxref\n")[1].split()[0]) :]
    starts = [int(line[:10]) for line in table.splitlines() if line.endswith(b" n ")]
    assert len(starts) == 8
    for number, start in enumerate(starts, start=1):
        assert data[start:].startswith(f"{number} 0 obj\n".encode())
    streams = re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", data, re.DOTALL)
    assert [int(length) for length, _ in streams] == [len(stream) for _, stream in streams]
    assert rb"(<b>\) Tj ? \\) Tj" in streams[1][1]
    assert b"(-0.500) Tj" in streams[1][1]
    assert rb"/Title (Training \(of\))" in data


def test_a_page_shows_the_whole_of_a_long_curve() -> None:
    """A path is no foreign text: it is not cut where that is."""
    curve = Curve(steps=list(range(240)), values=[math.sin(step) for step in range(240)])
    one = msgspec.structs.replace(make("ddpm"), curves={"loss": curve})
    page = pages_of(collection([one]), "run")[f"runs/{one.key}.html"]
    drawn = curves.drawing("loss", curve)
    assert drawn is not None
    assert len(drawn.path) > 2500
    assert f'd="{drawn.path}"' in page


def test_a_run_s_curves_can_be_taken_away(records: Collection) -> None:
    site, kept = site_of(records)
    page = next(page for page in run.pages(site) if "Download the curves" in page.html)
    addresses = re.findall(r'href="\.\./(figures/run-[^"]+)" download', page.html)
    assert [address[-3:] for address in addresses] == ["svg", "pdf"]
    assert kept[addresses[0]].startswith(b"<svg ")
    assert kept[addresses[1]].startswith(b"%PDF")


@pytest.mark.parametrize(
    "curve",
    [([], []), ([1], [1.0]), ([1, 1], [1.0, 2.0]), ([0, 1], [-1e308, 1e308]), ([0, 10**300], [1.0, 2.0])],
)
def test_what_is_no_line_is_not_drawn(curve: tuple[list[int], list[float]]) -> None:
    assert curves.drawing("x", Curve(steps=curve[0], values=curve[1])) is None


# ------------------------------------------------------------------------------------------ models and families


def test_a_model_page_has_all_its_datasets_seeds_and_pictures(records: Collection, pages: dict[str, str]) -> None:
    text = pages["models/vae.html"]
    for dataset in ("digits", "ring8"):
        assert f"../datasets/{dataset}.html" in text
        for seed in (0, 1):
            assert f"../runs/{of(records, 'vae', dataset, seed).key}.html" in text
    assert text.count("<img") == 4
    assert "4321" not in text  # of older code
    assert "<math" in text
    assert "not defined" not in text  # where no configuration has the metric, there is no line


def test_a_family_page_says_where_it_stands_with_numbers_and_links(records: Collection, pages: dict[str, str]) -> None:
    text = pages["families/gan.html"]
    strong = text[text.index("Strong in") : text.index("Weak in")]
    assert re.search(r"speed</b>:\s+gan has rank 1 of 6 on <a href=\"../datasets/ring8.html#", strong)
    assert "Generative adversarial networks" in text
    assert text.count("Generative adversarial networks: two perceptrons") == 1  # a module once
    weak = pages["families/diffusion.html"]
    assert re.search("Weak in</b>.*?speed", weak, re.DOTALL)


@pytest.mark.parametrize(
    ("rank", "among", "rivals", "verdict"),
    [
        ((1, 2), 9, 8, "strong"),
        ((1, 5), 9, 8, "between"),
        ((2, 3), 9, 8, "strong"),
        ((2, 5), 9, 8, "between"),
        ((6, 9), 9, 8, "weak"),
        ((5, 9), 9, 8, "between"),
        ((2, 2), 2, 1, "weak"),
        ((1, 1), 2, 0, "alone"),  # better than its own family only
        (None, 1, 0, "alone"),
    ],
)
def test_verdicts(records: Collection, rank: tuple[int, int] | None, among: int, rivals: int, verdict: str) -> None:
    section = site_of(records)[0].sections[0]
    one = standings(section, section.rows_of("model"))[0]
    found = replace(one, cell=replace(one.cell, rank=rank), among=among, rivals=rivals)
    assert found.verdict == verdict


def test_standings_count_whom_a_row_is_compared_with(records: Collection) -> None:
    section = next(one for one in site_of(records)[0].sections if one.title == "digits")
    rows = {row.label: row for row in section.rows}
    speed = next(one for one in standings(section, [rows["ddpm"]]) if one.axis == "speed")
    assert (speed.among, speed.rivals) == (6, 4)


def test_a_sweep_joins_the_samplers_of_one_model(records: Collection) -> None:
    site, _ = site_of(records)
    section = next(one for one in site.sections if one.title == "digits")
    rows = [row for row in section.rows if row.family == "diffusion"]
    (apart,) = sweeps.sweeps(section, rows)
    assert [len(line) for line in apart.lines] == [1, 1]  # two trainings, as their weights tell
    first = rows[0].records[0]
    shared = msgspec.structs.replace(
        first, model=msgspec.structs.replace(first.model, weights=rows[1].records[0].model.weights)
    )
    (found,) = sweeps.sweeps(section, [replace(rows[0], records=(shared,)), rows[1]])
    assert [[row.label for row in line] for line in found.lines] == [["ddpm[steps=20]", "ddpm"]]
    assert sweeps.sweeps(section, rows[:1]) == []
    drawn = sweeps.draw(found, "name", "title", site.marks, lambda row: f"../models/{row.label}.html").svg
    assert "../models/ddpm.html" in drawn
    assert "ddpm[steps=20]" in drawn


def test_points_of_a_sweep_are_drawn_with_their_family_and_are_no_rows() -> None:
    settings = {"samples": 1000, "measured": "sweep", "line": "ddim"}
    points = [
        msgspec.structs.replace(make(label, digits(), config={"steps": steps}), settings=settings, key=key)
        for label, steps, key in (("ddpm", 5, "a" * 16), ("ddpm[steps=20]", 20, "b" * 16))
    ]
    found = collection([make("ddpm", digits()), make("vae", digits()), *points])
    site, _ = site_of(found)
    assert sorted(row.label for row in site.sections[0].rows) == ["ddpm", "vae"]
    (section,) = site.swept
    assert len(section.rows) == 2
    pages = pages_of(found, "family", "run")
    assert "figures/digits_diffusion" in pages["families/diffusion.html"]
    assert "runs/aaaaaaaaaaaaaaaa.html" in pages
    without = pages_of(collection([make("ddpm", digits()), make("vae", digits())]), "family")
    assert "figures/digits_diffusion" not in without["families/diffusion.html"]


def test_a_sweep_never_mixes_machines() -> None:
    slow = MACHINE | {"cpu": "another"}
    mixed = [make("ddpm", digits()), make("ddpm[steps=20]", digits(), environment=slow)]
    site, _ = site_of(collection(mixed))
    assert sweeps.sweeps(site.sections[0], site.sections[0].rows) == []


# ------------------------------------------------------------------------------------------ comparing


def data_of(text: str) -> list[dict[str, object]]:
    found = re.search(r'<script type="application/json" id="compare-data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    decoded: list[dict[str, object]] = json.loads(found[1])
    return decoded


def test_the_compare_page_is_whole_without_script_and_has_the_rest_as_data(
    records: Collection, pages: dict[str, str]
) -> None:
    text = pages["compare.html"]
    data = {one["dataset"]: one for one in data_of(text)}
    models = data["digits"]["models"]
    metrics_there = data["digits"]["metrics"]
    assert isinstance(models, list)
    assert isinstance(metrics_there, list)
    fid = next(i for i, metric in enumerate(metrics_there) if metric["id"] == "fid")
    for model in models:
        assert model["cells"][fid][0] in text
        assert f">{model['name']}</a>" in text
    vae = next(model for model in models if model["name"] == "vae")
    assert vae["picture"][0].startswith("assets/")
    assert {"real", "copycat"}.isdisjoint(model["name"] for model in models)


def test_the_data_of_comparisons_cannot_end_its_block() -> None:
    text = pages_of(collection(hostile()), "compare")["compare.html"]
    names = [model["name"] for one in data_of(text) for model in one["models"]]  # type: ignore[attr-defined]
    assert any("</script>" in name for name in names)


def test_rows_of_one_name_get_addresses_of_their_own() -> None:
    # Three settings stand in a name; the first two rows differ in a fourth one only.
    known = [
        make("vae", digits(), config={"a": common, "b": common, "c": common, "d": own})
        for common, own in ((1, 1), (1, 2), (2, 3))
    ]
    text = pages_of(collection(known), "compare")["compare.html"]
    names = [model["name"] for one in data_of(text) for model in one["models"]]  # type: ignore[attr-defined]
    assert len(names) == len(set(names)) == 3


# ------------------------------------------------------------------------------------------ history and feed


def test_the_history_says_what_replaced_what(records: Collection, pages: dict[str, str]) -> None:
    old = next(one for one in records.records if one.created.startswith("2026-03-01"))
    new = of(records, "vae")
    site, _ = site_of(records)
    change = next(one for one in history.changes(site.sections, records.records) if one.record == new)
    assert change.replaced == old
    assert f"../runs/{old.key}.html" not in pages["history.html"]
    assert f"runs/{old.key}.html" in pages["history.html"]
    moments = [one.record.created for one in history.changes(site.sections, records.records)]
    assert moments == sorted(moments, reverse=True)


def timed(label: str, day: int, ms: float, cpu: str = "one") -> Record:
    one = make(
        label, digits(), created=f"2026-03-{day:02d}T00:00:00Z", environment=MACHINE | {"cpu": cpu}, code=str(day)
    )
    found = [number("fid", 20.0 - day, protocol="p"), number("seconds_per_image", ms / 1000, 1e-6, protocol="q")]
    return msgspec.structs.replace(one, measurements={m.name: m for m in found})


def test_speeds_have_a_chart_for_each_class_of_hardware() -> None:
    known = [timed("vae", 1, 1.0), timed("vae", 3, 2.0), timed("gan", 1, 1.0, "two"), timed("gan", 2, 2.0, "two")]
    site, _ = site_of(collection(known))
    charts = history.charts(history.changes(site.sections, known))
    assert [(chart.axis, chart.hardware.partition(",")[0]) for chart in charts] == [
        ("quality", ""),
        ("speed", "one"),
        ("speed", "two"),
    ]
    fid = next(line for line in charts[0].lines if line.label == "vae")
    assert fid.times[1] - fid.times[0] == 2 * 24 * 3600
    assert [one.value for one in fid.cells] == [19.0, 17.0]
    assert fid.words == "vae: from 19.000 to 17.000"
    text = pages_of(collection(known), "history")["history.html"]
    for chart in charts:
        assert plain(chart.title) in text
    assert len(set(re.findall(r"figures/[a-z0-9_-]+\.pdf", text))) == len(charts)
    drawn = history.draw(charts[0], "name", "title", site.marks, lambda line: f"../models/{line.label}.html")
    assert drawn.pdf.startswith(b"%PDF")
    assert "2026-03-03" in drawn.svg
    assert "vae: from 19.000 to 17.000" in drawn.svg
    new = history.changes(site.sections, known)[0]
    assert [value.before for value in new.values if value.column.metric == "fid"] == ["19.000"]


def test_the_ends_of_a_day_are_told_apart() -> None:
    early = timed("vae", 1, 1.0)
    late = msgspec.structs.replace(timed("gan", 1, 2.0), created="2026-03-01T09:30:00Z")
    site, _ = site_of(collection([early, late]))
    chart = history.charts(history.changes(site.sections, [early, late]))[0]
    drawn = history.draw(chart, "name", "title", site.marks, lambda line: "x").svg
    assert ">2026-03-01 00:00<" in drawn
    assert ">2026-03-01 09:30<" in drawn


def test_records_of_one_moment_make_no_chart() -> None:
    known = [timed("vae", 1, 1.0), timed("gan", 1, 1.0)]
    site, _ = site_of(collection(known))
    assert history.charts(history.changes(site.sections, known)) == []
    assert "No chart" in pages_of(collection(known), "history")["history.html"]


ATOM = "{http://www.w3.org/2005/Atom}"


def test_the_feed_is_atom(records: Collection, pages: dict[str, str]) -> None:
    feed = ElementTree.fromstring(pages["feed.atom"])
    assert feed.tag == f"{ATOM}feed"
    for needed in ("id", "title", "updated", "author"):
        assert len(feed.findall(ATOM + needed)) == 1
    assert feed.find(f"{ATOM}link[@rel='self']") is not None
    entries = feed.findall(f"{ATOM}entry")
    assert len(entries) == len(records.records)
    identifiers = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(set(identifiers)) == len(entries)
    assert all(re.fullmatch("urn:uuid:[0-9a-f-]{36}", str(one)) for one in identifiers)
    moments = [str(entry.findtext(f"{ATOM}updated")) for entry in entries]
    assert moments == sorted(moments, reverse=True)
    assert feed.findtext(f"{ATOM}updated") == moments[0]
    for moment in moments:
        datetime.fromisoformat(moment)
    for entry in entries:
        link = entry.find(f"{ATOM}link")
        assert link is not None
        assert link.get("href") in pages
        assert entry.findtext(f"{ATOM}title")
        assert entry.findtext(f"{ATOM}summary")


def test_a_feed_survives_what_xml_cannot_say() -> None:
    entry = Entry(name="a", title="\x00\x1b\ud800\ufffe<&>", updated="2026-01-01T00:00:00Z", address="a", summary="ok")
    found = ElementTree.fromstring(atom("t", [entry]))
    assert found.findtext(f"{ATOM}entry/{ATOM}title") == "\ufffd\ufffd\ufffd\ufffd<&>"
    ElementTree.fromstring(atom("empty", []))


def test_a_retraction_is_a_change() -> None:
    shown = pages_of(
        collection([make("vae")], retracted={"ab" * 8: "trained on the test split (2026-04-01)"}), "history", "invalid"
    )
    feed = ElementTree.fromstring(shown["feed.atom"])
    assert feed.findtext(f"{ATOM}updated") == "2026-04-01T00:00:00Z"
    assert "abababababababab" in shown["invalid.html"]
    assert "trained on the test split" in shown["invalid.html"]


# ------------------------------------------------------------------------------------------ metrics, invalid, about


def test_every_metric_of_the_catalog_is_explained(pages: dict[str, str]) -> None:
    text = pages["metrics.html"]
    ids = Checker(text).ids
    for metric in catalog.METRICS:
        assert metric in ids
        article = text[text.index(f'<h3 id="{metric}"') :].partition("</article>")[0]
        assert "<p>" in article
    assert text.count("<math") > 300


def stress(pathology: str | None, dose: object, fid: float) -> Record:
    config = {} if pathology is None else {"pathology": pathology, "dose": dose}
    one = make(f"{pathology}={dose}", digits(), config=config)
    model = msgspec.structs.replace(one.model, family="pathology", control=True)
    return msgspec.structs.replace(one, model=model, measurements={"fid": number("fid", fid, 0.5)})


def test_the_pathology_matrix_is_shown_and_no_wrong_record_stops_it() -> None:
    known = [stress(None, None, 1.0), stress("blur", 0.5, 1.1), stress("blur", 1, 9.0), stress("noise", 1, 1.2)]
    wrong = [stress("blur", "much", 2.0), stress("blur", None, 2.0)]
    (matrix,) = metrics.matrices([*known, *wrong])
    assert matrix.responses["fid"]["blur"].symbol == "↑ 1"
    shown = collection([make("vae"), *known, *wrong])
    assert [row.label for row in site_of(shown)[0].sections[0].rows] == ["vae"]  # damaged data are no models
    text = pages_of(shown, "metrics")["metrics.html"]
    assert '<td class="worse">↑ 1</td>' in text
    assert '<td class="blind">·</td>' in text


def test_reports_of_conformance_become_a_matrix(tmp_path: Path) -> None:
    def outcome(case: str, implementation: str, verdict: str) -> dict[str, object]:
        return {"case": case, "implementation": implementation, "verdict": verdict, "reason": EVIL, "value": 1.0}

    cases = {name: {"metric": "fid", "about": "x", "more": 1} for name in ("fid/a", "fid/b")}
    report = {
        "cases": cases,
        "outcomes": [
            outcome("fid/a", "ours", "agrees"),
            outcome("fid/b", "ours", "agrees"),
            outcome("fid/a", "theirs", "deviates"),
            outcome("fid/b", "theirs", "agrees"),
            outcome("fid/a", "other", "not offered"),
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(report))
    (tmp_path / "b.json").write_text("{")
    found = metrics.conformance(tmp_path)
    assert found is not None
    assert found.implementations == ["ours", "theirs", "other"]
    assert found.rows == [("fid", [("2 of 2 agree", True), ("1 of 2 agree", False), ("not offered", True)])]
    assert [wrong[:2] for wrong in found.wrong] == [("theirs", "fid/a")]
    assert metrics.conformance(tmp_path / "nowhere") is None


def test_what_is_not_shown_is_listed_with_its_reason(pages: dict[str, str]) -> None:
    assert "None: every file" in pages["invalid.html"]
    shown = pages_of(collection([make("vae")], invalid=(Invalid(name="x.json", reason="it is not JSON"),)), "invalid")
    assert "x.json" in shown["invalid.html"]
    assert "it is not JSON" in shown["invalid.html"]


def test_about_counts_the_levels_of_trust() -> None:
    two = [make("vae"), make("gan")]
    text = pages_of(collection(two, trust={two[0].key: "reproduced", two[1].key: "self-reported"}), "about")[
        "about.html"
    ]
    assert re.search(r'reproduced</th><td>[^<]*</td><td class="num">1</td>', text)


def test_an_empty_collection_has_all_its_pages() -> None:
    shown = pages_of(collection([], invalid=(Invalid(name="a", reason="b"),)))
    assert {address for address, _ in NAVIGATION} <= shown.keys()


@pytest.mark.parametrize("shape", ["models", "families", "machines"])
def test_pages_of_a_thousand_records_take_seconds(shape: str) -> None:
    """About one, and five to seven if who is compared with whom were counted anew for each of them."""
    known = [named(make(("gan", "vae", "ddpm", "nade")[i % 4], digits()), f"model-{i}") for i in range(1000)]
    if shape == "families":
        known = [
            msgspec.structs.replace(one, model=msgspec.structs.replace(one.model, family=f"family {i}"))
            for i, one in enumerate(known)
        ]
    if shape == "machines":
        known = [
            msgspec.structs.replace(one, environment=MACHINE | {"cpu": f"cpu {i // 2}"}) for i, one in enumerate(known)
        ]
    started = time.process_time()
    texts = pages_of(collection(known), "model", "family", "dataset")
    assert time.process_time() - started < 4.5
    assert max(map(len, texts.values())) < 2_500_000


@pytest.mark.slow
def test_no_page_outgrows_its_bar_with_a_thousand_records() -> None:
    """A thousand configurations of one model, and a thousand models of one family: what grows is cut and says so."""
    sets: list[DatasetRun] = [digits(), ring8()]
    for known in (
        [make("vae", sets[i % 2], config={"width": i}) for i in range(1000)],
        [make("somebody", sets[i % 2], i % 3, config={"width": i // 3}) for i in range(1000)],
        [named(make("gan", sets[i % 2]), f"model-{i}") for i in range(1000)],
    ):
        for path, text in pages_of(collection(known)).items():
            if not path.startswith(("datasets/", "index")):  # with tests of their own
                assert len(text.encode()) <= LIMIT, path


def named(one: Record, label: str) -> Record:
    key = digest(label)[:16]
    return msgspec.structs.replace(one, key=key, model=msgspec.structs.replace(one.model, label=label))
