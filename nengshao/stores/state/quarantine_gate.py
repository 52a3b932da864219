"""What of a booking's quarantine is kept, so that no sender can fill the disk. Pure: rows in, rows out.

An entry that comes again is counted, not kept again. Beyond the caps of a device its entries fold into one
row per reason, source and day; beyond the caps of all, into one per registered enterprise. Counts stay exact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nengshao.ports import QuarantineEntry
from nengshao.stores.state.bulk import Row, storable_text

TOTAL: Final = "total"
"""The sender that stands for all of them; a real one has a slash."""

_LENGTHS: Final = {"enterprise": 64, "device": 128, "topic": 512, "detail": 1_000}
"""Characters kept of what a sender may have made up; the hash still tells two messages apart."""


@dataclass(frozen=True, slots=True)
class QuarantineCaps:
    """How much is kept: raw bytes of one message, of a device and in all; rows of a device and in all."""

    raw_cap_message: int = 64 * 1024
    raw_cap_device: int = 1024 * 1024
    row_cap_device: int = 1_000
    raw_cap_total: int = 256 * 1024 * 1024
    row_cap_total: int = 100_000


@dataclass(slots=True)
class Usage:
    """Rows and raw bytes of a sender."""

    rows: int = 0
    raw_bytes: int = 0

    def add(self, rows: int, raw_bytes: int) -> None:
        """Take up so much more."""
        self.rows += rows
        self.raw_bytes += raw_bytes


@dataclass(slots=True)
class Gate:
    """Lets entries in one by one; `rows` and `added` are then what is to be written.

    `added` may start below zero, with what the same booking has struck.
    """

    caps: QuarantineCaps
    known: set[str]  # fingerprints that are in the table
    usage: Mapping[str, Usage]  # before this booking
    rows: dict[str, Row] = field(default_factory=dict)
    added: dict[str, Usage] = field(default_factory=dict)

    def let_in(self, row: Row) -> None:
        """Count the row with its like, or keep it, or fold it into the first row there is room for."""
        by_device = folded_by_device(row)
        if self._is_kept(row) or self._has_room_for(row):
            self._keep(row)
        elif self._is_kept(by_device) or self._used(TOTAL).rows < self.caps.row_cap_total:
            self._keep(by_device)
        else:
            self._keep(_folded_by_enterprise(row))

    def _is_kept(self, row: Row) -> bool:
        return row["fingerprint"] in self.rows or row["fingerprint"] in self.known

    def _has_room_for(self, row: Row) -> bool:
        in_device = self._used(sender_of(row)).rows < self.caps.row_cap_device
        return in_device and self._used(TOTAL).rows < self.caps.row_cap_total

    def _keep(self, row: Row) -> None:
        like = self.rows.get(row["fingerprint"])
        if like is not None:
            like["seen"] += row["seen"]
            like["count"] += row["count"]
            like["last_at"] = max(like["last_at"], row["last_at"])
            return
        is_new = row["fingerprint"] not in self.known
        raw = row["raw"] if is_new and self._admits(sender_of(row), row["raw"]) else None
        self.rows[row["fingerprint"]] = row | {"raw": raw}
        if is_new:
            for sender in usage_senders(row):
                self.added.setdefault(sender, Usage()).add(1, len(raw or b""))

    def _admits(self, sender: str, raw: bytes | None) -> bool:
        size = len(raw or b"")
        return (
            size <= self.caps.raw_cap_message
            and self._used(sender).raw_bytes + size <= self.caps.raw_cap_device
            and self._used(TOTAL).raw_bytes + size <= self.caps.raw_cap_total
        )

    def _used(self, sender: str) -> Usage:
        before, added = self.usage.get(sender, Usage()), self.added.get(sender, Usage())
        return Usage(before.rows + added.rows, before.raw_bytes + added.raw_bytes)


def row_of(entry: QuarantineEntry, *, day: int, ledger_enterprise: str) -> Row:
    """The entry as a row of the table; `day` and `ledger_enterprise` name the ledger row it is booked in."""
    values: Row = {
        "enterprise": entry.enterprise,
        "device": entry.device,
        "source": entry.source.value,
        "topic": entry.topic,
        "reason": entry.reason.value,
        "detail": entry.detail,
        "sha256": entry.sha256,
        "size": entry.size,
        "raw": entry.raw,
        "indexes": json.dumps(entry.indexes),
        "arrived_at": entry.arrived_at,
        "last_at": entry.arrived_at,
        "seen": 1,
        "count": entry.count,
        "day": day,
        "ledger_enterprise": ledger_enterprise,
    }
    return _fingerprinted(
        values | {name: storable_text(values[name], size) for name, size in _LENGTHS.items()}
    )


def sender_of(row: Mapping[str, Any]) -> str:
    """Who a row is charged to."""
    return f"{row['enterprise']}/{row['device']}"


def usage_senders(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The senders whose usage a row adds to: a fold costs its device nothing."""
    return (sender_of(row), TOTAL) if row["sha256"] else (TOTAL,)


def folded_by_device(row: Row) -> Row:
    """The row as a part of its device's sum for that reason, source and day."""
    nothing = {"topic": "", "detail": "", "sha256": "", "size": 0, "raw": None, "indexes": "[]"}
    return _fingerprinted(row | nothing)


def _folded_by_enterprise(row: Row) -> Row:
    return _fingerprinted(folded_by_device(row) | {"enterprise": row["ledger_enterprise"], "device": ""})


def _fingerprinted(row: Row) -> Row:
    parts = ("enterprise", "device", "source", "reason", "sha256", "indexes", "day", "ledger_enterprise")
    text = json.dumps([row[name] for name in parts])
    return row | {"fingerprint": hashlib.sha256(text.encode()).hexdigest()}
