"""Every random number that a sampler may use: a sampler is a function of its noise.

Symbols: s the seed (64 bits), i the index of an image, k the number of the draw (0, 1, 2, ...), j the block of
four 32-bit words inside a draw. Block j of draw k of image i under seed s is

    Philox4x32-10(counter = (j, k, i mod 2^32, i div 2^32), key = (s mod 2^32, s div 2^32)),

a pure function of (s, i, k, j). So image i is the same whatever the batch size, the order, the shard, the
resume point or the device.

Reference: Parallel random numbers: as easy as 1, 2, 3 (Salmon, Moraes, Dror and Shaw, 2011).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

_M0, _M1 = 0xD2511F53, 0xCD9E8D57  # the round multipliers of Philox4x32
_W0, _W1 = 0x9E3779B9, 0xBB67AE85  # the key increments: golden ratio, sqrt(3) - 1
_MASK = 0xFFFFFFFF
_AHEAD = 4096  # blocks of four words that are drawn ahead at most


class Noise(Protocol):
    """What a sampler may ask for: `(n, *shape)` draws, in an order that must not depend on the values drawn."""

    n: int
    device: torch.device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws, float32, `(n, *shape)`."""

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in the open interval (0, 1), float32, `(n, *shape)`."""


Draw = tuple[Literal["normal", "uniform"], tuple[int, ...]]  # what is asked for: the law and the shape


@runtime_checkable
class Stacked(Noise, Protocol):
    """Noise that holds what a loop draws in all of its steps in one tensor for each draw of a step."""

    def stacked(self, steps: int, draws: Sequence[Draw]) -> tuple[Tensor, ...]:
        """`(steps, n, *shape)` for each of the draws."""


def derive(seed: int, purpose: str) -> int:
    """A 64-bit seed for one purpose ("sample", "train", ...), so that purposes never share random numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "little")


def philox(counter: Sequence[Tensor], key: tuple[int, int]) -> list[Tensor]:
    """Philox4x32-10 on four int64 tensors that hold 32-bit words; returns four of the same (broadcast) shape.

    A product of two 32-bit words needs 64 bits: int64 multiplication wraps, and masking the arithmetic shift
    gives back the true high word.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> 32 & _MASK) ^ c1 ^ k0, p1 & _MASK, (p0 >> 32 & _MASK) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = k0 + _W0 & _MASK, k1 + _W1 & _MASK
    return [c0, c1, c2, c3]


class Streams:
    """Counter-based noise: one independent stream for each image index.

    Uniforms keep 23 bits, `(word >> 9 + 1/2) / 2^23`: exact in float32, never 0 or 1, so that logarithms are
    finite; bitwise equal on every device. Normals are Box-Muller in float64, rounded once to float32: equal to one
    unit in the last place on every device.

    Args:
        seed: any integer; its lowest 64 bits count.
        indices: the images that this batch holds, `(n,)`.
        device: where the draws are wanted.
    """

    def __init__(self, seed: int, indices: Tensor | Iterable[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        # Metal has no float64; there the words are drawn on the CPU and the float32 result travels.
        self._home = torch.device("cpu") if self.device.type == "mps" else self.device
        if not isinstance(indices, Tensor):
            indices = torch.tensor(list(indices), dtype=torch.int64)
        self.indices = indices.to(self._home, torch.int64)
        self.n = len(self.indices)
        self.draws = 0
        self._key = (seed & _MASK, seed >> 32 & _MASK)
        self._ahead: tuple[str, int, int, Tensor] | None = None  # law, blocks, first draw, values (draws, n, 4 blocks)

    def _words(self, count: int, draws: int) -> list[Tensor]:
        """`count` blocks of four words an image for each of the next draws, four tensors `(draws, n, count)`."""
        block = torch.arange(count, device=self._home)
        low, high = self.indices[:, None] & _MASK, self.indices[:, None] >> 32 & _MASK
        draw = torch.arange(self.draws, self.draws + draws, device=self._home)[:, None, None]
        return philox([block, draw, low, high], self._key)

    def _next(self, law: Literal["normal", "uniform"], shape: tuple[int, ...]) -> Tensor:
        """The next draw. One like the last is drawn together with twice as many to come, while they are small.

        A small draw takes as long as its calls are many, so that a loop over small batches spends less on its noise.
        """
        size = math.prod(shape)
        count = -(-size // 4)
        known, blocks, first, values = self._ahead or ("", 0, 0, torch.empty(0))
        if (known, blocks) != (law, count) or not first <= self.draws < first + len(values):
            goes_on = (known, blocks, first + len(values)) == (law, count, self.draws)
            draws = min(2 * len(values), _AHEAD // max(1, self.n * count)) if goes_on else 1
            words = self._words(count, max(1, draws))
            first, values = self.draws, (_normal if law == "normal" else _uniform)(words)
            self._ahead = (law, count, first, values)
        drawn = values[self.draws - first]
        self.draws += 1
        return drawn[:, :size].reshape(self.n, *shape).contiguous().to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        return self._next("uniform", shape)

    def normal(self, *shape: int) -> Tensor:
        return self._next("normal", shape)


def _uniform(words: Sequence[Tensor]) -> Tensor:
    """`(..., 4 count)` from four tensors of words `(..., count)`."""
    return ((torch.stack(list(words), dim=-1).flatten(-2) >> 9).float() + 0.5) * 2.0**-23


def _normal(words: Sequence[Tensor]) -> Tensor:
    """Box-Muller: `(..., 4 count)` from four tensors of words `(..., count)`."""
    w = [(word.double() + 0.5) * 2.0**-32 for word in words]
    values = []
    for radius, angle in ((w[0], w[1]), (w[2], w[3])):
        length = torch.sqrt(-2.0 * torch.log(radius))
        values += [length * torch.cos(2.0 * math.pi * angle), length * torch.sin(2.0 * math.pi * angle)]
    return torch.stack(values, dim=-1).flatten(-2).float()


class Recorded:
    """Draws from another source and keeps what it drew, in order, in `tensors` and `kinds`."""

    def __init__(self, source: Noise) -> None:
        self.n, self.device = source.n, source.device
        self.tensors: list[Tensor] = []
        self.kinds: list[str] = []
        self._source = source

    def _keep(self, kind: str, drawn: Tensor) -> Tensor:
        self.kinds.append(kind)
        self.tensors.append(drawn)
        return drawn

    def normal(self, *shape: int) -> Tensor:
        return self._keep("normal", self._source.normal(*shape))

    def uniform(self, *shape: int) -> Tensor:
        return self._keep("uniform", self._source.uniform(*shape))


class Replay:
    """Hands back given tensors in order; under `torch.export` they are the graph's inputs."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        if not tensors:
            raise ValueError("Replay needs at least one tensor: the batch size is read from it")
        self.n, self.device = tensors[0].shape[0], tensors[0].device
        self._tensors = tensors
        self.draws = 0

    def _next(self, shape: tuple[int, ...]) -> Tensor:
        if self.draws == len(self._tensors):
            raise ValueError(f"the sampler asks for draw {self.draws}, the replay holds {len(self._tensors)}")
        tensor = self._tensors[self.draws]
        if tuple(tensor.shape[1:]) != shape:
            raise ValueError(f"draw {self.draws} is asked for as {shape}, recorded as {tuple(tensor.shape[1:])}")
        self.draws += 1
        return tensor

    def normal(self, *shape: int) -> Tensor:
        return self._next(shape)

    def uniform(self, *shape: int) -> Tensor:
        return self._next(shape)


def categorical(logits: Tensor, uniform: Tensor) -> Tensor:
    """Inverse-CDF draw from `softmax(logits)` over the last axis.

    Args:
        logits: `(..., K)`.
        uniform: `(...)` in (0, 1).

    Returns:
        int64 `(...)` in 0..K-1: the number of cumulative probabilities (the last left out) that are <= the uniform.
    """
    cumulative = torch.softmax(logits.double(), dim=-1).cumsum(dim=-1)
    return (cumulative[..., :-1] <= uniform.double()[..., None]).sum(dim=-1)


_watched: list[int] | None = None


@contextmanager
def watch_folds() -> Iterator[list[int]]:
    """Collects the number of steps of each fold that runs inside."""
    global _watched
    before, _watched = _watched, []
    try:
        yield _watched
    finally:
        _watched = before


State = tuple[Tensor, ...]
Body = Callable[[State, State, State], tuple[State, State]]


def fold(
    body: Body, state: State, rows: State, noise: Noise | None = None, draws: Sequence[Draw] = ()
) -> tuple[State, tuple[Tensor, ...]]:
    """The loop of a sampler as one operation, of which an exported graph holds one copy, not one for each step.

    For k = 0 .. T-1: (state, output_k) = body(state, (row[k] of each row), (each draw of step k)). A plain loop, and a
    scan under `torch.export`.

    Args:
        body: a function of tensors without side effects; the state keeps its shapes and types. (A batch size is read as
            `x.shape[0]`: `len(x)` would fix it in an exported graph.)
        rows: what differs from step to step, T along the first axis (at least one row).
        noise, draws: what a step draws, in order, and where from.

    Returns:
        The last state, and the outputs of all steps, stacked along a new first axis (none where there is no step).
    """
    steps = len(rows[0])
    if steps == 0:
        return state, ()
    if _watched is not None:
        _watched.append(steps)
    held = noise.stacked(steps, draws) if isinstance(noise, Stacked) else None
    if torch.compiler.is_exporting():
        return _scan(body, state, (*rows, *(held or _draw_stacked(noise, steps, draws))), len(rows))
    outputs = []
    for k in range(steps):
        drawn = tuple(h[k] for h in held) if held else tuple(getattr(noise, law)(*shape) for law, shape in draws)
        state, output = body(state, tuple(row[k] for row in rows), drawn)
        outputs.append(output)
    return state, tuple(torch.stack(parts) for parts in zip(*outputs, strict=True))


def _draw_stacked(noise: Noise | None, steps: int, draws: Sequence[Draw]) -> tuple[Tensor, ...]:
    drawn = [[getattr(noise, law)(*shape) for law, shape in draws] for _ in range(steps)]
    return tuple(torch.stack(parts) for parts in zip(*drawn, strict=True))


def _scan(body: Body, state: State, xs: State, rows: int) -> tuple[State, tuple[Tensor, ...]]:
    from torch._higher_order_ops.scan import scan

    def step(carry: list[Tensor], x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        after, output = body(tuple(carry), tuple(x[:rows]), tuple(x[rows:]))
        # Carried tensors keep their layout and share no memory with what comes in or goes out.
        return [part.contiguous().clone() for part in after], [part.clone() for part in output]

    after, outputs = scan(step, [part.contiguous().clone() for part in state], list(xs))
    return tuple(after), tuple(outputs)
