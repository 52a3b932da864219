"""The ledger: what became of every delivered reading, for anyone to add up."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api.auth import Caller
from api.errors import BadRequest
from api.paging import EnterpriseFilter, Query
from api.ports import Row, Service, Services
from nengshao.domain.readings import Outcome
from nengshao.domain.time import date_of, day_number

router = APIRouter(prefix="/v1/ledger", tags=["台账 ledger"])


class LedgerRow(BaseModel):
    """一日一企业一来源一去向的条数 / readings of a day, enterprise, door, outcome and reason."""

    date: dt.date = Field(description="入账日 / day of booking")
    enterprise: str = Field(description="空：未登记的发送方 / empty: senders that are not registered")
    source: str = Field(description="来源 / the door it came through")
    outcome: str = Field(description="去向 / what it was booked as")
    reason: str = Field(description="隔离原因；其他去向为空 / reason of quarantine, else empty")
    count: int = Field(description="条数 / readings")


class Totals(BaseModel):
    """条数合计 / totals, in readings."""

    received: int = Field(description="收到 / delivered")
    stored: int = Field(description="入库 / first booked version")
    duplicate: int = Field(description="重复 / booked already")
    corrected: int = Field(description="更正 / beats the booked winner")
    superseded: int = Field(description="被取代 / loses to the booked winner")
    quarantined: int = Field(description="隔离 / not accepted, with a reason")


class Proof(BaseModel):
    """外部核对：台账的入库数与存储中的读数个数 / the outside proof: Σ stored against the store."""

    stored: int = Field(description="台账入库数 / stored, as booked")
    distinct_readings: int = Field(description="存储中不同读数的个数 / distinct readings in the store")
    is_equal: bool


class Ledger(BaseModel):
    """台账：收到 = 入库 + 重复 + 更正 + 被取代 + 隔离 / received equals the sum of the outcomes."""

    totals: Totals
    balanced: bool = Field(description="收到 = 各去向之和，且无负数 / the totals add up and none is negative")
    in_flight: int = Field(description="本进程在途、尚未入账 / not booked yet, of this process")
    proof: Proof | None = Field(description="仅在 proof=true 时 / only with proof=true")
    rows: list[LedgerRow]


def ledger_rows(rows: Sequence[Row]) -> list[LedgerRow]:
    """Ledger rows as they are shown."""
    return [
        LedgerRow(
            date=date_of(row["day"]),
            enterprise=row["enterprise"],
            source=row["source"],
            outcome=row["outcome"],
            reason=row["reason"],
            count=row["count"],
        )
        for row in rows
    ]


def totals_of(rows: Sequence[Row]) -> Totals:
    """Readings received, and per outcome."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["outcome"]] += row["count"]
    outcomes = {outcome.value: counts[outcome.value] for outcome in Outcome}
    return Totals(received=counts.total(), **outcomes)


def is_balanced(totals: Totals) -> bool:
    """Whether everything received has one of the five outcomes, and no count is negative."""
    parts: list[int] = [getattr(totals, outcome.value) for outcome in Outcome]
    return totals.received == sum(parts) and min(parts) >= 0


class LedgerQuery(Query):
    """Which rows."""

    enterprise: EnterpriseFilter = None
    since: dt.date | None = Field(None, alias="from", description="起始入账日（含）/ first day of booking")
    to: dt.date | None = Field(None, description="截止入账日（不含）/ day after the last")
    proof: bool = Field(False, description="与存储核对；仅对整个台账 / count the store; whole ledger only")


def read_ledger(service: Service, scope: Sequence[str] | None, query: LedgerQuery) -> list[Row]:
    """Ledger rows of the enterprises in `scope` (None: of all), sorted as the store sorts them.

    Raises: BadRequest if there is no day between `from` and `to`.
    """
    wanted: Sequence[str | None] = [None] if scope is None else scope
    first = None if query.since is None else day_number(query.since)
    end = None if query.to is None else day_number(query.to)
    if first is not None and end is not None and first >= end:
        raise BadRequest("from 必须早于 to", "from must be before to")
    rows: list[Row] = []
    for code in wanted:
        rows.extend(service.state.ledger(enterprise=code, from_day=first, to_day=end).iter_rows(named=True))
    return sorted(rows, key=lambda row: (row["day"], row["enterprise"]))


def proof_of(service: Service, stored: int) -> Proof:
    """Σ stored against what the store counts."""
    counted = service.ports.readings.count()
    return Proof(stored=stored, distinct_readings=counted, is_equal=stored == counted)


@router.get("", summary="台账 / ledger")
def show_ledger(service: Services, caller: Caller, query: Annotated[LedgerQuery, InQuery()]) -> Ledger:
    """每条送达的数据恰好记一次 / every delivered reading is booked exactly once."""
    scope = caller.scope(query.enterprise)
    rows = read_ledger(service, scope, query)
    totals = totals_of(rows)
    is_whole = query.proof and scope is None and query.since is None and query.to is None
    return Ledger(
        totals=totals,
        balanced=is_balanced(totals),
        in_flight=service.ports.in_flight(),
        proof=proof_of(service, totals.stored) if is_whole else None,
        rows=ledger_rows(rows),
    )
