"""The other libraries on the bench: what agrees, what deviates and why. Whatever is not listed here must agree."""

import functools

import pytest

from genbench.conformance.cases import all_cases
from genbench.conformance.run import ADAPTERS, implementation, run_case

FLOAT32_MEAN = "means taken in float32"
FLOAT32 = "float32"
TIES = "the tie rule <"
BORDER = "the border reflect"
MEAN_ERROR = "the ratio of the mean error"
UNPACKS = "returns one for 1 x 1"
TAKEN_DOWN = "the process ended: SIGSEGV"

DEVIATES = {
    "pytorch-fid": {"fid/one-dimension": UNPACKS},
    "clean-fid": {
        "fid/huge-mean": FLOAT32_MEAN,
        "fid/gigantic-mean": FLOAT32_MEAN,
        "fid/one-dimension": UNPACKS,
        "kid/huge-mean": FLOAT32,
    },
    "torch-fidelity": {
        "fid/huge-mean": FLOAT32_MEAN,
        "fid/gigantic-mean": FLOAT32_MEAN,
        "fid/one-dimension": "np.cov gives a number",
        "kid/huge-mean": FLOAT32,
        "precision/huge-mean": FLOAT32,
        "recall/huge-mean": FLOAT32,
    },
    "torchmetrics": {
        "fid/bytes": "modulo 256",
        "kid/huge-mean": FLOAT32,
        "ssim/ordinary": BORDER,
        "ssim/colour": BORDER,
        "ssim/faint": BORDER,
        "ssim/inverted": BORDER,
        "ssim/one-exact": BORDER,
        "ssim/eight-pixels": "keeps its window of 11 pixels",
        "ssim/flat": FLOAT32,
    },
    "prdc": {
        "precision/lattice": TIES,
        "precision/steps": TIES,
        "precision/all-equal": TIES,
        "recall/lattice": TIES,
        "recall/all-equal": TIES,
        "recall/one-sample-repeated": TIES,
    },
    "torcheval": {
        "fid/fewer-than-dimensions": FLOAT32,
        "fid/singular": FLOAT32,
        "fid/huge-mean": FLOAT32,
        "fid/gigantic-mean": FLOAT32,
        "psnr/ordinary": MEAN_ERROR,
        "psnr/colour": MEAN_ERROR,
        "psnr/faint": MEAN_ERROR,
        "psnr/eight-pixels": MEAN_ERROR,
        "psnr/inverted": MEAN_ERROR,
        "psnr/one-better": MEAN_ERROR,
        "psnr/exact-one": "where there is no value",
    },
}


@functools.cache
def outcomes(name):
    """In this process, without what takes it down (a NaN in torch's eigenvalues) or takes long (d x d of 2048)."""
    pytest.importorskip(ADAPTERS[name])
    who = implementation(name)
    cases = [case for case in all_cases() if not case.large and not (case.metric == "fid" and case.refused)]
    return {case.id: run_case(who, case) for case in cases}


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_a_library_agrees_on(name):
    wrong = {case: o.reason for case, o in outcomes(name).items() if o.verdict in ("deviates", "crashed")}
    assert set(wrong) == set(DEVIATES[name])
    for case, reason in wrong.items():
        assert DEVIATES[name][case] in reason, case


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_bench_says_something_about_each_library(name):
    agrees = [case for case, o in outcomes(name).items() if o.verdict == "agrees"]
    assert len(agrees) >= 10


def test_conventions_that_a_library_can_be_given():
    """The same number under the same convention: ties under <, subsets by RandomState, splits of a shuffle."""
    assert outcomes("prdc")["precision/steps-less"].verdict == "agrees"
    assert outcomes("torch-fidelity")["precision/steps"].verdict == "agrees"
    assert outcomes("torch-fidelity")["precision/steps-less"].verdict == "not offered"
    assert outcomes("torch-fidelity")["kid/subsets"].verdict == "agrees"
    assert outcomes("torch-fidelity")["inception_score/splits-shuffled"].verdict == "agrees"
    assert outcomes("torchmetrics")["ssim/reflect"].verdict == "agrees"


@pytest.mark.slow
def test_a_library_that_takes_its_process_down():
    """torcheval hands NaN to an eigenvalue routine; the bench says so and goes on."""
    pytest.importorskip("torcheval")
    from genbench.conformance.isolation import conform_apart

    cases = [case for case in all_cases() if case.id in ("fid/nan", "fid/ordinary", "fid/small-sets")]
    found = {outcome.case: outcome for outcome in conform_apart("torcheval", cases)}
    assert found["fid/nan"].reason == TAKEN_DOWN
    assert found["fid/ordinary"].verdict == found["fid/small-sets"].verdict == "agrees"
