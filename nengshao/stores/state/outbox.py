"""The transactional outbox, and the log of what was told to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.ports import Notice
from nengshao.stores.state.bulk import run_many, upsert
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import deliveries, notices

_ENDING = ("delivered", "muted", "refused")


class SqlOutbox(Part):
    """`nengshao.ports.Outbox`."""

    def undelivered(self, limit: int) -> list[Notice]:
        """Notices not delivered or given up yet, oldest first."""
        query = sa.select(notices).where(notices.c.outcome.is_(None)).order_by(notices.c.seq).limit(limit)
        with self._db.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [Notice(**{name: row[name] for name in Notice.__dataclass_fields__}) for row in rows]

    def log_delivery(self, notice_id: str, channel: str, outcome: str, detail: str, at: int) -> None:
        """Append to the log; "delivered", "muted" and "refused" end the notice, "deferred" keeps it.

        Raises: StoreRejected for a notice that never was.
        """
        entry = {"notice_id": notice_id, "channel": channel, "outcome": outcome, "detail": detail, "at": at}
        ended = sa.update(notices).where(notices.c.notice_id == notice_id).values(outcome=outcome)
        with self._db.writing() as connection:
            connection.execute(sa.insert(deliveries).values(entry))
            if outcome in _ENDING:
                connection.execute(ended)

    def was_told(self, alert_id: str, reason: str, channel: str) -> bool:
        """Whether this step of this alert was delivered on this channel before."""
        told = sa.select(sa.literal(1)).select_from(
            notices.join(deliveries, notices.c.notice_id == deliveries.c.notice_id)
        )
        same = sa.and_(notices.c.alert_id == alert_id, notices.c.reason == reason)
        query = told.where(same, deliveries.c.channel == channel, deliveries.c.outcome == "delivered")
        with self._db.reading() as connection:
            return connection.execute(query.limit(1)).first() is not None


def write_notices(connection: Connection, made: Sequence[Notice]) -> None:
    """Put notices out; one that is there already, told or not, stays as it is."""
    added = upsert(connection, notices).on_conflict_do_nothing(index_elements=["notice_id"])
    run_many(connection, added, [asdict(notice) for notice in made])
