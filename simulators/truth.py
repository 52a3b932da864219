"""Truth as a frame: what really flowed, per point and day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import polars as pl

from nengshao.domain.time import accounting_day
from simulators.plants import SLOTS_A_DAY
from simulators.traces import Trace

TRUTH_SCHEMA: Final = {
    "enterprise": pl.String,
    "point": pl.Int64,
    "tag": pl.String,  # PointKey.tag
    "carrier": pl.String,
    "kind": pl.String,
    "role": pl.String,
    "day": pl.Int32,
    "period": pl.Int32,  # first day of what the point accounts for: the day itself, or its month's first
    "amount": pl.Int64,  # 10⁻³ canonical unit, exact
}
"""Columns of a truth frame: one row per point × day of the run, sorted by enterprise, point, day."""


def truth_of(traces: Iterable[Trace]) -> pl.DataFrame:
    """TRUTH_SCHEMA of these points."""
    rows = []
    for trace in traces:
        spec, first = trace.spec, accounting_day(trace.start)
        names = (spec.carrier.value, spec.kind.value, spec.role.value)
        head = (trace.key.enterprise, trace.key.point, trace.key.tag, *names)
        for number in range(trace.slots // SLOTS_A_DAY):
            day = first + number
            amount = trace.energy(number * SLOTS_A_DAY, (number + 1) * SLOTS_A_DAY)
            rows.append((*head, day, trace.period_of(day), amount))
    return pl.DataFrame(rows, schema=TRUTH_SCHEMA, orient="row").sort("enterprise", "point", "day")
