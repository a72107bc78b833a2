"""A stranger's PNG -> a PNG of its pixels and nothing else, or the reason why not.

The file is read as the format says, within bounds known beforehand: chunk by chunk with their checksums, the
compressed rows inflated to exactly the size that width and height ask for. What is written holds the header and the
rows; texts, profiles, times, animations and whatever follows the end stay behind.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from genbench.errors import Refused

MAX_PIXELS = 2**24
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type: grey, RGB, each with or without alpha
_FILTERS = 5


def pixels_only(data: bytes, name: str, width: int, height: int) -> bytes:
    """The PNG of the same pixels without anything else; the very same bytes where there is nothing else.

    Args:
        data: 8-bit grey or RGB, with or without alpha, not interlaced.
        name: what an error calls it.
        width, height: what the picture must have.
    """
    if not data.startswith(SIGNATURE + b"\x00\x00\x00\rIHDR"):
        raise Refused(f"{name} is not a PNG")
    size = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if size != (width, height):
        raise Refused(f"{name} is {size[0]}×{size[1]}, the record says {width}×{height}")
    if width * height > MAX_PIXELS:
        raise Refused(f"{name} has {width * height:,} pixels; a picture has at most {MAX_PIXELS:,}")
    chunks = list(_chunks(data, name))
    header = chunks[0][1]
    if header[8] != 8 or header[9] not in _CHANNELS or header[10:] != b"\0\0\0":
        raise Refused(f"{name} is not an 8-bit grey or RGB picture without palette and interlacing")
    packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    rows = _inflated(packed, height * (1 + width * _CHANNELS[header[9]]), name)
    if max(rows[:: len(rows) // height]) >= _FILTERS:
        raise Refused(f"{name} has a row of an unknown kind")
    plain = [(b"IHDR", header), *(one for one in chunks if one[0] == b"IDAT"), (b"IEND", b"")]
    if plain != chunks:
        plain[1:-1] = [(b"IDAT", zlib.compress(rows))]
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in plain)


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the chunks up to the end's; what is cut off or damaged is refused."""
    at = len(SIGNATURE)
    while True:
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        content, check = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if len(check) < 4 or zlib.crc32(kind + content) != int.from_bytes(check):
            raise Refused(f"{name} is cut off or damaged at byte {at:,}")
        yield kind, content
        if kind == b"IEND":
            return
        at += 12 + length


def _inflated(packed: bytes, size: int, name: str) -> bytes:
    """Exactly `size` bytes from a compressed stream that holds no more and is followed by nothing."""
    stream = zlib.decompressobj()
    try:
        rows = stream.decompress(packed, size + 1)
    except zlib.error:
        raise Refused(f"{name} does not unpack") from None
    if len(rows) != size or not stream.eof or stream.unused_data:
        raise Refused(f"{name} does not unpack to the pixels that its header promises")
    return rows


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)
