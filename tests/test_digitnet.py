"""The shipped extractor: its weights are the published ones, it reads digits, and its outputs are what it says."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from genbench import catalog
from genbench.errors import Refused
from genbench.features import digitnet
from genbench.features.digitnet import SHA256, DigitNet, Network
from genbench.features.pixels import Pixels
from genbench.features.train_digitnet import augment
from genbench.metrics.fid import fid
from genbench.types import DataSpec

WEIGHTS = Path(digitnet.__file__).with_name("digitnet.safetensors")


@pytest.fixture(scope="module")
def digits():
    return catalog.resolve("datasets", "digits")()


def test_the_weights_are_the_published_ones():
    data = WEIGHTS.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256
    assert len(data) < 400_000
    assert DigitNet.protocol == f"digitnet@{SHA256[:4]}"


def test_other_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(digitnet, "__file__", str(tmp_path / "digitnet.py"))
    digitnet._trained.cache_clear()
    spec = DataSpec(shape=(1, 8, 8), levels=17)
    with pytest.raises(Refused, match=r"digitnet\.safetensors are missing"):
        DigitNet(spec)
    (tmp_path / "digitnet.safetensors").write_bytes(WEIGHTS.read_bytes()[:-1] + b"\0")
    with pytest.raises(Refused, match=f"the published weights have {SHA256}"):
        DigitNet(spec)
    monkeypatch.undo()
    digitnet._trained.cache_clear()
    DigitNet(spec)


@pytest.mark.parametrize(("name", "least"), [("digits", 0.975), ("digits-binary", 0.95)])
def test_accuracy_on_test_images(name, least):
    data = catalog.resolve("datasets", name)()
    found = DigitNet(data.spec).classes(data.images("test"))
    assert (found == data.labels("test").numpy()).mean() >= least


def test_three_channels_are_three_digits_side_by_side(digits):
    alone = DigitNet(digits.spec)
    stacked = DigitNet(DataSpec(shape=(3, 8, 8), levels=17, classes=1000))
    images, labels = digits.images("test")[:300], digits.labels("test")[:300].numpy()
    triples = images.view(100, 3, 8, 8)
    np.testing.assert_allclose(stacked.features(triples), alone.features(images).reshape(100, 192), atol=1e-5)
    spelled = labels.reshape(100, 3) @ np.array([100, 10, 1])
    assert (stacked.classes(triples) == spelled).mean() > 0.95
    assert stacked.probabilities(triples) is None


def test_it_agrees_with_the_labels_of_stacked_digits():
    data = catalog.resolve("datasets", "digits-stacked")()
    found = DigitNet(data.spec).classes(data.images("test")[:2000])
    assert (found == data.labels("test")[:2000].numpy()).mean() > 0.95


def test_shapes_types_and_agreement_of_outputs(digits):
    net, x = DigitNet(digits.spec), digits.images("test")[:50]
    features, probabilities, classes = net.features(x), net.probabilities(x), net.classes(x)
    assert (features.shape, features.dtype) == ((50, 64), np.float32)
    assert (probabilities.shape, probabilities.dtype) == ((50, 10), np.float64)
    assert (classes.shape, classes.dtype) == ((50,), np.int64)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), classes)
    assert net.features(x[:0]).shape == (0, 64)


def test_an_image_does_not_depend_on_its_batch(digits):
    net, x = DigitNet(digits.spec), digits.images("train")
    whole = net.features(torch.cat([x, x[:7]]))
    np.testing.assert_allclose(whole[1000:], whole[:7], atol=1e-5)
    np.testing.assert_allclose(net.features(x[3:4]), whole[3:4], atol=1e-5)


def test_levels_are_put_on_one_scale(digits):
    """A black-and-white image is the same picture with 2, 17 or 256 levels."""
    x = (digits.images("test")[:20] >= 8).to(torch.uint8)
    two, many = DigitNet(DataSpec(shape=(1, 8, 8), levels=2)), DigitNet(DataSpec(shape=(1, 8, 8), levels=256))
    np.testing.assert_array_equal(two.features(x), many.features(x * 255))


def test_distance_grows_with_the_damage(digits):
    """Real against real is the floor; more noise is farther, and so is a missing class."""
    net, generator = DigitNet(digits.spec), torch.Generator().manual_seed(0)
    real, test = net.features(digits.images("train")), digits.images("test")
    distances = [fid(real=real, fake=net.features(test))]
    for amount in (0.02, 0.05, 0.1, 0.3):
        hit = torch.rand(test.shape, generator=generator) < amount
        noisy = torch.where(hit, torch.randint(0, 17, test.shape, generator=generator), test).to(torch.uint8)
        distances.append(fid(real=real, fake=net.features(noisy)))
    assert distances == sorted(distances)
    assert distances[-1] > 10 * distances[0]
    assert fid(real=real, fake=net.features(test[digits.labels("test") != 3])) > 1.5 * distances[0]


@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 16, 16), 2), ((2, 8, 8), 17), ((2,), None), ((64,), 17), ((1, 8, 9), 17)]
)
def test_other_shapes_are_refused(shape, levels):
    with pytest.raises(Refused, match="digitnet reads images of shape"):
        DigitNet(DataSpec(shape=shape, levels=levels))


def test_images_of_another_shape_are_refused(digits):
    with pytest.raises(Refused, match="was built for images"):
        DigitNet(digits.spec).features(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))


def test_the_network_of_the_recipe_is_that_of_the_weights():
    """The augmentation keeps shape and range, and a fresh network takes the shipped weights as they are."""
    x = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    changed = augment(x, torch.Generator().manual_seed(1))
    assert changed.shape == x.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    torch.testing.assert_close(changed, augment(x, torch.Generator().manual_seed(1)), rtol=0, atol=0)
    z, logits = Network()(changed)
    assert (z.shape, logits.shape) == ((16, 64), (16, 10))


def test_pixels_are_flat_and_on_the_unit_scale():
    images = Pixels(DataSpec(shape=(3, 2, 2), levels=17))
    x = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2) % 17
    features = images.features(x)
    assert (features.shape, features.dtype) == ((2, 12), np.float32)
    np.testing.assert_allclose(features, x.numpy().reshape(2, 12) / 16)
    points = torch.tensor([[3.5, -2.0]])
    np.testing.assert_array_equal(Pixels(DataSpec(shape=(2,), levels=None)).features(points), points.numpy())
    assert images.probabilities(x) is None
    assert images.classes(x) is None
    assert images.protocol == "pixels"
