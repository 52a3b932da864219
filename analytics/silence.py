"""Silence: how long devices on duty have owed a delivery."""

from __future__ import annotations

import polars as pl

from analytics.specs import FOREVER
from nengshao.domain.rules import Measure
from nengshao.frames import DEVICE_SILENCE, MEASURES, conform


def device_silence(
    last_seen: pl.DataFrame, devices: pl.DataFrame, enterprises: pl.DataFrame, *, now: int
) -> pl.DataFrame:
    """DEVICE_SILENCE of every device on duty at `now`: in force, its enterprise active, with a cadence.

    `silent_seconds` counts from when the delivery after the last one was due, one cadence later, so that a
    device that reports once a day is not silent at noon; 0 before that. `last_seen`: LAST_SEEN_SCHEMA.
    """
    activity = enterprises.select("enterprise", "active_from", pl.col("active_to").fill_null(FOREVER))
    since = pl.max_horizontal("valid_from", "active_from")
    heard = pl.max_horizontal("at", since)  # passes over the null of a device that was never heard
    silent = pl.lit(now) - pl.col("last_seen") - pl.col("cadence_s")
    on_duty = (
        devices.drop_nulls("cadence_s")
        .join(activity, on="enterprise")
        .filter(since <= now, pl.min_horizontal(pl.col("valid_to").fill_null(FOREVER), "active_to") > now)
        .join(last_seen, on=["enterprise", "device"], how="left")
        .with_columns(last_seen=heard)
        .with_columns(silent_seconds=pl.max_horizontal(silent, 0))
    )
    return conform(on_duty.lazy(), DEVICE_SILENCE).sort(*DEVICE_SILENCE.key).collect()


def measures_of_silence(silence: pl.DataFrame, *, at: int) -> pl.DataFrame:
    """MEASURES SILENT_SECONDS of every DEVICE_SILENCE row, taken at `at`; subject: the device.

    A silence is known exactly: the bounds are the value, and coverage does not apply.
    """
    seconds = pl.col("silent_seconds").cast(pl.Float64)
    rows = silence.select(
        "enterprise",
        measure=pl.lit(Measure.SILENT_SECONDS.value),
        subject="device",
        at=pl.lit(at, pl.Int64),
        value=seconds,
        low=seconds,
        high=seconds,
        coverage=pl.lit(None, pl.Float64),
        is_confirmed=pl.lit(value=True),
    )
    return conform(rows.lazy(), MEASURES).sort(*MEASURES.key).collect()
