"""Exact k-nearest-neighbour manifolds, in bounded memory.

Symbols: c_i one of m centres, r_i its distance to the k-th nearest other centre; the manifold is the union of the
closed balls B(c_i, r_i); x_j one of n points; G groups of centres, those of `stats.groups_of`. "Without g" means that
the centres of group g are gone, so that the radii of those that had them as neighbours grow.

Distances are squared throughout and come from a matrix product about the centres' mean. The rule is <=: a distance
that rounding cannot tell from the radius counts as inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from genbench.errors import Refused
from genbench.stats import groups_of

_ENTRIES = 2_000_000  # of a block of distances: 16 MB
_ROUNDING = 1e-13  # of a squared distance, relative to the squared norms that cancel in it
_TIE = 1e-9  # of a squared radius, relative to itself


def _blocks(x: np.ndarray, c: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances less what rounding may have added, some rows of x at a time: `(rows, (b, m))`."""
    rows = max(1, _ENTRIES // len(c))
    squares = np.square(x).sum(axis=1) * (1.0 - _ROUNDING)
    centre_squares = np.square(c).sum(axis=1) * (1.0 - _ROUNDING)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        block = (-2.0 * x[part]) @ c.T
        block += squares[part, None]
        block += centre_squares
        yield part, block


def _nearest(c: np.ndarray, k: int, edges: np.ndarray) -> np.ndarray:
    """Squared distances from each centre to its k nearest others in each group, `(m, G, k)`; inf where there are fewer.

    The k nearest outside any one group are among these.

    Args:
        edges: where the groups begin, and m: group g holds the centres edges[g] to edges[g + 1] - 1.
    """
    found = np.full((len(c), len(edges) - 1, k), np.inf)
    for part, block in _blocks(c, c):
        itself = np.arange(len(block))
        block[itself, itself + part.start] = np.inf
        for g, (first, last) in enumerate(pairwise(edges)):
            kept = min(k, last - first)
            found[part, g, :kept] = np.partition(block[:, first:last], kept - 1, axis=1)[:, :kept]
    return found


def _radii(nearest: np.ndarray, k: int) -> np.ndarray:
    """The k-th smallest of each row of squared distances, with the allowance for ties."""
    kth = np.partition(nearest.reshape(len(nearest), -1), k - 1, axis=1)[:, k - 1]
    radii: np.ndarray = np.maximum(kth, 0.0) * (1.0 + _TIE)
    return radii


def _prepared(centres: np.ndarray, points: np.ndarray, k: int, left_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Both sets about the centres' mean, where the matrix product loses least."""
    if not 1 <= k < len(centres) - left_out:
        raise Refused(f"k is {k}; it must lie between 1 and {len(centres) - left_out - 1} with {len(centres)} centres")
    mean = centres.mean(axis=0)
    return centres - mean, points - mean


def share_inside(*, centres: np.ndarray, points: np.ndarray, k: int) -> float:
    """The share of the points `(n, d)` that lie in the manifold of the centres `(m, d)`."""
    c, x = _prepared(centres, points, k, left_out=0)
    radii = _radii(_nearest(c, k, np.array([0, len(c)])), k)
    return sum(int((block <= radii).any(axis=1).sum()) for _, block in _blocks(x, c)) / len(x)


def share_without_groups(*, centres: np.ndarray, points: np.ndarray, k: int) -> tuple[float, np.ndarray, np.ndarray]:
    """The share inside, the shares without each group of centres, and without each group of points, `(G,)` each.

    Distances are computed once. Without a group only the radii of the centres that had a neighbour in it grow, at
    most k m over all groups, and only for those are points looked at again.
    """
    group = groups_of(len(centres))
    sizes = np.bincount(group)
    groups, edges = len(sizes), np.concatenate([[0], np.cumsum(sizes)])
    c, x = _prepared(centres, points, k, left_out=int(sizes.max()))
    order = np.argsort(group, kind="stable")  # so that a group's centres lie side by side
    c, group = c[order], group[order]

    nearest = _nearest(c, k, edges)
    radii = _radii(nearest, k)
    radii_without = [_radii(np.delete(nearest, g, axis=1), k) for g in range(groups)]
    grown = [np.flatnonzero((radii_without[g] > radii) & (group != g)) for g in range(groups)]

    inside = np.zeros(len(x), dtype=bool)
    inside_without = np.zeros((groups, len(x)), dtype=bool)
    for part, block in _blocks(x, c):
        hits = np.logical_or.reduceat(block <= radii, edges[:-1], axis=1)
        count = hits.sum(axis=1)
        inside[part] = count > 0
        for g in range(groups):
            covered = count > hits[:, g]
            rest = np.flatnonzero(~covered)
            again = block[np.ix_(rest, grown[g])] <= radii_without[g][grown[g]]
            covered[rest] = again.any(axis=1)
            inside_without[g, part] = covered

    member = groups_of(len(x))
    without_points = np.array([inside[member != g].mean() for g in range(member.max() + 1)])
    return float(inside.mean()), inside_without.mean(axis=1), without_points
