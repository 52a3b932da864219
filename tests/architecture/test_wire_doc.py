"""docs/wire.md is a contract with people outside: what it says is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import jsonschema
import msgspec
import pytest

from ingest.screening import Screen, TimeLimits
from ingest.tables import OPTIONAL, REQUIRED
from nengshao.domain.codes import is_credit_code
from nengshao.domain.readings import Outcome, Reason
from nengshao.domain.time import iso_text, parse_instant
from nengshao.registry_tables import registry_of
from nengshao.settings import IngestSettings, Settings
from nengshao.wire import (
    DATA,
    ROOT,
    DataMessage,
    Item,
    ItemColumns,
    Limits,
    Message,
    decode,
    decode_receipt,
    decode_status,
    json_schemas,
    parse_topic,
    payload_digest,
)
from nengshao.wire.commands import decode_command, encode_resend
from tests.support.plants import enterprise_row, point_row

DOCS: Final = Path(__file__).parents[2] / "docs"
TEXT: Final = (DOCS / "wire.md").read_text(encoding="utf-8")
CHINESE, ENGLISH = TEXT.split("\n# English\n")
FENCES: Final = re.findall(r"^```json ?(\S*)\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
SCHEMAS: Final = dict(json_schemas())


def examples(kind: str) -> list[str]:
    return [text for found, text in FENCES if found == kind]


def data_message(text: str) -> Message:
    sender = json.loads(text)
    return Message(f"{ROOT}/{sender['enterpriseCode']}/{sender['deviceId']}/{DATA}", text.encode())


def test_there_is_an_example_of_every_payload_and_each_says_which_it_is() -> None:
    assert {kind for kind, _ in FENCES} == set(SCHEMAS)


@pytest.mark.parametrize(("kind", "text"), FENCES)
def test_every_example_follows_the_schema(kind: str, text: str) -> None:
    jsonschema.Draft202012Validator(SCHEMAS[kind]).validate(json.loads(text))


@pytest.mark.parametrize("text", [*examples("data"), *examples("compact")])
def test_every_data_example_decodes_without_rejection(text: str) -> None:
    message = data_message(text)
    decoded = decode([message], Limits())
    assert decoded.rejections == []
    sent = json.loads(text)
    assert decoded.readings.height == len(sent["data"] if "data" in sent else sent["columns"]["dataValue"])
    assert decoded.readings.null_count().sum_horizontal().item() == 0
    topic = parse_topic(message.topic)
    assert topic is not None
    assert is_credit_code(topic.enterprise)


@pytest.mark.parametrize("text", examples("status"))
def test_every_status_example_decodes(text: str) -> None:
    assert decode_status(text.encode()) is not None


def test_the_receipt_example_names_the_bytes_of_the_message_before_it() -> None:
    [text] = examples("receipt")
    sent = examples("data")[-1].encode()
    told = decode_receipt(text.encode()).messages[0]
    assert (told.sha256, told.seq) == (payload_digest(sent), json.loads(sent)["seq"])


def test_the_receipt_example_tells_what_screening_would_make_of_that_message() -> None:
    [text] = examples("receipt")
    message = data_message(examples("data")[-1])
    topic = parse_topic(message.topic)
    assert topic is not None
    of = {"enterprise": topic.enterprise}
    tables = {
        "enterprises": [enterprise_row(1, **of)],
        "points": [point_row(1, meter, device=topic.device, **of) for meter in ("00", "02")],
    }
    limits = TimeLimits(parse_instant("2025-03-01 08:15:07"), 3600, 396 * 86_400)
    screened = Screen(registry_of(tables), {"national": 1}).screened(
        decode([message], Limits()).readings, limits
    )
    told = decode_receipt(text.encode()).messages[0]
    assert screened.accepted.height == told.stored
    assert screened.rejected.select("index", "reason", "detail").rows() == [
        (item.index, item.reason, item.detail) for item in told.rejected
    ]


def test_the_receipt_example_uses_the_reasons_own_words() -> None:
    [text] = examples("receipt")
    for message in decode_receipt(text.encode()).messages:
        for item in message.rejected:
            assert item.reason_zh == Reason(item.reason).zh


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_in_both_languages_what_a_device_should_do(reason: Reason) -> None:
    row = rf"^\| `{reason.value}` \| ([^|]+) \| [^|]+ \| [^|]+ \|$"
    in_chinese, in_english = re.findall(row, CHINESE, re.MULTILINE), re.findall(row, ENGLISH, re.MULTILINE)
    assert in_chinese == [reason.zh]
    assert len(in_english) == 1


def test_no_reason_is_documented_that_does_not_exist() -> None:
    section = TEXT.split("## 9 拒收原因")[1].split("\n## 10")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)) - {"reason"} == set(Reason)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.QUARANTINED])
def test_every_outcome_of_a_receipt_is_explained_in_both_languages(outcome: Outcome) -> None:
    assert f"`{outcome.value}`" in CHINESE
    assert f"`{outcome.value}`" in ENGLISH


@pytest.mark.parametrize("language", [CHINESE, ENGLISH])
def test_every_field_of_a_data_message_is_documented(language: str) -> None:
    kinds = (DataMessage, Item, ItemColumns)
    fields = [f.name for kind in kinds for f in msgspec.structs.fields(kind)]
    documented = re.findall(r"^\| `(\w+)` \|", language, re.MULTILINE)
    assert set(fields) <= set(documented)


def test_every_column_of_an_uploaded_table_is_documented() -> None:
    section = CHINESE.split("\n## 11 ")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \| (是|否) \|", section, re.MULTILINE))
    assert rows == dict.fromkeys(REQUIRED, "是") | dict.fromkeys(OPTIONAL, "否")


def test_the_limits_are_the_defaults() -> None:
    section = CHINESE.split("\n## 10 ")[1].split("\n## 11 ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", section, re.MULTILINE))
    defaults = IngestSettings()
    assert rows == {name: str(getattr(defaults, name)) for name in rows}
    assert {"max_message_bytes", "max_readings", "future_limit_s", "past_limit_days"} <= set(rows)


def test_the_dialects_are_the_defaults() -> None:
    section = CHINESE.split("\n## 6 ")[1].split("\n## 7 ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `true`、`(\d)` \|", section, re.MULTILINE))
    dialects = Settings.model_fields["dialects"].get_default(call_default_factory=True)
    assert rows == {name: str(dialect.valid) for name, dialect in dialects.items()}


def test_the_schema_file_is_what_the_code_generates() -> None:
    generated = json.dumps(SCHEMAS, indent=2, ensure_ascii=False) + "\n"
    assert (DOCS / "wire.schema.json").read_text(encoding="utf-8") == generated


def test_the_command_example_is_what_we_would_send() -> None:
    [text] = examples("command")
    command = decode_command(text.encode())
    again = encode_resend(command.id, command.start, command.end, command.points)
    assert json.loads(again) == json.loads(text)
    assert [iso_text(parse_instant(instant)) for instant in (command.start, command.end)] == [
        command.start, command.end,
    ]  # fmt: skip
