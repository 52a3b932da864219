"""Three days of the pacing plant with everything a device may do: repeat, overtake, correct, come late, err.

And a table handed in by a person. Played on a house; what came of it can be compared with another run's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from nengshao.domain.codes import PointKey
from nengshao.domain.readings import MICRO, Source
from nengshao.domain.time import local_text
from nengshao.ports import InboxEntry
from nengshao.wire import DataMessage, Item
from simulators.publisher import DevicePublisher
from simulators.stream import Outgoing
from tests.support import pacing, plants
from tests.support.crash import Crash
from tests.support.house import House, Process, Wrap, totals_of

DAYS = 3
CORRECTED, LATE, BY_HAND = 192, 150, 170  # reads of the second day; the first of them ends it
_TABLE_DAY = 2


def day_messages(day: int) -> list[Outgoing]:
    """What the device sends on a day, in order of sending."""
    sent = list(pacing.messages(day))
    if day == 1:
        sent = [sent[0], sent[2], sent[1], sent[3], sent[1]]
    if day == 2:
        better = pacing.read(CORRECTED, "00", kwh=CORRECTED * 150.0 + 30.0, upload=pacing.day_end(2))
        unknown = plants.item(plants.START, 1.0, meter="99")
        sent.insert(2, pacing.outgoing([better, unknown], seq=801, at=0))
    if day == 2:
        older = pacing.read(LATE, "01", kwh=1.0, upload=plants.START + LATE * plants.CADENCE_S + 1)
        sent.insert(4, pacing.outgoing([older], seq=802, at=0))
    return sent


def table() -> bytes:
    """A person's correction of one read, as CSV; its version is the instant of acceptance."""
    when = local_text(plants.START + BY_HAND * plants.CADENCE_S)
    return (
        "enterpriseCode,dataCode,statType,meter,statDate,dataValue\n"
        f"{pacing.ENTERPRISE},{plants.ELECTRICITY},0,01,{when},{BY_HAND * 100 + 20}\n"
    ).encode()


def truth() -> pl.DataFrame:
    """point, ts, value (10⁻⁶) that must stand in the end, from what was sent alone: the greatest version."""
    won: dict[tuple[int, int], tuple[int, int]] = {}
    for key, version, value in _told():
        won[key] = max(won.get(key, (0, 0)), (version, value))
    rows = [(point, ts, value) for (point, ts), (_, value) in sorted(won.items())]
    return pl.DataFrame(rows, schema={"point": pl.Int64, "ts": pl.Int64, "value": pl.Int64}, orient="row")


def _told() -> Iterator[tuple[tuple[int, int], int, int]]:
    items = [item for day in range(DAYS) for sent in day_messages(day) for item in _items(sent)]
    for item in items:
        if item.meter in pacing.INCOMERS:
            yield (
                (_point(item.meter), _seconds(item.statDate)),
                _seconds(item.uploadDate),
                _micro(item.dataValue),
            )
    when = plants.START + BY_HAND * plants.CADENCE_S
    yield (_point("01"), when), pacing.day_end(_TABLE_DAY), _micro(BY_HAND * 100 + 20)


def _items(sent: Outgoing) -> list[Item]:
    return msgspec.json.decode(sent.payload, type=DataMessage).data


def _point(meter: str) -> int:
    return PointKey(pacing.ENTERPRISE, plants.ELECTRICITY, 0, meter).point


def _seconds(text: str) -> int:
    return int(pl.Series([text]).str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("s").item()) - 8 * 3600


def _micro(kwh: float) -> int:
    return round(kwh * MICRO)


@dataclass
class Ending:
    """What is left when everything is quiet."""

    totals: dict[str, bytes]
    alerts: list[Any]
    revisions: list[Any]
    stored: int
    distinct: int
    standing: pl.DataFrame  # point, ts, value
    told: list[tuple[str, str]]
    unreceipted: int
    books: dict[str, int]
    load: list[Any]
    deaths: int

    def is_like(self, other: Ending) -> bool:
        """Whether the two are the same in everything that may not depend on interruptions."""
        names = ("totals", "alerts", "revisions", "stored", "distinct", "load")
        differing = [name for name in names if getattr(self, name) != getattr(other, name)]
        assert differing == []
        return set(self.told) == set(other.told) and self.standing.equals(other.standing)


def played(home: House, **wraps: Wrap) -> Ending:
    """The three days from start to quiet; when the process dies, everything starts again from disk."""
    deaths, process, devices = 0, home.start(**wraps), home.devices()
    for day in range(DAYS):
        home.clock.move_to(pacing.day_end(day))
        to_send = day_messages(day)
        while True:
            try:
                process.get_ready()
                to_send = to_send[devices.publish(to_send) :]
                if day == _TABLE_DAY:
                    hand_in(process)
                process.ingest_all(devices)
                process.assess_and_tell()
                break
            except Crash:
                deaths += 1
                process.die()
                devices.close()
                process, devices = home.start(), home.devices()
    ending = ending_of(home, process, devices, deaths)
    devices.close()
    process.close()
    return ending


def hand_in(process: Process) -> None:
    """A person hands in the table: once, however often it is tried."""
    process.state.put_inbox(
        InboxEntry(
            source=Source.FILE,
            enterprise=pacing.ENTERPRISE,
            device="",
            topic="",
            format="csv",
            raw=table(),
            accepted_at=pacing.day_end(_TABLE_DAY),
            idempotency_key="the table",
        )
    )


def ending_of(home: House, process: Process, devices: DevicePublisher, deaths: int) -> Ending:
    state, first, end = process.state, pacing.FIRST_DAY, pacing.FIRST_DAY + DAYS + 1
    points = home.registry.points["point"].to_list()
    stop = pacing.day_end(DAYS)
    standing = process.readings.scan(points, plants.START, stop).select("point", "ts", "value").collect()
    ledger = state.ledger().group_by("outcome").agg(pl.col("count").sum())
    books = dict(ledger.iter_rows())
    return Ending(
        totals=totals_of(state, [pacing.ENTERPRISE], first, end),
        alerts=[state.alert(alert.alert_id) for alert in state.alerts_page()],
        revisions=[dict(row) for row in state.revisions(pacing.ENTERPRISE, first, end)],
        stored=books["stored"],
        distinct=process.readings.count(),
        standing=standing,
        told=[(delivery.subject, delivery.body) for delivery in home.notifier.deliveries],
        unreceipted=devices.unreceipted,
        books=books,
        load=process.results.load(pacing.ENTERPRISE, plants.START, stop).rows(),
        deaths=deaths,
    )
