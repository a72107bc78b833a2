"""The pictures of a record."""

import io

import numpy as np
import torch
from PIL import Image

import genbench
from genbench.pictures import nearest, pictures


def test_the_nearest_training_image_is_found_across_blocks(monkeypatch):
    import genbench.pictures as module

    rng = torch.Generator().manual_seed(0)
    train = torch.randint(0, 17, (50, 1, 4, 4), generator=rng, dtype=torch.uint8)
    x = torch.randint(0, 17, (9, 1, 4, 4), generator=rng, dtype=torch.uint8)
    x[3] = train[41]
    expected = train[(x.flatten(1)[:, None].double() - train.flatten(1)[None].double()).square().sum(-1).argmin(dim=1)]
    assert torch.equal(nearest(x, train), expected)
    monkeypatch.setattr(module, "_ROWS", 7)
    assert torch.equal(nearest(x, train), expected)
    assert torch.equal(nearest(x, train)[3], train[41])


def test_copies_of_training_images_stand_above_themselves():
    data = genbench.dataset("digits")
    samples = data.images("train")[:20]
    assets, files = pictures(samples, data, "0123456789abcdef", neighbours=True)
    assert list(assets) == ["samples", "neighbours"]
    assert assets["neighbours"].file == "0123456789abcdef-neighbours.png"
    sheet = np.asarray(Image.open(io.BytesIO(files[assets["neighbours"].file])).convert("L"))
    assert sheet.shape == (assets["neighbours"].height, assets["neighbours"].width)
    step = (len(sheet) - 6) // 4  # four rows of images in grey gaps of six pixels
    rows = [sheet[6 + k * step : (k + 1) * step] for k in range(4)]
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[2], rows[3])
    assert not np.array_equal(rows[0], rows[2])


def test_points_and_real_data_have_one_picture():
    points, digits = genbench.dataset("ring8"), genbench.dataset("digits")
    assert list(pictures(points.images("train")[:100], points, "0" * 16, neighbours=True)[0]) == ["samples"]
    assert list(pictures(digits.images("train")[:30], digits, "0" * 16, neighbours=False)[0]) == ["samples"]
