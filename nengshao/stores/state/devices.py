"""Devices: when each was last heard of, and what it last said of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.ports import LAST_SEEN_SCHEMA, DeviceStatus
from nengshao.stores.state.bulk import (
    columns_of,
    frame_of,
    run_many,
    select_among,
    storable_text,
    upsert,
    upsert_all,
)
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import device_statuses, last_seen, registry_tables

_STATE_LENGTH = 64


class SqlDevices(Part):
    """Reading what bookings say of devices."""

    def last_seen(self, partition: int) -> pl.DataFrame:
        """LAST_SEEN_SCHEMA of the partition's devices, sorted by enterprise and device."""
        query = sa.select(*columns_of(last_seen, LAST_SEEN_SCHEMA)).where(last_seen.c.partition == partition)
        with self._db.reading() as connection:
            rows = connection.execute(query).all()
        return frame_of(rows, LAST_SEEN_SCHEMA).sort("enterprise", "device")

    def device_statuses(self, enterprise: str) -> list[DeviceStatus]:
        """The last status of each of the enterprise's devices that ever sent one, sorted by device."""
        query = sa.select(device_statuses).where(device_statuses.c.enterprise == enterprise)
        with self._db.reading() as connection:
            found = [DeviceStatus(**row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda status: status.device)


def write_last_seen(connection: Connection, frame: pl.DataFrame, partition: Callable[[str], int]) -> None:
    """Move each device's time forward, never back."""
    if frame.is_empty():
        return
    latest = frame.group_by("enterprise", "device").agg(pl.col("at").max()).sort("enterprise", "device")
    partitions = pl.Series("partition", [partition(e) for e in latest["enterprise"]], dtype=pl.Int32)
    statement = upsert_all(connection, last_seen, latest.with_columns(partitions))
    grown = statement.on_conflict_do_update(
        index_elements=["enterprise", "device"],
        set_={"at": statement.excluded.at},
        where=statement.excluded.at > last_seen.c.at,
    )
    connection.execute(grown)


def write_statuses(connection: Connection, statuses: Sequence[DeviceStatus]) -> None:
    """Keep the latest of each registered device; of two of one second the one booked later."""
    if not statuses:
        return
    known = _registered_devices(connection, {status.enterprise for status in statuses})
    latest = {
        (status.enterprise, status.device): {
            "enterprise": status.enterprise,
            "device": status.device,
            "state": storable_text(status.state, _STATE_LENGTH),
            "at": status.at,
        }
        for status in sorted(statuses, key=lambda status: status.at)
        if (status.enterprise, status.device) in known
    }
    statement = upsert(connection, device_statuses)
    newer = statement.on_conflict_do_update(
        index_elements=["enterprise", "device"],
        set_={"state": statement.excluded.state, "at": statement.excluded.at},
        where=statement.excluded.at >= device_statuses.c.at,
    )
    run_many(connection, newer, [latest[key] for key in sorted(latest)])


def _registered_devices(connection: Connection, enterprises: set[str]) -> set[tuple[str, str]]:
    devices = registry_tables["devices"].c
    query = sa.select(devices.enterprise, devices.device)
    found = select_among(connection, query, devices.enterprise, enterprises)
    return {(row.enterprise, row.device) for row in found}
