"""The hot path of every sampler: one step of it where it loops, the whole of it where it is one shot: `make bench`."""

import pytest
import torch

import genbench
from genbench import catalog
from genbench.noise import Recorded, Replay, Streams

N = 64


def models():
    """Names of models that have a step, and of those that sample at once; controls left out."""
    spec = genbench.dataset("digits").spec
    built = {name: catalog.resolve("models", name) for name in catalog.MODELS}
    able = [name for name, kind in built.items() if not kind.control and kind.supports(spec) is None]
    looped = [name for name in able if genbench.build(name, spec).step() is not None]
    return {"step": looped, "sampler": [name for name in able if name not in looped]}


def pytest_generate_tests(metafunc):
    if "model" in metafunc.fixturenames:
        metafunc.parametrize("model", models()[metafunc.function.unit])


def unit(name):
    def marked(test):
        test.unit = name
        return test

    return marked


@pytest.mark.benchmark(group="sampler steps")
@unit("step")
def test_step(benchmark, model):
    module = (found := genbench.build(model, genbench.dataset("digits").spec).eval().step()).module
    example = found.example(N)
    with torch.inference_mode():
        benchmark(module, *example)


@pytest.mark.benchmark(group="samplers of one shot")
@unit("sampler")
def test_sampler(benchmark, model):
    built = genbench.build(model, genbench.dataset("digits").spec).eval()
    noise = Recorded(Streams(0, range(N)))
    with torch.inference_mode():
        built.sample(noise)
        benchmark(lambda: built.sample(Replay(noise.tensors)))
