"""Where a number comes from: the code, the machine and the content that it depends on."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import genbench
from genbench.record import Scalar

# These name things, show things or write things; none of them can move a number.
_WITHOUT_EFFECT = {
    "genbench", "genbench.catalog", "genbench.errors", "genbench.files", "genbench.progress", "genbench.record",
}  # fmt: skip


def digest(content: Any) -> str:
    """sha256 of plain content in canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def _source(module: str) -> tuple[str, frozenset[str]]:
    """A module's code without comments, docstrings and layout, and the modules it imports."""
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        return "", frozenset()
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return "", frozenset()
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported: set[str] = set()
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            imported.add(base)
            imported.update(f"{base}.{alias.name}" for alias in node.names)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Pass()
    return ast.unparse(tree), frozenset(imported)


def code_digest(modules: Iterable[str]) -> str:
    """sha256 over some modules and all that they import, directly or not, from their own packages and genbench.

    Comments, docstrings and layout do not count, so that only a change that can move a number changes it.
    """
    roots = set(modules)
    packages = {"genbench"} | {root.partition(".")[0] for root in roots}
    todo, seen = sorted(roots), dict[str, str]()
    while todo:
        module = todo.pop()
        if module in seen or module in _WITHOUT_EFFECT or module.partition(".")[0] not in packages:
            continue
        text, imported = _source(module)
        seen[module] = text
        todo.extend(imported)
    return digest({module: text for module, text in seen.items() if text})


@cache
def commit() -> str | None:
    """The commit that the package was taken from, as it was at the first call; None outside a checkout.

    A "+" behind it says that the code differs, by a file that is changed or one that is not in it.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    found = []
    code = ["genbench", "baselines", "pyproject.toml"]
    for ask in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=all", "--", *code]):
        try:
            done = subprocess.run(["git", *ask], cwd=root, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        found.append(done.stdout.strip())
    return found[0] + ("+" if found[1] else "")


def weights_digest(state: dict[str, torch.Tensor]) -> str:
    """sha256 over names, shapes, types and bytes of a state dict."""
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def environment(device: torch.device) -> dict[str, Scalar]:
    """What the machine and the software are; nothing about the user."""
    found: dict[str, Scalar] = {
        "genbench": genbench.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": device.type,
    }
    for package in ("torch", "numpy", "scipy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
        found["driver"] = _driver()
    return found


@cache
def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def _driver() -> str | None:
    path = Path("/proc/driver/nvidia/version")
    return path.read_text(encoding="utf-8").splitlines()[0].strip()[:150] if path.exists() else None
