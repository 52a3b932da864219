"""Meter events: what happened to registers, and what people said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.frames import METER_EVENTS
from nengshao.stores.state.bulk import (
    columns_of,
    delete_each,
    frame_of,
    rows_of,
    run_many,
    select_among,
    select_in_spans,
    upsert,
)
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import meter_events


class SqlMeterEvents(Part):
    """Events for a person to confirm."""

    def meter_events(
        self, enterprises: Sequence[str], start: int, end: int, *, only_open: bool = False
    ) -> list[Mapping[str, Any]]:
        """METER_EVENTS rows with start <= ts < end and confirmed_by, confirmed_at, note, newest first."""
        query = sa.select(meter_events).where(meter_events.c.ts >= start, meter_events.c.ts < end)
        if only_open:
            query = query.where(meter_events.c.confirmed_by.is_(None))
        with self._db.reading() as connection:
            found = select_among(connection, query, meter_events.c.enterprise, enterprises)
        rows = [dict(row._mapping) for row in found]
        return sorted(rows, key=lambda row: (-row["ts"], row["enterprise"], row["point"], row["event"]))

    def confirm_event(  # noqa: PLR0917 - the key of an event, and who says what of it
        self, enterprise: str, point: int, ts: int, event: str, by: str, note: str, at: int
    ) -> bool:
        """A person has looked at it, the last one stands; False if there is no such event."""
        c = meter_events.c
        said = (
            sa.update(meter_events)
            .where(c.enterprise == enterprise, c.point == point, c.ts == ts, c.event == event)
            .values(confirmed_by=by, confirmed_at=at, note=note)
        )
        with self._db.writing() as connection:
            return connection.execute(said).rowcount == 1


def write_events(connection: Connection, events: pl.DataFrame, spans: pl.DataFrame) -> None:
    """Replace the events within the spans (enterprise, start, end); one found again keeps what was said."""
    columns = columns_of(meter_events, METER_EVENTS.schema)
    ts = meter_events.c.ts
    there = select_in_spans(connection, sa.select(*columns), meter_events.c.enterprise, (ts, ts + 1), spans)
    gone = frame_of(there, METER_EVENTS.schema).join(events, on=METER_EVENTS.key, how="anti")
    delete_each(connection, meter_events, rows_of(gone, METER_EVENTS.schema, by=METER_EVENTS.key))
    found = rows_of(events, METER_EVENTS.schema, by=METER_EVENTS.key)
    run_many(connection, upsert(connection, meter_events).on_conflict_do_nothing(), found)
