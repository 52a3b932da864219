"""Quarantine: what was not accepted, why, its raw bytes, and a second try."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller, Principal
from api.errors import NotFound, NotReplayable
from api.paging import CURSOR, NEXT, EnterpriseFilter, Limit, Query, page_of
from api.ports import Row, Service, Services
from api.readings import Upload, load_upload
from nengshao.domain.readings import Reason, Source
from nengshao.ports import InboxEntry

router = APIRouter(prefix="/v1/quarantine", tags=["隔离 quarantine"])

# What stands for a topic in the entries of an uploaded table (ingest.inbox): its rows are read as one again.
_TABLE_TOPICS: Final = {"upload/csv": "csv", "upload/xlsx": "xlsx"}


class Entry(BaseModel):
    """一条隔离记录 / an entry: a message, or some readings of one."""

    id: int
    enterprise: str = Field(description="主题或上传所称的企业；可为空 / as its topic says, or empty")
    device: str = Field(description="端设备 / device")
    source: str = Field(description="来源 / the door it came through")
    topic: str = Field(description="MQTT 主题，或 upload/csv 等 / topic, or upload/csv …")
    reason: Reason = Field(description="原因 / reason")
    reason_zh: str = Field(description="原因（中文）/ reason in Chinese")
    detail: str
    indexes: list[int] = Field(description="data[] 中的位置；空：整条消息 / in data[]; none: all of it")
    count: int = Field(description="涉及的数据条数 / readings it stands for")
    sha256: str = Field(description="原始字节的 SHA-256 / of the raw bytes")
    size: int = Field(description="原始字节数 / bytes")
    has_raw: bool = Field(description="原始字节已保留 / the raw bytes were kept")
    arrived_at: dt.datetime = Field(description="首次到达 / first arrival")
    last_at: dt.datetime = Field(description="最近一次到达 / latest arrival")


class EntryPage(BaseModel):
    """隔离列表 / a page of the quarantine."""

    entries: list[Entry]
    next: int | None = Field(description=NEXT)


class EntryDetail(Entry):
    """一条隔离记录与其原始字节 / an entry with its raw bytes."""

    raw_base64: str | None = Field(description="原始字节（base64）；空：未保留 / null: not kept")
    raw_text: str | None = Field(description="原始字节的文本；空：不是 UTF-8 / null: not UTF-8")


EntryId = Annotated[int, Path(ge=1, lt=2**63)]


def entry_values(row: Row) -> dict[str, Any]:
    """The fields of `Entry` from a quarantine row."""
    reason = Reason(row["reason"])
    return {
        "id": row["quarantine_id"],
        "enterprise": row["enterprise"],
        "device": row["device"],
        "source": Source(row["source"]).value,
        "topic": row["topic"],
        "reason": reason,
        "reason_zh": reason.zh,
        "detail": row["detail"],
        "indexes": list(row["indexes"]),
        "count": row["count"],
        "sha256": row["sha256"],
        "size": row["size"],
        "has_raw": row["has_raw"],
        "arrived_at": figures.moment(row["arrived_at"]),
        "last_at": figures.moment(row["last_at"]),
    }


def entry_detail(row: Row, raw: bytes | None) -> EntryDetail:
    """An entry with its raw bytes in both forms."""
    return EntryDetail(
        **entry_values(row),
        raw_base64=None if raw is None else base64.b64encode(raw).decode("ascii"),
        raw_text=None if raw is None else text_of(raw),
    )


def text_of(raw: bytes) -> str | None:
    """The bytes as text; None if they are not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def replay_entry(row: Row, raw: bytes, *, by: str, after: int | None) -> InboxEntry:
    """The entry as the holder finds it in the inbox: with its first arrival time, so it beats nothing newer.

    `after` names an earlier replay that is booked and nevertheless not this one.
    """
    key = f"replay:{row['quarantine_id']}"
    return InboxEntry(
        source=Source.REPLAY,
        enterprise=row["enterprise"],
        device=row["device"],
        topic=row["topic"],
        format=_TABLE_TOPICS.get(row["topic"], "wire"),
        raw=raw,
        accepted_at=row["arrived_at"],
        idempotency_key=key if after is None else f"{key}:{after}",
        submitted_by=by,
        quarantine_id=row["quarantine_id"],
    )


def load_entry(service: Service, caller: Principal, entry_id: int) -> tuple[Row, bytes | None]:
    """An entry that the caller may see, with its raw bytes. Raises: NotFound."""
    found = service.state.quarantine_raw(entry_id)
    if found is None or not caller.may_see(found[0]["enterprise"]):
        raise NotFound("没有这条隔离记录", "no such quarantine entry")
    return found


class QuarantineQuery(Query):
    """Which entries."""

    enterprise: EnterpriseFilter = None
    reason: Reason | None = Field(None, description="原因 / reason")
    cursor: int | None = Field(None, ge=1, lt=2**63, description=CURSOR)
    limit: Limit = 100


def read_page(service: Service, scope: Sequence[str] | None, query: QuarantineQuery) -> list[Row]:
    """Newest entries first of the enterprises in `scope` (None: of all), and one more than asked for."""
    wanted: Sequence[str | None] = [None] if scope is None else scope
    reason = query.reason.value if query.reason else None
    rows: list[Row] = []
    for code in wanted:
        rows += service.state.quarantine_page(
            enterprise=code, reason=reason, before_id=query.cursor, limit=query.limit + 1
        )
    return sorted(rows, key=lambda row: int(row["quarantine_id"]), reverse=True)[: query.limit + 1]


def put_replay(service: Service, caller: Principal, entry_id: int) -> Upload:
    """Put the entry into its partition's inbox, once.

    Raises: NotFound; NotReplayable without raw bytes.
    """
    after: int | None = None
    while True:
        row, raw = load_entry(service, caller, entry_id)
        if raw is None:
            raise NotReplayable("原始字节未保留", "its raw bytes were not kept")
        entry = replay_entry(row, raw, by=caller.name, after=after)
        upload = load_upload(service, caller, service.state.put_inbox(entry))
        if upload.state == "waiting":
            return upload
        # A booked replay has struck its entry; if the entry is there, the database has given its id again.
        after = upload.id


@router.get("", summary="隔离列表 / list the quarantine")
def list_quarantine(
    service: Services, caller: Caller, query: Annotated[QuarantineQuery, InQuery()]
) -> EntryPage:
    """新的在前 / newest first."""
    page, last = page_of(read_page(service, caller.scope(query.enterprise), query), query.limit)
    entries = [Entry(**entry_values(row)) for row in page]
    return EntryPage(entries=entries, next=last["quarantine_id"] if last else None)


@router.get("/{entry_id}", summary="一条隔离记录与原始字节 / one entry with its raw bytes")
def show_entry(service: Services, caller: Caller, entry_id: EntryId) -> EntryDetail:
    """原因、位置与原始字节 / reason, positions and raw bytes."""
    return entry_detail(*load_entry(service, caller, entry_id))


@router.post("/{entry_id}/replay", status_code=202, summary="重放 / replay an entry")
def replay(service: Services, caller: Caller, entry_id: EntryId, response: Response) -> Upload:
    """登记改正后再处理一次；不会胜过更新的版本 / try again; beats no newer version."""
    upload = put_replay(service, caller, entry_id)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return upload
