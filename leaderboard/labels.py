"""Names beside points: each takes the place, of many around its point, that covers least.

A box is (x0, y0, x1, y1) in pixels. Placed one after the other, then three times reconsidered with all the others in
place; what does not move is paid for once. A label that stands far off has a leader: a line from its point to it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

FAR = 13.0  # a label at this distance needs a leader
_STEP = 3.0  # between the boxes that stand for a line
_APART = np.array([-4.0, 0.0, 4.0, 0.0])  # two names side by side are not to be read as one


def place(
    points: np.ndarray, widths: np.ndarray, order: list[int], *, frame: np.ndarray, bars: np.ndarray, taken: np.ndarray
) -> list[np.ndarray]:
    """The box of each label.

    Args:
        points: `(n, 2)`, what the labels belong to.
        widths: `(n,)`, of the labels.
        order: who chooses first.
        frame: `(4,)`, what no label should leave.
        bars, taken: `(m, 4)`, what is better not covered, and what must not be; for a line, boxes `along` it.
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
    leaders = [_leaders(boxes, point) for boxes, point in zip(candidates, points, strict=True)]
    for index, own in enumerate(leaders):
        fixed[index] += 20.0 * _crossed(own, np.delete(dots, index, axis=0)).sum(axis=1)
    chosen: dict[int, int] = {}
    for _ in range(4):
        before = dict(chosen)
        for index in order:
            others = [other for other in chosen if other != index]
            boxes = np.array([candidates[other][chosen[other]] for other in others]).reshape(-1, 4)
            lines = np.array([leaders[other][chosen[other]] for other in others]).reshape(-1, 4)
            costs = (
                fixed[index]
                + 6.0 * _touched(candidates[index] + _APART, boxes)
                + 200.0 * _crossed(leaders[index], boxes).sum(axis=1)
                + 200.0 * _crossed(lines, candidates[index]).sum(axis=0)
            )
            chosen[index] = int(np.argmin(costs.round(6)))
        if chosen == before:
            break
    return [candidates[index][chosen[index]] for index in range(len(points))]


def along(corners: np.ndarray) -> np.ndarray:
    """Small boxes along a line through `(n, 2)` corners, `(m, 4)`."""
    parts = [np.zeros((0, 2))]
    for start, end in pairwise(corners):
        number = max(2, min(int(np.linalg.norm(end - start) / _STEP) + 2, 1000))
        parts.append(np.linspace(start, end, number))
    return _dotted(np.concatenate(parts))


def _dotted(places: np.ndarray) -> np.ndarray:
    return np.concatenate([places - 1.0, places + 1.0], axis=1)


def _around(place: np.ndarray, width: float, height: float = 11.0) -> np.ndarray:
    """Boxes for a label around a point, on rings from near to far, `(216, 4)`."""
    rings = [8.0, 12.0, 18.0, 26.0, 36.0, 48.0, 62.0, 78.0, 96.0]
    distances = np.repeat(rings, 24)
    angles = np.radians(np.tile(np.arange(0, 360, 15), len(rings)))
    x = place[0] + np.cos(angles) * (distances + width / 2)
    y = place[1] + np.sin(angles) * (distances + height / 2)
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def _leaders(boxes: np.ndarray, point: np.ndarray) -> np.ndarray:
    """From the point to each box, `(len(boxes), 4)`: start and end; NaN for a box that needs none."""
    ends = np.clip(point, boxes[:, :2], boxes[:, 2:])
    lines = np.concatenate([np.broadcast_to(point, ends.shape), ends], axis=1)
    lines[np.linalg.norm(ends - point, axis=1) <= FAR] = np.nan
    return lines


def _crossed(lines: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Which lines run through which boxes, `(len(lines), len(boxes))`."""
    starts, along = lines[:, None, :2], (lines[:, 2:] - lines[:, :2])[:, None]
    along = np.where(along == 0, 1e-9, along)
    ends = np.stack([(boxes[:, :2] - starts) / along, (boxes[:, 2:] - starts) / along])  # in units of the line
    enters, leaves = ends.min(axis=0).max(axis=2), ends.max(axis=0).min(axis=2)
    return np.asarray((enters <= leaves) & (leaves >= 0) & (enters <= 1))


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
