"""The protocol of timing: what is timed, in which order, how often, and what is said of it.

A *lane* is one backend that runs one model's sampler in a process of its own. **single** is batch 1, call after call:
latency. **offline** doubles the batch until throughput stops growing or memory ends, and times the best batch:
images a second. Lanes that are compared take turns, block by block (A B A B), so that what the machine does meanwhile
falls on all of them. The time is synchronised wall time around the whole call, the noise drawn beforehand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from genbench.record import Measurement, Status
from genbench.speed.statistics import LAW_FREE, PERCENTILES, Percentile, between, enough, percentile, remarks

Scenario = Literal["single", "offline"]
SCENARIOS: tuple[Scenario, ...] = ("single", "offline")

MOST = enough(0.99)  # runs: more say nothing that is printed
_ROUNDS = 16  # turns that a lane takes, when it has runs enough
_SHORT = (
    0.05  # seconds: a block of shorter calls opens with one that is not counted, as the last turn cooled the caches
)
_TRIALS = 3  # calls at each batch of the sweep
_GROWTH = 1.05  # of throughput by doubling the batch: what falls short of it twice in a row has stopped growing
_LARGEST = 2**15
_READY = 300.0  # seconds of a sweep, or the budget if that is more, for what comes before the counted calls


class Lost(Exception):
    """A lane ended: its process died, hung or refused; the message says how."""


class Full(Exception):
    """A batch does not fit into memory."""


@dataclass
class Block:
    """Seconds of calls in a row: by the wall clock, by the device's own events (none on a CPU), and altogether."""

    wall: list[float] = field(default_factory=list)
    device: list[float] = field(default_factory=list)
    spent: float = 0.0

    def add(self, other: Block) -> None:
        self.wall += other.wall
        self.device += other.device
        self.spent += other.spent


class Lane(Protocol):
    """A sampler that is ready to be timed."""

    name: str

    def block(self, batch: int, runs: int) -> Block:
        """Times some calls in a row; raises `Full` or `Lost`."""


@dataclass
class Series(Block):
    """All that was timed of a lane at one batch, each process by itself in `parts`, and why it ended early."""

    batch: int = 1
    lost: str = ""
    parts: list[list[float]] = field(default_factory=list)

    def join(self, other: Series) -> None:
        """Adds what another process of the same lane took."""
        self.parts = [*(self.parts or [list(self.wall)]), list(other.wall)]
        self.add(other)
        self.lost = self.lost or other.lost


@dataclass
class Sweep:
    """Images a second at each batch that was tried, why no larger one was, and the times at the best."""

    rates: dict[int, float] = field(default_factory=dict)
    stopped: str = ""
    best: Series = field(default_factory=Series)


def timed(
    call: Callable[[int], object],
    runs: int,
    *,
    opening: bool,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] = lambda: None,
    device: Callable[[Callable[[], object]], Callable[[], float]] | None = None,
) -> Block:
    """Times `call(0)`, `call(1)`, ... one by one; with `opening`, after one more call that is not counted.

    Args:
        synchronize: waits for the device.
        device: does a call between two events on the device, and returns what asks for the seconds between them.
    """
    block, entered = Block(), clock()
    if opening:
        call(runs)
    asked: list[Callable[[], float]] = []
    for index in range(runs):
        synchronize()
        started = clock()
        if device is None:
            call(index)
        else:
            asked.append(device(lambda index=index: call(index)))  # type: ignore[misc]
        synchronize()
        block.wall.append(clock() - started)
    block.device = [ask() for ask in asked]
    block.spent = clock() - entered
    return block


def overhead(clock: Callable[[], float] = time.perf_counter, runs: int = 1000) -> float:
    """What a call that does nothing is timed to: the harness's own part of every time (median, seconds)."""
    wall = sorted(timed(lambda _: None, runs, opening=True, clock=clock).wall)
    return wall[runs // 2]


def short(seconds: float) -> bool:
    """Whether blocks of such calls open with one that is not counted."""
    return seconds < _SHORT


def interleaved(
    lanes: Iterable[Lane], batches: Mapping[str, int], seconds: float, most: int = MOST
) -> dict[str, Series]:
    """Times each lane at its batch, in turns, until it has `most` runs or has spent its seconds.

    Blocks are so long that every lane takes up to 16 turns, the fast and the slow alike.
    """
    going = list(lanes)
    found = {lane.name: Series(batch=batches[lane.name]) for lane in going}
    while going:
        for lane in list(going):
            series = found[lane.name]
            try:
                series.add(lane.block(series.batch, _turn(series, seconds, most)))
            except (Lost, Full) as reason:
                series.lost = str(reason)
            if series.lost or len(series.wall) >= most or series.spent >= seconds:
                going.remove(lane)
    return found


def _turn(series: Series, seconds: float, most: int) -> int:
    """Runs of the next block: a sixteenth of those that the budget allows for."""
    if not series.wall:
        return 1
    typical = max(sorted(series.wall)[len(series.wall) // 2], 1e-7)
    allowed = min(most, seconds / typical)
    left = min(most - len(series.wall), (seconds - series.spent) / typical)
    return max(1, min(round(left), -int(-allowed // _ROUNDS)))


def share(seconds: float, processes: int) -> tuple[float, int]:
    """The budget and the most runs of one of several processes."""
    return seconds / processes, -(-MOST // processes)


def single(lanes: Sequence[Lane], seconds: float, processes: int = 1) -> dict[str, Series]:
    """Batch 1: latency; the part of one process of several."""
    return interleaved(lanes, {lane.name: 1 for lane in lanes}, *share(seconds, processes))


def offline(lanes: Sequence[Lane], seconds: float, processes: int = 1, largest: int = _LARGEST) -> dict[str, Sweep]:
    """Batch 1, 2, 4, ... for each lane until its throughput stops growing; then the best batch, timed anew.

    Timed anew because the best of several noisy numbers is too good. The sweep spends up to `seconds` of each lane, the
    best batch as many in all of its processes. A batch of which 11 calls (and the
    uncounted ones of every process) would not fit into them is not tried; and none after `_READY` seconds in calls that
    are not counted, because a compiler makes every batch anew.
    """
    going, batch = list(lanes), 1
    found = {lane.name: Sweep() for lane in going}
    spent, ready_in, flat = dict.fromkeys(found, 0.0), dict.fromkeys(found, 0.0), dict.fromkeys(found, 0)
    while going:
        for lane in list(going):
            sweep = found[lane.name]
            try:
                block = lane.block(batch, _TRIALS)
            except Full as reason:
                sweep.stopped = f"memory ended at batch {batch}: {reason}"
                sweep.best.lost = "" if sweep.rates else sweep.stopped
            except Lost as reason:
                sweep.stopped = sweep.best.lost = f"at batch {batch}: {reason}"
            else:
                typical = max(sorted(block.wall)[len(block.wall) // 2], 1e-9)
                rate, top = batch / typical, max(sweep.rates.values(), default=0.0)
                sweep.rates[batch] = rate
                spent[lane.name] += sum(block.wall)
                ready_in[lane.name] += block.spent - sum(block.wall)
                flat[lane.name] = 0 if rate >= _GROWTH * top else flat[lane.name] + 1
                if flat[lane.name] == 2:
                    sweep.stopped = "throughput stopped growing"
                elif batch >= largest:
                    sweep.stopped = f"batch {batch} is the largest that is tried"
                elif 2 * typical * (enough(0.5) + 2 * processes) > seconds or spent[lane.name] >= seconds:
                    sweep.stopped = f"{seconds:g} s do not suffice for a larger batch"
                elif ready_in[lane.name] > max(_READY, seconds):
                    sweep.stopped = (
                        f"making batches ready took {ready_in[lane.name]:.0f} s, so that no larger one was made"
                    )
            if sweep.stopped:
                going.remove(lane)
        batch *= 2
    ready = [lane for lane in lanes if found[lane.name].rates and not found[lane.name].best.lost]
    best = {lane.name: _best(found[lane.name].rates) for lane in ready}
    for name, series in interleaved(ready, best, *share(seconds, processes)).items():
        found[name].best = series
    return found


def _best(rates: Mapping[int, float]) -> int:
    """The smallest batch within 1% of the highest throughput."""
    top = max(rates.values())
    return min(n for n, rate in rates.items() if rate >= 0.99 * top)


def latencies(series: Series, protocol: str) -> list[Measurement]:
    """Seconds of a call at p50, p90, p95, p99, each from enough runs only; on a GPU also the device's own p50."""
    found = [_percentile(f"latency_p{q * 100:g}", series, series.wall, q, protocol) for q in PERCENTILES]
    if series.device:
        found.append(_percentile("device_p50", series, series.device, 0.5, protocol))
    return found


def _percentile(metric: str, series: Series, times: list[float], q: float, protocol: str) -> Measurement:
    if (measured := percentile(times, q)) is None:
        return _too_few(metric, series, times, q, protocol)
    low, high = measured.low, measured.high
    if metric == "latency_p50":
        low, high = _widened(series, measured)
    return Measurement(
        metric=metric,
        value=measured.value,
        low=low,
        high=high,
        n=measured.m,
        method=_method(f"{q:.0%} percentile over runs", series, times),
        protocol=protocol,
    )


def _widened(series: Series, measured: Percentile) -> tuple[float, float]:
    """The median's interval over the runs and that over the processes, whichever reaches further."""
    low, high = between(series.parts) or (measured.low, measured.high)
    return min(low, measured.low), max(high, measured.high)


def ratio(series: Series, base: Series, protocol: str, why: str = "") -> Measurement | None:
    """A lane's median over that of eager, which was timed in turns with it; None where one has too few runs.

    Args:
        why: what explains it, where the lane is the slower one.
    """
    mine, eager = percentile(series.wall, 0.5), percentile(base.wall, 0.5)
    if mine is None or eager is None:
        return None
    (low, high), (least, most) = _widened(series, mine), _widened(base, eager)
    words = ["median over eager's, timed in turns; between the ends of both intervals"]
    if low > most:
        words.append(f"slower than eager: {why or 'the backend does not say on what it spends the time'}")
    return Measurement(
        metric="eager_ratio",
        value=mine.value / eager.value,
        low=low / most,
        high=high / least,
        n=min(mine.m, eager.m),
        method="; ".join(words),
        protocol=protocol,
    )


def throughput(sweep: Sweep, protocol: str) -> list[Measurement]:
    """Images a second at the best batch, batch / median, and that batch."""
    series, n = sweep.best, sweep.best.batch
    measured = percentile(series.wall, 0.5)
    if measured is None:
        return [_too_few("images_per_second", series, series.wall, 0.5, protocol)]
    low, high = _widened(series, measured)
    what = f"batch {n} over the median of the runs at that batch, the best; {sweep.stopped}"
    return [
        Measurement(
            metric="images_per_second",
            value=n / measured.value,
            low=n / high,
            high=n / low,
            n=measured.m,
            method=_method(what, series, series.wall),
            protocol=protocol,
        ),
        single_number(
            "best_batch", n, protocol, f"the batch with the highest throughput; {sweep.stopped}; a single run"
        ),
    ]


def single_number(metric: str, value: float, protocol: str = "", method: str = "counted", n: int = 1) -> Measurement:
    """A number that was counted, or observed once: its interval is itself.

    The method of what was observed says "a single run" (`genbench.comparable.SINGLE_RUN`): it would come out otherwise
    another time, and nothing tells by how much, so that it is not tested against another.
    """
    return Measurement(
        metric=metric, value=float(value), low=float(value), high=float(value), n=n, method=method, protocol=protocol
    )


def _method(what: str, series: Series, times: list[float]) -> str:
    words = [f"{what}, interval by order statistics"]
    if (count := len(series.parts)) > 1:
        law = "order statistics" if count >= LAW_FREE else "Student"
        words.append(f"{count} processes, an interval of a median that of {law} over them if it is wider")
    if series.lost:
        words.append(f"ended early: {series.lost}")
    return "; ".join([*words, *remarks(times, series.parts if times is series.wall else ())])


def missing(metric: str, protocol: str, status: Status, reason: str) -> Measurement:
    """No number, and why."""
    return Measurement(metric=metric, protocol=protocol, status=status, reason=reason[:2000])


def _too_few(metric: str, series: Series, times: list[float], q: float, protocol: str) -> Measurement:
    if series.lost:
        return missing(metric, protocol, "unavailable", series.lost)
    held = f"{len(times)} runs in {series.spent:.3g} s"
    return missing(metric, protocol, "undefined", f"{held}; p{q * 100:g} needs {enough(q)}: two must lie beyond it")
