"""Intensities: energy or carbon per unit of product, 产值, 增加值 or GDP, against targets and norms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Literal

import polars as pl
from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.enterprises import Code
from api.paging import NEXT, Limit, Offset, Period, Query, slice_of
from api.ports import Row, Service, Services
from nengshao.domain.targets import IntensityState
from nengshao.domain.time import date_of
from nengshao.domain.units import Scope

router = APIRouter(prefix="/v1/enterprises", tags=["强度 intensity"])

IntensityBasis = Literal["calorific", "equivalent", "carbon", "electricity"]
"""折标基准；electricity: 按电量（kWh）/ a basis of masses, or kWh of electricity."""

_STATES_ZH = {
    IntensityState.MET: "达到目标",
    IntensityState.MISSED_FALLING: "未达到目标，同比下降",
    IntensityState.RISING: "未达到目标，同比未降",
}


class Limits(BaseModel):
    """能耗限额，按标准修正后 / limits of the norm, after its corrections."""

    norm: str = Field(description="限额标识，见 /v1/norms / id of the norm")
    level_1: float | None = Field(description="1 级；空：标准未规定或无法修正 / null: none, or unknown")
    level_2: float | None
    level_3: float | None = Field(description="3 级（限定值）/ what nobody may exceed")
    benchmark: float | None = Field(description="标杆水平 / 标杆")
    baseline: float | None = Field(description="基准水平 / 基准")
    grade: str | None = Field(description="1、2、3 级或 over 超限额；空：无法判定 / null: cannot be said")
    gap: float | None = Field(description="高于 3 级多少，单位同强度（负：低于）/ above level 3")
    gap_t: float | None = Field(
        description="同上，按全部产量折吨标准煤 tce / the same for all that was made, tce"
    )
    problem: str = Field(description="为何无法判定，如 missing:参数；空串：没有问题 / why it cannot be said")
    is_confirmed: bool = Field(
        description="限额、修正参数、系数与产量均已确认 / everything that it rests on is confirmed"
    )
    label: str | None = Field(description="标注 / label to be shown with grade and gap")


class Intensity(BaseModel):
    """一个时期的强度 / the intensity of a period."""

    denominator: str = Field(description="product:产品编号，或产值、增加值、GDP / what it is per")
    name: str | None = Field(description="产品名称 / name of the product")
    basis: IntensityBasis
    scope: Scope
    period: str = Field(description="年（至今）或月 / a year to date, or a month")
    start: dt.date
    end: dt.date = Field(description="能耗与产量都到这一天（不含）/ how far both reach, exclusive")
    is_whole: bool = Field(description="是否整个时期 / whether that is the whole period")
    energy_t: float | None = Field(description="能耗，tce 或 tCO2 / energy or carbon; null: unknown")
    low_t: float | None = Field(description="能耗下界，tce 或 tCO2 / lower bound")
    high_t: float | None = Field(description="能耗上界，tce 或 tCO2 / upper bound")
    quantity: float | None = Field(description="产量或产值，单位见 unit / in `unit`; null: not stated")
    unit: str | None
    intensity: float | None = Field(description="每单位 kg（电：kWh）/ kg (kWh) per unit; null: unknown")
    low: float | None
    high: float | None
    previous: float | None = Field(description="上年同期 / the same days a year before")
    change: float | None = Field(description="同比 / against it")
    chain: float | None = Field(description="环比（月）/ against the month before")
    target: float | None = Field(description="目标，单位同强度 / target")
    target_confirmed: bool | None
    state: IntensityState | None = Field(description="空：无法判定 / null: cannot be said")
    state_zh: str | None
    limits: Limits | None = Field(description="空：没有适用的限额 / null: no norm applies")
    coverage: float | None = Field(description="数据覆盖（实测与估算）/ share with data, 0–1")
    is_confirmed: bool = Field(description="系数与产量均已确认 / factors and quantity are confirmed")
    label: str | None


class Intensities(BaseModel):
    """强度列表 / a page of intensities."""

    code: str
    intensities: list[Intensity]
    next: int | None = Field(description=NEXT)


class IntensityQuery(Query):
    """Which figures."""

    year: Annotated[int | None, Field(ge=1990, le=2200, description="不给则全部年度 / default: all")] = None
    period: Period | None = Field(None, description="如 2025、2025-03 / a year or month")
    denominator: Annotated[str | None, Field(max_length=200)] = None
    basis: IntensityBasis | None = None
    scope: Scope = Field(Scope.TOTAL, description="统计口径 / what is counted")
    cursor: Offset = 0
    limit: Limit = 100


def intensity_of(row: Row, name: str | None, problem: str) -> Intensity:
    """An INTENSITY row in natural units."""
    state = IntensityState(row["state"]) if row["state"] else None
    plain = ("denominator", "basis", "scope", "period", "is_whole", "unit", "change", "chain", "is_confirmed")
    return Intensity(
        **{column: row[column] for column in plain},
        name=name,
        start=date_of(row["first_day"]),
        end=date_of(row["end_day"]),
        **{f"{mass}_t": figures.tonnes(row[f"{mass}_g"]) for mass in ("energy", "low", "high")},
        quantity=figures.from_milli(row["quantity"]),
        intensity=row["intensity"],
        low=row["intensity_low"],
        high=row["intensity_high"],
        previous=row["previous"],
        target=row["target"],
        target_confirmed=None if row["target"] is None else bool(row["target_confirmed"]),
        state=state,
        state_zh=None if state is None else _STATES_ZH[state],
        limits=limits_of(row, problem) if row["norm"] else None,
        coverage=figures.rounded(row["coverage"]),
        label=figures.label_for(row["is_confirmed"]),
    )


def limits_of(row: Row, problem: str) -> Limits:
    """What the norm of an INTENSITY row says of it: no surer than the intensity that it judges."""
    is_confirmed = bool(row["norm_confirmed"] and row["is_confirmed"])
    return Limits(
        norm=row["norm"],
        **{f"level_{level}": row[f"limit_{level}"] for level in (1, 2, 3)},
        benchmark=row["benchmark"],
        baseline=row["baseline"],
        grade=row["grade"] or None,
        gap=row["gap"],
        gap_t=figures.tonnes(row["gap_g"]),
        problem=problem,
        is_confirmed=is_confirmed,
        label=figures.label_for(is_confirmed),
    )


def read_intensities(service: Service, code: str, query: IntensityQuery) -> Intensities:
    """The intensities of an enterprise or region that were asked for."""
    wanted = {
        "period": query.period,
        "denominator": query.denominator,
        "basis": query.basis,
        "scope": query.scope,
    }
    rows = [
        row
        for row in service.state.intensity([code]).iter_rows(named=True)
        if all(value in (None, row[name]) for name, value in wanted.items())
        and (query.year is None or row["period"].startswith(str(query.year)))
    ]
    page, following = slice_of(rows, query.cursor, query.limit)
    names = product_names(service, code)
    statistics = read_parameters(service, code, page)
    return Intensities(
        code=code,
        intensities=[
            intensity_of(row, names.get(row["denominator"]), norm_problem(service, row, statistics))
            for row in page
        ],
        next=following,
    )


def read_parameters(service: Service, code: str, rows: Sequence[Row]) -> pl.DataFrame:
    """The statistics over the days of these INTENSITY rows, which a norm's corrections look at."""
    first = min((row["first_day"] for row in rows), default=0)
    return service.state.statistics([code], first, max((row["end_day"] for row in rows), default=first))


def norm_problem(service: Service, row: Row, statistics: pl.DataFrame) -> str:
    """Why limits of the row cannot be said; only looked for where one is not known."""
    is_known = not row["norm"] or None not in (row["limit_1"], row["limit_2"], row["limit_3"])
    return "" if is_known else service.facts.arithmetic.norm_problem(row, statistics)


def product_names(service: Service, code: str) -> dict[str, str]:
    """The names of an enterprise's products by denominator, as last registered."""
    products = service.state.registry().products.iter_rows(named=True)
    return {f"product:{row['product']}": row["name"] for row in products if row["enterprise"] == code}


@router.get("/{code}/intensity", summary="单位产品与单位产值能耗 / intensities")
def list_intensities(
    service: Services, caller: Caller, code: Code, query: Annotated[IntensityQuery, InQuery()]
) -> Intensities:
    """单位产品综合能耗、万元产值能耗与碳强度，及其目标、限额、同比 / with targets, norms and changes."""
    service.enterprise(caller, code)
    return read_intensities(service, code, query)
