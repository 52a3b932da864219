"""Totals of any days: every scope on every basis, with bounds, coverage, and what proposals would add."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.energy import read_last_day
from api.enterprises import Code
from api.figures import Coverage
from api.masses import Masses, ScopeMasses, read_days, scope_masses
from api.paging import MOST_DAYS, Days, Window, window_of
from api.ports import Frames, Row, Service, Services
from nengshao.domain.factors import Basis
from nengshao.domain.time import date_of
from nengshao.domain.units import Scope

router = APIRouter(prefix="/v1/enterprises", tags=["能耗 energy"])

_DAYS: Final = 31


class PendingDifference(BaseModel):
    """待处理的差额：接受更正建议后增加多少 / what the figures would gain by open proposals."""

    days: int = Field(description="有待处理建议的天数 / days with an open proposal")
    calorific_tce: float | None = Field(description="当量值，tce；空：未知 / calorific, tce; null: unknown")
    equivalent_tce: float | None = Field(description="等价值，tce；空：未知 / equivalent, tce; null: unknown")
    carbon_t: float | None = Field(description="二氧化碳，tCO2；空：未知 / CO2, tCO2; null: unknown")


class Totals(BaseModel):
    """一段时间的能耗与碳排放 / energy and carbon of some days."""

    code: str = Field(description="用能单位或行政区划代码 / enterprise or region")
    start: dt.date = Field(description="起始日（含）/ first day")
    end: dt.date = Field(description="截止日（不含）/ day after the last")
    days: int = Field(description="其中有结果的天数 / how many of the days have a result")
    published: bool = Field(description="每一天都已发布 / every day is there and published")
    scopes: list[ScopeMasses] = Field(description="各统计口径 / every scope")
    coverage: Coverage | None = Field(description="数据覆盖；空：无应有数据 / null: nothing was expected")
    no_factor: list[str] = Field(description="缺系数的品种与基准 / carrier:basis without a factor")
    pending: PendingDifference | None = Field(description="空：没有待处理的建议 / null: nothing is open")


def totals_of(code: str, window: Window, masses: Mapping[Scope, Masses], rows: Sequence[Row]) -> Totals:
    """The answer of ENTERPRISE_DAYS rows and what they came to."""
    is_whole = len(rows) == window.end - window.first
    return Totals(
        code=code,
        start=date_of(window.first),
        end=date_of(window.end),
        days=len(rows),
        published=is_whole and all(row["published"] for row in rows),
        scopes=[
            ScopeMasses(scope=scope, scope_zh=scope.zh, **dict(found)) for scope, found in masses.items()
        ],
        coverage=figures.coverage_of(rows, whole_periods=window.is_whole_months),
        no_factor=sorted({item for row in rows for item in figures.listed(row["no_factor"])}),
        pending=None,
    )


def read_totals(service: Service, code: str, window: Window, frames: Frames) -> Totals:
    """What an enterprise, or a region's key units together, came to in the window."""
    (masses,) = scope_masses(service, code, [(window.first, window.end)], list(Scope), frames)
    rows = [row for row in frames["ENTERPRISE_DAYS"].iter_rows(named=True) if row["enterprise"] == code]
    return totals_of(code, window, masses, rows)


def read_pending(service: Service, codes: Sequence[str], window: Window) -> PendingDifference | None:
    """What the open proposals of these enterprises would add; None: there are none."""
    rows = service.state.pending_difference(codes, window.first, window.end).to_dicts()
    if not rows:
        return None
    added = {basis: [row[f"{basis}_g"] for row in rows] for basis in Basis}
    tonnes = {basis: None if None in grams else figures.tonnes(sum(grams)) for basis, grams in added.items()}
    return PendingDifference(
        days=len(rows),
        calorific_tce=tonnes[Basis.CALORIFIC],
        equivalent_tce=tonnes[Basis.EQUIVALENT],
        carbon_t=tonnes[Basis.CARBON],
    )


@router.get("/{code}/totals", summary="一段时间的各口径合计 / totals of some days in every scope")
def show_totals(service: Services, caller: Caller, code: Code, query: Annotated[Days, InQuery()]) -> Totals:
    """默认最近有结果的 31 天，至多十年 / the last 31 days with a result by default, at most 10 years."""
    service.enterprise(caller, code)
    window = window_of(query, last_day=read_last_day(service, code), days=_DAYS, most=MOST_DAYS)
    found = read_totals(service, code, window, read_days(service, [code], window))
    return found.model_copy(update={"pending": read_pending(service, [code], window)})
