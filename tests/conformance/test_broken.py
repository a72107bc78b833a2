"""Implementations that are broken on purpose: the bench catches each, and says what is wrong where it can."""

import sys
import time
import warnings

import numpy as np
import pytest

from genbench.conformance.cases import select
from genbench.conformance.run import Implementation, implementation, run_case
from genbench.errors import Refused, Unavailable
from genbench.metrics.inception_score import inception_score
from genbench.metrics.kid import kid
from genbench.metrics.precision import precision


def frechet(x, y, ddof=1):
    s, t = np.atleast_2d(np.cov(x, rowvar=False, ddof=ddof)), np.atleast_2d(np.cov(y, rowvar=False, ddof=ddof))
    roots = np.sqrt(np.linalg.eigvals(s @ t).astype(complex)).real.sum()
    return np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s + t) - 2 * roots


def right(*, real, fake):
    return frechet(np.asarray(real, dtype=float), np.asarray(fake, dtype=float))


def ddof_0(*, real, fake):
    return frechet(np.asarray(real, dtype=float), np.asarray(fake, dtype=float), ddof=0)


def float32_mean(*, real, fake):
    wide = right(real=real, fake=fake) - np.square(np.mean(real, axis=0) - np.mean(fake, axis=0)).sum()
    gap = real.astype(np.float32).mean(axis=0) - fake.astype(np.float32).mean(axis=0)
    return wide + np.square(gap).sum()


def swapped(*, real, fake, k=3):
    return precision(real=fake, fake=real, k=k)


def strict(*, real, fake, k=3):
    return precision(real=real, fake=fake, k=k, tie="<")


def biased(*, real, fake):
    d = real.shape[1]
    means = [((a @ b.T / d + 1) ** 3).mean() for a, b in ((real, real), (fake, fake), (real, fake))]
    return means[0] + means[1] - 2 * means[2]


def ten_splits(*, fake):
    return inception_score(fake=fake, splits=min(10, len(fake)))


def verdicts(metric, function):
    who = Implementation(name="mine", functions={metric: function})
    return {case.id.partition("/")[2]: run_case(who, case) for case in select([metric]) if not case.large}


@pytest.mark.parametrize(
    ("metric", "function", "scene", "reason"),
    [
        ("fid", ddof_0, "small-sets", "the value of: ddof 0"),
        ("fid", ddof_0, "one-dimension", "the value of: ddof 0"),
        ("fid", float32_mean, "huge-mean", "the value of: means taken in float32"),
        ("precision", swapped, "ordinary", "the value of: real and fake exchanged"),
        ("precision", strict, "steps", "the value of: the tie rule <"),
        ("kid", biased, "ordinary", "the value of: the kernel's diagonals kept (biased)"),
        ("inception_score", ten_splits, "ordinary", "the value of: 10 splits"),
    ],
)
def test_a_broken_implementation_is_caught(metric, function, scene, reason):
    outcome = verdicts(metric, function)[scene]
    assert outcome.verdict == "deviates"
    assert reason in outcome.reason
    assert outcome.deviation > 10 * outcome.tolerance


def test_a_right_implementation_is_left_alone():
    """The definition in five lines of numpy; it cannot be given ddof, and takes one row for a covariance of NaN."""
    found = verdicts("fid", right)
    assert {name: o.reason for name, o in found.items() if o.verdict == "not offered"} == {
        "small-sets-ddof-0": "takes no argument ddof (ddof=0)"
    }
    assert [name for name, o in found.items() if o.verdict in ("deviates", "crashed")] == []


def test_what_foreign_code_does_stays_with_it(capfd):
    case = select(["fid"])[0]

    def noisy(*, real, fake):
        print("hello")  # noqa: T201
        print("there", file=sys.stderr)  # noqa: T201
        warnings.warn("beware", stacklevel=1)
        real[:] = 0
        return right(real=fake, fake=fake)

    def broken(real, fake):
        raise ValueError("first line\n" + "x" * 1000)

    def leaves(real, fake):
        sys.exit(3)

    def run(function):
        return run_case(Implementation(name="mine", functions={"fid": function}), case)

    assert run(noisy).verdict == "deviates"
    assert capfd.readouterr() == ("", "")
    assert run(lambda real, fake: right(real=real, fake=fake)).verdict == "agrees"  # its arrays are fresh
    crashed = run(broken)
    assert crashed.verdict == "crashed"
    assert crashed.reason.startswith("ValueError: first line xxx")
    assert len(crashed.reason) < 200
    assert run(leaves).verdict == "crashed"
    assert run(lambda real, fake: np.nan).reason == "gives nan"
    assert run(lambda x, y: right(real=x, fake=y)).verdict == "agrees"  # by position, real first
    assert run(lambda **both: right(**both)).verdict == "agrees"
    assert run_case(Implementation(name="mine", functions={}), case).reason == "has no fid"


def test_a_number_where_there_is_none_deviates():
    who = Implementation(name="mine", functions={"fid": lambda real, fake: 1.0})
    outcome = next(run_case(who, case) for case in select(["fid"]) if case.id == "fid/nan")
    assert (outcome.verdict, outcome.expected) == ("deviates", None)
    assert "gives 1 where there is no value" in outcome.reason


def test_rounding_to_float32_is_named():
    case = next(case for case in select(["nats"]) if case.id == "nats/huge")
    who = Implementation(name="mine", functions={"nats": lambda real: np.float32(real.mean())})
    assert run_case(who, case).reason == "rounded to float32"


@pytest.mark.parametrize(
    ("name", "metric", "error", "words"),
    [
        ("nonsense", None, Refused, "is no implementation: it is genbench, torch-fidelity"),
        ("os:getcwd", None, Refused, "say which metric it implements"),
        ("os:getcwd=fidd", None, Refused, "no case for metric 'fidd'; did you mean fid"),
        ("os:getcwdd", "fid", Refused, "has no 'getcwdd'"),
        ("os:sep", "fid", Refused, "is a str; it must be a function"),
        ("not_there.at_all:fid", "fid", Refused, "there is no module 'not_there'"),
    ],
)
def test_what_is_no_implementation_is_refused(name, metric, error, words):
    with pytest.raises(error, match=words):
        implementation(name, metric)


def test_a_missing_library_is_a_sentence(monkeypatch):
    from genbench.conformance import run

    monkeypatch.setitem(run.ADAPTERS, "prdc", "no_such_library")
    with pytest.raises(Unavailable, match=r"prdc is not installed; pip install 'genbench\[peers\]'"):
        implementation("prdc")


def test_a_metric_object_is_taken_by_its_function():
    assert implementation("genbench.metrics.kid:METRIC=kid").functions["kid"] is kid


MODULE = """
import os, sys, time
import numpy as np

def hangs(real, fake):
    time.sleep(60)

def dies(real, fake):
    os.kill(os.getpid(), 9)

def chatters(real, fake):
    os.write(1, b"{not json}\\n")
    print("noise")
    return 1.5

def leaves(real, fake):
    os._exit(7)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "foreign_code.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


def apart(name, timeout=30.0):
    from genbench.conformance.isolation import conform_apart

    return list(conform_apart(name, select(["fid"])[:2], "fid", timeout))


def test_foreign_code_may_take_its_process_down(module):
    start = time.perf_counter()
    assert [o.reason for o in apart("foreign_code:hangs", timeout=0.3)] == ["not done after 0.3 s"] * 2
    assert time.perf_counter() - start < 30
    killed = apart("foreign_code:dies")
    assert [(o.verdict, o.reason) for o in killed] == [("crashed", "the process ended: SIGKILL")] * 2
    assert apart("foreign_code:leaves")[0].reason == "the process ended: exit status 7"
    assert [(o.verdict, o.value) for o in apart("foreign_code:chatters")] == [("deviates", 1.5)] * 2


def test_an_import_that_fails_is_a_sentence(module, tmp_path):
    (tmp_path / "bad_import.py").write_text("raise OSError('no such device')")
    (tmp_path / "dead_import.py").write_text("import os; os._exit(1)")
    with pytest.raises(Refused, match="bad_import:fid cannot be imported: OSError: no such device"):
        apart("bad_import:fid")
    with pytest.raises(Refused, match="dead_import:fid: the process ended while it was imported"):
        apart("dead_import:fid")
