"""Quarantine at rest: written through its gate, listed, and taken back by a replay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.readings import Outcome, Reason, Source
from nengshao.domain.time import accounting_day
from nengshao.ports import Booking
from nengshao.stores.state.bulk import Row, delete_each, run_many, select_among, upsert
from nengshao.stores.state.part import Part
from nengshao.stores.state.quarantine_gate import (
    TOTAL,
    Gate,
    QuarantineCaps,
    Usage,
    folded_by_device,
    row_of,
    sender_of,
    usage_senders,
)
from nengshao.stores.state.schema import quarantine, quarantine_usage

_INTERNAL: Final = ("raw", "fingerprint", "day", "ledger_enterprise")
_SHOWN: Final = (
    *(column for column in quarantine.c if column.name not in _INTERNAL),
    quarantine.c.raw.is_not(None).label("has_raw"),
)


class SqlQuarantine(Part):
    """Reading the quarantine; it is written by bookings."""

    def quarantine_page(
        self,
        *,
        enterprise: str | None = None,
        reason: str | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[Mapping[str, Any]]:
        """Newest entries first, without raw; besides the port's columns `seen`: how often it came."""
        query = sa.select(*_SHOWN).order_by(quarantine.c.quarantine_id.desc()).limit(limit)
        if enterprise is not None:
            query = query.where(quarantine.c.enterprise == enterprise)
        if reason is not None:
            query = query.where(quarantine.c.reason == reason)
        if before_id is not None:
            query = query.where(quarantine.c.quarantine_id < before_id)
        with self._db.reading() as connection:
            return [_shown(row) for row in connection.execute(query).mappings()]

    def quarantine_raw(self, quarantine_id: int) -> tuple[Mapping[str, Any], bytes | None] | None:
        """One entry (as in `quarantine_page`) with its raw bytes; None if there is none."""
        query = sa.select(*_SHOWN, quarantine.c.raw).where(quarantine.c.quarantine_id == quarantine_id)
        with self._db.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        return _shown({name: value for name, value in row.items() if name != "raw"}), row["raw"]


def write_quarantine(
    connection: Connection,
    booking: Booking,
    *,
    registered: set[str],
    caps: QuarantineCaps,
) -> list[Row]:
    """Strike what was replayed, then keep, count or fold each new entry as the caps allow.

    Returns the ledger rows (with negative counts) that take the struck entries' counts back.
    """
    if not (booking.quarantine or booking.replayed):
        return []
    struck = _strike(connection, booking.replayed)
    day = accounting_day(booking.at)
    rows = [
        row_of(entry, day=day, ledger_enterprise=entry.enterprise if entry.enterprise in registered else "")
        for entry in booking.quarantine
    ]
    gate = Gate(caps, _known(connection, rows), _usage(connection, rows), added=_freed(struck))
    for row in rows:
        gate.let_in(row)
    _write_rows(connection, gate.rows)
    _write_usage(connection, gate.added)  # last: its rows are shared by all
    return [_taken_back(row) for row in struck]


def _strike(connection: Connection, quarantine_ids: Sequence[int]) -> list[Mapping[Any, Any]]:
    names = ("quarantine_id", "enterprise", "device", "source", "reason", "sha256", "count", "day")
    columns = [quarantine.c[name] for name in (*names, "ledger_enterprise")]
    size = sa.func.coalesce(sa.func.length(quarantine.c.raw), 0).label("raw_bytes")
    query = sa.select(*columns, size).order_by(quarantine.c.quarantine_id).with_for_update()
    found = select_among(connection, query, quarantine.c.quarantine_id, quarantine_ids)
    delete_each(connection, quarantine, [{"quarantine_id": row.quarantine_id} for row in found])
    return [row._mapping for row in found]


def _freed(struck: Sequence[Mapping[Any, Any]]) -> dict[str, Usage]:
    freed: dict[str, Usage] = {}
    for row in struck:
        for sender in usage_senders(row):
            freed.setdefault(sender, Usage()).add(-1, -row["raw_bytes"])
    return freed


def _taken_back(row: Mapping[Any, Any]) -> Row:
    return {
        "day": row["day"],
        "enterprise": row["ledger_enterprise"],
        "source": row["source"],
        "outcome": Outcome.QUARANTINED.value,
        "reason": row["reason"],
        "count": -row["count"],
    }


def _known(connection: Connection, rows: Sequence[Row]) -> set[str]:
    wanted = [kept["fingerprint"] for row in rows for kept in (row, folded_by_device(row))]
    query = sa.select(quarantine.c.fingerprint)
    return {row.fingerprint for row in select_among(connection, query, quarantine.c.fingerprint, wanted)}


def _usage(connection: Connection, rows: Sequence[Row]) -> dict[str, Usage]:
    senders = [TOTAL, *(sender_of(row) for row in rows)]
    query = sa.select(quarantine_usage)
    found = select_among(connection, query, quarantine_usage.c.sender, senders)
    return {row.sender: Usage(row.rows, row.raw_bytes) for row in found}


def _write_rows(connection: Connection, rows: Mapping[str, Row]) -> None:
    statement = upsert(connection, quarantine)
    new, old = statement.excluded, quarantine.c
    counted = statement.on_conflict_do_update(
        index_elements=["fingerprint"],
        set_={
            "seen": old.seen + new.seen,
            "count": old["count"] + new["count"],
            "last_at": sa.case((new.last_at > old.last_at, new.last_at), else_=old.last_at),
        },
    )
    run_many(connection, counted, list(rows.values()))  # as they came, so that ids tell the order


def _write_usage(connection: Connection, added: Mapping[str, Usage]) -> None:
    statement = upsert(connection, quarantine_usage)
    new, old = statement.excluded, quarantine_usage.c
    grown = statement.on_conflict_do_update(
        index_elements=["sender"],
        set_={"rows": old.rows + new.rows, "raw_bytes": old.raw_bytes + new.raw_bytes},
    )
    rows = [{"sender": name, "rows": u.rows, "raw_bytes": u.raw_bytes} for name, u in sorted(added.items())]
    run_many(connection, grown, rows)
    emptied = sa.and_(old.sender == sa.bindparam("of_sender"), old.rows <= 0)
    run_many(
        connection, sa.delete(quarantine_usage).where(emptied), [{"of_sender": row["sender"]} for row in rows]
    )


def _shown(row: Mapping[Any, Any]) -> Mapping[str, Any]:
    values = {str(name): value for name, value in row.items()}
    return values | {
        "source": Source(values["source"]),
        "reason": Reason(values["reason"]),
        "indexes": tuple(json.loads(values["indexes"])),
        "has_raw": bool(values["has_raw"]),
    }
