"""What counter-based noise costs: beside torch's generator, and as a share of a sampling step: `make bench`.

The bar is printed, never asserted on a noisy machine.
"""

import statistics

import pytest
import torch

import genbench
from genbench.noise import Streams
from genbench.speed.protocol import timed

N = 64
STEPS = 50
DRAWS = {"normal": lambda noise: noise.normal(1, 28, 28), "uniform": lambda noise: noise.uniform(1, 28, 28)}


@pytest.mark.benchmark(group="noise")
@pytest.mark.parametrize("law", DRAWS)
def test_streams(benchmark, law):
    """64 images of 28 x 28 a draw."""
    noise = Streams(0, range(N))
    benchmark(DRAWS[law], noise)


@pytest.mark.benchmark(group="noise")
def test_torch(benchmark):
    """The same from torch's own generator, which cannot say what image i gets."""
    benchmark(torch.randn, N, 1, 28, 28)


@pytest.mark.benchmark(group="noise")
@pytest.mark.parametrize("dataset", ["digits", "glyphs"])
@pytest.mark.parametrize("n", [1, N])
def test_share_of_a_diffusion_step(benchmark, dataset, n):
    """Bar: the draw is at most 2% of the step it is drawn for. Interleaved: noise, torch, step.

    The noise is that of a whole sampler of fifty steps from its start, since small draws are made many at a time.
    """
    data = genbench.dataset(dataset)
    model = genbench.build("ddpm", data.spec).eval()
    unit = model.step()
    example = unit.example(n)
    shape = data.spec.shape

    def streams(_):
        noise = Streams(0, range(n))
        for _ in range(STEPS):
            noise.normal(*shape)

    works = {
        "Streams": streams,
        "torch.randn": lambda _: [torch.randn(n, *shape) for _ in range(STEPS)],
        "step": lambda _: unit.module(*example),
    }

    def rounds():
        for _ in range(10):
            for name, work in works.items():
                seconds[name] += timed(work, 5, opening=True).wall

    seconds = {name: [] for name in works}
    with torch.inference_mode():
        benchmark.pedantic(rounds, rounds=1)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    shares = {name: medians[name] / STEPS / medians["step"] for name in ("Streams", "torch.randn")}
    benchmark.extra_info.update(shares)
    words = ", ".join(f"{name} {share:.2%}" for name, share in shares.items())
    print(f"\nddpm on {dataset}, batch {n}: {words} of a step of {1e3 * medians['step']:.2f} ms (bar 2%)")  # noqa: T201
