"""What this installation is and what it can do."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import genbench

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "seaborn", "safetensors")
_ONNX = ("onnx", "onnxscript", "onnxruntime-gpu", "onnxruntime")


def examine() -> dict[str, dict[str, str]]:
    """Section -> entry -> finding; nothing here raises, a fault is a finding."""
    return {
        "versions": {"genbench": genbench.__version__, "python": platform.python_version(), **_versions(_PACKAGES)},
        "devices": _devices(),
        "onnx": {**_versions(_ONNX), "providers": _providers()},
        "weights": _weights(),
        "data": _data(),
    }


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": f"{platform.machine()}, {torch.get_num_threads()} threads"}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    else:
        found["cuda"] = f"none (torch was built for CUDA {torch.version.cuda})" if torch.version.cuda else "none"
    return found


def _providers() -> str:
    try:
        import onnxruntime
    except ImportError as error:
        return f"unavailable: {error}"
    return ", ".join(onnxruntime.get_available_providers())


def _weights() -> dict[str, str]:
    """What is shipped, and what lies in the folder of weights; nothing is fetched, no network is built."""
    from genbench import dataset
    from genbench.catalog import resolve
    from genbench.errors import Refused
    from genbench.features import clip, dinov2, inception, weights

    looked_for = {
        "digitnet": lambda: resolve("extractors", "digitnet")(dataset("digits").spec).protocol,
        "inception": lambda: f"inception@{weights.locate('inception', inception.SOURCE).head}",
        "dinov2": lambda: f"dinov2@{weights.given('dinov2', None, dinov2.FILE, dinov2.HINT).head}",
        "clip": lambda: f"clip@{weights.given('clip', None, clip.FILE, clip.HINT).head}",
    }
    found = {"folder": str(weights.default_root()), **_versions(("timm", "open-clip-torch"))}
    for name, look in looked_for.items():
        try:
            found[name] = f"found, {look()}"
        except (Refused, OSError) as error:
            found[name] = str(error)
    return found


def _data() -> dict[str, str]:
    from genbench.sources import default_root

    root = default_root()
    there = sorted(p.name for p in root.iterdir()) if root.is_dir() else []
    return {"folder": str(root), "holds": ", ".join(there) or "nothing"}
