"""Inception's images a second against the libraries that run the same network, and what bf16 costs in accuracy.

Bars: 1.8 times pytorch-fid and torch-fidelity in float32 at equality 1e-4, 3.5 times with bf16, on two cores.
Interleaved, medians, in one process; each library runs the batches that it runs by default (50 and 64), and ours goes
through the bank. The bars are printed, never asserted on a noisy machine; the equality is asserted.
"""

import statistics
import time

import numpy as np
import pytest
import torch

from genbench import catalog
from genbench.features.bank import Bank
from genbench.features.inception import Inception
from genbench.metrics.fid import fid
from genbench.types import DataSpec
from tests.features.inception_state import random_state, write_state

pytorch_fid = pytest.importorskip("pytorch_fid.inception")
torch_fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

SPEC = DataSpec(shape=(3, 32, 32), levels=256)
IMAGES = 64
ROUNDS = 3


@pytest.fixture
def two_cores():
    """The tests run on one thread; the bars are for two."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_state(tmp_path_factory.mktemp("weights"))


def their_features(network, x, batch):
    with torch.no_grad():
        return torch.cat([network(part)[0].flatten(1) for part in x.split(batch)]).numpy()


def test_images_a_second(benchmark, two_cores, weights, monkeypatch):
    monkeypatch.setattr(pytorch_fid, "load_state_dict_from_url", lambda *_, **__: random_state())
    fidelity = torch_fidelity.FeatureExtractorInceptionV3("", ["2048"], feature_extractor_weights_path=weights)
    first = pytorch_fid.InceptionV3([3]).eval()
    x = torch.randint(0, 256, (IMAGES, *SPEC.shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ours = {
        "ours": Inception(SPEC, weights=weights),
        "ours, bf16": Inception(SPEC, weights=weights, precision="bf16"),
    }
    work = {
        "pytorch-fid": lambda: their_features(first, x.float() / 255, 50),
        "torch-fidelity": lambda: their_features(fidelity, x, 64),
        **{name: lambda extractor=extractor: Bank(x).features(extractor) for name, extractor in ours.items()},
    }
    features = {name: run() for name, run in work.items()}  # warms up as well
    largest = np.abs(features["torch-fidelity"]).max()
    np.testing.assert_allclose(features["ours"], features["torch-fidelity"], rtol=0, atol=1e-4 * largest)
    seconds = {name: [] for name in work}
    cpu_seconds = {name: [] for name in work}

    def all_in_turn():
        for _ in range(ROUNDS):
            for name, run in work.items():
                started, cpu_started = time.perf_counter(), time.process_time()
                run()
                seconds[name].append(time.perf_counter() - started)
                cpu_seconds[name].append(time.process_time() - cpu_started)

    benchmark.pedantic(all_in_turn, rounds=1)
    for unit, taken in (("second", seconds), ("CPU second", cpu_seconds)):
        rates = {name: IMAGES / statistics.median(values) for name, values in taken.items()}
        peer = max(rates["pytorch-fid"], rates["torch-fidelity"])
        benchmark.extra_info[f"images per {unit}"] = rates
        for name, rate in rates.items():
            print(f"\n{name}: {rate:.2f} images a {unit}, {rate / peer:.2f} of the faster library", end="")  # noqa: T201
    print()  # noqa: T201


def test_what_bf16_does_to_the_distance(benchmark, two_cores, weights):
    """The same two sets in both precisions, and the distance of a set from itself across them."""
    data = catalog.resolve("datasets", "patches")()
    n = 160
    real, fake = data.images("train")[:n], data.images("test")[:n]
    fake = torch.where(torch.rand(fake.shape, generator=torch.Generator().manual_seed(0)) < 0.1, 0, fake)

    def both():
        for precision in ("float32", "bf16"):
            extractor = Inception(data.spec, weights=weights, precision=precision, tap="768")
            found[precision] = [extractor.features(x) for x in (real, fake)]

    found = {}
    benchmark.pedantic(both, rounds=1)
    full, half = (fid(real=r, fake=f) for r, f in (found["float32"], found["bf16"]))
    across = fid(real=found["float32"][0], fake=found["bf16"][0])
    benchmark.extra_info["relative"] = half / full - 1
    print(f"\nfid in float32 {full:.5g}, in bf16 {half:.5g} ({half / full - 1:+.2%}); across {across:.3g}")  # noqa: T201
