"""The headline table of one dataset, put into a README: `python -m leaderboard.headline RECORDS DATASET README.md`.

It takes the place of what stands between two lines of the README, `<!-- headline -->` and `<!-- /headline -->`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from genbench import files
from genbench.errors import Refused
from leaderboard.downloads import as_headline
from leaderboard.load import collect
from leaderboard.table import sections

BEGIN, END = "<!-- headline -->\n", "<!-- /headline -->\n"


def insert(text: str, table: str) -> str:
    """The text with a table between the two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Refused(f"the file has no lines {BEGIN.strip()} and {END.strip()} to put the table between")
    return f"{before}{begin}{table}{end}{after}"


def headline(records: Path, dataset: str) -> str:
    """The headline table of a dataset, of the records in a folder."""
    for section in sections(collect(records).records):
        if section.title == dataset:
            return as_headline(section)
    raise Refused(f"there are no records on {dataset!r} in {records.name}")


if __name__ == "__main__":
    target = Path(sys.argv[3])
    files.write(target, insert(target.read_text("utf-8"), headline(Path(sys.argv[1]), sys.argv[2])).encode())
