"""A picture of the built page, for the README: `python -m leaderboard.picture site/index.html leaderboard/page.png`.

Needs Chromium on the path; nothing else in genbench does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from genbench.errors import Refused

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip


def picture(page: Path, out: Path, width: int = 1300, height: int = 1500) -> Path:
    """The top of a page as a PNG of the given size."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise Refused("a picture of the page needs Chromium, which is not on the path")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}",
                f"--screenshot={out.resolve()}", page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
    return out


if __name__ == "__main__":
    picture(Path(sys.argv[1]), Path(sys.argv[2]))
