"""Clocks of devices: how far each is ahead of ours, as its messages show. A timestamp is never rewritten.

A message is stamped when it is made and arrives later, by little if it is fresh and by much if it waited. So
of a window's messages the one that arrived soonest tells most: the greatest uploadDate − arrival. Above zero
the clock is ahead by that at least; below zero it is behind, by no more than that.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.domain.readings import Reason
from nengshao.ports import CLOCKS_SCHEMA
from nengshao.telemetry import Telemetry

WINDOW_S: Final = 6 * 3600
"""Long enough to hold a message of a device that reports a few times a day and, after an outage, a fresh one
behind its backlog."""

_DEVICE: Final = ["enterprise", "device"]


STAMPS_SCHEMA: Final = {"enterprise": pl.String, "device": pl.String, "version": pl.Int64}


def latest_of_devices(accepted: pl.DataFrame) -> pl.DataFrame:
    """STAMPS_SCHEMA: the latest uploadDate of each device in these readings; one message is of one device."""
    of_message = accepted.lazy().group_by("message").agg(pl.col(*_DEVICE).first(), pl.col("version").max())
    return of_message.group_by(_DEVICE).agg(pl.col("version").max()).sort(_DEVICE).collect()


def with_future(stamps: pl.DataFrame, raw: pl.DataFrame, rejected: pl.DataFrame) -> pl.DataFrame:
    """STAMPS_SCHEMA of what may tell of a clock: also of readings refused because their times lie in the
    future. Those are of their points' own devices, as the accepted ones are.
    """
    future = rejected.filter(pl.col("reason") == Reason.FUTURE.value)
    if future.is_empty():
        return stamps
    refused = raw.join(future, on=["message", "index"], how="semi").select(list(STAMPS_SCHEMA))
    return pl.concat([stamps, refused.drop_nulls()])


class Clocks:
    """The devices' clocks as this process has seen them. What is news of them goes into the books."""

    def __init__(self, telemetry: Telemetry, limit_s: int) -> None:
        """`limit_s`: from when on a clock counts as wrong in the metrics."""
        self._known = pl.DataFrame(schema=dict(CLOCKS_SCHEMA))
        self._gauge = telemetry.device_clocks
        skew = pl.col("skew_s")
        self._states = (
            (skew > limit_s).sum().alias("ahead"),
            (skew < -limit_s).sum().alias("behind"),
            (skew.abs() <= limit_s).sum().alias("right"),
        )

    def forget(self) -> None:
        """Begin anew: the partition has passed on, or the books may not hold what was told last."""
        self._know(self._known.clear())

    def _know(self, clocks: pl.DataFrame) -> None:
        """Partitions of one process count into the same metric: each adds what has changed of its own."""
        before, after = (frame.select(self._states).row(0, named=True) for frame in (self._known, clocks))
        for state, count in after.items():
            self._gauge.labels(state).inc(count - before[state])
        self._known = clocks

    def news(self, stamped: pl.DataFrame, now: int) -> pl.DataFrame:
        """CLOCKS_SCHEMA rows of devices whose figure has grown, or that speak first in a window.

        `stamped`: STAMPS_SCHEMA of messages that arrived `now`. A fresh message seldom beats the freshest of
        its window, so that most batches bring no news.
        """
        if stamped.is_empty():
            return pl.DataFrame(schema=dict(CLOCKS_SCHEMA))
        heard = (
            stamped.lazy()
            .group_by(_DEVICE)
            .agg(
                pl.lit(now // WINDOW_S, dtype=pl.Int64).alias("slot"),
                (pl.col("version").max() - now).cast(pl.Int64).alias("skew_s"),
            )
        )
        known = heard.join(self._known.lazy(), on=_DEVICE, how="left", suffix="_known")
        is_known = (pl.col("slot") == pl.col("slot_known")) & (pl.col("skew_s") <= pl.col("skew_s_known"))
        is_news = ~is_known.fill_null(value=False)
        news = known.filter(is_news).select(list(CLOCKS_SCHEMA)).sort(_DEVICE).collect()
        if not news.is_empty():
            self._know(pl.concat([self._known, news]).unique(_DEVICE, keep="last"))
        return news
