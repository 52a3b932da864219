"""What is found in readings: stretches of time with the energy in them, and events for a person to see."""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.frames import SEGMENTS, Contract, conform

FINDINGS: Final = Contract(
    "FINDINGS",
    {
        "point": pl.Int64,
        "start": pl.Int64,
        "end": pl.Int64,
        "amount": pl.Int64,  # of [start, end), 10⁻³ canonical unit; null: missing
        "quality": pl.String,  # as in SEGMENTS; null: no segment, only an event
        "ts": pl.Int64,  # of the reading that shows the event, or of the replacement
        "event": pl.String,  # as in EVENTS; null: nothing to tell
    },
    key=("point", "ts"),
)
"""A segment, an event, or both in one."""

EVENTS: Final = Contract(
    "EVENTS",
    {"point": pl.Int64, "ts": pl.Int64, "event": pl.String},
    key=("point", "ts", "event"),
)
"""What happened to meters. Of registers:

- "rollover", "replacement": counted exactly, by the register's size, or by the registry's two reads;
- "spike" (up or down): a read, or a run of them, was left out; "stuck": a stretch was bridged;
- "fall", "implausible_rise": two reads cannot both be right, the time between them has no amount;
- "uncertain_rise": in the time between them the register may have gone all the way round besides: likewise;
- "ratio_change": another ratio or unit from there on, without the registry's two reads of that instant:
  likewise.

Of amounts and powers:

- "implausible_amount": negative, or more than the rated capacity could pass: the period has no amount;
- "stuck": the same figure, not zero, all day long; it is kept.
"""


def segments_of(findings: pl.LazyFrame) -> pl.LazyFrame:
    """The SEGMENTS of FINDINGS, in the order given."""
    return conform(findings.filter(pl.col("quality").is_not_null()), SEGMENTS)


def events_of(findings: pl.LazyFrame) -> pl.LazyFrame:
    """The EVENTS of FINDINGS, in no order."""
    return conform(findings.filter(pl.col("event").is_not_null()), EVENTS)
