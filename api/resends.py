"""Resend requests (补传): what was found missing of an enterprise, and what came of asking for it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.enterprises import Code
from api.paging import CURSOR, NEXT, Limit, Query, page_of
from api.ports import Services
from nengshao.domain.resends import Resend, ResendState

router = APIRouter(prefix="/v1/enterprises", tags=["补传 resends"])


class MissingSpan(BaseModel):
    """一个计量点的一段缺口 / a gap of a point."""

    point: str = Field(description="计量点标识 / dataCode.statType.meter")
    start: dt.datetime = Field(description="起始时刻（含）/ first instant")
    end: dt.datetime = Field(description="截止时刻（不含）/ after the last instant")
    readings: int = Field(description="应有的数据条数 / readings due in it")


class ResendRow(BaseModel):
    """向一台端设备请求的一段补传 / what one device is asked for at a time."""

    id: int = Field(description="请求编号，同命令中的 id / id of the command")
    device: str = Field(description="端设备 / device")
    state: ResendState = Field(
        description="open 待请求 asked 已请求 filled 已补齐 given_up 已放弃 / where it stands"
    )
    state_zh: str
    start: dt.datetime = Field(description="起始时刻（含）/ first instant asked for")
    end: dt.datetime = Field(description="截止时刻（不含）/ after the last instant")
    gaps: list[MissingSpan] = Field(description="各计量点的缺口 / by point")
    found_at: dt.datetime = Field(description="发现时间 / when it was found")
    attempts: int = Field(description="已请求的次数 / times the device was asked")
    asked_at: dt.datetime | None = Field(description="最近一次请求；空：尚未请求 / null: not asked yet")
    next_at: dt.datetime | None = Field(description="下次查看的时间；空：已结束 / null: it has ended")
    missing: int | None = Field(description="最近查看时仍缺的条数；空：尚未查看 / null: not looked at yet")
    settled_at: dt.datetime | None = Field(description="结束时间 / when it ended")


class ResendPage(BaseModel):
    """补传请求列表 / a page of resend requests."""

    enterprise: str
    resends: list[ResendRow]
    next: int | None = Field(description=NEXT)


class ResendQuery(Query):
    """Which requests."""

    state: ResendState | None = Field(None, description="状态 / state")
    cursor: int | None = Field(None, ge=1, lt=2**63, description=CURSOR)
    limit: Limit = 100


def resend_row(resend: Resend, names: dict[int, str]) -> ResendRow:
    """A request; `names`: tags of points by id."""
    gaps = [
        MissingSpan(
            point=names.get(gap.point, str(gap.point)),
            start=figures.moment(gap.start),
            end=figures.moment(gap.end),
            readings=gap.readings,
        )
        for gap in resend.gaps
    ]
    return ResendRow(
        id=resend.resend_id,
        device=resend.device,
        state=resend.state,
        state_zh=resend.state.zh,
        start=figures.moment(resend.start),
        end=figures.moment(resend.end),
        gaps=sorted(gaps, key=lambda gap: gap.point),
        found_at=figures.moment(resend.found_at),
        attempts=resend.attempts,
        asked_at=figures.instant(resend.asked_at),
        next_at=None if resend.state.is_end else figures.moment(resend.next_at),
        missing=resend.missing,
        settled_at=figures.instant(resend.settled_at),
    )


@router.get("/{code}/resends", summary="补传请求 / resend requests")
def list_resends(
    service: Services, caller: Caller, code: Code, query: Annotated[ResendQuery, InQuery()]
) -> ResendPage:
    """新的在前；结束 13 个月后删除 / newest first; gone 13 months after their end."""
    service.enterprise(caller, code)
    found = service.state.resends(code, state=query.state, before_id=query.cursor, limit=query.limit + 1)
    page, last = page_of(found, query.limit)
    names = service.directory().names(code)
    return ResendPage(
        enterprise=code,
        resends=[resend_row(resend, names) for resend in page],
        next=last.resend_id if last else None,
    )
