"""Keeping: what a device has sent and holds until its receipt, in memory and, if asked, in a journal file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import msgspec

from nengshao.wire import MessageReceipt, payload_digest
from simulators.stream import Outgoing


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a device waits for a receipt before it sends the same bytes again: twice as long each time."""

    first_s: float = 60.0
    max_s: float = 3600.0


@dataclass(slots=True)
class ReceiptCounts:
    """What receipts said of the readings sent; `messages` that were answered, `rejected` by reason."""

    messages: int = 0
    stored: int = 0
    duplicate: int = 0
    corrected: int = 0
    superseded: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, receipt: MessageReceipt) -> None:
        """Count one message's receipt."""
        self.messages += 1
        self.stored += receipt.stored
        self.duplicate += receipt.duplicate
        self.corrected += receipt.corrected
        self.superseded += receipt.superseded
        self.rejected.update(item.reason for item in receipt.rejected)


class _Line(msgspec.Struct, omit_defaults=True):
    """A line of a journal: a message that is kept, or the digest of one that is no longer."""

    kept: Outgoing | None = None
    done: str = ""


_encode: Final = msgspec.json.encode
_decode: Final = msgspec.json.Decoder(_Line).decode


class Waiting:
    """A message that waits for its receipt, and when it is sent again (monotonic seconds)."""

    __slots__ = ("due", "message", "patience")

    def __init__(self, message: Outgoing, due: float, patience: float) -> None:
        self.message, self.due, self.patience = message, due, patience


class Keep:
    """One device's messages without a receipt, oldest first. Not safe for threads: the publisher locks.

    A message is named by the SHA-256 of its payload, which receipts carry, else by its number.
    """

    def __init__(self, journal: Path | None, patience: Patience) -> None:
        self._first_s, self._max_s = patience.first_s, patience.max_s
        self._waiting: dict[str, Waiting] = {}
        self._digests: dict[int, str] = {}
        self._journal: IO[bytes] | None = None
        if journal is not None:
            for message in read_journal(journal):
                self._remember(message, now=0.0)
            write_journal(journal, self.waiting())
            self._journal = journal.open("ab")

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self) -> list[Outgoing]:
        """Every message without a receipt, in the order in which it was kept."""
        return [entry.message for entry in self._waiting.values()]

    def put(self, message: Outgoing, now: float) -> bool:
        """Keep a message; False if these very bytes are kept already. Returns once the journal has it."""
        if not self._remember(message, now):
            return False
        self._write(_Line(kept=message))
        return True

    def settle(self, receipt: MessageReceipt) -> bool:
        """Let go of the message that a receipt names; False if none is kept under that name."""
        digest = receipt.sha256
        if digest not in self._waiting and receipt.seq is not None:
            digest = self._digests.get(receipt.seq, digest)
        entry = self._waiting.pop(digest, None)
        if entry is None:
            return False
        self._digests.pop(entry.message.seq, None)
        if self._waiting or self._journal is None:
            self._write(_Line(done=digest))
        else:
            self._journal.truncate(0)  # nothing waits: the journal starts afresh
        return True

    def due(self, now: float) -> list[Outgoing]:
        """Messages whose receipt is overdue; each is then given twice the time, up to the limit."""
        overdue = [entry for entry in self._waiting.values() if entry.due <= now]
        for entry in overdue:
            entry.patience = min(2 * entry.patience, self._max_s)
            entry.due = now + entry.patience
        return [entry.message for entry in overdue]

    def postpone(self, now: float) -> None:
        """Start every waiting message's time anew: all have just been sent."""
        for entry in self._waiting.values():
            entry.due = now + entry.patience

    def close(self) -> None:
        """Close the journal; what waits stays in it."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _remember(self, message: Outgoing, now: float) -> bool:
        digest = payload_digest(message.payload)
        if digest in self._waiting:
            return False
        self._waiting[digest] = Waiting(message, now + self._first_s, self._first_s)
        self._digests[message.seq] = digest
        return True

    def _write(self, line: _Line) -> None:
        if self._journal is not None:
            self._journal.write(_encode(line) + b"\n")
            self._journal.flush()


def read_journal(path: Path) -> Iterator[Outgoing]:
    """The messages of a journal that have no receipt, in order. A line torn by a crash was never sent."""
    kept: dict[str, Outgoing] = {}
    for raw in path.read_bytes().splitlines() if path.exists() else ():
        try:
            line = _decode(raw)
        except msgspec.DecodeError:
            continue
        if line.kept is not None:
            kept[payload_digest(line.kept.payload)] = line.kept
        else:
            kept.pop(line.done, None)
    yield from kept.values()


def write_journal(path: Path, messages: Iterable[Outgoing]) -> None:
    """A journal that holds just these messages, in place of the one at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(b"".join(_encode(_Line(kept=message)) + b"\n" for message in messages))
    fresh.replace(path)
