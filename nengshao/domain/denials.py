"""What a broker refuses before it reaches us."""

from __future__ import annotations

from enum import StrEnum


class DenialKind(StrEnum):
    """Why a broker did not let something through, as far as its log says."""

    CONNECT = "connect"
    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    OVERSIZE = "oversize"
    MALFORMED = "malformed"

    @property
    def zh(self) -> str:
        """Its Chinese name, as in the glossary."""
        return _ZH[self]


_ZH = {
    DenialKind.CONNECT: "拒绝连接",
    DenialKind.PUBLISH: "拒绝上报",
    DenialKind.SUBSCRIBE: "越界订阅",
    DenialKind.OVERSIZE: "报文过大",
    DenialKind.MALFORMED: "协议错误",
}
