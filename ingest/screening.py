"""Screening: what was sent, against the registry and the limits. Frames in, frames out.

Every reading that passes comes out in its canonical unit as an integer; every other comes out with the
first reason that holds against it. Nothing is repaired: a timestamp is never rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from ingest.gaps import cadence_of, refused
from nengshao.domain.codes import is_credit_code
from nengshao.domain.readings import MICRO, VERSION_LEAD_S, VERSION_SPAN, Reason, StatType
from nengshao.domain.time import DAY_S, LOCAL_OFFSET_S
from nengshao.domain.units import MILLI, PointKind, Unit, to_canonical
from nengshao.registry import Registry

_IDENTITY: Final = ["enterprise", "data_code", "stat_type", "meter"]
_INT64_SAFE: Final = 9.2e18  # below 2^63, with room for the float's own step
_LONGEST_PERIOD_S: Final = {StatType.DAY: DAY_S, StatType.MONTH: 31 * DAY_S, StatType.YEAR: 366 * DAY_S}


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Which times are believed. `past_s` None: a person's import, which may reach back at will."""

    now: int
    future_s: int
    past_s: int | None


@dataclass(frozen=True, slots=True)
class Screened:
    """`accepted`: READINGS columns + message, index, enterprise, device, kind, cadence_s (null: the calendar
    or a person tells). `rejected`: message, index, reason (String), detail. `refused`: REFUSED_SCHEMA."""

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    refused: pl.DataFrame


class Screen:
    """A registry snapshot prepared for screening. Made once per registry version."""

    def __init__(self, registry: Registry, valid_numbers: Mapping[str, int]) -> None:
        """`valid_numbers`: per dialect, which of 0 and 1 means valid."""
        self._enterprises = registry.enterprises.select(
            "enterprise",
            pl.col("dialect")
            .replace_strict(valid_numbers, default=1, return_dtype=pl.Int8)
            .alias("valid_number"),
        )
        self._specs = _specs(registry.points)
        self._is_dated = self._specs.height != self._specs.select(_IDENTITY).n_unique()

    def screened(self, raw: pl.DataFrame, limits: TimeLimits, *, by_person: bool = False) -> Screened:
        """The readings of `raw` (wire.RAW_SCHEMA) that are accepted, and those that are not.

        `by_person`: the readings come from a person's import, so the serving device is not checked.
        """
        known = raw.lazy().with_row_index("row").join(self._enterprises.lazy(), on="enterprise", how="left")
        known = known.join(self._specs.lazy(), on=_IDENTITY, how="left")
        if self._is_dated:
            known = _one_specification_each(known)
        known = known.with_columns(_scaled_value(), _in_force().alias("in_force"))
        reason = _first_reason(limits, by_person=by_person).alias("reason")
        rows = _with_credit_code_reason(known.with_columns(reason).sort("row").collect())
        return Screened(_accepted(rows), _rejected(rows), refused(rows))


def _specs(points: pl.DataFrame) -> pl.DataFrame:
    """The registry's points with what screening needs; `scale` takes a value as sent to 10⁻⁶ canonical."""
    units = {unit.value: float(to_canonical(unit) * MICRO) for unit in Unit}
    return points.with_columns(
        pl.col("stat_type").cast(pl.Int64),
        (pl.col("unit").replace_strict(units, return_dtype=pl.Float64) * pl.col("ratio_num")).alias("scale"),
    ).select(
        *_IDENTITY, "point", "kind", "unit", "scale", "ratio_den", "cadence_s", "capacity",
        pl.col("device").alias("serving_device"), "valid_from", "valid_to",
    )  # fmt: skip


def _in_force() -> pl.Expr:
    ts = pl.col("ts")
    return (pl.col("valid_from") <= ts) & (pl.col("valid_to").is_null() | (ts < pl.col("valid_to")))


def _one_specification_each(rows: pl.LazyFrame) -> pl.LazyFrame:
    """One row per reading: the specification in force at its time, or any if none is."""
    return rows.sort("row", _in_force().fill_null(value=False)).unique("row", keep="last")


def _scaled_value() -> pl.Expr:
    """10⁻⁶ canonical units as a float that is a whole number (rounded half to even), not yet an integer."""
    exact = pl.col("value") * pl.col("scale") / pl.col("ratio_den")
    return exact.round(0, mode="half_to_even").alias("micro")


def _is_valid() -> pl.Expr:
    code = pl.col("valid_code")
    return (code == 3) | ((code < 2) & (code == pl.col("valid_number")))


def _is_period_start() -> pl.Expr:
    """Whether ts is where a period of the point's series begins (a register is read at any instant)."""
    local = pl.col("ts") + LOCAL_OFFSET_S
    date = pl.from_epoch(local, time_unit="s")
    midnight = local % DAY_S == 0
    first = date.dt.day() == 1
    by_series = (
        pl.when(pl.col("stat_type") == StatType.REAL_TIME)
        .then(local % pl.col("cadence_s") == 0)
        .when(pl.col("stat_type") == StatType.DAY)
        .then(midnight)
        .when(pl.col("stat_type") == StatType.MONTH)
        .then(midnight & first)
        .otherwise(midnight & first & (date.dt.month() == 1))
    )
    return (pl.col("kind") == PointKind.REGISTER) | by_series


def _above_capacity() -> pl.Expr:
    """Whether an amount or a power is more than the rated capacity can deliver in its period."""
    return (pl.col("kind") != PointKind.REGISTER) & (pl.col("micro") > _most())


def _most() -> pl.Expr:
    """What the rated capacity can deliver in the period, 10⁻⁶ canonical units."""
    period_s = (
        pl.col("stat_type")
        .replace_strict(
            {int(k): v for k, v in _LONGEST_PERIOD_S.items()}, default=None, return_dtype=pl.Int64
        )
        .fill_null(pl.col("cadence_s"))
    )
    hours = pl.when(pl.col("kind") == PointKind.POWER).then(1.0).otherwise(period_s / 3600)
    return pl.col("capacity") * float(MICRO // MILLI) * hours


def _first_reason(limits: TimeLimits, *, by_person: bool) -> pl.Expr:
    """The first thing that speaks against a reading, as its Reason; null: nothing does."""
    ts, version = pl.col("ts"), pl.col("version")
    latest = limits.now + limits.future_s
    lead = version - ts + VERSION_LEAD_S
    checks: list[tuple[pl.Expr, Reason]] = [
        (pl.col("valid_number").is_null(), Reason.UNKNOWN_ENTERPRISE),
        (pl.col("data_code").is_null(), Reason.BAD_DATA_CODE),
        (_is_enumeration_wrong(), Reason.BAD_ENUM),
        (pl.col("point").is_null(), Reason.UNKNOWN_POINT),
        (ts.is_null() | version.is_null(), Reason.BAD_TIME),
        (~pl.col("in_force"), Reason.POINT_NOT_IN_FORCE),
        ((ts > latest) | (version > latest), Reason.FUTURE),
        ((lead < 0) | (lead >= VERSION_SPAN), Reason.BAD_VERSION),
        (~_is_period_start(), Reason.PERIOD_START),
        (~pl.col("micro").is_finite() | (pl.col("micro").abs() > _INT64_SAFE), Reason.BAD_VALUE),
        (_is_valid() & (pl.col("micro") < 0), Reason.NEGATIVE),
        (_is_valid() & _above_capacity(), Reason.ABOVE_CAPACITY),
    ]
    if not by_person:
        checks.insert(6, (pl.col("device") != pl.col("serving_device"), Reason.WRONG_DEVICE))
    if limits.past_s is not None:
        checks.append((ts < limits.now - limits.past_s, Reason.TOO_OLD))
    return pl.coalesce([pl.when(condition).then(pl.lit(reason.value)) for condition, reason in checks])


def _is_enumeration_wrong() -> pl.Expr:
    return (
        ~pl.col("stat_type").is_between(0, 3)
        | ~pl.col("scope").is_between(1, 4)
        | ~pl.col("input_type").is_between(1, 99)  # a platform may list more sources than the national five
        | (pl.col("valid_code") < 0)
    )


def _with_credit_code_reason(rows: pl.DataFrame) -> pl.DataFrame:
    """An unknown enterprise whose code does not even add up gets the more telling reason."""
    if rows["reason"].null_count() == rows.height:
        return rows
    unknown = pl.col("reason") == Reason.UNKNOWN_ENTERPRISE.value
    codes = rows.filter(unknown)["enterprise"].unique()
    wrong = [code for code in codes if not is_credit_code(code)]
    if not wrong:
        return rows
    reason = pl.when(unknown & pl.col("enterprise").is_in(wrong)).then(pl.lit(Reason.BAD_CREDIT_CODE.value))
    return rows.with_columns(reason.otherwise(pl.col("reason")).alias("reason"))


def _accepted(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.lazy()
        .filter(pl.col("reason").is_null())
        .select(
            "point",
            "ts",
            "version",
            pl.col("micro").cast(pl.Int64).alias("value"),
            _is_valid().alias("valid"),
            pl.col("input_type").cast(pl.Int8),
            "message",
            "index",
            "enterprise",
            "device",
            "kind",
            cadence_of(pl.col("stat_type"), pl.col("cadence_s")),
        )
        .collect()
    )


def _rejected(rows: pl.DataFrame) -> pl.DataFrame:
    detail = pl.format(
        "dataCode={} statType={} meter={} value={}", "data_code", "stat_type", "meter", "value"
    ).fill_null("")
    per = pl.when(pl.col("kind") == PointKind.POWER).then(pl.lit("/h")).otherwise(pl.lit(""))
    most = (_most() / pl.col("scale") * pl.col("ratio_den")).round(3)
    limit = pl.format("；额定能力上限 / rated limit: {} {}{}", most, "unit", per)
    is_above = pl.col("reason") == Reason.ABOVE_CAPACITY.value
    said = pl.when(is_above).then(detail + limit).otherwise(detail)
    refused = rows.lazy().filter(pl.col("reason").is_not_null())
    return refused.select("message", "index", "reason", said.alias("detail")).collect()
