"""Progress against annual quotas: what was used by the end of the last complete day, and what was due.

Bounds come from atoms, never from adding bounds (BOOKKEEPING §6): each day's gap, and each block. A block
wholly inside the period has an exact amount and belongs to the value and to both bounds; of one across its
border anything between nothing and all counts, so it is in the bounds only.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from analytics.specs import FOREVER
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.time import DAY_S, accounting_day, day_number, day_start
from nengshao.frames import PROGRESS, conform

_CONFIRMED = [level.value for level in Confidence if level.is_confirmed]


def quota_progress(
    enterprise_days: pl.LazyFrame,
    blocks: pl.LazyFrame,
    quotas: pl.DataFrame,
    enterprises: pl.DataFrame,
    *,
    today: int,
) -> pl.LazyFrame:
    """PROGRESS of every quota whose year has begun by accounting day `today`.

    `as_of_day`: the last day <= today up to which every day of the year is published; null if there is none
    yet, then nothing is used and nothing due. Quotas may carry a column `until` (Int32): no later day
    counts. The quota of a year in which the enterprise is active only in part spreads over those days.
    "linear": quota × days elapsed / days of the year on duty. `used_g` is null if a factor is missing or
    nothing was measured; bounds are null where unbounded.
    """
    periods = _quota_periods(quotas, enterprises, today)
    days = _days_of_periods(enterprise_days, periods)
    frame = (
        periods.lazy()
        .join(_as_of_days(days), on="quota_row", how="left")
        .pipe(_with_used, days, blocks)
        .with_columns(due_g=_due())
        .with_columns(
            (pl.col(column) / pl.when(pl.col("due_g") > 0).then("due_g")).alias(name)
            for column, name in (("used_g", "pace"), ("low_g", "pace_low"), ("high_g", "pace_high"))
        )
    )
    return conform(frame.sort(*PROGRESS.key), PROGRESS)


def year_days(year: int) -> tuple[int, int]:
    """The accounting days [first, end) of a year."""
    return day_number(dt.date(year, 1, 1)), day_number(dt.date(year + 1, 1, 1))


def _quota_periods(quotas: pl.DataFrame, enterprises: pl.DataFrame, today: int) -> pl.DataFrame:
    """Quotas with the days [first_day, end_day) of their year on duty, and `until`."""
    first, end = pl.date("year", 1, 1).cast(pl.Int32), pl.date(pl.col("year") + 1, 1, 1).cast(pl.Int32)
    until = pl.min_horizontal("until", today) if "until" in quotas.columns else pl.lit(today)
    activity = enterprises.select(
        "enterprise",
        active_first=accounting_day(pl.col("active_from")),
        active_end=accounting_day(pl.col("active_to").fill_null(FOREVER) - 1) + 1,
    )
    return (
        quotas.join(activity, on="enterprise")
        .with_columns(
            first_day=pl.max_horizontal(first, "active_first").cast(pl.Int32),
            end_day=pl.min_horizontal(end, "active_end").cast(pl.Int32),
            until=until.cast(pl.Int32),
            quota_confirmed=pl.col("confidence").is_in(_CONFIRMED),
        )
        .filter(pl.col("first_day") < pl.col("end_day"), pl.col("first_day") <= today)
        .with_row_index("quota_row")
    )


def _days_of_periods(enterprise_days: pl.LazyFrame, periods: pl.DataFrame) -> pl.LazyFrame:
    """Quota × day rows of each quota's own basis: g, gap_low, gap_high, confirmed and has_factors."""
    facts = [_basis_facts(basis) for basis in Basis]
    chosen = {
        name: pl.when(pl.col("basis") == Basis.CALORIFIC).then(facts[0][name]).otherwise(facts[1][name])
        for name in facts[0]
    }
    return (
        enterprise_days.join(
            periods.lazy().select("quota_row", "enterprise", "basis", "first_day", "end_day", "until"),
            on="enterprise",
        )
        .filter(
            pl.col("day") >= pl.col("first_day"),
            pl.col("day") < pl.col("end_day"),
            pl.col("day") <= pl.col("until"),
        )
        .with_columns(**chosen)
    )


def _basis_facts(basis: Basis) -> dict[str, pl.Expr]:
    return {
        "g": pl.col(f"{basis}_g"),
        "gap_low": pl.col(f"{basis}_gap_low"),
        "gap_high": pl.col(f"{basis}_gap_high"),
        "confirmed": pl.col(f"{basis}_confirmed"),
        "has_factors": ~pl.col("no_factor").str.contains(f":{basis}", literal=True),
    }


def _as_of_days(days: pl.LazyFrame) -> pl.LazyFrame:
    """quota_row, as_of_day: the end of the unbroken run of published days from the first day on."""
    position = pl.int_range(pl.len()).over("quota_row", order_by="day")
    # The n-th published day is first_day + n exactly as long as no day before it is unpublished or absent.
    return (
        days.filter("published")
        .filter(pl.col("day") == pl.col("first_day") + position)
        .group_by("quota_row")
        .agg(as_of_day=pl.col("day").max())
    )


def _with_used(periods: pl.LazyFrame, days: pl.LazyFrame, blocks: pl.LazyFrame) -> pl.LazyFrame:
    """used_g, low_g, high_g, coverage and is_confirmed to the end of as_of_day."""
    until = periods.select("quota_row", "as_of_day")
    used_days = days.join(until, on="quota_row").filter(pl.col("day") <= pl.col("as_of_day"))
    joined = periods.join(_sums_of_days(used_days), on="quota_row", how="left").join(
        _sums_of_blocks(periods, blocks), on="quota_row", how="left"
    )
    # A quota without blocks has nothing to add from blocks: no figure is replaced.
    inside, low, high = (pl.col(name).fill_null(0) for name in ("inside_g", "across_low", "across_high"))
    is_known = pl.col("has_factors") & ~pl.col("blocks_unknown").fill_null(value=False)
    base = pl.when(is_known).then(pl.col("days_g") + inside)
    return joined.with_columns(
        used_g=pl.when(pl.col("is_measured") | pl.col("inside_g").is_not_null()).then(base),
        low_g=base + pl.col("gap_low") + low,
        high_g=base + pl.col("gap_high") + high,
        is_confirmed=pl.col("confirmed").fill_null(value=False) & pl.col("quota_confirmed"),
        coverage=pl.col("covered_w") / pl.when(pl.col("all_w") > 0).then("all_w"),
    )


def _sums_of_days(days: pl.LazyFrame) -> pl.LazyFrame:
    covered = pl.col("measured_w") + pl.col("estimated_w")
    return days.group_by("quota_row").agg(
        days_g=pl.col("g").sum(),
        is_measured=pl.col("g").is_not_null().any(),
        gap_low=pl.when(pl.col("gap_low").is_not_null().all()).then(pl.col("gap_low").sum()),
        gap_high=pl.when(pl.col("gap_high").is_not_null().all()).then(pl.col("gap_high").sum()),
        has_factors=pl.col("has_factors").all(),
        confirmed=pl.col("confirmed").all(),
        covered_w=covered.sum(),
        all_w=(covered + pl.col("missing_w") + pl.col("pending_w")).sum(),
    )


def _sums_of_blocks(periods: pl.LazyFrame, blocks: pl.LazyFrame) -> pl.LazyFrame:
    """Per quota: blocks wholly inside (signed), what those across its border can take away or add, and
    whether any of them has no factor."""
    span = periods.select(
        "quota_row", "enterprise", "basis",
        since=day_start(pl.col("first_day").cast(pl.Int64)),
        until=day_start(pl.col("as_of_day").cast(pl.Int64)) + DAY_S,
    )  # fmt: skip
    grams = pl.when(pl.col("basis") == Basis.CALORIFIC).then("calorific_g").otherwise("equivalent_g")
    is_inside = (pl.col("start") >= pl.col("since")) & (pl.col("end") <= pl.col("until"))
    signed = pl.col("g") * pl.col("sign").cast(pl.Int64)
    return (
        blocks.filter(pl.col("sign") != 0)
        .join(span, on="enterprise")
        .filter(pl.col("start") < pl.col("until"), pl.col("end") > pl.col("since"))
        .with_columns(g=grams)
        .with_columns(is_inside=is_inside, signed=signed)
        .group_by("quota_row")
        .agg(
            inside_g=pl.when(pl.col("is_inside").any()).then(pl.col("signed").filter("is_inside").sum()),
            across_low=pl.min_horizontal("signed", 0).filter(~pl.col("is_inside")).sum(),
            across_high=pl.max_horizontal("signed", 0).filter(~pl.col("is_inside")).sum(),
            blocks_unknown=pl.col("g").is_null().any(),
        )
    )


def _due() -> pl.Expr:
    """The linear profile: quota × days elapsed / days, rounded half to even; 0 before the first full day.

    Null for a profile that is not known: no figure is better than a wrong one.
    """
    elapsed = pl.col("as_of_day") - pl.col("first_day") + 1
    due = narrow(rounded_quotient(wide("quota_g") * elapsed, pl.col("end_day") - pl.col("first_day")))
    return pl.when(pl.col("profile") == "linear").then(
        pl.when(pl.col("as_of_day").is_not_null()).then(due).otherwise(0)
    )
