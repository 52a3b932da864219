"""Statistics: what people state of a period (output, 产值, GDP, a region's total), and who approved it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import polars as pl
from fastapi import APIRouter, Depends, Request
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller, Principal
from api.bodies import MULTIPART, XLSX, Content, read_body
from api.closings import Body, Reason, check_may_decide
from api.errors import NotFound, NotPossible
from api.paging import MOST_DAYS, NEXT, Days, Limit, Offset, slice_of, window_of
from api.ports import Row, Service, Services
from api.stated import CELLS, KEY, check, rows_of
from nengshao.domain.codes import is_region_code
from nengshao.domain.errors import ConfigError
from nengshao.domain.targets import Indicator, StatisticState
from nengshao.domain.time import accounting_day, date_of, day_number
from nengshao.domain.units import MILLI
from nengshao.frames import STATISTICS

router = APIRouter(prefix="/v1/statistics", tags=["统计数据 statistics"])

_UPLOAD_DOC: Final = f"""
产量、产值、增加值、限额修正参数（企业），GDP、能源消费总量、碳排放总量（地区）。JSON（对象的列表）或表格
（XLSX，或 UTF-8 的 CSV，首行为列名），列相同：`{", ".join(CELLS)}`。

* 期间三种写法选一：`first` 与 `end`（截止日，不含），`first` 与 `last`（末日，含），
  `period`（年、季、月：`2025`、`2025Q1`、`2025-03`）；期间未结束的不受理（每天都成立的限额修正参数除外）。
* `item` 为产品编号、`产品/参数` 或统计口径。
* `state` 只用于地区（preliminary 初步核算、final 最终核实），企业所报一律为 submitted，待审核。

有一处不符则整份不受理，并逐行说明。每次受理为一个版本，全部保留；与现行版本相同的行不再记。

Output, value and norm parameters of enterprises; GDP, total energy and carbon of regions. JSON (a list of
objects) or a table (XLSX, or CSV in UTF-8) with the same columns. A row says its period in one of three
ways: `first` and `end` (exclusive), `first` and `last` (inclusive), or `period` (a year, quarter or month);
one that has not ended is refused, but for parameters that hold on each day. All rows or none are taken. Every
acceptance is a version, all are kept; a row that says what stands already is not kept again.
"""

_ROW_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["subject", "indicator", "value", "unit", "source"],
    "properties": {
        "subject": {"type": "string", "description": "统一社会信用代码或行政区划代码 / enterprise or region"},
        "indicator": {"type": "string", "enum": [indicator.value for indicator in Indicator]},
        "item": {
            "type": "string",
            "description": "产品编号、产品/参数、统计口径 / product, parameter, scope",
        },
        "first": {"type": "string", "format": "date", "description": "起始日（含）/ first day"},
        "end": {"type": "string", "format": "date", "description": "截止日（不含）/ day after the last"},
        "last": {"type": "string", "format": "date", "description": "末日（含）/ last day"},
        "period": {
            "type": "string",
            "description": "年、季、月 / year, quarter, month: 2025, 2025Q1, 2025-03",
        },
        "value": {"type": ["number", "string"], "description": "至多三位小数 / at most three decimals"},
        "unit": {"type": "string", "description": "t、1e4CNY、tce、tCO2…"},
        "source": {"type": "string", "description": "来源 / source"},
        "state": {"type": ["string", "null"], "enum": ["preliminary", "final", None]},
    },
}

_BODY_SCHEMA: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "array", "items": _ROW_SCHEMA}},
            "text/csv": {"schema": {"type": "string", "description": ", ".join(CELLS)}},
            XLSX: {"schema": {"type": "string", "format": "binary"}},
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


class Accepted(BaseModel):
    """受理结果 / what was taken."""

    accepted: int = Field(description="新的版本数 / new versions")
    unchanged: int = Field(description="与现行版本相同、未再记的行 / rows that say what stands already")
    accepted_at: dt.datetime


class Statistic(BaseModel):
    """一个期间的一个所报数字的一个版本 / a version of a stated figure."""

    subject: str
    indicator: Indicator
    item: str
    first: dt.date
    end: dt.date = Field(description="截止日（不含）/ day after the last")
    version: int = Field(description="版本：受理时间，秒 / when it was accepted, s; names it in decisions")
    accepted_at: dt.datetime
    value: float
    unit: str
    state: StatisticState = Field(
        description="submitted 已报 approved 通过 rejected 不通过 preliminary final"
    )
    is_in_force: bool = Field(description="现行版本：未被否的最新一个 / the newest that was not rejected")
    source: str
    submitted_by: str
    decided_by: str | None
    decided_at: dt.datetime | None
    note: str | None = Field(description="审核意见 / reason given with the decision")


class StatisticPage(BaseModel):
    """所报数字的全部版本 / every version."""

    statistics: list[Statistic]
    next: int | None = Field(description=NEXT)


class StatisticQuery(Days):
    """Which figures."""

    subject: str = Field(max_length=18, description="统一社会信用代码或行政区划代码 / enterprise or region")
    indicator: Indicator | None = None
    cursor: Offset = 0
    limit: Limit = 100


class StatisticDecision(Body):
    """对一个版本的审核 / a decision on a version."""

    subject: str = Field(max_length=18)
    indicator: Indicator
    item: Annotated[str, Field(max_length=200)] = ""
    first: dt.date
    version: Annotated[int, Field(ge=0, lt=2**63)]
    state: Literal["approved", "rejected", "final"]
    reason: Reason


async def read_upload(request: Request, service: Services, _caller: Caller) -> Content:
    """The upload's bytes, read only for a known caller, and never beyond the limit."""
    return await read_body(request, service.facts.max_upload_bytes)


@router.post(
    "", status_code=201, summary="报送统计数据 / hand in statistics",
    description=_UPLOAD_DOC, openapi_extra=_BODY_SCHEMA,
)  # fmt: skip
def put_statistics(
    service: Services, caller: Caller, content: Annotated[Content, Depends(read_upload)]
) -> Accepted:
    """See `_UPLOAD_DOC`."""
    rows = rows_of(content)
    for subject in {row["subject"] for row in rows}:
        service.subject(caller, subject)
        if is_region_code(subject):
            check_may_decide(caller, subject)
    at = service.clock.now()
    check(rows, service.state.registry(), service.facts.norms, accounting_day(at))
    kept = keep(service, caller, rows, at)
    return Accepted(accepted=kept, unchanged=len(rows) - kept, accepted_at=figures.moment(at))


def keep(service: Service, caller: Principal, rows: Sequence[Row], at: int) -> int:
    """Keep what does not stand already, each under a version after those there are; how many that were.

    Another upload in the same second may have taken a version: then what is not there is tried again.
    Raises: NotPossible if periods overlap in part.
    """
    kept = 0
    while new := new_versions(rows, _known(service, rows), at, caller.name):
        try:
            kept += service.state.put_statistics(pl.DataFrame(new, schema=dict(STATISTICS.schema)))
        except ConfigError as exc:
            raise NotPossible(exc) from exc
    return kept


def _known(service: Service, rows: Sequence[Row]) -> Sequence[Row]:
    subjects = sorted({row["subject"] for row in rows})
    first, end = min(row["first_day"] for row in rows), max(row["end_day"] for row in rows)
    return service.state.statistics(subjects, first, end).to_dicts()


def new_versions(rows: Sequence[Row], known: Sequence[Row], at: int, by: str) -> list[dict[str, Any]]:
    """STATISTICS rows for what `known` does not say already."""
    standing = {
        tuple(row[name] for name in KEY): row for row in known if row["state"] != StatisticState.REJECTED
    }
    last: dict[tuple[Any, ...], int] = {}
    for row in known:
        series = tuple(row[name] for name in _SERIES)
        last[series] = max(last.get(series, 0), row["version"])
    new = []
    for row in rows:
        state = row["state"] or StatisticState.SUBMITTED.value
        if _says_the_same(standing.get(tuple(row[name] for name in KEY)), row, state):
            continue
        series = tuple(row[name] for name in _SERIES)
        last[series] = version = max(at, last.get(series, 0) + 1)
        made = {"version": version, "state": state, "submitted_by": by, "decided_by": "", "note": ""}
        new.append({**row, **made, "decided_at": None})
    return new


_SERIES: Final = ("subject", "indicator", "item", "first_day")
"""What a version must be unique within: cumulative figures start on the same day."""


def _says_the_same(known: Row | None, row: Row, state: str) -> bool:
    """An approved figure that is handed in again stays approved."""
    if known is None or (known["value"], known["unit"]) != (row["value"], row["unit"]):
        return False
    return known["state"] == state or (
        state == StatisticState.SUBMITTED and known["state"] != StatisticState.REJECTED
    )


def statistic_of(row: Row, *, is_in_force: bool) -> Statistic:
    """A STATISTICS row."""
    return Statistic(
        subject=row["subject"],
        indicator=Indicator(row["indicator"]),
        item=row["item"],
        first=date_of(row["first_day"]),
        end=date_of(row["end_day"]),
        version=row["version"],
        accepted_at=figures.moment(row["version"]),
        value=row["value"] / MILLI,
        unit=row["unit"],
        state=StatisticState(row["state"]),
        is_in_force=is_in_force,
        source=row["source"],
        submitted_by=row["submitted_by"],
        decided_by=row["decided_by"] or None,
        decided_at=figures.instant(row["decided_at"]),
        note=row["note"] or None,
    )


def statistics_of(rows: Sequence[Row]) -> list[Statistic]:
    """STATISTICS rows, each with whether it is the version that stands."""
    standing: dict[tuple[Any, ...], int] = {}
    for row in rows:
        if row["state"] != StatisticState.REJECTED:
            key = tuple(row[name] for name in KEY)
            standing[key] = max(standing.get(key, 0), row["version"])
    return [
        statistic_of(row, is_in_force=standing.get(tuple(row[name] for name in KEY)) == row["version"])
        for row in rows
    ]


@router.get("", summary="统计数据及其版本 / statistics with their versions")
def list_statistics(
    service: Services, caller: Caller, query: Annotated[StatisticQuery, InQuery()]
) -> StatisticPage:
    """期间与所问时段有重叠的全部版本；默认最近三年，至多十年 / every version; three years by default."""
    service.subject(caller, query.subject)
    today = accounting_day(service.clock.now())
    window = window_of(query, last_day=today, days=3 * 366, most=MOST_DAYS)
    rows = service.state.statistics([query.subject], window.first, window.end).to_dicts()
    wanted = [row for row in rows if query.indicator in (None, row["indicator"])]
    page, following = slice_of(statistics_of(wanted), query.cursor, query.limit)
    return StatisticPage(statistics=page, next=following)


@router.post("/decisions", status_code=204, summary="审核一个版本 / decide on a version")
def decide_statistic(service: Services, caller: Caller, body: StatisticDecision) -> None:
    """通过、不通过或定为最终；最后一次决定有效，不通过的保留而不用 / the last decision stands."""
    service.subject(caller, body.subject)
    check_may_decide(caller, body.subject)
    key = (body.subject, body.indicator.value, body.item, day_number(body.first), body.version)
    at = service.clock.now()
    try:
        is_there = service.state.decide_statistic(*key, body.state, caller.name, body.reason, at)
    except ConfigError as exc:
        raise NotPossible(exc) from exc
    if not is_there:
        raise NotFound("没有这个版本", "no such version")
