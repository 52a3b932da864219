"""What the broker refused: it never reached us, so it is in no ledger; counted from the broker's log."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api.auth import Caller
from api.paging import Days, EnterpriseFilter
from api.ports import Services
from nengshao.domain.denials import DenialKind
from nengshao.domain.time import date_of, day_number

router = APIRouter(prefix="/v1/broker-denials", tags=["台账 ledger"])


class DenialCount(BaseModel):
    """一日一企业一类的次数 / how often, by day, enterprise and kind."""

    date: dt.date = Field(description="代理日志所记的日期 / day, by the broker's log")
    enterprise: str = Field(description="账号所属企业；空：未登记或未登录 / whose account; empty: unknown")
    kind: DenialKind = Field(description="类别 / what was refused")
    kind_zh: str = Field(description="类别（中文）/ in Chinese")
    count: int = Field(description="次数 / times")


class DenialsQuery(Days):
    """Which rows."""

    enterprise: EnterpriseFilter = None


@router.get("", summary="代理拒绝的 / what the broker refused")
def show_denials(
    service: Services, caller: Caller, query: Annotated[DenialsQuery, InQuery()]
) -> list[DenialCount]:
    """被代理拒绝的连接、上报与越界订阅；不进台账 / refused before they reached us, so in no ledger."""
    scope = caller.scope(query.enterprise)
    first = None if query.since is None else day_number(query.since)
    end = None if query.to is None else day_number(query.to)
    rows = [
        row
        for code in ([None] if scope is None else scope)
        for row in service.state.denials(enterprise=code, from_day=first, to_day=end).iter_rows(named=True)
    ]
    return [
        DenialCount(
            date=date_of(row["day"]),
            enterprise=row["enterprise"],
            kind=DenialKind(row["kind"]),
            kind_zh=DenialKind(row["kind"]).zh,
            count=row["count"],
        )
        for row in sorted(rows, key=lambda row: (row["day"], row["enterprise"], row["kind"]))
    ]
