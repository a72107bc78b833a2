"""Weights of the networks that are not shipped: where they lie, that they are the right ones, and loading them safely.

A file lies in the folder that the environment's GENBENCH_WEIGHTS names, else in ~/.cache/genbench/weights. It is
fetched only when somebody asks for it, and read only after its sha256 is right. Weights of one's own are named by
their path; then the protocol carries the head of their hash instead. Nothing in a file is ever executed: safetensors
holds numbers alone, and what torch has pickled is read with `weights_only`.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from genbench.errors import Refused, Unavailable
from genbench.files import sha256_of
from genbench.sources import Source, fetch

HEAD = 4  # how much of a hash stands in a protocol's name


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of weights, there and known by its content."""

    path: Path
    sha256: str

    @property
    def head(self) -> str:
        return self.sha256[:HEAD]


def default_root() -> Path:
    """Where weights are looked for when nothing else is said."""
    return Path(os.environ.get("GENBENCH_WEIGHTS") or Path.home() / ".cache" / "genbench" / "weights")


def locate(name: str, source: Source, *, download: bool = False) -> Weights:
    """The published file, its sha256 checked; Unavailable where it is missing, Refused where it is another.

    Args:
        name: the extractor, for the error.
        download: fetches what is missing.
    """
    path = default_root() / source.path
    if not path.is_file() and not download:
        raise Unavailable(
            f"{name} needs its weights {path}, which are missing: put them there (GENBENCH_WEIGHTS names another "
            f"folder), or let --download (download=True) fetch them from {source.urls[0]}"
        )
    try:
        fetch(name, [source], default_root(), download)
    except Refused as reason:
        if path.is_file():
            raise
        raise Unavailable(str(reason)) from None
    return Weights(path=path, sha256=source.digest)


def given(name: str, path: Path | str | None, otherwise: str, hint: str) -> Weights:
    """A file that the user names, or one of the stated name in the stated folder; its hash is computed.

    Args:
        name: the extractor, for the error.
        path: the file; None looks for `otherwise` in the folder of weights.
        hint: where such a file comes from.
    """
    found = Path(path) if path is not None else default_root() / otherwise
    if not found.is_file():
        where = "" if path is not None else " there (GENBENCH_WEIGHTS names another folder)"
        raise Unavailable(f"{name} needs the weights {found}, which are missing: put {hint}{where}")
    return Weights(path=found, sha256=sha256_of(found))


def load(weights: Weights, shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, Tensor]:
    """The tensors of a file, with the names and shapes that are expected and with finite values.

    Args:
        shapes: name -> shape; None takes the file as it is. Counters of batches are left out on both sides.
    """
    path = weights.path
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            with warnings.catch_warnings():  # about pickles of another age: either they hold tensors or they do not
                warnings.simplefilter("ignore", UserWarning)
                found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise Refused(
            f"{path} holds something beside tensors, or is damaged, and is not opened: it would run code; a "
            "state dict of tensors (safetensors, or torch.save) is needed"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Refused(f"{path} is truncated or damaged: {reason}; a state dict of tensors is needed") from None
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise Refused(f"{path} holds a {type(found).__name__}; a state dict, names with tensors, is needed")
    state = {name: value for name, value in found.items() if not name.endswith("num_batches_tracked")}
    if shapes is not None:
        _match(path, state, {name: shapes[name] for name in shapes if not name.endswith("num_batches_tracked")})
    for name, value in state.items():
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise Refused(f"{path}: {name} holds values that are not finite numbers of floating point")
    return state


def _match(path: Path, state: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> None:
    missing, foreign = sorted(set(shapes) - set(state)), sorted(set(state) - set(shapes))
    if missing or foreign:
        which = f"lacks {missing[0]}" if missing else f"has {foreign[0]}, which the network does not know"
        raise Refused(
            f"{path} holds the weights of another network: of {len(shapes)} tensors {len(missing)} are missing and "
            f"{len(foreign)} are foreign; it {which}"
        )
    for name, shape in shapes.items():
        if tuple(state[name].shape) != tuple(shape):
            raise Refused(f"{path}: {name} has the shape {tuple(state[name].shape)}; the network needs {tuple(shape)}")
