"""Closing (结账): frozen periods, and what later results propose for them."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi import Query as InQuery
from pydantic import BaseModel, ConfigDict, Field

from api import figures
from api.auth import Caller, Principal
from api.enterprises import Code
from api.errors import AlreadyDecided, BadRequest, NotAllowed, NotFound, NotPossible
from api.paging import (
    CURSOR,
    MOST_DAYS,
    NEXT,
    EnterpriseFilter,
    Limit,
    Query,
    Window,
    page_of,
    window_between,
)
from api.ports import Row, Service, Services
from api.revisions import CAUSES_ZH, Published, published_figures
from nengshao.domain.errors import ConfigError
from nengshao.domain.time import date_of, day_number, local_text

router = APIRouter(prefix="/v1", tags=["结账 closings"])

Reason = Annotated[str, Field(min_length=1, max_length=1000, description="理由 / reason")]


class Body(BaseModel):
    """A request body; what it does not know is refused, not passed over."""

    model_config = ConfigDict(extra="forbid")


class NewClosing(Body):
    """要结账的期间 / the period to be closed."""

    first: dt.date = Field(description="起始核算日（含）/ first accounting day")
    end: dt.date = Field(description="截止核算日（不含）/ accounting day after the last")
    reason: Reason


class Closing(BaseModel):
    """一次结账 / a closed period."""

    id: int
    enterprise: str
    first: dt.date
    end: dt.date = Field(description="截止核算日（不含）/ accounting day after the last")
    closed_by: str
    closed_at: dt.datetime
    reason: str


class Closings(BaseModel):
    """一家用能单位的结账记录 / the closed periods of an enterprise, oldest first."""

    enterprise: str
    closings: list[Closing]


class Proposal(BaseModel):
    """已结账日的一项更正建议 / what later results say of a closed day."""

    id: int
    enterprise: str
    date: dt.date
    made_at: dt.datetime
    cause: str
    cause_zh: str
    state: str = Field(description="open 待办 accepted 接受 rejected 不接受 withdrawn 撤回 / state")
    before: Published = Field(description="现行数字 / in force")
    after: Published = Field(description="建议数字 / proposed")
    decided_by: str | None
    decided_at: dt.datetime | None
    reason: str | None


class Proposals(BaseModel):
    """更正建议，由新到旧 / proposals, newest first."""

    proposals: list[Proposal]
    next: int | None = Field(description=NEXT)


class ProposalQuery(Query):
    """Which proposals."""

    enterprise: EnterpriseFilter = None
    state: Annotated[str | None, Field(pattern="^(open|accepted|rejected|withdrawn)$")] = "open"
    cursor: Annotated[int | None, Field(ge=1, lt=2**63, description=CURSOR)] = None
    limit: Limit = 100


class Decision(Body):
    """对建议的决定 / a decision on a proposal."""

    accept: bool = Field(description="true 接受并更正数字 false 不接受 / whether its figures go into force")
    reason: Reason


class PeriodDecision(Decision):
    """对一个时期内全部待办建议的决定 / a decision on every open proposal of a period."""

    first: dt.date = Field(description="起始核算日（含）/ first accounting day")
    end: dt.date = Field(description="截止核算日（不含）/ accounting day after the last")


class DecidedPeriod(BaseModel):
    """本次决定的建议 / the proposals that were decided just now."""

    enterprise: str
    ids: list[int] = Field(description="逐项记录；空：没有待办的 / each is recorded; empty: none was open")
    state: str = Field(description="accepted 已接受 rejected 不接受 / state")
    decided_by: str
    decided_at: dt.datetime


class Decided(BaseModel):
    """一项已决定的建议 / a proposal that was decided."""

    id: int
    state: str = Field(description="accepted 已接受 rejected 不接受 / state")
    decided_by: str
    decided_at: dt.datetime


def closing_of(row: Row) -> Closing:
    """A closing as the StateStore gives it."""
    return Closing(
        id=row["closing_id"],
        enterprise=row["enterprise"],
        first=date_of(row["first_day"]),
        end=date_of(row["end_day"]),
        closed_by=row["closed_by"],
        closed_at=figures.moment(row["closed_at"]),
        reason=row["reason"],
    )


def proposal_of(row: Row) -> Proposal:
    """A proposal as the StateStore gives it."""
    return Proposal(
        id=row["proposal_id"],
        enterprise=row["enterprise"],
        date=date_of(row["day"]),
        made_at=figures.moment(row["made_at"]),
        cause=row["cause"],
        cause_zh=CAUSES_ZH.get(row["cause"], row["cause"]),
        state=row["state"],
        before=published_figures(row["before"]),
        after=published_figures(row["after"]),
        decided_by=row["decided_by"],
        decided_at=figures.instant(row["decided_at"]),
        reason=row["reason"],
    )


def check_may_decide(caller: Principal, subject: str) -> None:
    """Raises: NotAllowed."""
    if not caller.may_decide(subject):
        raise NotAllowed("需要审核权限", "the right to decide is needed")


def load_proposal(service: Service, caller: Principal, proposal_id: int) -> Row:
    """A proposal that the caller may see. Raises: NotFound."""
    row = service.state.proposal(proposal_id)
    if row is None or not caller.may_see(row["enterprise"]):
        raise NotFound("没有这项建议", "no such proposal")
    return row


def check_is_open(row: Row) -> None:
    """Raises: AlreadyDecided, saying by whom, when and how."""
    if row["state"] == "withdrawn":
        raise AlreadyDecided(
            "该建议已撤回：之后有了新的结果", "the proposal was withdrawn: something else came"
        )
    if row["state"] != "open":
        by, at = row["decided_by"], local_text(row["decided_at"])
        verdict_zh = {"accepted": "接受", "rejected": "不接受"}[row["state"]]
        raise AlreadyDecided(f"该建议已由 {by} 于 {at} 决定：{verdict_zh}", f"{row['state']} by {by} at {at}")


def period_of(first: dt.date, end: dt.date) -> Window:
    """The accounting days from `first` up to `end`. Raises: BadRequest."""
    if first >= end:
        raise BadRequest("first 必须早于 end", "first must be before end")
    return window_between(day_number(first), day_number(end), most=MOST_DAYS)


@router.post("/enterprises/{code}/closings", status_code=201, summary="结账 / close a period")
def close_period(service: Services, caller: Caller, code: Code, body: NewClosing) -> Closing:
    """冻结已发布的数字，之后的变化成为待接受的建议；须每天都已发布且未结账 / freezes what is published."""
    service.enterprise(caller, code)
    check_may_decide(caller, code)
    days = period_of(body.first, body.end)
    at = service.clock.now()
    try:
        number = service.state.close_period(code, days.first, days.end, caller.name, body.reason, at)
    except ConfigError as exc:
        raise NotPossible(exc) from exc
    return next(closing_of(row) for row in service.state.closings(code) if row["closing_id"] == number)


@router.get("/enterprises/{code}/closings", summary="结账记录 / closed periods")
def list_closings(service: Services, caller: Caller, code: Code) -> Closings:
    """由旧到新 / oldest first."""
    service.enterprise(caller, code)
    return Closings(enterprise=code, closings=[closing_of(row) for row in service.state.closings(code)])


@router.get("/proposals", summary="已结账日的更正建议 / proposals for closed days")
def list_proposals(
    service: Services, caller: Caller, query: Annotated[ProposalQuery, InQuery()]
) -> Proposals:
    """默认只列待办的 / open ones unless asked otherwise."""
    scope = caller.scope(query.enterprise)
    rows: list[Any] = [] if scope == [] else list(
        service.state.proposals(scope, state=query.state, before=query.cursor, limit=query.limit + 1)
    )  # fmt: skip
    page, last = page_of(rows, query.limit)
    return Proposals(proposals=[proposal_of(row) for row in page], next=last["proposal_id"] if last else None)


@router.post(
    "/enterprises/{code}/proposals/decisions", summary="成批决定更正建议 / decide on a period's proposals"
)
def decide_proposals(service: Services, caller: Caller, code: Code, body: PeriodDecision) -> DecidedPeriod:
    """时期内全部待办的建议一并接受或不接受，要么全部要么全不；与之共用一个块的一并决定；再次提交不再改变什么
    / all open proposals of the period or none, with what shares a block with them; again: no change.
    """
    service.enterprise(caller, code)
    check_may_decide(caller, code)
    days = period_of(body.first, body.end)
    at = service.clock.now()
    ids = service.state.decide_proposals(
        code, days.first, days.end, accept=body.accept, by=caller.name, reason=body.reason, at=at
    )
    return DecidedPeriod(
        enterprise=code,
        ids=ids,
        state="accepted" if body.accept else "rejected",
        decided_by=caller.name,
        decided_at=figures.moment(at),
    )


@router.post("/proposals/{proposal_id}/decision", summary="决定一项更正建议 / decide on a proposal")
def decide_proposal(
    service: Services, caller: Caller, proposal_id: Annotated[int, Path(ge=1, lt=2**63)], body: Decision
) -> Decided:
    """接受则其数字生效并记为更正；与之共用一个块的建议一并决定 / accepting puts its figures in force."""
    row = load_proposal(service, caller, proposal_id)
    check_may_decide(caller, row["enterprise"])
    check_is_open(row)
    at = service.clock.now()
    is_done = service.state.decide_proposal(
        proposal_id, accept=body.accept, by=caller.name, reason=body.reason, at=at
    )
    if not is_done:  # somebody was quicker
        check_is_open(load_proposal(service, caller, proposal_id))
    return Decided(
        id=proposal_id,
        state="accepted" if body.accept else "rejected",
        decided_by=caller.name,
        decided_at=figures.moment(at),
    )
