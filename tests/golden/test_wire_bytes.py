"""Wire bytes pinned by hand: the simulator and the decoder share `wire.py`, so an outside witness is needed.

The first payload is the national upload sample as working clients of provincial platforms send it
(field names and the printed data code of the national sample), typed here by hand.
"""

from __future__ import annotations

import json

import pytest

from nengshao.domain.readings import Reason
from nengshao.wire import (
    Item,
    Limits,
    Message,
    MessageReceipt,
    Receipt,
    RejectedItem,
    decode,
    decode_receipt,
    encode_message,
    encode_receipt,
    encode_status,
    parse_topic,
    payload_digest,
)

E = "91350100M000100Y43"
TOPIC = f"nhjc/v1/{E}/0ef6ecea08bf84c7b639c3e9b84ed546/data"
NATIONAL = b"""{
  "deviceId": "0ef6ecea08bf84c7b639c3e9b84ed546",
  "enterpriseCode": "91350100M000100Y43",
  "data": [
    {"dataCode": "04-01-0000-040200-30", "dataValue": 123.45, "inputType": 1,
     "statType": 1, "statDate": "2014-10-09 00:00:00", "uploadDate": "2014-10-10 21:58:46",
     "scope": 1, "valid": true}
  ]
}"""

LIMITS = Limits()


def one(payload: bytes, topic: str = TOPIC) -> dict[str, object]:
    decoded = decode([Message(topic, payload)], LIMITS)
    assert decoded.rejections == []
    return decoded.readings.row(0, named=True)


def refused(payload: bytes, topic: str = TOPIC, limits: Limits = LIMITS) -> list[tuple[int | None, Reason]]:
    return [(r.index, r.reason) for r in decode([Message(topic, payload)], limits).rejections]


def test_the_national_sample_reads_as_its_eight_fields() -> None:
    # 2014-10-09 00:00:00 at UTC+8 is 2014-10-08T16:00:00Z = 1 412 784 000 s; +1 d 21 h 58 m 46 s = 165 526 s.
    assert one(NATIONAL) == {
        "message": 0,
        "index": 0,
        "enterprise": E,
        "device": "0ef6ecea08bf84c7b639c3e9b84ed546",
        "data_code": "0401000004020030",
        "stat_type": 1,
        "meter": "00",
        "ts": 1_412_784_000,
        "version": 1_412_949_526,
        "value": 123.45,
        "valid_code": 3,
        "input_type": 1,
        "scope": 1,
    }


@pytest.mark.parametrize(
    "text", ["2014-10-09T00:00:00+08:00", "2014-10-08T16:00:00Z", "2014-10-08T18:30:00+02:30", "2014-10-09"]
)
def test_a_time_with_offset_is_the_same_instant(text: str) -> None:
    assert one(NATIONAL.replace(b"2014-10-09 00:00:00", text.encode()))["ts"] == 1_412_784_000


def test_the_sixteen_digit_form_of_a_data_code_is_the_same_code() -> None:
    payload = NATIONAL.replace(b"04-01-0000-040200-30", b"0401000004020030")
    assert one(payload)["data_code"] == "0401000004020030"


def test_unknown_fields_of_a_province_are_passed_over() -> None:
    payload = NATIONAL.replace(b'"scope": 1', b'"scope": 1, "dataIndex": "x", "remark": null')
    assert one(payload)["scope"] == 1


def test_our_own_messages_are_these_bytes() -> None:
    item = Item("0401000004020030", 123.45, 4, 0, "2014-10-09 00:00:00", "2014-10-09 00:01:00", 1, True, "07")
    assert encode_message(E, "d1", [item], 9) == (
        b'{"deviceId":"d1","enterpriseCode":"91350100M000100Y43","data":[{"dataCode":"0401000004020030",'
        b'"dataValue":123.45,"inputType":4,"statType":0,"statDate":"2014-10-09 00:00:00",'
        b'"uploadDate":"2014-10-09 00:01:00","scope":1,"valid":true,"meter":"07"}],"seq":9}'
    )
    assert encode_status("d1", "offline", None) == b'{"deviceId":"d1","state":"offline","at":null}'


def test_a_receipt_is_these_bytes_and_reads_back() -> None:
    receipt = Receipt(
        "2014-10-09T00:02:00+08:00",
        [MessageReceipt("ab", 9, stored=1, rejected=[RejectedItem("future", Reason.FUTURE.zh, 1)])],
    )
    data = encode_receipt(receipt)
    assert json.loads(data) == {
        "bookedAt": "2014-10-09T00:02:00+08:00",
        "messages": [
            {
                "sha256": "ab",
                "seq": 9,
                "stored": 1,
                "rejected": [{"reason": "future", "reason_zh": "时间在将来，超出允许范围", "index": 1}],
            }
        ],
    }
    assert decode_receipt(data) == receipt


def test_a_message_is_named_by_the_sha_256_of_its_bytes() -> None:
    # sha256("") is a published test vector (FIPS 180-4 examples)
    assert payload_digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (b"null", Reason.BAD_SHAPE),
        (b"[" * 100_000, Reason.BAD_SHAPE),
        (b'{"a":' * 50_000, Reason.NOT_JSON),
        (b"{}", Reason.BAD_SHAPE),
        (NATIONAL.replace(b"123.45", b"NaN"), Reason.NOT_JSON),
        (NATIONAL.replace(E.encode(), b"91350100M000100Y44"), Reason.SPOOFED_ENTERPRISE),
        (NATIONAL.replace(b"0ef6", b"0ef7"), Reason.SPOOFED_DEVICE),
        (b'{"deviceId":"0ef6ecea08bf84c7b639c3e9b84ed546","enterpriseCode":"91350100M000100Y43","data":[]}',
         Reason.BAD_SHAPE),
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_read_is_one_rejection(payload: bytes, reason: Reason) -> None:
    assert refused(payload) == [(None, reason)]


def test_too_big_and_too_many_are_refused_whole() -> None:
    assert refused(NATIONAL, limits=Limits(max_message_bytes=10)) == [(None, Reason.OVERSIZED)]
    assert refused(NATIONAL, limits=Limits(max_readings=0)) == [(None, Reason.TOO_MANY_READINGS)]


def test_one_item_of_wrong_shape_does_not_take_the_others_with_it() -> None:
    item = json.loads(NATIONAL)["data"][0]
    message = json.loads(NATIONAL) | {
        "data": [item, item | {"dataValue": "12"}, {"dataCode": 1}, item | {"dataValue": None}, item]
    }
    decoded = decode([Message(TOPIC, json.dumps(message).encode())], Limits())
    assert decoded.readings["index"].to_list() == [0, 4]
    assert [(r.index, r.reason) for r in decoded.rejections] == [(n, Reason.BAD_SHAPE) for n in (1, 2, 3)]


def test_numbers_no_reading_can_have_become_rejections_further_on_and_never_an_exception() -> None:
    item = json.loads(NATIONAL)["data"][0]
    huge = [item | {"statType": 10**30}, item | {"inputType": -(10**30)}, item | {"valid": 10**30}, item]
    decoded = decode([Message(TOPIC, json.dumps(json.loads(NATIONAL) | {"data": huge}).encode())], Limits())
    assert decoded.readings["stat_type"].to_list()[-1] == 1
    assert decoded.readings.height + len(decoded.rejections) == 4


@pytest.mark.parametrize(
    "topic",
    ["", "nhjc/v1/x/d/data", f"nhjc/v1/{E}/d/e/data", f"nhjc/v2/{E}/d/data", f"nhjc/v1/{E}/d d/data",
     f"nhjc/v1/{E}/设备/data", f"nhjc/v1/{E}/{'d' * 65}/data", f"nhjc/v1/{E}/d/data\n"],
)  # fmt: skip
def test_a_topic_outside_the_grammar_is_no_topic(topic: str) -> None:
    assert parse_topic(topic) is None
