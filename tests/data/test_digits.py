"""Digits: the same images in the same splits, whatever the library does to their order."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from sklearn.datasets import load_digits

from genbench.data.digits import SIZES, STACKED_SIZES, digits, digits_binary, digits_stacked
from genbench.data.splits import content_order, stratified


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture(scope="module")
def stacked():
    return digits_stacked()


def rows(x):
    return [row.numpy().tobytes() for row in x]


def test_splits_are_scikit_learns_images_once_each(data):
    assert {split: len(x) for split, x in data.x.items()} == SIZES
    assert (data.spec.shape, data.spec.levels, data.spec.classes, data.extractor) == ((1, 8, 8), 17, 10, "digitnet")
    source = load_digits()
    pairs = [
        (image, int(label)) for split, x in data.x.items() for image, label in zip(rows(x), data.y[split], strict=True)
    ]
    wanted = [
        (image.astype(np.uint8).tobytes(), int(label))
        for image, label in zip(source.images, source.target, strict=True)
    ]
    assert sorted(pairs) == sorted(wanted)
    assert len(set(wanted)) == 1797  # no image occurs twice, so none can be in two splits


def test_every_split_holds_every_class_in_its_share(data):
    counts = torch.stack([data.y[split].bincount(minlength=10) for split in SIZES]).double()
    share = counts.sum(0) / 1797
    for split_counts, size in zip(counts, SIZES.values(), strict=True):
        assert (split_counts - size * share).abs().max() <= 2  # a middle split has two ends, each off by one at most


def test_the_split_depends_on_content_and_not_on_order(data):
    source = load_digits()
    shuffle = np.random.default_rng(0).permutation(1797)
    images, labels = source.images.astype(np.uint8)[shuffle], source.target[shuffle]
    order = stratified(content_order(images), labels)
    assert [image.tobytes() for image in images[order[:1000]]] == rows(data.x["train"])


def test_every_prefix_of_a_stratified_order_is_stratified():
    labels = np.array([0] * 50 + [1] * 30 + [2] * 20)
    order = stratified(np.random.default_rng(1).permutation(100), labels)
    assert sorted(order) == list(range(100))
    for n in range(1, 101):
        counts = np.bincount(labels[order[:n]], minlength=3)
        assert (np.abs(counts - n * np.array([0.5, 0.3, 0.2])) <= 1.5).all()


def test_binary_digits_are_ink_from_level_eight(data):
    binary = digits_binary()
    assert (binary.spec.levels, binary.extractor) == (2, "digitnet")
    for split in SIZES:
        assert torch.equal(binary.x[split].bool(), data.x[split] >= 8)
        assert torch.equal(binary.y[split], data.y[split])


def test_stacked_digits_spell_their_label_and_come_from_one_split(data, stacked):
    assert (stacked.spec.shape, stacked.spec.levels, stacked.spec.classes) == ((3, 8, 8), 17, 1000)
    for split, n in STACKED_SIZES.items():
        x, y = stacked.x[split], stacked.y[split]
        assert len(x) == len(y) == n
        assert x.dtype == torch.uint8
        label_of = dict(zip(rows(data.x[split]), data.y[split].tolist(), strict=True))
        for channel, place in enumerate((100, 10, 1)):
            spelled = [label_of[row] for row in rows(x[:, channel])]
            assert spelled == (y // place % 10).tolist()


@pytest.mark.parametrize("split", ["train", "test"])
def test_all_thousand_modes_occur_equally_often(stacked, split):
    counts = stacked.y[split].bincount(minlength=1000).double()
    assert (counts > 0).all()
    expected = STACKED_SIZES[split] / 1000
    assert ((counts - expected) ** 2 / expected).sum().item() < chi2.ppf(0.9999, 999)


def test_stacked_digits_use_every_image_of_their_split(data, stacked):
    assert set(rows(stacked.x["test"].flatten(0, 1))) == set(rows(data.x["test"][:, 0]))


def test_digits_stay_what_they_were(data, stacked):
    assert {split: data.checksum(split)[:16] for split in SIZES} == {
        "train": "128648b02031e38e",
        "validation": "f8b3a1e7cffbe5ed",
        "test": "7726a88a9b501fe5",
    }
    assert {split: stacked.checksum(split)[:16] for split in SIZES} == {
        "train": "7a5622c437b923ae",
        "validation": "a2bf0b068668230e",
        "test": "e01a14873323ee0c",
    }
