"""The readings behind a revision: every stored version of them, those uploaded since marked.

A reading keeps no time of arrival, only when it was uploaded: its version.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

import polars as pl
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.enterprises import Code
from api.errors import NotFound
from api.paging import Window
from api.ports import Row, Service, Services, tag_of
from nengshao.domain.time import day_number, day_start
from nengshao.domain.units import Carrier, Unit
from nengshao.frames import WINNER_ORDER

router = APIRouter(prefix="/v1/enterprises", tags=["更正 revisions"])

MOST_READINGS: Final = 5_000


class ReadingVersion(BaseModel):
    """一条读数的一个版本 / a stored version of a reading."""

    point: str = Field(description="计量点标识 / dataCode.statType.meter")
    name: str
    ts: dt.datetime = Field(description="数据时间 / its own time")
    uploaded_at: dt.datetime = Field(description="上传时间，即版本 / when it was made: its version")
    value: float = Field(description="数值，标准单位 / in `unit`")
    unit: Unit
    valid: bool = Field(description="有效标志；无效的保留但不计 / what is not valid is kept, never counted")
    is_winner: bool = Field(description="现行版本 / the version that counts")
    is_new: bool = Field(description="所更正的数字算出之后才上传 / uploaded since the figure was computed")


class RevisionReadings(BaseModel):
    """一次更正所依据的读数 / the readings that a revision rests on."""

    enterprise: str
    date: dt.date
    seq: int
    since: dt.datetime | None = Field(
        description="所更正的数字何时算出；空：原无数字 / when the figure replaced was computed; null: none"
    )
    made_at: dt.datetime
    readings: list[ReadingVersion] = Field(description="新上传的在前 / new ones first")
    is_cut: bool = Field(description=f"超过 {MOST_READINGS} 条，其余未列 / there are more")


def changed_points(revision: Row, terms: Iterable[Row]) -> set[int]:
    """The points whose figures the revision changed; of a virtual point also what it is made of."""
    found = {row["point"] for side in ("before", "after") for row in revision[side].get("point_days", [])}
    made_of: dict[int, set[int]] = {}
    for term in terms:
        made_of.setdefault(term["point"], set()).add(term["term"])
    waiting = list(found)
    while waiting:
        new = made_of.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def read_versions(service: Service, points: Iterable[int], window: Window) -> Sequence[Row]:
    """Every stored version of the readings of these days, and of the ones just before and after."""
    store, wanted = service.ports.readings, sorted(points)
    within = store.scan(wanted, window.start, window.stop).collect()
    around = store.edges(wanted, window.start, window.stop)
    keys = pl.concat([within, around]).select("point", "ts").unique(maintain_order=True)
    return store.versions(keys).to_dicts()


def reading_versions(
    rows: Iterable[Row], points: Mapping[int, Row], *, since: int, made_at: int
) -> list[ReadingVersion]:
    """READINGS rows as they are shown; `points`: a POINTS row of each. New ones first."""
    rows = list(rows)
    best: dict[tuple[int, int], tuple[object, ...]] = {}
    for row in rows:
        key, rank = (row["point"], row["ts"]), tuple(row[name] for name in WINNER_ORDER)
        best[key] = max(best.get(key, rank), rank)
    found = []
    for row in rows:
        point = points[row["point"]]
        found.append(
            ReadingVersion(
                point=tag_of(point),
                name=point["name"],
                ts=figures.moment(row["ts"]),
                uploaded_at=figures.moment(row["version"]),
                value=figures.micro(row["value"]),
                unit=Carrier(point["carrier"]).unit,
                valid=row["valid"],
                is_winner=best[row["point"], row["ts"]] == tuple(row[name] for name in WINNER_ORDER),
                is_new=since < row["version"] <= made_at,
            )
        )
    return sorted(
        found, key=lambda reading: (not reading.is_new, reading.point, reading.ts, reading.uploaded_at)
    )


def load_revision(service: Service, code: str, day: int, seq: int) -> Row:
    """A revision of a day. Raises: NotFound."""
    for row in service.state.revisions(code, day, day + 1):
        if row["seq"] == seq:
            return row
    raise NotFound("没有这次更正", "no such revision")


@router.get(
    "/{code}/revisions/{date}/{seq}/readings", summary="更正所依据的读数 / readings behind a revision"
)
def list_revision_readings(
    service: Services, caller: Caller, code: Code, date: dt.date, seq: Annotated[int, Path(ge=1, lt=2**31)]
) -> RevisionReadings:
    """有变化的计量点当日（及前后各一条）读数的全部版本 / all versions of the changed points' readings."""
    service.enterprise(caller, code)
    day = day_number(date)
    revision = load_revision(service, code, day, seq)
    since = revision["replaced_at"]
    points = {row["point"]: row for row in service.directory().points.get(code, [])}
    terms = service.state.registry().virtual_terms.iter_rows(named=True)
    wanted = changed_points(revision, terms) & points.keys()
    rows = read_versions(service, wanted, Window(day, day + 1)) if wanted else []
    made_at = revision["made_at"]
    shown = reading_versions(rows, points, since=day_start(day) if since is None else since, made_at=made_at)
    return RevisionReadings(
        enterprise=code,
        date=date,
        seq=seq,
        since=figures.instant(since),
        made_at=figures.moment(made_at),
        readings=shown[:MOST_READINGS],
        is_cut=len(shown) > MOST_READINGS,
    )
