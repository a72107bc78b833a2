"""What strangers bring to `genbench score`: one sentence and exit code 2, never a traceback, never a wrong number."""

import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from genbench.cli import main


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Data to score against: 250 grey images of 8 x 8."""
    path = tmp_path_factory.mktemp("real") / "real.npz"
    np.savez(path, noise(250, 8, 8, 1))
    return path


@pytest.fixture
def place(tmp_path):
    """A folder of 60 good images; each case adds a bad one."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index, image in enumerate(noise(60, 8, 8, seed=1)):
        Image.fromarray(image).save(folder / f"{index:03}.png")
    return folder


def score(samples, real, *more):
    return CliRunner().invoke(main, ["score", str(samples), "--against", f"npz:{real}", "--metric", "ms_ssim", *more])


def sentence(result):
    """The one line of a refusal."""
    assert result.exit_code == 2, result.output
    assert not result.stdout
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("genbench: ")
    return lines[0]


def png_header(width, height, depth=8, colour=0):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def corrupt(place):
    whole = bytearray((place / "000.png").read_bytes())
    whole[50] ^= 0xFF
    (place / "x.png").write_bytes(whole)


def truncated(place):
    (place / "x.png").write_bytes((place / "000.png").read_bytes()[:60])


def sixteen_bits(place):
    Image.fromarray(noise(8, 8).astype(np.uint16) * 257).save(place / "x.png")


def palette(place):
    Image.fromarray(noise(8, 8)).convert("P").save(place / "x.png")


def grey_and_colour(place):
    Image.fromarray(noise(8, 8, 3)).save(place / "x.png")


def link_out(place):
    outside = place.parent / "secret.png"
    Image.fromarray(noise(8, 8)).save(outside)
    (place / "x.png").symlink_to(outside)


def zero_bytes(place):
    (place / "x.png").touch()


def huge_header(place):
    (place / "x.png").write_bytes(png_header(100_000, 100_000))


def other_size(place):
    Image.fromarray(noise(9, 8)).save(place / "x.png")


def no_files(place):
    for path in place.iterdir():
        path.unlink()


def all_of_another_size(place):
    no_files(place)
    Image.fromarray(noise(16, 16)).save(place / "x.png")


FOLDERS = {
    corrupt: "x.png' cannot be read as an image, it is corrupt or truncated",
    truncated: "x.png' cannot be read as an image, it is corrupt or truncated",
    sixteen_bits: "x.png' has 16 bits a channel; images have 8",
    palette: "x.png' has the mode 'P'",
    grey_and_colour: "x.png' is 8x8 RGB, ",
    link_out: "x.png' is a link that leaves the folder",
    zero_bytes: "x.png' is empty (zero bytes)",
    huge_header: "x.png' is 100000x100000; at most 4096 a side is read",
    other_size: "x.png' is 8x9 grey, ",
    no_files: "images' holds no images",
    all_of_another_size: "uint8 (1, 16, 16, 1); the data has height 8, width 8, 1 channel",
}


@pytest.mark.parametrize("spoil", FOLDERS, ids=lambda spoil: spoil.__name__)
def test_bad_folders(place, real, spoil):
    assert score(place, real).exit_code == 0
    spoil(place)
    assert FOLDERS[spoil] in sentence(score(place, real))
    if spoil is not all_of_another_size:  # as the data to score against, too
        result = CliRunner().invoke(main, ["score", str(real), "--against", f"folder:{place}"])
        assert FOLDERS[spoil] in sentence(result)


@pytest.mark.parametrize(
    "name", ["Bilder für später", "漢字", "😀", "with space", "a'b\"c", "new\nline", os.fsdecode(b"\xff\xfe")]
)
def test_names_in_any_script_work(tmp_path, real, name):
    folder = tmp_path / name
    folder.mkdir()
    for index, image in enumerate(noise(60, 8, 8, seed=1)):
        Image.fromarray(image).save(folder / f"{name}{index}.png")
    result = score(folder, real)
    assert result.exit_code == 0, result.output
    assert "ms_ssim" in result.stdout
    np.savez(tmp_path / f"{name}.npz", noise(60, 8, 8, 1, seed=1))
    assert score(tmp_path / f"{name}.npz", real).exit_code == 0
    (folder / f"{name}0.png").write_bytes(b"")
    assert "zero bytes" in sentence(score(folder, real))


class Bait:
    """Leaves a trace if anybody unpickles it."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def pickled(path):
    np.savez(path, np.array([Bait(path.parent / "trace")], dtype=object))


def pickle_in_disguise(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", pickle.dumps(Bait(path.parent / "trace")))


def doubles(path):
    np.savez(path, noise(60, 8, 8, 1) / 255)


def integers(path):
    np.savez(path, noise(60, 8, 8, 1).astype(np.int64))


def floats(path):
    np.savez(path, (noise(60, 8, 8, 1) / 255).astype(np.float32))


def signed_floats(path):
    np.savez(path, (noise(60, 8, 8, 1) / 127.5 - 1).astype(np.float32))


def other_shape(path):
    np.savez(path, noise(60, 16, 16, 1))


def colour(path):
    np.savez(path, noise(60, 8, 8, 3))


def no_rows(path):
    np.savez(path, noise(0, 8, 8, 1))


def other_name(path):
    np.savez(path, images=noise(60, 8, 8, 1))


def cut(path):
    np.savez(path, noise(60, 8, 8, 1))
    path.write_bytes(path.read_bytes()[:1000])


def no_bytes(path):
    path.touch()


def too_few(path):
    np.savez(path, noise(3, 8, 8, 1))


ARRAYS = {
    pickled: "holds object (1,); it should hold uint8 images",
    pickle_in_disguise: "corrupt or truncated",
    doubles: "holds float64 (60, 8, 8, 1); it should hold uint8 images",
    integers: "holds int64 (60, 8, 8, 1); it should hold uint8 images",
    floats: "whose range is not guessed: declare it with --range 0..1, --range -1..1 or --range 0..255",
    signed_floats: "whose range is not guessed: declare it with --range 0..1, --range -1..1 or --range 0..255",
    other_shape: "uint8 (60, 16, 16, 1); the data has height 8, width 8, 1 channel",
    colour: "uint8 (60, 8, 8, 3); the data has height 8, width 8, 1 channel",
    no_rows: "holds no images",
    other_name: "has no array 'arr_0'; it holds 'images'",
    cut: "corrupt or truncated",
    no_bytes: "is empty (zero bytes)",
    too_few: "ms_ssim has 3 generated samples; it needs at least 40",
}


@pytest.mark.parametrize("write", ARRAYS, ids=lambda write: write.__name__)
def test_bad_arrays(tmp_path, real, write):
    path = tmp_path / "x.npz"
    write(path)
    assert ARRAYS[write] in sentence(score(path, real))
    assert not (tmp_path / "trace").exists()


def number(result):
    assert result.exit_code == 0, result.output
    return [word for line in result.stdout.splitlines() if "ms_ssim" in line for word in line.split("│")][2]


@pytest.mark.parametrize("attached", [False, True])
def test_declared_floats_score_as_their_bytes_do(tmp_path, real, attached):
    whole = noise(60, 8, 8, 1, seed=1)
    np.savez(tmp_path / "bytes.npz", whole)
    expected = number(score(tmp_path / "bytes.npz", real))
    for declared, values in (
        ("0..1", whole / np.float32(255)),
        ("-1..1", whole / np.float32(127.5) - 1),
        ("0..255", whole.astype(np.float32)),
    ):
        np.savez(tmp_path / "floats.npz", values)
        option = [f"--range={declared}"] if attached else ["--range", declared]
        assert number(score(tmp_path / "floats.npz", real, *option)) == expected


def test_wrongly_declared_ranges(tmp_path, place, real):
    path = tmp_path / "x.npz"
    signed_floats(path)
    assert "outside of the declared range 0..1" in sentence(score(path, real, "--range", "0..1"))
    colour(path)
    assert "holds uint8, the levels as they are: leave out --range 0..255" in sentence(
        score(path, real, "--range", "0..255")
    )
    assert "leave out --range 0..1" in sentence(score(place, real, "--range", "0..1"))
    assert "there is no file 'vae'" in sentence(score("vae", real, "--range", "0..1"))
    floats(path)
    result = CliRunner().invoke(main, ["score", str(real), "--against", f"npz:{path}"])
    assert "the images of a dataset are uint8" in sentence(result)
    assert score(path, real, "--range", "0..2").exit_code == 2


def test_names_that_are_no_files(real):
    for name in ("x" * 5000, "x" * 5000 + ".npz", "nowhere.npz", "", "nul\0.npy"):
        sentence(score(name, real))


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "genbench.cli", *map(str, arguments)],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("spoil", [huge_header, link_out], ids=lambda spoil: spoil.__name__)
def test_a_process_leaves_with_code_2_and_one_line(place, real, spoil):
    spoil(place)
    done = run("score", place, "--against", f"npz:{real}")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert FOLDERS[spoil].encode() in done.stderr


def test_a_process_prints_names_that_its_terminal_has_not(tmp_path, real):
    path = tmp_path / "漢字.npz"
    np.savez(path, noise(60, 8, 8, 1, seed=1))
    done = run("score", path, "--against", f"npz:{real}", "--metric", "ms_ssim", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert rb"\u6f22\u5b57.npz" in done.stdout
    assert not done.stderr
