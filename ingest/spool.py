"""The disk spool: raw messages that arrived while a store was away, in order, with their arrival times.

A record is length, CRC-32, arrival time, topic, payload. `append` returns after fsync, so what it took may
be acknowledged to the broker (never receipted: the receipt waits for the books). Reading begins at the
oldest record not yet settled; a torn or damaged tail ends a segment and is counted, never guessed at.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nengshao.wire import Message, plain_size

_LOG: Final = logging.getLogger(__name__)
_HEAD: Final = struct.Struct(">II")  # length of the body, its CRC-32
_BODY: Final = struct.Struct(">qH")  # arrival time, length of the topic
_SEGMENT_BYTES: Final = 16 * 1024 * 1024


class SpoolFull(Exception):
    """No room: the caller stops acknowledging and tries again later."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message from the spool, and where the next one begins."""

    message: Message
    arrived_at: int
    segment: int
    end: int


class Spool:
    """Segments in a folder that one process owns. Not thread-safe: the ingest worker's own."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._position_file = folder / "position"
        self._segment, self._offset = self._read_position()
        self.torn = 0  # segments that ended in a torn or damaged record
        for path in self._segments():
            if path != self._path(self._segment) and _number(path) < self._segment:
                path.unlink()
        # A segment number is never used twice: the position of a settled one must not be read into a new one.
        self._writing = max([self._segment, *(_number(p) for p in self._segments())]) + 1
        self._count = sum(1 for _ in self._records())
        self._size = self._measured()

    @property
    def size(self) -> int:
        """Bytes that wait, over all segments."""
        return self._size

    @property
    def count(self) -> int:
        """Messages that wait."""
        return self._count

    def append(self, messages: Sequence[tuple[Message, int]]) -> None:
        """Keep messages with their arrival times; on return they are on disk.

        Raises: SpoolFull, also when the disk itself has no room; then nothing of them counts as kept.
        """
        data = b"".join(_record(message, arrived_at) for message, arrived_at in messages)
        if self.size + len(data) > self._max_bytes:
            raise SpoolFull
        path = self._path(self._writing)
        is_new = not path.exists()
        try:
            end = _appended(path, data)
            self._count += len(messages)
            self._size += len(data)
            if is_new:
                _sync_folder(self._folder)
        except OSError as exc:  # the disk is full, or worse: half a record must not hide those that follow it
            _LOG.warning("spool: %s", exc)
            self._writing += 1
            raise SpoolFull from exc
        if end >= _SEGMENT_BYTES:
            self._writing += 1

    def head(self, max_bytes: int) -> list[Spooled]:
        """The oldest messages, up to about `max_bytes` of plain payload, at least one if there is one."""
        batch, total = [], 0
        for record in self._records():
            batch.append(record)
            total += plain_size(record.message.payload)
            if total >= max_bytes:
                break
        return batch

    def settle(self, batch: Sequence[Spooled]) -> None:
        """Forget a batch that `head` gave."""
        last = batch[-1]
        self._count -= len(batch)
        for path in self._segments():
            if _number(path) < last.segment:
                path.unlink()
        self._segment, self._offset = last.segment, last.end
        try:
            self._write_position()
        except OSError as exc:  # a full disk: after a restart these are read again, and booked as duplicates
            _LOG.warning("spool: %s", exc)
        if self._writing == last.segment:
            self._writing += 1  # so that a settled segment is not written to again and can go
        path = self._path(last.segment)
        if last.end >= path.stat().st_size:
            path.unlink()
        self._size = self._measured()

    def give_up(self) -> None:
        """What was counted cannot be read any more (the disk damaged it): stop waiting for it.

        Its devices have no receipt and send it again.
        """
        self._count = sum(1 for _ in self._records())
        self._size = self._measured()

    def _measured(self) -> int:
        total = sum(path.stat().st_size for path in self._segments())
        return max(0, total - self._offset) if self._path(self._segment).exists() else total

    def _write_position(self) -> None:
        fresh = self._position_file.with_suffix(".new")
        with fresh.open("w", encoding="ascii") as file:
            file.write(f"{self._segment} {self._offset}")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._position_file)
        _sync_folder(self._folder)

    def _records(self) -> Iterator[Spooled]:
        for path in self._segments():
            number = _number(path)
            if number < self._segment:
                continue
            yield from self._segment_records(path, self._offset if number == self._segment else 0)

    def _segment_records(self, path: Path, offset: int) -> Iterator[Spooled]:
        with path.open("rb") as file:
            file.seek(offset)
            while head := file.read(_HEAD.size):
                body = b""
                if len(head) == _HEAD.size:
                    length, crc = _HEAD.unpack(head)
                    body = file.read(length)
                    if len(body) == length and zlib.crc32(body) == crc:
                        yield _parsed(body, _number(path), file.tell())
                        continue
                self.torn += 1
                return

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("*.spool"))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.spool"

    def _read_position(self) -> tuple[int, int]:
        """Where reading goes on. A position that cannot be read is the beginning: what is read again is
        booked as duplicate.
        """
        try:
            segment, offset = self._position_file.read_text(encoding="ascii").split()
            return int(segment), int(offset)
        except (OSError, ValueError):
            return 0, 0


def _appended(path: Path, data: bytes) -> int:
    """Append and sync; the size then. If that fails the file is as before, as far as the disk lets us."""
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            written = 0
            while written < len(data):
                written += file.write(data[written:])
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise
        return file.tell()


def _number(path: Path) -> int:
    return int(path.stem)


def _record(message: Message, arrived_at: int) -> bytes:
    topic = message.topic.encode()[:65_535]
    body = _BODY.pack(arrived_at, len(topic)) + topic + message.payload
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _parsed(body: bytes, segment: int, end: int) -> Spooled:
    arrived_at, length = _BODY.unpack_from(body)
    topic = body[_BODY.size : _BODY.size + length].decode(errors="replace")
    return Spooled(Message(topic, body[_BODY.size + length :]), arrived_at, segment, end)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable, not only its bytes."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
