"""Manual entry: what people at a plant type in after the end of a month, as the tables that they upload."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from nengshao.domain.time import instant_of, local_text
from nengshao.domain.units import PointKind
from simulators.faults import Fault, FaultRecord, record_of
from simulators.plants import SLOTS_A_DAY
from simulators.traces import Line, Trace

COLUMNS: Final = (
    "enterpriseCode", "dataCode", "statType", "meter", "statDate", "dataValue", "inputType", "scope", "valid",
    "uploadDate",
)  # fmt: skip
"""Header of the uploaded table: the wire's fields."""

_OFFICE_S: Final = 10 * 3600
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Upload:
    """A table that a person hands in at an instant."""

    enterprise: str
    at: int
    name: str
    content: bytes
    format: str = "csv"


@dataclass(frozen=True, slots=True)
class Entry:
    """One month's entry: when, which boundaries the month has, and what differs from the truth."""

    at: int
    first: int
    last: int
    factor: float | None = None  # the figure is wrong by this; a later entry corrects it


def entries_of(line: Line, start: dt.date, days: int, rng: Random, *, faulty: bool) -> list[Entry]:
    """A plant's monthly entries in the order of entering.

    A few days after the month's end; in a faulty year one month is two to three weeks late, and one is
    typed wrong and corrected after the stock-take.
    """
    months = list(months_of(start, days))
    half, enough = len(months) // 2, faulty and len(months) > 1
    late = rng.randrange(half) if enough else -1
    wrong = rng.randrange(half, len(months)) if enough else -1
    entries = []
    for number, (first, last, end) in enumerate(months):
        due = instant_of(end) + rng.randint(2, 4) * _DAY_S + _OFFICE_S + rng.randrange(7200)
        if number == late:
            due += rng.randint(11, 17) * _DAY_S
        if number == wrong:
            entries.append(Entry(due, first, last, factor=rng.choice((0.9, 1.1, 0.97, 1.25))))
            due += rng.randint(6, 12) * _DAY_S
        entries.append(Entry(due, first, last))
    return sorted(entries, key=lambda entry: (entry.at, entry.first))


def months_of(start: dt.date, days: int) -> Iterator[tuple[int, int, dt.date]]:
    """(first boundary, last boundary, first day after it) of every calendar month wholly within the run."""
    month = start if start.day == 1 else _next_month(start)
    while (after := _next_month(month)) <= start + dt.timedelta(days=days):
        yield (month - start).days * SLOTS_A_DAY, (after - start).days * SLOTS_A_DAY, after
        month = after


def _next_month(day: dt.date) -> dt.date:
    return (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)


def upload_of(line: Line, entry: Entry) -> Upload:
    """The table of one entry: a row per point of the desk, two of a stock (期初, 期末)."""
    made = local_text(entry.at)
    rows = [row for trace in line.traces for row in _rows(line, trace, entry, made)]
    text = "".join(",".join(row) + "\n" for row in [COLUMNS, *rows])
    month = local_text(line.traces[0].instant(entry.first))[:7]
    return Upload(line.enterprise, entry.at, f"{month}-{line.device}-{entry.at}.csv", text.encode())


def _rows(line: Line, trace: Trace, entry: Entry, made: str) -> list[tuple[str, ...]]:
    wrong_by = entry.factor or 1
    if trace.spec.kind is PointKind.STOCK:
        taken = [(entry.first, trace.values[entry.first]), (entry.last, trace.values[entry.last] * wrong_by)]
        return [_row(line, trace, boundary, counts, made) for boundary, counts in taken]
    used = trace.totals[entry.last] - trace.totals[entry.first]
    return [_row(line, trace, entry.first, used * wrong_by, made)]


def _row(line: Line, trace: Trace, boundary: int, counts: float, made: str) -> tuple[str, ...]:
    spec = trace.spec
    when, value = local_text(trace.instant(boundary)), f"{counts / 10**spec.digits:.{spec.digits}f}"
    return (
        line.enterprise, spec.data_code, str(int(spec.stat_type)), spec.meter, when, value,
        str(int(spec.input_type)), str(int(spec.scope)), "true" if line.valid is True else str(line.valid),
        made,
    )  # fmt: skip


def entry_records(line: Line, entries: Sequence[Entry]) -> list[FaultRecord]:
    """What went wrong with the entries: figures typed wrong, and months entered late."""
    records = []
    for entry in entries:
        later = [e.at for e in entries if e.first == entry.first and e.at > entry.at]
        overdue = entry.at - line.traces[0].instant(entry.last) > 10 * _DAY_S
        if entry.factor is None and (not overdue or _corrects(entry, entries)):
            continue
        fault = Fault.LATE if entry.factor is None else Fault.CORRECTION
        for trace in line.traces:
            boundaries = range(entry.first + SLOTS_A_DAY, entry.last + 1, SLOTS_A_DAY)
            reached = later[0] if later else entry.at
            sent = "late" if entry.factor is None else f"× {entry.factor}"
            records.append(record_of(fault, line, trace, boundaries, sent=sent, reached_at=reached))
    return records


def _corrects(entry: Entry, entries: Sequence[Entry]) -> bool:
    return any(e.first == entry.first and e.factor is not None for e in entries)
