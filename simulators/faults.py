"""Faults and their truth: what goes wrong, when, to how much energy, and whether the truth arrives."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final

from nengshao.wire.packing import GZIP_BEGINNING, packed
from simulators.plants import Story
from simulators.traces import Line, Trace


class Fault(StrEnum):
    """What can go wrong between a meter and the platform."""

    GAP = "gap"  # readings are never taken
    DUPLICATE = "duplicate"  # a message comes twice
    LATE = "late"  # messages wait in the device for days
    OUT_OF_ORDER = "out_of_order"  # messages overtake each other
    CORRECTION = "correction"  # a wrong value, replaced by a right one of a later version
    ROLLOVER = "rollover"  # a register passes its highest number
    METER_REPLACEMENT = "meter_replacement"  # the new meter starts elsewhere
    RATIO_CHANGE = "ratio_change"  # a register's CT/PT ratio changes
    UNIT_CHANGE = "unit_change"  # a register is sent in another unit
    SPIKE = "spike"  # one absurd value
    STUCK = "stuck"  # the same value again and again
    CLOCK_SKEW = "clock_skew"  # the device's clock is wrong
    WRONG_UNIT = "wrong_unit"  # a thousand times too much or too little
    MALFORMED = "malformed"  # a payload nobody can read


YEARLY: Final[dict[Fault, int]] = {
    Fault.GAP: 4,
    Fault.DUPLICATE: 4,
    Fault.LATE: 3,
    Fault.OUT_OF_ORDER: 3,
    Fault.CORRECTION: 3,
    Fault.SPIKE: 4,
    Fault.STUCK: 2,
    Fault.CLOCK_SKEW: 2,
    Fault.WRONG_UNIT: 2,
    Fault.MALFORMED: 4,
    Fault.METER_REPLACEMENT: 1,  # only where a register's story says so
}
"""How often a device meets each fault in a year; in a shorter run (below 300 days) once each.
Rollovers happen by themselves, changes of ratio and unit where a register's story says so."""


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault as it concerned one point.

    `[start, end)`: the time whose energy it touches; `true_amount` (10⁻³ canonical unit) in it, and by
    accounting day. `sent`: what went over the wire instead. `reached_at`: when the correct values were
    published; None: never. `is_amount_lost`: the energy can be known from nothing that was sent (a register
    that misses a reading loses only the place of its energy). Quarantined messages arrive within
    `[published_from, published_until]`.
    """

    fault: Fault
    enterprise: str
    device: str
    point: int
    tag: str
    start: int
    end: int
    true_amount: int
    by_day: tuple[tuple[int, int], ...]
    sent: str
    reached_at: int | None
    is_amount_lost: bool
    published_from: int
    published_until: int


@dataclass(frozen=True, slots=True)
class Cell:
    """The stretch of slots that belongs to one fault of a device, so that no two faults meet."""

    first: int
    end: int

    @property
    def middle(self) -> int:
        """Faults happen before it; what they owe is delivered after it."""
        return (self.first + self.end) // 2


@dataclass(slots=True)
class Plan:
    """How a device departs from sending every reading at its time.

    `values`: per trace, boundary → what is sent instead (None: nothing). `skew`: boundary → seconds that the
    clock is ahead. `moved`: message → when it is published. `mangled`: message → how it is garbled.
    `repeats`: (instant, message). `remade`: (instant, readings by trace) of messages made anew.
    """

    values: dict[int, dict[int, float | None]] = field(default_factory=dict)
    skew: dict[int, int] = field(default_factory=dict)
    moved: dict[int, int] = field(default_factory=dict)
    mangled: dict[int, str] = field(default_factory=dict)
    repeats: list[tuple[int, int]] = field(default_factory=list)
    remade: list[tuple[int, dict[int, Sequence[int]]]] = field(default_factory=list)
    records: list[FaultRecord] = field(default_factory=list)


def schedule(
    slots: int, days: int, *, replaces: bool, per_message: int, rng: Random
) -> list[tuple[Fault, Cell]]:
    """Which fault happens where in a device's run, each in a cell of its own, in random order.

    Raises: ValueError if the run is too short to keep them apart.
    """
    faults = [
        fault
        for fault, times in YEARLY.items()
        if fault is not Fault.METER_REPLACEMENT or replaces
        for _ in range(times if days >= 300 else 1)
    ]
    rng.shuffle(faults)
    size = slots // len(faults)
    if size < max(6 * per_message, 240):
        raise ValueError("a faulty run of this message size needs more days")
    return [(fault, Cell(number * size, (number + 1) * size)) for number, fault in enumerate(faults)]


def change_slot_of(plan: Sequence[tuple[Fault, Cell]], story: Story, rng: Random) -> int | None:
    """The slot in which a register with this story is replaced, or its ratio or unit changes; None: never.

    A ratio or unit changes in the last quarter of a cell, where the cell's fault is over.
    """
    if story is Story.IS_REPLACED:
        return next((cell.middle for fault, cell in plan if fault is Fault.METER_REPLACEMENT), None)
    if not plan or story not in _CHANGES:
        return None
    cell = rng.choice(plan)[1]
    return (cell.middle + cell.end) // 2


_CHANGES: Final = {Story.RATIO_CHANGES: Fault.RATIO_CHANGE, Story.UNIT_CHANGES: Fault.UNIT_CHANGE}


def record_of(
    fault: Fault, line: Line, trace: Trace, boundaries: Sequence[int], *, sent: str, reached_at: int | None
) -> FaultRecord:
    """The record of a fault that concerns the readings of a point at these boundaries, in order."""
    first = max(0, boundaries[0] - trace.spec.step)
    last = min(trace.slots, boundaries[-1] + (trace.spec.step if trace.is_register else 0))
    return FaultRecord(
        fault=fault,
        enterprise=line.enterprise,
        device=line.device,
        point=trace.key.point,
        tag=trace.key.tag,
        start=trace.instant(first),
        end=trace.instant(last),
        true_amount=trace.energy(first, last),
        by_day=tuple(trace.energy_by_day(first, last)),
        sent=sent,
        reached_at=reached_at,
        is_amount_lost=reached_at is None and not trace.is_register and fault not in _HARMLESS,
        published_from=line.made_at(line.message_of(boundaries[0])),
        published_until=line.made_at(line.message_of(boundaries[-1])),
    )


_HARMLESS: Final = frozenset({
    Fault.DUPLICATE, Fault.OUT_OF_ORDER, Fault.ROLLOVER, Fault.METER_REPLACEMENT, Fault.RATIO_CHANGE,
    Fault.UNIT_CHANGE,
})  # fmt: skip


def register_records(line: Line) -> list[FaultRecord]:
    """Rollovers and changes of a device's registers: every reading is right, the difference is not."""
    records = []
    for trace in line.traces:
        if not trace.is_register:
            continue
        change = trace.change.slot if trace.change else None
        step = trace.spec.step
        for boundary in range(step, trace.slots + 1, step):
            before, now = trace.values[boundary - step], trace.values[boundary]
            if change is not None and boundary - step <= change < boundary:
                fault = _CHANGES.get(trace.spec.story, Fault.METER_REPLACEMENT)
            elif now < before:
                fault = Fault.ROLLOVER
            else:
                continue
            at = line.made_at(line.message_of(boundary))
            sent = f"{before} -> {now} counts"
            records.append(record_of(fault, line, trace, [boundary], sent=sent, reached_at=at))
    return records


MANGLINGS: Final = ("truncated", "not_json", "text_value", "no_time", "not_utf8")
"""How a payload can be garbled."""


def mangled(payload: bytes, how: str) -> bytes:
    """The payload as it comes out of a device that garbles it in this way, before it packs it."""
    if payload.startswith(GZIP_BEGINNING):
        return packed(mangled(gzip.decompress(payload), how))
    if how == "truncated":
        return payload[: len(payload) * 2 // 3]
    if how == "not_json":
        return b"ERR 17 modem restart\r\n" + payload[:40]
    if how == "text_value":
        values = re.compile(rb'(?<="dataValue":)(\[[^]]*\]|[-+.0-9eE]+)')
        return values.sub(lambda found: re.sub(rb"[-+.0-9eE]+", rb'"\g<0>"', found[0]), payload)
    if how == "no_time":
        return re.sub(rb'"statDate":("[^"]*"|\[[^]]*\]),', b"", payload)
    return payload[:20] + b"\xff\xfe" + payload[20:]
