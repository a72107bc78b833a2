"""One metric per file; `genbench.metrics.fid(real=..., fake=...)`, and so for every metric of the catalog.

A metric's function and its file share a name. Importing `genbench.metrics.fid` would bind the module to the package's
attribute `fid`; here the function is bound in its place, so that the attribute is callable whatever was imported
first. The module itself stays reachable as `from genbench.metrics.fid import METRIC`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from genbench import catalog


class _Metrics(ModuleType):
    """The package, whose attributes are the functions of the metrics that the catalog knows."""

    def __getattr__(self, name: str) -> Callable[..., float]:
        known = catalog.shelf("metrics")
        if name not in known:
            raise AttributeError(f"there is no metric {name!r}{catalog.did_you_mean(name, known)}")
        function: Callable[..., float] = catalog.resolve("metrics", name).fn
        setattr(self, name, function)
        return function

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in catalog.shelf("metrics"):
            value = value.METRIC.fn
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *catalog.shelf("metrics")})


sys.modules[__name__].__class__ = _Metrics
