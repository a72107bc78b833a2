"""The bank: one pass, the same numbers however they are asked for, a cache that knows content and refuses damage."""

import threading
import time
import weakref

import numpy as np
import pytest
import torch

from genbench.errors import Refused
from genbench.features import bank as module
from genbench.features.bank import Bank
from genbench.features.digitnet import DigitNet
from genbench.features.pixels import Pixels
from genbench.moments import Moments
from genbench.types import DataSpec, Extractor

SPEC = DataSpec(shape=(1, 8, 8), levels=17)


def digits(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 17, (n, 1, 8, 8), generator=generator, dtype=torch.uint8)


class Counting(Extractor):
    """Sums of each image by two taps, with a log of what was called where."""

    protocol, taps, tap, spec, batch = "counting", ("sum", "square"), "sum", SPEC, 7

    def __init__(self, weights: str = "a") -> None:
        self.weights, self.prepared, self.served = weights, [], []

    @property
    def identity(self):
        return f"counting@{self.weights}"

    def prepare(self, x):
        self.prepared.append((len(x), threading.current_thread().name))
        return x.flatten(1).float()

    def outputs(self, prepared, taps):
        self.served.append(tuple(taps))
        total = prepared.sum(dim=1, keepdim=True).numpy()
        return {tap: total if tap == "sum" else total**2 for tap in taps}


class Slices:
    """Images that exist only while they are read; `alive` is the largest number of slices held at once."""

    def __init__(self, n: int) -> None:
        self.n, self.alive, self._held = n, 0, []

    def __len__(self):
        return self.n

    def __getitem__(self, rows):
        part = digits(min(rows.stop, self.n) - rows.start, seed=rows.start)
        self._held = [reference for reference in self._held if reference() is not None] + [weakref.ref(part)]
        self.alive = max(self.alive, len(self._held))
        return part


def test_one_pass_serves_everything_that_is_asked_for():
    x, counting, net, pixels = digits(2050), Counting(), DigitNet(SPEC), Pixels(SPEC)
    bank = Bank(x)
    bank.ask(counting, "square")
    bank.ask(counting)
    bank.ask(net)
    bank.ask(net, "logits")
    bank.ask(pixels, kind="moments")
    np.testing.assert_array_equal(bank.features(counting)[:, 0], x.flatten(1).sum(dim=1).numpy())
    np.testing.assert_array_equal(bank.features(counting, "square"), bank.features(counting, "sum") ** 2)
    np.testing.assert_allclose(bank.features(net), net.features(x), atol=1e-6)
    np.testing.assert_allclose(bank.probabilities(net), net.probabilities(x), atol=1e-6)
    np.testing.assert_array_equal(bank.classes(net), net.classes(x))
    assert bank.moments(pixels).n == 2050
    assert bank.passes == 1
    assert sum(rows for rows, _ in counting.prepared) == 2050
    assert set(counting.served) == {("square", "sum")}
    assert bank.probabilities(pixels) is None
    assert bank.classes(pixels) is None


def test_preparation_runs_ahead_in_another_thread():
    counting = Counting()
    Bank(digits(50)).features(counting)
    assert {thread.rstrip("0123456789_") for _, thread in counting.prepared} == {"genbench-prepare"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("genbench-prepare")]


@pytest.mark.parametrize("n", [0, 1, 7, 999, 1000, 1001, 2500])
def test_moments_are_those_of_the_features(n):
    """Streaming against the whole, to 1e-10 of the scatter."""
    x, pixels = digits(n), Pixels(SPEC)
    found, whole = Bank(x).moments(pixels), Moments.of(pixels.features(x))
    assert found.n == n
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.scatter, whole.scatter, rtol=1e-10, atol=1e-10)


def test_shards_sum_to_the_whole():
    x, net = digits(1500), DigitNet(SPEC)
    whole = Bank(x).moments(net)
    parts = [Bank(part).moments(net) for part in x.split([1, 700, 799])]
    summed = parts[2] + parts[0] + parts[1]
    scale = np.abs(whole.scatter).max()
    np.testing.assert_allclose(summed.scatter, whole.scatter, atol=1e-5 * scale)  # float32 features of other batches
    pixels = Pixels(SPEC)
    whole = Bank(x).moments(pixels)
    summed = sum((Bank(part).moments(pixels) for part in x.split(321)), Moments.empty(64))
    np.testing.assert_allclose(summed.scatter, whole.scatter, rtol=1e-10, atol=1e-10)


class Slow(Counting):
    """A network that is slower than its preparation; `waiting` is the largest number of prepared batches it saw."""

    waiting, batch = 0, 100

    def outputs(self, prepared, taps):
        time.sleep(2e-3)
        self.waiting = max(self.waiting, len(self.prepared) - len(self.served))
        return super().outputs(prepared, taps)


def test_memory_does_not_grow_where_only_moments_are_wanted():
    """However many images there are, few slices and few prepared batches exist at a time, and no row is kept."""
    images, slow = Slices(12_000), Slow()
    bank = Bank(images)
    assert bank.moments(slow).n == 12_000
    assert len(slow.served) == 120
    assert 1 < slow.waiting <= 4  # one in the network, two behind it, one being prepared
    assert images.alive <= 6
    assert not bank._features


def test_moments_and_features_of_one_tap_share_a_pass():
    bank, counting = Bank(digits(30)), Counting()
    bank.ask(counting, kind="moments")
    bank.ask(counting)
    bank.ask(counting, kind="moments")
    assert bank.moments(counting).n == len(bank.features(counting)) == 30
    assert bank.passes == 1


def test_the_cache_knows_content_and_weights_never_names(tmp_path):
    x = digits(40)
    first = Bank(x, cache=tmp_path)
    expected = first.features(Counting())
    again = Bank(x.clone(), cache=tmp_path)
    np.testing.assert_array_equal(again.features(Counting()), expected)
    assert again.passes == 0
    assert again.moments(Counting()).n == 40  # features serve for moments
    assert again.passes == 0
    changed = x.clone()
    changed[3, 0, 2, 2] ^= 1
    for bank, extractor, tap in (
        (Bank(changed, cache=tmp_path), Counting(), "sum"),
        (Bank(x[:39], cache=tmp_path), Counting(), "sum"),
        (Bank(x.view(40, 1, 4, 16), cache=tmp_path), Counting(), "sum"),
        (Bank(x, cache=tmp_path), Counting("b"), "sum"),
        (Bank(x, cache=tmp_path), Counting(), "square"),
    ):
        bank.features(extractor, tap)
        assert bank.passes == 1


def test_moments_are_cached_as_they_are(tmp_path):
    x, pixels = digits(1200), Pixels(SPEC)
    found = Bank(x, cache=tmp_path).moments(pixels)
    again = Bank(x, cache=tmp_path)
    kept = again.moments(pixels)
    assert again.passes == 0
    for name in ("n", "mean", "scatter", "low_mean"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(found, name))
    again.features(pixels)
    assert again.passes == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "rubbish"])
def test_a_damaged_file_is_computed_again(tmp_path, damage):
    x, counting = digits(40), Counting()
    expected = Bank(x, cache=tmp_path).features(counting)
    (path,) = tmp_path.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-5] ^= 64
    path.write_bytes({"cut": data[:-8], "flip": bytes(data), "empty": b"", "rubbish": b"\0" * 400}[damage])
    bank = Bank(x, cache=tmp_path)
    np.testing.assert_array_equal(bank.features(counting), expected)
    assert bank.passes == 1
    healed = Bank(x, cache=tmp_path)
    healed.features(counting)
    assert healed.passes == 0


def test_another_code_is_another_key(tmp_path, monkeypatch):
    x = digits(10)
    Bank(x, cache=tmp_path).features(Counting())
    monkeypatch.setattr(module, "code", lambda: "another version")
    bank = Bank(x, cache=tmp_path)
    bank.features(Counting())
    assert bank.passes == 1


def test_what_fails_for_one_extractor_does_not_spoil_the_others():
    bank = Bank(digits(20))
    bank.ask(DigitNet(DataSpec(shape=(3, 8, 8), levels=17)))
    counting = Counting()
    with pytest.raises(Refused, match="was built for images"):
        bank.features(counting)
    assert len(bank.features(counting)) == 20


def test_a_tap_that_there_is_not():
    with pytest.raises(Refused, match="counting has no tap 'mean'; it has sum, square"):
        Bank(digits(3)).features(Counting(), "mean")
