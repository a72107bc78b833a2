"""Files of published datasets: where they lie, how they are fetched, and the checksum that they must have.

A file lies under the root: the one given, or the environment's GENBENCH_DATA, or ~/.cache/genbench/data; the
layout below it is torchvision's, so that a folder filled by torchvision serves as well. Nothing is read
before its checksum is right.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from genbench.errors import Refused
from genbench.files import write
from genbench.progress import Bar

PIECE = 2**20
GOOGLE_DRIVE = "google-drive:"  # followed by the file's id: no plain URL leads to it


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file: its path under the root, where it comes from, its digest (md5 or sha256, told by the length)."""

    path: str
    urls: tuple[str, ...]
    digest: str

    @property
    def algorithm(self) -> str:
        return {32: "md5", 64: "sha256"}[len(self.digest)]


def default_root() -> Path:
    """Where files are looked for when nothing else is said."""
    return Path(os.environ.get("GENBENCH_DATA") or Path.home() / ".cache" / "genbench" / "data")


def fetch(name: str, sources: Sequence[Source], root: Path | None, download: bool) -> list[Path]:
    """The paths of a dataset's files, all present and unharmed.

    Args:
        name: the dataset, for the error.
        root: where the files lie; by default GENBENCH_DATA, else ~/.cache/genbench/data.
        download: fetches what is missing.
    """
    base = root or default_root()
    paths = []
    for source in sources:
        path = base / source.path
        if not path.is_file():
            if not download:
                raise Refused(
                    f"{name} needs the file {path}, which is missing: put it there, or let --download "
                    f"(download=True) fetch it from {source.urls[0]}"
                )
            _download(source, path)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, source.algorithm).hexdigest()
        if found != source.digest:
            raise Refused(
                f"{path} is corrupted: its {source.algorithm} is {found}, that of the published file is "
                f"{source.digest}; remove it and let --download (download=True) fetch it again"
            )
        paths.append(path)
    return paths


def _download(source: Source, path: Path) -> None:
    """Fetches a file from the first place that has it; the file appears whole or not at all; `fetch` checks it."""
    failures = []
    for url in source.urls:
        try:
            if url.startswith(GOOGLE_DRIVE):
                _from_google_drive(url.removeprefix(GOOGLE_DRIVE), path)
            else:
                write(path, lambda file, url=url: _copy(url, file, source))  # type: ignore[misc]
            return
        except Refused as failure:
            failures.append(str(failure))
    raise Refused(f"cannot fetch {path.name}: {'; '.join(failures)}; put it into {path.parent} by hand")


def _copy(url: str, file: BinaryIO, source: Source) -> None:
    digest = hashlib.new(source.algorithm)
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            total = int(response.headers.get("Content-Length") or 0)
            with Bar(f"fetch {Path(source.path).name}, MiB", total // PIECE, show=total > 0) as bar:
                while piece := response.read(PIECE):
                    digest.update(piece)
                    file.write(piece)
                    bar.to(file.tell() // PIECE)
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise Refused(f"{url} does not answer: {getattr(error, 'reason', error)}") from None
    if digest.hexdigest() != source.digest:
        raise Refused(f"what {url} sends has the {source.algorithm} {digest.hexdigest()}, not {source.digest}")


def _from_google_drive(file_id: str, path: Path) -> None:
    from torchvision.datasets.utils import download_file_from_google_drive

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            download_file_from_google_drive(file_id, folder, path.name)
            Path(folder, path.name).replace(path)
    except (RuntimeError, OSError) as error:  # torchvision needs gdown for it, and says so
        raise Refused(f"Google Drive: {error}") from None
