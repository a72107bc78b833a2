"""The files of a site without a browser: valid markup, nothing foreign, small, the same bytes from every process."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import html5lib
import msgspec
import pytest

from leaderboard.build import build
from tests import synthetic

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    """'"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}]]>--><svg/onload=alert(1)></td></a>&lt;"""
)


def elements(page: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The elements of a page in which HTML's parser finds no error; names without the prefix of SVG or MathML."""
    parser = html5lib.HTMLParser(strict=True, tree=html5lib.getTreeBuilder("etree"))
    tree = parser.parse(page.read_text(encoding="utf-8"))
    for element in tree.iter():
        if isinstance(element.tag, str):
            yield element.tag.rpartition("}")[2], {str(k): str(v) for k, v in element.attrib.items()}


def check(page: Path) -> None:
    """One document: valid, named, in one stylesheet, with deferred scripts and pictures that keep their places."""
    found = list(elements(page))
    names = [name for name, _ in found]
    assert "title" in names, page  # figures have titles of their own
    assert [names.count(once) for once in ("main", "h1", "footer")] == [1, 1, 1], page
    by_name = {name: [attributes for other, attributes in found if other == name] for name in set(names)}
    assert by_name["html"][0]["lang"] == "en"
    assert {m.get("name") for m in by_name["meta"]} >= {"viewport", "description", "referrer", "color-scheme"}
    assert [link["rel"] for link in by_name["link"] if link["rel"] != "alternate"] == ["stylesheet"]
    for script in by_name.get("script", []):
        assert "defer" in script or script.get("type") == "application/json", page
    for image in by_name.get("img", []):
        assert image["alt"]
        assert int(image.get("width", 0)) > 0
        assert int(image.get("height", 0)) > 0
        assert image.get("loading") == "lazy"
    for name, attributes in found:
        assert not any(key.startswith("on") or key == "style" for key in attributes), (page, name)
        for key in ("src", "href", "srcset", "action", "{http://www.w3.org/1999/xlink}href"):
            target = attributes.get(key, "")
            assert not re.match(r"\s*([a-zA-Z][\w+.-]*:|//)", target), (page, target)
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids)), page
    for _, attributes in found:
        for key in ("aria-labelledby", "aria-describedby", "for"):
            assert set(attributes.get(key, "").split()) <= set(ids), (page, attributes)


def test_every_page_is_valid(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        check(page)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</main>", ""),
        ("<main", "<p><div></p><main"),
        ('<html lang="en">', '<html lang="en" lang="de">'),
        ("</h1>", "</h1><img src=x alt=x>"),
        ("</h1>", "</h1><a href=javascript:alert(1)>x</a>"),
        ("</h1>", '</h1><a id="main">x</a>'),
        ("</h1>", "</h1><b onclick='x'>x</b>"),
        (" defer>", ">"),
    ],
)
def test_what_is_not_valid_is_found(site: Path, tmp_path: Path, old: str, new: str) -> None:
    text = (site / "about.html").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "page.html").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises((AssertionError, html5lib.html5parser.ParseError)):
        check(tmp_path / "page.html")


def test_pages_of_one_kind_have_titles_of_their_own(site: Path) -> None:
    titles = [re.search(r"<title>(.*?)</title>", page.read_text(encoding="utf-8")) for page in site.rglob("*.html")]
    assert len({found.group(1) for found in titles if found}) == len(titles)


def test_pages_are_small_and_the_front_page_is_smaller(site: Path) -> None:
    assert (site / "index.html").stat().st_size <= 300_000
    for page in site.rglob("*.html"):
        assert page.stat().st_size <= 1_000_000, page


def hostile_site(folder: Path) -> Path:
    """Two models of which every name that a record may choose is markup."""
    replace = msgspec.structs.replace
    for place, label in enumerate(("vae", "nade")):
        picture = synthetic.png(random.Random(place), side=2)
        base = synthetic.make(label, seed=place, picture=picture)
        measurements = dict(base.measurements)
        for name in (HOSTILE, "precision"):
            one = synthetic.undefined(name, HOSTILE)
            measurements[one.name] = one
        names = {"label": HOSTILE + str(place), "family": HOSTILE, "reference": HOSTILE}
        model = replace(base.model, **names, config={HOSTILE: HOSTILE})
        data = replace(base.dataset, label=HOSTILE, reference=HOSTILE)
        machine = {**base.environment, "cpu": HOSTILE, "genbench": HOSTILE, HOSTILE: HOSTILE}
        hostile = replace(base, model=model, dataset=data, environment=machine, measurements=measurements)
        synthetic.write(folder / "records", hostile, picture)
    (folder / "records" / "<b onclick=alert(1)>.json").write_text(HOSTILE)
    return build(folder / "records", folder / "site").parent


def test_markup_in_names_is_text_on_every_page(tmp_path: Path, unchecked: None) -> None:
    pages = sorted(hostile_site(tmp_path).rglob("*.html"))
    assert len(pages) > 8
    for page in pages:
        check(page)


def test_markup_in_names_does_nothing_in_a_browser(browser: object, tmp_path: Path, unchecked: None) -> None:
    from tests.e2e.chromium import requests, show

    site = hostile_site(tmp_path)
    requests(browser)
    for page in sorted(site.rglob("*.html")):
        show(browser, page)
        assert browser.execute_script("return document.querySelectorAll('[src=x], [onclick], [onload]').length") == 0
        assert browser.get_log("browser") == [], page  # a blocked script would stand there
    assert all(url.startswith(site.as_uri()) for url in requests(browser))


@pytest.mark.slow
def test_every_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Neither the seed of hashes nor zone, language, working directory or order of files reach a page."""
    for place, label in enumerate(("real", "vae", "nade", "gan")):
        picture = synthetic.png(random.Random(place), side=2)
        synthetic.write(tmp_path / "records", synthetic.make(label, picture=picture), picture)
    code = "import sys; from pathlib import Path; from leaderboard.build import build; build(*map(Path, sys.argv[1:]))"
    found = []
    for seed, zone, language in (("1", "UTC", "C.UTF-8"), ("2", "Asia/Tokyo", "C")):
        (tmp_path / seed).mkdir()
        environment = os.environ | {
            "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": language, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0",
        }  # fmt: skip
        command = [sys.executable, "-c", code, tmp_path / "records", tmp_path / seed / "site"]
        subprocess.run(command, check=True, cwd=tmp_path / seed, env=environment)
        files = sorted(path for path in (tmp_path / seed).rglob("*") if path.is_file())
        found.append({
            path.relative_to(tmp_path / seed): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        })  # fmt: skip
    assert found[0] == found[1]
    assert len(found[0]) > 20
