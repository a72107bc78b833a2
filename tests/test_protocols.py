"""Named protocols: every one can be asked for, and says all that its number depends on."""

import inspect

import pytest
import torch

import genbench
from genbench import catalog, protocols
from genbench.errors import Refused
from genbench.evaluate import evaluate
from genbench.noise import Streams


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_a_protocol_names_what_exists(name):
    protocol = protocols.PROTOCOLS[name]
    assert name.startswith(protocol.metric + "/")
    metric = catalog.resolve("metrics", protocol.metric)
    functions = [f for f in (metric.fn, metric.terms, metric.replicates, metric.estimate) if f is not None]
    for function in functions:
        assert set(protocol.arguments) <= set(inspect.signature(function).parameters), function
    if protocol.extractor is not None:
        extractor = catalog.resolve("extractors", protocol.extractor)
        assert set(protocol.options) <= set(inspect.signature(extractor).parameters)
    assert protocol.about


def test_a_protocol_that_does_not_exist():
    with pytest.raises(Refused, match=r"unknown protocol 'fid/klean'; did you mean fid/clean"):
        protocols.find("fid/klean")
    with pytest.raises(Refused, match="unknown metric 'fod'; "):
        protocols.find("fod")


def test_arguments_reach_the_metric_and_its_interval():
    data = genbench.dataset("digits")
    fake = data.images("train")[:200]
    table = evaluate(fake, data, metrics=["precision", "precision/prdc"], progress=False)
    plain, named = table["precision"], table["precision/prdc"]
    assert named.name == "precision[prdc:digitnet@2df9,test,n=200,count_self=False,k=5,tie=<]"
    assert plain.name == "precision[digitnet@2df9,test,n=200]"
    extractor = catalog.resolve("extractors", "digitnet")(data.spec)
    x, y = extractor.features(data.images("test")), extractor.features(fake)
    assert named.value == genbench.metrics.precision(real=x, fake=y, k=5, tie="<") != plain.value
    assert protocols.find("precision/prdc")[0].fn(real=x, fake=y) == named.value


def test_divergences_take_fresh_draws_and_the_excess_takes_the_test_points():
    """Same estimator, other points: equal in expectation, never equal in value."""
    data = genbench.dataset("ring8")
    model = genbench.build("realnvp", data.spec, seed=0)
    samples = data.law.sample(Streams(0, torch.arange(100)))
    names = ["excess_nats", "kl_forward"]
    table = evaluate(samples, data, model=model, metrics=names, likelihood_images=100, progress=False)
    assert "fresh draws" in table["kl_forward"].protocol
    assert "test" in table["excess_nats"].protocol
    assert table["kl_forward"].value != table["excess_nats"].value


def test_what_does_not_apply_says_why():
    data = genbench.dataset("ring8")
    x = data.images("test")[:100]
    names = ["ssim", "inception_score", "reconstruction_error", "nats", "sfid"]
    for name, found in evaluate(x, data, metrics=list(names), progress=False).items():
        assert found.status == "undefined", name
        assert found.reason
