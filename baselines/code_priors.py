"""Priors over sequences of codes: laws that are drawn one code after the other, apart from whatever the codes mean.

Symbols: z_1 .. z_S the codes, of K values each; a prior is prod_s p(z_s | z_1 .. z_{s-1}).

`Attention`, a causal transformer, shares what it learns between positions. `Perceptron` shares little: every position
has input and output weights of its own, only the layers between are common. A thousand short sequences teach it more.

References: Attention is all you need (Vaswani and others, 2017); Neural autoregressive distribution estimation (Uria,
Côté, Gregor, Murray and Larochelle, 2016) for the running sum of inputs, with its further layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.noise import State, categorical, fold
from genbench.types import Noise

Drawn = tuple[Tensor, ...]  # a code, and what is kept of it


class Prior(nn.Module, ABC):
    """p(z) of codes `(n, S)`.

    `inputs` and `outputs` name what `draw` takes and returns.
    """

    inputs: ClassVar[tuple[str, ...]]
    outputs: ClassVar[tuple[str, ...]]
    draw: Callable[..., Drawn]  # the code at a position, `(n,)`, and what is kept of it for later ones
    place: nn.Parameter  # `(S, width)`, what is added at each position

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Codes `(n, S)` to the logits of each given those before it, `(n, S, K)`."""

    @abstractmethod
    def sample(self, uniform: Tensor, draw: Callable[..., Drawn] | None = None) -> Tensor:
        """Codes `(n, S)` from uniforms `(n, S)`, one position after the other.

        Args:
            draw: a callable that computes what `draw` does.
        """

    @abstractmethod
    def step(self) -> nn.Module:
        """`draw` as a module of its own."""

    @abstractmethod
    def example(self, noise: Noise) -> tuple[Tensor, ...]:
        """Inputs of `draw` for a batch, at the last position."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of codes `(n, S)`, `(n,)`."""
        return torch.log_softmax(self(z), dim=2).gather(2, z[..., None])[..., 0].sum(dim=1)


class Block(nn.Module):
    """Causal self-attention and a perceptron, both residual after layer normalization."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        # No bias: softmax does not see one that all keys share.
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        """`(n, s, width)` to the same."""
        q, k, v = self.qkv(self.norm1(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self._after(h, seen.transpose(1, 2).flatten(2))

    def _after(self, h: Tensor, seen: Tensor) -> Tensor:
        h = h + self.dropout(self.out(seen))
        return h + self.dropout(self.mlp(self.norm2(h)))

    def at_a_position(self, h: Tensor, keys: Tensor, values: Tensor, earlier: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same for one position, `(n, width)`, given keys and values of all.

        Args:
            keys, values: `(n, heads, S, d)`.
            earlier: boolean `(S,)`, the positions before this one; what stands at the others does not matter.

        Returns:
            h, and the position's own key and value, `(n, heads, d)`.
        """
        q, k, v = self.qkv(self.norm1(h)).unflatten(1, (3, self.heads, -1)).unbind(1)
        others = (keys @ q[..., None])[..., 0].masked_fill(~earlier, -torch.inf)
        scores = torch.cat([others, (q * k).sum(dim=2, keepdim=True)], dim=2)
        weights = torch.softmax(scores * q.shape[2] ** -0.5, dim=2)
        seen = (weights[:, :, None, :-1] @ values)[:, :, 0] + weights[:, :, -1:] * v
        return self._after(h, seen.flatten(1)), k, v


class Attention(Prior):
    """A causal transformer, position s sees the codes before it."""

    inputs = ("code", "position", "uniform", "keys", "values")
    outputs = ("code_next", "key", "value")

    def __init__(self, positions: int, codes: int, *, width: int, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.codes, self.heads = codes, heads
        self.embedding = nn.Embedding(codes + 1, width)  # the last one stands for the start
        self.place = nn.Parameter(0.02 * torch.randn(positions, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm, self.exit = nn.LayerNorm(width), nn.Linear(width, codes)

    def forward(self, z: Tensor) -> Tensor:
        before = F.pad(z, (1, 0), value=self.codes)[:, :-1]
        h = self.dropout(self.embedding(before) + self.place)
        for block in self.blocks:
            h = block(h)
        return self.exit(self.norm(h))

    def draw(self, code: Tensor, position: Tensor, uniform: Tensor, keys: Tensor, values: Tensor) -> Drawn:
        """The code at a position.

        Args:
            code: the one before it, `(n,)`.
            position: int64 `(1,)`.
            uniform: `(n,)`.
            keys, values: of B blocks at all positions, those before this one filled in, `(n, B, heads, S, d)`.

        Returns:
            The code, `(n,)`, and this position's keys and values, `(n, B, heads, d)`.
        """
        earlier = torch.arange(keys.shape[3], device=keys.device) < position
        h = self.embedding(code) + self.place.index_select(0, position)
        own = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            h, key, value = block.at_a_position(h, keys[:, i], values[:, i], earlier)
            own.append((key, value))
        code = categorical(self.exit(self.norm(h)), uniform)
        return code, torch.stack([key for key, _ in own], dim=1), torch.stack([value for _, value in own], dim=1)

    def cache(self, n: int) -> Tensor:
        """Room for the keys, or the values, of all blocks at all positions, `(n, B, heads, S, d)`."""
        (positions, width), heads = self.place.shape, self.heads
        return self.place.new_zeros(n, len(self.blocks), heads, positions, width // heads)

    def sample(self, uniform: Tensor, draw: Callable[..., Drawn] | None = None) -> Tensor:
        one = draw or self.draw

        def body(state: State, row: State, drawn: State) -> tuple[State, State]:
            (code, keys, values), (position, u) = state, row
            code, key, value = one(code, position, u, keys, values)
            key, value = key.detach()[:, :, :, None], value.detach()[:, :, :, None]
            if torch.compiler.is_exporting():  # a graph has no memory to write into; elsewhere a copy would cost
                return (code, keys.index_copy(3, position, key), values.index_copy(3, position, value)), (code,)
            return (code, keys.index_copy_(3, position, key), values.index_copy_(3, position, value)), (code,)

        code = torch.full_like(uniform[:, 0], self.codes, dtype=torch.int64)
        positions = torch.arange(len(self.place), device=uniform.device)[:, None]
        n = uniform.shape[0]  # `len` would fix the batch of an exported graph
        state = (code, self.cache(n), self.cache(n))
        _, (codes,) = fold(body, state, (positions, uniform.T))
        return codes.T

    def step(self) -> nn.Module:
        return AttentionStep(self)

    def example(self, noise: Noise) -> tuple[Tensor, ...]:
        keys, values = (noise.normal(*self.cache(1).shape[1:]) for _ in range(2))
        code, last = torch.zeros(noise.n, dtype=torch.int64, device=noise.device), len(self.place) - 1
        return code, torch.full((1,), last, device=noise.device), noise.uniform(), keys, values


class AttentionStep(nn.Module):
    """`Attention.draw` as a module of its own."""

    def __init__(self, prior: Attention) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, code: Tensor, position: Tensor, uniform: Tensor, keys: Tensor, values: Tensor) -> Drawn:
        return self.prior.draw(code, position, uniform, keys, values)


class Perceptron(Prior):
    """A deep NADE: hidden units read the sum of what each code before them has put in, further layers follow.

    With A_s in R^(K x width) the table of position s, C_s its output weights, f silu, and h_0 = f(c_s + sum_{t<s}
    A_t[z_t]): h_{l+1} = h_l + f(U_l h_l + u_l), and the logits are b_s + C_s h_depth. In training whole codes are
    forgotten at random, so that no conditional leans on the one sequence that it remembers.

    Args:
        forgetting: the probability that what a code has put in is left out, in training.
    """

    inputs = ("total", "position", "uniform")
    outputs = ("code", "total_next")

    def __init__(
        self, positions: int, codes: int, *, width: int, depth: int, dropout: float, forgetting: float
    ) -> None:
        super().__init__()
        self.codes, self.forgetting = codes, forgetting
        self.enter = nn.Parameter(0.3 * torch.randn(positions, codes, width))
        self.place = nn.Parameter(torch.zeros(positions, width))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.exit = nn.Parameter(0.1 * width**-0.5 * torch.randn(positions, width, codes))
        self.bias = nn.Parameter(torch.zeros(positions, codes))

    def _hidden(self, a: Tensor) -> Tensor:
        h = self.dropout(F.silu(a))
        for layer in self.layers:
            h = h + self.dropout(F.silu(layer(h)))
        return h

    def forward(self, z: Tensor) -> Tensor:
        # An embedding: the gradient of an index adds up in an order that depends on the threads.
        entered = F.embedding(z + self.codes * torch.arange(z.shape[1], device=z.device), self.enter.flatten(0, 1))
        entered = F.dropout1d(entered, self.forgetting, self.training)
        h = self._hidden(self.place + F.pad(entered, (0, 0, 1, 0))[:, :-1].cumsum(dim=1))
        return torch.einsum("nsw,swk->nsk", h, self.exit) + self.bias

    def draw(self, total: Tensor, position: Tensor, uniform: Tensor) -> Drawn:
        """The code at a position.

        Args:
            total: the sum of what the codes before it have put in, `(n, width)`.
            position: int64 `(1,)`.
            uniform: `(n,)`.

        Returns:
            The code, `(n,)`, and the sum with its own.
        """
        place, exit_, bias, enter = (
            table.index_select(0, position)[0] for table in (self.place, self.exit, self.bias, self.enter)
        )
        code = categorical(self._hidden(place + total) @ exit_ + bias, uniform)
        return code, total + enter[code]

    def sample(self, uniform: Tensor, draw: Callable[..., Drawn] | None = None) -> Tensor:
        one = draw or self.draw

        def body(state: State, row: State, drawn: State) -> tuple[State, State]:
            code, total = one(*state, *row)
            return (total,), (code,)

        positions = torch.arange(len(self.place), device=uniform.device)[:, None]
        start = self.place.new_zeros(uniform.shape[0], self.place.shape[1])
        _, (codes,) = fold(body, (start,), (positions, uniform.T))
        return codes.T

    def step(self) -> nn.Module:
        return PerceptronStep(self)

    def example(self, noise: Noise) -> tuple[Tensor, ...]:
        last = torch.full((1,), len(self.place) - 1, device=noise.device)
        return noise.normal(self.place.shape[1]), last, noise.uniform()


class PerceptronStep(nn.Module):
    """`Perceptron.draw` as a module of its own."""

    def __init__(self, prior: Perceptron) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, total: Tensor, position: Tensor, uniform: Tensor) -> Drawn:
        return self.prior.draw(total, position, uniform)
