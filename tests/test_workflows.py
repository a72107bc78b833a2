"""The workflows: read-only where strangers are, pinned to commits everywhere, no expression of theirs in a script."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from genbench.cli import main
from genbench.record import Record
from leaderboard.load import place
from tests import synthetic

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_workflow_reads_only_unless_a_job_says_so_and_pins_what_it_uses(path):
    workflow = read(path.name)
    triggers = workflow[True]  # YAML 1.1 reads the key `on` as a truth value
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers)
    assert workflow["permissions"] == {"contents": "read"}
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
        assert "${{" not in step.get("run", "")
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 30


def test_the_check_of_records_has_no_rights_and_runs_the_code_of_the_base():
    workflow = read("records.yml")
    text = (ROOT / ".github" / "workflows" / "records.yml").read_text(encoding="utf-8")
    assert not re.search(r"\${{[^}]*secrets", text)
    assert all("permissions" not in job for job in workflow["jobs"].values())
    base = next(step for step in steps(workflow) if step.get("with", {}).get("path") == "trusted")
    assert base["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    installs = [line for step in steps(workflow) for line in step.get("run", "").splitlines() if "pip install" in line]
    assert installs
    assert all("submitted" not in line for line in installs)


def test_only_the_last_job_of_pages_may_write_and_only_to_pages():
    jobs = read("pages.yml")["jobs"]
    assert {name: job.get("permissions") for name, job in jobs.items()} == {
        "build": None,
        "deploy": {"pages": "write", "id-token": "write"},
    }
    assert read("pages.yml")[True]["push"]["branches"] == ["main"]


# ------------------------------------------------------------------------------------------------ its scripts, run


@pytest.fixture
def merged(tmp_path):
    """A repository with one published record, and a function that merges changes and runs a step of the check."""

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def commit() -> None:
        git("add", "-A")
        git("commit", "-q", "-m", "x")

    def outcome(step: str, *, check: bool = False) -> int:
        commit()
        one = next(one for one in steps(read("records.yml")) if one.get("name", "").startswith(step))
        script = (
            one["run"] if check else one["run"].replace("xargs -0 -r genbench publish --check --", "tr '\\0' '\\n'")
        )
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, **one.get("env", {})}
        command = ["bash", "-e", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        outcome.said = done.stdout
        return done.returncode

    git("init", "-q")
    publish(tmp_path, synthetic.make("vae"))
    (tmp_path / "leaderboard" / "records" / "trust.toml").touch()
    commit()
    return outcome


def publish(repository: Path, one: Record) -> Path:
    return synthetic.write((repository / "leaderboard" / "records" / place(one)).parent, one)


def test_a_new_record_passes_every_step(merged, tmp_path):
    path = publish(tmp_path, synthetic.make("gan"))
    assert merged("No published record") == 0
    assert CliRunner().invoke(main, ["publish", "--check", "--", str(path)]).exit_code == 0


def test_new_files_are_those_that_are_checked(merged, tmp_path):
    path = publish(tmp_path, synthetic.make("gan"))
    assert merged("Every new file") == 0
    assert merged.said == f"{path.relative_to(tmp_path)}\n"


@pytest.mark.skipif(not (Path(sys.executable).parent / "genbench").exists(), reason="the command is not installed")
def test_no_file_beside_a_record_is_run(merged, tmp_path):
    """The standard library and our parser look for optional modules (`org`, `typing_extensions`) while they work."""
    for name in ("org", "typing_extensions", "sitecustomize", "click", "msgspec"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__)")
    publish(tmp_path, synthetic.make("gan"))
    assert merged("Every new file", check=True) == 0, merged.said
    assert "valid" in merged.said
    assert not (tmp_path / "ran").exists()


def test_a_published_record_cannot_be_changed_or_removed(merged, tmp_path):
    path = tmp_path / "leaderboard" / "records" / place(synthetic.make("vae"))
    path.write_text("{}")
    assert merged("No published record") != 0
    path.unlink()
    assert merged("No published record") != 0


def test_an_index_cannot_be_changed(merged, tmp_path):
    (tmp_path / "leaderboard" / "records" / "trust.toml").write_text("#")
    assert merged("Trust and retractions") != 0


def test_the_published_records_of_this_tree_are_valid():
    assert (ROOT / "leaderboard" / "records" / "trust.toml").is_file()
    done = CliRunner().invoke(main, ["publish", "--check", str(ROOT / "leaderboard" / "records")])
    assert done.exit_code == 0, done.output
