"""Screening: one case per reason, and the exact integers of what passes."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from ingest.screening import Screen, TimeLimits
from nengshao.domain.codes import credit_code_check_character
from nengshao.domain.readings import Reason
from nengshao.domain.time import parse_instant
from nengshao.registry_tables import registry_of
from nengshao.wire import Item, Limits, Message, decode, encode_message

BODY = "91990001MA0000001"
E = BODY + credit_code_check_character(BODY)
YANTAI_BODY = "91990001MA0000002"
YANTAI = YANTAI_BODY + credit_code_check_character(YANTAI_BODY)
NOW = parse_instant("2025-03-10 12:00:00")
REGISTER, AMOUNT, DAILY, MONTHLY = (
    "0000000002330011",
    "0000000002330012",
    "0000000002330013",
    "0000000001010011",
)


def point(code: str, kind: str, **changes: str) -> dict[str, str]:
    row = {
        "enterprise": E, "data_code": code, "stat_type": "0", "meter": "00", "name": code, "device": "d1",
        "carrier": "electricity", "kind": kind, "role": "input", "feeds_total": "true", "unit": "kWh",
        "ratio": "1", "cadence_s": "900", "grace_s": "900", "max_estimate_s": "3600",
        "capacity_per_hour": "1000", "register_size": "", "expected_per_day": "", "valid_from": "2025-01-01",
        "valid_to": "",
    }  # fmt: skip
    return row | changes


REGISTRY = registry_of(
    {
        "regions": [{"code": "990001", "name": "虚构县", "parent": ""}],
        "enterprises": [
            {"enterprise": code, "name": code, "region": "990001", "industry": "C30", "dialect": dialect,
             "active_from": "2025-01-01", "active_to": ""}
            for code, dialect in ((E, "national"), (YANTAI, "yantai"))
        ],
        "points": [
            point(REGISTER, "register", ratio="3000", capacity_per_hour="100000", valid_to="2025-02-01"),
            point(REGISTER, "register", ratio="6000", capacity_per_hour="100000", valid_from="2025-02-01"),
            point(AMOUNT, "amount"),
            point(AMOUNT, "amount", enterprise=YANTAI),
            point(DAILY, "amount", stat_type="1"),
            point(MONTHLY, "amount", stat_type="2", carrier="raw_coal", unit="t", capacity_per_hour="50"),
        ],
    }
)  # fmt: skip
SCREEN = Screen(REGISTRY, {"national": 1, "yantai": 0})
LIMITS = TimeLimits(now=NOW, future_s=3600, past_s=396 * 86_400)


def item(**changes: Any) -> Item:
    fields: dict[str, Any] = {
        "dataCode": AMOUNT, "dataValue": 1.5, "inputType": 4, "statType": 0,
        "statDate": "2025-03-10 11:00:00", "uploadDate": "2025-03-10 11:16:00", "scope": 1, "valid": True,
    }  # fmt: skip
    return Item(**(fields | changes))


def screened(*items: Item, enterprise: str = E, device: str = "d1", by_person: bool = False) -> Any:
    payload = encode_message(enterprise, device, items, None)
    decoded = decode([Message(f"nhjc/v1/{enterprise}/{device}/data", payload)], Limits())
    assert not decoded.rejections
    return SCREEN.screened(decoded.readings, LIMITS, by_person=by_person)


REJECTED = [
    (item(dataCode="12"), Reason.BAD_DATA_CODE),
    (item(dataCode="9999999999999999"), Reason.UNKNOWN_POINT),
    (item(meter="07"), Reason.UNKNOWN_POINT),
    (item(statType=1), Reason.UNKNOWN_POINT),
    (item(statType=4), Reason.BAD_ENUM),
    (item(inputType=0), Reason.BAD_ENUM),
    (item(scope=5), Reason.BAD_ENUM),
    (item(valid=2), Reason.BAD_ENUM),
    (item(statDate="yesterday"), Reason.BAD_TIME),
    (item(uploadDate="2025-02-30 00:00:00"), Reason.BAD_TIME),
    (item(statDate="2024-12-31 00:00:00"), Reason.POINT_NOT_IN_FORCE),
    (item(statDate="2025-03-10 13:15:00"), Reason.FUTURE),
    (item(uploadDate="2027-01-01 00:00:00"), Reason.FUTURE),
    (item(uploadDate="2025-03-09 10:59:59"), Reason.BAD_VERSION),
    (item(statDate="2025-03-10 11:07:00"), Reason.PERIOD_START),
    (item(dataCode=DAILY, statType=1, statDate="2025-03-09 00:15:00"), Reason.PERIOD_START),
    (item(dataCode=MONTHLY, statType=2, statDate="2025-02-02 00:00:00"), Reason.PERIOD_START),
    (item(dataValue=1e300), Reason.BAD_VALUE),
    (item(dataValue=-1), Reason.NEGATIVE),
    (item(dataValue=250.1), Reason.ABOVE_CAPACITY),
    (
        item(dataCode=MONTHLY, statType=2, statDate="2025-02-01 00:00:00", dataValue=37200.1),
        Reason.ABOVE_CAPACITY,
    ),
]


@pytest.mark.parametrize(
    ("bad", "reason"), REJECTED, ids=[f"{r.value}-{n}" for n, (_, r) in enumerate(REJECTED)]
)
def test_a_bad_reading_is_rejected_for_the_right_reason_and_the_good_one_beside_it_passes(
    bad: Item, reason: Reason
) -> None:
    result = screened(bad, item())
    assert result.rejected.select("index", "reason").rows() == [(0, reason.value)]
    assert result.accepted["index"].to_list() == [1]


def test_above_capacity_says_the_limit_in_the_unit_that_was_sent() -> None:
    # 1 000 kWh an hour: 250 in a quarter; 50 t an hour × 744 h of the longest month; 1 000 kW × 1 000
    power = registry_of(
        {
            "regions": [{"code": "990001", "name": "虚构县", "parent": ""}],
            "enterprises": [
                {"enterprise": E, "name": E, "region": "990001", "industry": "C30", "dialect": "national",
                 "active_from": "2025-01-01", "active_to": ""}
            ],
            "points": [point(AMOUNT, "power", ratio="100", capacity_per_hour="1000")],
        }
    )  # fmt: skip
    for bad, limit, screen in (
        (item(dataValue=250.1), "250.0 kWh", SCREEN),
        (
            item(dataCode=MONTHLY, statType=2, statDate="2025-02-01 00:00:00", dataValue=4e4),
            "37200.0 t",
            SCREEN,
        ),
        (item(dataValue=1001), "10.0 kWh/h", Screen(power, {"national": 1})),
    ):
        raw = decode(
            [Message(f"nhjc/v1/{E}/d1/data", encode_message(E, "d1", [bad], None))], Limits()
        ).readings
        (detail,) = screen.screened(raw, LIMITS).rejected["detail"]
        assert detail.startswith(f"dataCode={bad.dataCode} ")
        assert detail.endswith(f"；额定能力上限 / rated limit: {limit}")


def test_too_old_binds_devices_and_not_people() -> None:
    old = item(dataCode=REGISTER, statDate="2025-01-05 00:00:00", uploadDate="2025-01-05 00:00:00")
    limits = TimeLimits(now=parse_instant("2026-03-01 00:00:00"), future_s=3600, past_s=396 * 86_400)
    payload = encode_message(E, "d1", [old], None)
    raw = decode([Message(f"nhjc/v1/{E}/d1/data", payload)], Limits()).readings
    assert SCREEN.screened(raw, limits).rejected["reason"].to_list() == ["too_old"]
    person = TimeLimits(limits.now, limits.future_s, None)
    assert SCREEN.screened(raw, person, by_person=True).accepted.height == 1


def test_another_device_may_not_speak_for_a_point_but_a_person_may() -> None:
    assert screened(item(), device="d2").rejected["reason"].to_list() == [Reason.WRONG_DEVICE.value]
    assert screened(item(), device="d2", by_person=True).accepted.height == 1


def test_an_enterprise_nobody_registered_and_a_code_that_does_not_add_up_differ() -> None:
    stranger_body = "91990001MA0000009"
    stranger = stranger_body + credit_code_check_character(stranger_body)
    assert screened(item(), enterprise=stranger).rejected["reason"].to_list() == ["unknown_enterprise"]
    wrong = stranger_body + ("0" if stranger[-1] != "0" else "1")
    assert screened(item(), enterprise=wrong).rejected["reason"].to_list() == ["bad_credit_code"]


def test_the_ratio_in_force_at_the_reading_s_time_multiplies_the_register() -> None:
    january = item(dataCode=REGISTER, dataValue=12.34, statDate="2025-01-31 23:59:59")
    february = item(dataCode=REGISTER, dataValue=12.34, statDate="2025-02-01 00:00:00")
    result = screened(january, february)
    assert result.accepted["value"].to_list() == [37_020_000_000, 74_040_000_000]


def test_values_become_integers_rounded_half_to_even() -> None:
    values = [0.0000005, 0.0000015, 3.17, 249.9999999]
    result = screened(*[item(dataValue=v, statDate=f"2025-03-10 0{n}:00:00") for n, v in enumerate(values)])
    assert result.accepted["value"].to_list() == [0, 2, 3_170_000, 250_000_000]


@pytest.mark.parametrize(
    ("enterprise", "valid", "expected"),
    [
        *((E, True, True), (E, False, False), (E, 1, True), (E, 0, False)),
        *((YANTAI, True, True), (YANTAI, False, False), (YANTAI, 0, True), (YANTAI, 1, False)),
    ],
)
def test_what_valid_says_depends_on_the_dialect(enterprise: str, valid: bool | int, expected: bool) -> None:
    result = screened(item(valid=valid), enterprise=enterprise)
    assert result.accepted["valid"].to_list() == [expected]


def test_an_invalid_value_is_kept_whatever_it_is() -> None:
    result = screened(item(valid=False, dataValue=-9999))
    assert result.accepted.select("value", "valid").rows() == [(-9_999_000_000, False)]


def test_an_empty_batch_is_screened_to_nothing() -> None:
    empty = decode([], Limits()).readings
    result = SCREEN.screened(empty, LIMITS)
    assert result.accepted.is_empty()
    assert result.rejected.is_empty()
    assert result.accepted.schema["value"] == pl.Int64
