"""Reading and writing files safely: whole or not at all, inside their folder, known by their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from genbench.errors import Refused, Unusable


def sha256(data: bytes) -> str:
    """The hexadecimal digest of some bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """The hexadecimal digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Writes a file so that a reader finds the old one or the new one, never a part.

    A temporary file in the same folder, flushed to the disk, then renamed. Disk full, no permission and the like
    are refused in a sentence, and nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Unusable(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def writable(folder: Path) -> Path:
    """The folder, made if need be; refused in a sentence when nothing can be written into it."""
    probe = folder / f".genbench-{os.getpid()}"
    write(probe, bytes(2**16))
    probe.unlink()
    return folder


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder for one process at a time; a second one is refused. A killed process leaves no lock."""
    path = writable(folder) / ".lock"
    with path.open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{folder} is in use by another run; wait for it or choose another folder") from None
        except (ImportError, OSError):
            pass  # neither Windows nor every file system has locks; there it is the user who keeps two runs apart
        yield
