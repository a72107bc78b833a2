"""CONTRIBUTING's way from nothing to a model of one's own on a leaderboard, word by word."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def test_a_model_of_ones_own_stands_on_a_leaderboard_after_two_commands(tmp_path):
    text = CONTRIBUTING.read_text(encoding="utf-8")
    (tutorial,) = re.findall(r"## A model of your own on a leaderboard\n(.*?)\n## ", text, re.DOTALL)
    (code,) = re.findall(r"```python\n(.*?)```", tutorial, re.DOTALL)
    commands = re.findall(r"^    (genbench .*)$", tutorial, re.MULTILINE)
    assert len(commands) == 2
    (tmp_path / "mine.py").write_text(code)
    genbench = Path(sys.executable).parent / "genbench"  # the script that users call: the folder is not on its path
    for command in commands:
        done = subprocess.run([genbench, *shlex.split(command)[1:]], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "records").glob("*.json")]
    assert sorted(one["model"]["label"] for one in records) == ["gaussian", "mine:Mine", "real"]
    page = (tmp_path / "site" / "datasets" / "digits.html").read_text(encoding="utf-8")
    assert "mine:Mine" in page
    (bits,) = [
        m
        for one in records
        for m in one["measurements"].values()
        if m["metric"] == "bits_per_dim" and "mine" in one["model"]["label"]
    ]
    assert 2.0 < bits["value"] < 3.0
