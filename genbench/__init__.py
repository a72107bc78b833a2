"""Quality, speed and diversity of generative models, measured under one set of rules.

    data    = genbench.dataset("digits")
    model   = genbench.build("vae", data.spec, seed=0)
    history = genbench.train(model, data, steps=500, seed=0)
    images  = genbench.sample(model, 1000, seed=0)
    table   = genbench.evaluate(images, data, model=model)

torch is imported on first use, so that `import genbench` answers at once.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench import metrics as metrics
    from genbench.construct import build as build
    from genbench.construct import dataset as dataset
    from genbench.errors import Refused as Refused
    from genbench.evaluate import evaluate as evaluate
    from genbench.likelihood import likelihood as likelihood
    from genbench.sample import sample as sample
    from genbench.train import train as train

__version__ = "0.1.0"

_PUBLIC = {
    "build": "genbench.construct",
    "dataset": "genbench.construct",
    "train": "genbench.train",
    "sample": "genbench.sample",
    "likelihood": "genbench.likelihood",
    "evaluate": "genbench.evaluate",
    "Refused": "genbench.errors",
}
__all__ = ["Refused", "build", "dataset", "evaluate", "likelihood", "metrics", "sample", "train"]


class _Package(ModuleType):
    """The package, in which a verb is its function even though a submodule has the same name.

    Importing `genbench.train` binds the module to the package's attribute `train`; here the function is bound.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _PUBLIC and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "metrics":
            return importlib.import_module("genbench.metrics")
        if name in _PUBLIC:
            return getattr(importlib.import_module(_PUBLIC[name]), name)
        raise AttributeError(f"module 'genbench' has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
