"""The scorer: how much energy an assessment lacks although its data exist, and how much it counts wrongly.

It shares no code with analytics/: it knows the truth, the faults, and what an assessment published.

Truth and result are compared over *stretches*: a point's accounting period (a day; a month where figures are
monthly), or several of them that a block joins, since a block's energy is exact only as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from nengshao.domain.time import DAY_S, accounting_day, day_start
from simulators.faults import Fault, FaultRecord

KJ_PER_UNIT: Final[Mapping[str, int]] = {
    "electricity": 3600,  # per kWh, by definition
    "own_non_fossil_electricity": 3600,
    "heat": 1000,  # per MJ, by definition
    "natural_gas": 38_979,  # per m³; this and the next two as GB/T 2589-2020 has them, copied, not seen
    "raw_coal": 20_934,  # per kg
    "bituminous_coal": 20_934,  # as raw coal
    "diesel": 42_705,  # per kg
}
"""What makes energies of several carriers comparable in a share. Only ratios of these matter."""

UNEXPLAINED: Final = "none"
"""The class of an error where no fault was: a fault of the assessment."""

_NEAR_S: Final = 3600  # a wrong reading reaches into the periods on both sides of its own


@dataclass(slots=True)
class ClassScore:
    """One fault class. Energies in J (10⁻³ kJ); records are counted per point that a fault concerned.

    `flagged`: the result or the quarantine shows that something was wrong there. `harmless`: nothing wrong is
    in any figure of the stretch. `unnoticed`: neither.
    """

    records: int = 0
    flagged: int = 0
    harmless: int = 0
    unnoticed: int = 0
    touched: int = 0  # true energy in the faults' spans
    lost: int = 0  # of it: known from nothing that was sent
    wrongly_missing: int = 0
    wrongly_measured: int = 0
    estimated_off: int = 0  # off the truth, but said to be an estimate


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an assessment. `missing`: everything it declares missing, rightly or wrongly.

    `kinds`: the classes again, each by the kind of point that it concerned: "stuck/amount".
    """

    total: int
    missing: int
    classes: Mapping[str, ClassScore] = field(default_factory=dict)
    kinds: Mapping[str, ClassScore] = field(default_factory=dict)

    @property
    def wrongly_missing_share(self) -> float:
        """Share of the true energy that is missing although a correct value arrived."""
        return self._share(sum(c.wrongly_missing for c in self.classes.values()))

    @property
    def wrongly_measured_share(self) -> float:
        """Share of the true energy by which figures that claim to be measured are wrong."""
        return self._share(sum(c.wrongly_measured for c in self.classes.values()))

    def _share(self, energy: int) -> float:
        return energy / self.total if self.total else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The score as plain data: shares of the total true energy, in all and by class."""
        return {
            "total_gj": self.total / 1e9,
            "missing": self._share(self.missing),
            "wrongly_missing": self.wrongly_missing_share,
            "wrongly_measured": self.wrongly_measured_share,
            "classes": {name: self._class_dict(c) for name, c in sorted(self.classes.items())},
            "kinds": {name: self._class_dict(c) for name, c in sorted(self.kinds.items())},
        }

    def _class_dict(self, c: ClassScore) -> dict[str, Any]:
        counts = {n: getattr(c, n) for n in ("records", "flagged", "harmless", "unnoticed")}
        energies = ("touched", "lost", "wrongly_missing", "wrongly_measured", "estimated_off")
        return counts | {n: self._share(getattr(c, n)) for n in energies}


@dataclass(slots=True)
class _Stretch:
    """Days of one point that are compared as a whole; amounts in 10⁻³ canonical unit."""

    point: int
    carrier: str
    kind: str
    days: list[int] = field(default_factory=list)
    true: int = 0
    result: int = 0
    missing_s: int = 0  # without a figure, blocks not counted
    estimated_s: int = 0
    block_s: int = 0
    lost: int = 0
    missing: int = 0
    wrongly_missing: int = 0
    wrongly_measured: int = 0
    estimated_off: int = 0

    @property
    def is_flagged(self) -> bool:
        """Whether the result itself says that something is not as it should be."""
        return bool(self.missing_s or self.estimated_s or self.block_s)

    @property
    def is_wrong(self) -> bool:
        """Whether something wrong is in its figure."""
        return bool(self.wrongly_missing or self.wrongly_measured)

    def judge(self) -> None:
        """Set what is missing and what is wrong. A few 10⁻³ units are rounding, not error."""
        excess, tolerance = self.result - self.true, 2 + len(self.days)
        if abs(excess) <= tolerance:
            return
        is_short = excess * self.true < 0  # a stock's fall may be negative
        if is_short and self.missing_s:
            self.missing = abs(excess)
            self.wrongly_missing = max(0, self.missing - self.lost)
        elif self.estimated_s:
            self.estimated_off = abs(excess)
        else:
            self.wrongly_measured = abs(excess)


def score(
    truth: pl.DataFrame,
    records: Sequence[FaultRecord],
    point_days: pl.DataFrame,
    blocks: pl.DataFrame,
    *,
    quarantine: pl.DataFrame | None = None,
    roles: Sequence[str] = ("input", "output", "sub"),
) -> Score:
    """The score of assessed days against the truth.

    `truth`: truth.TRUTH_SCHEMA, of the days to score; `point_days`: POINT_DAYS, a day without a row is
    missing; `blocks`: BLOCKS; `quarantine`: enterprise, device, arrived_at of what was refused.
    `roles`: which points count.
    """
    scored = truth.filter(pl.col("role").is_in(list(roles)))
    stretches = _stretches(scored, point_days, blocks)
    of_day = {(s.point, day): s for s in stretches for day in s.days}
    _subtract_lost(of_day, records)
    for stretch in stretches:
        stretch.judge()
    books = _Books()
    _book_errors(books, stretches, records)
    _book_records(books, of_day, records, quarantine)
    return Score(
        total=sum(abs(s.true) * KJ_PER_UNIT[s.carrier] for s in stretches),
        missing=sum(s.missing * KJ_PER_UNIT[s.carrier] for s in stretches),
        classes=dict(books.classes),
        kinds=dict(books.kinds),
    )


class _Books:
    """Class scores as they grow, over all points and by kind of point."""

    def __init__(self) -> None:
        self.classes: dict[str, ClassScore] = defaultdict(ClassScore)
        self.kinds: dict[str, ClassScore] = defaultdict(ClassScore)

    def of(self, name: str, stretch: _Stretch) -> tuple[ClassScore, ClassScore]:
        return self.classes[name], self.kinds[f"{name}/{stretch.kind}"]


Spans = Mapping[int, Sequence[tuple[int, int, int]]]
"""Blocks per point: start, end, amount."""


def _stretches(truth: pl.DataFrame, point_days: pl.DataFrame, blocks: pl.DataFrame) -> list[_Stretch]:
    """Periods of points with truth and result in them; what a block touches is one stretch."""
    spans: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    own = blocks.select("point", "start", "end", "amount").unique()  # however many virtual points count it
    for point, start, end, amount in own.sort(pl.all()).iter_rows():
        spans[point].append((start, end, amount))
    stretches: list[_Stretch] = []
    period = None
    columns = ("point", "carrier", "kind", "day", "period", "amount")
    for point, carrier, kind, day, own_period, amount in (
        truth.sort("point", "day").select(columns).iter_rows()
    ):
        last = stretches[-1] if stretches and stretches[-1].point == point else None
        if last is None or (period != own_period and not _is_bridged(spans[point], day)):
            stretches.append(_Stretch(point, carrier, kind))
        stretches[-1].days.append(day)
        stretches[-1].true += amount
        period = own_period
    of_day = {(s.point, day): s for s in stretches for day in s.days}
    _add_results(of_day, point_days)
    _add_blocks(stretches, spans)
    return stretches


def _is_bridged(spans: Sequence[tuple[int, int, int]], day: int) -> bool:
    """Whether a block lies across the beginning of a day."""
    return any(start < day_start(day) < end for start, end, _ in spans)


def _add_results(of_day: Mapping[tuple[int, int], _Stretch], point_days: pl.DataFrame) -> None:
    """What the assessment says of each day; a day that it does not know is missing."""
    columns = ("point", "day", "amount", "missing_s", "pending_s", "estimated_s")
    results = {(row[0], row[1]): row[2:] for row in point_days.select(columns).iter_rows()}
    for key, stretch in of_day.items():
        amount, missing_s, pending_s, estimated_s = results.get(key, (None, DAY_S, 0, 0))
        stretch.missing_s += missing_s + pending_s
        stretch.estimated_s += estimated_s
        if amount is not None:
            stretch.result += amount


def _add_blocks(stretches: Iterable[_Stretch], spans: Spans) -> None:
    """A block's energy is known, though not its place: its time is not missing from the stretch."""
    for stretch in stretches:
        first, last = day_start(stretch.days[0]), day_start(stretch.days[-1] + 1)
        for start, end, amount in spans.get(stretch.point, ()):
            if first <= start < last:
                stretch.result += amount
                stretch.block_s += end - start
        stretch.missing_s = max(0, stretch.missing_s - stretch.block_s)


def _subtract_lost(of_day: Mapping[tuple[int, int], _Stretch], records: Iterable[FaultRecord]) -> None:
    """Energy that no correct value ever told: missing it is right."""
    for record in records:
        for day, amount in record.by_day if record.is_amount_lost else ():
            stretch = of_day.get((record.point, day))
            if stretch is not None:
                stretch.lost += amount


def _book_errors(books: _Books, stretches: Iterable[_Stretch], records: Sequence[FaultRecord]) -> None:
    """Every stretch's error goes to the fault that is most likely its cause."""
    by_point: dict[int, list[FaultRecord]] = defaultdict(list)
    for record in records:
        by_point[record.point].append(record)
    for stretch in stretches:
        if stretch.is_wrong or stretch.estimated_off:
            energy = KJ_PER_UNIT[stretch.carrier]
            for booked in books.of(_cause(stretch, by_point[stretch.point]), stretch):
                booked.wrongly_missing += stretch.wrongly_missing * energy
                booked.wrongly_measured += stretch.wrongly_measured * energy
                booked.estimated_off += stretch.estimated_off * energy


_SELDOM_A_CAUSE: Final = frozenset({Fault.DUPLICATE, Fault.OUT_OF_ORDER, Fault.LATE})


def _cause(stretch: _Stretch, records: Iterable[FaultRecord]) -> str:
    """The class of the fault that overlaps a stretch most; those whose values are right come last."""
    start, end = day_start(stretch.days[0]) - _NEAR_S, day_start(stretch.days[-1] + 1) + _NEAR_S
    candidates = [
        (r.fault not in _SELDOM_A_CAUSE, min(r.end, end) - max(r.start, start), r.fault.value)
        for r in records
        if r.start < end and start < r.end
    ]
    return max(candidates)[2] if candidates else UNEXPLAINED


def _book_records(
    books: _Books,
    of_day: Mapping[tuple[int, int], _Stretch],
    records: Iterable[FaultRecord],
    quarantine: pl.DataFrame | None,
) -> None:
    """Every fault is counted, with what became of it."""
    refused = _refusals(quarantine)
    for record in records:
        stretches = [s for day in _days(record) if (s := of_day.get((record.point, day)))]
        if not stretches:
            continue
        touched = abs(record.true_amount) * KJ_PER_UNIT[stretches[0].carrier]
        is_flagged = any(s.is_flagged for s in stretches) or _is_refused(record, refused)
        is_harmless = not any(s.is_wrong for s in stretches)
        for counted in books.of(record.fault.value, stretches[0]):
            counted.records += 1
            counted.touched += touched
            counted.lost += touched if record.is_amount_lost else 0
            counted.flagged += is_flagged
            counted.harmless += is_harmless
            counted.unnoticed += not (is_flagged or is_harmless)


def _days(record: FaultRecord) -> range:
    return range(accounting_day(record.start), accounting_day(record.end - 1) + 1)


def _refusals(quarantine: pl.DataFrame | None) -> dict[tuple[str, str], list[int]]:
    refused: dict[tuple[str, str], list[int]] = defaultdict(list)
    if quarantine is not None:
        for enterprise, device, at in quarantine.select("enterprise", "device", "arrived_at").iter_rows():
            refused[enterprise, device].append(at)
    return refused


def _is_refused(record: FaultRecord, refused: Mapping[tuple[str, str], Sequence[int]]) -> bool:
    """Whether something of the device was refused while the fault's readings were published."""
    instants = refused.get((record.enterprise, record.device), ())
    return any(record.published_from <= at <= record.published_until + _NEAR_S for at in instants)
