"""The inbox: raw deliveries by file, API, replay or orphaned spool, and the receipts they end in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.readings import Source
from nengshao.ports import InboxEntry
from nengshao.stores.state.bulk import run_many, upsert
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import inbox


class SqlInbox(Part):
    """Deliveries waiting for their partition's holder."""

    def put_inbox(self, entry: InboxEntry) -> int:
        """Keep a delivery; the id of the entry. The same idempotency key: the first one's, unchanged."""
        with self._db.writing() as connection:
            kept = upsert(connection, inbox).values(_row_of(entry, self._placing(connection)))
            added = connection.execute(
                kept.on_conflict_do_nothing(index_elements=["idempotency_key"]).returning(inbox.c.inbox_id)
            ).scalar()
            if added is not None:
                return int(added)
            first = sa.select(inbox.c.inbox_id).where(inbox.c.idempotency_key == entry.idempotency_key)
            return int(connection.execute(first).scalar_one())

    def put_inbox_all(self, entries: Sequence[InboxEntry]) -> None:
        """Keep all of these deliveries, in their order, or none. Those whose key is there stay as is."""
        with self._db.writing() as connection:
            place = self._placing(connection)
            kept = upsert(connection, inbox).on_conflict_do_nothing(index_elements=["idempotency_key"])
            run_many(connection, kept, [_row_of(entry, place) for entry in entries])

    def take_inbox(self, partition: int, limit: int) -> list[InboxEntry]:
        """The oldest entries not yet booked; taking changes nothing."""
        waiting = sa.select(inbox).where(inbox.c.partition == partition, inbox.c.receipt.is_(None))
        with self._db.reading() as connection:
            rows = connection.execute(waiting.order_by(inbox.c.inbox_id).limit(limit)).mappings().all()
        return [_entry_of(row) for row in rows]

    def upload_receipt(self, inbox_id: int) -> Mapping[str, Any] | None:
        """What became of an upload; None if there is no such upload."""
        names = ("inbox_id", "accepted_at", "enterprise", "submitted_by", "receipt")
        query = sa.select(*(inbox.c[name] for name in names)).where(inbox.c.inbox_id == inbox_id)
        with self._db.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        receipt = row["receipt"]
        booked = receipt is not None
        return {
            **row,
            "state": "booked" if booked else "waiting",
            "receipt": json.loads(receipt) if booked else None,
        }

    def inbox_size(self) -> int:
        """Entries waiting, all partitions."""
        query = sa.select(sa.func.count()).select_from(inbox).where(inbox.c.receipt.is_(None))
        with self._db.reading() as connection:
            return int(connection.execute(query).scalar_one())


def write_receipts(connection: Connection, done: Mapping[int, str]) -> None:
    """Give each entry its receipt and let go of its raw bytes. A receipt once given stays."""
    booked = (
        sa.update(inbox)
        .where(inbox.c.inbox_id == sa.bindparam("of_inbox"), inbox.c.receipt.is_(None))
        .values(receipt=sa.bindparam("given"), raw=None)
    )
    run_many(connection, booked, [{"of_inbox": key, "given": done[key]} for key in sorted(done)])


def _row_of(entry: InboxEntry, place: Callable[[str], int]) -> dict[str, Any]:
    values = {name: value for name, value in asdict(entry).items() if name != "inbox_id"}
    return values | {"source": entry.source.value, "partition": place(entry.enterprise)}


def _entry_of(row: Mapping[Any, Any]) -> InboxEntry:
    values = {name: row[name] for name in InboxEntry.__dataclass_fields__}
    return InboxEntry(**values | {"source": Source(row["source"])})
