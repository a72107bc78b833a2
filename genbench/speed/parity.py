"""The gate before any time counts: the fast path computes what eager float32 computes on the CPU.

A sampler is a function of its noise, so that images are compared one by one: same weights, same noise. One step is
compared under teacher forcing, on inputs from eager's own trajectory, because a value that is drawn differently
changes all that follow. Then the whole trajectory, at every batch size that is given; then whether the backend
computes at all: the same noise twice must give the same, other noise what eager makes of it, and the result of one
call must survive the next.

Bounds have two sides where both mean something: what claims a reduced precision and equals float32 has not computed
in it; images that differ less from noise to noise than eager's are not computed from the noise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from genbench.noise import Noise, Recorded, Replay, Streams, derive
from genbench.types import Measurement, Model, Refused

Precision = Literal["float32", "tf32", "float16", "bfloat16"]

_STEPS = 8  # of the trajectory that are compared under teacher forcing


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What a precision may cost; each error is relative to the largest value of what it is an error of.

    A sampler passes when its images are the same but for a few, or when a few values differ by one level. The second
    bound serves many small errors over many values, the first the rare draw that comes out differently and changes
    all that follow. Points have no levels: theirs is an error like a step's.
    """

    step: tuple[float, float]  # error of a step's real outputs: from, to
    drawn: float  # largest share of a step's drawn (whole) outputs that differ
    images: float | None  # least share of identical images
    values: float  # largest share of values that differ, none by more than a level
    points: float  # largest error of points after the whole trajectory
    fid: bool  # whether the shift in FID must stay within its interval


# Float32 in another order of summation: some 1e-6 a step, which a long trajectory may multiply by a hundred. A
# reduced precision with u bits of mantissa errs by about 2^-u in each product: no less than a hundredth of that.
TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(step=(0.0, 1e-4), drawn=1e-3, images=0.95, values=1e-3, points=1e-3, fid=False),
    "tf32": Tolerance(step=(1e-6, 1e-2), drawn=2e-2, images=None, values=1e-1, points=5e-2, fid=True),
    "float16": Tolerance(step=(1e-6, 1e-2), drawn=2e-2, images=None, values=1e-1, points=5e-2, fid=True),
    "bfloat16": Tolerance(step=(1e-5, 5e-2), drawn=5e-2, images=None, values=3e-1, points=2e-1, fid=True),
}
_REPEATED = 0.95  # least share of images that equal noise gives again
_SAME = 0.05  # by which the share of images that two noises have in common may differ from eager's


@dataclass(frozen=True)
class Figure:
    """One number of the gate and where it must lie; `says` completes "its value is ..."."""

    name: str
    value: float
    low: float
    high: float
    says: str

    @property
    def ok(self) -> bool:
        return self.low <= self.value <= self.high

    def __str__(self) -> str:
        side = f"at most {self.high:g}" if self.value > self.high else f"at least {self.low:g}"
        return f"{self.says}: {self.value:.3g}" + ("" if self.ok else f", must be {side}")


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a backend: every figure, and whether all of them lie where they must."""

    figures: tuple[Figure, ...]

    @property
    def ok(self) -> bool:
        return all(figure.ok for figure in self.figures)

    @property
    def status(self) -> Literal["ok", "invalid"]:
        return "ok" if self.ok else "invalid"

    @property
    def reason(self) -> str | None:
        """The figures that lie elsewhere, in words; None where all is well."""
        return "; ".join(str(figure) for figure in self.figures if not figure.ok) or None

    def __getitem__(self, name: str) -> Figure:
        return next(figure for figure in self.figures if figure.name == name)


def noises(
    model: Model, sizes: Sequence[int] = (16, 16, 5), seed: int = 0, device: torch.device | None = None
) -> list[Recorded]:
    """What the sampler draws for some batches of images, no image in two of them, each on the device."""
    found, start = [], 0
    for n in sizes:
        rows = torch.arange(start, start := start + n)
        recorded = Recorded(Streams(derive(seed, "parity"), rows, model.device))
        with torch.no_grad():
            model.sample(recorded)
        if device is not None:
            recorded.tensors = [tensor.to(device) for tensor in recorded.tensors]
        found.append(recorded)
    return found


def gate(
    model: Model,
    candidate: Callable[[Sequence[Tensor]], Tensor],
    given: Sequence[Recorded],
    *,
    precision: Precision = "float32",
    step: Callable[..., Any] | None = None,
    fid: tuple[Measurement, Measurement] | None = None,
) -> Verdict:
    """Compares a backend with eager float32 on the CPU.

    Args:
        model: the weights, on any device.
        candidate: noise tensors to images, on the noise's device.
        given: noise, as `noises` draws it: two of one batch size first, then perhaps others.
        precision: what the backend computes in.
        step: what it computes of `model.step()`, where it is driven step by step.
        fid: of eager's images and of the backend's, from the same noise; a reduced precision must bring them.
    """
    bounds = TOLERANCES[precision]
    if len(given) < 2 or given[0].n != given[1].n:
        raise Refused("the gate compares two noises of one batch size at least")
    if bounds.fid and fid is None and model.data.is_image:
        raise Refused(f"the gate of {precision} judges the shift in FID: give the FIDs of eager and of the backend")
    eager = copy.deepcopy(model).cpu().float().eval()
    tensors = [[tensor.cpu() for tensor in noise.tensors] for noise in given]
    with torch.inference_mode():
        expected = [eager.sample(Replay(part)) for part in tensors]
    figures = list(_steps(eager, step, tensors[0], given[0], bounds)) if step is not None else []
    raw = candidate(given[0].tensors)
    first = raw.clone().cpu()
    found = [first, *(candidate(noise.tensors).clone().cpu() for noise in given[1:])]
    survived = raw.clone().cpu()
    again = candidate(given[0].tensors).clone().cpu()
    shapes = [x.shape == y.shape and x.dtype == y.dtype for x, y in zip(expected, found, strict=True)]
    figures.append(_at_least("form", sum(shapes) / len(shapes), 1.0, "share of batches with the right shape and type"))
    if not all(shapes):
        return Verdict(tuple(figures))
    figures += _trajectory(expected, found, bounds)
    figures += [
        _at_least("repeat", _shared(first, again), _REPEATED, "share of equal images from equal noise"),
        _at_least("kept", _shared(first, survived), 1.0, "share of images that the next call leaves as they are"),
    ]
    common = _shared(expected[0], expected[1])
    figures.append(
        Figure(
            "other noise",
            _shared(found[0], found[1]),
            common - _SAME,
            common + _SAME,
            "share of equal images from other noise",
        )
    )
    if fid is not None:
        figures.append(shift(*fid))
    return Verdict(tuple(figures))


def shift(eager: Measurement, candidate: Measurement) -> Figure:
    """FID of the backend less that of eager, which must lie within half of the interval of eager's."""
    if eager.value is None or candidate.value is None or eager.low is None or eager.high is None:
        raise Refused("the shift in FID needs both values and eager's interval")
    half = (eager.high - eager.low) / 2
    return Figure("fid shift", candidate.value - eager.value, -half, half, "shift in FID against its interval")


def _trajectory(expected: Sequence[Tensor], found: Sequence[Tensor], bounds: Tolerance) -> Iterator[Figure]:
    """The images (or points) of all batches against eager's."""
    if expected[0].is_floating_point():
        error = max(_error(x, y) for x, y in zip(expected, found, strict=True))
        yield _at_most("points", error, bounds.points, "largest error of a point, over the largest coordinate")
        return
    pairs = list(zip(expected, found, strict=True))
    n = sum(len(x) for x, _ in pairs)
    same = sum(_shared(x, y) * len(x) for x, y in pairs) / n
    gaps = torch.cat([(x.long() - y.long()).abs().flatten() for x, y in pairs])
    values, levels = (gaps > 0).double().mean().item(), float(gaps.max())
    wide = bounds.images is not None and same >= bounds.images
    # Where the images are the same but for a few, these few may differ in as many values as they like.
    yield _at_least("images", same, 0.0 if values <= bounds.values else bounds.images or 0.0, "share of equal images")
    yield _at_most("values", values, 1.0 if wide else bounds.values, "share of values that differ")
    if bounds.images is not None:
        yield _at_most("levels", levels, torch.inf if wide else 1.0, "largest difference in levels")


def _steps(
    eager: Model, step: Callable[..., Any], tensors: Sequence[Tensor], noise: Recorded, bounds: Tolerance
) -> Iterator[Figure]:
    """One call of the network at some places of eager's own trajectory."""
    calls = _calls(eager, Replay(tensors))
    home = noise.tensors[0].device
    errors, greatest, differing, drawn = [0.0], 0.0, 0, 0
    for inputs, outputs in calls:
        with torch.inference_mode():
            answers = _several(step(*(part.to(home) for part in inputs)))
        if len(answers) != len(outputs):
            raise Refused(f"the step gives {len(answers)} tensors, eager's gives {len(outputs)}")
        for x, y in zip(outputs, (part.cpu() for part in answers), strict=True):
            if not x.is_floating_point() or bool((x == x.round()).all() and x.any()):
                differing, drawn = differing + int((x != y).sum()), drawn + x.numel()
            else:
                errors.append(_error(x, y))
                greatest = max(greatest, (x.double() - y.double()).abs().max().item())
    if len(errors) > 1:
        yield Figure("step", max(errors), *bounds.step, "largest error of a step, over the largest value")
        yield Figure("step absolute", greatest, 0.0, torch.inf, "largest error of a step")
    if drawn:
        yield _at_most("drawn", differing / drawn, bounds.drawn, "share of a step's draws that differ")


def _calls(eager: Model, noise: Noise) -> list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
    """Inputs and outputs of eager's step at evenly spaced places of its trajectory, the first and the last included."""
    unit = eager.step()
    if unit is None:
        raise Refused(f"{type(eager).__name__} has no step of its own to compare")
    kept: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = []
    last, number = max(1, (eager.nfe or 1) - 1), 0
    wanted = {round(k * last / (_STEPS - 1)) for k in range(_STEPS)}

    def watched(*inputs: Tensor) -> Any:
        nonlocal number
        # Loops may write into what they hand over, and into what they get.
        before = tuple(part.clone() for part in inputs)
        answer = unit.module(*inputs)
        if number in wanted:
            kept.append((before, tuple(part.clone() for part in _several(answer))))
        number += 1
        return answer

    with torch.inference_mode():
        unit.drive(watched, noise)
    return kept


def _several(answer: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return (answer,) if isinstance(answer, Tensor) else tuple(answer)


def _error(expected: Tensor, found: Tensor) -> float:
    """Largest absolute difference over the largest absolute value; infinite where something is not finite."""
    if expected.shape != found.shape or not bool(torch.isfinite(found).all()):
        return torch.inf
    scale = expected.double().abs().max().item()
    gap = (expected.double() - found.double()).abs().max().item()
    return gap / scale if scale else (torch.inf if gap else 0.0)


def _shared(x: Tensor, y: Tensor) -> float:
    """The share of rows that are equal."""
    return (x == y).flatten(1).all(dim=1).double().mean().item()


def _at_least(name: str, value: float, low: float, says: str) -> Figure:
    return Figure(name, value, low, torch.inf, says)


def _at_most(name: str, value: float, high: float, says: str) -> Figure:
    return Figure(name, value, -torch.inf, high, says)
