"""Replay of a real plant: the published year of a steel works, told as one enterprise's device would tell it.

The data are `data/steel_industry_2018.csv` (DOI 10.24432/C52G8C, CC BY 4.0, see data/README.md). Enterprise,
region and quota around them are fictitious, for demonstration only.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final

import polars as pl

from nengshao.domain.codes import PointKey
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.time import instant_of
from nengshao.domain.units import Carrier, PointKind, Scope, Unit
from nengshao.frames import STATISTICS
from simulators.codes import COUNTY, REGIONS, fictitious_credit_code
from simulators.faults import FaultRecord, Plan
from simulators.manual import Upload
from simulators.plants import SLOT_S, SLOTS_A_DAY, PointSpec
from simulators.statements import SOURCE
from simulators.stream import Outgoing, Stream, in_order
from simulators.tables import Tables, device_row, point_rows
from simulators.traces import Line, Trace
from simulators.truth import truth_of

DATA: Final = Path(__file__).parent / "data" / "steel_industry_2018.csv"
ENTERPRISE: Final = fictitious_credit_code(2018)
DEVICE: Final = "gwangyang-meter"
START: Final = dt.date(2018, 1, 1)
END: Final = dt.date(2019, 1, 1)
LAG_S: Final = 5
QUOTA_TCE: Final = 120
"""Fictitious: the plant used 117.939 tce of electricity (calorific), so that it ends just below."""

POINT: Final = PointSpec(
    load="usage",
    data_code="0000000002330011",
    name="厂区用电",
    device=DEVICE,
    carrier=Carrier.ELECTRICITY,
    kind=PointKind.AMOUNT,
    unit=Unit.KWH,
    digits=2,
    capacity_per_hour=800,  # the largest interval of the file has 157.18 kWh
)


def read_usage(path: Path = DATA) -> list[int]:
    """Energy of every quarter of an hour of the file, in order of time, in 10⁻² kWh (as printed, exactly).

    Raises: ValueError if a row is not the quarter of an hour that follows the row before.
    """
    usage = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if row["date"] != _printed_label(number):
                raise ValueError(f"row {number + 2} is labelled {row['date']}, not {_printed_label(number)}")
            whole, _, part = row["Usage_kWh"].partition(".")
            usage.append(int(whole) * 100 + int(part.ljust(2, "0")))
    return usage


def _printed_label(number: int) -> str:
    """The label of a row: the end of its interval, midnight as 00:00 of the day that ends."""
    day, quarter = divmod(number, SLOTS_A_DAY)
    hours, minutes = divmod((quarter + 1) * 15 % 1440, 60)
    return f"{START + dt.timedelta(days=day):%d/%m/%Y} {hours:02d}:{minutes:02d}"


class RealPlant:
    """The plant's year. `per_message`: how many quarters of an hour one message holds (96: once a day)."""

    def __init__(self, *, per_message: int = 1, path: Path = DATA) -> None:
        self.per_message = per_message
        usage = read_usage(path)
        key = PointKey(ENTERPRISE, POINT.data_code, int(POINT.stat_type), POINT.meter)
        totals = list(accumulate(usage, initial=0))
        self._trace = Trace(POINT, key, instant_of(START), totals, [0, *usage])
        line = Line(
            enterprise=ENTERPRISE,
            device=DEVICE,
            valid=True,
            prints_codes=False,
            per_message=per_message,
            lag_s=LAG_S,
            traces=(self._trace,),
        )
        self._streams = [Stream(line, Plan())]

    @property
    def devices(self) -> list[tuple[str, str]]:
        """(enterprise, device) of the one device."""
        return [(ENTERPRISE, DEVICE)]

    @property
    def end(self) -> int:
        """The instant at which the year ends."""
        return instant_of(END)

    def messages(self, start: int, end: int) -> Iterator[Outgoing]:
        """What the device publishes in [start, end), in order; the same bytes however the year is cut."""
        first, last = instant_of(START), self.end + 2 * SLOT_S
        return in_order(self._streams, max(start, first), min(end, last))

    def uploads(self, _start: int, _end: int) -> Iterator[Upload]:
        """Nothing: at this plant nobody enters figures by hand."""
        return iter(())

    def statistics(self) -> pl.DataFrame:
        """Nothing: what the plant made is not published."""
        return STATISTICS.empty()

    def truth(self) -> pl.DataFrame:
        """TRUTH_SCHEMA: the plant's energy per day."""
        return truth_of([self._trace])

    @property
    def fault_records(self) -> list[FaultRecord]:
        """None: real data come as they are."""
        return []

    def registry_tables(self) -> Tables:
        """The registry of the enterprise, which is active in 2018 only."""
        active = {"active_from": START.isoformat(), "active_to": END.isoformat()}
        valid = {"valid_from": START.isoformat(), "valid_to": END.isoformat()}
        return {
            "regions": [dict(row) for row in REGIONS],
            "enterprises": [
                {"enterprise": ENTERPRISE, "name": "光阳钢厂 2018 年实测数据回放", "region": COUNTY}
                | {"industry": "3120", "dialect": "national"}
                | active
            ],
            "devices": [device_row(ENTERPRISE, DEVICE, "关口表采集器", self.per_message * SLOT_S) | valid],
            "points": point_rows(self._trace, valid, per_message=self.per_message, by_hand=False),
            "meter_changes": [],
            "quotas": [
                {"enterprise": ENTERPRISE, "year": str(START.year), "basis": Basis.CALORIFIC.value}
                | {"scope": Scope.TOTAL.value, "quota_t": str(QUOTA_TCE), "profile": "linear"}
                | {"source": SOURCE, "confidence": Confidence.RECALLED.value}
            ],
        }
