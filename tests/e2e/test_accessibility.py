"""Pages for everybody: an accessibility checker without objections, and everything within reach of the keyboard."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chromium import show

FOCUSABLE = "a[href], button, input, select, summary, [tabindex='0']"


@cache
def axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def objections(browser: Any, rules: list[str] | None = None) -> list[str]:
    """What axe-core objects to, under every rule that it has or under some; one line for each element."""
    browser.execute_script(axe())
    # without "preload", which would fetch the stylesheets again: the page's own policy forbids that
    return browser.execute_async_script(
        """const [rules, done] = arguments;
        const only = rules && {runOnly: {type: 'rule', values: rules}};
        const options = {resultTypes: ['violations'], preload: false, ...only};
        axe.run(document, options).then(found => done(found.violations.flatMap(
            v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 120)} (${n.failureSummary})`))),
            error => done([String(error)]));""",
        rules,
    )


def test_the_checker_finds_what_is_wrong(browser: Any, site: Path) -> None:
    show(browser, site / "index.html")
    browser.execute_script(
        """document.querySelector('main').insertAdjacentHTML('beforeend',
            '<img src="x.png"><p class="faint">faint</p><table><tr><th></th></tr></table>');
        document.querySelector('.faint').style.color = '#bbbbbb';"""
    )
    assert {line.partition(":")[0] for line in objections(browser)} >= {"image-alt", "color-contrast"}
    assert {line.partition(":")[0] for line in objections(browser, ["color-contrast"])} == {"color-contrast"}


def test_no_page_has_a_violation(browser: Any, kinds: list[Path]) -> None:
    browser.set_script_timeout(120)
    found = {}
    for page in kinds:
        show(browser, page)
        browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        found[page.name] = objections(browser)
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1400), ("light", 360)])
def test_contrast_and_targets_hold_in_the_dark_and_on_small_screens(
    browser: Any, kinds: list[Path], scheme: str, width: int
) -> None:
    browser.set_script_timeout(120)
    for page in kinds:
        show(browser, page, width=width, scheme=scheme)
        assert objections(browser, ["color-contrast", "link-in-text-block", "target-size"]) == [], page


def test_the_keyboard_reaches_everything(browser: Any, site: Path) -> None:
    """Tab visits every link, button, box and scrolled table in the order of the page, and leaves none for the mouse."""
    from selenium.webdriver import ActionChains, Keys

    for page in (site / "index.html", site / "datasets" / "ring8.html"):
        show(browser, page)
        expected = browser.execute_script(
            f"""window.order = [...document.querySelectorAll("{FOCUSABLE}")].filter(
                e => e.checkVisibility({{visibilityProperty: true}}) && !e.disabled);
            document.body.focus(); return order.length"""
        )
        assert expected > 30
        keys = ActionChains(browser, duration=0)
        for _ in range(expected):
            keys.send_keys(Keys.TAB)
        browser.execute_script(
            """window.visited = [];
            document.addEventListener('focusin', e => {
                const ring = getComputedStyle(e.target).outlineStyle !== 'none';
                visited.push([order.indexOf(e.target), e.target.matches(':focus-visible') && ring]);
            });"""
        )
        keys.perform()
        visited = browser.execute_script("return visited")
        assert [place for place, _ in visited] == list(range(expected)), page
        assert all(ring for _, ring in visited), "the focus can be seen"


def test_a_table_is_sorted_and_filtered_with_keys_alone(browser: Any, site: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    show(browser, site / "datasets" / "digits.html")
    press = lambda *keys: ActionChains(browser, duration=0).send_keys(*keys).perform()  # noqa: E731
    browser.execute_script("document.querySelector(\"#table th[data-key='recall'] button\").focus()")
    press(Keys.ENTER)
    sort = "return document.querySelector(\"#table th[data-key='recall']\").getAttribute('aria-sort')"
    assert browser.execute_script(sort) == "descending"
    press(Keys.SPACE)
    assert browser.execute_script(sort) == "ascending"
    assert browser.execute_script("return document.activeElement.closest('th').dataset.key") == "recall"
    browser.execute_script("document.querySelector('.tools summary').focus()")
    press(Keys.ENTER, Keys.TAB, Keys.SPACE)
    assert browser.execute_script("return document.activeElement.type") == "checkbox"
    assert "family=" in browser.current_url


def test_the_first_key_skips_to_the_content(browser: Any, site: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    show(browser, site / "index.html")
    ActionChains(browser, duration=0).send_keys(Keys.TAB).perform()
    link = "const link = document.activeElement; return [link.hash, link.getBoundingClientRect().left >= 0]"
    assert browser.execute_script(link) == ["#main", True]
    ActionChains(browser, duration=0).send_keys(Keys.ENTER, Keys.TAB).perform()
    assert browser.execute_script("return Boolean(document.activeElement.closest('main'))")
