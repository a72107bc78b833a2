"""What the script adds to a table: sorting, filters, columns, and a view that stands in the address."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.chromium import eventually, show

VALUES = """const index = [...document.querySelectorAll('#table thead tr:last-child > *')].findIndex(
    h => h.dataset.key === arguments[0]);
return [...document.querySelectorAll(`#table tbody.${arguments[1]} tr:not(.group)`)].filter(r => r.checkVisibility())
    .map(r => r.cells[index].dataset.v ?? null).map(v => v === null ? null : Number(v))"""
NAMES = """return [...document.querySelectorAll('#table tbody.model tr:not(.group)')].filter(r => r.checkVisibility())
    .map(r => r.cells[0].querySelector('a').textContent)"""
COLUMNS = """return [...document.querySelectorAll('#table thead tr:last-child > [data-key]')].filter(
    h => h.checkVisibility()).map(h => h.dataset.key)"""
PRESS = "document.querySelector(`#table th[data-key='${arguments[0]}'] button`).click()"
ARIA = "return document.querySelector(`#table th[data-key='${arguments[0]}']`).getAttribute('aria-sort')"
CHECK = """const box = [...document.querySelectorAll('.tools label')].find(
    l => l.textContent === arguments[0]).querySelector('input'); box.click(); return box.checked"""


@pytest.fixture
def digits(browser: Any, site: Path) -> Iterator[str]:
    """The address of the page with a whole table, which is shown."""
    page = (site / "datasets" / "digits.html").as_uri()
    show(browser, page)
    yield page
    assert browser.get_log("browser") == []


def view(browser: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(browser.current_url).fragment, keep_blank_values=True)


def test_a_heading_sorts_by_the_better_end_first_then_the_other_then_not(browser: Any, digits: str) -> None:
    names = browser.execute_script(NAMES)
    for key, better in (("recall", "descending"), ("seconds_per_image", "ascending")):
        worse = "ascending" if better == "descending" else "descending"
        for way in (better, worse):
            browser.execute_script(PRESS, key)
            assert browser.execute_script(ARIA, key) == way
            assert view(browser) == {"sort": [f"{key}:{way}"]}
            for group in ("model", "control"):
                found = browser.execute_script(VALUES, key, group)
                assert found == sorted(found, reverse=way == "descending"), "rows stay in their group"
                assert len(found) > 1
        browser.execute_script(PRESS, key)
        assert browser.execute_script(NAMES) == names
        assert view(browser) == {}


def test_missing_values_are_last_whichever_way(browser: Any, digits: str) -> None:
    for _ in range(2):
        browser.execute_script(PRESS, "bits_per_dim")
        found = browser.execute_script(VALUES, "bits_per_dim", "model")
        assert None in found
        assert None not in found[: -found.count(None)]


def test_names_sort_by_letters(browser: Any, digits: str) -> None:
    browser.execute_script(PRESS, "model")
    names = browser.execute_script(NAMES)
    assert names == ["ddpm", "ddpm[steps=20]", "gan", "nade", "pixelcnn", "vae"]


def test_the_order_of_the_page_is_declared(browser: Any, digits: str) -> None:
    assert browser.execute_script(ARIA, "fid") == "ascending"
    found = browser.execute_script(VALUES, "fid", "model")
    assert found == sorted(found)
    browser.execute_script(PRESS, "recall")
    assert browser.execute_script(ARIA, "fid") is None


def test_a_name_is_found(browser: Any, digits: str) -> None:
    browser.find_element("css selector", ".tools input[type=search]").send_keys("DDPM")
    assert browser.execute_script(NAMES) == ["ddpm", "ddpm[steps=20]"]
    assert view(browser) == {"find": ["DDPM"]}
    said = browser.find_element("css selector", ".tools output").get_attribute("textContent")
    assert said == "5 of 9 rows", "two models, and what they are held against"


@pytest.mark.parametrize(
    ("box", "left"), [("gan", ["gan"]), ("variational", ["vae"]), ("autoregressive", ["nade", "pixelcnn"])]
)
def test_families_are_filtered(browser: Any, digits: str, box: str, left: list[str]) -> None:
    before = browser.execute_script(NAMES)
    assert browser.execute_script(CHECK, box) is True
    assert sorted(browser.execute_script(NAMES)) == left
    assert view(browser) == {"family": [box]}
    assert browser.execute_script(VALUES, "fid", "reference"), "what models are held against stays"
    assert browser.execute_script(CHECK, box) is False
    assert browser.execute_script(NAMES) == before
    assert view(browser) == {}


def test_machines_are_filtered(browser: Any, digits: str) -> None:
    another = browser.execute_script("return document.querySelector('tr[data-hardware^=Another]').dataset.hardware")
    browser.execute_script(CHECK, another)
    assert browser.execute_script(NAMES) == ["pixelcnn"]


def test_columns_are_chosen(browser: Any, digits: str) -> None:
    before = browser.execute_script(COLUMNS)
    assert "kid" not in before
    assert browser.execute_script(CHECK, "KID") is True
    assert browser.execute_script(CHECK, "FID") is False
    after = browser.execute_script(COLUMNS)
    assert set(after) ^ set(before) == {"kid", "fid"}
    assert view(browser)["columns"] == [",".join(after[1:])]
    widths = browser.execute_script(
        """return [...document.querySelectorAll('#table tr')].filter(r => r.checkVisibility()).map(
            r => [...r.cells].filter(c => c.checkVisibility()).reduce((sum, c) => sum + c.colSpan, 0))"""
    )
    assert set(widths) == {len(after)}, "every line of the table is as wide as the others"


def test_an_axis_shows_all_its_columns_and_no_others(browser: Any, digits: str) -> None:
    before = browser.execute_script(COLUMNS)
    assert "kid" not in before
    assert browser.execute_script(CHECK, "Quality") is True
    quality = browser.execute_script(COLUMNS)
    assert set(quality) >= {"model", "fid", "kid", "precision"}
    assert "recall" not in quality
    assert view(browser) == {"axis": ["Quality"]}
    browser.execute_script(CHECK, "Diversity")
    assert set(browser.execute_script(COLUMNS)) >= {"fid", "kid", "recall"}
    assert view(browser) == {"axis": ["Quality", "Diversity"]}
    address = browser.current_url
    show(browser, address)
    assert set(browser.execute_script(COLUMNS)) >= {"fid", "kid", "recall"}
    browser.execute_script(CHECK, "KID")
    assert "axis" not in view(browser), "single columns take the place of an axis"
    assert "kid" not in browser.execute_script(COLUMNS)
    browser.execute_script(CHECK, "Speed")
    assert view(browser) == {"axis": ["Speed"]}
    assert browser.execute_script(CHECK, "Speed") is False
    assert browser.execute_script(COLUMNS) == before
    assert view(browser) == {}


@pytest.fixture
def long(browser: Any, site: Path, tmp_path: Path) -> Path:
    """The page with each model's row twenty times; the numbers differ."""
    for name in ("style.css", "site.js"):
        shutil.copy(site / name, tmp_path)
    text = (site / "datasets" / "digits.html").read_text(encoding="utf-8")
    head, models, rest = re.split(r'(<tbody class="model">.*?</tbody>)', text, maxsplit=1, flags=re.DOTALL)
    rows = re.findall(r"<tr id=.*?</tr>", models, flags=re.DOTALL)
    many = [
        re.sub(r'data-v="([0-9.]+)"', lambda match, copy=copy: f'data-v="{float(match[1]) + copy}"', row).replace(
            ' id="', f' id="copy{copy}-'
        )
        for copy in range(20)
        for row in rows
    ]
    (tmp_path / "datasets").mkdir()
    page = tmp_path / "datasets" / "long.html"
    title = models[: models.index("<tr id=")]
    page.write_text(f"{head}{title}{''.join(many)}</tbody>{rest}", encoding="utf-8")
    return page


def test_of_a_long_table_the_first_rows_are_shown_in_whatever_order(browser: Any, long: Path) -> None:
    show(browser, long)
    output = "return document.querySelector('.tools output').textContent"
    assert len(browser.execute_script("return [...document.querySelectorAll('#table tbody.model tr')]")) < 60
    assert browser.execute_script(output) == "50 of 123 rows"
    browser.execute_script(PRESS, "recall")
    assert browser.execute_script(VALUES, "recall", "model")[0] > 19, (
        "the best of all rows, not of those that stood there"
    )
    browser.execute_script(PRESS, "recall")
    assert browser.execute_script(VALUES, "recall", "model")[0] < 1
    (more,) = [b for b in browser.find_elements("css selector", ".tools button") if b.text.startswith("Show all")]
    more.click()
    found = browser.execute_script(VALUES, "recall", "model")
    assert len(found) == 120
    assert found == sorted(found)
    assert browser.execute_script(output) == ""
    assert browser.get_log("browser") == []


def test_a_view_can_be_kept_and_sent(browser: Any, digits: str) -> None:
    for key in ("recall", "recall"):
        browser.execute_script(PRESS, key)
    browser.execute_script(CHECK, "KID")
    browser.execute_script(CHECK, "gan")
    browser.find_element("css selector", ".tools input[type=search]").send_keys("d")
    address, names, columns = browser.current_url, browser.execute_script(NAMES), browser.execute_script(COLUMNS)
    show(browser, address)
    assert browser.execute_script(NAMES) == names
    assert browser.execute_script(COLUMNS) == columns
    assert browser.execute_script(ARIA, "recall") == "ascending"
    assert browser.current_url == address
    (reset,) = [b for b in browser.find_elements("css selector", ".tools button") if b.text == "Reset"]
    reset.click()
    assert view(browser) == {}
    whole = browser.execute_script(NAMES)
    show(browser, digits)
    assert browser.execute_script(NAMES) == whole


@pytest.mark.parametrize(
    "words",
    [
        "sort=nothing:descending",
        "sort=fid",
        "columns=",
        "columns=<img src=x onerror=alert(1)>,fid",
        "family=%3Cscript%3Ealert(1)%3C/script%3E&find=%00&rows=all&__proto__=1&constructor=x",
        "%E0%A4%A",
        "=&=&&",
    ],
)
def test_no_address_breaks_a_page(browser: Any, digits: str, words: str) -> None:
    show(browser, f"{digits}#{words}")
    buttons = "return document.querySelectorAll('.tools, #table thead button').length > 5"
    assert eventually(lambda: browser.execute_script(buttons))
    assert browser.execute_script("return document.querySelectorAll('main :is(script, img[src=x])').length") == 0
    browser.execute_script(PRESS, "recall")
    assert browser.execute_script(ARIA, "recall") == "descending"


def test_tables_of_other_pages_sort_as_well(browser: Any, site: Path) -> None:
    show(browser, site / "index.html")
    ways = browser.execute_script(
        """const head = document.querySelector("table.results th[data-key='recall']"), ways = [];
        for (let i = 0; i < 3; i++) { head.querySelector('button').click(); ways.push(head.getAttribute('aria-sort')); }
        return [...ways, location.hash]"""
    )
    assert ways == ["descending", "ascending", None, ""]


def test_models_are_compared_and_the_address_holds_the_choice(browser: Any, site: Path) -> None:
    heads = "return [...document.querySelectorAll('#compare-table thead th a')].map(a => a.textContent)"
    box = "document.querySelector(`#compare-models input[value='${arguments[0]}']`)"
    show(browser, f"{(site / 'compare.html').as_uri()}#d=digits&m=vae&m=gan")
    assert eventually(lambda: browser.execute_script(heads)) == ["vae", "gan"]
    for name in ("ddpm", "nade", "pixelcnn"):
        browser.execute_script(f"{box}.click()", name)
    assert eventually(lambda: len(browser.execute_script(heads)) == 5)
    assert view(browser) == {"d": ["digits"], "m": ["vae", "gan", "ddpm", "nade", "pixelcnn"]}
    assert browser.execute_script(f"return {box}.disabled", "ddpm[steps=20]"), "five are the most"
    show(browser, browser.current_url)
    assert len(eventually(lambda: browser.execute_script(heads))) == 5
    for name in ("gan", "ddpm", "nade", "pixelcnn"):
        browser.execute_script(f"{box}.click()", name)
        assert eventually(lambda gone=name: gone not in view(browser)["m"])
    assert eventually(lambda: browser.execute_script(heads) == []), "one model is no comparison"
    assert browser.get_log("browser") == []
