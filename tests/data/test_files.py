"""Files of strangers: good ones are read as they are, each kind of bad one is refused in a sentence of its own."""

import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.data.files import folder, npz, read_samples
from genbench.errors import Refused
from genbench.types import DataSpec

GREY = DataSpec(shape=(1, 4, 5), levels=256)
RGB = DataSpec(shape=(3, 4, 5), levels=256)
POINTS = DataSpec(shape=(2,), levels=None)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(place, images, suffix=".png"):
    place.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(place / f"{index:04d}{suffix}")
    return place


def png(width, height, *, depth=8, colour=0, data=b"", chunks=()):
    """A PNG written by hand, so that its header can lie."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    extra = b"".join(chunk(kind, body) for kind, body in chunks)
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + body + chunk(b"IEND", b"")


@pytest.fixture
def place(tmp_path):
    return save(tmp_path / "images", noise(3, 4, 5, 1))


# --- what is read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "channels"), [(".png", 1), (".png", 3), (".bmp", 1), (".bmp", 3), (".webp", 3)])
def test_a_folder_gives_the_pixels_back(tmp_path, suffix, channels):
    images = noise(7, 4, 5, channels)
    place = tmp_path / "images"
    place.mkdir()
    for index, image in enumerate(images):
        options = {"lossless": True} if suffix == ".webp" else {}
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        picture.save(place / f"{index}{suffix}", **options)
    x = read_samples(place, GREY if channels == 1 else RGB)
    assert x.dtype == torch.uint8
    assert np.array_equal(x.permute(0, 2, 3, 1).numpy(), images)


def test_jpeg_is_read(tmp_path):
    save(tmp_path / "images", noise(2, 4, 5, 3), ".jpg")
    assert read_samples(tmp_path / "images", RGB).shape == (2, 3, 4, 5)


def test_subfolders_are_read_and_other_files_left_alone(place):
    save(place / "more", noise(2, 4, 5, 1, seed=1))
    (place / "README.txt").write_text("not an image")
    (place / ".hidden.png").write_bytes(b"not an image either")
    assert len(read_samples(place, GREY)) == 5


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_give_the_pixels_back(tmp_path, suffix, order):
    images = np.asarray(noise(6, 4, 5, 3), order=order)
    path = tmp_path / f"samples{suffix}"
    np.savez_compressed(path, images) if suffix == ".npz" else np.save(path, images)
    assert np.array_equal(read_samples(path, RGB).permute(0, 2, 3, 1).numpy(), images)
    assert read_samples(str(path), RGB).is_contiguous()


def test_points_are_read(tmp_path):
    points = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    np.save(tmp_path / "points.npy", points)
    assert np.array_equal(read_samples(tmp_path / "points.npy", POINTS).numpy(), points)


def test_a_link_inside_the_folder_is_read(place):
    (place / "again.png").symlink_to(place / "0000.png")
    assert len(read_samples(place, GREY)) == 4


# --- splits of a folder -----------------------------------------------------------------------------------------


def members(data):
    return {split: {row.numpy().tobytes() for row in x} for split, x in data.x.items()}


def test_adding_files_moves_no_image_and_copies_share_their_split(tmp_path):
    images = noise(300, 4, 5, 3)
    before = folder(str(save(tmp_path / "few", images[:150])))
    after = folder(str(save(tmp_path / "many", np.concatenate([images[150:], images]))))
    old, new = members(before), members(after)
    for split in old:
        assert old[split] <= new[split]
    assert not new["train"] & new["test"]
    assert not new["train"] & new["validation"]
    assert not new["validation"] & new["test"]
    assert sum(map(len, after.x.values())) == 450
    shares = [len(new[split]) / 300 for split in ("train", "validation", "test")]
    assert np.abs(np.array(shares) - [0.7, 0.1, 0.2]).max() < 0.1


def test_a_folder_is_its_content_and_not_its_file_names(tmp_path):
    images = noise(100, 4, 5, 1)
    one = folder(str(save(tmp_path / "one", images)))
    other = folder(str(save(tmp_path / "other", images[::-1], ".bmp")))
    np.save(tmp_path / "same.npy", images)
    third = npz(str(tmp_path / "same.npy"))
    for split in one.x:
        assert one.checksum(split) == other.checksum(split) == third.checksum(split)
    assert (one.name, third.name) == ("folder:one", "npz:same.npy")
    assert (one.spec.shape, one.spec.levels, one.spec.classes) == ((1, 4, 5), 256, None)


# --- folders that are refused -----------------------------------------------------------------------------------


def grey16(place):
    Image.fromarray(noise(4, 5).astype(np.uint16) * 257).save(place / "x.png")


def colour16(place):
    (place / "x.png").write_bytes(png(5, 4, depth=16, colour=2, data=(b"\0" + bytes(30)) * 4))


def grey4(place):
    (place / "x.png").write_bytes(png(5, 4, depth=4, data=(b"\0" + bytes(3)) * 4))


def palette(place):
    Image.fromarray(noise(4, 5)).convert("P").save(place / "x.png")


def colour16_after_a_comment(place):
    """A header that stands second: whoever looks for the depth at its usual place finds 8 bits there."""
    whole = png(5, 4, depth=16, colour=2, data=(b"\0" + bytes(30)) * 4)
    comment = struct.pack(">I", 9) + b"tEXt" + b"k\0" + bytes([8] * 7)
    comment += struct.pack(">I", zlib.crc32(comment[4:]))
    (place / "x.png").write_bytes(whole[:8] + comment + whole[8:])


def bmp(width, height, depth, row, old=False):
    """A BMP written by hand: Pillow writes none of 16 bits."""
    if old:
        header = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, 0, 0, 0, 0, 0, 0)
    start = 14 + len(header)
    return struct.pack("<2sIHHI", b"BM", start + row * height, 0, 0, start) + header + bytes(row * height)


def bmp16(place):
    (place / "x.bmp").write_bytes(bmp(5, 4, 16, 12))


def old_bmp16(place):
    (place / "x.bmp").write_bytes(bmp(5, 4, 16, 12, old=True))


def short_bmp(place):
    (place / "x.bmp").write_bytes(b"BM" + bytes(13))


def alpha(place):
    Image.fromarray(noise(4, 5, 4)).save(place / "x.png")


def one_bit(place):
    Image.fromarray(noise(4, 5) > 128).save(place / "x.png")


def corrupt(place):
    (place / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(100))


def not_an_image(place):
    (place / "x.jpg").write_bytes(b"<html>404</html>")


def truncated_png(place):
    data = (place / "0000.png").read_bytes()
    (place / "x.png").write_bytes(data[: len(data) - 25])


def truncated_jpeg(place):
    buffer = io.BytesIO()
    Image.fromarray(noise(4, 5)).save(buffer, "JPEG")
    (place / "x.jpg").write_bytes(buffer.getvalue()[:-40])


def empty(place):
    (place / "x.png").write_bytes(b"")


def other_size(place):
    Image.fromarray(noise(5, 4)).save(place / "x.png")


def colour(place):
    Image.fromarray(noise(4, 5, 3)).save(place / "x.png")


def bomb(place):
    (place / "x.png").write_bytes(png(100_000, 100_000))


def bmp_bomb(place):
    (place / "x.bmp").write_bytes(
        bmp(5, 4, 24, 16).replace(struct.pack("<ii", 5, 4), struct.pack("<ii", 60_000, 60_000))
    )


def small_bomb(place):
    (place / "x.png").write_bytes(png(12_000, 8_000))


def wide(place):
    (place / "x.png").write_bytes(png(5_000, 2))


def text_bomb(place):
    squeezed = b"comment\0\0" + zlib.compress(bytes(200_000_000))
    (place / "x.png").write_bytes(png(5, 4, data=(b"\0" + bytes(5)) * 4, chunks=[(b"zTXt", squeezed)]))


def animation(place):
    frames = [Image.fromarray(noise(4, 5, seed=seed)) for seed in range(2)]
    frames[0].save(place / "x.png", save_all=True, append_images=frames[1:])


def gif(place):
    Image.fromarray(noise(4, 5)).save(place / "x.gif")


def tiff_in_disguise(place):
    Image.fromarray(noise(4, 5)).save(place / "x.png", format="TIFF")


def link_out(place):
    outside = place.parent / "secret.png"
    Image.fromarray(noise(4, 5)).save(outside)
    (place / "x.png").symlink_to(outside)


def folder_link_out(place):
    save(place.parent / "elsewhere", noise(1, 4, 5, 1))
    (place / "linked").symlink_to(place.parent / "elsewhere")


def relative_link_out(place):
    (place.parent / "secret.png").write_bytes(b"")
    (place / "x.png").symlink_to(Path("..", "secret.png"))


def broken_link(place):
    (place / "x.png").symlink_to(place / "nowhere.png")


def circle(place):
    (place / "x.png").symlink_to(place / "x.png")


def pipe(place):
    os.mkfifo(place / "x.png")


BAD = {
    grey16: "16 bits a channel",
    colour16: "16 bits a channel",
    grey4: "4 bits a channel",
    colour16_after_a_comment: "a PNG begins with its header",
    bmp16: "16 bits a pixel",
    old_bmp16: "16 bits a pixel",
    short_bmp: "corrupt or truncated",
    palette: "mode 'P'",
    alpha: "mode 'RGBA'",
    one_bit: "mode '1'",
    corrupt: "corrupt or truncated",
    not_an_image: "corrupt or truncated$",
    truncated_png: "corrupt or truncated",
    truncated_jpeg: "corrupt or truncated",
    empty: "zero bytes",
    other_size: "4x5 grey.*is 5x4 grey; all must be alike",
    colour: "5x4 RGB.*is 5x4 grey; all must be alike",
    bomb: "is 100000x100000; at most 4096 a side is read",
    bmp_bomb: "more pixels than are read",
    small_bomb: "is 12000x8000; at most 4096 a side is read",
    wide: "5000x2; at most 4096 a side",
    text_bomb: "corrupt or truncated",
    animation: "animation",
    gif: "convert it to PNG",
    tiff_in_disguise: "corrupt or truncated",
    link_out: "leaves the folder",
    folder_link_out: "leaves the folder",
    relative_link_out: "leaves the folder",
    broken_link: "not a regular file",
    circle: "not a regular file",
    pipe: "not a regular file",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_one_bad_file_refuses_the_folder(place, spoil):
    spoil(place)
    for read in (lambda: read_samples(place, GREY), lambda: folder(str(place))):
        with pytest.raises(Refused, match=BAD[spoil]) as refusal:
            read()
        assert "\n" not in str(refusal.value)


def test_a_bad_file_that_comes_first_is_refused_as_well(place):
    (place / "0.png").write_bytes(png(60_000, 60_000))
    with pytest.raises(Refused, match="60000x60000; at most 4096"):
        folder(str(place))


def test_folders_without_images_or_that_are_none(tmp_path):
    with pytest.raises(Refused, match="holds no images"):
        folder(str(tmp_path))
    with pytest.raises(Refused, match="holds no images"):
        read_samples(tmp_path, GREY)
    with pytest.raises(Refused, match="not a folder"):
        folder(str(tmp_path / "nowhere"))
    with pytest.raises(Refused, match="not a folder"):
        folder("")
    with pytest.raises(Refused, match="not a folder"):
        folder("x" * 5000)  # longer than a name can be
    with pytest.raises(Refused, match="there is no 'xxx"):
        read_samples("x" * 5000, GREY)
    with pytest.raises(Refused, match="there is no"):
        read_samples(tmp_path / "nowhere", GREY)


def test_a_folder_too_small_for_three_splits(place):
    with pytest.raises(Refused, match=r"has 3 images \(3 different ones\).*falls into the split"):
        folder(str(place))


def test_a_folder_of_too_many_bytes_is_refused_before_they_are_read(place, monkeypatch):
    monkeypatch.setattr("genbench.data.files.MAX_BYTES", 59)
    with pytest.raises(Refused, match="holds 60 bytes of pixels; at most 59"):
        read_samples(place, GREY)
    monkeypatch.setattr("genbench.data.files.MAX_FILES", 2)
    with pytest.raises(Refused, match="more than 2 images"):
        read_samples(place, GREY)
    monkeypatch.setattr("genbench.data.files.MAX_FILE_BYTES", 20)
    monkeypatch.setattr("genbench.data.files.MAX_FILES", 3)
    with pytest.raises(Refused, match="more than 20 bytes"):
        read_samples(place, GREY)


# --- arrays that are refused ------------------------------------------------------------------------------------


class Bait:
    """Leaves a trace if anybody unpickles it."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickles_are_not_opened(tmp_path, suffix):
    array = np.array([Bait(tmp_path / "trace")], dtype=object)
    path = tmp_path / f"x{suffix}"
    np.save(path, array, allow_pickle=True) if suffix == ".npy" else np.savez(path, array)
    for spec in (GREY, POINTS):
        with pytest.raises(Refused, match="object"):
            read_samples(path, spec)
    with pytest.raises(Refused, match="object"):
        npz(str(path))
    assert not (tmp_path / "trace").exists()


def test_a_pickle_named_npy_is_not_opened(tmp_path):
    import pickle

    (tmp_path / "x.npy").write_bytes(pickle.dumps(Bait(tmp_path / "trace")))
    with pytest.raises(Refused, match="corrupt"):
        npz(str(tmp_path / "x.npy"))
    assert not (tmp_path / "trace").exists()


def header(shape, descr="|u1", version=(1, 0)):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode("latin1")
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text


NPY = {
    "empty": (b"", "zero bytes"),
    "noise": (b"hello world, this is no array", "corrupt or truncated"),
    "huge": (header((10**6, 10**6, 10**6, 3)), "claims the shape"),
    "overflow": (header((2**63, 2**63, 1, 1)), "claims the shape"),
    "negative": (header((-1, 4, 5, 1)) + bytes(20), "claims the shape"),
    "short": (header((3, 4, 5, 1)) + bytes(59), "needs 60 bytes, it has 59"),
    "long": (header((3, 4, 5, 1)) + bytes(61), "needs 60 bytes, it has 61"),
    "none": (header((0, 4, 5, 1)), "holds no images"),
    "doubles": (header((3, 4, 5, 1), "<f8") + bytes(480), "float64.*uint8 images or float32 points"),
    "floats": (header((3, 4, 5, 1), "<f4") + bytes(240), "whose range is not guessed|images of a dataset are uint8"),
    "flat": (header((60,)) + bytes(60), r"uint8 \(60,\); images are uint8 \(n, H, W, C\)"),
    "scalar": (header("()") + bytes(1), "images are uint8"),
    "channels": (header((3, 4, 5, 2)) + bytes(120), "C = 1 or 3"),
    "version": (header((3, 4, 5, 1), version=(3, 0)) + bytes(60), "version"),
    "expression": (header("__import__('os').abort()") + bytes(60), "corrupt"),
    "nested": (header("(" * 3000) + bytes(60), "corrupt"),
}


@pytest.mark.parametrize("name", NPY)
def test_bad_arrays_are_refused(tmp_path, name):
    data, sentence = NPY[name]
    plain, zipped = tmp_path / "x.npy", tmp_path / "x.npz"
    plain.write_bytes(data)
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", data)
    for path in (plain, zipped) if data else (plain,):
        for read in (lambda path=path: npz(str(path)), lambda path=path: read_samples(path, GREY)):
            with pytest.raises(Refused, match=sentence):
                read()


def archive_of(path, name="arr_0", images=None):
    np.savez_compressed(path, **{name: noise(50, 4, 5, 1) if images is None else images})
    return path.read_bytes()


def test_bad_archives_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    archive_of(path, "images")
    with pytest.raises(Refused, match="no array 'arr_0'; it holds 'images'"):
        npz(str(path))
    data = archive_of(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(Refused, match="corrupt or truncated"):
        npz(str(path))
    spoiled = bytearray(data)
    spoiled[200] ^= 0xFF
    path.write_bytes(bytes(spoiled))
    with pytest.raises(Refused, match="corrupt or truncated"):
        npz(str(path))
    path.write_bytes(b"")
    with pytest.raises(Refused, match="zero bytes"):
        npz(str(path))


def test_what_a_parser_quotes_of_a_file_is_cut(tmp_path):
    """The name in the directory and that before the data differ, and the second is 60,000 bytes long."""
    path = tmp_path / "x.npz"
    data = bytearray(archive_of(path, images=noise(900, 10, 10, 1)))
    data[26:28] = struct.pack("<H", 60_000)
    path.write_bytes(data)
    with pytest.raises(Refused, match=r"corrupt or truncated: .{120}\.\.\.$"):
        npz(str(path))


def test_a_zip_bomb_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.data.files.MAX_BYTES", 10**6)
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", header((10**5, 4, 5, 1)) + bytes(2 * 10**6))
    with pytest.raises(Refused, match="at most 1,000,000 bytes"):
        npz(str(path))


@pytest.mark.parametrize("header_bytes", [2**32 - 1, 2**17])
def test_a_header_takes_no_memory(tmp_path, header_bytes):
    """Version 2 of the format allows a header of 4 GB; zipped, such a file would be small."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", b"\x93NUMPY\2\0" + struct.pack("<I", header_bytes) + b" " * 100_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="corrupt or truncated"):
            npz(str(path))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"...")
    for spec in (GREY, POINTS):
        with pytest.raises(Refused, match=r"no \.npz or \.npy file"):
            read_samples(tmp_path / "x.pt", spec)
        with pytest.raises(Refused, match="there is no"):
            read_samples(tmp_path / "y.npy", spec)
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(Refused, match=r"no \.npz or \.npy file"):
        read_samples(tmp_path / "folder.npy", POINTS)


# --- float images -----------------------------------------------------------------------------------------------


def save_floats(tmp_path, values, suffix=".npz"):
    path = tmp_path / f"x{suffix}"
    values = np.asarray(values, np.float32)
    np.savez(path, values) if suffix == ".npz" else np.save(path, values)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize(
    ("declared", "to_range"),
    [
        ("0..1", lambda x, top: x / top),
        ("-1..1", lambda x, top: x * (2 / top) - 1),
        ("0..255", lambda x, top: x * (255 / top)),
    ],
)
def test_every_level_comes_back_from_its_float(tmp_path, declared, to_range, levels, suffix):
    images = np.resize(np.arange(levels, dtype=np.uint8), (60, 4, 5, 3))
    path = save_floats(tmp_path, to_range(images.astype(np.float64), levels - 1), suffix)
    x = read_samples(path, DataSpec(shape=(3, 4, 5), levels=levels), declared)
    assert x.dtype == torch.uint8
    assert np.array_equal(x.permute(0, 2, 3, 1).numpy(), images)


@pytest.mark.parametrize(
    ("declared", "values", "integers"),
    [
        # 3 levels on 0..1: halves lie between them, and go to the even one
        ("0..1", [0, 0.25, 0.75, 1, 0.2500001, 0.2499999], [0, 0, 2, 2, 1, 0]),
        ("-1..1", [-1, -0.5, 0, 0.5, 1, 0.4999999], [0, 0, 1, 2, 2, 1]),
        ("0..255", [0, 63.75, 127.5, 191.25, 255, 63.76], [0, 0, 1, 2, 2, 1]),
    ],
)
def test_halves_are_rounded_to_the_even_level(tmp_path, declared, values, integers):
    path = save_floats(tmp_path, np.reshape(values, (1, 2, 3, 1)))
    x = read_samples(path, DataSpec(shape=(1, 2, 3), levels=3), declared)
    assert x.flatten().tolist() == integers


def test_floats_are_rounded_in_double_precision(tmp_path):
    """The float32 nearest to 0.3, times 255, is 76.500003: in float32 the product is 76.5, which would go to 76."""
    values = np.array([0.3, 0.9], np.float32)
    assert (values * np.float32(255)).tolist() == [76.5, 229.5]
    path = save_floats(tmp_path, np.resize(values, (1, 1, 2, 1)))
    assert read_samples(path, DataSpec(shape=(1, 1, 2), levels=256), "0..1").flatten().tolist() == [77, 229]


@pytest.mark.parametrize(
    ("declared", "value", "says"),
    [
        ("0..1", 1.0000001, "1.00000012"),
        ("0..1", -(2.0**-40), "-9.09494702e-13"),
        ("0..1", 200, "200"),
        ("-1..1", -1.5, "-1.5"),
        ("0..255", 255.5, "255.5"),
        ("0..255", np.nan, "nan"),
        ("-1..1", np.inf, "inf"),
    ],
)
def test_a_value_outside_of_the_declared_range_is_refused(tmp_path, monkeypatch, declared, value, says):
    monkeypatch.setattr("genbench.data.files._PIECE", 100)  # the value lies in a later piece
    values = np.full((30, 4, 5, 1), 0.5)
    values[20, 1, 2, 0] = value
    with pytest.raises(Refused, match=rf"holds the value {says}, outside of the declared range {declared}"):
        read_samples(save_floats(tmp_path, values), GREY, declared)


def test_the_range_of_floats_is_not_guessed(tmp_path):
    path = save_floats(tmp_path, np.zeros((30, 4, 5, 1)))
    with pytest.raises(
        Refused, match=r"float32 \(30, 4, 5, 1\), whose range is not guessed.*--range 0\.\.1, --range -1"
    ):
        read_samples(path, GREY)
    with pytest.raises(Refused, match=r"dataset are uint8.*--range declares the range of the samples"):
        npz(str(path))
    with pytest.raises(Refused, match="C = 1 or 3"):
        read_samples(save_floats(tmp_path, np.zeros((30, 3, 4, 5))), GREY, "0..1")
    with pytest.raises(Refused, match="holds no images"):
        read_samples(save_floats(tmp_path, np.zeros((0, 4, 5, 1))), GREY, "0..1")


def test_a_range_is_declared_for_float_images_alone(tmp_path, place):
    with pytest.raises(Refused, match=r"is a folder.*leave out --range 0\.\.1"):
        read_samples(place, GREY, "0..1")
    np.save(tmp_path / "bytes.npy", noise(3, 4, 5, 1))
    with pytest.raises(Refused, match=r"holds uint8.*leave out --range 0\.\.255"):
        read_samples(tmp_path / "bytes.npy", GREY, "0..255")
    np.save(tmp_path / "points.npy", np.zeros((9, 2), np.float32))
    with pytest.raises(Refused, match=r"points, which have no range: leave out --range -1\.\.1"):
        read_samples(tmp_path / "points.npy", POINTS, "-1..1")


# --- samples that do not suit the data --------------------------------------------------------------------------


def test_samples_must_have_the_datas_shape_and_levels(tmp_path, place):
    np.save(tmp_path / "x.npy", noise(3, 4, 5, 3))
    with pytest.raises(
        Refused, match=r"uint8 \(3, 4, 5, 3\); the data has height 4, width 5, 1 channel: \(n, 4, 5, 1\)"
    ):
        read_samples(tmp_path / "x.npy", GREY)
    with pytest.raises(Refused, match="height 5, width 4, 3 channels"):
        read_samples(tmp_path / "x.npy", DataSpec(shape=(3, 5, 4), levels=256))
    with pytest.raises(Refused, match=r"uint8 \(3, 4, 5, 1\)"):
        read_samples(place, RGB)
    np.save(tmp_path / "levels.npy", np.full((2, 4, 5, 1), 17, np.uint8))
    with pytest.raises(Refused, match="holds the value 17; the data has the 17 levels 0 to 16"):
        read_samples(tmp_path / "levels.npy", DataSpec(shape=(1, 4, 5), levels=17))
    assert read_samples(tmp_path / "levels.npy", DataSpec(shape=(1, 4, 5), levels=18)).max() == 17


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (np.zeros((3, 3), np.float32), r"float32 \(3, 3\); the data is \(n, 2\)"),
        (np.zeros(3, np.float32), "points are float32"),
        (np.zeros((3, 2), np.uint8), "points are float32"),
        (np.zeros((3, 2)), "float64.*float32 points"),
        (np.zeros((0, 2), np.float32), "no points"),
        (np.array([[0, np.nan]], np.float32), "not finite"),
        (np.array([[0, -np.inf]], np.float32), "not finite"),
    ],
)
def test_points_must_have_the_datas_shape_and_be_finite(tmp_path, points, sentence):
    np.save(tmp_path / "x.npy", points)
    with pytest.raises(Refused, match=sentence):
        read_samples(tmp_path / "x.npy", POINTS)


def test_a_folder_holds_no_points(place):
    with pytest.raises(Refused, match=r"no \.npz or \.npy file"):
        read_samples(place, POINTS)
