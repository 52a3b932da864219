"""Small registries and wire messages for tests and benches: enterprises with a device and registers each."""

from __future__ import annotations

from collections.abc import Iterator

from nengshao.domain.codes import credit_code_check_character
from nengshao.domain.time import local_text
from nengshao.registry import Registry
from nengshao.registry_tables import registry_of
from nengshao.wire import Form, Item, Message, encode_message

START = 1_735_660_800  # 2025-01-01 00:00:00 Asia/Shanghai
CADENCE_S = 900
ELECTRICITY = "0000000002330011"
COAL = "0000000001010011"
DEVICE = "d1"


def credit_code(number: int) -> str:
    """A fictitious enterprise: 990001 is no division of GB/T 2260."""
    body = f"91990001M{number:08d}"
    return body + credit_code_check_character(body)


def enterprise_row(number: int, **changes: str) -> dict[str, str]:
    row = {
        "enterprise": credit_code(number), "name": f"第 {number} 厂", "region": "990001", "industry": "C30",
        "dialect": "national", "active_from": "2025-01-01", "active_to": "",
    }  # fmt: skip
    return row | changes


def device_row(number: int, **changes: str) -> dict[str, str]:
    row = {
        "enterprise": credit_code(number), "device": DEVICE, "name": "采集器", "cadence_s": str(CADENCE_S),
        "valid_from": "2025-01-01", "valid_to": "",
    }  # fmt: skip
    return row | changes


def point_row(number: int, meter: str = "00", **changes: str) -> dict[str, str]:
    row = {
        "enterprise": credit_code(number), "data_code": ELECTRICITY, "stat_type": "0", "meter": meter,
        "name": f"进线 {meter}", "device": DEVICE, "carrier": "electricity", "kind": "register",
        "role": "input", "feeds_total": "true", "unit": "kWh", "ratio": "1", "cadence_s": str(CADENCE_S),
        "grace_s": "900", "max_estimate_s": "7200", "capacity_per_hour": "4000", "register_size": "",
        "expected_per_day": "24000", "valid_from": "2025-01-01", "valid_to": "",
    }  # fmt: skip
    return row | changes


def coal_row(number: int, **changes: str) -> dict[str, str]:
    return point_row(
        number, data_code=COAL, stat_type="2", carrier="raw_coal", kind="amount", unit="t", name="原煤",
        capacity_per_hour="50", expected_per_day="100", grace_s=str(10 * 86_400), **changes,
    )  # fmt: skip


def quota_row(number: int, quota_t: str, **changes: str) -> dict[str, str]:
    row = {
        "enterprise": credit_code(number), "year": "2025", "basis": "calorific", "scope": "total",
        "quota_t": quota_t, "profile": "linear", "source": "虚构，仅供测试", "confidence": "official",
    }  # fmt: skip
    return row | changes


def tables(enterprises: int, meters: int) -> dict[str, list[dict[str, str]]]:
    """`enterprises` plants of `meters` incoming electricity registers each."""
    numbers = range(1, enterprises + 1)
    return {
        "regions": [{"code": "990001", "name": "虚构县", "parent": ""}],
        "enterprises": [enterprise_row(n) for n in numbers],
        "devices": [device_row(n) for n in numbers],
        "points": [point_row(n, f"{m:02d}") for n in numbers for m in range(meters)],
        "quotas": [quota_row(n, "100000") for n in numbers],
    }


def registry(enterprises: int = 1, meters: int = 1) -> Registry:
    return registry_of(tables(enterprises, meters))


def topic(number: int, device: str = DEVICE, leaf: str = "data") -> str:
    return f"nhjc/v1/{credit_code(number)}/{device}/{leaf}"


def item(ts: int, value: float, *, meter: str = "00", upload: int | None = None, code: str = ELECTRICITY,
         stat_type: int = 0, valid: bool | int = True) -> Item:  # fmt: skip
    made = local_text(ts + 60 if upload is None else upload)
    return Item(code, value, 4, stat_type, local_text(ts), made, 1, valid, meter)


def message(
    number: int, items: list[Item], seq: int | None = None, device: str = DEVICE, form: Form = Form.PLAIN
) -> Message:
    return Message(topic(number, device), encode_message(credit_code(number), device, items, seq, form))


def in_order_load(enterprises: int, meters: int, slots: int) -> Iterator[Message]:
    """Quarter-hourly register reads of every plant, one message per plant and quarter of an hour."""
    for slot in range(slots):
        ts = START + slot * CADENCE_S
        for number in range(1, enterprises + 1):
            items = [item(ts, slot * 250.0 + m, meter=f"{m:02d}") for m in range(meters)]
            yield message(number, items, slot)
