"""Names beside points: each takes the place, of many around its point, that covers least.

A box is (x0, y0, x1, y1) in pixels. Placed one after the other, then three times reconsidered with all the others in
place; what does not move is paid for once.
"""

from __future__ import annotations

import numpy as np


def place(
    points: np.ndarray, widths: np.ndarray, order: list[int], *, frame: np.ndarray, bars: np.ndarray, taken: np.ndarray
) -> list[np.ndarray]:
    """The box of each label.

    Args:
        points: `(n, 2)`, what the labels belong to.
        widths: `(n,)`, of the labels.
        order: who chooses first.
        frame: `(4,)`, what no label should leave.
        bars, taken: `(m, 4)`, what is better not covered, and what must not be.
    """
    dots = np.concatenate([points - 5.0, points + 5.0], axis=1)
    candidates = [_around(point, float(width)) for point, width in zip(points, widths, strict=True)]
    # All else equal, right is best.
    fixed = [
        3.0 * _touched(boxes, dots)
        + 3.0 * _touched(boxes, taken)
        + _touched(boxes, bars)
        + 4.0 * (_areas(boxes) - _overlaps(boxes, frame[None]).sum(axis=1))
        + 0.8 * _distances(boxes, point)
        + 0.03 * np.abs(boxes[:, 0] - point[0] - 8.0)
        + 0.10 * np.abs((boxes[:, 1] + boxes[:, 3]) / 2 - point[1])
        for boxes, point in zip(candidates, points, strict=True)
    ]
    chosen: dict[int, np.ndarray] = {}
    for _ in range(4):
        for index in order:
            others = np.array([box for other, box in chosen.items() if other != index]).reshape(-1, 4)
            costs = fixed[index] + 3.0 * _touched(candidates[index], others)
            chosen[index] = candidates[index][int(np.argmin(costs.round(6)))]
    return [chosen[index] for index in range(len(points))]


def _around(place: np.ndarray, width: float, height: float = 11.0) -> np.ndarray:
    """Boxes for a label around a point, on rings from near to far, `(144, 4)`."""
    distances = np.repeat([8.0, 12.0, 18.0, 26.0, 36.0, 48.0, 62.0, 78.0], 18)
    angles = np.radians(np.tile(np.arange(0, 360, 20), 8))
    x = place[0] + np.cos(angles) * (distances + width / 2)
    y = place[1] + np.sin(angles) * (distances + height / 2)
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Common areas, `(len(boxes), len(others))`."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1])


def _touched(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What each box covers of the others: their areas, and for each touched one as much as a small corner."""
    areas = _overlaps(boxes, others)
    return np.asarray((areas + 8.0 * (areas > 0)).sum(axis=1))


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _distances(boxes: np.ndarray, place: np.ndarray) -> np.ndarray:
    """From a place to the nearest point of each box."""
    return np.asarray(np.linalg.norm(np.clip(place, boxes[:, :2], boxes[:, 2:]) - place, axis=1))
