"""The site in a real browser: opened from the file system, asking for nothing, narrow and wide, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chromium import eventually, requests, show

OPEN_ALL = "document.querySelectorAll('details').forEach(d => { d.open = true; })"
TO_THE_END = "window.scrollTo(0, document.body.scrollHeight)"
TEXT = "return document.querySelector('main').innerText"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_nothing_is_blocked_and_nothing_leaves(browser: Any, site: Path, kinds: list[Path], scripts: bool) -> None:
    browser.get("about:blank")  # what pages of other tests have yet to say goes before the first
    browser.get_log("browser")
    requests(browser)
    for page in kinds:
        show(browser, page, scripts=scripts)
        browser.execute_script(OPEN_ALL)
        browser.execute_script(TO_THE_END)
        assert browser.get_log("browser") == [], page
        asked = requests(browser)
        assert page.as_uri() in asked
        assert (site / "style.css").as_uri() in asked
        assert ((site / "site.js").as_uri() in asked) == scripts, page
        assert all(url.startswith(site.as_uri()) for url in asked), asked


def test_pages_are_complete_without_scripts(browser: Any, site: Path, kinds: list[Path]) -> None:
    """Nothing of a page is hidden, and nothing that could not work is offered."""
    for page in kinds:
        show(browser, page, scripts=False)
        assert len(browser.execute_script(TEXT)) > 100, page
        hidden = browser.execute_script(
            """return [...document.querySelectorAll('main :is(td, th, p, li, a, img, figure)')].filter(
                e => !e.closest('details, [hidden]') && !e.checkVisibility()).map(e => e.outerHTML.slice(0, 80))"""
        )
        assert hidden == [], page
        controls = (
            "return [...document.querySelectorAll('button, input, select')].filter(e => e.checkVisibility()).length"
        )
        assert browser.execute_script(controls) == 0, page


def test_pictures_load_and_keep_their_places(browser: Any, site: Path, kinds: list[Path]) -> None:
    """No picture moves what is below it; and what a script adds late shifts no more than 0.1 of what is visible."""
    seen = 0
    for page in kinds:
        show(browser, page)
        before = browser.execute_script("return document.documentElement.scrollHeight")
        sizes = browser.execute_async_script(
            """const done = arguments[0], images = [...document.images];
            images.forEach(i => { i.loading = 'eager'; });
            const sizes = () => images.map(i => [i.naturalWidth, i.naturalWidth / i.naturalHeight, i.width / i.height]);
            Promise.all(images.map(i => i.decode())).then(() => done(sizes()));"""
        )
        seen += len(sizes)
        assert all(width > 0 and abs(shown / own - 1) < 0.02 for width, own, shown in sizes), page
        assert browser.execute_script("return document.documentElement.scrollHeight") == before, page
        shift = browser.execute_async_script(
            """const done = arguments[0]; let sum = 0;
            const watch = new PerformanceObserver(list => list.getEntries().forEach(e => { sum += e.value; }));
            watch.observe({type: 'layout-shift', buffered: true});
            requestAnimationFrame(() => setTimeout(() => done(sum), 50));"""
        )
        assert shift < 0.1, page
    assert seen > 10


@pytest.mark.parametrize("width", [320, 360, 768, 1400])
def test_no_page_scrolls_sideways(browser: Any, kinds: list[Path], width: int) -> None:
    scrolled = 0
    for page in kinds:
        show(browser, page, width=width)
        browser.execute_script(OPEN_ALL)
        found, wide = browser.execute_script(
            """const apart = '.scroll, pre, svg, .away';
            const over = [...document.querySelectorAll('main *')].filter(
                e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(apart));
            const inner = [...document.querySelectorAll('.scroll')].some(e => e.scrollWidth > e.clientWidth);
            return [[document.documentElement.scrollWidth, ...over.map(e => e.outerHTML.slice(0, 90))], inner]"""
        )
        assert found[0] <= width, (page, found)
        scrolled += wide
    assert scrolled or width == 1400, "wide tables scroll inside their own container"


def test_pages_follow_the_colour_scheme(browser: Any, kinds: list[Path]) -> None:
    """Variables in presentation attributes have to reach the figures, or dark text would stand on dark paper."""
    for page in kinds:
        found = {}
        for scheme in ("light", "dark"):
            show(browser, page, scheme=scheme)
            found[scheme] = browser.execute_script(
                """const style = getComputedStyle, texts = [...document.querySelectorAll('.panels svg text')];
                const label = texts.find(t => /better/.test(t.textContent));
                return [style(document.body).backgroundColor, style(document.body).color, label && style(label).fill]"""
            )
        assert found["light"][0] == "rgb(255, 255, 255)", page
        assert found["light"][0] != found["dark"][0]
        for _, ink, label in found.values():
            assert label in (ink, None), page
    assert found


def test_paper_is_white_and_has_no_controls(browser: Any, site: Path) -> None:
    show(browser, site / "datasets" / "digits.html", scheme="dark", media="print")
    paper, nav, tools = browser.execute_script(
        """const shown = s => [...document.querySelectorAll(s)].some(e => e.checkVisibility());
        const root = getComputedStyle(document.documentElement).backgroundColor;
        return [getComputedStyle(document.body).backgroundColor, shown('nav'), shown('.tools')]"""
    )
    assert paper == "rgb(255, 255, 255)"
    assert not nav
    assert not tools


def test_a_point_leads_to_its_model(browser: Any, site: Path) -> None:
    for page in (site / "index.html", site / "datasets" / "digits.html"):
        show(browser, page)
        target, label = browser.execute_script(
            """const point = document.querySelector('.panels svg a');
            return [point.href.baseVal, point.getAttribute('aria-label') ?? point.textContent]"""
        )
        browser.get((page.parent / target).as_uri())
        assert browser.execute_script("return document.querySelector('h1').textContent") in label


def test_labels_stay_inside_their_figures(browser: Any, kinds: list[Path]) -> None:
    for page in kinds:
        show(browser, page)
        outside = browser.execute_script(
            """return [...document.querySelectorAll('figure svg')].flatMap(svg => {
                const frame = svg.getBoundingClientRect();
                return [...svg.querySelectorAll('text')].filter(text => {
                    const box = text.getBoundingClientRect();
                    return box.left < frame.left - 1 || box.right > frame.right + 1
                        || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
                }).map(text => text.textContent);
            })"""
        )
        assert outside == [], page


def test_a_row_that_is_named_in_the_address_stands_out(browser: Any, site: Path) -> None:
    show(browser, site / "datasets" / "digits.html")
    name = browser.execute_script("return document.querySelector('#table tbody.model tr[id]').id")
    show(browser, f"{(site / 'datasets' / 'digits.html').as_uri()}#{name}")
    colour = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    assert browser.execute_script(colour, "tr:target > th") != browser.execute_script(colour, "body")
    assert eventually(lambda: browser.execute_script("return window.scrollY")) > 0
