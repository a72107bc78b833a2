"""The one training loop: it takes an optimizer step for every `(group, loss)` that a model yields.

Everything that a step uses is a pure function of (seed, step): the batch, the noise, the learning rate. So a killed
run resumes from its last checkpoint and ends with the same weights, bit for bit, on the same machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from genbench import files
from genbench.errors import Unusable
from genbench.noise import Streams, derive
from genbench.progress import Bar, sparkline
from genbench.types import Accounting, Batch, Dataset, History, Model, Recipe, Refused, Step

_POINTS = 200  # of a curve that is kept
_FLUSH = 20  # steps between two looks at the losses: on a GPU every look waits for the device


@dataclass
class _Curves:
    """Means over windows of steps; its whole state is plain, so that it travels in a checkpoint."""

    window: int
    kept: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    sums: dict[str, list[float]] = field(default_factory=dict)

    def add(self, index: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            total = self.sums.setdefault(name, [0.0, 0.0])
            total[0] += value
            total[1] += 1.0
        if (index + 1) % self.window == 0:
            for name, (sum_, count) in self.sums.items():
                curve = self.kept.setdefault(name, {"steps": [], "values": []})
                curve["steps"].append(index + 1)
                curve["values"].append(sum_ / count)
            self.sums.clear()


class _Flops(TorchDispatchMode):
    """Adds up the floating-point operations of matrix products, convolutions and attention, backward included.

    torch's own counter also tracks modules by hooks, which do not bear a gradient inside a loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


class _Batches:
    """Endless passes over the training split, each in an order of its own; batch k needs no history."""

    def __init__(self, data: Dataset, batch_size: int | None, seed: int, device: torch.device) -> None:
        x, labels = data.images("train"), data.labels("train")
        # A GPU holds the whole split when it is small; then no batch has to travel.
        home = device if x.numel() * x.element_size() < 2**30 else torch.device("cpu")
        self._x, self._labels = x.to(home), None if labels is None else labels.to(home)
        self.size = batch_size or len(x)
        self._whole = batch_size is None
        self._seed, self._device, self._home = seed, device, home
        self._orders: dict[int, Tensor] = {}

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(derive(self._seed, f"epoch {epoch}") >> 1)
            self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = torch.randperm(len(self._x), generator=generator).to(self._home)
        return self._orders[epoch]

    def __getitem__(self, index: int) -> Batch:
        if self._whole:
            return Batch(self._x, self._labels)
        rows, start, n = [], index * self.size, len(self._x)
        while (missing := (index + 1) * self.size - start) > 0:
            epoch, offset = divmod(start, n)
            rows.append(self._order(epoch)[offset : offset + missing])
            start += len(rows[-1])
        chosen = torch.cat(rows)
        labels = None if self._labels is None else self._labels[chosen].to(self._device)
        return Batch(self._x[chosen].to(self._device), labels)


@dataclass
class _State:
    """What a checkpoint holds beside the weights and the optimizers."""

    index: int = 0
    groups: str = ""  # that the last step yielded, in order
    steps_by_groups: dict[str, int] = field(default_factory=dict)
    flops_by_groups: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def train(
    model: Model,
    data: Dataset,
    *,
    steps: int | None = None,
    seed: int = 0,
    recipe: Recipe | None = None,
    device: str | torch.device | None = None,
    precision: Literal["float32", "bf16"] = "float32",
    checkpoint: Path | str | None = None,
    checkpoint_seconds: float = 20.0,
    identity: str | None = None,
    progress: bool = True,
) -> History:
    """Trains a model in place and leaves it in evaluation mode, with the averaged weights where there are any.

    Buffers (the running statistics of batch norm, say) are those of the last step, also beside averaged weights.

    Args:
        model: a model built for `data.spec`.
        steps: overrides the recipe's number of steps; the learning rate's schedule stretches with it.
        seed: of the batches and of all noise that the losses use.
        recipe: by default the model's own for this data.
        device: by default where the model's parameters are.
        precision: "bf16" runs the forward passes under autocast.
        checkpoint: a file to resume from, if it exists, and to write to, every `checkpoint_seconds`.
        identity: what the checkpoint belongs to; by default derived from model, recipe, data and seed.
        progress: shows a bar with the loss curve when the standard error stream is a terminal.

    Returns:
        the curves (a dict), with `.accounting`: seconds, images, steps, FLOPs.

    Raises:
        Refused: a loss that is not finite, with its step; a checkpoint of another model or a damaged one.
    """
    recipe = recipe or model.recipe(data.spec)
    if steps is not None:
        recipe = replace(recipe, steps=steps)
    if model.data != data.spec:
        raise Refused(f"the model was built for {model.data}, the dataset {data.name} is {data.spec}")
    if device is not None:
        model.to(device)
    home = torch.device(device) if device else model.device
    run = _Run(model, data, recipe, seed, home, precision)
    path = Path(checkpoint) if checkpoint else None
    identity = identity or _identity(model, data, recipe, seed, precision)
    if path and path.exists():
        run.load(path, identity)
    devices = [home] if home.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), Bar(type(model).__name__, recipe.steps, progress) as bar:
        saved = time.monotonic()
        for done in run.steps():
            if done % _FLUSH == 0 or done == recipe.steps:
                bar.to(done, run.note())
                if path and time.monotonic() - saved > checkpoint_seconds and done < recipe.steps:
                    run.save(path, identity)
                    saved = time.monotonic()
    return run.finish()


def _identity(model: Model, data: Dataset, recipe: Recipe, seed: int, precision: str) -> str:
    parts = (type(model).__module__, type(model).__name__, model.config, model.data, recipe, seed, precision)
    return f"{parts} {data.checksum('train')}"


class _Run:
    """The state of one training and the step that moves it on."""

    def __init__(
        self, model: Model, data: Dataset, recipe: Recipe, seed: int, device: torch.device, precision: str
    ) -> None:
        self.model, self.recipe, self.seed, self.device = model, recipe, seed, device
        self.batches = _Batches(data, recipe.batch_size, seed, device)
        self.optimizers = model.optimizers()
        self.parameters = {
            name: [p for g in optimizer.param_groups for p in g["params"]]
            for name, optimizer in self.optimizers.items()
        }
        self.rates = {n: [g["lr"] for g in o.param_groups] for n, o in self.optimizers.items()}
        self.weights = [p for p in model.parameters() if p.requires_grad]
        self.average = [w.detach().clone() for w in self.weights] if recipe.ema else []
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        self.curves = _Curves(max(1, recipe.steps // _POINTS))
        self.state = _State()
        self.pending: list[tuple[int, list[tuple[str, Tensor | float]]]] = []
        self.noise_seed = derive(seed, "train")
        self.torch_seed = derive(seed, "torch") >> 1

    def steps(self) -> Iterator[int]:
        """Runs what is left of the training; yields the number of steps done after each."""
        self.model.train()
        started = time.perf_counter()
        for index in range(self.state.index, self.recipe.steps):
            self._step(index)
            self.state.index = index + 1
            if (index + 1) % _FLUSH == 0 or index + 1 == self.recipe.steps:
                self.flush()  # before the clock is read: it waits for the device
            self.state.seconds += time.perf_counter() - started
            yield index + 1
            started = time.perf_counter()

    def _step(self, index: int) -> None:
        # For what draws on its own: dropout. torch.manual_seed would format a stack trace for every idle device.
        torch.default_generator.manual_seed((self.torch_seed + index) % 2**63)
        if self.device.type == "cuda":
            torch.cuda.manual_seed((self.torch_seed + index) % 2**63)
        size = self.batches.size
        rows = torch.arange(index * size, (index + 1) * size)
        step = Step(index, self.recipe.steps, Streams(self.noise_seed, rows, self.device))
        factor = self.recipe.learning_rate_factor(index)
        # The first step is not typical: codebooks restart, chains begin.
        known = self.state.groups in self.state.flops_by_groups or (index == 0 and self.recipe.steps > 1)
        counter = nullcontext() if known else _Flops()
        logged: list[tuple[str, Tensor | float]] = []
        with counter:
            losses = self.model.losses(self.batches[index], step)
            while True:
                with self.autocast:
                    group, loss = next(losses, (None, None))
                if group is None or loss is None:
                    break
                self._update(group, loss, factor)
                logged.append((group, loss.detach()))
        logged += self.model.__dict__.pop("_logged", {}).items()
        self.pending.append((index, logged))
        name = self.state.groups = ",".join(name for name, _ in logged if name in self.optimizers)
        self.state.steps_by_groups[name] = self.state.steps_by_groups.get(name, 0) + 1
        if isinstance(counter, _Flops):
            self.state.flops_by_groups[name] = counter.total
        if self.average:
            # Without the ramp the average would remember the initial weights for 1 / (1 - decay) steps.
            decay = min(self.recipe.ema or 0.0, (1 + index) / (10 + index))
            torch._foreach_lerp_(self.average, [w.detach() for w in self.weights], 1.0 - decay)

    def _update(self, group: str, loss: Tensor, factor: float) -> None:
        optimizer, parameters = self.optimizers[group], self.parameters[group]
        optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=parameters)  # a group's loss leaves no gradient on another group
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        for options, rate in zip(optimizer.param_groups, self.rates[group], strict=True):
            options["lr"] = rate * factor
        optimizer.step()

    def flush(self) -> None:
        """Moves pending losses into the curves; refuses to go on after one that is not finite."""
        if not self.pending:
            return
        flat = [
            torch.as_tensor(value, dtype=torch.float32, device=self.device)
            for _, logged in self.pending
            for _, value in logged
        ]
        values = iter(torch.stack(flat).tolist() if flat else [])
        for index, logged in self.pending:
            means: dict[str, list[float]] = {}
            for name, _ in logged:
                means.setdefault(name, []).append(next(values))
            row = {name: sum(v) / len(v) for name, v in means.items()}
            for name, value in row.items():
                if not math.isfinite(value):
                    raise Refused(
                        f"{type(self.model).__name__}: {name} is {value} at step {index} of {self.recipe.steps}; "
                        "the training stops here; a lower learning rate or gradient clipping may help"
                    )
            self.curves.add(index, row)
        self.pending.clear()

    def note(self) -> str:
        return "  ".join(
            f"{name} {curve['values'][-1]:.3g} {sparkline(curve['values'])}"
            for name, curve in list(self.curves.kept.items())[:2]
        )

    def save(self, path: Path, identity: str) -> None:
        content: dict[str, Any] = {
            "identity": identity,
            "model": self.model.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "average": self.average,
            "curves": asdict(self.curves),
            "state": asdict(self.state),
        }
        files.write(path, lambda file: torch.save(content, file))

    def load(self, path: Path, identity: str) -> None:
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
            found = content["identity"]
        except Exception as error:
            raise Unusable(
                f"checkpoint {path.name} cannot be read ({type(error).__name__}); delete it to start anew"
            ) from error
        if found != identity:
            raise Unusable(f"checkpoint {path.name} belongs to another model, configuration, dataset or seed")
        self.model.load_state_dict(content["model"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
        self.average = content["average"]
        self.curves = _Curves(**content["curves"])
        self.state = _State(**content["state"])

    def finish(self) -> History:
        """Puts the averaged weights in place and hands out the curves."""
        self.flush()
        if self.average:
            torch._foreach_copy_([w.data for w in self.weights], self.average)
        bad = [name for name, p in self.model.named_parameters() if not torch.isfinite(p).all()]
        if bad:
            raise Refused(f"{type(self.model).__name__}: the weights {bad[0]} are not finite after the training")
        self.model.eval()
        history = History()
        history.update(self.curves.kept)
        counts, flops = self.state.steps_by_groups, self.state.flops_by_groups
        history.accounting = Accounting(
            seconds=self.state.seconds,
            images=self.state.index * self.batches.size,
            steps=self.state.index,
            flops=sum(n * flops[g] for g, n in counts.items()) if all(g in flops for g in counts) else None,
        )
        return history
