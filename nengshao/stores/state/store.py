"""The store as a whole: its parts put together, its schema, its life."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from nengshao.domain.errors import ConfigError
from nengshao.stores.state.alerts import SqlAlerts
from nengshao.stores.state.assessments import SqlAssessments
from nengshao.stores.state.books import SqlBooks
from nengshao.stores.state.broker import SqlBrokerBooks
from nengshao.stores.state.bulk import upsert
from nengshao.stores.state.clocks import SqlClocks
from nengshao.stores.state.closings import SqlClosings
from nengshao.stores.state.devices import SqlDevices
from nengshao.stores.state.dirty import SqlDirtyDays
from nengshao.stores.state.engine import Database
from nengshao.stores.state.events import SqlMeterEvents
from nengshao.stores.state.inbox import SqlInbox
from nengshao.stores.state.intents import SqlIntents
from nengshao.stores.state.law import SqlLawBooks
from nengshao.stores.state.leases import SqlLeases
from nengshao.stores.state.migrations.upgrade import upgrade_schema
from nengshao.stores.state.outbox import SqlOutbox
from nengshao.stores.state.part import ANNOUNCED, COUNT, EPOCH, read_partitioning
from nengshao.stores.state.partitions import SqlPartitions
from nengshao.stores.state.quarantine import SqlQuarantine
from nengshao.stores.state.quarantine_gate import QuarantineCaps
from nengshao.stores.state.registry import SqlRegistry
from nengshao.stores.state.resends import SqlResends
from nengshao.stores.state.schema import settings
from nengshao.stores.state.sharing import SqlSharing
from nengshao.stores.state.statistics import SqlStatistics

_DEFAULT_CAPS: Final = QuarantineCaps()


class SqlStateStore(
    SqlLeases,
    SqlSharing,
    SqlPartitions,
    SqlBrokerBooks,
    SqlIntents,
    SqlInbox,
    SqlQuarantine,
    SqlDevices,
    SqlClocks,
    SqlResends,
    SqlBooks,
    SqlDirtyDays,
    SqlAssessments,
    SqlMeterEvents,
    SqlClosings,
    SqlStatistics,
    SqlLawBooks,
    SqlAlerts,
    SqlOutbox,
    SqlRegistry,
):
    """`nengshao.ports.StateStore` on SQLite or PostgreSQL. Its methods may be called from any thread.

    Raises, from every method: StoreUnavailable (try again), StoreRejected (the database refuses the rows).
    """

    def __init__(self, database: Database, partitions: int, caps: QuarantineCaps) -> None:
        """Call `migrate` before anything else."""
        super().__init__(database, partitions, caps)

    def migrate(self) -> None:
        """Bring the schema to this version; safe to call again, and from several processes at once.

        The number of partitions given is for a new database. Raises: ConfigError if it is of a newer version.
        """
        with self._db.writing() as connection:
            upgrade_schema(connection)
            for name, value in ((COUNT, self._partitions.count), (EPOCH, 0), (ANNOUNCED, 0)):
                new = upsert(connection, settings).values(name=name, value=value)
                connection.execute(new.on_conflict_do_nothing())
            self._partitions = read_partitioning(connection)

    def ping(self) -> None:
        """Raises StoreUnavailable if the store does not answer."""
        with self._db.reading() as connection:
            connection.execute(sa.select(sa.literal(1)))

    def close(self) -> None:
        """Release what is held. Safe to call twice."""
        self._db.close()


def open_state(
    url: str,
    partitions: int = 1,
    *,
    raw_cap_message: int = _DEFAULT_CAPS.raw_cap_message,
    raw_cap_device: int = _DEFAULT_CAPS.raw_cap_device,
    raw_cap_total: int = _DEFAULT_CAPS.raw_cap_total,
    row_cap_device: int = _DEFAULT_CAPS.row_cap_device,
    row_cap_total: int = _DEFAULT_CAPS.row_cap_total,
) -> SqlStateStore:
    """The store at `sqlite:///path` or `postgresql://user:password@host/database`; nothing is connected yet.

    The caps bound the quarantine: raw bytes of one message, of a device and in all; rows of a device and in
    all. Raises: ConfigError for another kind of URL, or no partitions.
    """
    if partitions < 1:
        raise ConfigError([f"分区数须为正 / partitions must be positive: {partitions}"])
    caps = QuarantineCaps(
        raw_cap_message=raw_cap_message,
        raw_cap_device=raw_cap_device,
        raw_cap_total=raw_cap_total,
        row_cap_device=row_cap_device,
        row_cap_total=row_cap_total,
    )
    return SqlStateStore(Database(url), partitions, caps)
