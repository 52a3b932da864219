"""Enterprises: how each stands against its quotas, up to which day, on how much data."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import polars as pl
from fastapi import APIRouter, Path
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.figures import Coverage
from api.masses import UNKNOWN, Masses, masses_of, read_days
from api.paging import CURSOR, NEXT, Limit, Query, Window, page_of
from api.ports import Row, Service, Services
from nengshao.domain.factors import Basis
from nengshao.domain.targets import Projection, TargetLevel
from nengshao.domain.time import accounting_day, date_of, day_number
from nengshao.domain.units import Scope

router = APIRouter(prefix="/v1/enterprises", tags=["用能单位 enterprises"])

Code = Annotated[str, Path(description="统一社会信用代码 / unified social credit code")]


class Progress(BaseModel):
    """一项年度配额的进度 / progress against one annual quota."""

    year: int
    basis: Basis = Field(description="calorific 当量值 equivalent 等价值 carbon 二氧化碳 / basis")
    basis_zh: str
    scope: Scope = Field(description="统计口径 / what is counted")
    scope_zh: str
    level: TargetLevel = Field(description="base 基本目标 incentive 激励目标 / kind of target")
    unit: str = Field(description="下列数量的单位：tce 或 tCO2 / unit of the masses below")
    quota_t: float = Field(description="年度配额 / annual quota, in `unit`")
    as_of: dt.date | None = Field(description="数据完整到这一天（含）/ last day with nothing pending")
    used_t: float | None = Field(description="截至该日已用；空：缺系数 / used; null: no factor")
    low_t: float | None = Field(description="下界；空：无界 / lower bound; null: unbounded")
    high_t: float | None = Field(description="上界；空：无界 / upper bound; null: unbounded")
    due_t: float | None = Field(
        description="按进度可用；空：所选进度无依据 / what the profile allows by then"
    )
    pace: float | None = Field(description="进度比 = 已用 / 按进度可用 / used over due")
    pace_low: float | None
    pace_high: float | None
    projected_t: float | None = Field(description="全年预计；空：尚不足以预计 / expected of the year")
    projected_low_t: float | None = Field(description="80 % 区间下限 / 80 % interval")
    projected_high_t: float | None = Field(description="80 % 区间上限 / 80 % interval")
    projection: Projection | None = Field(description="预计方法；空：没有预计 / by what method")
    coverage: float | None = Field(description="截至该日的数据覆盖（实测与估算）/ share with data, 0–1")
    quota_confirmed: bool = Field(description="配额文件已确认 / the quota's document is confirmed")
    is_confirmed: bool = Field(description="配额与全部系数均已确认 / quota and every factor are confirmed")
    label: str | None = Field(description="标注 / label to be shown with the figure")


class ToDate(Masses):
    """一个年度至今的能耗与碳排放 / energy and carbon of an accounting year to date."""

    year: int
    as_of: dt.date | None = Field(description="累计到这一天（含）/ added up to this day")
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
    """A PROGRESS row in tonnes."""
    basis, scope = Basis(row["basis"]), Scope(row["scope"])
    masses = ("quota", "used", "low", "high", "due", "projected", "projected_low", "projected_high")
    return Progress(
        year=row["year"],
        basis=basis,
        basis_zh=basis.zh,
        scope=scope,
        scope_zh=scope.zh,
        level=TargetLevel(row["level"]),
        unit=basis.tonne,
        as_of=figures.date(row["as_of_day"]),
        **{f"{name}_t": figures.tonnes(row[f"{name}_g"]) for name in masses},
        pace=figures.rounded(row["pace"]),
        pace_low=figures.rounded(row["pace_low"]),
        pace_high=figures.rounded(row["pace_high"]),
        projection=Projection(row["projection"]) if row["projection"] else None,
        coverage=figures.rounded(row["coverage"]),
        quota_confirmed=bool(row["quota_confirmed"]),
        is_confirmed=bool(row["is_confirmed"]),
        label=figures.label_for(row["is_confirmed"]),
    )


def to_date_of(year: int, used: Mapping[Basis, Row], days: Sequence[Row], *, today: int) -> ToDate:
    """A year to date: its rows on every basis, as far as each day has nothing pending, and its days.

    The coverage is of every day before `today`, so that what is still to come in (this month's coal) is seen.
    """
    as_of = used[Basis.CALORIFIC]["as_of_day"]
    closed = [row for row in days if as_of is not None and row["day"] <= as_of]
    return ToDate(
        year=year,
        as_of=figures.date(as_of),
        **masses_of(used),
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
    window = Window(day_number(dt.date(year, 1, 1)), day_number(dt.date(year + 1, 1, 1)))
    codes = [row["enterprise"] for row in rows]
    frames = read_days(service, codes, window)
    days = by_enterprise(frames["ENTERPRISE_DAYS"])
    today = accounting_day(service.clock.now())
    found: dict[str, dict[Basis, Row]] = defaultdict(lambda: dict.fromkeys(Basis, _NOTHING))
    arithmetic = service.facts.arithmetic
    for used in arithmetic.to_date(codes, frames, service.state.registry(), year=year, today=today):
        found[used["enterprise"]][Basis(used["basis"])] = used
    return {code: to_date_of(year, found[code], days.get(code, []), today=today) for code in codes}


_NOTHING: Final[Row] = {**UNKNOWN, "as_of_day": None}
"""A year that has not begun, or in which the enterprise was not on duty."""


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


class ProgressQuery(Query):
    """Of which year."""

    year: Annotated[int | None, Field(ge=1990, le=2200, description="不给则全部年度 / default: all")] = None


class ProgressList(BaseModel):
    """一家用能单位或一个地区各年度配额的进度 / progress of an enterprise or region against its quotas."""

    code: str
    progress: list[Progress]


def read_progress(service: Service, code: str, year: int | None) -> ProgressList:
    """The progress of an enterprise or region, of one year or of all."""
    rows = service.state.progress([code]).iter_rows(named=True)
    return ProgressList(code=code, progress=[progress_row(r) for r in rows if year in (None, r["year"])])


@router.get("/{code}/progress", summary="年度配额进度 / progress against annual quotas")
def list_progress(
    service: Services, caller: Caller, code: Code, query: Annotated[ProgressQuery, InQuery()]
) -> ProgressList:
    """各基准、口径与目标 / on every basis, in every scope, for every target."""
    service.enterprise(caller, code)
    return read_progress(service, code, query.year)


@router.get("/{code}", summary="一家用能单位 / one enterprise")
def show_enterprise(
    service: Services, caller: Caller, code: Code, query: Annotated[YearQuery, InQuery()]
) -> Enterprise:
    """登记信息、年度累计、配额进度、预警数 / registration, year to date, progress, open alerts."""
    return read_enterprises(service, [service.enterprise(caller, code)], query.year)[0]
