"""Patches: cut from where they should be, and no pixel in two splits."""

import numpy as np
import pytest
import torch

from genbench.data.patches import _cut, _luma, _photographs, _tiles, patches, patches_rgb

SHAPES = [(427, 640, 3), (427, 640, 3)]


def test_no_pixel_is_in_two_splits():
    """Cuts photographs in which every pixel has its own number."""
    size = 427 * 640
    numbered = [np.arange(size).reshape(427, 640, 1) + photograph * size for photograph in range(2)]
    for patch in (8, 16):
        seen = [set(_cut(numbered, tiles, patch).unique().tolist()) for tiles in _tiles(SHAPES).values()]
        assert all(seen)
        assert not seen[0] & seen[1]
        assert not seen[0] & seen[2]
        assert not seen[1] & seen[2]


def test_patches_are_pieces_of_the_photographs():
    data, photographs = patches_rgb(), _photographs()
    photograph, top, left = _tiles(SHAPES)["test"][0]
    first, second = data.images("test")[:2]
    for patch, column in ((first, left), (second, left + 4)):
        piece = photographs[photograph][top : top + 16, column : column + 16]
        assert torch.equal(patch, torch.from_numpy(piece.transpose(2, 0, 1).copy()))


@pytest.mark.parametrize(
    ("load", "shape", "sizes"),
    [
        (patches, (1, 8, 8), {"train": 16_800, "validation": 2_100, "test": 10_500}),
        (patches_rgb, (3, 16, 16), {"train": 12_480, "validation": 1_560, "test": 7_800}),
    ],
)
def test_sizes_and_types(load, shape, sizes):
    data = load()
    assert {split: len(x) for split, x in data.x.items()} == sizes
    assert (data.spec.shape, data.spec.levels) == (shape, 256)
    assert all(x.shape[1:] == shape and x.dtype == torch.uint8 for x in data.x.values())
    assert load().checksum("test") == data.checksum("test")


def test_every_split_has_tiles_of_both_photographs():
    for tiles in _tiles(SHAPES).values():
        assert {photograph for photograph, _, _ in tiles} == {0, 1}


def test_grey_is_the_weighted_mean_of_the_colours():
    image = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert _luma(image)[..., 0].tolist() == [[255, 0, 76, 150, 29]]
