"""Weights: looked for in the stated place, known by their hash, never executed, refused in a sentence."""

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from genbench.errors import Refused, Unavailable
from genbench.features.weights import Weights, default_root, given, load, locate
from genbench.sources import Source

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
SHAPES = {name: tuple(value.shape) for name, value in STATE.items()}


def at(path: Path) -> Weights:
    return given("mine", path, "unused", "a file")


def source(path: Path, **changes: str) -> Source:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(path=path.name, urls=(path.as_uri(),), digest=changes.get("digest", digest))


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "elsewhere" / "mine.pth"
    path.parent.mkdir()
    torch.save(STATE, path)
    return path


def test_the_stated_place(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("GENBENCH_WEIGHTS")
    assert default_root() == Path.home() / ".cache" / "genbench" / "weights"


def test_missing_weights_say_what_to_do(tmp_path, monkeypatch, published):
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable, match=r"mine needs its weights .*mine\.pth, .*GENBENCH_WEIGHTS.*--download.*file:"):
        locate("mine", source(published))
    with pytest.raises(Unavailable, match=r"mine needs the weights .*own\.safetensors, .*put this file there"):
        given("mine", None, "own.safetensors", "this file")


def test_they_are_fetched_only_on_request_and_checked(tmp_path, monkeypatch, published):
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    found = locate("mine", source(published), download=True)
    assert found.path == tmp_path / "mine.pth"
    assert found.sha256 == hashlib.sha256(published.read_bytes()).hexdigest()
    published.unlink()
    assert locate("mine", Source(path="mine.pth", urls=("file:///none",), digest=found.sha256)) == found
    found.path.write_bytes(found.path.read_bytes()[:-1])
    with pytest.raises(Refused, match=r"mine\.pth is corrupted: its sha256") as refusal:
        locate("mine", Source(path="mine.pth", urls=("file:///none",), digest=found.sha256))
    assert not isinstance(refusal.value, Unavailable)


def test_what_cannot_be_fetched_is_unavailable(tmp_path, monkeypatch, published):
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable, match="cannot fetch mine"):
        locate("mine", source(published, digest="0" * 64), download=True)
    assert not (tmp_path / "mine.pth").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_both_formats(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    state = STATE | {"bn.num_batches_tracked": torch.tensor(3)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    found = load(at(path), SHAPES)
    assert set(found) == set(STATE)
    for name, value in found.items():
        torch.testing.assert_close(value, STATE[name], rtol=0, atol=0)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("wrap", [lambda evil: {"a.weight": evil}, lambda evil: evil])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch, wrap):
    monkeypatch.chdir(tmp_path)
    torch.save(wrap(Evil()), tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(wrap(Evil())))
    torch.save(wrap(Evil()), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("zip.pth", "plain.pth", "old.pth"):
        with pytest.raises(Refused, match=rf"{name} holds something beside tensors, or is damaged, and is not opened"):
            load(at(tmp_path / name), SHAPES)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 60, 0.5, 0.97])
def test_truncated_files_are_refused(tmp_path, suffix, kept):
    path = tmp_path / f"mine{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(Refused, match=rf"mine\{suffix} (is truncated or damaged|holds something beside tensors)"):
        load(at(path), SHAPES)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"a.weight": STATE["a.weight"]}, "of 2 tensors 1 are missing and 0 are foreign; it lacks a.bias"),
        (STATE | {"b": torch.ones(1)}, "0 are missing and 1 are foreign; it has b, which"),
        (STATE | {"a.bias": torch.ones(3)}, r"a\.bias has the shape \(3,\); the network needs \(2,\)"),
        (STATE | {"a.bias": torch.tensor([1.0, float("nan")])}, r"a\.bias holds values that are not finite"),
        (STATE | {"a.bias": torch.tensor([1, 2])}, r"a\.bias holds values that are not finite numbers of floating"),
        ([1, 2, 3], "holds a list; a state dict"),
        ({"a.weight": 3.0}, "a state dict, names with tensors, is needed"),
    ],
)
def test_weights_of_something_else_are_refused(tmp_path, state, words):
    torch.save(state, tmp_path / "mine.pth")
    with pytest.raises(Refused, match=words):
        load(at(tmp_path / "mine.pth"), SHAPES)
