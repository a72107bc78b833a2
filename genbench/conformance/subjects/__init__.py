"""One subject a file: its cases, and `derive`, metric -> the function that derives an answer.

A derivation takes the arrays and arguments of a case and returns a `Derived`. It knows the definition and exact or
extended arithmetic, and calls no metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIGITS = 60  # of extended precision


@dataclass(frozen=True)
class Derived:
    """A derived answer, how it was derived, and what named mistakes would give instead."""

    value: Any  # anything that float() takes
    provenance: str
    instead: Mapping[str, Any] = field(default_factory=dict)
