"""Imports point only downward: an AST test of the house's floors."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    0: [
        "errors",
        "types",
        "noise",
        "images",
        "catalog",
        "record",
        "stats",
        "files",
        "progress",
        "sources",
        "moments",
        "ranking",
        "comparable",
    ],
    1: [
        "data",
        "features",
        "metrics",
        "speed",
        "construct",
        "train",
        "sample",
        "likelihood",
        "store",
        "provenance",
        "suite",
        "protocols",
        "recordsets",
    ],
    2: ["inputs", "evaluate", "lane", "pictures"],
    3: ["plan", "run", "doctor", "conformance", "stress", "bench", "compare", "untrusted", "reproduce"],
    4: ["cli"],
}
ROOMS_OF_VERBS = ("running", "instruments", "timing", "publishing")
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}
# Lines that are straight rather than sideways: who on floor 1 and 3 may know whom.
ALLOWED = {
    ("run", "plan"),
    ("evaluate", "inputs"),
    ("stress", "run"),
    ("construct", "suite"),
    ("speed", "provenance"),
    ("bench", "plan"),
    ("bench", "run"),
    ("untrusted", "plan"),
    ("reproduce", "untrusted"),
    ("reproduce", "plan"),
    ("reproduce", "run"),
}
BASELINES_MAY = {"genbench.types", "genbench.noise", "genbench.images"}
LEADERBOARD_MAY = {
    f"genbench.{name}"
    for name in ("record", "stats", "ranking", "comparable", "catalog", "errors", "files", "__version__")
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            if node.module in ("genbench", "genbench.cli"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", python_files("genbench"), ids=lambda p: str(p.relative_to(ROOT)))
def test_genbench_imports_point_downward(path):
    parts = path.relative_to(ROOT / "genbench").with_suffix("").parts
    name = parts[0]
    if name == "__init__":
        return
    assert name in FLOOR, f"{name} stands on no floor: add it to FLOORS"
    for module in imports(path):
        top, _, rest = module.partition(".")
        assert top != "baselines", f"{path.name} imports a baseline; baselines are found through the catalog"
        assert top != "leaderboard" or name == "cli", f"{path.name} imports the leaderboard"
        other = rest.partition(".")[0]
        if top != "genbench" or not other or other == name or (name, other) in ALLOWED:
            continue
        if name == "cli" or other in ("__version__", "dataset"):
            continue
        assert FLOOR[other] < FLOOR[name] or FLOOR[name] == FLOOR[other] == 0, f"{name} imports {other}, not below it"


def test_the_rooms_of_the_verbs_know_only_what_they_share():
    """Only the package itself knows all rooms, so that no import goes round in a circle."""
    rooms = {path.stem: imports(path) for path in python_files("genbench/cli")}
    for room in ROOMS_OF_VERBS:
        known = {module for module in rooms.pop(room) if module.startswith("genbench.cli")}
        assert known <= {"genbench.cli.shared"}, f"cli/{room}.py imports {known}"
    assert not {module for module in rooms.pop("shared") if module.startswith("genbench.cli")}
    new = rooms.keys() - {"__init__", "__main__"}
    assert not new, f"add {sorted(new)} to ROOMS_OF_VERBS"


@pytest.mark.parametrize("path", python_files("baselines"), ids=lambda p: str(p.relative_to(ROOT)))
def test_baselines_know_only_the_contracts(path):
    for module in imports(path):
        if module.startswith("genbench"):
            assert module in BASELINES_MAY, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", python_files("leaderboard"), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_leaderboard_is_torch_free(path):
    for module in imports(path):
        if module.startswith("genbench"):
            assert module in LEADERBOARD_MAY, f"{path.name} imports {module}"
        assert module.partition(".")[0] not in ("torch", "torchvision", "baselines"), f"{path.name} imports {module}"


def test_no_sampler_draws_on_its_own():
    """All randomness of a model comes from its noise; torch's generator serves the initial weights alone."""
    banned = {"multinomial", "rand", "randn", "rand_like", "randn_like", "randint", "randperm", "bernoulli", "normal"}
    for path in python_files("baselines"):
        functions = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.FunctionDef)]
        for function in (f for f in functions if f.name != "__init__"):
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                    assert node.attr not in banned, f"{path.name}:{node.lineno} uses torch.{node.attr}"


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import genbench", ["torch", "numpy", "scipy", "pandas", "sklearn", "matplotlib"]),
        ("import genbench.cli", ["torch", "numpy", "scipy", "pandas", "sklearn", "matplotlib"]),
        ("import leaderboard.build", ["torch", "sklearn", "baselines"]),
        ("import genbench.catalog, genbench.record", ["torch", "numpy"]),
    ],
)
def test_what_is_heavy_is_not_imported(code, heavy):
    """Start-up time as a fact about imports: torch alone takes more than a second."""
    check = f"{code}; import sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_no_room_is_named_for_leftovers():
    for package in ("genbench", "baselines", "leaderboard"):
        for path in python_files(package):
            assert path.stem not in {"utils", "util", "helpers", "common", "misc"}
