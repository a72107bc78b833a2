"""Our own published records: valid, in their places, ours, and the README's table is theirs."""

from pathlib import Path

from leaderboard.headline import headline, insert
from leaderboard.load import collect
from leaderboard.submission import verdicts

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "leaderboard" / "records"


def test_every_published_record_may_be_published():
    found = verdicts([RECORDS])
    assert len(found) > 100
    assert [(one.path.name, one.reasons) for one in found if one.reasons] == []


def test_every_published_record_has_a_level_of_trust_and_none_is_left_out():
    collection = collect(RECORDS)
    assert not collection.invalid
    assert {collection.trust[one.key] for one in collection.records} <= {
        "maintainer-run",
        "reproduced",
        "self-reported",
    }
    assert {one.dataset.label for one in collection.records} >= {"ring8", "grid25", "digits", "glyphs"}


def test_the_table_of_the_readme_is_that_of_the_records():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert insert(text, headline(RECORDS, "digits")) == text
