"""Resend requests (补传): readings that should have come and did not, until they have or are given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class ResendState(StrEnum):
    """Where a resend request stands. The last two are its ends."""

    OPEN = "open"  # found, and not asked for yet: messages may just be late
    ASKED = "asked"
    FILLED = "filled"
    GIVEN_UP = "given_up"

    @property
    def zh(self) -> str:
        """What people call it."""
        return _ZH[self]

    @property
    def is_end(self) -> bool:
        """Whether nothing more is done about it."""
        return self in (ResendState.FILLED, ResendState.GIVEN_UP)


_ZH: Final = {
    ResendState.OPEN: "待请求",
    ResendState.ASKED: "已请求",
    ResendState.FILLED: "已补齐",
    ResendState.GIVEN_UP: "已放弃",
}

FIRST_PAUSE_S: Final = 60
LONGEST_PAUSE_S: Final = 3600
"""Between two requests for the same readings: a minute, doubling to an hour, as devices do with messages."""

MOST_IN_VAIN: Final = 12
"""Attempts in a row, seven hours of them, after which a device that is there is believed not to have what is
asked for: else one whose declared cadence is too dense would send everything again every hour."""

MOST_WAITING: Final = 64
"""Requests of one device that wait at a time. What more is found widens one of them: more is then asked for
than is missing, which costs duplicates and no memory."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Instants at which a point should have been read and was not: every `cadence_s` within [start, end)."""

    point: int
    start: int
    end: int
    cadence_s: int

    @property
    def readings(self) -> int:
        """How many readings are due in it.

        >>> Gap(1, 900, 3600, 900).readings
        3
        """
        return (self.end - self.start) // self.cadence_s


@dataclass(frozen=True, slots=True)
class Resend:
    """Gaps of a device that are asked for together, and what came of it.

    `missing`: readings that were still missing at the last look; None: nobody has looked yet. `in_vain`: the
    last so many attempts brought none.
    """

    enterprise: str
    device: str
    gaps: tuple[Gap, ...]
    found_at: int
    next_at: int
    state: ResendState = ResendState.OPEN
    attempts: int = 0
    in_vain: int = 0
    asked_at: int | None = None
    settled_at: int | None = None
    missing: int | None = None
    resend_id: int = 0  # 0: not in the journal yet

    @property
    def start(self) -> int:
        """The first instant asked for."""
        return min(gap.start for gap in self.gaps)

    @property
    def end(self) -> int:
        """The end of what is asked for, exclusive."""
        return max(gap.end for gap in self.gaps)

    def adjoins(self, gap: Gap) -> bool:
        """Whether at most one reading that did come lies between this request and a gap."""
        return self.start - gap.cadence_s <= gap.end and gap.start <= self.end + gap.cadence_s

    def with_gap(self, gap: Gap) -> Resend:
        """This request, asking for a gap as well. Of one point it asks for a single stretch."""
        same = next((known for known in self.gaps if known.point == gap.point), None)
        if same is not None:
            gap = Gap(
                gap.point,
                min(same.start, gap.start),
                max(same.end, gap.end),
                max(same.cadence_s, gap.cadence_s),
            )
        others = [known for known in self.gaps if known.point != gap.point]
        return replace(self, gaps=tuple(sorted([*others, gap], key=lambda one: one.point)))

    @property
    def is_in_vain(self) -> bool:
        """Whether asking once more is of no use."""
        return self.in_vain >= MOST_IN_VAIN

    def seen(self, missing: int) -> Resend:
        """This request after a look at what is still missing."""
        has_brought = self.missing is not None and missing < self.missing
        return replace(self, missing=missing, in_vain=0 if has_brought else self.in_vain)

    def asked(self, at: int) -> Resend:
        """This request once it has been sent to the device."""
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S << min(self.attempts, 16))
        return replace(
            self,
            state=ResendState.ASKED,
            attempts=self.attempts + 1,
            in_vain=self.in_vain + 1,
            asked_at=at,
            next_at=at + pause_s,
        )

    def postponed(self, at: int) -> Resend:
        """This request, to be looked at again in a while; the device was not asked."""
        return replace(self, next_at=at + FIRST_PAUSE_S)

    def ended(self, state: ResendState, at: int) -> Resend:
        """This request at its end."""
        return replace(self, state=state, settled_at=at)


def with_found(waiting: Sequence[Resend], found: Iterable[Resend], most: int = MOST_WAITING) -> list[Resend]:
    """The requests of one device that are new or another than before, once gaps were found (a `Resend` each).

    A gap joins a request that was not sent yet and adjoins it; beyond `most` requests it joins the last one.
    """
    rows = list(waiting)
    for one in sorted(found, key=lambda resend: (resend.start, resend.end, resend.gaps[0].point)):
        [gap] = one.gaps
        place = next((n for n, row in enumerate(rows) if not row.attempts and row.adjoins(gap)), None)
        if place is None and len(rows) >= most:
            place = max(range(len(rows)), key=lambda n: rows[n].end)
        if place is None:
            rows.append(one)
        else:
            rows[place] = rows[place].with_gap(gap)
    return [row for n, row in enumerate(rows) if n >= len(waiting) or row != waiting[n]]
