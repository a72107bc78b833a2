"""Names of files for foreign names."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?\Z")
_HASHED = re.compile(r"(.*-)?[0-9a-f]{8}\Z")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|index)\Z")  # no file on Windows may be called so


def slug(name: str) -> str:
    """A file name for a foreign name: itself where it is made of a-z, 0-9 and -, else reduced to that plus a hash.

    Two names never share a slug: what already looks like a reduced name is reduced as well.
    """
    if _PLAIN.match(name) and not _HASHED.match(name) and not _RESERVED.match(name):
        return name
    reduced = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{reduced}-{digest}" if reduced else digest
