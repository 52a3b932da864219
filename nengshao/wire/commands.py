"""Commands to devices: the one there is asks for readings again (补传)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec


class ResendPoint(msgspec.Struct, frozen=True):
    """A point as messages name it."""

    dataCode: str  # noqa: N815  # the national field names
    statType: int  # noqa: N815
    meter: str = "00"


class ResendCommand(msgspec.Struct, frozen=True):
    """Payload of a `command` topic: send what you have of these points in [from, to) once more, as it was."""

    command: Annotated[Literal["resend"], msgspec.Meta(description="命令；目前只有补传")]
    id: Annotated[int, msgspec.Meta(description="请求编号；重复请求时不变")]
    start: Annotated[str, msgspec.Meta(description="起始时刻（含）")] = msgspec.field(name="from")
    end: Annotated[str, msgspec.Meta(description="截止时刻（不含）")] = msgspec.field(name="to")
    points: Annotated[list[ResendPoint], msgspec.Meta(description="缺数据的计量点")]


RESEND: Final = "resend"

_decode = msgspec.json.Decoder(ResendCommand).decode


def encode_resend(number: int, start: str, end: str, points: Sequence[ResendPoint]) -> bytes:
    """The command's payload."""
    return msgspec.json.encode(ResendCommand(RESEND, number, start, end, list(points)))


def decode_command(payload: bytes) -> ResendCommand:
    """A command's payload. Raises: msgspec.DecodeError if it is none that is known."""
    return _decode(payload)
