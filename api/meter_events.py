"""Meter events: falls, spikes and replacements of registers that a person should look at."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import AwareDatetime, BaseModel, Field

from api import figures
from api.auth import Caller
from api.closings import Body, Reason, check_may_decide
from api.energy import read_last_day
from api.enterprises import Code
from api.errors import NotFound
from api.paging import MOST_DAYS, NEXT, Days, Limit, Offset, slice_of, window_of
from api.ports import Row, Services

router = APIRouter(prefix="/v1/enterprises", tags=["计量点 points"])


class MeterEvent(BaseModel):
    """一个表计事件 / an event of a register."""

    point: str = Field(description="计量点标识 / dataCode.statType.meter")
    point_id: str = Field(description="计量点编号（文本）/ id of the point, as text")
    ts: dt.datetime = Field(description="显示该事件的读数时间 / of the read that shows it")
    event: str = Field(description="reset 复位 rollover 翻转 replacement 换表 spike 尖峰… / what happened")
    confirmed_by: str | None = Field(description="空：尚未确认 / null: nobody has looked at it")
    confirmed_at: dt.datetime | None
    note: str | None


class MeterEvents(BaseModel):
    """表计事件，由新到旧 / events, newest first."""

    enterprise: str
    events: list[MeterEvent]
    next: int | None = Field(description=NEXT)


class EventQuery(Days):
    """Which events."""

    open: bool = Field(False, description="只列尚未确认的 / only those nobody has looked at")
    cursor: Offset = 0
    limit: Limit = 100


class Confirmation(Body):
    """对一个事件的确认 / what a person says of an event."""

    point_id: Annotated[str, Field(pattern=r"^-?\d{1,19}$", description="计量点编号 / id of the point")]
    ts: AwareDatetime = Field(description="事件时间，含时区 / of the event, with its offset")
    event: Annotated[str, Field(max_length=40)]
    note: Reason


def event_of(row: Row, names: dict[int, str]) -> MeterEvent:
    """A METER_EVENTS row with what was said of it."""
    return MeterEvent(
        point=names.get(row["point"], str(row["point"])),
        point_id=str(row["point"]),
        ts=figures.moment(row["ts"]),
        event=row["event"],
        confirmed_by=row["confirmed_by"],
        confirmed_at=figures.instant(row["confirmed_at"]),
        note=row["note"],
    )


@router.get("/{code}/meter-events", summary="表计事件 / events of registers")
def list_events(
    service: Services, caller: Caller, code: Code, query: Annotated[EventQuery, InQuery()]
) -> MeterEvents:
    """默认最近一年，至多十年 / the last year unless asked otherwise, at most ten years."""
    service.enterprise(caller, code)
    window = window_of(query, last_day=read_last_day(service, code), days=366, most=MOST_DAYS)
    rows = service.state.meter_events([code], window.start, window.stop, only_open=query.open)
    page, following = slice_of(rows, query.cursor, query.limit)
    names = service.directory().names(code)
    return MeterEvents(enterprise=code, events=[event_of(row, names) for row in page], next=following)


@router.post("/{code}/meter-events/confirmations", status_code=204, summary="确认事件 / confirm an event")
def confirm_event(service: Services, caller: Caller, code: Code, body: Confirmation) -> None:
    """记下由谁、何时、为何 / kept with who, when and why; the last one stands."""
    service.enterprise(caller, code)
    check_may_decide(caller, code)
    at, ts = service.clock.now(), int(body.ts.timestamp())
    point = int(body.point_id)
    if not service.state.confirm_event(code, point, ts, body.event, caller.name, body.note, at):
        raise NotFound("没有这个事件", "no such event")
