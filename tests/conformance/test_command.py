"""`genbench conform`: the table, the matrix, JSON, exit codes."""

import json

import pytest
from click.testing import CliRunner

from genbench.cli import main
from genbench.conformance import isolation, report
from genbench.conformance.run import Implementation, Outcome, run_case

FOREIGN = """
import numpy as np

def share(*, fake, real=None):
    assert real is None or max(fake) < len(real)
    return float(np.mean(np.asarray(fake) >= 0))

def half(*, fake, real=None):
    return share(fake=fake, real=real) / 2
"""


def invoke(*arguments):
    return CliRunner().invoke(main, ["conform", *arguments])


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    (tmp_path / "foreign_metrics.py").write_text(FOREIGN)
    monkeypatch.chdir(tmp_path)


def test_ours():
    done = invoke("--metric", "high_quality", "--metric", "modes_captured")
    assert done.exit_code == 0, done.output
    assert "high_quality/uneven" in done.output
    assert "modes_captured/none" in done.output
    assert "fid/" not in done.output
    assert "deviates" not in done.output
    assert "genbench: 15 agrees" in done.output


def test_somebody_elses(foreign):
    done = invoke("foreign_metrics:share", "--as", "high_quality")
    assert done.exit_code == 0, done.output
    assert "foreign_metrics:share: 8 agrees" in done.output
    done = invoke("foreign_metrics:half", "--as", "high_quality", "--json")
    assert done.exit_code == 1
    found = json.loads(done.output)
    assert found["cases"]["high_quality/uneven"]["provenance"] == "enumeration"
    by_case = {o["case"]: o for o in found["outcomes"]}
    assert by_case["high_quality/ordinary"]["verdict"] == "deviates"
    assert by_case["high_quality/ordinary"]["deviation"] == 0.5
    assert by_case["fid/ordinary"]["verdict"] == "not offered"


def test_a_matrix_of_several(foreign):
    done = invoke("genbench", "foreign_metrics:half=high_quality", "--metric", "high_quality")
    assert done.exit_code == 1
    assert "genbench: 8 agrees" in done.output
    assert "foreign_metrics:half: 2 agrees, 6 deviates" in done.output
    rows = [line for line in done.output.splitlines() if "high_quality/ordinary" in line]
    assert "agrees" in rows[0]
    assert "deviates by 0.5" in rows[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["torch-fidelty"], "is no implementation: it is genbench, torch-fidelity, torchmetrics"),
        (["--metric", "fidd"], "there is no case for metric 'fidd'; did you mean fid"),
        (["json:dumps"], "say which metric it implements"),
        (["json:dumps", "--as", "nothing"], "there is no case for metric 'nothing'"),
        (["json:dump_it", "--as", "fid"], "has no 'dump_it'"),
    ],
)
def test_what_cannot_run_is_a_sentence(arguments, words):
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert words in done.output
    assert done.output.count("\n") == 1


def test_a_missing_library_says_what_to_do(monkeypatch):
    from genbench.conformance import run

    monkeypatch.setitem(run.ADAPTERS, "prdc", "no_such_library")
    monkeypatch.setattr(isolation, "conform_apart", lambda name, *rest: iter([run.implementation(name)]))
    done = invoke("prdc")
    assert done.exit_code == 2
    assert "prdc is not installed; pip install 'genbench[peers]'" in done.output


def test_numbers_that_json_does_not_know():
    outcome = Outcome(case="fid/nan", implementation="x", verdict="deviates", expected=None, value=float("nan"))
    assert report.plain([outcome])["outcomes"][0]["value"] == "nan"
    json.dumps(report.plain([outcome]), allow_nan=False)
    from genbench.conformance.cases import all_cases

    who = Implementation(name="x", functions={})
    json.dumps(report.plain([run_case(who, case) for case in all_cases()]), allow_nan=False)
