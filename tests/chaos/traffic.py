"""What a group of devices says: registers in order, and some of it late, corrected or sent again.

The sequence is the same however often its device begins anew, so that a killed one goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import msgspec

from nengshao.wire import encode_message
from simulators.stream import Outgoing
from tests.support import plants

SLOTS_A_DAY: Final = 86_400 // plants.CADENCE_S
_LATE, _CORRECTED, _RESENT = 0.04, 0.03, 0.03  # shares of the messages
# In kWh of each quarter of an hour: whole tens, so that grams of coal are exact; a correction moves a read
# by less than half of the least step, so that registers still only grow; below the 1000 that the capacity is.
_STEP: Final = range(200, 810, 10)
_CORRECTION: Final = range(-90, 100, 10)


class Group(msgspec.Struct, frozen=True):
    """A group of devices in one process: who they are, where their broker is, how fast and how patient."""

    name: str
    seed: int
    numbers: list[int]  # of their enterprises (tests.support.plants)
    meters: int
    days: int  # at most
    per_second: float  # messages
    host: str
    port: int
    protocol: str
    shared: bool  # one connection for all
    in_flight: int
    patience_s: float
    patience_max_s: float
    anchor: int
    since: float


def messages(group: Group, is_over: Callable[[], bool]) -> Iterator[Outgoing]:
    """What the group publishes, in order, until the first midnight at which `is_over`."""
    talk = _Talk(group)
    for slot in range(group.days * SLOTS_A_DAY + 1):
        for number in group.numbers:
            yield from talk.said(number, slot)
        yield from talk.overdue(slot)
        if slot and slot % SLOTS_A_DAY == 0 and is_over():
            break
    yield from talk.overdue(None)


class _Talk:
    """What the registers show, what has been numbered, and what is held back for later."""

    def __init__(self, group: Group) -> None:
        self._chance = chance = Random(group.seed)
        self._meters = range(group.meters)
        self._shown = {(n, m): 10 * chance.randrange(100, 10**5) for n in group.numbers for m in self._meters}
        self._made = dict.fromkeys(group.numbers, 0)
        self._held: list[tuple[int, Outgoing]] = []  # until a slot

    def said(self, number: int, slot: int) -> Iterator[Outgoing]:
        """The message of an enterprise and quarter of an hour, unless it is late."""
        chance, ts = self._chance, plants.START + slot * plants.CADENCE_S
        for m in self._meters:
            self._shown[number, m] += chance.choice(_STEP) if slot else 0
        read = self._message(number, ts, 60, {})
        if chance.random() < _CORRECTED:
            moved = {m: chance.choice(_CORRECTION) for m in self._meters}
            later = self._message(number, ts, 120 + chance.randrange(3600), moved)
            self._held.append((slot + chance.randrange(30), later))
        if chance.random() < _RESENT:
            self._held.append((slot + chance.randrange(1, 30), read))
        if chance.random() < _LATE:
            self._held.append((slot + chance.randrange(1, 60), read))
        else:
            yield read

    def overdue(self, slot: int | None) -> list[Outgoing]:
        """What was held back until this slot; None: all that is left."""
        due = [message for until, message in self._held if slot is None or until <= slot]
        self._held = [entry for entry in self._held if slot is not None and entry[0] > slot]
        return due

    def _message(self, number: int, ts: int, made_after_s: int, moved: dict[int, int]) -> Outgoing:
        self._made[number] += 1
        code, seq, made_at = plants.credit_code(number), self._made[number], ts + made_after_s
        items = [
            plants.item(ts, float(self._shown[number, m] + moved.get(m, 0)), meter=f"{m:02d}", upload=made_at)
            for m in self._meters
        ]
        payload = encode_message(code, plants.DEVICE, items, seq)
        return Outgoing(code, plants.DEVICE, made_at, plants.topic(number), payload, seq)
