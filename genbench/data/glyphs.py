"""Binary images whose law is known exactly: a letter or figure somewhere on a 16x16 canvas, seen through noise.

Symbols: g one of G = 36 glyphs (0-9, A-Z) of 5x7 pixels; (r, c) its top left corner, 10 x 12 places; t_k in
{0, 1}^D the K = 4,320 noiseless images, one for each (g, r, c), D = 256; e = 0.02 the chance that a pixel
flips; d_k(x) the number of pixels in which x differs from t_k. All k are equally likely, pixels flip
independently:

    p(x) = 1/K sum_k e^d_k(x) (1 - e)^(D - d_k(x)),    d_k(x) = |x| + |t_k| - 2 <x, t_k>.

A mode is a k; the mode of an image is the maximum of the posterior p(k | x), that is the nearest t_k.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from genbench.data.splits import drawn, streams
from genbench.noise import Noise
from genbench.types import Dataset, DataSpec

CANVAS = 16
FLIP = 0.02
SIZES = {"train": 60_000, "validation": 2_000, "test": 10_000}

# Rows from top to bottom; the zero is slashed to keep it apart from the letter O.
FONT = {
    "0": ".###. #...# #..## #.#.# ##..# #...# .###.",
    "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "3": "####. ....# ....# .###. ....# ....# ####.",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "5": "##### #.... ####. ....# ....# #...# .###.",
    "6": ".###. #.... #.... ####. #...# #...# .###.",
    "7": "##### ....# ...#. ..#.. ..#.. .#... .#...",
    "8": ".###. #...# #...# .###. #...# #...# .###.",
    "9": ".###. #...# #...# .#### ....# ....# .###.",
    "A": "..#.. .#.#. #...# #...# ##### #...# #...#",
    "B": "####. #...# #...# ####. #...# #...# ####.",
    "C": ".#### #.... #.... #.... #.... #.... .####",
    "D": "###.. #..#. #...# #...# #...# #..#. ###..",
    "E": "##### #.... #.... ####. #.... #.... #####",
    "F": "##### #.... #.... ####. #.... #.... #....",
    "G": ".###. #...# #.... #.### #...# #...# .####",
    "H": "#...# #...# #...# ##### #...# #...# #...#",
    "I": "##### ..#.. ..#.. ..#.. ..#.. ..#.. #####",
    "J": "..### ...#. ...#. ...#. ...#. #..#. .##..",
    "K": "#...# #..#. #.#.. ##... #.#.. #..#. #...#",
    "L": "#.... #.... #.... #.... #.... #.... #####",
    "M": "#...# ##.## #.#.# #.#.# #...# #...# #...#",
    "N": "#...# ##..# ##..# #.#.# #..## #..## #...#",
    "O": ".###. #...# #...# #...# #...# #...# .###.",
    "P": "####. #...# #...# ####. #.... #.... #....",
    "Q": ".###. #...# #...# #...# #.#.# #..#. .##.#",
    "R": "####. #...# #...# ####. #.#.. #..#. #...#",
    "S": ".#### #.... #.... .###. ....# ....# ####.",
    "T": "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..",
    "U": "#...# #...# #...# #...# #...# #...# .###.",
    "V": "#...# #...# #...# #...# .#.#. .#.#. ..#..",
    "W": "#...# #...# #...# #.#.# #.#.# ##.## #...#",
    "X": "#...# #...# .#.#. ..#.. .#.#. #...# #...#",
    "Y": "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#..",
    "Z": "##### ....# ...#. ..#.. .#... #.... #####",
}


def font() -> Tensor:
    """The glyphs as bitmaps, uint8 `(36, 7, 5)`, 1 is ink."""
    rows = [[[mark == "#" for mark in row] for row in glyph.split()] for glyph in FONT.values()]
    return torch.tensor(rows, dtype=torch.uint8)


def templates(bitmaps: Tensor, canvas: int) -> Tensor:
    """Every glyph at every place, uint8 `(G, R, C, canvas, canvas)` for R x C places of the top left corner.

    Args:
        bitmaps: `(G, h, w)`.
    """
    count, height, width = bitmaps.shape
    rows, columns = canvas - height + 1, canvas - width + 1
    placed = torch.zeros(count, rows, columns, canvas, canvas, dtype=torch.uint8)
    for row in range(rows):
        for column in range(columns):
            placed[:, row, column, row : row + height, column : column + width] = bitmaps
    return placed


def binomial_quantile(n: int, p: float, level: float) -> int:
    """The smallest m with P(Binomial(n, p) <= m) >= level."""
    total = 0.0
    for m in range(n + 1):
        total += math.comb(n, m) * p**m * (1.0 - p) ** (n - m)
        if total >= level:
            return m
    return n


class GlyphLaw:
    """The law of glyphs; with other bitmaps or another canvas, a miniature of it that can be enumerated.

    Args:
        bitmaps: uint8 `(G, h, w)`.
        canvas: height and width of an image.
        flip: e, the chance that a pixel flips.
    """

    def __init__(self, bitmaps: Tensor, canvas: int, flip: float) -> None:
        self.canvas, self.flip = canvas, flip
        placed = templates(bitmaps, canvas)
        self.glyphs, self.rows, self.columns = placed.shape[:3]
        self.n_modes = self.glyphs * self.rows * self.columns
        self._templates = placed.reshape(self.n_modes, canvas, canvas)
        flat = self._templates.flatten(1).float()
        # d_k(x) = |t_k| + sum_i x_i (1 - 2 t_ki): whole numbers, exact in float32
        self._ink, self._signs = flat.sum(1), (1.0 - 2.0 * flat).T.contiguous()
        self.most_flips = binomial_quantile(canvas**2, flip, 0.999)  # of 99.9% of the law's images

    def component(self, noise: Noise) -> Tensor:
        """k of each draw, int64 `(n,)`: glyph, row and column uniform; the noise's first draw."""
        g, r, c = noise.uniform(3).double().unbind(1)
        place = (r * self.rows).long() * self.columns + (c * self.columns).long()
        return (g * self.glyphs).long() * (self.rows * self.columns) + place

    def sample(self, noise: Noise) -> Tensor:
        """Images uint8 `(n, 1, H, W)`: a uniform k, then flips."""
        clean = self._templates.to(noise.device)[self.component(noise)][:, None]
        return clean ^ (noise.uniform(1, self.canvas, self.canvas) < self.flip).to(torch.uint8)

    def _flips(self, x: Tensor) -> Tensor:
        """d_k(x), float32 `(n, K)`, by one matrix product."""
        return torch.addmm(self._ink.to(x.device), x.flatten(1).float(), self._signs.to(x.device))

    def _log_joint(self, x: Tensor) -> Tensor:
        """log p(x, k) up to the constant D log(1 - e) - log K, float64 `(n, K)`."""
        return self._flips(x).double() * math.log(self.flip / (1.0 - self.flip))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, float64 `(n,)`."""
        constant = self.canvas**2 * math.log1p(-self.flip) - math.log(self.n_modes)
        return torch.cat([torch.logsumexp(self._log_joint(part), dim=1) for part in x.split(512)]) + constant

    def modes(self, x: Tensor) -> Tensor:
        """The k of the nearest template, int64 `(n,)`; -1 if more pixels differ than in 99.9% of the law's images."""
        found = []
        for part in x.split(512):
            flips, mode = self._flips(part).min(dim=1)
            found.append(torch.where(flips <= self.most_flips, mode, -1))
        return torch.cat(found)

    def class_probabilities(self, x: Tensor) -> Tensor:
        """The posterior over glyphs p(g | x), float64 `(n, G)`."""
        parts = [
            torch.softmax(self._log_joint(part), dim=1).reshape(len(part), self.glyphs, -1).sum(2)
            for part in x.split(512)
        ]
        return torch.cat(parts)

    def labels(self, component: Tensor) -> Tensor:
        """The glyph g of each k."""
        return component // (self.rows * self.columns)


@cache
def law() -> GlyphLaw:
    """The law of `glyphs`."""
    return GlyphLaw(font(), CANVAS, FLIP)


def glyphs() -> Dataset:
    """Letters and figures at every place of a noisy 16x16 canvas: binary images of known law, 4,320 modes."""
    truth = law()
    return Dataset(
        name="glyphs",
        spec=DataSpec(shape=(1, CANVAS, CANVAS), levels=2, classes=truth.glyphs, law=truth),
        x=drawn("glyphs", SIZES, truth.sample),
        y={
            split: torch.cat([truth.labels(truth.component(noise)) for noise in streams("glyphs", split, n, n)])
            for split, n in SIZES.items()
        },
        about="36 glyphs of 5x7 pixels, uniform over 120 places; each pixel flipped with probability 0.02.",
    )
