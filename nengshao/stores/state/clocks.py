"""Devices' clocks, as their messages show them."""

from __future__ import annotations

from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.ports import CLOCKS_SCHEMA, DeviceClock
from nengshao.stores.state.bulk import rows_of, run_many, upsert
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import device_clocks

_KEY = ["enterprise", "device"]


class SqlClocks(Part):
    """Reading what bookings say of devices' clocks."""

    def device_clocks(self, enterprise: str) -> list[DeviceClock]:
        """The clocks of the enterprise's devices, sorted by device."""
        query = sa.select(device_clocks).where(device_clocks.c.enterprise == enterprise)
        with self._db.reading() as connection:
            found = [_clock_of(row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda clock: clock.device)


def _clock_of(row: Any) -> DeviceClock:
    # Either window may have held nothing but a backlog, which is old: the greater figure is the fresher.
    seen = [row["skew_s"]] if row["before_s"] is None else [row["skew_s"], row["before_s"]]
    return DeviceClock(row["enterprise"], row["device"], max(seen), row["at"])


def write_clocks(connection: Connection, frame: pl.DataFrame, at: int) -> None:
    """Take CLOCKS_SCHEMA rows into the books; of one window the greatest figure stands, in any order."""
    if frame.is_empty():
        return
    latest = frame.group_by(_KEY).agg(pl.all().sort_by("slot", "skew_s").last())
    statement = upsert(connection, device_clocks)
    new, known = statement.excluded, device_clocks.c
    is_later = new.slot > known.slot
    moved = statement.on_conflict_do_update(
        index_elements=_KEY,
        set_={
            "slot": new.slot,
            "skew_s": sa.case((is_later, new.skew_s), (new.skew_s > known.skew_s, new.skew_s),
                              else_=known.skew_s),
            "before_s": sa.case((is_later, known.skew_s), else_=known.before_s),
            "at": new.at,
        },
        where=new.slot >= known.slot,
    )  # fmt: skip
    rows = rows_of(latest, CLOCKS_SCHEMA, by=_KEY)
    run_many(connection, moved, [row | {"at": at, "before_s": None} for row in rows])
