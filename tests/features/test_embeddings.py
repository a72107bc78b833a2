"""DINOv2 and CLIP: small networks of the same architectures, with random weights, through the real code."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from genbench import catalog
from genbench.errors import Refused, Unavailable
from genbench.features import clip, dinov2
from genbench.features.clip import CLIP
from genbench.features.dinov2 import DINOv2
from genbench.types import DataSpec

SPEC = DataSpec(shape=(3, 20, 24), levels=256)
SMALL = "genbench-small-clip"


@pytest.fixture(scope="module")
def x():
    return torch.randint(0, 256, (3, *SPEC.shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model("test_vit", pretrained=False, num_classes=0, dynamic_img_size=True).eval()
    path = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    save_file(network.state_dict(), path)
    return network, path


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory):
    open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 28, "layers": 2, "width": 64, "head_width": 32, "patch_size": 14}
    text = {"context_length": 8, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1}
    words = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (folder / f"{SMALL}.json").write_text(json.dumps(words))
    open_clip.add_model_config(folder / f"{SMALL}.json")
    torch.manual_seed(0)
    network = open_clip.create_model(SMALL, pretrained=None, force_quick_gelu=True).eval()
    path = folder / "clip.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return network, path


def test_dinov2_is_the_class_token(vit, x):
    """Out of the sequence of the same network, on images prepared by Pillow's own arithmetic."""
    network, path = vit
    ours = DINOv2(SPEC, weights=path, architecture="test_vit")
    prepared = ours.prepare(x)
    assert prepared.shape == (3, 3, 224, 224)
    with torch.no_grad():
        expected = network.forward_features(prepared)[:, 0]
    found = ours.features(x)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert found.std(axis=0).max() > 0
    assert ours.protocol == f"dinov2@{ours.weights.head},test_vit,bicubic224"
    assert ours.features(x[:0]).shape == (0, found.shape[1])
    assert ours.classes(x) is None


def test_clip_is_the_normalised_embedding(small_clip, x):
    network, path = small_clip
    ours = CLIP(SPEC, weights=path, architecture=SMALL)
    with torch.no_grad():
        expected = network.encode_image(ours.prepare(x), normalize=True)
    found = ours.features(x)
    assert found.shape == (3, 16)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert ours.protocol == f"clip@{ours.weights.head},{SMALL},bicubic28"
    assert ours.probabilities(x) is None
    assert ours.features(x[:0]).shape == (0, 16)


def test_images_are_standardised(vit):
    """A grey of level v is (v / 255 - mean) / deviation everywhere, channel by channel."""
    ours = DINOv2(DataSpec(shape=(1, 5, 5), levels=256), weights=vit[1], architecture="test_vit")
    found = ours.prepare(torch.full((1, 1, 5, 5), 51, dtype=torch.uint8))
    published = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
    for channel, (mean, deviation) in zip(found[0], published, strict=True):
        torch.testing.assert_close(channel, torch.full((224, 224), (0.2 - mean) / deviation), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "library"), [("dinov2", "timm"), ("clip", "open_clip")])
def test_a_missing_library_says_what_to_install(monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(Unavailable, match=rf"{name} needs {library}, .*pip install 'genbench\[embeddings\]'"):
        catalog.resolve("extractors", name)(SPEC)


def test_missing_weights_say_what_to_do(monkeypatch, tmp_path, vit, small_clip):
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable, match=r"dinov2-vitl14\.safetensors, which are missing: put timm's model"):
        DINOv2(SPEC, architecture="test_vit")
    with pytest.raises(Unavailable, match=r"clip-vitl14-336\.safetensors, which are missing: put open_clip_model"):
        CLIP(SPEC, architecture=SMALL)


def test_weights_of_another_architecture_are_refused(vit, small_clip):
    with pytest.raises(Refused, match="holds the weights of another network"):
        DINOv2(SPEC, weights=small_clip[1], architecture="test_vit")
    with pytest.raises(Refused, match="holds the weights of another network"):
        CLIP(SPEC, weights=vit[1], architecture=SMALL)


def test_architectures_that_there_are_not(vit, small_clip):
    with pytest.raises(Refused, match="timm has no vision transformer 'vit_of_mine'"):
        DINOv2(SPEC, weights=vit[1], architecture="vit_of_mine")
    with pytest.raises(Refused, match="open_clip has no model 'clip-of-mine'"):
        CLIP(SPEC, weights=small_clip[1], architecture="clip-of-mine")


def test_the_published_architectures_are_known():
    timm, open_clip = pytest.importorskip("timm"), pytest.importorskip("open_clip")
    assert timm.is_model(dinov2.ARCHITECTURE)
    assert clip.ARCHITECTURE in open_clip.list_models()
