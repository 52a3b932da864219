"""What a device has measured: half a year of its messages, kept to answer resend requests (补传) from."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from nengshao.domain.time import DAY_S, parse_instant
from nengshao.wire import Limits, Message, Topic, decode, payload_digest
from nengshao.wire.commands import decode_command
from simulators.stream import Outgoing

KEPT_DAYS: Final = 183
_AT_ONCE: Final = 500  # messages that are read and written together
_MOST_REQUESTS: Final = 16
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sent (
    number INTEGER PRIMARY KEY, enterprise TEXT, device TEXT, first INTEGER, last INTEGER, at INTEGER,
    seq INTEGER, topic TEXT, payload BLOB, digest TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS sent_by_device ON sent (enterprise, device, last);
"""


@dataclass(slots=True)
class Request:
    """A resend request that is being answered: readings of these points (data code, statType, meter) in
    [start, end), in messages after the one of that number."""

    number: int
    enterprise: str
    device: str
    start: int
    end: int
    points: frozenset[tuple[str, int, str]]
    after: int = field(default=0)


class Archive:
    """The messages of all devices of a publisher, as bytes. A resend is the very message that was made, so it
    can never be younger than a correction made later. May be used from several threads.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Without a `path`: in memory, for as long as the process lives."""
        self._lock = threading.Lock()
        self._fresh: list[Outgoing] = []
        self._file = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.executescript(_SCHEMA)

    def put(self, message: Outgoing) -> None:
        """Keep a message."""
        with self._lock:
            self._fresh.append(message)
            if len(self._fresh) >= _AT_ONCE:
                self._flush()

    def find(self, request: Request, most: int) -> list[Outgoing]:
        """The next messages, at most so many, that hold something of what is asked; none: that was all."""
        found: list[Outgoing] = []
        with self._lock:
            self._flush()
            while len(found) < most and (rows := self._rows(request, most)):
                messages = [
                    Outgoing(request.enterprise, request.device, at, topic, zlib.decompress(payload), seq)
                    for _, at, topic, payload, seq in rows
                ]
                asked = _numbers_asked(messages, request)
                for number, (row, message) in enumerate(zip(rows, messages, strict=True)):
                    if len(found) < most:
                        request.after = row[0]
                        found += [message] * (number in asked)
        return found

    def close(self) -> None:
        """Write down what is fresh, and close."""
        with self._lock, closing(self._file):
            self._flush()

    def _rows(self, request: Request, most: int) -> list[Any]:
        return self._file.execute(
            "SELECT number, at, topic, payload, seq FROM sent WHERE enterprise = ? AND device = ?"
            " AND last >= ? AND first < ? AND number > ? ORDER BY number LIMIT ?",
            (request.enterprise, request.device, request.start, request.end, request.after, most),
        ).fetchall()

    def _flush(self) -> None:
        if not self._fresh:
            return
        newest = max(message.at for message in self._fresh)
        with self._file:
            self._file.execute("BEGIN")
            self._file.executemany(
                "INSERT OR IGNORE INTO sent"
                " (enterprise, device, first, last, at, seq, topic, payload, digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _rows_of(self._fresh),
            )
            self._file.execute("DELETE FROM sent WHERE at < ?", (newest - KEPT_DAYS * DAY_S,))
        self._fresh.clear()


def _rows_of(messages: Sequence[Outgoing]) -> Iterator[tuple[Any, ...]]:
    """Rows of the messages that can be read; one that was garbled on its way out is of no use."""
    spans = _readings(messages).group_by("message").agg(pl.col("ts").min(), last=pl.col("ts").max())
    for number, first, last in spans.drop_nulls().sort("message").iter_rows():
        one = messages[number]
        packed, digest = zlib.compress(one.payload, 1), payload_digest(one.payload)
        yield one.enterprise, one.device, first, last, one.at, one.seq, one.topic, packed, digest


def _numbers_asked(messages: Sequence[Outgoing], request: Request) -> set[int]:
    """Positions of the messages that hold a reading of what is asked."""
    within = pl.col("ts").is_between(request.start, request.end, closed="left")
    held = _readings(messages).filter(within).select("message", "data_code", "stat_type", "meter")
    return {number for number, *point in held.iter_rows() if tuple(point) in request.points}


def _readings(messages: Sequence[Outgoing]) -> pl.DataFrame:
    return decode([Message(one.topic, one.payload) for one in messages], Limits()).readings


class Answers:
    """Resend requests that wait for their answer, and the pace at which they get it."""

    def __init__(self, archive: Archive, per_second: float) -> None:
        self._archive, self._per_second = archive, per_second
        self._requests: dict[tuple[str, str, int], Request] = {}
        self._paid_at = 0.0

    def take(self, topic: Topic, payload: bytes) -> bool:
        """Take a command; False if it is none that we know, or too many wait: who asked will ask again."""
        try:
            command = decode_command(payload)
            start, end = parse_instant(command.start), parse_instant(command.end)
        except (msgspec.DecodeError, ValueError, OverflowError):
            return False
        points = frozenset((one.dataCode, one.statType, one.meter) for one in command.points)
        waiting = sum(key[:2] == (topic.enterprise, topic.device) for key in self._requests)
        if start >= end or not points or waiting >= _MOST_REQUESTS:
            return False
        request = Request(command.id, topic.enterprise, topic.device, start, end, points)
        self._requests.setdefault((topic.enterprise, topic.device, command.id), request)
        return True

    def due(self, now: float, most: int) -> list[Outgoing]:
        """What may be sent now (monotonic seconds), the oldest request first; at most so many messages."""
        budget = min(most, int(self._per_second * min(1.0, now - self._paid_at)))
        if budget <= 0 or not self._requests:
            return []
        self._paid_at = now
        messages: list[Outgoing] = []
        for key, request in list(self._requests.items()):
            wanted = budget - len(messages)
            found = self._archive.find(request, wanted) if wanted else []
            messages += found
            if len(found) < wanted:
                del self._requests[key]
        return messages
