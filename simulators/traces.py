"""Truth as counts of registers: what every meter shows at every instant of the grid, exactly."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

from nengshao.domain.codes import PointKey
from nengshao.domain.readings import StatType
from nengshao.domain.time import accounting_day, date_of, day_number
from nengshao.domain.units import PointKind
from simulators import loads
from simulators.plants import SLOT_S, SLOTS_A_DAY, PointSpec, Story

CHANGE_DELAY_S: Final = 420
"""A meter is replaced this long after a boundary of the grid, so that no reading falls on the change."""


@dataclass(frozen=True, slots=True)
class MeterChange:
    """A replacement, or another ratio or unit: the slot it falls in, and the displays before and after."""

    slot: int
    closing: int  # counts of the spec before
    opening: int  # counts of the spec after
    consumed: int  # true count at the change
    later: PointSpec  # what the point is from then on


@dataclass(frozen=True, slots=True)
class Trace:
    """One point's truth over a run. Boundary i is `start + i × 900 s`; there are `slots + 1` of them.

    `totals[i]`: counts consumed up to boundary i; of a stock, by how many it has fallen. `values[i]`: what is
    read there (register, stock), or what flowed in the period that ends there (amount), or its mean power;
    in counts of the last digit that the point has at the time.
    """

    spec: PointSpec
    key: PointKey
    start: int
    totals: Sequence[int]
    values: Sequence[int]
    change: MeterChange | None = None

    @property
    def slots(self) -> int:
        """Length of the run in quarters of an hour."""
        return len(self.totals) - 1

    @property
    def is_register(self) -> bool:
        """Whether a lost reading costs only the place of its energy, not the energy."""
        return self.spec.kind is PointKind.REGISTER

    def instant(self, boundary: int) -> int:
        """The instant of a boundary."""
        return self.start + boundary * SLOT_S

    def energy(self, first: int, last: int) -> int:
        """True energy between two boundaries, 10⁻³ canonical unit."""
        return (self.totals[last] - self.totals[first]) * self.spec.milli_per_count

    def energy_by_day(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """(accounting day, true energy in it) of the stretch between two boundaries."""
        while first < last:
            cut = min(last, (first // SLOTS_A_DAY + 1) * SLOTS_A_DAY)
            yield accounting_day(self.instant(first)), self.energy(first, cut)
            first = cut

    def spec_at(self, boundary: int) -> PointSpec:
        """What the point is at a boundary."""
        return self.change.later if self.change is not None and boundary > self.change.slot else self.spec

    def sent(self, boundary: int) -> float:
        """dataValue of the reading at a boundary: the decimal that the display shows."""
        return self.values[boundary] / float(10 ** self.spec_at(boundary).digits)

    def period_of(self, day: int) -> int:
        """First day of the period that the point accounts for: the day itself, or its month's first."""
        if self.spec.stat_type is not StatType.MONTH:
            return day
        return day_number(date_of(day).replace(day=1))


def trace_of(
    spec: PointSpec,
    key: PointKey,
    load: Sequence[int],
    *,
    start: dt.date,
    change_slot: int | None,
    rng: Random,
) -> Trace:
    """The trace of a point whose flow per slot is `load` (10⁻³ canonical unit).

    Amounts are cut from the running total, so that no energy is lost to rounding from one to the next.
    A register whose story it is rolls over in the middle part of the run; the others start low. What passes
    a register whose ratio grows is rounded to counts of the greater ratio all along.
    """
    count = spec.milli_per_count
    totals = [energy // count for energy in accumulate(load, initial=0)]
    begin = day_number(start) * SLOTS_A_DAY * SLOT_S - 8 * 3600
    if spec.kind is PointKind.STOCK:
        level = loads.TANK_G // count
        return Trace(spec, key, begin, totals, [level - fallen for fallen in totals])
    if spec.kind is not PointKind.REGISTER:
        step = spec.step
        values = [0] * step + [b - a for a, b in zip(totals, totals[step:], strict=False)]
        return Trace(spec, key, begin, totals, values)
    coarse = spec.later.milli_per_count // count
    totals = [total - total % coarse for total in totals]
    modulus = (spec.register_size or 10**9) * 10**spec.digits
    opening = rng.randrange(modulus // 50)
    if spec.story is Story.ROLLS_OVER:
        opening = -totals[int(len(totals) * rng.uniform(0.3, 0.7))] % modulus
    if change_slot is None:
        return Trace(spec, key, begin, totals, [(opening + total) % modulus for total in totals])
    change = _meter_change(spec, totals, change_slot, opening, rng)
    values = [(opening + total) % modulus for total in totals[: change_slot + 1]]
    values += [
        (change.opening + (t - change.consumed) // coarse) % modulus for t in totals[change_slot + 1 :]
    ]
    return Trace(spec, key, begin, totals, values, change)


def _meter_change(
    spec: PointSpec, totals: Sequence[int], slot: int, opening: int, rng: Random
) -> MeterChange:
    """A new meter starts low; new transformers or another unit leave the counts where they are."""
    modulus = (spec.register_size or 10**9) * 10**spec.digits
    coarse = spec.later.milli_per_count // spec.milli_per_count
    consumed = totals[slot] + (totals[slot + 1] - totals[slot]) * CHANGE_DELAY_S // SLOT_S
    consumed -= consumed % coarse
    closing = (opening + consumed) % modulus
    shown = rng.randrange(500) if spec.story is Story.IS_REPLACED else closing
    return MeterChange(slot, closing, shown, consumed, spec.later)


@dataclass(frozen=True, slots=True)
class Line:
    """A device and the traces that it sends: one message per `per_message` slots, numbered from 0.

    Message 0 holds the registers' state at the start; message k ≥ 1 what ends in slots ((k−1)N, kN].
    `lag_s`: how long after the boundary the device has its message made.
    """

    enterprise: str
    device: str
    valid: bool | int
    prints_codes: bool
    per_message: int
    lag_s: int
    traces: tuple[Trace, ...]

    @property
    def start(self) -> int:
        """Instant of boundary 0."""
        return self.traces[0].start

    @property
    def slots(self) -> int:
        """Length of the run."""
        return self.traces[0].slots

    @property
    def messages(self) -> int:
        """How many messages the run has."""
        return 1 - (-self.slots // self.per_message)

    def last_boundary(self, message: int) -> int:
        """The boundary at which a message is made; it holds what ends after the previous one's."""
        return min(message * self.per_message, self.slots)

    def boundaries(self, message: int, step: int) -> range:
        """The boundaries whose readings a message holds, for a point that is read every `step` slots."""
        if message == 0:
            return range(1)
        after = self.last_boundary(message - 1)
        return range(after - after % step + step, self.last_boundary(message) + 1, step)

    def made_at(self, message: int) -> int:
        """Instant at which a message is made: its uploadDate, if the clock is right."""
        return self.start + self.last_boundary(message) * SLOT_S + self.lag_s

    def message_of(self, boundary: int) -> int:
        """The message that holds the readings of a boundary."""
        return -(-boundary // self.per_message)

    def made_before(self, instant: int) -> int:
        """How many of the messages are made before an instant."""
        if instant > self.made_at(self.messages - 1):
            return self.messages
        whole = -(-(instant - self.lag_s - self.start) // (self.per_message * SLOT_S))
        return max(0, min(self.messages - 1, whole))
