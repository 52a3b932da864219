"""Energy over time: standard coal by day with coverage and bounds, energy of points by hour."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.enterprises import Code
from api.figures import Coverage
from api.masses import Masses, ScopeMasses, read_days, scope_masses
from api.paging import Days, Window, window_of
from api.ports import Row, Service, Services, tag_of
from nengshao.domain.time import accounting_day, date_of
from nengshao.domain.units import Carrier, Scope, Unit

router = APIRouter(prefix="/v1/enterprises", tags=["能耗 energy"])

HOUR_S: Final = 3600
_SCOPES: Final = (Scope.TOTAL, Scope.FEEDSTOCK, Scope.NON_FOSSIL, Scope.NET)


class Interval(StrEnum):
    """Length of the periods of a series."""

    DAY = "day"
    HOUR = "hour"


_WINDOW_DAYS: Final = {Interval.DAY: (31, 400), Interval.HOUR: (2, 62)}
"""Days shown unless asked otherwise, and days shown at most."""


class EnergyDay(Masses):
    """一个核算日的能耗：总量，及其他口径 / one accounting day: the total, and the other scopes."""

    date: dt.date = Field(description="核算日（东八区）/ accounting day, Asia/Shanghai")
    scopes: list[ScopeMasses] = Field(
        description="原料用能、非化石能源、扣除两者；没有此类用能的日子为空 / none on days without such use"
    )
    coverage: Coverage | None = Field(description="数据覆盖；空：无应有数据 / null: nothing was expected")
    lowest_point: str | None = Field(description="实测份额最低的计量点 / point with the least measured share")
    missing_points: list[str] = Field(description="有缺失的计量点 / points with missing time")
    no_factor: list[str] = Field(description="缺折标系数的品种与基准 / carrier:basis without a factor")
    published: bool = Field(description="已发布：当日无未到期数据 / nothing of the day is pending")


class DaySeries(BaseModel):
    """逐日能耗；没有结果的日子不列出 / by day; days without a result are left out."""

    interval: Literal["day"] = "day"
    enterprise: str
    start: dt.date = Field(description="起始日（含）/ first day")
    end: dt.date = Field(description="截止日（不含）/ day after the last")
    days: list[EnergyDay]


class EnergyHour(BaseModel):
    """一个小时的用量 / one hour."""

    start: dt.datetime
    amount: float | None = Field(description="用量（实测与估算），单位见 unit / in `unit`")
    covered: float = Field(description="该小时有数据的份额 / share of the hour with a figure, 0–1")


class PointSeries(BaseModel):
    """一个计量点的逐时用量；没有数据的小时不列出 / by hour; hours without data are left out."""

    point: str = Field(description="计量点标识 / dataCode.statType.meter")
    name: str
    carrier: Carrier | None = Field(description="能源品种；空：已不在登记表 / null: not registered now")
    unit: Unit | None = Field(description="标准单位 / canonical unit of the carrier")
    hours: list[EnergyHour]


class HourSeries(BaseModel):
    """逐时能耗 / by hour."""

    interval: Literal["hour"] = "hour"
    enterprise: str
    start: dt.date = Field(description="起始日（含）/ first day")
    end: dt.date = Field(description="截止日（不含）/ day after the last")
    points: list[PointSeries]


def energy_day(
    row: Row, masses: Mapping[Scope, Masses], names: Mapping[int, str], *, has_scopes: bool
) -> EnergyDay:
    """An ENTERPRISE_DAYS row with what its day came to in each of the scopes."""
    lowest = row["lowest_point"]
    others = [scope for scope in _SCOPES if scope is not Scope.TOTAL] if has_scopes else []
    return EnergyDay(
        date=date_of(row["day"]),
        **dict(masses[Scope.TOTAL]),
        scopes=[ScopeMasses(scope=scope, scope_zh=scope.zh, **dict(masses[scope])) for scope in others],
        coverage=figures.coverage_of([row]),
        lowest_point=None if lowest is None else names.get(lowest, str(lowest)),
        missing_points=[names.get(int(point), point) for point in figures.listed(row["missing_points"])],
        no_factor=figures.listed(row["no_factor"]),
        published=row["published"],
    )


def energy_hour(row: Row) -> EnergyHour:
    """A LOAD row in the carrier's canonical unit."""
    return EnergyHour(
        start=figures.moment(row["start"]),
        amount=figures.from_milli(row["amount"]),
        covered=figures.share(row["covered_s"], HOUR_S),
    )


def point_series(load: Iterable[Row], points: Iterable[Row]) -> list[PointSeries]:
    """LOAD rows by point, in the registry's order; points that it no longer knows come last, by id."""
    hours: dict[int, list[EnergyHour]] = defaultdict(list)
    for row in load:
        hours[row["point"]].append(energy_hour(row))
    latest = {row["point"]: row for row in points}
    known = [_series(row, hours.pop(point)) for point, row in latest.items() if point in hours]
    unknown = [
        PointSeries(point=str(point), name=str(point), carrier=None, unit=None, hours=rows)
        for point, rows in sorted(hours.items())
    ]
    return known + unknown


def _series(row: Row, hours: list[EnergyHour]) -> PointSeries:
    carrier = Carrier(row["carrier"])
    return PointSeries(point=tag_of(row), name=row["name"], carrier=carrier, unit=carrier.unit, hours=hours)


def read_day_series(service: Service, code: str, window: Window) -> DaySeries:
    """The enterprise's days in the window."""
    names = service.directory().names(code)
    frames = read_days(service, [code], window)
    rows = frames["ENTERPRISE_DAYS"].to_dicts()
    with_scopes = set(frames["SCOPE_DAYS"]["day"])
    scopes = _SCOPES if with_scopes else [Scope.TOTAL]
    masses = scope_masses(service, code, [(row["day"], row["day"] + 1) for row in rows], scopes, frames)
    return DaySeries(
        enterprise=code,
        start=date_of(window.first),
        end=date_of(window.end),
        days=[
            energy_day(row, of_day, names, has_scopes=row["day"] in with_scopes)
            for row, of_day in zip(rows, masses, strict=True)
        ],
    )


def read_hour_series(service: Service, code: str, window: Window) -> HourSeries:
    """The hours of the enterprise's points in the window."""
    load = service.ports.results.load(code, window.start, window.stop)
    points = service.directory().points.get(code, [])
    return HourSeries(
        enterprise=code,
        start=date_of(window.first),
        end=date_of(window.end),
        points=point_series(load.iter_rows(named=True), points),
    )


def read_last_day(service: Service, code: str) -> int:
    """The last day the enterprise has a result of; today if it has none."""
    rows = service.state.last_days(service.partition_of(code)).iter_rows(named=True)
    known = {row["enterprise"]: row["last_day"] for row in rows}
    last: int = known.get(code, accounting_day(service.clock.now()))
    return last


class EnergyQuery(Days):
    """Which periods."""

    interval: Interval = Field(Interval.DAY, description="day：至多 400 天 hour：至多 62 天 / at most")


@router.get("/{code}/energy", summary="逐日或逐时能耗 / energy by day or hour")
def show_energy(
    service: Services, caller: Caller, code: Code, query: Annotated[EnergyQuery, InQuery()]
) -> Annotated[DaySeries | HourSeries, Field(discriminator="interval")]:
    """默认到最近有结果的一天：day 31 天，hour 2 天 / up to the last day with a result, 31 or 2 days."""
    service.enterprise(caller, code)
    days, most = _WINDOW_DAYS[query.interval]
    window = window_of(query, last_day=read_last_day(service, code), days=days, most=most)
    read = read_day_series if query.interval is Interval.DAY else read_hour_series
    return read(service, code, window)
