"""Images from a folder, an `.npz` or an `.npy` of anybody's making, as a dataset or as samples to be scored.

Such files are hostile until shown otherwise: nothing is unpickled, sizes are checked before memory is taken,
links do not lead out of the folder, and whatever is not plainly 8-bit grey or colour is refused rather than
converted, because a conversion would change the numbers in silence. Float images have a range that their file does not
tell: it is declared by who brings them, and never guessed.

As a dataset an image's split is a matter of its pixels alone: the hash of its content modulo 10 is 0 for
validation, 1 or 2 for test. So adding files moves no image, and two copies of an image are never in different
splits.
"""

from __future__ import annotations

import hashlib
import io
import math
import mimetypes
import os
import warnings
import zipfile
from pathlib import Path
from typing import IO, Literal, NoReturn

import numpy as np
import torch
from torch import Tensor

from genbench.errors import Refused
from genbench.images import from_range
from genbench.types import Dataset, DataSpec

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
KINDS = {"L": 1, "RGB": 3}  # PIL's names for 8-bit grey and 8-bit colour, and their channels
MAX_SIDE = 4096
MAX_FILE_BYTES = 64 * 2**20  # of one image file
MAX_FILES = 2_000_000
MAX_BYTES = 8 * 2**30  # of all pixels together
_PIECE = 2**24
_HEAD = 2**16  # bytes that the header of an `.npy` may take

Range = Literal["0..1", "-1..1", "0..255"]
RANGES: dict[Range, tuple[float, float]] = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}


def folder(path: str) -> Dataset:
    """A folder of images of one size, with its subfolders; 8-bit PNG, JPEG, BMP or WEBP."""
    place = Path(path)
    if not path or not exists(place) or not place.is_dir():
        raise Refused(f"{f'folder:{path}'!r} is not a folder; write folder:PATH with the path of a folder of images")
    return _dataset(f"folder:{place.resolve().name}", _read_folder(place))


def npz(path: str) -> Dataset:
    """Images from an `.npz` (its `arr_0`) or `.npy`: uint8, `(n, H, W, C)`."""
    place = Path(path)
    array = _read_array(place)
    if array.dtype == np.float32:
        raise Refused(
            f"{place.name!r} holds {_describe(array)}; the images of a dataset are uint8 (n, H, W, C): convert them "
            "(the option --range declares the range of the samples that are scored, not of the data)"
        )
    return _dataset(f"npz:{place.name}", _images(array, place.name))


def read_samples(path: Path | str, spec: DataSpec, declared: Range | None = None) -> Tensor:
    """Samples from a folder of images, an `.npz` (its `arr_0`) or an `.npy`, checked against the data they imitate.

    Args:
        path: for images a folder or `(n, H, W, C)`, uint8 or float32; for points float32 `(n, D)`.
        declared: the range of float32 images, whose values become the nearest of the data's levels, half to even
            (`images.from_range`); one outside is refused. For nothing else may it be given.

    Returns:
        uint8 `(n, C, H, W)` in 0..levels-1, or float32 `(n, D)`.
    """
    place = Path(path)
    if not spec.is_image:
        points = _read_array(place)
        if declared:
            raise Refused(f"{place.name!r} holds points, which have no range: leave out --range {declared}")
        if points.dtype != np.float32 or points.ndim != 2:
            raise Refused(f"{place.name} holds {_describe(points)}; points are float32 (n, {spec.dim})")
        if points.shape[1] != spec.dim:
            raise Refused(f"{place.name} holds {_describe(points)}; the data is (n, {spec.dim})")
        if not len(points):
            raise Refused(f"{place.name} holds no points")
        if not np.isfinite(points).all():
            raise Refused(f"{place.name} holds values that are not finite numbers")
        return torch.from_numpy(points)
    channels, height, width = spec.shape
    if exists(place) and place.is_dir():
        if declared:
            raise Refused(f"{str(place)!r} is a folder; its images are 8-bit as they are: leave out --range {declared}")
        images = _read_folder(place)
    else:
        images = _images(_read_array(place), place.name, declared, spec.levels or 0)
    if images.shape[1:] != (height, width, channels):
        raise Refused(
            f"{place.name!r} holds {_describe(images)}; the data has height {height}, width {width}, "
            f"{channels} channel{'s' * (channels > 1)}: (n, {height}, {width}, {channels})"
        )
    levels = spec.levels or 0
    if images.max() >= levels:
        raise Refused(
            f"{place.name!r} holds the value {images.max()}; the data has the {levels} levels 0 to {levels - 1}, "
            "not stretched"
        )
    return _nchw(images)


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; a name too long for one is none."""
    try:
        return path.exists()
    except OSError:
        return False


def _nchw(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def _dataset(name: str, images: np.ndarray) -> Dataset:
    """Three splits of uint8 `(n, H, W, C)` by content."""
    x = _nchw(images)
    digests = [hashlib.sha256(image.numpy().tobytes()).digest() for image in x]
    order = sorted(range(len(x)), key=digests.__getitem__)
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for row in order:
        bucket = int.from_bytes(digests[row][:8], "big") % 10
        rows["validation" if bucket == 0 else "test" if bucket <= 2 else "train"].append(row)
    for split, members in rows.items():
        if not members:
            raise Refused(
                f"{name} has {len(x)} images ({len(set(digests))} different ones), of which none falls into "
                f"the split {split}: give it more, 100 different images are enough"
            )
    return Dataset(
        name=name,
        spec=DataSpec(shape=tuple(x.shape[1:]), levels=256),
        x={split: x[torch.tensor(members)] for split, members in rows.items()},
        about=f"{len(x):,} images; 70% train, 10% validation, 20% test by the hash of their pixels.",
    )


def _unreadable(error: OSError) -> NoReturn:
    raise Refused(f"cannot read {error.filename!r}: {error.strerror}") from None


def _short(error: Exception) -> str:
    """What a parser says, which may quote the whole file, as a part of a sentence."""
    words = " ".join(str(error).split())
    return words if len(words) <= 120 else f"{words[:120]}..."


def _image_files(place: Path) -> list[Path]:
    """The image files of a folder and its subfolders in the order of their paths; hidden ones are left out."""
    root = place.resolve()
    found: list[Path] = []
    for parent, folders, files in os.walk(place, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *files]:
            path = Path(parent, name)
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                raise Refused(f"{str(path)!r} is a link that leaves the folder; copy the file into it")
        for name in sorted(files):
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if name.startswith("."):
                continue
            if suffix not in SUFFIXES:
                if (mimetypes.guess_type(name)[0] or "").startswith("image/"):
                    raise Refused(f"{str(path)!r} is of a kind that is not read; convert it to PNG")
                continue
            if not path.is_file():
                raise Refused(f"{str(path)!r} is not a regular file")
            found.append(path)
            if len(found) > MAX_FILES:
                raise Refused(f"{str(place)!r} holds more than {MAX_FILES:,} images, the most that are read")
    if not found:
        raise Refused(f"{str(place)!r} holds no images; it should hold {', '.join(SUFFIXES)} files")
    return sorted(found)


def _read_folder(place: Path) -> np.ndarray:
    """All images of a folder, uint8 `(n, H, W, C)`."""
    files = _image_files(place)
    first = _read_image(files[0], None)
    total = len(files) * first.size
    if total > MAX_BYTES:
        raise Refused(f"{str(place)!r} holds {total:,} bytes of pixels; at most {MAX_BYTES:,} are read")
    images = np.empty((len(files), *first.shape), np.uint8)
    for index, path in enumerate(files):
        images[index] = _read_image(path, (files[0], first.shape))
    return images


def _read_image(path: Path, like: tuple[Path, tuple[int, ...]] | None) -> np.ndarray:
    """One image, uint8 `(H, W, C)`; its size is checked against another's before its pixels are decoded."""
    from PIL import Image, UnidentifiedImageError

    name = repr(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        _unreadable(error)
    if not data:
        raise Refused(f"{name} is empty (zero bytes)")
    if len(data) > MAX_FILE_BYTES:
        raise Refused(f"{name} has more than {MAX_FILE_BYTES:,} bytes, the most that an image file may have")
    # PIL makes 8 bits of a PNG of 2, 4 or 16 bits without a word; byte 24 of a PNG is its bit depth, byte 25 its kind
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        if data[12:16] != b"IHDR":
            raise Refused(
                f"{name} cannot be read as an image, it is corrupt or truncated: a PNG begins with its header"
            )
        width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
        if max(width, height) > MAX_SIDE:
            raise Refused(f"{name} is {width}x{height}; at most {MAX_SIDE} a side is read")
        if data[24:25] in (b"\x02", b"\x04", b"\x10") and data[25:26] != b"\x03":
            raise Refused(f"{name} has {data[24]} bits a channel; images have 8")
    # likewise of a BMP of 4 or 16 bits a pixel, whose headers are of two kinds
    if data.startswith(b"BM") and data[28:29]:
        depth = data[24 if data[14] == 12 else 28]
        if depth not in (8, 24, 32):
            raise Refused(f"{name} has {depth} bits a pixel; images have 8 (grey) or 24 (RGB)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, which nobody reads
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if max(image.size) > MAX_SIDE:
                    raise Refused(f"{name} is {image.width}x{image.height}; at most {MAX_SIDE} a side is read")
                if image.mode not in KINDS:
                    raise Refused(f"{name} has the mode {image.mode!r} (palette, alpha, 1 or 16 bits, ...); "
                                  "images are 8-bit grey or RGB: convert it")  # fmt: skip
                if getattr(image, "n_frames", 1) > 1:
                    raise Refused(f"{name} is an animation; images are single")
                shape = (image.height, image.width, KINDS[image.mode])
                if like and like[1] != shape:
                    raise Refused(f"{name} is {_size(shape)}, {str(like[0])!r} is {_size(like[1])}; all must be alike")
                return np.asarray(image).reshape(shape)
    except Refused:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Refused(f"{name} claims more pixels than are read; at most {MAX_SIDE} a side") from None
    except UnidentifiedImageError:
        raise Refused(f"{name} cannot be read as an image, it is of another kind, corrupt or truncated") from None
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise Refused(f"{name} cannot be read as an image, it is corrupt or truncated: {_short(error)}") from None


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} {'grey' if shape[2] == 1 else 'RGB'}"


def _images(array: np.ndarray, name: str, declared: Range | None = None, levels: int = 256) -> np.ndarray:
    """Checks that an array can be images, and converts floats: uint8 `(n, H, W, C)`, C one or three, n at least one."""
    if array.dtype == np.float32 and array.ndim == 4:
        if declared is None:
            raise Refused(
                f"{name!r} holds {_describe(array)}, whose range is not guessed: declare it with --range 0..1, "
                "--range -1..1 or --range 0..255 (or bring uint8 images)"
            )
        array = _quantized(array, name, declared, levels)
    elif declared and array.dtype == np.uint8:
        raise Refused(f"{name!r} holds uint8, the levels as they are: leave out --range {declared}")
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3):
        raise Refused(f"{name!r} holds {_describe(array)}; images are uint8 (n, H, W, C) with C = 1 or 3")
    if not array.size:
        raise Refused(f"{name!r} holds no images: its shape is {array.shape}")
    return array


def _quantized(array: np.ndarray, name: str, declared: Range, levels: int) -> np.ndarray:
    low, high = RANGES[declared]
    images = np.empty(array.shape, np.uint8)
    rows = max(1, _PIECE // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        inside = (part >= low) & (part <= high)  # False for NaN
        if not inside.all():
            wrong = part[~inside][0]
            raise Refused(f"{name!r} holds the value {wrong:.9g}, outside of the declared range {declared}")
        images[start : start + rows] = from_range(torch.from_numpy(np.ascontiguousarray(part)), low, high, levels)
    return images


def _read_array(path: Path) -> np.ndarray:
    """`arr_0` of an `.npz`, or an `.npy`."""
    name = repr(path.name)
    if not exists(path):
        raise Refused(f"there is no {str(path)!r}")
    if path.suffix not in (".npz", ".npy") or not path.is_file():
        raise Refused(f"{name} is no .npz or .npy file (nor, for images, a folder)")
    if not (size := path.stat().st_size):
        raise Refused(f"{name} is empty (zero bytes)")
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return _read_npy(file, size, name)
        with zipfile.ZipFile(path) as archive:
            members = [entry.filename for entry in archive.infolist()]
            if "arr_0.npy" not in members:
                held = ", ".join(repr(member.removesuffix(".npy")) for member in members[:5]) or "nothing"
                raise Refused(f"{name} has no array 'arr_0'; it holds {held}")
            entry = archive.getinfo("arr_0.npy")
            with archive.open(entry) as member:
                return _read_npy(member, entry.file_size, name)
    except Refused:
        raise
    except Exception as error:  # parsers raise nearly anything on hostile bytes
        raise Refused(f"{name} cannot be read, it is corrupt or truncated: {_short(error)}") from None


def _read_npy(file: IO[bytes], size: int, name: str) -> np.ndarray:
    """An array in NumPy's format; nothing is unpickled, and no more memory is taken than the file can fill."""
    head = io.BytesIO(file.read(_HEAD))  # a header can claim 4 GB
    version = np.lib.format.read_magic(head)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(head)
    if version not in ((1, 0), (2, 0)):
        raise Refused(f"{name} is in version {version} of the .npy format; versions 1.0 and 2.0 are read")
    if dtype.str not in ("|u1", "<f4"):
        raise Refused(
            f"{name} holds {dtype} {shape}; it should hold uint8 images or float32 points "
            "(or float32 images, with --range)"
        )
    promised, there = math.prod(shape) * dtype.itemsize, size - head.tell()
    if min(shape, default=0) < 0 or promised > MAX_BYTES:
        raise Refused(f"{name} claims the shape {shape}; at most {MAX_BYTES:,} bytes are read")
    if promised != there:
        raise Refused(f"{name} is truncated or padded: its shape {shape} needs {promised:,} bytes, it has {there:,}")
    data = np.empty(promised, np.uint8)
    done = 0
    while piece := head.read() or file.read(_PIECE):  # to the very end: there a zip file's own checksum is compared
        if done + len(piece) > promised:
            raise Refused(f"{name} holds more bytes than it says")
        data[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    if done != promised:
        raise Refused(f"{name} is truncated: {done:,} of {promised:,} bytes are there")
    return data.view(dtype).reshape(shape, order="F" if fortran else "C")
