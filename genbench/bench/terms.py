"""What is asked for: on which backends, in which scenarios, for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from genbench.catalog import did_you_mean
from genbench.errors import Refused
from genbench.speed.backends import BACKENDS
from genbench.speed.protocol import SCENARIOS

Unit = Literal["auto", "sampler", "step", "both"]
UNITS: tuple[Unit, ...] = ("auto", "sampler", "step", "both")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How to measure.

    Args:
        unit: what a backend runs: the whole sampler, its step with the loop outside, or both; "auto" tries the sampler
            and takes the step where a backend cannot run the sampler.
        seconds: of timed calls for each lane and scenario, twice that for "offline".
        limit: seconds until a process that has not answered is killed.
        processes: how often each lane is started, so that intervals hold what differs from process to process.
        memory: whether to see what memory it takes, in those that are started later, before they are timed.
    """

    backends: tuple[str, ...] = ("eager",)
    scenarios: tuple[str, ...] = SCENARIOS
    unit: Unit = "auto"
    device: str = "cpu"
    seconds: float = 10.0
    limit: float = 600.0
    processes: int = 3
    memory: bool = True

    def __post_init__(self) -> None:
        for what, given, known in (("backend", self.backends, BACKENDS), ("scenario", self.scenarios, SCENARIOS)):
            if not given:
                raise Refused(f"name at least one {what}: {', '.join(known)}")
            for name in given:
                if name not in known:
                    raise Refused(f"there is no {what} {name!r}{did_you_mean(name, known)}")
            if len(set(given)) < len(given):
                raise Refused(f"a {what} is named twice: {', '.join(given)}")
        if self.unit not in UNITS:
            raise Refused(f"there is no unit {self.unit!r}{did_you_mean(self.unit, UNITS)}")
        if torch.device(self.device).type == "cuda" and not torch.cuda.is_available():
            raise Refused(f"{self.device} cannot be timed: torch finds no CUDA device; time on cpu")
        if not 1 <= self.processes <= 100:
            raise Refused(f"a lane is started 1 to 100 times, not {self.processes}")
        if not (0.0 < self.seconds <= 86_400.0 and 0.0 < self.limit <= 86_400.0):
            raise Refused(f"the budget and the limit lie above 0 and up to 86400 s; got {self.seconds}, {self.limit}")
