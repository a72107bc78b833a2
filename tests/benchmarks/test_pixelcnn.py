"""What keeping the features saves: PixelCNN's cached sampler against the naive one, on one thread."""

from __future__ import annotations

import time

import pytest
import torch

import genbench
from genbench.noise import Recorded, Replay, Streams
from genbench.types import DataSpec

MNIST = DataSpec(shape=(1, 28, 28), levels=256, classes=10)


@pytest.mark.slow
def test_cached_pixels_are_the_same_and_twenty_times_as_fast(capsys):
    """The default network for 28x28 and 256 levels, untrained, 16 images, one run each."""
    model = genbench.build("pixelcnn", MNIST)
    naive = model.with_sampler("naive")
    with torch.inference_mode():
        recorded = Recorded(Streams(0, range(16)))
        model.sample(recorded)
        seconds, images = [], []
        for one in (model, naive):
            started = time.process_time()
            images.append(one.sample(Replay(recorded.tensors)))
            seconds.append(time.process_time() - started)
    ratio = seconds[1] / seconds[0]
    with capsys.disabled():
        print(f"\ncached {seconds[0]:.2f} s, naive {seconds[1]:.1f} s of CPU time: {ratio:.0f} times")  # noqa: T201
    assert torch.equal(*images)
    assert ratio >= 20


def test_a_cached_pixel(benchmark):
    """One step for 16 images."""
    unit = genbench.build("pixelcnn", MNIST).step()
    assert unit is not None
    inputs = unit.example(16)
    with torch.inference_mode():
        benchmark(unit.module, *inputs)
