"""The number of partitions, and the one transaction that changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.codes import partition_of
from nengshao.domain.errors import ConfigError, LeaseLost
from nengshao.ports import Lease, Partitioning
from nengshao.stores.state.bulk import bytes_of_frame, chunks, frame_of_bytes, run_many, select_among
from nengshao.stores.state.leases import check_lease
from nengshao.stores.state.part import Part, fixed_partitioning, read_partitioning, write_partitioning
from nengshao.stores.state.schema import candidates, intents, leases, metadata, registry_tables

PLACED: Final = [t for t in metadata.sorted_tables if {"enterprise", "partition"} <= set(t.c.keys())]
"""Tables whose rows stand in their enterprise's partition."""


class SqlPartitions(Part):
    """Reading, announcing and changing; see `nengshao.ports.Partitions`."""

    @property
    def partitions(self) -> Partitioning:
        """What `migrate` has found."""
        return self._partitions

    def read_partitions(self) -> Partitioning:
        """What holds now."""
        with self._db.reading() as connection:
            return read_partitioning(connection)

    def announce_partitions(self, count: int) -> None:
        """Say what the number will be. Raises: ConfigError if another one is announced, or it is none."""
        if count < 1:
            raise ConfigError([f"分区数须为正 / partitions must be positive: {count}"])
        with self._db.writing() as connection:
            now = fixed_partitioning(connection, for_update=True)
            if now.announced not in {None, count}:
                raise ConfigError(
                    [
                        f"改为 {now.announced} 个分区尚未完成，先做完它 / "
                        f"the change to {now.announced} partitions is not finished: finish it first"
                    ]
                )
            write_partitioning(connection, replace(now, announced=count))

    def switch_partitions(self, leases: Sequence[Lease]) -> Partitioning:
        """Let the announced number hold. Raises: LeaseLost if there is none, or a lease is missing."""
        with self._db.writing() as connection:
            _lock_all(connection)
            for lease in leases:
                check_lease(connection, lease, for_update=True)
            now = fixed_partitioning(connection, for_update=True)
            held = {lease.partition for lease in leases if lease.kind == "ingest"}
            if now.announced is None or held != set(range(now.count)):
                raise LeaseLost(f"{now}: of its partitions {sorted(held)} are held")
            after = Partitioning(now.announced, now.epoch + 1)
            for table in PLACED:
                _move(connection, table, after.count)
            _move_intents(connection, after.count)
            _end_all(connection)
            write_partitioning(connection, after)
        return after


def _lock_all(connection: Connection) -> None:
    """From here on nobody commits under a lease."""
    connection.execute(sa.select(leases.c.kind).order_by(leases.c.kind, leases.c.partition).with_for_update())


def _end_all(connection: Connection) -> None:
    ended = {"holder": "", "expires_at": 0.0, "epoch": leases.c.epoch + 1}
    connection.execute(sa.update(leases).values(ended))
    connection.execute(sa.delete(candidates))


def _move(connection: Connection, table: sa.Table, count: int) -> None:
    """Place the table's rows by the new number; those that stay are not written."""
    names = connection.execute(sa.select(table.c.enterprise).distinct()).scalars()
    of_partition: dict[int, list[str]] = {}
    for name in sorted(names):
        of_partition.setdefault(partition_of(name, count), []).append(name)
    for partition, members in sorted(of_partition.items()):
        for some in chunks(members):
            elsewhere = sa.and_(table.c.enterprise.in_(some), table.c.partition != partition)
            connection.execute(sa.update(table).where(elsewhere).values(partition=partition))


def _move_intents(connection: Connection, count: int) -> None:
    """Split open intents: their rows go with their enterprises. What is struck was remembered for a holder
    who asks again, and the holders are gone.
    """
    connection.execute(sa.delete(intents).where(intents.c.is_struck))
    found = connection.execute(sa.select(intents).order_by(intents.c.seq)).mappings().all()
    parts = [part for row in found for part in _parts_of(connection, dict(row), count)]
    connection.execute(sa.delete(intents))
    run_many(connection, sa.insert(intents), parts)


def _parts_of(connection: Connection, intent: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The intent as one row for each partition that it now reaches into."""
    readings, dirty = frame_of_bytes(intent["readings"]), frame_of_bytes(intent["dirty"])
    place = _places(connection, readings["point"], count)
    of_reading = readings.join(place, on="point", how="left", maintain_order="left")["partition"]
    of_dirty = [partition_of(name, count) for name in dirty["enterprise"]]
    common = {name: value for name, value in intent.items() if name != "seq"}
    return [
        common
        | {
            "intent_id": f"{intent['intent_id']}:{partition}",
            "partition": partition,
            "readings": bytes_of_frame(readings.filter(of_reading == partition)),
            "dirty": bytes_of_frame(dirty.filter(pl.Series(of_dirty, dtype=pl.Int64) == partition)),
        }
        for partition in sorted(set(of_reading))
    ]


def _places(connection: Connection, points: pl.Series, count: int) -> pl.DataFrame:
    """point, partition of every one; what the registry has forgotten is nobody's, and goes somewhere."""
    known = registry_tables["points"].c
    query = sa.select(known.point, known.enterprise).distinct()
    owners = dict.fromkeys(points.to_list(), "")
    owners |= {row.point: row.enterprise for row in select_among(connection, query, known.point, owners)}
    places = [(point, partition_of(name, count)) for point, name in owners.items()]
    return pl.DataFrame(places, schema={"point": pl.Int64, "partition": pl.Int64}, orient="row")
