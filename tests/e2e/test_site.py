"""The site in a real browser: opened from the file system, asking for nothing, narrow and wide, light and dark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboard.build import build
from tests import synthetic

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="there is no Chromium with its chromedriver")

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    synthetic.populate(folder / "records", side=3)
    (folder / "records" / "broken.json").write_text("{")
    return build(folder / "records", folder / "site")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def show(browser: Any, page: Path, width: int = 1400, scheme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(page.as_uri())


def test_nothing_is_blocked_and_nothing_leaves(browser: Any, site: Path) -> None:
    browser.get_log("performance")
    show(browser, site)
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url.rsplit("/", 1)[-1] for url in asked} >= {"index.html", "style.css"}
    assert all(url.startswith(site.parent.as_uri()) for url in asked), asked


def test_pictures_load_and_keep_their_places(browser: Any, site: Path) -> None:
    show(browser, site)
    sizes = browser.execute_async_script(
        """const done = arguments[0], images = [...document.images];
        images.forEach(i => { i.loading = 'eager'; });
        const sizes = () => images.map(i => [i.naturalWidth, i.width, i.height]);
        Promise.all(images.map(i => i.decode())).then(() => done(sizes()));"""
    )
    assert len(sizes) == 31
    assert all(natural > 0 and abs(width - height) <= 1 for natural, width, height in sizes)


@pytest.mark.parametrize("width", [320, 400, 768, 1400])
def test_the_page_never_scrolls_sideways(browser: Any, site: Path, width: int) -> None:
    show(browser, site, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    scrolling = "return [...document.querySelectorAll('.scroll')].some(e => e.scrollWidth > e.clientWidth)"
    assert browser.execute_script(scrolling) or width == 1400, "wide tables scroll inside their own container"


def test_figures_follow_the_colour_scheme(browser: Any, site: Path) -> None:
    """Variables in presentation attributes have to reach the figures, or dark text would stand on dark paper."""
    found = {}
    for scheme in ("light", "dark"):
        show(browser, site, scheme=scheme)
        found[scheme] = browser.execute_script(
            """const style = getComputedStyle;
            const label = [...document.querySelectorAll('.panels svg text')].find(t => /better/.test(t.textContent));
            return [style(document.body).backgroundColor, style(label).fill, style(document.body).color]"""
        )
    assert found["light"][0] == "rgb(255, 255, 255)"
    assert found["light"][0] != found["dark"][0]
    for _, label, ink in found.values():
        assert label == ink


def test_a_point_leads_to_its_row(browser: Any, site: Path) -> None:
    show(browser, site)
    target = browser.execute_script("return document.querySelector('.panels svg a').getAttribute('href')")
    browser.get(f"{site.as_uri()}{target}")
    assert browser.execute_script("return document.querySelector('tr:target th').textContent.trim()")


def test_labels_stay_inside_their_figures(browser: Any, site: Path) -> None:
    show(browser, site)
    outside = browser.execute_script(
        """return [...document.querySelectorAll('.panels svg')].flatMap(svg => {
            const frame = svg.getBoundingClientRect();
            return [...svg.querySelectorAll('text')].filter(text => {
                const box = text.getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1
                    || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
            }).map(text => text.textContent);
        })"""
    )
    assert outside == []
