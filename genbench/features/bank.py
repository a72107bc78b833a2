"""The feature bank of a set of images: one pass over them serves every tap of every extractor that is asked for.

    bank = Bank(images, cache=folder)
    bank.ask(inception, "2048")                # the features themselves
    bank.ask(inception, "logits", "moments")   # no more than their mean and scatter: memory does not grow with n
    bank.ask(digitnet)
    bank.features(inception, "2048")           # here the pass is made, for all three

While a network works on one batch, another thread decodes and prepares the next. What was computed is kept on the disk
under the hash of all that it depends on: the images' bytes, the extractor's protocol, weights and code, and the tap;
never a name. A file there is read only if its own hash is right; a damaged one is computed again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from genbench import files
from genbench.moments import Moments
from genbench.progress import Bar
from genbench.types import Extractor

Kind = Literal["features", "moments"]
T = TypeVar("T")
_AHEAD = 2  # batches that wait, prepared, for the network
_SLICE = 1000  # images that are read at a time
_ROWS = 1000  # features that are gathered before they are added to the moments


class Images(Protocol):
    """A set of images or points that is read in slices, decoded when it is; a tensor is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...


class Bank:
    """Features of a set of images (or points), each computed once.

    Args:
        x: uint8 `(n, C, H, W)` or float32 `(n, D)`, or what gives these in slices.
        cache: the folder in which features are kept; None keeps them in memory alone.
        progress: shows a bar on a terminal.
    """

    def __init__(self, x: Images, *, cache: Path | None = None, progress: bool = False) -> None:
        self.x, self.cache, self.progress = x, cache, progress
        self.passes = 0  # over the images
        self._extractors: dict[str, Extractor] = {}
        self._asked: dict[tuple[str, str], Kind] = {}
        self._features: dict[tuple[str, str], np.ndarray] = {}
        self._moments: dict[tuple[str, str], Moments] = {}

    def ask(self, extractor: Extractor, tap: str = "features", kind: Kind = "features") -> None:
        """Says what will be wanted; the next pass computes it along with everything else."""
        self._extractors.setdefault(name := fingerprint(extractor), extractor)
        key = (name, extractor.known(tap))
        if key in self._features or (kind == "moments" and (key in self._moments or key in self._asked)):
            return
        self._asked[key] = kind

    def features(self, extractor: Extractor, tap: str = "features") -> np.ndarray:
        """float32 `(n, d)`, the rows in the order of the images."""
        self.ask(extractor, tap)
        self._serve()
        return self._features[fingerprint(extractor), extractor.known(tap)]

    def moments(self, extractor: Extractor, tap: str = "features") -> Moments:
        """How many, their mean and scatter; bytes are held for d^2 numbers, whatever n."""
        self.ask(extractor, tap, "moments")
        self._serve()
        key = (fingerprint(extractor), extractor.known(tap))
        if key not in self._moments:
            self._moments[key] = Moments.of(self._features[key])
        return self._moments[key]

    def probabilities(self, extractor: Extractor) -> np.ndarray | None:
        """Class probabilities `(n, K)`, or None where the extractor does not classify."""
        return extractor.to_probabilities(self.features(extractor, "logits")) if "logits" in extractor.taps else None

    def classes(self, extractor: Extractor) -> np.ndarray | None:
        """The dataset's class of each image, int64 `(n,)`, or None."""
        return extractor.to_classes(self.features(extractor, "logits")) if "logits" in extractor.taps else None

    @cached_property
    def content(self) -> str:
        """sha256 over shape, type and bytes of the images."""
        digest = hashlib.sha256()
        for first in range(0, max(1, len(self.x)), _SLICE):
            part = self.x[first : first + _SLICE]
            if first == 0:
                digest.update(f"{len(self.x)} {tuple(part.shape[1:])} {part.dtype}".encode())
            digest.update(part.contiguous().cpu().numpy().data)
        return digest.hexdigest()

    # The pass.

    def _serve(self) -> None:
        """Everything that is asked for: out of the cache, or in one pass."""
        for key, kind in list(self._asked.items()):
            if self._read(key, kind):
                del self._asked[key]
        if not self._asked:
            return
        try:
            gathered = self._pass()
        except BaseException:  # what fails for one extractor is asked again by nobody but those who want it
            self._asked.clear()
            raise
        for key, kind in self._asked.items():
            found = gathered[key].whole()
            if isinstance(found, Moments):
                self._moments[key] = found
            else:
                self._features[key] = found
            self._write(key, kind)
        self._asked.clear()

    def _pass(self) -> dict[tuple[str, str], _Gathered]:
        self.passes += 1
        gathered: dict[tuple[str, str], _Gathered] = {}
        names = {name for name, _ in self._asked}
        done = 0
        with Bar("features", len(self.x) * len(names), self.progress) as bar, closing(_ahead(self._jobs())) as batches:
            for name, first, prepared in batches:
                taps = [tap for extractor, tap in self._asked if extractor == name]
                for tap, values in self._extractors[name].outputs(prepared, taps).items():
                    key = (name, tap)
                    if key not in gathered:
                        gathered[key] = _Gathered(len(self.x), values, self._asked[key])
                    gathered[key].add(first, values)
                done += len(prepared)
                bar.to(done, name.partition(" ")[0].partition("@")[0])
        return gathered

    def _jobs(self) -> Iterator[Callable[[], tuple[str, int, Tensor]]]:
        """One job for each batch of each extractor; a slice of images is read once for all of them."""
        names = sorted({name for name, _ in self._asked})
        for first in range(0, max(1, len(self.x)), _SLICE):
            here = _Once(lambda first=first: self.x[first : first + _SLICE])  # type: ignore[misc]
            size = max(1, min(_SLICE, len(self.x) - first))
            for name in names:
                batch = self._extractors[name].batch
                for start in range(0, size, batch):
                    yield _job(self._extractors[name], name, here, first, start, batch)

    # The cache.

    def _path(self, key: tuple[str, str], kind: Kind) -> Path | None:
        if self.cache is None:
            return None
        words = json.dumps([1, self.content, *key, kind, code(), _own_code(self._extractors[key[0]])])
        return self.cache / f"{files.sha256(words.encode())}.safetensors"

    def _read(self, key: tuple[str, str], kind: Kind) -> bool:
        """Whether the cache had it. Features serve for moments as well."""
        if kind == "moments" and self._read(key, "features"):
            return True
        path = self._path(key, kind)
        found = None if path is None else _unpack(path)
        if found is None:
            return False
        if kind == "features" and set(found) == {"features"} and len(found["features"]) == len(self.x):
            self._features[key] = found["features"]
        elif kind == "moments" and set(found) == {"mean", "scatter", "rest"}:
            self._moments[key] = Moments(len(self.x), found["mean"], found["scatter"], found["rest"])
        else:
            return False
        return True

    def _write(self, key: tuple[str, str], kind: Kind) -> None:
        path = self._path(key, kind)
        if path is None:
            return
        if kind == "features":
            files.write(path, _pack({"features": self._features[key]}))
        else:
            moments = self._moments[key]
            files.write(path, _pack({"mean": moments.mean, "scatter": moments.scatter, "rest": moments.low_mean}))


def fingerprint(extractor: Extractor) -> str:
    """All that an extractor's numbers depend on beside the images and the code."""
    return f"{extractor.identity} {tuple(extractor.spec.shape)} {extractor.spec.levels}"


@cache
def code() -> str:
    """sha256 over the sources of all extractors, the scales of images, and the version of torch."""
    here = Path(__file__).parent
    digest = hashlib.sha256(torch.__version__.encode())
    for path in (*sorted(here.glob("*.py")), here.parent / "images.py", here.parent / "noise.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _own_code(extractor: Extractor) -> str:
    """The same for an extractor of another package."""
    path = getattr(sys.modules.get(type(extractor).__module__), "__file__", None)
    return files.sha256_of(Path(path)) if path else ""


class _Once:
    """A value that is computed on its first use, and let go with the last job that holds it."""

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        self._compute = compute

    @cached_property
    def value(self) -> Tensor:
        return self._compute()


def _job(
    extractor: Extractor, name: str, here: _Once, first: int, start: int, batch: int
) -> Callable[[], tuple[str, int, Tensor]]:
    return lambda: (name, first + start, extractor.prepare(here.value[start : start + batch]))


def _ahead(jobs: Iterable[Callable[[], T]]) -> Generator[T, None, None]:
    """The results in order, computed in another thread ahead of their use; an exception comes in its result's place."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="genbench-prepare")
    waiting: deque[Future[T]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Gathered:
    """Batches of one tap, put together."""

    def __init__(self, n: int, like: np.ndarray, kind: Kind) -> None:
        self.values = np.empty((n, like.shape[1]), np.float32) if kind == "features" else None
        self.moments = Moments.empty(like.shape[1])
        self.rows: list[np.ndarray] = []

    def add(self, first: int, values: np.ndarray) -> None:
        if self.values is not None:
            self.values[first : first + len(values)] = values
            return
        self.rows.append(values)
        if sum(map(len, self.rows)) >= _ROWS:
            self._merge()

    def _merge(self) -> None:
        self.moments = self.moments.added(np.concatenate(self.rows))
        self.rows = []

    def whole(self) -> np.ndarray | Moments:
        if self.values is not None:
            return self.values
        if self.rows:
            self._merge()
        return self.moments


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    return save(arrays, metadata={"sha256": _digest(arrays)})


def _unpack(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file of the cache, or None where there is none or it is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            right = (file.metadata() or {}).get("sha256") == _digest(arrays)
    except (OSError, SafetensorError):
        return None
    return arrays if right else None


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} {arrays[name].dtype}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
