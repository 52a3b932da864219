"""Upload of readings by people and systems: taken raw, booked by the partition's holder, asked for by id."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller, Principal
from api.bodies import MULTIPART, XLSX, Content, read_body
from api.errors import BadRequest, NotFound
from api.paging import Query
from api.ports import Service, Services
from nengshao.domain.readings import Source
from nengshao.ports import InboxEntry
from nengshao.wire import DATA, Topic, parse_topic

router = APIRouter(prefix="/v1", tags=["数据上传 readings"])

COLUMNS: Final = (
    "enterpriseCode, dataCode, statType, meter, statDate, dataValue, inputType, scope, valid, uploadDate"
)
"""Columns of an uploaded table: the national upload's fields. `uploadDate` may be left out."""

_UPLOAD_DOC: Final = f"""
手工填报或系统补传。三种格式，同一去向（与 MQTT 相同的校验、隔离与台账）：

* 表格 CSV（UTF-8）或 XLSX：首行为列名 `{COLUMNS}`；
  `uploadDate` 可省略，以受理时间为准；
  `meter`、`inputType`、`scope`、`valid` 可省略（默认 00、5 人工、1 全厂、有效）。
* JSON：与 MQTT `data` 主题的报文相同（deviceId、enterpriseCode、data[]）。

用 multipart/form-data 的 `file` 字段上传文件，或把文件内容直接作为请求体并给出 Content-Type。
`Idempotency-Key` 相同且内容相同的上传只受理一次；不给则以内容为准：
要把同一文件再次作为新数据上传，请给一个新的 Idempotency-Key。
返回 202 只表示已可靠受理，入库结果见 `/v1/uploads/{{id}}`。

Readings entered by hand or sent again, as a table (CSV in UTF-8, or XLSX; columns above, `uploadDate`
optional: the time of acceptance then stands) or as JSON in the shape of the MQTT `data` payload. The same
key and the same content are accepted once; without a key the content decides. 202 means safely kept; what
became of it is at `/v1/uploads/{{id}}`.
"""

_BODY_SCHEMA: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "CSV、XLSX、JSON"}
                    },
                }
            },
            "text/csv": {"schema": {"type": "string", "description": COLUMNS}},
            XLSX: {"schema": {"type": "string", "format": "binary", "description": COLUMNS}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["deviceId", "enterpriseCode", "data"],
                    "description": "MQTT data 报文，见 docs/wire.md / as on the wire",
                    "properties": {
                        "deviceId": {"type": "string"},
                        "enterpriseCode": {"type": "string"},
                        "seq": {"type": ["integer", "null"]},
                        "data": {"type": "array", "items": {"type": "object"}},
                    },
                }
            },
        },
    }
}


class Upload(BaseModel):
    """一次上传的受理与结果 / an upload and what became of it."""

    id: int
    state: str = Field(description="waiting 待入库 booked 已入账 / waiting, or booked")
    enterprise: str
    accepted_at: dt.datetime = Field(description="受理时间；重复上传时为首次 / when it was first accepted")
    submitted_by: str = Field(description="提交人 / who sent it")
    receipt: dict[str, Any] | None = Field(
        description="回执：各条数据的去向与原因；空：待入库 / what became of each reading, and why"
    )


class _Envelope(msgspec.Struct):
    """What of a JSON upload is looked at here: whose it is. The rest is the holder's to judge."""

    deviceId: str  # noqa: N815  # the national field names
    enterpriseCode: str  # noqa: N815


def topic_of(raw: bytes, enterprise: str) -> Topic:
    """The wire topic that a JSON upload would have come on.

    Raises: BadRequest if it is no JSON object of the wire's shape, or is another enterprise's.
    """
    try:
        envelope = msgspec.json.decode(raw, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequest("缺少 deviceId 或 enterpriseCode", "no deviceId or enterpriseCode in it") from exc
    topic = Topic(enterprise, envelope.deviceId, DATA)
    if envelope.enterpriseCode != enterprise:
        raise BadRequest("enterpriseCode 与 enterprise 参数不符", "enterpriseCode differs from enterprise")
    if parse_topic(str(topic)) is None:
        raise BadRequest("deviceId 不符合规则", "deviceId does not follow the grammar")
    return topic


@dataclass(frozen=True, slots=True)
class Submission:
    """By whom, when and for whom an upload was sent; `key`: the Idempotency-Key, if any."""

    enterprise: str
    submitted_by: str
    at: int
    key: str | None = None


def inbox_entry(content: Content, submission: Submission) -> InboxEntry:
    """The upload as its partition's holder finds it in the inbox.

    The content is part of the idempotency key: a key used again for other content is another delivery, so
    that nothing which was answered 202 is dropped.
    """
    enterprise = submission.enterprise
    topic = topic_of(content.raw, enterprise) if content.format == "json" else None
    digest = hashlib.sha256(content.raw).hexdigest()
    return InboxEntry(
        source=Source.API,
        enterprise=enterprise,
        device=topic.device if topic else "",
        topic=str(topic) if topic else "",
        format=content.format,
        raw=content.raw,
        accepted_at=submission.at,
        idempotency_key=f"api:{enterprise}:{submission.key or ''}:{content.format}:{digest}",
        submitted_by=submission.submitted_by,
    )


def upload_of(row: Mapping[str, Any]) -> Upload:
    """An upload as the StateStore gives it."""
    receipt = row["receipt"]
    return Upload(
        id=row["inbox_id"],
        state=row["state"],
        enterprise=row["enterprise"],
        accepted_at=figures.moment(row["accepted_at"]),
        submitted_by=row["submitted_by"],
        receipt=receipt if receipt is None or isinstance(receipt, dict) else {"messages": receipt},
    )


def load_upload(service: Service, caller: Principal, upload_id: int) -> Upload:
    """An upload that the caller may see. Raises: NotFound."""
    row = service.state.upload_receipt(upload_id)
    if row is None or not caller.may_see(row["enterprise"]):
        raise NotFound("没有这次上传", "no such upload")
    return upload_of(row)


class UploadQuery(Query):
    """Whose readings."""

    enterprise: str = Field(description="数据所属的统一社会信用代码 / whose readings they are")


Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200, description="幂等键 / see above")]


def load_submission(
    service: Services, caller: Caller, query: Annotated[UploadQuery, InQuery()], key: Key = None
) -> Submission:
    """For whom and when. Raises: NotFound unless the enterprise is registered and the caller's to see."""
    service.enterprise(caller, query.enterprise)
    return Submission(query.enterprise, caller.name, service.clock.now(), key)


Submissions = Annotated[Submission, Depends(load_submission)]


async def read_content(request: Request, service: Services, _for: Submissions) -> Content:
    """The upload's bytes, read only for a known caller and enterprise, and never beyond the limit."""
    return await read_body(request, service.facts.max_upload_bytes)


@router.post(
    "/readings", status_code=202, summary="上传数据 / upload readings",
    description=_UPLOAD_DOC, openapi_extra=_BODY_SCHEMA,
)  # fmt: skip
def upload_readings(
    service: Services,
    caller: Caller,
    response: Response,
    submission: Submissions,
    content: Annotated[Content, Depends(read_content)],
) -> Upload:
    """See `_UPLOAD_DOC`."""
    inbox_id = service.state.put_inbox(inbox_entry(content, submission))
    response.headers["Location"] = f"/v1/uploads/{inbox_id}"
    return load_upload(service, caller, inbox_id)


@router.get("/uploads/{upload_id}", summary="上传的回执 / receipt of an upload")
def show_upload(service: Services, caller: Caller, upload_id: Annotated[int, Path(ge=1, lt=2**63)]) -> Upload:
    """待入库或已入账，及各条数据的去向 / waiting or booked, and what became of each reading."""
    return load_upload(service, caller, upload_id)
