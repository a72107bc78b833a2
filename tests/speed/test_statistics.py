"""Percentiles from enough runs only, intervals that cover, two modes and drift found where they are, not elsewhere."""

import math
import random

import pytest

from genbench.speed.statistics import (
    PERCENTILES,
    between,
    drift,
    enough,
    median,
    modes,
    percentile,
    ranks,
    remarks,
    spoken,
)


def binomial(m, q, least, most):
    """P(least <= Binomial(m, q) <= most), exactly."""
    return sum(math.comb(m, k) * q**k * (1 - q) ** (m - k) for k in range(least, most + 1))


def test_the_fewest_runs_are_those_of_the_binomial_rule():
    """Two runs beyond the percentile with 99%: for p50 from m = 11, (1 + 11) / 2^11 = 0.6%; 11 / 2^10 = 1.07% fails."""
    assert [enough(q) for q in PERCENTILES] == [11, 64, 130, 662]
    for q in PERCENTILES:
        m = enough(q)
        assert binomial(m, 1 - q, 0, 1) <= 0.01 < binomial(m - 1, 1 - q, 0, 1)


def test_a_percentile_of_too_few_runs_is_not_there():
    times = [float(k) for k in range(1, 1000)]
    for q in PERCENTILES:
        assert percentile(times[: enough(q) - 1], q) is None
        assert percentile(times[: enough(q)], q) is not None


def test_percentiles_of_known_numbers():
    """Of 1..101 the percentile q is 1 + 100 q; the median's ranks for m = 11 are the 2nd and the 10th."""
    times = [float(k) for k in range(101, 0, -1)]
    assert percentile(times, 0.5).value == 51
    assert percentile(times, 0.9).value == pytest.approx(91)
    eleven = median([float(k) for k in range(11)])
    assert (eleven.low, eleven.value, eleven.high) == (1.0, 5.0, 9.0)
    even = median([4.0, 1.0, 3.0, 2.0, 6.0, 5.0])
    assert (even.low, even.value, even.high) == (1.0, 3.5, 6.0)


@pytest.mark.parametrize(("m", "q"), [(6, 0.5), (11, 0.5), (25, 0.5), (662, 0.5), (64, 0.9), (130, 0.95), (662, 0.99)])
def test_ranks_cover_by_the_binomial_law(m, q):
    """[x_(l), x_(u)] misses the percentile if fewer than l, or u and more, of m runs lie below it: 2.5% each."""
    low, high = ranks(m, q)
    assert 1 <= low < high <= m
    assert binomial(m, q, 0, low - 1) <= 0.025 < binomial(m, q, 0, low)
    assert binomial(m, q, high, m) <= 0.025 < binomial(m, q, high - 1, m)


@pytest.mark.parametrize(("m", "q"), [(25, 0.5), (64, 0.9), (662, 0.99)])
def test_the_interval_covers_the_true_percentile(m, q):
    """Exponential times: the percentile is -log(1 - q). At least 95% of 400 intervals, less three standard errors."""
    rng = random.Random(1)
    truth, hits = -math.log(1 - q), 0
    for _ in range(400):
        found = percentile([rng.expovariate(1.0) for _ in range(m)], q)
        hits += found.low <= truth <= found.high
    assert hits / 400 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 400)


LAWS = {
    "normal": lambda rng: rng.gauss(1, 0.05),
    "uniform": lambda rng: rng.uniform(1, 2),
    "exponential": lambda rng: 1 + rng.expovariate(1),
    "lognormal": lambda rng: math.exp(rng.gauss(0, 0.5)),
    "heavy": lambda rng: rng.paretovariate(3),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("m", [25, 64, 200])
def test_one_mode_is_one_mode(law, m):
    """At most 1% by chance: of 200 seldom more than 5, P(Binomial(200, 1%) > 6) = 0.5%."""
    rng = random.Random(2)
    assert sum(modes([LAWS[law](rng) for _ in range(m)]) is not None for _ in range(200)) <= 6


def test_a_dent_is_not_a_valley():
    """A uniform law from 1 to e that keeps three fifths of its middle third: a fifth of each half's runs lie there."""
    times = [math.exp(k / 660) for k in range(660) if not (264 <= k < 396 and k % 5 in (0, 1))]
    assert modes(times) is None
    assert modes([t for t in times if not 1.4 < t < 2.0]) is not None


@pytest.mark.parametrize(("share", "ratio", "m"), [(0.5, 2.0, 64), (0.5, 1.2, 64), (0.2, 1.5, 130), (0.1, 3.0, 662)])
def test_two_modes_are_two(share, ratio, m):
    rng = random.Random(3)
    for _ in range(20):
        found = modes([rng.gauss(1, 0.02) * (ratio if rng.random() < share else 1.0) for _ in range(m)])
        assert found is not None
        assert found.fast == pytest.approx(1.0, abs=0.02)
        assert found.slow == pytest.approx(ratio, rel=0.02)
        assert found.share == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / m))


def test_two_modes_are_said_in_words():
    assert remarks([0.001, 0.002] * 50) == ["two modes: 50% of the runs near 1 ms, 50% near 2 ms"]
    assert remarks([0.001] * 100) == []
    assert remarks([0.0] * 100) == []
    assert remarks([]) == []


def test_drift_is_found_and_its_absence_too():
    """Times that grow by half; and independent ones, for which the test's level is 0.1%."""
    rng = random.Random(4)
    rising = [(1 + k / 200) * rng.gauss(1, 0.05) for k in range(100)]
    assert drift(rising) == pytest.approx((1 + 83 / 200) / (1 + 16.5 / 200), rel=0.05)
    assert "drift: the last third of the runs takes 1.3" in remarks(rising)[0]
    assert drift([1.0 + k * 1e-5 for k in range(100)]) is None  # by less than 5%
    assert drift([1.0] * 100) is None
    assert sum(drift([rng.expovariate(1.0) for _ in range(50)]) is not None for _ in range(500)) <= 3


def test_processes_differ_by_more_than_their_runs():
    """Medians 1, e, e^2: the mean of their logarithms is 1, s = 1, half = 4.302653 / sqrt(3) = 2.48414."""
    parts = [[math.exp(k)] * 5 for k in range(3)]
    assert between(parts) == pytest.approx((math.exp(1 - 2.48414), math.exp(1 + 2.48414)), rel=1e-4)
    assert between(parts[:2]) is None
    assert between([]) is None


def test_six_processes_need_no_law():
    """1 - 2 / 2^6 = 97% between the fastest and the slowest of six; of nine the 2nd and the 8th."""
    parts = [[float(k)] * 5 for k in (4, 1, 100, 3, 2, 5)]
    assert between(parts) == (1.0, 100.0)
    assert between([*parts, [6.0], [7.0], [8.0], []]) == (2.0, 8.0)


PROCESSES = {
    "normal": (lambda rng: rng.gauss(0, 0.01), 0.0),
    "exponential": (lambda rng: rng.expovariate(100), math.log(2) / 100),
    "one in three": (lambda rng: rng.gauss(0, 0.001) + (0.05 if rng.random() < 1 / 3 else 0.0), 0.00067),
}


@pytest.mark.parametrize("law", PROCESSES)
@pytest.mark.parametrize("count", [3, 6])
def test_the_interval_over_processes_covers(law, count):
    """Runs of a process share its shift and hang together, r_k = 0.9 r_(k-1) + noise; the true median is the law's.

    One in three: the median m has P(shift <= m) = 2/3 Phi(m / 0.001) = 1/2, so that m = 0.674 / 1000. Of 1000
    intervals at least 95%, three standard errors less; three processes allow for a normal law and little else.
    """
    rng, (shift, truth) = random.Random(6), PROCESSES[law]

    def process():
        times, rest, whole = [], rng.gauss(0, 0.002), shift(rng)
        for _ in range(21):
            times.append(math.exp(whole + rest))
            rest = 0.9 * rest + rng.gauss(0, 0.002 * math.sqrt(1 - 0.9**2))
        return times

    hits = pooled = 0
    for _ in range(1000):
        parts = [process() for _ in range(count)]
        low, high = between(parts)
        runs = median([t for part in parts for t in part])
        hits += low <= math.exp(truth) <= high
        pooled += runs.low <= math.exp(truth) <= runs.high
    least = 0.95 if count == 6 or law == "normal" else 0.92
    assert hits / 1000 >= least - 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert pooled / 1000 < 0.85, "the runs alone tell less than what is asked"


def test_what_differs_between_processes_is_no_drift():
    rng = random.Random(5)
    parts = [[slow * rng.gauss(1, 0.03) for _ in range(50)] for slow in (1.0, 1.04, 1.08)]
    together = [t for part in parts for t in part]
    assert "drift" in remarks(together)[0]
    assert remarks(together, parts) == []
    parts[1] = [t * (1 + k / 100) for k, t in enumerate(parts[1])]
    assert "drift" in remarks(together, parts)[0]


def test_times_are_spoken_in_their_unit():
    assert [spoken(t) for t in (2.5, 0.0025, 2.5e-6, 2.5e-9)] == ["2.5 s", "2.5 ms", "2.5 µs", "2.5 ns"]
