"""Progress bars on the standard error stream; silent when it is not a terminal, or when told to be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Self


def sparkline(values: Sequence[float], width: int = 20) -> str:
    """The last `width` values as a line of eight heights."""
    shown = list(values)[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    scale = 7 / (high - low) if high > low else 0.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) * scale)] for value in shown)


class Bar:
    """A progress bar: `with Bar("train", total) as bar: bar.to(done, "note")`."""

    def __init__(self, what: str, total: int, show: bool = True) -> None:
        self._what, self._total = what, total
        self._show = show and sys.stderr.isatty()
        self._progress: Any = None

    def __enter__(self) -> Self:
        if self._show:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(self._what, total=self._total, note="")
        return self

    def to(self, done: int, note: str = "") -> None:
        """Moves the bar; `note` stands behind it."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, note=note)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
