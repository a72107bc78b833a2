"""A browser for the tests of the site: Chromium, headless, asking nobody for anything; and what tests ask of a page."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip


def missing() -> str:
    """Why there is no browser to test with; empty if there is one."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    return "" if BROWSER and DRIVER else "there is no Chromium with its chromedriver"


def start(profile: Path) -> Any:
    """A driver whose logs hold the console and every request."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def show(
    browser: Any,
    page: Path | str,
    *,
    width: int = 1400,
    scheme: str = "light",
    scripts: bool = True,
    media: str = "screen",
) -> None:
    """Opens a page anew, whatever the tests before have set."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
    browser.get("about:blank")  # an address that differs after its # alone would not load again
    browser.get(page if isinstance(page, str) else page.as_uri())
    # On a busy machine `get` may take the end of about:blank's loading for that of the page.
    ready = "return location.protocol !== 'about:' && document.readyState === 'complete'"
    assert eventually(lambda: browser.execute_script(ready), 30.0), f"{page} has not loaded"


def requests(browser: Any) -> set[str]:
    """The addresses asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    return asked - {"about:blank"}


def eventually(found: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value that `found` gives, or its last one."""
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.02)
    return value
