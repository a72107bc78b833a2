"""The measurement measured: samplers of known times under a clock of their own, turn by turn."""

import time

import pytest

from genbench.speed.protocol import (
    MOST,
    Full,
    Lost,
    Series,
    Sweep,
    interleaved,
    latencies,
    offline,
    overhead,
    short,
    single,
    throughput,
    timed,
)


class Clock:
    """Time that passes only when somebody says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Sleeper:
    """A lane in this process, whose call number k at batch n takes `seconds(n, k)`."""

    def __init__(self, name, seconds, clock, diary=None, limit=None, dies_after=None):
        self.name, self.seconds, self.clock, self.diary = name, seconds, clock, diary
        self.limit, self.dies_after = limit, dies_after
        self.calls, self.typical = 0, {}

    def block(self, batch, runs):
        if self.limit and batch > self.limit:
            raise Full("no more")

        def call(_):
            self.clock.sleep(self.seconds(batch, self.calls))
            self.calls += 1

        if self.dies_after is not None and self.calls >= self.dies_after:
            raise Lost("the process ended: SIGKILL")
        if self.diary is not None:
            self.diary.append((self.name, runs))
        opening = batch not in self.typical or short(self.typical[batch])
        block = timed(call, runs, opening=opening, clock=self.clock)
        self.typical[batch] = block.wall[-1]
        return block


def test_a_known_time_is_measured_to_that_time():
    clock = Clock()
    found = single([Sleeper("a", lambda n, k: 0.003, clock)], seconds=10.0)["a"]
    assert len(found.wall) == MOST
    named = {m.metric: m for m in latencies(found, "eager")}
    for metric in ("latency_p50", "latency_p90", "latency_p95", "latency_p99"):
        assert named[metric].value == pytest.approx(0.003)
        assert named[metric].low == pytest.approx(0.003)
        assert named[metric].n == MOST
        assert named[metric].protocol == "eager"


def test_percentiles_that_too_few_runs_support_are_not_printed():
    """One second a call, 20 of them: a median, and dashes."""
    clock = Clock()
    found = latencies(single([Sleeper("a", lambda n, k: 1.0, clock)], seconds=20.5)["a"], "eager")
    assert [m.status for m in found] == ["ok", "undefined", "undefined", "undefined"]
    assert found[1].reason.startswith("20 runs in 2")
    assert "p90 needs 64" in found[1].reason


def test_a_slow_first_call_stays_out():
    clock = Clock()
    found = single([Sleeper("a", lambda n, k: 5.0 if k == 0 else 0.01, clock)], seconds=60.0)["a"]
    assert max(found.wall) == pytest.approx(0.01)
    assert found.spent > 5.0


def test_the_call_that_opens_a_block_is_not_counted():
    """After another lane's turn the first call finds cold caches: here it takes ten times as long."""
    clock = Clock()
    turns = []

    class Cold(Sleeper):
        def block(self, batch, runs):
            turns.append(self.calls)
            return super().block(batch, runs)

    lane = Cold("a", lambda n, k: 0.01 if k in turns else 0.001, clock)
    found = single([lane], seconds=60.0)["a"]
    assert len(turns) > 10
    assert max(found.wall) == pytest.approx(0.001)


def test_two_modes_are_reported_and_not_averaged_away():
    clock = Clock()
    found = single([Sleeper("a", lambda n, k: 0.002 if k % 3 else 0.004, clock)], seconds=60.0)["a"]
    measured = latencies(found, "eager")[0]
    assert measured.value == pytest.approx(0.002)
    assert "two modes: 6" in measured.method
    assert "near 2 ms" in measured.method
    assert "near 4 ms" in measured.method


def test_lanes_take_turns_the_fast_and_the_slow():
    clock, diary = Clock(), []
    lanes = [
        Sleeper("fast", lambda n, k: 0.001, clock, diary),
        Sleeper("slow", lambda n, k: 0.1, clock, diary),
    ]
    found = interleaved(lanes, {"fast": 1, "slow": 1}, seconds=5.0)
    names = [name for name, _ in diary]
    together = names[: 2 * min(names.count("fast"), names.count("slow"))]
    assert together == ["fast", "slow"] * (len(together) // 2)
    assert names.count("fast") >= 15
    assert names.count("slow") >= 10
    assert len(found["fast"].wall) == MOST
    assert 45 <= len(found["slow"].wall) <= 51


def test_the_budget_bounds_a_lane():
    clock = Clock()
    began = clock()
    found = single([Sleeper("a", lambda n, k: 0.3, clock)], seconds=3.0)["a"]
    assert clock() - began <= 3.0 + 2 * 0.3
    assert len(found.wall) >= 9


def test_a_lane_that_dies_says_so_and_does_not_stop_the_other():
    clock = Clock()
    lanes = [Sleeper("dead", lambda n, k: 0.01, clock, dies_after=5), Sleeper("alive", lambda n, k: 0.01, clock)]
    found = single(lanes, seconds=5.0)
    assert len(found["alive"].wall) > 400
    assert {m.status for m in latencies(found["alive"], "")[:3]} == {"ok"}
    dead = latencies(found["dead"], "")
    assert {m.status for m in dead} <= {"unavailable", "ok"}
    assert dead[1].reason == "the process ended: SIGKILL"


def test_an_interval_holds_what_differs_from_process_to_process():
    """Three processes that are each exact and 2% apart: 1.00, 1.02, 1.04 ms."""
    clock, whole = Clock(), None
    for k in range(3):
        found = single([Sleeper("a", lambda n, _, k=k: 0.001 + 0.00002 * k, clock)], 10.0, processes=3)["a"]
        assert len(found.wall) == -(-MOST // 3)
        whole = whole or found
        if whole is not found:
            whole.join(found)
    measured = latencies(whole, "eager")
    assert measured[0].value == pytest.approx(0.00102)
    assert measured[0].low < 0.001 < 0.00104 < measured[0].high
    assert "3 processes" in measured[0].method
    assert {m.n for m in measured} == {663}
    sweep = Sweep(best=whole, stopped="so")
    assert throughput(sweep, "")[0].low < 1 / 0.00104 < 1 / 0.001 < throughput(sweep, "")[0].high


def test_the_batch_doubles_until_throughput_stops_growing():
    """10 ms and 1 ms an image from 16 on: n / (10 ms + max(0, n - 16) ms) is largest at 16, flat or falling beyond."""
    clock, tried = Clock(), []

    def seconds(n, k):
        tried.append(n)
        return 0.01 + 0.01 * max(0, n - 16)

    sweep = offline([Sleeper("a", seconds, clock)], seconds=60.0)["a"]
    assert list(sweep.rates) == [1, 2, 4, 8, 16, 32, 64]
    assert sweep.best.batch == 16
    assert sweep.stopped == "throughput stopped growing"
    rate, best = throughput(sweep, "eager")
    assert rate.value == pytest.approx(1600.0)
    assert best.value == 16
    assert tried[-1] == 16  # timed anew
    assert len(sweep.best.wall) > 100


def test_the_sweep_ends_with_memory():
    clock = Clock()
    sweep = offline([Sleeper("a", lambda n, k: 0.01, clock, limit=8)], seconds=60.0)["a"]
    assert sweep.best.batch == 8
    assert sweep.stopped == "memory ended at batch 16: no more"
    nothing = offline([Sleeper("a", lambda n, k: 0.01, clock, limit=0.5)], seconds=60.0)["a"]
    assert throughput(nothing, "")[0].status == "unavailable"


def test_the_sweep_ends_where_eleven_calls_of_the_next_batch_do_not_fit():
    clock = Clock()
    sweep = offline([Sleeper("a", lambda n, k: 0.1 * n**0.5, clock)], seconds=10.0)["a"]
    assert max(sweep.rates) == 16
    assert sweep.stopped == "10 s do not suffice for a larger batch"
    slow = Sleeper("a", lambda n, k: 1.0 * n, clock)
    parts = [offline([slow], seconds=17.0, processes=3)["a"] for _ in range(3)]
    for part in parts[1:]:
        parts[0].best.join(part.best)
    assert throughput(parts[0], "")[0].status == "ok", "in three processes together there are 11 runs"
    assert throughput(sweep, "")[0].status == "ok"


def test_the_sweep_ends_where_each_batch_takes_long_to_make_ready():
    """A compiler that takes 100 s for each batch: more than 300 s at the fourth, however fast its calls are."""
    clock, seen = Clock(), set()

    def seconds(n, k):
        opens = n not in seen
        seen.add(n)
        return 100.0 if opens else 0.01

    sweep = offline([Sleeper("a", seconds, clock)], seconds=10.0)["a"]
    assert list(sweep.rates) == [1, 2, 4, 8]
    assert sweep.stopped == "making batches ready took 400 s, so that no larger one was made"
    assert sweep.best.batch == 8
    assert throughput(sweep, "")[0].status == "ok"


def test_lanes_are_swept_together_and_keep_their_own_best():
    clock, diary = Clock(), []
    lanes = [
        Sleeper("small", lambda n, k: 0.01 * n, clock, diary),
        Sleeper("large", lambda n, k: 0.01 + 0.0001 * n, clock, diary),
    ]
    found = offline(lanes, seconds=20.0)
    assert found["small"].best.batch == 1
    assert found["large"].best.batch > 64
    assert [name for name, _ in diary[:4]] == ["small", "large", "small", "large"]


def test_the_device_is_waited_for_before_and_after_every_call():
    log, clock = [], Clock()
    timed(lambda k: log.append(f"call {k}"), 2, opening=True, clock=clock, synchronize=lambda: log.append("sync"))
    assert log == ["call 2", "sync", "call 0", "sync", "sync", "call 1", "sync"]


def test_device_events_are_a_second_column():
    clock = Clock()

    def device(call):
        before = clock()
        call()
        inside = (clock() - before) / 2
        return lambda: inside

    block = timed(lambda k: clock.sleep(0.5), 20, opening=False, clock=clock, device=device)
    found = latencies(Series(wall=block.wall, device=block.device, spent=block.spent), "compile,cuda")
    assert [m.metric for m in found][-1] == "device_p50"
    assert found[-1].value == pytest.approx(0.25)
    assert found[0].value == pytest.approx(0.5)


def test_the_overhead_is_what_the_clock_takes():
    """A clock that takes 1 µs to read: a call that does nothing is timed to one reading."""
    clock = Clock()

    def slow_clock():
        clock.sleep(1e-6)
        return clock()

    assert overhead(slow_clock) == pytest.approx(1e-6)


@pytest.mark.slow
def test_a_real_sleep_is_measured():
    """5 ms asked of the system, which never gives less and, unless it is busy, not much more."""
    block = timed(lambda _: time.sleep(0.005), 101, opening=True)
    middle = sorted(block.wall)[50]
    assert 0.005 <= middle < 0.0075
    assert overhead() < 2e-5
