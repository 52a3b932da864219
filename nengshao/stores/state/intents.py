"""Intents: the exact rows a batch is about to write, until they are booked."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.ports import Intent, Lease
from nengshao.stores.state.bulk import bytes_of_frame, frame_of_bytes, upsert
from nengshao.stores.state.leases import check_lease
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import intents

_REMEMBERED = 1_000
"""Struck intents that are remembered by name, so that a booking sent twice is known."""


class SqlIntents(Part):
    """First commit of a batch."""

    def record_intent(self, lease: Lease, intent: Intent) -> None:
        """Keep the intent; the same one again replaces itself. Raises: LeaseLost."""
        with self._db.writing() as connection:
            check_lease(connection, lease)
            statement = upsert(connection, intents)
            new = statement.excluded
            seq = connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["intent_id"],
                    set_={"readings": new.readings, "dirty": new.dirty, "epoch": new.epoch},
                    where=~intents.c.is_struck,
                ).returning(intents.c.seq),
                _row_of(intent),
            ).scalar()
            if seq is not None:
                _forget(connection, intent.partition, seq - _REMEMBERED)

    def open_intents(self, partition: int) -> list[Intent]:
        """Intents of the partition that were never struck, oldest first."""
        query = sa.select(intents).where(intents.c.partition == partition, ~intents.c.is_struck)
        with self._db.reading() as connection:
            rows = connection.execute(query.order_by(intents.c.seq)).all()
        return [
            Intent(
                intent_id=row.intent_id,
                partition=row.partition,
                epoch=row.epoch,
                made_at=row.made_at,
                readings=frame_of_bytes(row.readings),
                dirty=frame_of_bytes(row.dirty),
            )
            for row in rows
        ]


def is_booked(connection: Connection, intent_id: str) -> bool:
    """Whether this very intent has been booked and struck before."""
    query = sa.select(intents.c.is_struck).where(intents.c.intent_id == intent_id)
    return bool(connection.execute(query.with_for_update()).scalar())


def write_intents_left(connection: Connection, own: str | None, left: Mapping[str, pl.DataFrame]) -> None:
    """Keep of each intent the rows given and strike those without any; `own` is struck unless it has rows."""
    for intent_id in sorted({*left, *([own] if own else [])}):
        of_intent = intents.c.intent_id == intent_id
        rows = left.get(intent_id)
        if rows is not None and rows.height:
            connection.execute(sa.update(intents).where(of_intent).values(readings=bytes_of_frame(rows)))
        elif intent_id == own:
            struck = {"is_struck": True, "readings": b"", "dirty": b""}
            connection.execute(sa.update(intents).where(of_intent).values(struck))
        else:
            connection.execute(sa.delete(intents).where(of_intent))


def _row_of(intent: Intent) -> dict[str, object]:
    return {
        "intent_id": intent.intent_id,
        "partition": intent.partition,
        "epoch": intent.epoch,
        "made_at": intent.made_at,
        "readings": bytes_of_frame(intent.readings),
        "dirty": bytes_of_frame(intent.dirty),
        "is_struck": False,
    }


def _forget(connection: Connection, partition: int, before: int) -> None:
    old = sa.and_(intents.c.partition == partition, intents.c.is_struck, intents.c.seq < before)
    connection.execute(sa.delete(intents).where(old))
