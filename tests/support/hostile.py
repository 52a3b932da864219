"""Messages that must not be accepted, by the thousand, each with the reason it must be refused for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import msgspec

from nengshao.domain.codes import credit_code_check_character
from nengshao.domain.readings import Reason
from nengshao.domain.time import local_text
from nengshao.wire import Item, Message, encode_message
from tests.support import plants

MAX_BYTES, MAX_READINGS = 20_000, 10

_GOOD_TS = plants.START + plants.CADENCE_S
_DEEP = 5_000


def _own(items: list[Item], number: int) -> bytes:
    return encode_message(plants.credit_code(1), plants.DEVICE, items, number)


def _good(number: int, **changes: object) -> Item:
    """A reading that would be accepted, but for what is changed; its value makes the message another."""
    return msgspec.structs.replace(plants.item(_GOOD_TS, float(number)), **changes)


def _raw(payload: bytes) -> Message:
    return Message(plants.topic(1), payload)


def _item(number: int, **changes: object) -> Message:
    return _raw(_own([_good(number, **changes)], number))


def oversized(number: int, chance: Random) -> Message:
    return _raw(b'{"padding":"' + b"x" * (MAX_BYTES + chance.randrange(5_000)) + str(number).encode() + b'"}')


def bad_topic(number: int, chance: Random) -> Message:
    topic = chance.choice(["nhjc/v1/小厂/d1/data", "nhjc/v1/91-99/d1/data", "nhjc/v1/91990001/d 1/data",
                           f"nhjc/v1/{'9' * 19}/d1/data", plants.topic(1, leaf="status")])  # fmt: skip
    return Message(topic, _own([_good(number)], number))


def not_json(number: int, chance: Random) -> Message:
    good = _own([_good(number)], number)
    return _raw(
        chance.choice(
            [
                good[: len(good) - 1 - chance.randrange(len(good) - 2)],
                b"ERR 17 modem restart " + str(number).encode(),
                good.replace(b'"00"', b'"\xff\xfe"'),
                '{"厂":"锅炉'.encode("gb18030") + str(number).encode(),
                good.decode().encode("utf-16"),
                b'{"number":' + str(number).encode() + b',"x":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
                b"",
            ]
        )
    )


def bad_shape(number: int, chance: Random) -> Message:
    own = {"deviceId": plants.DEVICE, "enterpriseCode": plants.credit_code(1), "seq": number}
    item = msgspec.to_builtins(_good(number))
    no_time = {name: value for name, value in item.items() if name != "statDate"}
    shapes: list[object] = [
        own | {"data": []}, own | {"data": [item | {"dataValue": "12,5"}]}, own | {"data": [no_time]},
        own | {"data": {"0": item}}, own | {"data": [item | {"meter": "../../etc"}]}, number, [number],
        "text", own,
        own | {"data": [item | {"dataValue": None}]},
    ]  # fmt: skip
    if number % 50 == 0:
        head = msgspec.json.encode(own)[:-1]
        return _raw(head + b',"data":[' + b"[" * _DEEP + b"]" * _DEEP + b"]}")
    return _raw(msgspec.json.encode(chance.choice(shapes)))


def too_many_readings(number: int, _chance: Random) -> Message:
    return _raw(_own([_good(number)] * (MAX_READINGS + 1), number))


def spoofed_enterprise(number: int, chance: Random) -> Message:
    victim, thief = chance.sample(range(1, 4), 2)  # 3 is nobody
    return Message(
        plants.topic(thief),
        encode_message(plants.credit_code(victim), plants.DEVICE, [_good(number)], number),
    )


def spoofed_device(number: int, _chance: Random) -> Message:
    payload = encode_message(plants.credit_code(1), plants.DEVICE, [_good(number)], number)
    return Message(plants.topic(1, f"stranger{number}"), payload)


def unknown_enterprise(number: int, _chance: Random) -> Message:
    code = plants.credit_code(1_000 + number)  # another one every time
    topic = f"nhjc/v1/{code}/{plants.DEVICE}/data"
    return Message(topic, encode_message(code, plants.DEVICE, [_good(number)], number))


def bad_credit_code(number: int, _chance: Random) -> Message:
    body = f"91990001M{number:08d}"
    wrong = next(c for c in "0123456789" if c != credit_code_check_character(body))
    topic = f"nhjc/v1/{body + wrong}/{plants.DEVICE}/data"
    return Message(topic, encode_message(body + wrong, plants.DEVICE, [_good(number)], number))


def bad_data_code(number: int, chance: Random) -> Message:
    return _item(number, dataCode=chance.choice(["", "33001", "04-01-000-040200-30", "二氧化碳", "0" * 17]))


def unknown_point(number: int, chance: Random) -> Message:
    code = chance.choice([plants.ELECTRICITY, plants.COAL])
    return _item(number, dataCode=code, meter=f"m{number % 5}")


def wrong_device(number: int, chance: Random) -> Message:
    other = f"stranger{chance.randrange(3)}"
    return Message(
        plants.topic(1, other), encode_message(plants.credit_code(1), other, [_good(number)], number)
    )


def bad_time(number: int, chance: Random) -> Message:
    name = chance.choice(["statDate", "uploadDate"])
    return _item(number, **{name: chance.choice(["", "yesterday", "2025-02-30 00:00:00", "20250101"[:7]])})


def future(number: int, chance: Random) -> Message:
    ahead = local_text(_GOOD_TS + (30 + chance.randrange(3000)) * 86_400)
    return _item(number, uploadDate=ahead)


def too_old(number: int, _chance: Random) -> Message:
    return _item(number, statDate="2024-12-31 23:45:00")


def negative(number: int, chance: Random) -> Message:
    return _item(number, dataValue=-1.0 - number - chance.random())


def bad_value(number: int, chance: Random) -> Message:
    return _item(number, dataValue=chance.choice([1e14, 1e300]) + number)


def bad_enum(number: int, chance: Random) -> Message:
    return _item(number, **chance.choice([{"statType": 9}, {"scope": 0}, {"inputType": -1}, {"valid": 7},
                                          {"statType": 10**30}]))  # fmt: skip


WRONGS: dict[Reason, tuple[int, Callable[[int, Random], Message]]] = {
    Reason.OVERSIZED: (400, oversized),
    Reason.BAD_TOPIC: (600, bad_topic),
    Reason.NOT_JSON: (1_500, not_json),
    Reason.BAD_SHAPE: (1_500, bad_shape),
    Reason.TOO_MANY_READINGS: (300, too_many_readings),
    Reason.SPOOFED_ENTERPRISE: (1_200, spoofed_enterprise),
    Reason.SPOOFED_DEVICE: (1_000, spoofed_device),
    Reason.UNKNOWN_ENTERPRISE: (800, unknown_enterprise),
    Reason.BAD_CREDIT_CODE: (500, bad_credit_code),
    Reason.BAD_DATA_CODE: (300, bad_data_code),
    Reason.UNKNOWN_POINT: (800, unknown_point),
    Reason.WRONG_DEVICE: (300, wrong_device),
    Reason.BAD_TIME: (200, bad_time),
    Reason.FUTURE: (200, future),
    Reason.POINT_NOT_IN_FORCE: (100, too_old),
    Reason.NEGATIVE: (100, negative),
    Reason.BAD_VALUE: (100, bad_value),
    Reason.BAD_ENUM: (100, bad_enum),
}
"""How many of each, and how they are made. Every one counts as one reading."""


def all_of_them(seed: int) -> Iterator[Message]:
    """All of them, in any order."""
    chance = Random(seed)
    due = [make for count, make in WRONGS.values() for _ in range(count)]
    chance.shuffle(due)
    for number, make in enumerate(due):
        yield make(number, chance)
