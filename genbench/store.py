"""Where records, weights and samples live.

    ROOT/records/KEY.json, KEY-samples.png        what the leaderboard reads
    ROOT/weights/KEY/model.safetensors, ...       finished trainings; checkpoint.pt while one is under way
    ROOT/samples/KEY.npz                          the samples that were measured, NHWC uint8 or points, `arr_0`

A key is the hash of everything that can change the content. Nothing that exists is ever overwritten.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from genbench import files, record
from genbench.record import Record
from genbench.types import Accounting, History, Model, Refused


class Store:
    """A folder of results."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @property
    def records(self) -> Path:
        return self.root / "records"

    def has_record(self, key: str) -> bool:
        return (self.records / f"{key}.json").exists()

    def read_record(self, key: str) -> Record:
        return record.read(self.records / f"{key}.json")

    def write_record(self, result: Record, assets: dict[str, bytes]) -> None:
        """Writes the assets, then the record, whose presence says that the cell is finished."""
        for name, content in assets.items():
            files.write(self.records / name, content)
        files.write(self.records / f"{result.key}.json", record.encode(result))

    def checkpoint(self, key: str) -> Path:
        return self.root / "weights" / key / "checkpoint.pt"

    def load_weights(self, key: str, model: Model) -> History | None:
        """Puts finished weights into a model; None where there are none."""
        folder = self.root / "weights" / key
        if not (folder / "history.json").exists():
            return None
        load(model, folder / "model.safetensors")
        content = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        history = History()
        history.update(content["curves"])
        history.accounting = Accounting(**content["accounting"])
        return history

    def save_weights(self, key: str, model: Model, history: History) -> None:
        """Writes finished weights and their curves, then drops the checkpoint."""
        folder = self.root / "weights" / key
        write_weights(model, folder / "model.safetensors")
        content = {"curves": dict(history), "accounting": asdict(history.accounting)}
        files.write(folder / "history.json", json.dumps(content).encode())
        self.checkpoint(key).unlink(missing_ok=True)

    def save_samples(self, key: str, x: Tensor) -> None:
        array = x.permute(0, 2, 3, 1).numpy() if x.dim() == 4 else x.numpy()
        files.write(self.root / "samples" / f"{key}.npz", lambda file: np.savez_compressed(file, arr_0=array))


def write_weights(model: Model, path: Path) -> None:
    """The model's whole state as safetensors."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    meta = {"model": f"{type(model).__module__}:{type(model).__qualname__}", "config": repr(model.config)}
    files.write(path, save(state, metadata=meta))


def load(model: Model, path: Path | str) -> Model:
    """Loads safetensors weights into a model built with the same configuration; no pickle is ever read."""
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
        state = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise Refused(f"{path.name} cannot be read as safetensors weights: {error}") from None
    own = f"{type(model).__module__}:{type(model).__qualname__}"
    if meta.get("model", own) != own:
        raise Refused(f"{path.name} holds weights of {meta['model']}, not of {own}")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise Refused(f"{path.name} does not fit {own} as configured: {reason}") from None
    bad = next((n for n, t in state.items() if t.is_floating_point() and not torch.isfinite(t).all()), None)
    if bad:
        raise Refused(f"{path.name}: the weight {bad} is not finite")
    return model.eval()
