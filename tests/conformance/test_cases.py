"""The golden cases themselves, and our metrics on them."""

import json
import math

import numpy as np
import pytest

from genbench import catalog
from genbench.conformance import generate
from genbench.conformance.arrays import bells, digest, integers, levels
from genbench.conformance.cases import all_cases, answers, inputs, select
from genbench.conformance.run import implementation, run_case
from genbench.errors import Refused

CASES = {case.id: case for case in all_cases() if case.metric in catalog.METRICS}
OURS = implementation("genbench")

# Ours are held closer than the bench holds others: 1e-9, but for what float64 cannot know better.
LOOSER = {
    "kid/huge-mean": 1e-6,  # differences of kernel values of 7e10
    "cmmd/huge-mean": 1e-5,  # the directions of features about 64 differ by 1e-4 of a value near 0
    "cmmd/far-as-they-are": 1e-8,
    "sliced_wasserstein/shifted": 0.08,  # the mean over 1000 random directions against that over all
    "mind/shifted": 0.15,
}


@pytest.mark.parametrize("name", CASES)
def test_our_metrics_agree(name):
    case = CASES[name]
    outcome = run_case(OURS, case)
    assert outcome.verdict == "agrees", outcome.reason
    if outcome.expected is not None:
        assert outcome.value == pytest.approx(outcome.expected, rel=LOOSER.get(name, 1e-9), abs=1e-9)


@pytest.mark.parametrize("metric", catalog.METRICS)
def test_every_metric_has_cases(metric):
    """At least one with a value; most have a nasty one as well."""
    assert any(answers()[case.id].value is not None for case in select([metric]))


def test_every_answer_belongs_to_a_case():
    assert list(answers()) == [case.id for case in all_cases()]
    assert len(answers()) == len(all_cases())


@pytest.mark.parametrize("name", CASES)
def test_arrays_are_those_of_the_answer(name):
    """The recipe gives the same arrays again, and float32 holds the same features and images as float64."""
    case = CASES[name]
    assert digest(case.arrays()) == answers()[name].arrays
    for array in inputs(case).values():
        if array is not None and catalog.resolve("metrics", case.metric).needs in ("features", "images", "pairs"):
            np.testing.assert_array_equal(array, array.astype(np.float32))


@pytest.mark.parametrize(
    "name",
    [
        "fid/small-sets", "fid/one-dimension", "kid/two-rows", "cmmd/two-rows", "precision/steps",
        "clipped_coverage/ordinary",
        "inception_score/two-classes", "mode_kl/uneven", "nats/huge", "kl_reverse/far", "jensen_shannon/overflow",
        "validity/too-likely", "psnr/one-better", "ssim/eight-pixels", "ms_ssim/one-scale", "fid/nan",
        "wasserstein/two-and-three", "mind/unequal", "authenticity/steps", "nearest_ratio/steps", "c_t/rare-cell",
        "fld/signs", "fld_gap/signs", "vendi/uneven", "c2st/two-points", "kl/one-answer",
    ],
)  # fmt: skip
def test_answers_are_what_their_derivation_gives(name):
    pytest.importorskip("mpmath")
    case = next(case for case in all_cases() if case.id == name)
    assert generate.derive(case) == answers()[name]


@pytest.mark.slow
def test_every_answer_is_what_its_derivation_gives():
    pytest.importorskip("mpmath")
    for case in all_cases():
        assert generate.derive(case) == answers()[case.id], case.id


def test_a_closed_form_must_agree_with_the_derivation():
    pytest.importorskip("mpmath")
    from dataclasses import replace

    with pytest.raises(ArithmeticError, match=r"derived 20.0, but .* gives 21"):
        generate.derive(replace(CASES["fid/shifted"], closed=21.0))


def test_derivations_agree_with_known_values():
    """FID of diagonal covariances by hand; KID of two pairs by hand; a lattice counted by eye."""
    pytest.importorskip("mpmath")
    derived = generate.derivations()
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])  # variances 2/3 and 8/3
    found = derived["fid"](real=x, fake=2 * x + 3)
    assert float(found.value) == pytest.approx(18 + 2 / 3 + 8 / 3)
    assert float(found.instead["ddof 0"]) == pytest.approx(18 + 2 / 4 + 8 / 4)
    one, two = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    # k(1, 2) = 27, k(0, 1) = 1, cross: k(1, 0) = 1, k(1, 1) = 8, k(2, 0) = 1, k(2, 1) = 27
    assert float(derived["kid"](real=one, fake=two).value) == 27 + 1 - 2 * (1 + 8 + 1 + 27) / 4
    line = np.arange(5.0)[:, None]
    assert float(derived["precision"](real=line, fake=line + 0.5, k=1).value) == 1.0
    assert float(derived["precision"](real=line, fake=line + 1, k=1, tie="<").value) == 4 / 5
    assert float(derived["precision"](real=line, fake=line + 1, k=1).value) == 1.0


def test_arrays_are_integers_in_disguise():
    assert digest({"x": bells(1, 3, 2)}) == digest({"x": bells(1, 3, 2)}) != digest({"x": bells(2, 3, 2)})
    assert bells(1, 1000).mean() == pytest.approx(0, abs=0.1)
    assert bells(1, 1000).std() == pytest.approx(math.sqrt(8 * (256**2 - 1) / 12) / 256, rel=0.1)
    assert integers(bells(1, 4)).tolist() == (256 * bells(1, 4)).astype(int).tolist()
    assert set(levels(3, 500, bits=2).tolist()) == {0, 1, 2, 3}
    with pytest.raises(ValueError, match="no multiple of 1/256"):
        integers(np.array([0.1]))


def test_a_changed_recipe_is_noticed(monkeypatch):
    from dataclasses import replace

    case = replace(CASES["fid/ordinary"], arrays=CASES["fid/equal"].arrays)
    with pytest.raises(Refused, match="not those that its answer was derived for"):
        inputs(case)
    with pytest.raises(Refused, match="has no answer yet"):
        inputs(replace(case, id="fid/new"))
    with pytest.raises(Refused, match="no case for metric 'fidd'; did you mean fid"):
        select(["fidd"])


def test_the_file_is_small_and_readable():
    path = generate.GOLDEN
    assert path.stat().st_size < 300_000
    assert json.loads(path.read_text())["format"] == 1
