"""Colour images whose law is known exactly: a glyph in one of four colours on one of four grounds, 32x32 pixels.

Symbols: t_k in {0, 1}^(16 x 16) the K = 4,320 noiseless canvases of `glyphs` (glyph, row, column), every
pixel of which is a block of 2x2 pixels here; f a foreground and b a background colour, from two palettes
without a common colour; P(v | c) the discretized logistic law of a value v about a colour's value c, its
scale s = exp(-4) on the range [-1, 1]. All (k, f, b), 69,120 modes, are equally likely, and values
are independent given the mode. With L_c(x, i) the sum of log P over the channels and the four pixels of block i,

    log p(x) = -log(K F B) + log sum_k [ sum_f exp sum_i t_ki L_f(x, i) ] [ sum_b exp sum_i (1 - t_ki) L_b(x, i) ]:

for a given k the two colours are independent, so the sum over all modes takes K (F + B) terms, which one
matrix product for each colour gives.

Reference: the law of the noise: PixelCNN++ (Salimans, Karpathy, Chen and Kingma, 2017).
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from genbench.data.glyphs import font, templates
from genbench.data.splits import drawn, streams
from genbench.images import discretized_logistic, discretized_logistic_draw, to_signed
from genbench.noise import Noise
from genbench.types import Dataset, DataSpec

BLOCKS = 16  # a canvas is 16 x 16 blocks
BLOCK = 2
LEVELS = 256
LOG_SCALE = -4.0
SIZES = {"train": 20_000, "validation": 1_000, "test": 5_000}
FOREGROUNDS = ((240, 220, 60), (70, 215, 230), (245, 130, 200), (235, 235, 225))
BACKGROUNDS = ((20, 30, 95), (95, 20, 35), (15, 75, 45), (45, 45, 50))
_ROWS = 64  # images looked at together: bounds the memory at some 50 MB


class ColourGlyphLaw:
    """The law of glyphs-rgb; with other bitmaps, palettes or levels, a miniature of it that can be enumerated.

    Args:
        bitmaps: uint8 `(G, h, w)`.
        blocks: height and width of the canvas in blocks.
        block: height and width of a block in pixels.
        foregrounds: colours, whole levels, `(F, C)`.
        backgrounds: colours, whole levels, `(B, C)`.
        levels: L, the values a channel takes.
        log_scale: log s.
    """

    def __init__(
        self,
        bitmaps: Tensor,
        *,
        blocks: int,
        block: int,
        foregrounds: Tensor,
        backgrounds: Tensor,
        levels: int,
        log_scale: float,
    ) -> None:
        self.blocks, self.block, self.levels = blocks, block, levels
        placed = templates(bitmaps, blocks)
        self.glyphs, self.rows, self.columns = placed.shape[:3]
        self.places = self.rows * self.columns
        self.colours = (len(foregrounds), len(backgrounds))
        self.n_modes = self.glyphs * self.places * self.colours[0] * self.colours[1]
        self._log_scale = torch.tensor(log_scale)
        self._templates = placed.reshape(-1, blocks, blocks)
        self._ink = self._templates.flatten(1).double()  # (K, D)
        self._means = to_signed(torch.cat([foregrounds, backgrounds]), levels)  # (F + B, C)
        values = torch.arange(levels)
        table = discretized_logistic(values, self._means.double()[..., None], self._log_scale.double(), levels)
        self._table = torch.log_softmax(table, dim=-1)  # sums to one beyond the rounding of its parts
        self._cumulants = self._surprise()

    def _surprise(self) -> Tensor:
        """First three cumulants of log P(X | c), X drawn from P(. | c), summed over channels; `(3, F + B)`."""
        p = self._table.exp()
        mean = (p * self._table).sum(-1)
        centred = self._table - mean[..., None]
        return torch.stack([mean, (p * centred**2).sum(-1), (p * centred**3).sum(-1)]).sum(-1)

    def _component(self, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        """k, f and b of each draw, int64 `(n,)`: glyph, row, column and colours uniform; the noise's first draw."""
        counts = (self.glyphs, self.rows, self.columns, *self.colours)
        u = noise.uniform(5).double()
        g, r, c, f, b = ((u[:, i] * count).long() for i, count in enumerate(counts))
        return g * self.places + r * self.columns + c, f, b

    def labels(self, noise: Noise) -> Tensor:
        """The glyph of each draw."""
        return self._component(noise)[0] // self.places

    def sample(self, noise: Noise) -> Tensor:
        """Images uint8 `(n, C, H, W)`."""
        k, f, b = self._component(noise)
        ink = self._templates.to(noise.device)[k]
        ink = ink.repeat_interleave(self.block, 1).repeat_interleave(self.block, 2)[:, None].bool()
        means = self._means.to(noise.device)
        mean = torch.where(ink, means[f][:, :, None, None], means[self.colours[0] + b][:, :, None, None])
        return discretized_logistic_draw(mean, self._log_scale, noise.uniform(*mean.shape[1:]), self.levels)

    def _scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """sum_i t_ki L_f(x, i), `(F, n, K)`, and sum_i (1 - t_ki) L_b(x, i), `(B, n, K)`; float64."""
        table, ink = self._table.to(x.device), self._ink.to(x.device)
        cells = x.reshape(len(x), -1, self.blocks, self.block, self.blocks, self.block).long()
        terms = sum(table[:, channel][:, cells[:, channel]] for channel in range(table.shape[1]))
        terms = torch.as_tensor(terms).sum((3, 5)).flatten(2)  # L_c(x, i): (F + B, n, D)
        foreground, background = terms.split(self.colours)
        return foreground @ ink.T, background @ (1.0 - ink).T

    def _log_joint(self, x: Tensor) -> Tensor:
        """log p(x, k) but for the constant -log(K F B), float64 `(n, K)`."""
        foreground, background = self._scores(x)
        return torch.logsumexp(foreground, 0) + torch.logsumexp(background, 0)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, float64 `(n,)`."""
        parts = [torch.logsumexp(self._log_joint(part), dim=1) for part in x.split(_ROWS)]
        return torch.cat(parts) - math.log(self.n_modes)

    def modes(self, x: Tensor) -> Tensor:
        """The posterior's maximum, (k F + f) B + b, int64 `(n,)`; -1 where the noise would be too improbable.

        Too improbable: log p(x | k, f, b) is below the 0.1% quantile of what images of that mode have. It is a sum
        of independent terms with known cumulants, so the quantile is Cornish and Fisher's to the second order.
        """
        return torch.cat([self._modes(part) for part in x.split(_ROWS)])

    def _modes(self, x: Tensor) -> Tensor:
        foreground, background = self._scores(x)
        (best_f, f), (best_b, b) = foreground.max(0), background.max(0)
        value, k = (best_f + best_b).max(1)
        f, b = f.gather(1, k[:, None])[:, 0], b.gather(1, k[:, None])[:, 0]
        cumulants, ink = self._cumulants.to(x.device), self._ink.to(x.device).sum(1)[k]
        mean, variance, third = self.block**2 * (
            ink * cumulants[:, f] + (self.blocks**2 - ink) * cumulants[:, self.colours[0] + b]
        )
        z = -3.090232306167813  # the normal law's 0.1% quantile
        quantile = mean + variance.sqrt() * (z + (z**2 - 1.0) * third / (6.0 * variance**1.5))
        return torch.where(value >= quantile, (k * self.colours[0] + f) * self.colours[1] + b, -1)

    def class_probabilities(self, x: Tensor) -> Tensor:
        """The posterior over glyphs p(g | x), float64 `(n, G)`."""
        parts = [
            torch.softmax(self._log_joint(part), dim=1).reshape(len(part), self.glyphs, -1).sum(2)
            for part in x.split(_ROWS)
        ]
        return torch.cat(parts)


@cache
def law() -> ColourGlyphLaw:
    """The law of `glyphs_rgb`."""
    return ColourGlyphLaw(
        font(),
        blocks=BLOCKS,
        block=BLOCK,
        foregrounds=torch.tensor(FOREGROUNDS),
        backgrounds=torch.tensor(BACKGROUNDS),
        levels=LEVELS,
        log_scale=LOG_SCALE,
    )


def glyphs_rgb() -> Dataset:
    """Coloured letters and figures on coloured grounds, 32x32: images of known law with 256 levels, 69,120 modes."""
    truth, size = law(), BLOCKS * BLOCK
    return Dataset(
        name="glyphs-rgb",
        spec=DataSpec(shape=(3, size, size), levels=LEVELS, classes=truth.glyphs, law=truth),
        x=drawn("glyphs-rgb", SIZES, truth.sample, chunk=64),
        y={
            split: torch.cat([truth.labels(noise) for noise in streams("glyphs-rgb", split, n, n)])
            for split, n in SIZES.items()
        },
        about="36 glyphs, 120 places, 4 x 4 colours, discretized logistic noise of scale exp(-4).",
    )
