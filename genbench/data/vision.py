"""Datasets that the field knows by name: MNIST, Fashion-MNIST, CIFAR-10, SVHN, CelebA.

The published files, read as they are: their formats are simple enough to be read without unpickling anything,
which is why CIFAR-10 comes from its binary version. Every file is checked against its published checksum
before it is read. Where no validation split is published, 5,000 training images become one, by class and by
the hash of their pixels. The test split is the published one.

References: Gradient-based learning applied to document recognition (LeCun, Bottou, Bengio and Haffner, 1998);
Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017); Learning Multiple Layers of Features from Tiny Images
(Krizhevsky, 2009); Reading Digits in Natural Images with Unsupervised Feature Learning (Netzer, Wang, Coates,
Bissacco, Wu and Ng, 2011); Deep Learning Face Attributes in the Wild (Liu, Luo, Wang and Tang, 2015).
"""

from __future__ import annotations

import gzip
import io
import math
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from genbench.data.splits import content_order, stratified
from genbench.errors import Refused
from genbench.files import write
from genbench.images import resize
from genbench.sources import GOOGLE_DRIVE, Source, fetch
from genbench.types import Dataset, DataSpec

VALIDATION = 5_000
MAX_IDX_BYTES = 2**28  # MNIST's largest file holds 47 million
CELEBA_CROP, CELEBA_SIZE = 178, 64  # the width of an aligned face; the side it is resized to


def _idx(folder: str, mirrors: tuple[str, ...], digests: dict[str, str]) -> tuple[Source, ...]:
    return tuple(
        Source(path=f"{folder}/raw/{file}", urls=tuple(mirror + file for mirror in mirrors), digest=digest)
        for file, digest in digests.items()
    )


SOURCES: dict[str, tuple[Source, ...]] = {
    "mnist": _idx(
        "MNIST",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": _idx(
        "FashionMNIST",
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "cifar10": (
        Source(
            path="cifar-10-binary.tar.gz",
            urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            digest="c32a1d4ab5d03f1284b67883e8d87530",
        ),
    ),
    "svhn": (
        Source(
            path="train_32x32.mat",
            urls=("http://ufldl.stanford.edu/housenumbers/train_32x32.mat",),
            digest="e26dedcc434d2e4c54c9b2d4a06d8373",
        ),
        Source(
            path="test_32x32.mat",
            urls=("http://ufldl.stanford.edu/housenumbers/test_32x32.mat",),
            digest="eb5a983be6a315427106f1b164d9cef3",
        ),
    ),
    "celeba": (
        Source(
            path="celeba/img_align_celeba.zip",
            urls=(GOOGLE_DRIVE + "0B7EVK8r0v71pZjFTYXZWM3FlRnM",),
            digest="00d2c5bc6d35e252742224ab0c1e8fcb",
        ),
        Source(
            path="celeba/list_eval_partition.txt",
            urls=(GOOGLE_DRIVE + "0B7EVK8r0v71pY0NSMzRuSXJEVkk",),
            digest="d32c9cbf5e040fd4025c592c306e6668",
        ),
    ),
}


def _labelled(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    about: str,
) -> Dataset:
    """A dataset from published train and test images, uint8 `(n, C, H, W)`, and labels `(n,)` in 0..9."""
    x, y = train[0], train[1].astype(np.int64)
    order = stratified(content_order(x), y)
    held, kept = np.sort(order[:VALIDATION]), np.sort(order[VALIDATION:])
    images = {"train": x[kept], "validation": x[held], "test": test[0]}
    labels = {"train": y[kept], "validation": y[held], "test": test[1].astype(np.int64)}
    for split in images:
        if not len(images[split]):
            raise Refused(f"{name}: the split {split} is empty; the published files hold more images")
    return Dataset(
        name=name,
        spec=DataSpec(shape=tuple(x.shape[1:]), levels=256, classes=10),
        x={split: torch.from_numpy(np.array(part, order="C")) for split, part in images.items()},
        y={split: torch.from_numpy(part) for split, part in labels.items()},
        about=about,
    )


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes in the IDX format, gzipped: 0, 0, 8, the number of axes, big-endian sizes, the data."""
    with gzip.open(path) as file:
        head = file.read(4)
        if len(head) != 4 or head[:3] != b"\x00\x00\x08" or not 1 <= head[3] <= 3:
            raise Refused(f"{path} is not an IDX file of bytes: it starts with {head!r}")
        shape = tuple(np.frombuffer(file.read(4 * head[3]), ">u4").tolist())
        size = math.prod(shape)
        if size > MAX_IDX_BYTES:
            raise Refused(f"{path} promises {size:,} bytes; at most {MAX_IDX_BYTES:,} are read")
        data = file.read(size + 1)
    if len(data) != size:
        raise Refused(f"{path} does not hold the {size:,} bytes that its header promises")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _from_idx(name: str, root: Path | None, download: bool, about: str) -> Dataset:
    train_x, train_y, test_x, test_y = map(read_idx, fetch(name, SOURCES[name], root, download))
    return _labelled(name, (train_x[:, None], train_y), (test_x[:, None], test_y), about)


def mnist(*, root: Path | None = None, download: bool = False) -> Dataset:
    """MNIST: handwritten digits, 28x28, grey."""
    return _from_idx("mnist", root, download, "MNIST, 28x28 grey; 5,000 training images held out.")


def fashion_mnist(*, root: Path | None = None, download: bool = False) -> Dataset:
    """Fashion-MNIST: articles of clothing, 28x28, grey."""
    return _from_idx("fashion-mnist", root, download, "Fashion-MNIST, 28x28 grey; 5,000 training images held out.")


def cifar10(*, root: Path | None = None, download: bool = False) -> Dataset:
    """CIFAR-10: ten kinds of things, 32x32, colour."""
    (path,) = fetch("cifar10", SOURCES["cifar10"], root, download)
    wanted = [f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)]
    wanted.append("cifar-10-batches-bin/test_batch.bin")
    batches: dict[str, np.ndarray] = {}
    record = 1 + 3 * 32 * 32  # a label, then the red, the green and the blue plane
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name in wanted and member.isfile() else None
            if file is not None:
                data = file.read(10_000 * record)
                batches[member.name] = np.frombuffer(data, np.uint8).reshape(-1, record)
    if missing := [name for name in wanted if name not in batches]:
        raise Refused(f"{path} holds no {missing[0]}; it is not CIFAR-10's binary version")
    train, test = np.concatenate([batches[name] for name in wanted[:5]]), batches[wanted[5]]
    return _labelled(
        "cifar10",
        (train[:, 1:].reshape(-1, 3, 32, 32), train[:, 0]),
        (test[:, 1:].reshape(-1, 3, 32, 32), test[:, 0]),
        "CIFAR-10, 32x32 colour; 5,000 training images held out.",
    )


def svhn(*, root: Path | None = None, download: bool = False) -> Dataset:
    """SVHN: house numbers in street views, 32x32, colour, the cropped digits without the extra set."""
    from scipy.io import loadmat

    parts = []
    for path in fetch("svhn", SOURCES["svhn"], root, download):
        stored = loadmat(path, variable_names=("X", "y"))
        images = np.ascontiguousarray(stored["X"].transpose(3, 2, 0, 1))
        parts.append((images, stored["y"].reshape(-1) % 10))  # the file calls the digit zero 10
    train, test = parts
    return _labelled("svhn", train, test, "SVHN cropped digits, 32x32 colour; 5,000 training images held out.")


def celeba(*, root: Path | None = None, download: bool = False) -> Dataset:
    """CelebA: faces, the centre 178x178 resized to 64x64, colour, the published three splits.

    Decoding takes minutes; the result is kept beside the published files and mapped from there afterwards.
    """
    archive, partition = fetch("celeba", SOURCES["celeba"], root, download)
    assigned = [line.split() for line in partition.read_text().splitlines() if line.strip()]
    x = {}
    for number, split in enumerate(("train", "validation", "test")):
        files = [file for file, part in assigned if int(part) == number]
        kept = archive.with_name(f"{split}-{CELEBA_SIZE}-{SOURCES['celeba'][0].digest[:8]}.npy")
        if not kept.is_file():
            faces = _faces(archive, files)
            write(kept, lambda file, faces=faces: np.save(file, faces, allow_pickle=False))  # type: ignore[misc]
        try:
            # copy-on-write: the pages that are never touched stay on the disk
            found = np.load(kept, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            found = np.empty(0)
        if found.shape != (len(files), 3, CELEBA_SIZE, CELEBA_SIZE) or found.dtype != np.uint8:
            raise Refused(f"{kept} does not hold the {len(files):,} faces of {split}; remove it, it is made again")
        x[split] = torch.from_numpy(found)
    return Dataset(
        name="celeba",
        spec=DataSpec(shape=(3, CELEBA_SIZE, CELEBA_SIZE), levels=256),
        x=x,
        about="CelebA aligned faces, centre crop 178, resized to 64x64; the published splits.",
    )


def _faces(archive: Path, files: list[str]) -> np.ndarray:
    """Aligned faces from the published archive, cropped and resized, uint8 `(n, 3, 64, 64)`."""
    from PIL import Image

    faces = np.empty((len(files), 3, CELEBA_SIZE, CELEBA_SIZE), np.uint8)
    with zipfile.ZipFile(archive) as stored:
        for start in range(0, len(files), 256):
            crops = []
            for file in files[start : start + 256]:
                with Image.open(io.BytesIO(stored.read(f"img_align_celeba/{file}")), formats=["JPEG"]) as image:
                    left, top = (image.width - CELEBA_CROP) // 2, (image.height - CELEBA_CROP) // 2
                    box = (left, top, left + CELEBA_CROP, top + CELEBA_CROP)
                    crops.append(np.asarray(image.convert("RGB").crop(box)))
            stack = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
            faces[start : start + 256] = resize(stack, CELEBA_SIZE).numpy()
    return faces
