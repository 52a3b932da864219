"""Whatever a device sends becomes readings or rejections, each element one of both, for a reason that an
independent reader of docs/wire.md (tests/fuzz/oracle.py) would give; and never an exception."""

from __future__ import annotations

import json
from typing import Any, Final

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from nengshao.domain.readings import Reason
from nengshao.wire import Decoded, Form, Item, Limits, Message, decode
from tests.fuzz.wire import judge
from tests.support import plants

TOPIC: Final = plants.topic(1)
SENDER: Final = {"deviceId": plants.DEVICE, "enterpriseCode": plants.credit_code(1)}
GOOD: Final[dict[str, Any]] = {
    name: getattr(plants.item(plants.START, 1.0), name) for name in Item.__struct_fields__
}

JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),  # NaN and infinity included: no JSON
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS: Final = {
    "dataCode": st.sampled_from(["0000000002330011", "00-00-0000-023300-11", "0", "０" * 16]),
    "dataValue": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30),
    "inputType": st.integers(-1, 7) | st.just(10**25),
    "statType": st.integers(-1, 5),
    "statDate": st.sampled_from(["2025-01-01 00:00:00", "2025-01-01T00:00:00Z", "2025-02-30 00:00:00", ""]),
    "uploadDate": st.datetimes().map(str),
    "scope": st.integers(0, 5),
    "valid": st.booleans() | st.integers(-1, 2),
    "meter": st.from_regex(r"[A-Za-z0-9_-]{1,4}\n?", fullmatch=True) | st.just("x" * 33),
}  # fmt: skip
ITEMS: Final = st.fixed_dictionaries({name: values | JSON for name, values in FIELDS.items()})
MOSTLY_GOOD: Final = st.fixed_dictionaries(FIELDS)


def text_of(message: Any) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")


def plain(items: list[Any], **more: Any) -> Message:
    return Message(TOPIC, text_of(SENDER | {"data": items} | more))


def compact(items: list[dict[str, Any]]) -> Message:
    return Message(TOPIC, text_of(SENDER | {"columns": {name: [i[name] for i in items] for name in FIELDS}}))


def outcome(decoded: Decoded, number: int = 0) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """What became of one message of a batch."""
    mine = decoded.readings.filter(pl.col("message") == number).drop("message")
    refused = [(r.index, r.reason) for r in decoded.rejections if r.message == number]
    return mine.rows(), sorted(refused, key=lambda pair: (pair[0] or 0, pair[1]))


@settings(max_examples=200, deadline=None)
@given(st.just(TOPIC) | st.text(), st.binary(max_size=400))
def test_any_bytes_on_any_topic(topic: str, payload: bytes) -> None:
    judge(Message(topic, payload))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*SENDER, "data", "columns", "seq", "x"]), JSON), st.booleans())
def test_any_json(more: dict[str, Any], is_own: bool) -> None:
    judge(Message(TOPIC, text_of(more | SENDER if is_own else more)))


@settings(max_examples=200, deadline=None)
@given(st.lists(ITEMS | JSON, min_size=1, max_size=4), st.none() | st.integers() | JSON)
def test_any_items(items: list[Any], seq: Any) -> None:
    judge(plain(items, seq=seq))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.lists(JSON, max_size=3) | JSON), st.data())
def test_any_columns(columns: dict[str, Any], data: st.DataObject) -> None:
    good = {name: value for name, value in GOOD.items() if data.draw(st.booleans())}
    judge(Message(TOPIC, text_of(SENDER | {"columns": good | {"dataValue": [1.5, 2]} | columns})))


@settings(max_examples=200, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=4))
def test_the_compact_form_says_what_the_plain_form_says(items: list[dict[str, Any]]) -> None:
    # A column's element that is itself an array stays an element: only the column is looked at.
    assert outcome(decode([plain(items)], Limits())) == outcome(decode([compact(items)], Limits()))


@settings(max_examples=200, deadline=None)
@given(st.lists(MOSTLY_GOOD, min_size=1, max_size=4))
def test_a_bad_element_changes_nothing_for_the_others(items: list[dict[str, Any]]) -> None:
    # It makes the decoder look at each alone, which must come to what it sees when it looks at all at once.
    rows, refused = outcome(decode([plain(items)], Limits()))
    worse = (rows, [*refused, (len(items), Reason.BAD_SHAPE)])
    assert outcome(decode([plain([*items, 7])], Limits())) == worse
    last = dict.fromkeys(FIELDS, None)
    assert outcome(decode([compact([*items, last])], Limits())) == worse


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(plain, st.lists(ITEMS, min_size=1, max_size=3))
        | st.builds(compact, st.lists(MOSTLY_GOOD, min_size=1, max_size=3))
        | st.builds(Message, st.just(TOPIC), st.binary(max_size=30)),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_what_becomes_of_a_message_does_not_hang_on_its_neighbours(
    messages: list[Message], chance: Any
) -> None:
    batch = [*messages, *messages]  # each sent twice, in any order
    chance.shuffle(batch)
    together = decode(batch, Limits())
    for number, message in enumerate(batch):
        assert outcome(together, number) == outcome(decode([message], Limits()))


def test_messages_of_thousands_of_readings_in_turns_of_form_keep_their_places() -> None:
    # The decoder makes columns part by part: a border inside or between messages must not show.
    forms = [Form.PLAIN, Form.COMPACT, Form.COMPACT, Form.PLAIN, Form.PLAIN, Form.GZIP]
    batch = []
    for number, form in enumerate(forms):
        items = [plants.item(plants.START, float(n), meter=f"{number}-{n}") for n in range(1_300 + number)]
        batch.append(plants.message(1, items, number, form=form))
    together = decode(batch, Limits())
    assert together.rejections == []
    assert together.sequences == {number: number for number in range(6)}
    for number in range(len(forms)):
        rows = together.readings.filter(pl.col("message") == number)
        expected = [(n, f"{number}-{n}", float(n)) for n in range(1_300 + number)]
        assert rows.select("index", "meter", "value").rows() == expected
