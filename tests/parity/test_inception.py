"""One random state dict through the peers' networks and ours: the same features in every protocol."""

import warnings

import numpy as np
import pytest
import torch

from genbench.features.inception import Inception
from genbench.types import DataSpec
from tests.features.inception_state import random_state, write_state

pytorch_fid = pytest.importorskip("pytorch_fid.inception")
clean_network = pytest.importorskip("cleanfid.inception_pytorch")
clean_resize = pytest.importorskip("cleanfid.resize")
torch_fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

SPEC = DataSpec(shape=(3, 40, 28), levels=256)
SIZES = ("64", "192", "768", "2048")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_state(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def x():
    return torch.randint(0, 256, (2, *SPEC.shape), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def agree(ours: np.ndarray, theirs: torch.Tensor) -> None:
    """Within 1e-4 of the largest feature; and the features are no constants."""
    expected = theirs.numpy()
    assert ours.shape == expected.shape
    assert ours.dtype == np.float32
    assert expected.std() > 1e-2 * np.abs(expected).max()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert np.linalg.norm(ours - expected) < 1e-5 * np.linalg.norm(expected)


def test_pytorch_fid(weights, x, monkeypatch):
    monkeypatch.setattr(pytorch_fid, "load_state_dict_from_url", lambda *_, **__: random_state())
    with torch.no_grad():
        theirs = pytorch_fid.InceptionV3([0, 1, 2, 3]).eval()(x.float() / 255)
    ours = Inception(SPEC, preprocess="pytorch", weights=weights).passed(x, SIZES)
    for tap, value in zip(SIZES, theirs, strict=True):
        agree(ours[tap], value.mean(dim=(2, 3)))


def test_torch_fidelity(weights, x):
    taps = [*SIZES, "logits_unbiased"]
    with torch.no_grad():
        network = torch_fidelity.FeatureExtractorInceptionV3("", taps, feature_extractor_weights_path=weights)
        theirs = network(x)
    ours = Inception(SPEC, preprocess="ttur", weights=weights).passed(x, [*SIZES, "logits"])
    for tap, value in zip((*SIZES, "logits"), theirs, strict=True):
        agree(ours[tap], value)


def test_clean_fid(weights, x, monkeypatch):
    """Their resizing and scaling, in front of their copy of the network."""
    monkeypatch.setattr(clean_network, "load_state_dict_from_url", lambda *_, **__: random_state())
    # They ask torchvision for `pretrained`, which it no longer knows.
    monkeypatch.setattr(clean_network, "_inception_v3", lambda *_, num_classes, **__: _torchvision(num_classes))
    resize = clean_resize.build_resizer("clean")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        small = np.stack([resize(image.permute(1, 2, 0).numpy()) for image in x]).transpose(0, 3, 1, 2)
        network = clean_network.InceptionV3([3], resize_input=False, normalize_input=False).eval()
        theirs = network((torch.from_numpy(small) - 128) / 128)[0].flatten(1)
    agree(Inception(SPEC, preprocess="clean", weights=weights).features(x), theirs)


def _torchvision(classes: int):
    import torchvision

    return torchvision.models.inception_v3(num_classes=classes, aux_logits=False, init_weights=False)


def test_spatial_is_the_first_branch_of_mixed_6d(weights, x):
    """Seven channels of theirs, in the order in which TensorFlow keeps a map."""
    caught = []
    network = torch_fidelity.FeatureExtractorInceptionV3("", ["2048"], feature_extractor_weights_path=weights)
    network.Mixed_6d.branch1x1.register_forward_hook(lambda *call: caught.append(call[2]))
    with torch.no_grad():
        network(x)
    expected = caught[0][:, :7].permute(0, 2, 3, 1).flatten(1)
    assert expected.shape == (2, 2023)
    agree(Inception(SPEC, weights=weights, tap="spatial").features(x), expected)
