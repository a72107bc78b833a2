"""The pytest plugin: golden cases as tests of one's own suite, and a regression test for one's own numbers.

    pytest --conform my_package.metrics:fid=fid      each case of `fid` is a test, called as its id
    pytest --metric-regression-update                stores the values that `metric_regression` checks

It does nothing unless it is asked, and imports nothing but pytest until then.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from genbench.conformance.cases import Case
    from genbench.conformance.run import Implementation

_UPDATE = "--metric-regression-update"
_FILES = pytest.StashKey[dict[Path, dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two flags."""
    group = parser.getgroup("genbench", "metrics (genbench)")
    group.addoption(
        "--conform",
        action="append",
        default=[],
        metavar="MODULE:FUNCTION=METRIC",
        help="Run genbench's golden cases of METRIC against a function of real= and fake= (may be given again).",
    )
    group.addoption(
        _UPDATE, action="store_true", help="Store the values that metric_regression checks, instead of comparing them."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuses to write one file from several processes."""
    if config.getoption("metric_regression_update") and getattr(config.option, "dist", "no") != "no":
        raise pytest.UsageError(f"{_UPDATE} writes files and runs in one process: add -n0")


class ConformItem(pytest.Item):
    """One golden case for one implementation."""

    def __init__(self, *, who: Implementation, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.who, self.case = who, case

    def runtest(self) -> None:
        """Fails where the implementation deviates; a case that it does not offer is skipped."""
        from genbench.conformance.run import run_case

        outcome = run_case(self.who, self.case)
        if outcome.verdict == "not offered":
            pytest.skip(outcome.reason)
        if outcome.verdict != "agrees":
            expected = (
                "no value" if outcome.expected is None else f"{outcome.expected!r} within {outcome.tolerance:.3g}"
            )
            lines = [
                f"{self.case.id} ({self.case.about})",
                f"expected {expected}",
                f"got      {'nothing' if outcome.value is None else repr(outcome.value)}",
                f"{outcome.verdict}: {outcome.reason}",
            ]
            pytest.fail("\n".join(lines), pytrace=False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """What the report calls it."""
        return self.path, None, f"{self.who.name} as {self.name}"


class ConformCollector(pytest.Collector):
    """The cases of one implementation."""

    def __init__(self, *, who: Implementation, **rest: Any) -> None:
        super().__init__(**rest)
        self.who = who

    def collect(self) -> Iterator[ConformItem]:
        """An item for each case of the metrics that it implements."""
        from genbench.conformance.cases import select

        for case in select(self.who.functions):
            yield ConformItem.from_parent(self, name=case.id, who=self.who, case=case)


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the golden cases to what was collected, whatever files were named."""
    wanted: list[str] = config.getoption("conform")
    if not wanted:
        return
    from genbench.conformance.run import implementation
    from genbench.errors import Refused

    for name in wanted:
        try:
            who = implementation(name)
        except Refused as reason:
            raise pytest.UsageError(f"--conform {reason}") from None
        collector = ConformCollector.from_parent(session, name=f"conform[{name}]", nodeid=f"conform[{name}]", who=who)
        items.extend(collector.collect())


class MetricRegression:
    """What the fixture `metric_regression` gives: values that must stay where they were stored.

    The file lies beside the test's and is called like it, `test_mine.metrics.json`: test -> value, low, high.
    """

    def __init__(self, node: pytest.Item) -> None:
        self._node, self._seen = node, set[str]()
        self.path = node.path.with_name(f"{node.path.stem}.metrics.json")

    def check(
        self,
        value: float,
        low: float | None = None,
        high: float | None = None,
        *,
        name: str = "",
        rel: float = 1e-6,
        abs: float = 0.0,
    ) -> None:
        """Fails unless a value lies in the interval that was stored for it.

        Args:
            value: the metric's value now, a finite number.
            low, high: the interval to store when the flag is given; later values must lie in it, ends included.
            name: tells the values of one test apart.
            rel, abs: without an interval, later values must lie within abs + rel |stored value|, as they were stored.
        """
        __tracebackhide__ = True
        value = float(value)
        key = self._node.nodeid.partition("::")[2] + (f" {name}" if name else "")
        if key in self._seen:
            pytest.fail(f"{key}: checked twice in one test; give each value a name=", pytrace=False)
        self._seen.add(key)
        if not math.isfinite(value):
            pytest.fail(f"{key}: the value is {value}; only a finite number can be compared", pytrace=False)
        if (low is None) != (high is None):
            pytest.fail(f"{key}: low is {low} and high {high}; an interval has both ends", pytrace=False)
        stored = self._stored()
        if self._node.config.getoption("metric_regression_update"):
            entry = {"value": value, "rel": rel, "abs": abs} if low is None else self._interval(key, value, low, high)
            self._write(stored | {key: entry})
            return
        if key not in stored:
            pytest.fail(f"{key}: nothing is stored in {self.path.name}; run pytest with {_UPDATE}", pytrace=False)
        low, high = self._limits(stored[key])
        if not low <= value <= high:
            was = stored[key]["value"]
            pytest.fail(
                f"{key}: the value is {value!r}, outside {low!r} to {high!r} ({was!r} was stored in {self.path.name}); "
                f"if it is meant to move, run pytest with {_UPDATE}",
                pytrace=False,
            )

    @staticmethod
    def _interval(key: str, value: float, low: float, high: float | None) -> dict[str, float]:
        ends = float(low), float(low if high is None else high)
        if not ends[0] <= value <= ends[1]:
            pytest.fail(f"{key}: the value {value!r} lies outside its own interval, {ends[0]!r} to {ends[1]!r}")
        return {"value": value, "low": ends[0], "high": ends[1]}

    @staticmethod
    def _limits(entry: dict[str, float]) -> tuple[float, float]:
        if "low" in entry:
            return entry["low"], entry["high"]
        reach = entry["abs"] + entry["rel"] * math.fabs(entry["value"])
        return entry["value"] - reach, entry["value"] + reach

    def _stored(self) -> dict[str, dict[str, float]]:
        files = self._node.config.stash.setdefault(_FILES, {})
        if self.path not in files:
            try:
                files[self.path] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
            except ValueError as error:
                pytest.fail(f"{self.path} is no JSON ({error}); mend it, or delete it and store anew", pytrace=False)
        return files[self.path]

    def _write(self, entries: dict[str, dict[str, float]]) -> None:
        self._node.config.stash[_FILES][self.path] = entries
        lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(entries[key])}" for key in sorted(entries))
        part = self.path.with_suffix(".part")
        part.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
        part.replace(self.path)


@pytest.fixture
def metric_regression(request: pytest.FixtureRequest) -> MetricRegression:
    """Compares values with those stored beside the test; `--metric-regression-update` stores them."""
    return MetricRegression(request.node)
