"""Packing: a payload that begins like gzip is the gzip of a payload. Unpacked up to a limit."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from nengshao.domain.errors import ReadingRejected
from nengshao.domain.readings import Reason

GZIP_BEGINNING: Final = b"\x1f\x8b"  # no JSON text begins so
_DEFLATE_MOST: Final = 1032  # bytes that one byte of a deflate stream can stand for
_GZIP_ONLY: Final = 16 + zlib.MAX_WBITS  # zlib's word for: gzip's header and trailer, nothing else


def packed(text: bytes) -> bytes:
    """The gzip of a text: the same bytes whenever it is made, so its header bears no time."""
    return gzip.compress(text, mtime=0)


def plain_size(payload: bytes) -> int:
    """About how many bytes its readings would take in the plain form: what a batch is measured by.

    Not exactly, only so that messages of few bytes and many readings do not swell a batch a hundredfold:
    a reading takes a tenth in columns, and what a gzip holds stands in its last four bytes (a false figure
    makes it no gzip).
    """
    if payload.startswith(GZIP_BEGINNING):
        return 4 * min(int.from_bytes(payload[-4:], "little"), _DEFLATE_MOST * len(payload))
    return len(payload) if payload.find(b'"data"', 0, 256) >= 0 else 8 * len(payload)


def unpacked(payload: bytes, most: int) -> bytes:
    """What a gzip payload holds, at most `most` bytes; no more than that is ever in memory.

    One member, whole, with nothing after it: what a second member would add is a question for two readers to
    disagree on. Raises: ReadingRejected.
    """
    gunzip = zlib.decompressobj(_GZIP_ONLY)
    try:
        text = gunzip.decompress(payload, most + 1)
    except zlib.error as exc:
        raise ReadingRejected(Reason.BAD_GZIP, str(exc)) from exc
    if len(text) > most:
        raise ReadingRejected(Reason.OVERSIZED, f"more than {most} bytes unpacked")
    if not gunzip.eof:
        raise ReadingRejected(Reason.BAD_GZIP, "the end is missing")
    if gunzip.unused_data:
        raise ReadingRejected(Reason.BAD_GZIP, f"{len(gunzip.unused_data)} bytes after the end")
    return text
