"""Wire bytes pinned by hand: simulator and decoder share `nengshao.wire`, so an outside witness is needed.

The first payload is the national upload sample as working clients of provincial platforms send it
(field names and the printed data code of the national sample), typed here by hand.
"""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import msgspec
import pytest

from nengshao.domain.readings import Reason
from nengshao.wire import (
    Form,
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
    plain_size,
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


TWO = [
    Item("0401000004020030", 123.45, 4, 0, "2014-10-09 00:00:00", "2014-10-09 00:01:00", 1, True, "07"),
    Item("0401000004020030", 6.0, 4, 0, "2014-10-09 00:00:00", "2014-10-09 00:01:00", 1, 1, "08"),
]
COMPACT = (
    b'{"deviceId":"0ef6ecea08bf84c7b639c3e9b84ed546","enterpriseCode":"91350100M000100Y43","columns":{'
    b'"dataCode":"0401000004020030","dataValue":[123.45,6.0],"inputType":4,"statType":0,'
    b'"statDate":"2014-10-09 00:00:00","uploadDate":"2014-10-09 00:01:00","scope":1,"valid":[true,1],'
    b'"meter":["07","08"]},"seq":9}'
)


def test_our_own_compact_messages_are_these_bytes() -> None:
    device = "0ef6ecea08bf84c7b639c3e9b84ed546"
    assert encode_message(E, device, TWO, 9, Form.COMPACT) == COMPACT
    assert gzip.decompress(encode_message(E, device, TWO, 9, Form.COMPACT_GZIP)) == COMPACT


def test_a_packed_message_is_the_same_bytes_whenever_it_is_made() -> None:
    # RFC 1952 2.3.1: bytes 4 to 7 are the time of making; 0 says that there is none.
    packed = encode_message(E, "d1", TWO, 9, Form.GZIP)
    assert packed[:2] == b"\x1f\x8b"
    assert packed[4:8] == bytes(4)


@pytest.mark.parametrize("payload", [COMPACT, gzip.compress(COMPACT)])
def test_a_compact_message_reads_as_its_rows(payload: bytes) -> None:
    decoded = decode([Message(TOPIC, payload)], LIMITS)
    assert decoded.rejections == []
    assert decoded.sequences == {0: 9}
    # 2014-10-08T16:00:00Z = 1 412 784 000 s; `true` is 3, the number 1 is 1.
    common = (0, E, "0ef6ecea08bf84c7b639c3e9b84ed546", "0401000004020030", 0, 1_412_784_000, 4, 1)
    assert decoded.readings.select(
        "message", "enterprise", "device", "data_code", "stat_type", "ts", "input_type", "scope",
        "index", "meter", "value", "valid_code",
    ).rows() == [(*common, 0, "07", 123.45, 3), (*common, 1, "08", 6.0, 1)]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "text", "rejected"),
    [
        ("meter", '["07",8]', [1]),
        ("meter", '["07","../8"]', [1]),
        ("meter", '["07\\n","08"]', [0]),
        ("dataValue", '[1e999,6.0]', [0]),
        ("dataValue", '[null,"6"]', [0, 1]),
        ("scope", '"1"', [0, 1]),
        ("valid", '[1.0,true]', [0]),
        ("statDate", '["2014-10-09 00:00:00",null]', [1]),
    ],
)  # fmt: skip
def test_an_element_of_wrong_type_rejects_its_reading_alone(
    column: str, text: str, rejected: list[int]
) -> None:
    columns = ",".join(
        f'"{name}":{text if name == column else json.dumps(value)}'
        for name, value in json.loads(COMPACT)["columns"].items()
    )
    payload = COMPACT[: COMPACT.index(b'{"dataCode')] + b"{" + columns.encode() + b'},"seq":9}'
    decoded = decode([Message(TOPIC, payload)], LIMITS)
    assert [(r.index, r.reason) for r in decoded.rejections] == [(n, Reason.BAD_SHAPE) for n in rejected]
    assert decoded.readings["index"].to_list() == [n for n in (0, 1) if n not in rejected]
    assert decoded.sequences == {0: 9}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'["07","08"]', b'["07"]', Reason.BAD_SHAPE),
        (b"[123.45,6.0]", b"123.45", Reason.BAD_SHAPE),
        (b"[123.45,6.0]", b"[]", Reason.BAD_SHAPE),
        (b'"dataValue":[123.45,6.0],', b"", Reason.BAD_SHAPE),
        (b'"seq":9', b'"data":[]', Reason.BAD_SHAPE),
        (b"6.0", b"NaN", Reason.NOT_JSON),
        (b"Y43", b"Y44", Reason.SPOOFED_ENTERPRISE),
        (b"0ef6", b"0ef7", Reason.SPOOFED_DEVICE),
    ],
)
def test_a_compact_message_whose_columns_do_not_fit_is_one_rejection(
    old: bytes, new: bytes, reason: Reason
) -> None:
    assert refused(COMPACT.replace(old, new)) == [(None, reason)]


def test_a_compact_message_has_the_same_limits() -> None:
    assert refused(COMPACT, limits=Limits(max_readings=1)) == [(None, Reason.TOO_MANY_READINGS)]
    many = COMPACT.replace(b"123.45,6.0", b"0," * 5_000 + b'"x"').replace(b'["07","08"]', b'"07"')
    assert refused(many.replace(b"[true,1]", b"true")) == [(None, Reason.TOO_MANY_READINGS)]


def test_what_a_gzip_holds_is_judged_as_if_it_had_been_sent() -> None:
    assert refused(gzip.compress(b"{")) == [(None, Reason.NOT_JSON)]
    assert refused(gzip.compress(gzip.compress(COMPACT))) == [(None, Reason.NOT_JSON)]
    limits = Limits(max_unpacked_bytes=len(COMPACT))
    assert refused(gzip.compress(COMPACT), limits=limits) == []
    assert refused(gzip.compress(COMPACT + b" "), limits=limits) == [(None, Reason.OVERSIZED)]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    "payload",
    [
        gzip.compress(COMPACT)[:-1],
        gzip.compress(COMPACT)[:12],
        b"\x1f\x8b",
        gzip.compress(COMPACT)[:-8] + bytes(8),  # CRC and length
        gzip.compress(COMPACT) + b"\0",
        gzip.compress(COMPACT[:100]) + gzip.compress(COMPACT[100:]),  # two members
        b"\x1f\x8b\x07\0\0\0\0\0\0\xff" + raw_deflate(COMPACT),  # no such method
    ],
)
def test_a_gzip_that_is_damaged_or_followed_by_something_is_no_gzip(payload: bytes) -> None:
    assert refused(payload) == [(None, Reason.BAD_GZIP)]


def test_a_bomb_is_not_unpacked_beyond_the_limit() -> None:
    # 200 MB of NUL in 200 kB: unpacking stops at 2 MiB, and so does what Python allocates.
    bomb = gzip.compress(bytes(200_000_000))
    assert len(bomb) <= LIMITS.max_message_bytes
    tracemalloc.start()
    assert refused(bomb) == [(None, Reason.OVERSIZED)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * LIMITS.max_unpacked_bytes


@pytest.mark.parametrize("form", Form)
def test_a_batch_measures_a_message_about_as_large_as_it_would_be_written_out(form: Form) -> None:
    items = [msgspec.structs.replace(TWO[0], meter=f"{n}", dataValue=n * 997.7) for n in range(50)]
    plain = len(encode_message(E, "d1", items, 9))
    assert plain / 4 <= plain_size(encode_message(E, "d1", items, 9, form)) <= plain * 4


def test_a_gzip_that_claims_the_world_does_not_fill_a_batch() -> None:
    assert plain_size(gzip.compress(b"")[:-4] + b"\xff" * 4) < 100_000


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


@pytest.mark.parametrize(
    "second",
    [b'"dataCode":"\xff"', b'"x":"\\ud800"', b'"dataValue":NaN'],
    ids=["not UTF-8", "half a surrogate", "NaN"],
)
def test_what_is_not_json_is_not_json_wherever_it_stands(second: bytes) -> None:
    # An item of wrong shape before it must not hide it: the verdict would hang on the order.
    head, item = NATIONAL.split(b"[\n")[0] + b"[", b'{"dataCode":1}'
    for items in ((item, b"{%s}" % second), (b"{%s}" % second, item)):
        assert refused(head + b",".join(items) + b"]}") == [(None, Reason.NOT_JSON)]


@pytest.mark.parametrize(("seq", "named"), [(2**63 - 1, {0: 2**63 - 1}), (2**63, {}), (-1, {0: -1})])
def test_a_number_of_the_message_beyond_64_bits_is_none(seq: int, named: dict[int, int]) -> None:
    payload = json.dumps(json.loads(NATIONAL) | {"seq": seq}).encode()
    assert decode([Message(TOPIC, payload)], LIMITS).sequences == named


def test_what_a_rejection_quotes_can_be_stored_and_shown() -> None:
    # PostgreSQL takes no NUL in a text; a lone surrogate cannot be encoded at all.
    payload = NATIONAL.replace(E.encode(), b"91\\u0000\\u001b")
    [rejection] = decode([Message(TOPIC, payload)], LIMITS).rejections
    assert rejection.detail == "91\ufffd\ufffd"
    [rejection] = decode([Message("nhjc/\ud800" + "x" * 500, NATIONAL)], LIMITS).rejections
    assert rejection.detail == "nhjc/\ufffd" + "x" * 194


def test_of_a_repeated_key_the_last_counts() -> None:
    assert one(NATIONAL.replace(b'"scope": 1', b'"scope": 3, "scope": 2'))["scope"] == 2
    assert one(NATIONAL.replace(b'"data"', b'"data": [7], "data"'))["scope"] == 1


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
