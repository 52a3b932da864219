"""Measures: every figure that rules look at, as last judged."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.enterprises import Code
from api.paging import NEXT, Limit, Offset, Query, slice_of
from api.ports import Row, Services
from nengshao.domain.rules import Measure

router = APIRouter(prefix="/v1/enterprises", tags=["指标 measures"])


class MeasureFigure(BaseModel):
    """规则所看的一个数字 / a figure that rules look at."""

    measure: Measure
    measure_zh: str
    unit: str = Field(description="1 表示比值，pp 百分点，s 秒，d 天 / unit; 1: a ratio")
    subject: str = Field(description="对象：配额、端设备、计量点、产品 / a quota, device, point or product")
    as_of: dt.datetime = Field(description="数字所及的时间 / the figure reaches up to here")
    value: float | None = Field(description="空：未知 / null: unknown")
    low: float | None = Field(description="下界；空：无界或未知 / lower bound; null: unbounded or unknown")
    high: float | None = Field(description="上界；空：无界或未知 / upper bound; null: unbounded or unknown")
    coverage: float | None = Field(description="数据覆盖；空：不适用 / null: does not apply")
    is_confirmed: bool
    label: str | None


class Measures(BaseModel):
    """指标列表 / a page of measures."""

    code: str
    measures: list[MeasureFigure]
    next: int | None = Field(description=NEXT)


class MeasureQuery(Query):
    """Which measures."""

    measure: list[Measure] = Field([], description="可多选；不给则全部 / none: all")
    cursor: Offset = 0
    limit: Limit = 100


def measure_of(row: Row) -> MeasureFigure:
    """A MEASURES row."""
    measure = Measure(row["measure"])
    return MeasureFigure(
        measure=measure,
        measure_zh=measure.zh,
        unit=measure.unit,
        subject=row["subject"],
        as_of=figures.moment(row["at"]),
        value=figures.rounded(row["value"]),
        low=figures.rounded(row["low"]),
        high=figures.rounded(row["high"]),
        coverage=figures.rounded(row["coverage"]),
        is_confirmed=bool(row["is_confirmed"]),
        label=figures.label_for(row["is_confirmed"]),
    )


@router.get("/{code}/measures", summary="规则所看的指标 / figures that rules look at")
def list_measures(
    service: Services, caller: Caller, code: Code, query: Annotated[MeasureQuery, InQuery()]
) -> Measures:
    """最近一次判定时的数字 / as they were last judged."""
    service.enterprise(caller, code)
    found = service.state.measures([code]).iter_rows(named=True)
    rows = [row for row in found if not query.measure or row["measure"] in query.measure]
    page, following = slice_of(rows, query.cursor, query.limit)
    return Measures(code=code, measures=[measure_of(row) for row in page], next=following)
