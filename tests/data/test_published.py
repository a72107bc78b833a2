"""Published datasets: small files in the true formats, missing files, corrupted files, downloads (from file URLs)."""

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from genbench.data import binarized_mnist as binarized
from genbench.data import vision
from genbench.errors import Refused
from genbench.sources import Source, fetch

HELD = 10
N, M = 60, 20  # training and test images of the small files


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(n):
    return (np.arange(n) % 10).astype(np.uint8)


def idx(array):
    return gzip.compress(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


def idx_files(folder):
    return {
        f"{folder}/raw/train-images-idx3-ubyte.gz": idx(noise(N, 28, 28)),
        f"{folder}/raw/train-labels-idx1-ubyte.gz": idx(labels(N)),
        f"{folder}/raw/t10k-images-idx3-ubyte.gz": idx(noise(M, 28, 28, seed=1)),
        f"{folder}/raw/t10k-labels-idx1-ubyte.gz": idx(labels(M)),
    }


def cifar_files():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        x, y = noise(N, 3, 32, 32), labels(N)
        batches = {f"data_batch_{i + 1}": slice(i * 12, i * 12 + 12) for i in range(5)}
        members = {name: (x[rows], y[rows]) for name, rows in batches.items()}
        members["test_batch"] = (noise(M, 3, 32, 32, seed=1), labels(M))
        for name, (images, classes) in {**members, "readme": (x[:1], y[:1])}.items():
            data = np.concatenate([classes[:, None], images.reshape(len(images), -1)], 1).tobytes()
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return {"cifar-10-binary.tar.gz": buffer.getvalue()}


def svhn_files():
    files = {}
    for name, images in (("train", noise(N, 3, 32, 32)), ("test", noise(M, 3, 32, 32, seed=1))):
        y = labels(len(images)).astype(np.uint8)
        y[y == 0] = 10
        buffer = io.BytesIO()
        savemat(buffer, {"X": images.transpose(2, 3, 1, 0), "y": y[:, None]})
        files[f"{name}_32x32.mat"] = buffer.getvalue()
    return files


def face(index):
    """An aligned face: the red channel tells its number, the rows outside the crop are green."""
    image = np.zeros((218, 178, 3), np.uint8)
    image[:20, :, 1] = image[198:, :, 1] = 255
    image[20:198, :, 0] = 20 * index + 10
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=98)
    return buffer.getvalue()


def celeba_files():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index in range(9):
            archive.writestr(f"img_align_celeba/{index + 1:06d}.jpg", face(index))
    partition = "".join(f"{index + 1:06d}.jpg {index // 3}\n" for index in range(9))
    return {"celeba/img_align_celeba.zip": buffer.getvalue(), "celeba/list_eval_partition.txt": partition.encode()}


def amat(bits):
    return b"".join(b" ".join(b"%d" % bit for bit in row) + b"\n" for row in bits.reshape(len(bits), 784))


def amat_files():
    return {
        f"BinarizedMNIST/binarized_mnist_{split}.amat": amat(noise(n, 28, 28, seed=n) % 2)
        for split, n in (("train", 30), ("valid", 20), ("test", 10))
    }


FILES = {
    "mnist": lambda: idx_files("MNIST"),
    "fashion-mnist": lambda: idx_files("FashionMNIST"),
    "cifar10": cifar_files,
    "svhn": svhn_files,
    "celeba": celeba_files,
    "binarized-mnist": amat_files,
}
LOAD = {
    "mnist": vision.mnist,
    "fashion-mnist": vision.fashion_mnist,
    "cifar10": vision.cifar10,
    "svhn": vision.svhn,
    "celeba": vision.celeba,
    "binarized-mnist": binarized.binarized_mnist,
}


def digest(data, source):
    return hashlib.new(source.algorithm, data).hexdigest()


def install(monkeypatch, name, root, files):
    """Writes files under a root and makes their digests the expected ones."""
    known = binarized.SOURCES if name == "binarized-mnist" else vision.SOURCES[name]
    assert {source.path for source in known} == set(files)
    small = tuple(dataclasses.replace(source, digest=digest(files[source.path], source)) for source in known)
    if name == "binarized-mnist":
        monkeypatch.setattr(binarized, "SOURCES", small)
    else:
        monkeypatch.setitem(vision.SOURCES, name, small)
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return small


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(vision, "VALIDATION", HELD)

    def load(name):
        install(monkeypatch, name, tmp_path, FILES[name]())
        return LOAD[name](root=tmp_path)

    return load


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "svhn"])
def test_labelled_datasets_are_read_and_validation_is_carved_from_train(small, name):
    data, again = small(name), small(name)
    side = 28 if "mnist" in name else 32
    channels = 1 if "mnist" in name else 3
    assert (data.name, data.spec.shape, data.spec.levels, data.spec.classes) == (name, (channels, side, side), 256, 10)
    sizes = {"train": N - HELD, "validation": HELD, "test": M}
    assert {split: len(x) for split, x in data.x.items()} == sizes
    assert {split: len(y) for split, y in data.y.items()} == sizes
    source = noise(N, channels, side, side) if channels == 3 else noise(N, 28, 28)[:, None]
    known = {image.tobytes(): int(label) for image, label in zip(source, labels(N), strict=True)}
    seen = []
    for split in ("train", "validation"):
        for image, label in zip(data.x[split], data.y[split].tolist(), strict=True):
            assert known[image.numpy().tobytes()] == label
            seen.append(image.numpy().tobytes())
    assert sorted(seen) == sorted(known)
    assert data.y["validation"].bincount(minlength=10).tolist() == [1] * 10
    held_out = noise(M, channels, side, side, seed=1) if channels == 3 else noise(M, 28, 28, seed=1)[:, None]
    assert np.array_equal(data.x["test"].numpy(), held_out)
    assert data.y["test"].tolist() == labels(M).tolist()
    assert all(x.dtype == torch.uint8 for x in data.x.values())
    assert all(y.dtype == torch.int64 for y in data.y.values())
    assert {split: data.checksum(split) for split in sizes} == {split: again.checksum(split) for split in sizes}


def test_celeba_is_cropped_resized_and_kept(small, tmp_path, monkeypatch):
    data = small("celeba")
    assert data.spec.shape == (3, 64, 64)
    for number, split in enumerate(("train", "validation", "test")):
        x = data.x[split]
        assert x.shape == (3, 3, 64, 64)
        for row in range(3):
            assert (x[row, 0, 2:-2].int() - (20 * (3 * number + row) + 10)).abs().max() <= 4
        assert x[:, 1, 2:-2].max() <= 8  # the green rows lie outside the crop
    monkeypatch.setattr(vision, "_faces", None)  # the second time nothing is decoded
    again = vision.celeba(root=tmp_path)
    assert again.checksum("test") == data.checksum("test")
    kept = next((tmp_path / "celeba").glob("test-64-*.npy"))
    whole = kept.read_bytes()
    np.save(kept, np.zeros((1, 3, 64, 64), np.uint8))
    wrong = kept.read_bytes()
    for content in (wrong, whole[:-100], b"", b"not an array"):
        kept.write_bytes(content)
        with pytest.raises(Refused, match="remove it"):
            vision.celeba(root=tmp_path)


def test_binarized_mnist_is_read(small):
    data = small("binarized-mnist")
    assert (data.spec.shape, data.spec.levels, data.spec.classes) == ((1, 28, 28), 2, None)
    for split, n in (("train", 30), ("validation", 20), ("test", 10)):
        assert np.array_equal(data.x[split].numpy(), noise(n, 28, 28, seed=n)[:, None] % 2)


@pytest.mark.parametrize("name", LOAD)
def test_a_missing_file_is_asked_for_with_its_place_and_the_option(name, tmp_path):
    with pytest.raises(Refused, match=r"missing: put it there, or let --download \(download=True\)") as refusal:
        LOAD[name](root=tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", LOAD)
def test_a_changed_byte_is_refused_before_anything_is_read(name, tmp_path, monkeypatch):
    files = FILES[name]()
    install(monkeypatch, name, tmp_path, files)
    path = tmp_path / list(files)[-1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(Refused, match=r"corrupted: its (md5|sha256) is [0-9a-f]+, that of the published file is"):
        LOAD[name](root=tmp_path)


@pytest.mark.parametrize("name", LOAD)
def test_small_files_are_not_the_published_ones(name, tmp_path):
    """The digests of the table are those of the real files: anything else in their place is refused."""
    for path, data in FILES[name]().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    with pytest.raises(Refused, match="corrupted"):
        LOAD[name](root=tmp_path)


def test_the_root_is_the_environments_or_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "data"))
    with pytest.raises(Refused, match=str(tmp_path / "data" / "MNIST")):
        vision.mnist()
    monkeypatch.delenv("GENBENCH_DATA")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(Refused, match=str(tmp_path / "home" / ".cache" / "genbench" / "data" / "MNIST")):
        vision.mnist()


@pytest.fixture
def published(tmp_path):
    """A file behind a URL that needs no network, and its source."""
    original = tmp_path / "published" / "x.bin"
    original.parent.mkdir()
    original.write_bytes(b"published")
    url = original.as_uri()
    return original, Source(path="sub/x.bin", urls=(url + ".gone", url), digest=hashlib.md5(b"published").hexdigest())


def test_download_tries_the_next_mirror_and_keeps_what_it_fetched(published, tmp_path):
    original, source = published
    root = tmp_path / "root"
    (path,) = fetch("x", [source], root, download=True)
    assert path == root / "sub" / "x.bin"
    assert path.read_bytes() == b"published"
    original.unlink()
    assert fetch("x", [source], root, download=True) == [path]


def test_a_download_of_something_else_leaves_nothing_behind(published, tmp_path):
    original, source = published
    original.write_bytes(b"an error page")
    root = tmp_path / "root"
    with pytest.raises(Refused, match=r"cannot fetch x.bin: .*does not answer.*sends has the md5 .* by hand"):
        fetch("x", [source], root, download=True)
    assert not any(path.is_file() for path in root.rglob("*"))


def test_google_drives_failures_are_told(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("needs gdown")

    monkeypatch.setattr("torchvision.datasets.utils.download_file_from_google_drive", fail)
    with pytest.raises(Refused, match=r"Google Drive: needs gdown; put it into .*celeba by hand"):
        vision.celeba(root=tmp_path, download=True)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\0\0\x0d\3" + bytes(40), "not an IDX file"),
        (b"", "not an IDX file"),
        (struct.pack(">4BIII", 0, 0, 8, 3, 2, 2, 2) + bytes(7), "8 bytes that its header promises"),
        (struct.pack(">4BIII", 0, 0, 8, 3, 2, 2, 2) + bytes(9), "8 bytes that its header promises"),
        (struct.pack(">4BIII", 0, 0, 8, 3, 2**31, 2**31, 2), "at most"),
    ],
)
def test_idx_files_that_lie(tmp_path, data, sentence):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(data))
    with pytest.raises(Refused, match=sentence):
        vision.read_idx(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data.replace(b"1", b"2", 1),
        lambda data: data.replace(b" ", b",", 1),
        lambda data: data.replace(b"\n", b" ", 1),
    ],
)
def test_amat_files_that_lie(tmp_path, spoil):
    path = tmp_path / "x.amat"
    path.write_bytes(spoil(amat(noise(3, 28, 28) % 2)))
    with pytest.raises(Refused, match="lines of 784 digits"):
        binarized.read_amat(path)


def test_an_archive_that_is_not_cifar(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("something"))
    install(monkeypatch, "cifar10", tmp_path, {"cifar-10-binary.tar.gz": buffer.getvalue()})
    with pytest.raises(Refused, match=r"holds no cifar-10-batches-bin/data_batch_1.bin"):
        vision.cifar10(root=tmp_path)


def test_the_digests_are_torchvisions():
    """Where torchvision knows a file, its md5 is ours."""
    from torchvision.datasets import MNIST, SVHN, CelebA, FashionMNIST

    for name, kind in (("mnist", MNIST), ("fashion-mnist", FashionMNIST)):
        assert {(source.path.rpartition("/")[2], source.digest) for source in vision.SOURCES[name]} == set(
            kind.resources
        )
    assert [source.digest for source in vision.SOURCES["svhn"]] == [SVHN.split_list[s][2] for s in ("train", "test")]
    listed = {file: (f"google-drive:{key}", md5) for key, md5, file in CelebA.file_list}
    for source in vision.SOURCES["celeba"]:
        assert listed[source.path.rpartition("/")[2]] == (source.urls[0], source.digest)
