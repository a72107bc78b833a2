"""The pytest plugin, in projects of its own: its flags, its ids, its file, and its silence."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

METRICS = """
import numpy as np

def share(*, fake, real=None):
    assert real is None or max(fake) < len(real)
    return float(np.mean(np.asarray(fake) >= 0))

def wrong(*, fake, real=None):
    return float(np.mean(np.asarray(fake) < 0))
"""

TESTS = """
import pytest

VALUE = 0.5

@pytest.mark.parametrize("n", [1, 2])
def test_number(metric_regression, n):
    metric_regression.check(n * VALUE, low=n * 0.4, high=n * 0.6)
    metric_regression.check(VALUE, name="alone")
"""


@pytest.fixture
def project(tmp_path):
    """A project elsewhere, where the plugin is installed: its entry point is found beside the project."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "metrics.py").write_text(METRICS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    site = tmp_path / "site" / "genbench_here-1.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: genbench-here\nVersion: 1\n")
    (site / "entry_points.txt").write_text("[pytest11]\ngenbench = genbench.conformance.plugin\n")
    return tmp_path


def pytest_in(project, *arguments, plugins=("genbench.conformance.plugin",)):
    """A run in a process of its own, with no plugins but these; None for all that are installed, by entry point."""
    command = f"import sys; sys.path.append({str(project / 'site')!r}); import pytest; sys.exit(pytest.main())"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    if plugins is not None:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        arguments = (*(part for plugin in plugins for part in ("-p", plugin)), *arguments)
    run = [sys.executable, "-c", command, *arguments]
    return subprocess.run(run, cwd=project, env=environment, capture_output=True, text=True)


PARALLEL = ("genbench.conformance.plugin", "xdist")


def test_cases_are_tests(project):
    """Without a single test file, under -k, without the cache, with ids that are those of the cases."""
    done = pytest_in(project, "--conform", "my_package.metrics:share=high_quality", "-v", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "conform[my_package.metrics:share=high_quality]::high_quality/uneven PASSED" in done.stdout
    assert "high_quality/unknown-mode FAILED" not in done.stdout
    done = pytest_in(project, "--conform", "my_package.metrics:wrong=high_quality", "-k", "uneven or one-mode")
    assert done.returncode == 1
    assert "2 failed" in done.stdout
    assert "the value of: the share of the others" in done.stdout
    assert "deselected" in done.stdout


def test_cases_are_tests_beside_others_and_in_parallel(project):
    (project / "test_mine.py").write_text("def test_fine(): pass\n")
    flags = ["--conform", "my_package.metrics:share=high_quality", "--conform", "my_package.metrics:share=validity"]
    done = pytest_in(project, *flags[:2], "-n2", "-k", "fine or ordinary", plugins=PARALLEL)
    assert "2 passed" in done.stdout, done.stdout
    done = pytest_in(project, *flags, "--collect-only", "-q")
    assert "test_mine.py::test_fine" in done.stdout
    assert "conform[my_package.metrics:share=validity]::validity/ordinary" in done.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_package.metrics:share", "say which metric it implements"),
        ("my_package.metrics:share=high_qualty", "did you mean high_quality"),
        ("my_package.metrics:nothing=fid", "has no 'nothing'"),
    ],
)
def test_a_wrong_flag_is_a_sentence(project, name, words):
    done = pytest_in(project, "--conform", name)
    assert done.returncode == 4
    assert done.stderr.startswith("ERROR: --conform ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_silence(project):
    """Installed and not asked: nothing is printed, nothing heavy imported, an empty project stays empty."""
    (project / "test_mine.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    assert 'genbench.conformance.plugin' in sys.modules\n"
        "    assert not {'numpy', 'torch', 'click', 'genbench.catalog', 'genbench.errors'} & set(sys.modules)\n"
    )
    done = pytest_in(project, "-q", "-p", "no:hypothesispytest", "-p", "no:benchmark", plugins=None)
    assert done.returncode == 0, done.stdout
    assert "genbench" not in done.stdout
    assert {p.name for p in project.iterdir()} >= {"test_mine.py"}
    assert not list(project.glob("*.json"))


def test_regression_of_a_number(project):
    test = project / "test_mine.py"
    test.write_text(TESTS)
    done = pytest_in(project, "-q")
    assert done.returncode == 1
    assert "test_number[1]: nothing is stored in test_mine.metrics.json" in done.stdout
    assert "run pytest with --metric-regression-update" in done.stdout
    assert not (project / "test_mine.metrics.json").exists()

    assert pytest_in(project, "-q", "--metric-regression-update").returncode == 0
    stored = json.loads((project / "test_mine.metrics.json").read_text())
    assert stored == {
        "test_number[1]": {"value": 0.5, "low": 0.4, "high": 0.6},
        "test_number[1] alone": {"value": 0.5, "rel": 1e-6, "abs": 0.0},
        "test_number[2]": {"value": 1.0, "low": 0.8, "high": 1.2},
        "test_number[2] alone": {"value": 0.5, "rel": 1e-6, "abs": 0.0},
    }
    assert pytest_in(project, "-q").returncode == 0
    assert pytest_in(project, "-q", "-n2", plugins=PARALLEL).returncode == 0

    test.write_text(TESTS.replace("VALUE = 0.5", "VALUE = 0.55"))
    done = pytest_in(project, "-q")
    assert "the value is 0.55, outside 0.4 " not in done.stdout
    assert "test_number[1] alone: the value is 0.55, outside 0.4999995 to 0.5000005" in done.stdout
    test.write_text(TESTS.replace("VALUE = 0.5", "VALUE = 0.7"))
    done = pytest_in(project, "-q", "-k", "1")
    assert "test_number[1]: the value is 0.7, outside 0.4 to 0.6 (0.5 was stored" in done.stdout

    test.write_text(TESTS.replace("VALUE = 0.5", "VALUE = 0.55"))
    assert pytest_in(project, "-q", "-k", "1", "--metric-regression-update").returncode == 0
    updated = json.loads((project / "test_mine.metrics.json").read_text())
    assert updated["test_number[1]"]["value"] == 0.55
    assert updated["test_number[2]"] == stored["test_number[2]"]  # what did not run is kept


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("check(float('nan'))", "the value is nan; only a finite number"),
        ("check(1.0, low=0.5)", "low is 0.5 and high None; an interval has both ends"),
        ("check(1.0, low=2, high=3)", "the value 1.0 lies outside its own interval, 2.0 to 3.0"),
        ("check(1.0); metric_regression.check(2.0)", "checked twice in one test; give each value a name="),
    ],
)
def test_a_wrong_check_is_a_sentence(project, body, words):
    (project / "test_mine.py").write_text(f"def test_it(metric_regression):\n    metric_regression.{body}\n")
    done = pytest_in(project, "-q", "--metric-regression-update")
    assert done.returncode == 1
    assert words in done.stdout


def test_files_that_cannot_be_used(project):
    (project / "test_mine.py").write_text("def test_it(metric_regression):\n    metric_regression.check(1.0)\n")
    (project / "test_mine.metrics.json").write_text("{")
    assert "test_mine.metrics.json is no JSON" in pytest_in(project, "-q").stdout
    done = pytest_in(project, "--metric-regression-update", "-n2", plugins=PARALLEL)
    assert done.returncode == 4
    assert "writes files and runs in one process: add -n0" in done.stderr


def test_the_package_declares_the_plugin():
    import tomllib
    from pathlib import Path

    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert declared["project"]["entry-points"]["pytest11"] == {"genbench": "genbench.conformance.plugin"}
    installed = entry_points(group="pytest11", name="genbench")
    assert all(point.value == "genbench.conformance.plugin" for point in installed)
