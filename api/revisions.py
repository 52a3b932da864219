"""Revisions: published figures that changed, from what to what, and why."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Final

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.energy import read_last_day
from api.enterprises import Code
from api.paging import Days, window_of
from api.ports import Row, Services
from nengshao.domain.time import date_of

router = APIRouter(prefix="/v1/enterprises", tags=["更正 revisions"])


class Published(BaseModel):
    """一日的数字 / the figures of a day."""

    calorific_tce: float | None = Field(description="当量值，tce；空：未知 / calorific; null: unknown")
    equivalent_tce: float | None = Field(description="等价值，tce；空：未知 / equivalent; null: unknown")
    carbon_t: float | None = Field(description="二氧化碳，tCO2；空：未知 / CO2; null: unknown")
    figures: dict[str, Any] = Field(
        description="内部整数：全日与有变化的计量点；_g 克标准煤，_s 秒 / stored integers; g, s"
    )


class Revision(BaseModel):
    """一次更正 / a published figure that changed."""

    date: dt.date
    seq: int = Field(description="当日第几次 / number of the revision of that day")
    made_at: dt.datetime
    cause: str = Field(description="原因 / cause")
    cause_zh: str
    before: Published = Field(description="更正前 / before")
    after: Published = Field(description="更正后 / after")
    decided_by: str | None = Field(description="由谁接受；空：随数据而来 / null: it followed from the data")
    reason: str | None = Field(description="接受的理由 / the reason given")


class Revisions(BaseModel):
    """一家用能单位的更正记录 / revisions of an enterprise's published figures."""

    enterprise: str
    start: dt.date
    end: dt.date
    revisions: list[Revision]


CAUSES_ZH: Final = {
    "late_data": "迟到数据",
    "correction": "数据更正",
    "factor": "折标系数变更",
    "registry": "登记信息变更",
    "time": "数据到期",
    "accepted": "接受更正建议",
    "member": "所辖单位更正",
}


def published_figures(stored: Row) -> Published:
    """One side of a revision: the enterprise's day, and the points of which something changed."""
    day = stored.get("enterprise_day") or {}
    return Published(
        calorific_tce=figures.tonnes(day.get("calorific_g")),
        equivalent_tce=figures.tonnes(day.get("equivalent_g")),
        carbon_t=figures.tonnes(day.get("carbon_g")),
        figures=figures.with_text_ids(stored),
    )


def revision_of(row: Row) -> Revision:
    """A revision as the StateStore gives it."""
    return Revision(
        date=date_of(row["day"]),
        seq=row["seq"],
        made_at=figures.moment(row["made_at"]),
        cause=row["cause"],
        cause_zh=CAUSES_ZH.get(row["cause"], row["cause"]),
        before=published_figures(row["before"]),
        after=published_figures(row["after"]),
        decided_by=row["decided_by"],
        reason=row["reason"],
    )


@router.get("/{code}/revisions", summary="已发布数字的更正 / revisions of published figures")
def list_revisions(
    service: Services, caller: Caller, code: Code, query: Annotated[Days, InQuery()]
) -> Revisions:
    """由旧到新；默认最近 31 天，至多 400 天 / oldest first; 31 days unless asked otherwise, at most 400."""
    service.enterprise(caller, code)
    window = window_of(query, last_day=read_last_day(service, code), days=31, most=400)
    rows = service.state.revisions(code, window.first, window.end)
    return Revisions(
        enterprise=code,
        start=date_of(window.first),
        end=date_of(window.end),
        revisions=[revision_of(row) for row in rows],
    )
