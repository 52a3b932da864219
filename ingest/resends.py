"""Asking devices for what is missing (补传): the journal's requests, until they are filled or given up.

A booking puts a gap into the journal; the holder of the partition's lease works the journal off, once a
second at most and a few requests at a time, so that readings never wait for it. Before every request the
store is asked: what came meanwhile, from whichever door, is not asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from nengshao.domain.errors import StoreUnavailable
from nengshao.domain.resends import Gap, Resend, ResendState
from nengshao.domain.time import DAY_S, iso_text
from nengshao.ports import Clock, Lease, ReadingStore, StateStore
from nengshao.registry import Registry
from nengshao.settings import IngestSettings
from nengshao.telemetry import Telemetry
from nengshao.wire import COMMAND, Topic
from nengshao.wire.commands import ResendPoint, encode_resend

_LOG: Final = logging.getLogger(__name__)
_EVERY_S: Final = 1.0
_AT_ONCE: Final = 20
_MOST_S: Final = 0.1  # of a turn: what is left waits for the next

Publish = Callable[[str, bytes], bool]
"""Sends a payload to a topic at QoS 1; False if there is no connection."""


class Resends:
    """Works off the journal of one partition."""

    def __init__(
        self,
        state: StateStore,
        readings: ReadingStore,
        clock: Clock,
        telemetry: Telemetry,
        settings: IngestSettings,
    ) -> None:
        self._state, self._readings, self._clock, self._telemetry = state, readings, clock, telemetry
        self._give_up_s = settings.resend_give_up_days * DAY_S
        self._reach_s = settings.resend_reach_days * DAY_S
        self._next_turn = 0.0
        self._points = Registry().points

    def follow(self, registry: Registry) -> None:
        """Learn how messages name the registry's points."""
        self._points = registry.points.select("point", "data_code", "stat_type", "meter").unique("point")

    def step(self, lease: Lease, publish: Publish) -> None:
        """One turn, if it is time for one; a store that is away ends it. Raises: LeaseLost."""
        started = time.monotonic()
        if started < self._next_turn:
            return
        self._next_turn = started + _EVERY_S
        due: list[Resend] = []
        noted: list[Resend] = []
        try:
            due = self._state.due_resends(lease.partition, self._clock.now(), _AT_ONCE)
            for resend in due:
                noted.append(self._worked_off(resend, publish))
                if time.monotonic() > started + _MOST_S:
                    break
            if noted:
                self._state.note_resends(lease, noted)
        except StoreUnavailable as exc:
            self._telemetry.retries.labels("resend").inc()
            _LOG.warning("resend requests wait for a store: %s", exc)
            return
        for before, after in zip(due, noted, strict=False):
            if after.state.is_end or after.attempts > before.attempts:
                self._telemetry.resends.labels(after.state.value).inc()

    def _worked_off(self, resend: Resend, publish: Publish) -> Resend:
        """What becomes of a request that is due."""
        now = self._clock.now()
        # Who was never asked, because it was away, may still have it when it is back.
        is_over = now - resend.found_at >= (self._give_up_s if resend.attempts else self._reach_s)
        if self._is_offline(resend) and not is_over:
            return resend.postponed(now)
        missing = self._missing(resend)
        seen = resend.seen(sum(missing.values()))
        if not missing:
            return seen.ended(ResendState.FILLED, now)
        points = self._named(list(missing))
        if is_over or seen.is_in_vain or not points:  # none: they have left the registry
            return seen.ended(ResendState.GIVEN_UP, now)
        if not publish(*_command(resend, list(missing), points)):
            return seen.postponed(now)
        return seen.asked(now)

    def _missing(self, resend: Resend) -> dict[Gap, int]:
        """The gaps that are not filled yet, and how many readings each still lacks."""
        points = [gap.point for gap in resend.gaps]
        held = self._readings.scan(points, resend.start, resend.end)
        spans = pl.LazyFrame(
            [(gap.point, gap.start, gap.end) for gap in resend.gaps],
            schema={"point": pl.Int64, "start": pl.Int64, "end": pl.Int64},
            orient="row",
        )
        within = pl.col("ts").is_between("start", "end", closed="left")
        counts = held.join(spans, on="point").filter(within).group_by("point").len().collect()
        there = dict(counts.iter_rows())
        lacking = {gap: gap.readings - there.get(gap.point, 0) for gap in resend.gaps}
        return {gap: lack for gap, lack in lacking.items() if lack > 0}

    def _is_offline(self, resend: Resend) -> bool:
        """Whether the device has said goodbye, or its will has: it hears nothing until it is back."""
        statuses = self._state.device_statuses(resend.enterprise)
        return any(one.device == resend.device and one.state == "offline" for one in statuses)

    def _named(self, gaps: Sequence[Gap]) -> list[ResendPoint]:
        """The points of these gaps, as messages name them."""
        named = self._points.filter(pl.col("point").is_in([gap.point for gap in gaps]))
        return [ResendPoint(*name) for name in named.drop("point").sort(pl.all()).iter_rows()]


def _command(resend: Resend, gaps: Sequence[Gap], points: Sequence[ResendPoint]) -> tuple[str, bytes]:
    """Topic and payload of a request for these gaps."""
    start, end = min(gap.start for gap in gaps), max(gap.end for gap in gaps)
    payload = encode_resend(resend.resend_id, iso_text(start), iso_text(end), points)
    return str(Topic(resend.enterprise, resend.device, COMMAND)), payload
