"""The FID Inception: its layout, taps and protocols; what it refuses; both ways of running it."""

import numpy as np
import pytest
import torch

from genbench import catalog
from genbench.errors import Refused, Unavailable
from genbench.features.bank import Bank
from genbench.features.inception import SOURCE, WIDTHS, Inception, Network, shapes
from genbench.types import DataSpec
from tests.features.inception_state import random_state, write_state

SPEC = DataSpec(shape=(3, 16, 16), levels=256)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_state(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def x():
    return torch.randint(0, 256, (3, *SPEC.shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture(scope="module")
def everything(weights, x):
    return Inception(SPEC, weights=weights).passed(x, tuple(WIDTHS))


def near(found: np.ndarray, expected: np.ndarray) -> None:
    """Within float32's rounding of the largest value."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_layout_is_the_published_one():
    """94 convolutions with four numbers a channel of normalisation, and the classifier: 23.9 million numbers."""
    layout = shapes()
    assert len(layout) == 472 == 94 * 5 + 2
    assert sum(name.endswith("conv.weight") for name in layout) == 94
    values = sum(int(np.prod(shape)) for shape in layout.values())
    assert 4 * values == pytest.approx(95_628_359, rel=2e-3)  # the published file, with its names


def test_taps_have_their_widths_and_agree(everything, x):
    for tap, width in WIDTHS.items():
        assert everything[tap].shape == (len(x), width)
        assert everything[tap].dtype == np.float32
        assert everything[tap].std() > 0
    fc = random_state()["fc.weight"].numpy()
    near(everything["logits"], everything["2048"] @ fc.T)


def test_a_tap_alone_is_the_same_as_with_the_others(weights, x, everything):
    for tap in ("64", "spatial"):
        near(Inception(SPEC, weights=weights, tap=tap).features(x), everything[tap])


def test_an_image_does_not_depend_on_its_batch(weights, x, everything):
    alone = Inception(SPEC, weights=weights).features(x[2:])
    near(alone, everything["2048"][2:])


def test_probabilities_are_the_softmax_of_the_unbiased_logits(weights, x, everything):
    found = Inception(SPEC, weights=weights).probabilities(x[:1])
    exact = np.exp(everything["logits"][:1].astype(np.float64) - everything["logits"][:1].max())
    np.testing.assert_allclose(found, exact / exact.sum(), rtol=1e-3, atol=1e-9)
    assert found.dtype == np.float64
    assert Inception(SPEC, weights=weights).classes(x[:1]) is None


def test_torchs_own_convolutions_give_the_same(x):
    """The way taken on other devices, and where oneDNN is not built in."""
    images = Inception.prepare(_bare(SPEC), x[:1])
    fused, plain = (Network(random_state(), fused=way)(images, ("2048", "spatial")) for way in (None, False))
    for tap in ("2048", "spatial"):
        near(fused[tap].numpy(), plain[tap].numpy())


def _bare(spec):
    """An extractor without a network, for its preparation."""
    bare = Inception.__new__(Inception)
    bare.spec, bare.preprocess = spec, "ttur"
    return bare


def test_bf16_is_near_and_has_its_own_name(weights, x, everything):
    half = Inception(SPEC, weights=weights, precision="bf16")
    found = half.features(x)
    difference = np.linalg.norm(found - everything["2048"]) / np.linalg.norm(everything["2048"])
    assert 1e-5 < difference < 2e-2
    assert found.dtype == np.float32
    head = half.weights.head
    assert half.protocol == f"inception@{head},ttur,bf16,2048"
    full = Inception(SPEC, weights=weights)
    assert full.protocol == f"inception@{head},ttur,2048"
    assert full.named("logits") == f"inception@{head},ttur,logits"
    assert half.weights.sha256 in half.identity
    assert len({half.identity, full.identity, Inception(SPEC, weights=weights, preprocess="clean").identity}) == 3


@pytest.mark.parametrize("n", [1, 9])
def test_bf16_never_runs_an_image_alone(weights, x, n, monkeypatch):
    """The weights are laid out for the first part that is run, and a layout for one image is slow for all others."""
    half = Inception(SPEC, weights=weights, precision="bf16", tap="64")
    run_of, sizes = Network.__call__, []
    monkeypatch.setattr(
        Network, "__call__", lambda self, part, taps: sizes.append(len(part)) or run_of(self, part, taps)
    )
    found = half.features(x[[0] * (n - 1) + [1]])
    assert sizes == ([2] if n == 1 else [8, 2])
    assert len(found) == n
    monkeypatch.undo()
    whole = half.features(x)
    np.testing.assert_allclose(found[-1], whole[1], rtol=0, atol=1e-2 * np.abs(whole).max())


def test_grey_images_of_few_levels_are_the_same_pictures(weights):
    """A black-and-white image is the same picture with 2 levels and one channel, and with 256 and three."""
    drawn = torch.randint(0, 2, (1, 1, 12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    two = Inception(DataSpec(shape=(1, 12, 12), levels=2), weights=weights, tap="192")
    many = Inception(DataSpec(shape=(3, 12, 12), levels=256), weights=weights, tap="192")
    np.testing.assert_array_equal(two.features(drawn), many.features(255 * drawn.expand(-1, 3, -1, -1).contiguous()))


def test_no_images_and_the_bank(weights, x, everything):
    extractor = Inception(SPEC, weights=weights)
    assert extractor.features(x[:0]).shape == (0, 2048)
    bank = Bank(x[:2])
    bank.ask(extractor, "logits")
    near(bank.features(extractor), everything["2048"][:2])
    assert bank.passes == 1


def test_without_weights_it_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable, match=r"inception needs its weights .*6726825d\.pth.*download=True"):
        catalog.resolve("extractors", "inception")(SPEC)
    (tmp_path / SOURCE.path).write_bytes(b"not these")
    with pytest.raises(Refused, match="is corrupted: its sha256"):
        Inception(SPEC)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preprocess": "klean"}, "no preprocessing 'klean'; there is ttur, pytorch, clean"),
        ({"precision": "fp8"}, "precisions float32 and bf16, not 'fp8'"),
        ({"tap": "1024"}, "has no tap '1024'; it has 64, 192"),
    ],
)
def test_options_that_there_are_not(weights, options, words):
    with pytest.raises(Refused, match=words):
        Inception(SPEC, weights=weights, **options)


@pytest.mark.parametrize(("shape", "levels"), [((2,), None), ((2, 8, 8), 256), ((64,), 17)])
def test_data_that_is_no_picture(shape, levels):
    with pytest.raises(Refused, match="inception reads images of one or three channels"):
        Inception(DataSpec(shape=shape, levels=levels))


def test_images_of_another_shape(weights):
    with pytest.raises(Refused, match=r"was built for uint8 images \(3, 16, 16\); it got torch\.uint8 \(3, 8, 8\)"):
        Inception(SPEC, weights=weights).features(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_weights_of_another_network(tmp_path):
    path = tmp_path / "other.pth"
    state = dict(random_state())
    state["AuxLogits.fc.bias"] = state.pop("fc.bias")
    torch.save(state, path)
    with pytest.raises(Refused, match=r"of 472 tensors 1 are missing and 1 are foreign; it lacks fc\.bias"):
        Inception(SPEC, weights=path)
