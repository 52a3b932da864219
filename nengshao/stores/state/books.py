"""The books: third commit of a batch, the ledger, corrections and watermarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.time import accounting_day
from nengshao.ports import (
    CORRECTIONS_SCHEMA,
    LEDGER_SCHEMA,
    WATERMARK_SCHEMA,
    Booking,
    Lease,
)
from nengshao.stores.state.bulk import (
    Row,
    columns_of,
    frame_of,
    rows_of,
    run_many,
    select_among,
    upsert,
    upsert_all,
)
from nengshao.stores.state.clocks import write_clocks
from nengshao.stores.state.devices import write_last_seen, write_statuses
from nengshao.stores.state.dirty import write_dirty
from nengshao.stores.state.engine import Database
from nengshao.stores.state.inbox import write_receipts
from nengshao.stores.state.intents import is_booked, write_intents_left
from nengshao.stores.state.leases import check_lease
from nengshao.stores.state.part import Part
from nengshao.stores.state.quarantine import write_quarantine
from nengshao.stores.state.quarantine_gate import QuarantineCaps
from nengshao.stores.state.resends import write_gaps
from nengshao.stores.state.schema import corrections, ledger, registry_tables, watermarks

_LEDGER_KEY: Final = ["day", "enterprise", "source", "outcome", "reason"]
_LEDGER_OUT: Final = {"day": pl.Int32, **LEDGER_SCHEMA}


class SqlBooks(Part):
    """What became of every delivered reading."""

    def __init__(self, database: Database, partitions: int, caps: QuarantineCaps) -> None:
        """`caps` bound what the quarantine keeps."""
        super().__init__(database, partitions)
        self._caps: Final = caps

    def book(self, lease: Lease, booking: Booking) -> None:
        """Write everything of the booking or nothing.

        A booking whose intent has been struck by the same booking before (its commit went through, but the
        answer was lost) changes nothing. Raises: LeaseLost.
        """
        with self._db.writing() as connection:
            check_lease(connection, lease)
            if booking.intent_id is not None and is_booked(connection, booking.intent_id):
                return
            self._book(connection, booking)

    def _book(self, connection: Connection, booking: Booking) -> None:
        day = accounting_day(booking.at)
        names = {*booking.ledger["enterprise"], *(entry.enterprise for entry in booking.quarantine)}
        registered = _registered(connection, names)
        write_intents_left(connection, booking.intent_id, booking.intents_left)
        write_receipts(connection, booking.inbox_done)
        write_dirty(connection, booking.dirty, self._partition)
        _write_watermarks(connection, booking.watermarks)
        write_last_seen(connection, booking.last_seen, self._partition)
        write_statuses(connection, booking.statuses)
        write_clocks(connection, booking.clocks, booking.at)
        write_gaps(connection, booking.gaps, booking.at, self._partition)
        _write_corrections(connection, booking.corrections)
        taken_back = write_quarantine(connection, booking, registered=registered, caps=self._caps)
        _write_ledger(connection, [*_ledger_rows(booking.ledger, day, registered), *taken_back])

    def watermarks(self, points: Sequence[int]) -> pl.DataFrame:
        """WATERMARK_SCHEMA rows of those points that have one, sorted by point."""
        with self._db.reading() as connection:
            rows = select_among(connection, sa.select(watermarks), watermarks.c.point, points)
        return frame_of(rows, WATERMARK_SCHEMA).sort("point")

    def ledger(
        self, *, enterprise: str | None = None, from_day: int | None = None, to_day: int | None = None
    ) -> pl.DataFrame:
        """day + LEDGER_SCHEMA, sorted by all but count. Unregistered senders are booked under ""."""
        query = sa.select(*columns_of(ledger, _LEDGER_OUT)).where(ledger.c["count"] != 0)
        if enterprise is not None:
            query = query.where(ledger.c.enterprise == enterprise)
        if from_day is not None:
            query = query.where(ledger.c.day >= from_day)
        if to_day is not None:
            query = query.where(ledger.c.day < to_day)
        with self._db.reading() as connection:
            rows = connection.execute(query).all()
        return frame_of(rows, _LEDGER_OUT).sort(_LEDGER_KEY)

    def corrections(self, points: Sequence[int], limit: int = 1000) -> pl.DataFrame:
        """CORRECTIONS_SCHEMA rows, newest first."""
        number = corrections.c.correction_id
        query = (
            sa.select(number, *columns_of(corrections, CORRECTIONS_SCHEMA))
            .order_by(number.desc())
            .limit(limit)
        )
        with self._db.reading() as connection:
            rows = select_among(connection, query, corrections.c.point, points)
        newest = sorted(rows, key=lambda row: -row.correction_id)[:limit]
        return frame_of([row[1:] for row in newest], CORRECTIONS_SCHEMA)


def _registered(connection: Connection, names: Iterable[str]) -> set[str]:
    """Those of `names` that the registry knows: others may be made up, and must not grow the ledger."""
    column = registry_tables["enterprises"].c.enterprise
    return {row.enterprise for row in select_among(connection, sa.select(column), column, names)}


def _ledger_rows(frame: pl.DataFrame, day: int, registered: set[str]) -> list[Row]:
    known = pl.col("enterprise").is_in(list(registered))
    named = frame.with_columns(enterprise=pl.when(known).then("enterprise").otherwise(pl.lit("")))
    return [row | {"day": day} for row in rows_of(named, LEDGER_SCHEMA)]


def _write_ledger(connection: Connection, rows: Sequence[Row]) -> None:
    """Add the counts to their rows; summed before, and in one order for every worker."""
    summed = (
        frame_of([[row[name] for name in _LEDGER_OUT] for row in rows], _LEDGER_OUT)
        .group_by(_LEDGER_KEY)
        .agg(pl.col("count").sum())
    )
    if summed.is_empty():
        return
    statement = upsert_all(connection, ledger, summed.sort(_LEDGER_KEY))
    added = statement.on_conflict_do_update(
        index_elements=_LEDGER_KEY, set_={"count": ledger.c["count"] + statement.excluded["count"]}
    )
    connection.execute(added)


def _write_corrections(connection: Connection, frame: pl.DataFrame) -> None:
    key = ["point", "ts", "version", "lost"]
    once = frame.group_by(key, maintain_order=True).agg(pl.col("kept").max())
    statement = upsert(connection, corrections)
    kept = statement.on_conflict_do_update(
        index_elements=key,
        set_={"kept": statement.excluded.kept},
        where=statement.excluded.kept > corrections.c.kept,
    )
    run_many(connection, kept, rows_of(once, CORRECTIONS_SCHEMA))
    _raise_kept(connection, frame)


def _raise_kept(connection: Connection, frame: pl.DataFrame) -> None:
    """Lesser values noted before learn of a still greater one: what stands does not depend on the order."""
    version = ["point", "ts", "version"]
    greatest = frame.group_by(version).agg(pl.col("kept").max()).sort(version)
    same = [corrections.c[name] == sa.bindparam(f"of_{name}") for name in version]
    raised = (
        sa.update(corrections)
        .where(*same, corrections.c.kept < sa.bindparam("of_kept"))
        .values(kept=sa.bindparam("of_kept"))
    )
    rows = [{f"of_{name}": value for name, value in row.items()} for row in greatest.rows(named=True)]
    run_many(connection, raised, rows)


def _write_watermarks(connection: Connection, frame: pl.DataFrame) -> None:
    if frame.is_empty():
        return
    latest = frame.group_by("point").agg(pl.col("watermark").max()).sort("point")
    statement = upsert_all(connection, watermarks, latest)
    grown = statement.on_conflict_do_update(
        index_elements=["point"],
        set_={"watermark": statement.excluded.watermark},
        where=statement.excluded.watermark > watermarks.c.watermark,
    )
    connection.execute(grown)
