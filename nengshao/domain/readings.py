"""The vocabulary of readings: what the national upload's enumerations mean, and what becomes of a reading."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

MICRO: Final = 1_000_000
"""Readings at rest are integers in 10⁻⁶ of the point's canonical unit."""

VERSION_LEAD_S: Final = 86_400
"""How far before its own time a reading may claim to have been uploaded (a version's lower bound)."""

VERSION_SPAN: Final = 1_000_000_000
"""A version is stored as `upload - ts + VERSION_LEAD_S`, which must be in [0, VERSION_SPAN)."""


class StatType(IntEnum):
    """statType 采集频率."""

    REAL_TIME = 0
    DAY = 1
    MONTH = 2
    YEAR = 3


class InputType(IntEnum):
    """inputType 数据采集来源."""

    MANAGEMENT_SYSTEM = 1
    PRODUCTION_MONITORING = 2
    DCS = 3
    FIELD_METER = 4
    MANUAL = 5


class DataScope(IntEnum):
    """scope 数据范围."""

    WHOLE_PLANT = 1
    PROCESS = 2
    PROCESS_UNIT = 3
    KEY_EQUIPMENT = 4


class Source(StrEnum):
    """The door a delivery came through."""

    MQTT = "mqtt"
    FILE = "file"
    API = "api"
    REPLAY = "replay"
    SETTLEMENT = "settlement"


class Outcome(StrEnum):
    """What a delivered reading was booked as; exactly one each.

    `stored`: first booked version of a reading. `duplicate`: version and value booked already.
    `corrected`: beats the booked winner. `superseded`: loses to it. `quarantined`: with a `Reason`.
    """

    STORED = "stored"
    DUPLICATE = "duplicate"
    CORRECTED = "corrected"
    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"


class Reason(StrEnum):
    """Why a message or reading is in quarantine. `zh` is what a person reads."""

    OVERSIZED = "oversized"
    BAD_TOPIC = "bad_topic"
    BAD_GZIP = "bad_gzip"
    NOT_JSON = "not_json"
    BAD_SHAPE = "bad_shape"
    TOO_MANY_READINGS = "too_many_readings"
    BAD_CREDIT_CODE = "bad_credit_code"
    SPOOFED_ENTERPRISE = "spoofed_enterprise"
    SPOOFED_DEVICE = "spoofed_device"
    UNKNOWN_ENTERPRISE = "unknown_enterprise"
    BAD_DATA_CODE = "bad_data_code"
    UNKNOWN_POINT = "unknown_point"
    POINT_NOT_IN_FORCE = "point_not_in_force"
    WRONG_DEVICE = "wrong_device"
    BAD_TIME = "bad_time"
    PERIOD_START = "period_start"
    FUTURE = "future"
    TOO_OLD = "too_old"
    BAD_VERSION = "bad_version"
    BAD_VALUE = "bad_value"
    NEGATIVE = "negative"
    ABOVE_CAPACITY = "above_capacity"
    BAD_ENUM = "bad_enum"
    STORE_REJECTED = "store_rejected"

    @property
    def zh(self) -> str:
        """The reason in Chinese, for receipts, the API and the screen."""
        return _REASON_ZH[self]


_REASON_ZH: Final[dict[Reason, str]] = {
    Reason.OVERSIZED: "消息超过大小上限",
    Reason.BAD_TOPIC: "主题不符合约定",
    Reason.BAD_GZIP: "gzip 数据不完整或已损坏",
    Reason.NOT_JSON: "不是有效的 JSON",
    Reason.BAD_SHAPE: "字段缺失或类型不符",
    Reason.TOO_MANY_READINGS: "单条消息的数据过多",
    Reason.BAD_CREDIT_CODE: "统一社会信用代码校验位不符",
    Reason.SPOOFED_ENTERPRISE: "消息中的企业与主题不符",
    Reason.SPOOFED_DEVICE: "消息中的端设备与主题不符",
    Reason.UNKNOWN_ENTERPRISE: "企业未登记",
    Reason.BAD_DATA_CODE: "采集数据项编码不符合规则",
    Reason.UNKNOWN_POINT: "计量点未登记",
    Reason.POINT_NOT_IN_FORCE: "计量点在该时间不在有效期内",
    Reason.WRONG_DEVICE: "该计量点此时不由此端设备采集",
    Reason.BAD_TIME: "时间无法识别",
    Reason.PERIOD_START: "时间不是统计周期的起始时间",
    Reason.FUTURE: "时间在将来，超出允许范围",
    Reason.TOO_OLD: "时间过早，超出允许范围",
    Reason.BAD_VERSION: "上传时间与数据时间之差超出可表示范围",
    Reason.BAD_VALUE: "数值无法使用",
    Reason.NEGATIVE: "数值为负",
    Reason.ABOVE_CAPACITY: "数值超过计量点额定能力",
    Reason.BAD_ENUM: "枚举字段取值未定义",
    Reason.STORE_REJECTED: "存储拒绝该数据",
}
