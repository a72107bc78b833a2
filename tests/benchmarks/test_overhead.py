"""What the harness costs: the training loop against the same loop without it, and the time to answer `--help`.

Interleaved, medians, ratios inside one run: `make bench`. The bars are printed, never asserted on a noisy machine.
"""

import statistics
import subprocess
import sys
import time

import pytest
import torch

import genbench
from genbench.noise import Streams, derive
from genbench.types import Batch, Step

ROUNDS = 7


def bare_loop(model, data, recipe, steps):
    """The same training written out: batches, noise, schedule, clipping and average, nothing else."""
    x, labels = data.images("train"), data.labels("train")
    optimizers = model.optimizers()
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in optimizers.items()}
    weights = list(model.parameters())
    average = [w.detach().clone() for w in weights]
    order = torch.randperm(len(x))
    model.train()
    for index in range(steps):
        rows = torch.arange(index * recipe.batch_size, (index + 1) * recipe.batch_size)
        chosen = order[rows % len(x)]
        step = Step(index, steps, Streams(derive(0, "train"), rows))
        batch = Batch(x[chosen], None if labels is None else labels[chosen])
        for group, loss in model.losses(batch, step):
            optimizer = optimizers[group]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if recipe.clip:
                torch.nn.utils.clip_grad_norm_(weights, recipe.clip)
            optimizer.param_groups[0]["lr"] = rates[group] * recipe.learning_rate_factor(index)
            optimizer.step()
        if recipe.ema:
            torch._foreach_lerp_(average, [w.detach() for w in weights], 1 - recipe.ema)


@pytest.mark.parametrize(("name", "steps"), [("vae", 400), ("ddpm", 60), ("pixelcnn", 40)])
def test_training_loop_overhead(benchmark, name, steps):
    """Bar: at most 5% slower than the bare loop."""
    data = genbench.dataset("digits")
    recipe = genbench.build(name, data.spec).recipe(data.spec)

    def timed(work):
        model = genbench.build(name, data.spec)
        started = time.perf_counter()
        work(model)
        return time.perf_counter() - started

    def harness(model):
        genbench.train(model, data, steps=steps, progress=False)

    def both():
        ratios.extend(
            timed(harness) / timed(lambda model: bare_loop(model, data, recipe, steps)) for _ in range(ROUNDS)
        )

    ratios = []
    timed(harness)
    benchmark.pedantic(both, rounds=1)
    benchmark.extra_info["ratio"] = statistics.median(ratios)
    print(f"\n{name}: {statistics.median(ratios):.3f} of the bare loop ({min(ratios):.3f} to {max(ratios):.3f})")  # noqa: T201


@pytest.mark.parametrize(
    "code", ["import genbench", "import genbench.cli as c; c.main(['--help'], standalone_mode=False)"]
)
def test_startup(benchmark, code):
    """Bars: 0.2 s and 0.3 s, the interpreter's own start included."""
    benchmark.pedantic(
        lambda: subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL),
        rounds=15,
        warmup_rounds=2,
    )
    print(f"\n{code[:30]}: median {benchmark.stats.stats.median:.3f} s")  # noqa: T201
