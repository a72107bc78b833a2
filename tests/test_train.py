"""The loop: exact resume after a kill, averaging, refusal of what is not finite, accounting."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

import genbench
from genbench.types import Dataset, DataSpec, Model, Recipe, Refused

SPEC = DataSpec(shape=(2,), levels=None)
X = torch.linspace(-1, 1, 200).reshape(100, 2)
DATA = Dataset(name="line", spec=SPEC, x={"train": X, "validation": X[:10], "test": X[:10]})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    rate: float = 0.1

    @classmethod
    def for_data(cls, data):
        return cls()


class Mean(Model):
    """Fits the mean of the data by gradient descent on |x - m|^2 / 2."""

    family = "toy"
    Config = Config

    def __init__(self, data, config=None):
        super().__init__(data, config or Config())
        self.mean = nn.Parameter(torch.zeros(2))
        self.seen = []

    @classmethod
    def recipe(cls, data):
        return Recipe(steps=50, batch_size=10)

    def optimizers(self):
        return {"mean": torch.optim.SGD([self.mean], lr=self.config.rate)}

    def losses(self, batch, step):
        self.seen.append(batch.x[:, 0].clone())
        self.log(progress=step.progress)
        yield "mean", 0.5 * (batch.x - self.mean).square().sum(dim=1).mean()

    def sample(self, noise, labels=None):
        return self.mean + noise.normal(2)


def test_an_epoch_visits_every_row_once_and_epochs_differ():
    model = Mean(SPEC)
    genbench.train(model, DATA, steps=20, progress=False)
    first, second = torch.cat(model.seen[:10]), torch.cat(model.seen[10:])
    assert torch.equal(first.sort().values, X[:, 0])
    assert torch.equal(second.sort().values, X[:, 0])
    assert not torch.equal(first, second)


def test_batches_larger_than_the_data_and_the_whole_set():
    model = Mean(SPEC)
    genbench.train(model, DATA, recipe=Recipe(steps=2, batch_size=150), progress=False)
    assert [len(x) for x in model.seen] == [150, 150]
    assert torch.cat(model.seen).sort().values.equal(X[:, 0].repeat(3).sort().values)
    model = Mean(SPEC)
    genbench.train(model, DATA, recipe=Recipe(steps=1, batch_size=None), progress=False)
    assert torch.equal(model.seen[0], X[:, 0])


def test_the_loop_is_gradient_descent_with_the_recipe_s_rate_and_average():
    """Against the same recursion written out: m <- m - r f (m - mean of the batch); a <- a + (1 - d) (m - a)."""
    recipe = Recipe(steps=30, batch_size=10, ema=0.9, warmup=5, schedule="cosine")
    model = Mean(SPEC)
    genbench.train(model, DATA, recipe=recipe, progress=False)
    m = a = 0.0
    for index, x in enumerate(model.seen):
        m -= 0.1 * recipe.learning_rate_factor(index) * (m - x.mean().item())
        a += (1 - min(0.9, (1 + index) / (10 + index))) * (m - a)
    assert model.mean[0].item() == pytest.approx(a, abs=1e-6)


def test_schedules():
    recipe = Recipe(steps=110, batch_size=1, warmup=10, schedule="cosine")
    factors = [recipe.learning_rate_factor(i) for i in range(110)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    assert factors[60] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.01
    assert dataclasses.replace(recipe, schedule="linear").learning_rate_factor(60) == pytest.approx(0.5)
    assert dataclasses.replace(recipe, schedule="constant").learning_rate_factor(109) == 1.0


def test_clipping_bounds_the_step():
    model = Mean(SPEC, Config(rate=1.0))
    data = dataclasses.replace(DATA, x={**DATA.x, "train": X + 1000})
    genbench.train(model, data, recipe=Recipe(steps=1, batch_size=10, clip=0.5), progress=False)
    assert model.mean.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_a_loss_that_is_not_finite_stops_the_training_with_its_step():
    model = Mean(SPEC)
    losses = model.losses

    def bad(batch, step):
        for name, loss in losses(batch, step):
            yield name, loss * (float("nan") if step.index == 23 else 1.0)

    model.losses = bad
    with pytest.raises(Refused, match="mean is nan at step 23 of 50"):
        genbench.train(model, DATA, progress=False)


def test_curves_and_accounting():
    history = genbench.train(Mean(SPEC), DATA, steps=400, progress=False)
    assert set(history) == {"mean", "progress"}
    assert history["mean"]["steps"] == list(range(2, 401, 2))
    assert history["progress"]["values"][0] == pytest.approx(0.5 / 400)
    assert history.accounting.steps == 400
    assert history.accounting.images == 4000
    assert history.accounting.seconds > 0
    assert history.accounting.flops == 0  # the toy has no matrix product


def test_flops_of_a_matrix_product_are_counted():
    """A linear layer d -> k on a batch n: 2 n d k forward, the same again for the weights' gradient."""

    class Linear(Mean):
        def __init__(self, data):
            super().__init__(data)
            self.layer = nn.Linear(2, 3)

        def optimizers(self):
            return {"layer": torch.optim.SGD(self.layer.parameters(), lr=0.1)}

        def losses(self, batch, step):
            yield "layer", self.layer(batch.x).square().mean()

    history = genbench.train(Linear(SPEC), DATA, steps=7, progress=False)
    assert history.accounting.flops == 7 * 2 * (2 * 10 * 2 * 3)


def test_the_wrong_data_and_the_wrong_checkpoint_are_refused(tmp_path):
    other = dataclasses.replace(DATA, spec=DataSpec(shape=(3,), levels=None))
    with pytest.raises(Refused, match="the model was built for"):
        genbench.train(Mean(SPEC), other, progress=False)

    path = tmp_path / "checkpoint.pt"
    genbench.train(Mean(SPEC), DATA, steps=41, checkpoint=path, checkpoint_seconds=-1, progress=False)
    assert path.exists()
    with pytest.raises(Refused, match="belongs to another model"):
        genbench.train(Mean(SPEC), DATA, steps=41, seed=1, checkpoint=path, progress=False)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Refused, match="cannot be read"):
        genbench.train(Mean(SPEC), DATA, steps=41, checkpoint=path, progress=False)


def test_a_checkpoint_with_a_pickle_in_it_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'owned'}",))

    torch.save({"identity": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(Refused, match="cannot be read"):
        genbench.train(Mean(SPEC), DATA, checkpoint=tmp_path / "checkpoint.pt", progress=False)
    assert not (tmp_path / "owned").exists()


def test_bf16_trains():
    history = genbench.train(Mean(SPEC), DATA, steps=20, precision="bf16", progress=False)
    assert history.accounting.steps == 20


_SCRIPT = """
import sys, torch, genbench, genbench.train
sys.modules["genbench.train"]._FLUSH = 1
torch.set_num_threads(1)
name, path, out = sys.argv[1:]
data = genbench.dataset("ring8")
model = genbench.build(name, data.spec)
print("ready", flush=True)
genbench.train(model, data, steps=60, checkpoint=path, checkpoint_seconds=0.0, progress=False)
torch.save(model.state_dict(), out)
"""


@pytest.mark.parametrize("name", ["wgan-gp", "ddpm"])
def test_kill_minus_nine_and_resume(name, tmp_path):
    """Killed at random instants, again and again, the training ends with bitwise the weights of a quiet one."""

    def start(tag):
        command = [sys.executable, "-c", _SCRIPT, name, str(tmp_path / f"{tag}.pt"), str(tmp_path / f"{tag}.out")]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    quiet = start("quiet")
    instants, kills = random.Random(0), 0
    while not (tmp_path / "killed.out").exists():
        process = start("killed")
        process.stdout.readline()
        if kills < 3:
            checkpoint = tmp_path / "killed.pt"
            before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline:
                if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
                    break
                time.sleep(0.002)
            time.sleep(instants.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
            kills += 1
            process.wait()
        else:
            assert process.wait() == 0
        process.stdout.close()
    assert quiet.wait() == 0
    quiet.stdout.close()
    expected, found = torch.load(tmp_path / "quiet.out"), torch.load(tmp_path / "killed.out")
    assert kills == 3
    assert expected.keys() == found.keys()
    for tensor_name, tensor in expected.items():
        assert torch.equal(tensor, found[tensor_name]), tensor_name
