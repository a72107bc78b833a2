"""Writing: whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from genbench import files
from genbench.errors import Refused


def test_write_replaces_whole_files_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a" / "b.json"
    files.write(path, b"one")
    files.write(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_a_failure_half_way_keeps_the_old_file(tmp_path):
    path = tmp_path / "b.json"
    files.write(path, b"old")

    def breaks(file):
        file.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        files.write(path, breaks)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


@pytest.mark.parametrize(("number", "says"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "permission denied")])
def test_disk_full_and_no_permission_are_sentences(tmp_path, monkeypatch, number, says):
    def refuses(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuses)
    with pytest.raises(Refused, match=f"cannot write .*: {says}"):
        files.write(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder_is_a_sentence(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(Refused, match="cannot write"):
        files.writable(tmp_path / "taken" / "runs")


def test_a_folder_is_held_by_one_run_at_a_time(tmp_path):
    with files.locked(tmp_path), pytest.raises(Refused, match="in use by another run"), files.locked(tmp_path):
        pass
    with files.locked(tmp_path):
        pass


def test_digests(tmp_path):
    path = Path(tmp_path / "x")
    path.write_bytes(b"abc")
    published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2's example
    assert files.sha256(b"abc") == files.sha256_of(path) == published
