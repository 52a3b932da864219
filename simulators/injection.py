"""Injection: the faults of one device, drawn from its own randomness, each inside its cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from nengshao.domain.units import PointKind
from simulators.faults import MANGLINGS, Cell, Fault, Plan, record_of, register_records
from simulators.plants import SLOT_S
from simulators.traces import Line, Trace

_HOUR_S: Final = 3600
_DAY_SLOTS: Final = 96


def plan_of(line: Line, faults: Sequence[tuple[Fault, Cell]], rng: Random) -> Plan:
    """How a device departs from the straight run, with a record of every departure."""
    plan = Plan()
    for fault, cell in faults:
        if fault is not Fault.METER_REPLACEMENT:
            _INJECT[fault](plan, line, cell, rng)
    plan.remade.sort(key=lambda entry: entry[0])
    plan.repeats.sort()
    plan.records.extend(register_records(line))
    return plan


# ----------------------------------------------------------------------- faults of single points


def _target(line: Line, rng: Random) -> int:
    """A point of the device that is read through the day."""
    return rng.choice([n for n, trace in enumerate(line.traces) if trace.spec.step <= 4])


def _stretch(trace: Trace, cell: Cell, rng: Random, shortest: int, longest: int) -> list[int]:
    """Boundaries of consecutive readings in the first half of the cell, `shortest` to `longest` of them."""
    step = trace.spec.step
    room = (cell.middle - cell.first) // step - 4
    count = min(rng.randint(shortest, longest), room)
    first = cell.first // step + 2 + rng.randrange(room - count + 1)
    return [(first + n) * step for n in range(count)]


def _delivery(line: Line, cell: Cell, rng: Random, soonest: int) -> int:
    """An instant after the middle of the cell, and after `soonest`, before its end; never a message's own."""
    latest = line.start + cell.end * SLOT_S - 2 * line.per_message * SLOT_S
    earliest = max(soonest, line.start + cell.middle * SLOT_S)
    whole = (rng.randint(earliest, max(earliest, latest)) - line.start) // SLOT_S
    return line.start + whole * SLOT_S + line.lag_s + 30


def _substitute(plan: Plan, target: int, boundaries: Sequence[int], values: Sequence[float | None]) -> None:
    plan.values.setdefault(target, {}).update(zip(boundaries, values, strict=True))


def _note(
    plan: Plan,
    line: Line,
    target: int,
    fault: Fault,
    boundaries: Sequence[int],
    *,
    sent: str,
    reached_at: int | None,
) -> None:
    plan.records.append(
        record_of(fault, line, line.traces[target], boundaries, sent=sent, reached_at=reached_at)
    )


def _inject_gap(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """Mostly minutes to hours, sometimes days; half the time the whole device."""
    long = rng.random() < 0.4
    whole_device = rng.random() < 0.5
    chosen = _target(line, rng)
    span = _stretch(line.traces[chosen], cell, rng, *((_DAY_SLOTS, 3 * _DAY_SLOTS) if long else (1, 16)))
    for number, boundaries in _readings_between(line, span[0], span[-1]).items():
        if whole_device or number == chosen:
            _substitute(plan, number, boundaries, [None] * len(boundaries))
            _note(plan, line, number, Fault.GAP, boundaries, sent="nothing", reached_at=None)


def _inject_spike(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """A reading far above what the point can carry; of a register also a zero."""
    number = _target(line, rng)
    trace = line.traces[number]
    boundaries = _stretch(trace, cell, rng, 1, 1)
    spec = trace.spec_at(boundaries[0])
    hours = 1.0 if spec.kind is PointKind.POWER else spec.cadence_s / _HOUR_S
    jump = spec.capacity_per_hour / spec.ratio * hours * rng.uniform(3, 400)
    if trace.is_register:
        value = 0.0 if rng.random() < 0.4 else round(trace.sent(boundaries[0]) + jump, spec.digits)
    else:
        value = round(jump, spec.digits)
    _substitute(plan, number, boundaries, [value])
    _note(plan, line, number, Fault.SPIKE, boundaries, sent=repr(value), reached_at=None)


def _inject_stuck(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """The collector repeats the last value it had."""
    number = _target(line, rng)
    trace = line.traces[number]
    boundaries = _stretch(trace, cell, rng, 4, 48)
    value = trace.sent(boundaries[0] - trace.spec.step)
    _substitute(plan, number, boundaries, [value] * len(boundaries))
    _note(plan, line, number, Fault.STUCK, boundaries, sent=repr(value), reached_at=None)


def _inject_wrong_unit(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """A thousand times too much or too little; half the time it is noticed and sent again."""
    number = _target(line, rng)
    trace = line.traces[number]
    boundaries = _stretch(trace, cell, rng, 4, 24)
    factor = rng.choice((1000, 0.001))
    _substitute(plan, number, boundaries, [trace.sent(b) * factor for b in boundaries])
    reached = _remake(plan, line, cell, rng, {number: boundaries}) if rng.random() < 0.5 else None
    _note(plan, line, number, Fault.WRONG_UNIT, boundaries, sent=f"× {factor}", reached_at=reached)


def _inject_correction(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """A believable wrong value; the right one follows with a later version."""
    number = _target(line, rng)
    trace = line.traces[number]
    boundaries = _stretch(trace, cell, rng, 1, 12)
    digits = trace.spec_at(boundaries[0]).digits
    if trace.is_register:
        ahead = trace.spec.step * 3 // 5 or 1
        wrong = [trace.sent(b) + (trace.totals[b + ahead] - trace.totals[b]) * 0.4 / 10**digits
                 for b in boundaries]  # fmt: skip
    else:
        wrong = [trace.sent(b) * rng.uniform(0.8, 1.15) for b in boundaries]
    _substitute(plan, number, boundaries, [round(value, digits) for value in wrong])
    reached = _remake(plan, line, cell, rng, {number: boundaries})
    _note(plan, line, number, Fault.CORRECTION, boundaries, sent="a believable value", reached_at=reached)


def _remake(plan: Plan, line: Line, cell: Cell, rng: Random, readings: dict[int, Sequence[int]]) -> int:
    """Have the true readings sent again in a message of their own; when that is."""
    latest = max(line.made_at(line.message_of(boundaries[-1])) for boundaries in readings.values())
    at = _delivery(line, cell, rng, latest + 60)
    plan.remade.append((at, readings))
    return at


# ------------------------------------------------------------------------------ faults of a device


def _inject_clock_skew(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """Minutes off, unnoticed; or days and years ahead, refused, and sent again when the clock is right."""
    jumps = rng.random() < 0.5
    ahead = rng.randint(2, 400) * 86_400 if jumps else rng.choice((-1, 1)) * rng.randint(60, 600)
    messages = _messages(line, cell, rng, *_by_time(line, 2 * _HOUR_S, 3 * 86_400))
    touched = _readings_of(line, messages)
    for boundaries in touched.values():
        plan.skew.update(dict.fromkeys(boundaries, ahead))
    plan.skew.update((line.last_boundary(message), ahead) for message in messages)
    reached = _remake(plan, line, cell, rng, touched) if touched and jumps else None
    _record_messages(plan, line, Fault.CLOCK_SKEW, messages, sent=f"{ahead:+d} s", reached_at=reached)


def _readings_of(line: Line, messages: Sequence[int]) -> dict[int, Sequence[int]]:
    """Per trace the boundaries whose readings are in these consecutive messages."""
    return _readings_between(line, line.last_boundary(messages[0] - 1) + 1, line.last_boundary(messages[-1]))


def _readings_between(line: Line, first: int, last: int) -> dict[int, Sequence[int]]:
    """Per trace the boundaries at which it is read, from `first` to `last`."""
    spans: dict[int, Sequence[int]] = {}
    for number, trace in enumerate(line.traces):
        step = trace.spec.step
        boundaries = range(-(-first // step) * step, last + 1, step)
        if boundaries:
            spans[number] = boundaries
    return spans


# --------------------------------------------------------------------------- faults of messages


def _messages(line: Line, cell: Cell, rng: Random, fewest: int, most: int) -> range:
    """Consecutive messages that lie wholly within the first half of the cell."""
    first = -(-cell.first // line.per_message) + 1
    room = cell.middle // line.per_message - first + 1
    count = min(rng.randint(fewest, most), room)
    begin = first + rng.randrange(room - count + 1)
    return range(begin, begin + count)


def _record_messages(
    plan: Plan, line: Line, fault: Fault, messages: Sequence[int], *, sent: str, reached_at: int | None
) -> None:
    for number, boundaries in _readings_of(line, messages).items():
        _note(plan, line, number, fault, boundaries, sent=sent, reached_at=reached_at)


def _inject_duplicate(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """Messages that come again, as the same bytes, within hours."""
    for message in _messages(line, cell, rng, 1, 5):
        made = line.made_at(message)
        plan.repeats.append((made + rng.randint(30, 6 * _HOUR_S), message))
        _record_messages(plan, line, Fault.DUPLICATE, [message], sent="the same bytes twice", reached_at=made)


def _inject_late(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """A connection is down for hours or days; then everything comes at once, in order."""
    messages = _messages(line, cell, rng, *_by_time(line, 6 * _HOUR_S, 5 * 86_400))
    released = _delivery(line, cell, rng, line.made_at(messages[-1]))
    for position, message in enumerate(messages):
        plan.moved[message] = released + position // 20  # twenty messages a second
    _record_messages(plan, line, Fault.LATE, messages, sent="late", reached_at=released)


def _inject_out_of_order(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """A few messages come in reverse, once the last of them has been made."""
    messages = _messages(line, cell, rng, 2, 6)
    last = line.made_at(messages[-1])
    for position, message in enumerate(reversed(messages)):
        plan.moved[message] = last + 7 * position
    _record_messages(plan, line, Fault.OUT_OF_ORDER, messages, sent="reversed", reached_at=last)


def _inject_malformed(plan: Plan, line: Line, cell: Cell, rng: Random) -> None:
    """Garbled payloads; half the time the device sends their readings again."""
    messages = _messages(line, cell, rng, 1, 4)
    how = rng.choice(MANGLINGS)
    for message in messages:
        plan.mangled[message] = how
    touched = _readings_of(line, messages)
    reached = _remake(plan, line, cell, rng, touched) if touched and rng.random() < 0.5 else None
    _record_messages(plan, line, Fault.MALFORMED, messages, sent=how, reached_at=reached)


def _by_time(line: Line, shortest_s: int, longest_s: int) -> tuple[int, int]:
    """Numbers of messages that span these times, at least one."""
    every = line.per_message * SLOT_S
    return max(1, shortest_s // every), max(1, longest_s // every)


_INJECT: Final[dict[Fault, Callable[[Plan, Line, Cell, Random], None]]] = {
    Fault.GAP: _inject_gap,
    Fault.DUPLICATE: _inject_duplicate,
    Fault.LATE: _inject_late,
    Fault.OUT_OF_ORDER: _inject_out_of_order,
    Fault.CORRECTION: _inject_correction,
    Fault.SPIKE: _inject_spike,
    Fault.STUCK: _inject_stuck,
    Fault.CLOCK_SKEW: _inject_clock_skew,
    Fault.WRONG_UNIT: _inject_wrong_unit,
    Fault.MALFORMED: _inject_malformed,
}
