"""The stream of a device: its messages as bytes, in the order in which they are published."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from nengshao.domain.codes import printed_data_code
from nengshao.domain.time import local_text
from nengshao.domain.units import PointKind
from nengshao.wire import DATA, Form, Item, Topic, encode_message
from simulators.faults import Plan, mangled
from simulators.plants import SLOT_S
from simulators.traces import Line, Trace

_time_text = lru_cache(maxsize=8192)(local_text)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as a device publishes it. `seq` names it; a repeated message has the number of the first."""

    enterprise: str
    device: str
    at: int  # instant of publishing, UTC seconds
    topic: str
    payload: bytes
    seq: int


class Stream:
    """What one device publishes, any window of it at will: the same bytes however the run is cut."""

    def __init__(self, line: Line, plan: Plan, form: Form = Form.PLAIN) -> None:
        self._line, self._plan, self._form = line, plan, form
        self._topic = str(Topic(line.enterprise, line.device, DATA))
        self._columns = [_column(trace, line) for trace in line.traces]
        self._moved = sorted((at, message) for message, at in plan.moved.items())
        self._remade_at = [at for at, _ in plan.remade]

    def window(self, start: int, end: int) -> Iterator[Outgoing]:
        """Messages published in [start, end), ordered by instant and number."""
        due = [(at, self._number(message), message) for at, message in self._on_time(start, end)]
        due += [(at, self._number(message), message) for at, message in _between(self._moved, start, end)]
        repeats = _between(self._plan.repeats, start, end)
        due += [(at, self._number(message), message) for at, message in repeats]
        first, last = bisect_left(self._remade_at, start), bisect_left(self._remade_at, end)
        due += [(self._remade_at[n], self._remade_number(n), -1 - n) for n in range(first, last)]
        for at, number, message in sorted(due):
            payload = self._payload(message, number) if message >= 0 else self._remade(-1 - message, number)
            if payload is not None:
                yield Outgoing(self._line.enterprise, self._line.device, at, self._topic, payload, number)

    def _on_time(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        line, moved = self._line, self._plan.moved
        for message in range(line.made_before(start), line.made_before(end)):
            if message not in moved:
                yield line.made_at(message), message

    def _number(self, message: int) -> int:
        """Numbers count what a device makes, in the order of making."""
        return message + 1 + bisect_left(self._remade_at, self._line.made_at(message))

    def _remade_number(self, position: int) -> int:
        return position + 1 + self._line.made_before(self._remade_at[position])

    def _payload(self, message: int, number: int) -> bytes | None:
        line, plan = self._line, self._plan
        made = line.made_at(message) + plan.skew.get(line.last_boundary(message), 0)
        items: list[Item] = []
        for index, column in enumerate(self._columns):
            boundaries = line.boundaries(message, column.step)
            if message == 0 and not column.is_register:
                continue
            items += column.items(boundaries, _time_text(made), plan.values.get(index), plan.skew)
        if not items:
            return None
        payload = encode_message(line.enterprise, line.device, items, number, self._form)
        how = plan.mangled.get(message)
        return mangled(payload, how) if how else payload

    def _remade(self, position: int, number: int) -> bytes:
        at, readings = self._plan.remade[position]
        items: list[Item] = []
        for index, boundaries in readings.items():
            items += self._columns[index].items(boundaries, _time_text(at), None, {})
        return encode_message(self._line.enterprise, self._line.device, items, number, self._form)


@dataclass(frozen=True, slots=True)
class _Column:
    """How the readings of one trace are written."""

    trace: Trace
    step: int
    is_register: bool
    code: str
    valid: bool | int
    shift: int  # seconds from a reading's boundary to its statDate
    border: int  # the last boundary before the point's digits change
    later: float  # 10 to the power of the digits after it

    def items(
        self,
        boundaries: Iterable[int],
        made: str,
        substitutes: dict[int, float | None] | None,
        skew: dict[int, int],
    ) -> list[Item]:
        """The wire items of readings at these boundaries; a substitute of None leaves one out."""
        spec, values, scale = self.trace.spec, self.trace.values, float(10**self.trace.spec.digits)
        border, later = self.border, self.later
        begin = self.trace.start + self.shift
        source, series, scope = int(spec.input_type), int(spec.stat_type), int(spec.scope)
        items = []
        for boundary in boundaries:
            value: float | None = values[boundary] / (scale if boundary <= border else later)
            if substitutes is not None and boundary in substitutes:
                value = substitutes[boundary]
            if value is not None:
                when = _time_text(begin + boundary * SLOT_S + (skew.get(boundary, 0) if skew else 0))
                items.append(
                    Item(self.code, value, source, series, when, made, scope, self.valid, spec.meter)
                )
        return items


def _column(trace: Trace, line: Line) -> _Column:
    spec = trace.spec
    return _Column(
        trace=trace,
        step=spec.step,
        is_register=trace.is_register,
        code=printed_data_code(spec.data_code) if line.prints_codes else spec.data_code,
        valid=line.valid,
        shift=0 if spec.kind is PointKind.REGISTER else -spec.cadence_s,
        border=trace.slots if trace.change is None else trace.change.slot,
        later=float(10**spec.later.digits),
    )


def _between(dated: Sequence[tuple[int, int]], start: int, end: int) -> Sequence[tuple[int, int]]:
    return dated[bisect_left(dated, (start, -1)) : bisect_left(dated, (end, -1))]


def in_order(streams: Sequence[Stream], start: int, end: int, *, chunk_s: int = 86_400) -> Iterator[Outgoing]:
    """Messages of all streams published in [start, end), by instant, device and number.

    Works through the window in chunks, so that a year needs no more memory than a day.
    """
    while start < end:
        cut = min(end, start + chunk_s)
        part = [message for stream in streams for message in stream.window(start, cut)]
        part.sort(key=lambda m: (m.at, m.enterprise, m.device, m.seq))
        yield from part
        start = cut
