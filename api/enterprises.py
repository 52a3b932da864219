"""Enterprises: how each stands against its quotas, up to which day, on how much data."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import polars as pl
from fastapi import APIRouter, Path
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.coal import Coal, coal_of
from api.figures import Coverage
from api.paging import CURSOR, NEXT, Limit, Query, page_of
from api.ports import Row, Service, Services
from nengshao.domain.factors import Basis
from nengshao.domain.time import accounting_day, date_of, day_number, day_start

router = APIRouter(prefix="/v1/enterprises", tags=["用能单位 enterprises"])

Code = Annotated[str, Path(description="统一社会信用代码 / unified social credit code")]


class Progress(BaseModel):
    """一项年度配额的进度 / progress against one annual quota."""

    year: int
    basis: Basis = Field(description="折标基准：calorific 当量值 equivalent 等价值 / basis")
    basis_zh: str
    scope: str = Field(description="统计口径 / what is counted")
    quota_tce: float = Field(description="年度配额，吨标准煤 / annual quota, tce")
    as_of: dt.date | None = Field(description="数据完整到这一天（含）/ last day with nothing pending")
    used_tce: float | None = Field(description="截至该日已用，tce；空：缺折标系数 / used, null: no factor")
    low_tce: float | None = Field(description="下界，tce；空：无界 / lower bound, null: unbounded")
    high_tce: float | None = Field(description="上界，tce；空：无界 / upper bound, null: unbounded")
    due_tce: float | None = Field(description="按时间进度可用，tce / what the profile allows by then")
    pace: float | None = Field(description="进度比 = 已用 / 按进度可用 / used over due")
    pace_low: float | None
    pace_high: float | None
    coverage: float | None = Field(description="截至该日的数据覆盖（实测与估算）/ share with data, 0–1")
    quota_confirmed: bool = Field(description="配额文件已确认 / the quota's document is confirmed")
    is_confirmed: bool = Field(description="配额与全部系数均已确认 / quota and every factor are confirmed")
    label: str | None = Field(description="标注 / label to be shown with the figure")


class ToDate(BaseModel):
    """一个年度至今的标准煤 / standard coal of an accounting year to date."""

    year: int
    as_of: dt.date | None = Field(description="累计到这一天（含）/ added up to this day")
    calorific: Coal = Field(description="当量值 / calorific basis")
    equivalent: Coal = Field(description="等价值 / equivalent basis")
    coverage: Coverage | None = Field(description="截至昨日的数据覆盖，含待报；空：无应有数据 / to yesterday")
    no_factor: list[str] = Field(description="缺折标系数的品种与基准 / carrier:basis without a factor")


class OpenAlerts(BaseModel):
    """未结束的预警数 / open alerts."""

    pending: int
    firing: int


class Enterprise(BaseModel):
    """一家用能单位 / one enterprise."""

    code: str = Field(description="统一社会信用代码 / unified social credit code")
    name: str
    region: str | None = Field(description="行政区划代码 / administrative division")
    industry: str | None = Field(description="行业（GB/T 4754）/ industry")
    active_from: dt.datetime | None
    active_to: dt.datetime | None = Field(description="空：仍在监测 / null: still monitored")
    to_date: ToDate | None = Field(description="最近有数据的年度至今；空：尚无结果 / null: no results yet")
    progress: list[Progress] = Field(description="各年度配额的进度 / progress against each quota")
    open_alerts: OpenAlerts


class EnterprisePage(BaseModel):
    """用能单位列表 / a page of enterprises."""

    enterprises: list[Enterprise]
    next: str | None = Field(description=NEXT)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the StateStore knows of some enterprises, by enterprise."""

    progress: Mapping[str, list[Row]] = field(default_factory=dict)
    last_days: Mapping[str, int] = field(default_factory=dict)
    alerts: Mapping[tuple[str, str], int] = field(default_factory=dict)


def progress_row(row: Row) -> Progress:
    """A PROGRESS row in tce."""
    basis = Basis(row["basis"])
    return Progress(
        year=row["year"],
        basis=basis,
        basis_zh=basis.zh,
        scope=row["scope"],
        quota_tce=row["quota_g"] / figures.G_PER_TCE,
        as_of=figures.date(row["as_of_day"]),
        used_tce=figures.tce(row["used_g"]),
        low_tce=figures.tce(row["low_g"]),
        high_tce=figures.tce(row["high_g"]),
        due_tce=figures.tce(row["due_g"]),
        pace=figures.rounded(row["pace"]),
        pace_low=figures.rounded(row["pace_low"]),
        pace_high=figures.rounded(row["pace_high"]),
        coverage=figures.rounded(row["coverage"]),
        quota_confirmed=bool(row["quota_confirmed"]),
        is_confirmed=bool(row["is_confirmed"]),
        label=figures.label_for(row["is_confirmed"]),
    )


def year_to_date(
    year: int, first_day: int, days: Sequence[Row], blocks: Sequence[Row], *, today: int
) -> ToDate:
    """A year's ENTERPRISE_DAYS rows from `first_day` on, added up as far as each has nothing pending.

    The coverage is of every day before `today`, so that what is still to come in (this month's coal) is seen.
    """
    closed: list[Row] = []
    for day, row in enumerate(days, first_day):
        if row["day"] != day or not row["published"]:
            break
        closed.append(row)
    start, end = day_start(first_day), day_start(first_day + len(closed))
    near = [block for block in blocks if block["start"] < end and block["end"] > start]
    return ToDate(
        year=year,
        as_of=figures.date(closed[-1]["day"]) if closed else None,
        calorific=coal_of(closed, near, start, end, Basis.CALORIFIC),
        equivalent=coal_of(closed, near, start, end, Basis.EQUIVALENT),
        coverage=figures.coverage_of((row for row in days if row["day"] < today), whole_periods=True),
        no_factor=sorted({item for row in closed for item in figures.listed(row["no_factor"])}),
    )


def enterprise_of(row: Row, to_date: ToDate | None, standing: Standing) -> Enterprise:
    """An ENTERPRISES row with how it stands."""
    code = row["enterprise"]
    return Enterprise(
        code=code,
        name=row["name"],
        region=row["region"],
        industry=row["industry"],
        active_from=figures.instant(row["active_from"]),
        active_to=figures.instant(row["active_to"]),
        to_date=to_date,
        progress=[progress_row(item) for item in standing.progress.get(code, [])],
        open_alerts=OpenAlerts(
            pending=standing.alerts.get((code, "pending"), 0), firing=standing.alerts.get((code, "firing"), 0)
        ),
    )


def read_standing(service: Service, codes: Sequence[str]) -> Standing:
    """Progress, last result day and open alerts of these enterprises."""
    progress = by_enterprise(service.state.progress(codes))
    last_days: dict[str, int] = {}
    alerts: Counter[tuple[str, str]] = Counter()
    for partition in service.partitions_of(codes):
        last_days.update(service.state.last_days(partition).select("enterprise", "last_day").iter_rows())
        alerts.update((alert.enterprise, alert.state.value) for alert in service.state.open_alerts(partition))
    return Standing(progress, last_days, alerts)


def read_to_date(
    service: Service, rows: Sequence[Row], last_days: Mapping[str, int], year: int | None
) -> dict[str, ToDate]:
    """Year to date of each enterprise that has results: of `year`, or of the year of its last result."""
    by_year: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row["enterprise"] in last_days:
            by_year[year or date_of(last_days[row["enterprise"]]).year].append(row)
    found: dict[str, ToDate] = {}
    for of_year, members in by_year.items():
        found |= _read_year(service, of_year, members)
    return found


def _read_year(service: Service, year: int, rows: Sequence[Row]) -> dict[str, ToDate]:
    first, end = day_number(dt.date(year, 1, 1)), day_number(dt.date(year + 1, 1, 1))
    codes = [row["enterprise"] for row in rows]
    days = by_enterprise(service.state.enterprise_days(codes, first, end))
    blocks = by_enterprise(service.state.blocks(codes, day_start(first), day_start(end)))
    on_duty = {row["enterprise"]: max(first, accounting_day(row["active_from"])) for row in rows}
    today = accounting_day(service.clock.now())
    return {
        code: year_to_date(year, on_duty[code], days.get(code, []), blocks.get(code, []), today=today)
        for code in codes
    }


def by_enterprise(frame: pl.DataFrame) -> dict[str, list[Row]]:
    """The rows of a frame, each enterprise's in their order."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in frame.iter_rows(named=True):
        rows[row["enterprise"]].append(row)
    return rows


def read_enterprises(service: Service, rows: Sequence[Row], year: int | None) -> list[Enterprise]:
    """These ENTERPRISES rows, each with how it stands."""
    standing = read_standing(service, [row["enterprise"] for row in rows])
    to_date = read_to_date(service, rows, standing.last_days, year)
    return [enterprise_of(row, to_date.get(row["enterprise"]), standing) for row in rows]


Year = Annotated[
    int | None,
    Field(ge=1990, le=2200, description="核算年度；默认最近有数据的一年 / default: of the last result"),
]


class EnterpriseQuery(Query):
    """Which enterprises."""

    year: Year = None
    cursor: str = Field("", max_length=18, description=CURSOR)
    limit: Limit = 100


class YearQuery(Query):
    """Which year."""

    year: Year = None


@router.get("", summary="用能单位与配额进度 / enterprises and their progress")
def list_enterprises(
    service: Services, caller: Caller, query: Annotated[EnterpriseQuery, InQuery()]
) -> EnterprisePage:
    """按统一社会信用代码排序 / sorted by code."""
    known = sorted(service.directory().enterprises.items())
    rows = [row for code, row in known if code > query.cursor and caller.may_see(code)]
    page, last = page_of(rows, query.limit)
    shown = read_enterprises(service, page, query.year)
    return EnterprisePage(enterprises=shown, next=last["enterprise"] if last else None)


@router.get("/{code}", summary="一家用能单位 / one enterprise")
def show_enterprise(
    service: Services, caller: Caller, code: Code, query: Annotated[YearQuery, InQuery()]
) -> Enterprise:
    """登记信息、年度累计、配额进度、预警数 / registration, year to date, progress, open alerts."""
    return read_enterprises(service, [service.enterprise(caller, code)], query.year)[0]
