"""Sessions at the broker and what it refused: read from its log, counted once, summed by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl
import sqlalchemy as sa

from nengshao.ports import DENIALS_SCHEMA, Lease
from nengshao.stores.state.bulk import columns_of, frame_of, rows_of, run_many, select_among, upsert
from nengshao.stores.state.leases import check_lease
from nengshao.stores.state.part import Part, read_partitioning
from nengshao.stores.state.schema import broker_denials, broker_logs, registry_tables, subscriptions

_KEY: Final = ["day", "enterprise", "kind"]
_OUT: Final = {"day": pl.Int32, **DENIALS_SCHEMA}


class SqlBrokerBooks(Part):
    """`nengshao.ports.BrokerBooks`."""

    def record_subscription(self, lease: Lease, registry_version: int) -> None:
        """Note by which registry the partition's session subscribes. Raises: LeaseLost."""
        with self._db.writing() as connection:
            check_lease(connection, lease)
            row = {
                "epoch": read_partitioning(connection).epoch,
                "partition": lease.partition,
                "registry_version": registry_version,
            }
            statement = upsert(connection, subscriptions).values(row)
            latest = {"registry_version": statement.excluded.registry_version}
            connection.execute(
                statement.on_conflict_do_update(index_elements=["epoch", "partition"], set_=latest)
            )

    def subscriptions(self) -> Mapping[int, int]:
        """The registry version of each partition's session, of the present partitioning."""
        with self._db.reading() as connection:
            epoch = read_partitioning(connection).epoch
            query = sa.select(subscriptions).where(subscriptions.c.epoch == epoch)
            return {row.partition: row.registry_version for row in connection.execute(query)}

    def book_denials(self, source: str, position: str, denials: pl.DataFrame) -> None:
        """Add the counts to their days, and move the log's position, in one transaction."""
        with self._db.writing() as connection:
            column = registry_tables["enterprises"].c.enterprise
            found = select_among(connection, sa.select(column), column, set(denials["enterprise"]))
            known = [row.enterprise for row in found]
            named = denials.with_columns(
                enterprise=pl.when(pl.col("enterprise").is_in(known)).then("enterprise").otherwise(pl.lit(""))
            )
            summed = named.group_by(_KEY).agg(pl.col("count").sum())
            statement = upsert(connection, broker_denials)
            added = statement.on_conflict_do_update(
                index_elements=_KEY,
                set_={"count": broker_denials.c["count"] + statement.excluded["count"]},
            )
            run_many(connection, added, rows_of(summed, _OUT, by=_KEY))
            read = upsert(connection, broker_logs).values(source=source, position=position)
            connection.execute(
                read.on_conflict_do_update(
                    index_elements=["source"], set_={"position": read.excluded.position}
                )
            )

    def log_position(self, source: str) -> str | None:
        """How far that log has been counted; None if never."""
        query = sa.select(broker_logs.c.position).where(broker_logs.c.source == source)
        with self._db.reading() as connection:
            return connection.execute(query).scalar()

    def denials(
        self, *, enterprise: str | None = None, from_day: int | None = None, to_day: int | None = None
    ) -> pl.DataFrame:
        """day + DENIALS_SCHEMA, sorted by all but count."""
        query = sa.select(*columns_of(broker_denials, _OUT))
        if enterprise is not None:
            query = query.where(broker_denials.c.enterprise == enterprise)
        if from_day is not None:
            query = query.where(broker_denials.c.day >= from_day)
        if to_day is not None:
            query = query.where(broker_denials.c.day < to_day)
        with self._db.reading() as connection:
            rows = connection.execute(query).all()
        return frame_of(rows, _OUT).sort(_KEY)
