"""A plant that uses 1.2 times what its quota's pace allows, told day by day by its one device."""

from __future__ import annotations

from collections.abc import Iterator

from nengshao.domain.time import DAY_S, accounting_day
from nengshao.registry import Registry
from nengshao.registry_tables import registry_of
from nengshao.wire import Item
from simulators.stream import Outgoing
from tests.support import plants

ENTERPRISE = plants.credit_code(1)
FIRST_DAY = accounting_day(plants.START)
RULE = "total-energy-ahead-of-pace"
HOLD_DAYS = 2

INCOMERS = {"00": 150.0, "01": 100.0}  # kWh per quarter of an hour: 24 000 kWh a day together
QUOTA_TCE = "897.17"  # 24 000 kWh/d × 0.1229 kgce/kWh × 365 d = 1 076.604 tce = 1.2 × 897.17 tce
DAILY_G = 2_949_600  # 24 000 kWh × 122.9 g/kWh

_READS_A_DAY = DAY_S // plants.CADENCE_S
_READS_PER_MESSAGE = 24


def registry() -> Registry:
    tables = plants.tables(1, 0)
    tables["points"] = [plants.point_row(1, meter, name=f"{meter} 号进线") for meter in INCOMERS]
    tables["quotas"] = [plants.quota_row(1, QUOTA_TCE)]
    return registry_of(tables)


def day_end(day: int) -> int:
    """When the day's figures are due: its end and the hour that a clock may be late."""
    return plants.START + (day + 1) * DAY_S + 3600


def messages(day: int) -> Iterator[Outgoing]:
    """A day's reads, four messages of six hours each; the first day's first read is the year's."""
    for part in range(_READS_A_DAY // _READS_PER_MESSAGE):
        first = day * _READS_A_DAY + part * _READS_PER_MESSAGE
        last = first + _READS_PER_MESSAGE
        reads = range(first + 1 if first else 0, last + 1)
        items = [read(number, meter) for number in reads for meter in INCOMERS]
        at = plants.START + last * plants.CADENCE_S
        yield outgoing(items, seq=first // _READS_PER_MESSAGE, at=at)


def read(number: int, meter: str, *, kwh: float | None = None, upload: int | None = None) -> Item:
    """The nth register read of the year; a register shows what has flowed since its beginning."""
    ts = plants.START + number * plants.CADENCE_S
    shown = number * INCOMERS[meter] if kwh is None else kwh
    return plants.item(ts, shown, meter=meter, upload=upload)


def outgoing(items: list[Item], *, seq: int, at: int) -> Outgoing:
    sent = plants.message(1, items, seq)
    return Outgoing(ENTERPRISE, plants.DEVICE, at, sent.topic, sent.payload, seq)


def readings_in(days: int) -> int:
    """Distinct readings of the first `days`: one per quarter of an hour and incomer, and the year's first."""
    return len(INCOMERS) * (days * _READS_A_DAY + 1)
