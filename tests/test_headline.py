"""The README's table."""

import pytest

from genbench.errors import Refused
from leaderboard.downloads import as_headline
from leaderboard.headline import insert
from leaderboard.table import sections
from tests.synthetic import digits, make


def test_the_table_stands_between_its_marks_and_nowhere_else():
    text = "one\n<!-- headline -->\nold\n<!-- /headline -->\ntwo\n"
    assert insert(text, "| new |\n") == "one\n<!-- headline -->\n| new |\n<!-- /headline -->\ntwo\n"
    assert insert(insert(text, "| a |\n"), "| b |\n") == insert(text, "| b |\n")
    for wrong in ("one\n", "<!-- headline -->\n", "<!-- /headline -->\n"):
        with pytest.raises(Refused, match="has no lines"):
            insert(wrong, "| new |\n")


def test_the_headline_has_models_real_data_and_one_column_for_each_axis():
    (section,) = sections([make(label, digits()) for label in ("real", "copycat", "vae", "gan", "ddpm")])
    lines = as_headline(section).splitlines()
    assert [line.split(" | ")[0].lstrip("| ") for line in lines[2:]] == ["real"] + [
        row.label for row in section.rows_of("model")
    ]
    assert len({line.count("|") for line in lines}) == 1
    assert "FID" in lines[0]
    assert "<sup>" not in "".join(lines)
