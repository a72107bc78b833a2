"""PixelCNN: masked convolutions that see, at every pixel, only what comes before it in raster order.

Symbols: x an integer image (C, H, W), L the number of levels, i a pixel in raster order, c one of its channels in
the order R, G, B. The network gives the logits of all factors of

    p(x) = prod_i prod_c p(x_ic | x_<i, x_i1 .. x_i(c-1)),    each a softmax over the L levels,

in one pass. A feature map is split into C groups, one for each channel. A convolution with mask A reads, at the pixel
itself, only input groups before the output's group; with mask B also that group. Only the first has mask A.

A k x k mask is zero below its middle row, so that the kernel is stored and computed without those rows.

Sampling: a pixel needs few features of the pixels before it: in each block those that its dilated kernel looks at. The
sampler "cached" keeps them and computes one pixel at a time, "naive" runs the whole network for every value. They give
the same images (Fast generation for convolutional autoregressive models: Ramachandran and others, 2017).

Deviations from the paper: the kernels of the residual blocks are dilated (1, 2, 4, ... in turn), so that a few blocks
see the whole image; Adam with an exponential moving average for RMSProp; dropout where the training set is small.

Reference: Pixel recurrent neural networks (van den Oord, Kalchbrenner and Kavukcuoglu, 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.images import to_signed
from genbench.noise import State, Streams, categorical, fold
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step, Unit


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig:
    width: int = 32  # h; the residual stream has 2h features
    blocks: int = 6  # residual blocks
    reach: int = 4  # the largest dilation, a power of two
    kernel: int = 7  # size of the first convolution, odd
    dropout: float = 0.0
    learning_rate: float = 2e-3
    sampler: Literal["cached", "naive"] = field(default="cached", metadata={"sampling": True})

    @classmethod
    def for_data(cls, data: DataSpec) -> PixelCNNConfig:
        """Blocks and dilations that let the last pixel see the first."""
        size = max(data.shape[1:], default=1)
        if size <= 4:
            return cls(width=16, blocks=2, reach=1, kernel=5)
        if size <= 8:
            return cls(blocks=5, reach=2, dropout=0.3)
        if size <= 16:
            return cls()
        return cls(width=64, blocks=8, reach=8, learning_rate=1e-3)


class MaskedConv2d(nn.Module):
    """A convolution whose output at a pixel depends on no later pixel, `(n, inputs, H, W)` to `(n, outputs, H, W)`.

    Args:
        kernel: k, odd; stored are its upper (k + 1) / 2 rows.
        mask: "A" or "B", what the centre may read of the groups.
        groups: C; feature f of F belongs to group floor(f C / F).
    """

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, mask: Literal["A", "B"], groups: int, dilation: int = 1
    ) -> None:
        super().__init__()
        self.above = kernel // 2 * dilation
        self.dilation = dilation
        rows = kernel // 2 + 1
        group_in = torch.arange(inputs) * groups // inputs
        group_out = torch.arange(outputs) * groups // outputs
        visible = torch.ones(outputs, inputs, rows, kernel)
        visible[:, :, -1, kernel // 2 + 1 :] = 0.0
        before = group_in[None, :] < group_out[:, None]
        centre = before if mask == "A" else before | (group_in[None, :] == group_out[:, None])
        visible[:, :, -1, kernel // 2] = centre.float()
        self.register_buffer("mask", visible, persistent=False)
        fan_in = visible.sum(dim=(1, 2, 3)).clamp(min=1.0)
        self.weight = nn.Parameter(torch.randn_like(visible) * visible * fan_in.rsqrt()[:, None, None, None])
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.mask
        y = F.conv2d(x, weight, self.bias, padding=(self.above, self.above), dilation=self.dilation)
        return y[:, :, : x.shape[2]]

    def at_a_pixel(self) -> tuple[Tensor, Tensor]:
        """The kernel as matrices, by what they read: the T pixels before `(T inputs, outputs)`, the pixel itself."""
        weight = (self.weight * self.mask).detach().flatten(2).permute(2, 1, 0)
        centre = weight.shape[0] - self.mask.shape[3] // 2 - 1
        return weight[:centre].flatten(0, 1), weight[centre]

    def places(self) -> list[tuple[int, int]]:
        """Where those T pixels lie, as (rows, columns) from the pixel itself, in their order."""
        rows, kernel = self.mask.shape[2:]
        centre = (rows - 1) * kernel + kernel // 2
        return [
            ((t // kernel - rows + 1) * self.dilation, (t % kernel - kernel // 2) * self.dilation)
            for t in range(centre)
        ]


class Block(nn.Module):
    """The residual block: relu, 1x1 to h features, relu, 3x3, relu, 1x1 back to 2h; all with mask B."""

    def __init__(self, width: int, dilation: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.narrow = MaskedConv2d(2 * width, width, 1, "B", groups)
        self.look = MaskedConv2d(width, width, 3, "B", groups, dilation)
        self.widen = MaskedConv2d(width, 2 * width, 1, "B", groups)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        inner = F.relu(self.look(F.relu(self.narrow(F.relu(h)))))
        return h + self.widen(self.dropout(inner))


class PixelCNN(Model):
    """Masked convolutions in residual blocks, a softmax over the levels; exact likelihood."""

    family = "autoregressive"
    likelihood = "exact"
    Config = PixelCNNConfig

    def __init__(self, data: DataSpec, config: PixelCNNConfig) -> None:
        super().__init__(data, config)
        assert data.levels is not None
        channels, self.levels = data.shape[0], data.levels
        if config.kernel % 2 == 0 or config.width < channels:
            raise Refused(f"PixelCNN: kernel={config.kernel} must be odd, width={config.width} at least C={channels}")
        if config.blocks < 1 or config.sampler not in ("cached", "naive"):
            raise Refused(f"PixelCNN has a block at least, not {config.blocks}; and 'cached' or 'naive' sampling")
        period = config.reach.bit_length()
        stream = 2 * config.width
        self.entry = MaskedConv2d(channels, stream, config.kernel, "A", channels)
        self.blocks = nn.Sequential(
            *(Block(config.width, 2 ** (i % period), channels, config.dropout) for i in range(config.blocks))
        )
        self.mix = MaskedConv2d(stream, stream, 1, "B", channels)
        self.exit = MaskedConv2d(stream, channels * self.levels, 1, "B", channels)
        with torch.no_grad():
            self.exit.weight.mul_(0.1)

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return None if data.is_image else "it models integer levels, and points have none"

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        size = max(data.shape[1:])
        steps = 1200 if size <= 8 else 2000 if size <= 16 else 20_000
        return Recipe(steps=steps, batch_size=64, schedule="cosine", warmup=100, ema=0.995, clip=1.0)

    @classmethod
    def samplers(cls, config: PixelCNNConfig) -> dict[str, dict[str, Any]]:
        return {name: {"sampler": name} for name in ("cached", "naive")}

    @property
    def nfe(self) -> int:
        """A pixel a step, or the whole network for every value."""
        return self.data.dim if self.config.sampler == "naive" else self.data.dim // self.data.shape[0]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": torch.optim.Adam(self.parameters(), lr=self.config.learning_rate, betas=(0.9, 0.99))}

    def logits(self, x: Tensor) -> Tensor:
        """The logits of every factor at once: integers `(n, C, H, W)` to `(n, C, L, H, W)`."""
        y = to_signed(x, self.levels).contiguous(memory_format=torch.channels_last)
        h = F.relu(self.mix(F.relu(self.blocks(self.entry(y)))))
        return self.exit(h).unflatten(1, (x.shape[1], self.levels))

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if step.index == 0:
            self._base_rates(batch.x)
        yield "model", -self._log_prob(batch.x).mean()

    @torch.no_grad()
    def _base_rates(self, x: Tensor) -> None:
        """The last bias starts at the log frequency of each level in each channel (add one)."""
        counts = torch.stack([1.0 + (x == level).sum(dim=(0, 2, 3)) for level in range(self.levels)], dim=1)
        self.exit.bias.copy_(torch.log(counts / counts.sum(dim=1, keepdim=True)).flatten())

    def _log_prob(self, x: Tensor) -> Tensor:
        return -F.cross_entropy(self.logits(x).transpose(1, 2), x.long(), reduction="none").sum(dim=(1, 2, 3))

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self._log_prob(x)

    def stack(self) -> list[Block]:
        """The residual blocks in their order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self._naive(noise) if self.config.sampler == "naive" else self._drive(PixelStep(self), noise)

    def _naive(self, noise: Noise) -> Tensor:
        """One pass of the network for each value; rows below the current one can't matter and are left out."""
        channels, height, width = self.data.shape
        uniform = noise.uniform(height, width, channels)
        x = torch.zeros(noise.n, channels, height, width, dtype=torch.uint8, device=noise.device)
        for row in range(height):
            for column in range(width):
                for channel in range(channels):
                    logits = self.logits(x[:, :, : row + 1])[:, channel, :, row, column]
                    x[:, channel, row, column] = categorical(logits, uniform[:, row, column, channel]).to(torch.uint8)
        return x

    def _drive(self, call: Callable[..., tuple[Tensor, Tensor]], noise: Noise) -> Tensor:
        """The pixels in their order around any callable that computes what `PixelStep` does.

        `plane` holds the padded image, `cache` what the blocks' kernels will look at: of a block with dilation d the
        last d + 1 rows, padded by d on both sides, the row r in the place of row r - d - 1.
        """
        channels, height, width = self.data.shape
        uniform, n = noise.uniform(height, width, channels).flatten(1, 2), noise.n
        row, column = (
            t.flatten()[:, None] for t in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        )
        margin = self.entry.above
        across = width + 2 * margin
        pixel = (row + margin) * across + column + margin
        patches = pixel + torch.tensor([y * across + x for y, x in self.entry.places()], dtype=torch.int64)
        reads, writes, size = [], [], 0
        for block in self.stack():
            d = block.look.dilation
            y, x = torch.tensor(block.look.places()).T
            reads.append(size + (row + y) % (d + 1) * (width + 2 * d) + column + x + d)
            writes.append(size + row % (d + 1) * (width + 2 * d) + column + d)
            size += (d + 1) * (width + 2 * d)
        patch, read, write = (t.to(noise.device) for t in (patches, torch.cat(reads, 1), torch.cat(writes, 1)))
        plane = torch.zeros(n, (height + margin) * across, channels, device=noise.device)
        cache = torch.zeros(n, size, self.config.width, device=noise.device)

        def body(state: State, row: State, drawn: State) -> tuple[State, State]:
            (plane, cache), (place, patch, read, write, u) = state, row
            near = cache.index_select(1, read).unflatten(1, (len(self.blocks), -1))
            value, features = call(plane.index_select(1, patch), near, u)
            pixel = to_signed(value, self.levels)[:, None]
            if torch.compiler.is_exporting():  # a graph has no memory to write into; elsewhere a copy would cost
                return (plane.index_copy(1, place, pixel), cache.index_copy(1, write, features)), (value,)
            return (plane.index_copy_(1, place, pixel), cache.index_copy_(1, write, features)), (value,)

        rows = (pixel.to(noise.device), patch, read, write, uniform.transpose(0, 1))
        _, (values,) = fold(body, (plane, cache), rows, noise)
        return values.permute(1, 2, 0).unflatten(2, (height, width)).contiguous()

    def step(self) -> Unit | None:
        """One pixel, given what it looks at; None for the naive sampler, whose crop grows from row to row."""
        if self.config.sampler == "naive":
            return None
        taps, width, channels = len(self.entry.places()), self.config.width, self.data.shape[0]

        def example(n: int) -> tuple[Tensor, Tensor, Tensor]:
            noise = Streams(0, range(n), self.device)
            near = noise.normal(len(self.blocks), 4, width).relu()
            return 2.0 * noise.uniform(taps, channels) - 1.0, near, noise.uniform(channels)

        return Unit(
            module=PixelStep(self),
            example=example,
            inputs=("patch", "near", "uniform"),
            outputs=("value", "features"),
            drive=self._drive,
        )


class PixelStep(nn.Module):
    """All channels of one pixel from what it looks at, its weights a copy of a network's, masked and cut for a pixel.

    A feature at the pixel itself takes its group's part only from channels that are drawn already, so that each channel
    runs the 1x1 layers again; what comes from other pixels is computed once.
    """

    entry_before: Tensor  # (T C, 2h)
    entry_own: Tensor  # (C, 2h)
    entry_bias: Tensor
    narrow: Tensor  # (B, 2h, h)
    narrow_bias: Tensor
    look_before: Tensor  # (B, 4h, h)
    look_own: Tensor  # (B, h, h)
    look_bias: Tensor
    widen: Tensor  # (B, h, 2h)
    widen_bias: Tensor
    mix: Tensor  # (2h, 2h)
    mix_bias: Tensor
    exit: Tensor  # (2h, C L)
    exit_bias: Tensor

    def __init__(self, network: PixelCNN) -> None:
        super().__init__()
        self.levels, self.channels, self.depth = network.levels, network.data.shape[0], len(network.blocks)
        blocks = network.stack()
        look = [block.look.at_a_pixel() for block in blocks]
        entry_before, entry_own = network.entry.at_a_pixel()
        matrices = {
            "entry_before": entry_before,
            "entry_own": entry_own,
            "narrow": torch.stack([block.narrow.at_a_pixel()[1] for block in blocks]),
            "look_before": torch.stack([before for before, _ in look]),
            "look_own": torch.stack([own for _, own in look]),
            "widen": torch.stack([block.widen.at_a_pixel()[1] for block in blocks]),
            "mix": network.mix.at_a_pixel()[1],
            "exit": network.exit.at_a_pixel()[1],
            "entry_bias": network.entry.bias.detach(),
            "narrow_bias": torch.stack([block.narrow.bias.detach() for block in blocks]),
            "look_bias": torch.stack([block.look.bias.detach() for block in blocks])[:, None],
            "widen_bias": torch.stack([block.widen.bias.detach() for block in blocks]),
            "mix_bias": network.mix.bias.detach(),
            "exit_bias": network.exit.bias.detach(),
        }
        for name, matrix in matrices.items():
            self.register_buffer(name, matrix)

    def forward(self, patch: Tensor, near: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """The values drawn and what later pixels will look at.

        Args:
            patch: the pixels before this one in the first kernel, on the scale of [-1, 1], `(n, T, C)`.
            near: in each of B blocks the features at its four earlier taps, `(n, B, 4, h)`.
            uniform: `(n, C)`.

        Returns:
            uint8 `(n, C)` and `(n, B, h)`.
        """
        start = torch.addmm(self.entry_bias, patch.flatten(1), self.entry_before)
        beside = torch.baddbmm(self.look_bias, near.flatten(2).transpose(0, 1), self.look_before)
        values: list[Tensor] = []
        features: list[Tensor] = []
        for channel in range(self.channels):
            h = start
            if values:
                known = to_signed(torch.stack(values, dim=1), self.levels)
                h = torch.addmm(h, known, self.entry_own[:channel])
            features = []
            for b in range(self.depth):
                narrow = F.relu(torch.addmm(self.narrow_bias[b], F.relu(h), self.narrow[b]))
                inner = F.relu(torch.addmm(beside[b], narrow, self.look_own[b]))
                h = h + torch.addmm(self.widen_bias[b], inner, self.widen[b])
                features.append(narrow)
            h = F.relu(torch.addmm(self.mix_bias, F.relu(h), self.mix))
            own = slice(channel * self.levels, (channel + 1) * self.levels)
            logits = torch.addmm(self.exit_bias[own], h, self.exit[:, own])
            values.append(categorical(logits, uniform[:, channel]).to(torch.uint8))
        return torch.stack(values, dim=1), torch.stack(features, dim=1)
