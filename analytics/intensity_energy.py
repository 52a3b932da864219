"""What energy a product or an enterprise is charged with over any span of days, with its bounds.

Everything is made of day series: an enterprise's totals in a scope, or the points that a product is charged
with. Running sums of the series are made once; a span is the difference of two of them. A product's share of
a point is multiplied in once per point and span (one Int128 product, one rounding; BOOKKEEPING §5).

Bounds come from atoms (BOOKKEEPING §6): a block wholly inside the span belongs to the value and both bounds,
one across its border to the bounds alone, and so does what missing time outside blocks could carry.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.integers import narrow, rounded_quotient, rounded_up_quotient, wide
from analytics.intensity_charges import (
    CHARGED,
    ELECTRICITY,
    EXCLUDING,
    SERIES,
    EnergyFacts,
    counted,
    point_source,
    scope_source,
)
from analytics.scopes import scope_sign
from nengshao.domain.factors import Basis
from nengshao.domain.time import day_start
from nengshao.domain.units import Carrier, Scope

# --------------------------------------------------------------------------------------------- reach


def energy_reach(rows: pl.DataFrame, charges: pl.DataFrame, facts: EnergyFacts) -> pl.DataFrame:
    """The rows with `energy_end` (Int32): the day, exclusive, up to which nothing of theirs is pending.

    Columns in: enterprise, denominator, scope, basis, first_day, end_day (exclusive: how far is asked).
    Missing:    first_day if the first day has no figures, or something of it is pending.
    """
    key = [*CHARGED, "first_day", "end_day"]
    asked = rows.with_columns(counted=counted())
    spans = asked.select(key).unique()
    runs = _unbroken_runs(charges, facts)
    ends = (
        spans.join(_first_pending(spans, charges, facts), on=key, how="left")
        .join(_charged_with_points(charges), on=_OWNER, how="left")
        .with_columns(owner=pl.coalesce("owner", "enterprise"))
        .sort("first_day")
        .join_asof(
            runs.sort("run_first"), left_on="first_day", right_on="run_first", by="owner",
            check_sortedness=False,  # both are sorted, which Polars cannot see within groups
        )
        .with_columns(until=pl.min_horizontal("end_day", "pending_day", pl.coalesce("run_end", "first_day")))
        .select(*key, energy_end=pl.max_horizontal("first_day", "until"))
    )  # fmt: skip
    return asked.join(ends, on=key, how="left", maintain_order="left").drop("counted")


_OWNER: Final = ("enterprise", "denominator", "counted")


def _charged_with_points(charges: pl.DataFrame) -> pl.DataFrame:
    """_OWNER, owner: what is made of points, not of the enterprise's totals."""
    points = charges.filter(~pl.coalesce(pl.col("source").str.starts_with("scope/"), pl.lit(value=False)))
    return points.select(_OWNER).unique().with_columns(owner=pl.format("{}/{}/{}", *_OWNER))


def _unbroken_runs(charges: pl.DataFrame, facts: EnergyFacts) -> pl.DataFrame:
    """owner, run_first, run_end: stretches of days that have figures, of the enterprise or of the points."""
    owners = charges.join(_charged_with_points(charges), on=_OWNER).select(*SERIES, "owner").unique()
    points = facts.point_days.select("enterprise", "day", source=point_source()).join(owners, on=SERIES)
    days = pl.concat(
        [facts.enterprise_days.select("day", owner="enterprise"), points.select("day", "owner").unique()]
    ).sort("owner", "day")
    position = pl.int_range(pl.len(), dtype=pl.Int32).over("owner")
    return (
        days.group_by("owner", (pl.col("day") - position).alias("run"), maintain_order=True)
        .agg(run_first=pl.col("day").min(), run_end=pl.col("day").max() + 1)
        .drop("run")
    )


def _first_pending(spans: pl.DataFrame, charges: pl.DataFrame, facts: EnergyFacts) -> pl.DataFrame:
    """The spans + pending_day: the first day on which something that they are charged with is pending."""
    since = pl.max_horizontal("first_day", "from_day").cast(pl.Int32)
    return (
        spans.join(charges, on=CHARGED)
        .with_columns(since=since)
        .sort("since")
        .join_asof(
            _pending_days(facts).sort("day"), left_on="since", right_on="day", by=SERIES, strategy="forward",
            check_sortedness=False,
        )
        .filter(pl.col("day") < pl.col("to_day"))
        .group_by(spans.columns)
        .agg(pending_day=pl.col("day").min())
    )  # fmt: skip


def _pending_days(facts: EnergyFacts) -> pl.DataFrame:
    """enterprise, source, day: the days on which something of a series is not yet due."""
    totals = facts.enterprise_days.with_columns(scope=pl.lit(Scope.TOTAL.value))
    columns = ["enterprise", "day", "scope", "published"]
    scopes = pl.concat([totals.select(columns), facts.scope_days.select(columns)])
    points = facts.point_days.filter(pl.col("pending_s") > 0)
    return pl.concat(
        [
            scopes.filter(~pl.col("published")).select("enterprise", "day", source=scope_source()),
            points.select("enterprise", "day", source=point_source()),
        ]
    )


# --------------------------------------------------------------------------------------------- sums


def energy_over(rows: pl.DataFrame, charges: pl.DataFrame, facts: EnergyFacts) -> pl.DataFrame:
    """The rows with the energy of their days.

    Columns in:  enterprise, denominator, scope, basis, first_day, end_day (exclusive).
    Columns out: those + energy, low, high (Int64), energy_confirmed (Boolean), coverage (Float64).
    Units:       g of the basis; 10⁻³ kWh on "electricity".
    Missing:     energy is null if a factor is missing, or nothing was measured; low, high null: unbounded.
    """
    numbered = rows.with_row_index("row").with_columns(counted=counted())
    bases = rows["basis"].unique().to_list() or [Basis.CALORIFIC.value]  # without rows: the columns alone
    parts = [_sums(numbered.filter(pl.col("basis") == basis), charges, facts, basis) for basis in bases]
    summed = numbered.join(pl.concat(parts), on="row", how="left", maintain_order="left")
    return summed.with_columns(energy_confirmed=pl.coalesce("energy_confirmed", pl.lit(value=False))).drop(
        "row", "counted"
    )


def _sums(rows: pl.DataFrame, charges: pl.DataFrame, facts: EnergyFacts, basis: str) -> pl.DataFrame:
    parts = (
        rows.select("row", *CHARGED, "first_day", "end_day")
        .join(charges, on=CHARGED)
        .with_columns(
            since=pl.max_horizontal("first_day", "from_day").cast(pl.Int32),
            until=pl.min_horizontal("end_day", "to_day").cast(pl.Int32),
        )
        .filter(pl.col("since") < pl.col("until"))
        .with_row_index("part")
    )
    # Millions of days are sorted and looked up by number, not by names.
    numbers = parts.select(SERIES).drop_nulls().unique().with_row_index("series")
    parts = parts.join(numbers, on=SERIES, how="left")
    running = _running(_days_of(facts, basis).join(numbers, on=SERIES))
    blocks = _blocks_of(facts, basis).join(numbers, on=SERIES)
    return (
        _between(parts, running)
        .join(_block_sums(parts, blocks), on="part", how="left")
        .with_columns(_charged())
        .group_by("row")
        .agg(_row_sums())
        .with_columns(
            pl.when("is_known").then(pl.col("energy", "low", "high")),
            coverage=pl.col("covered") / pl.when(pl.col("all") > 0).then("all"),
        )
        .select("row", "energy", "low", "high", "energy_confirmed", "coverage")
    )


def _charged() -> list[pl.Expr]:
    """A part's value and what its bounds lie below and above it, times its share of the series."""
    num, den = wide("num"), pl.col("den")
    # A series without a block in the span has nothing to add from blocks: no figure is replaced.
    inside, low, high = (pl.col(name).fill_null(0) for name in ("inside", "across_low", "across_high"))
    below = pl.when(pl.col("open_low") == 0).then(pl.col("gap_low") + low)
    above = pl.when(pl.col("open_high") == 0).then(pl.col("gap_high") + high)
    least = pl.when(pl.col("num") > 0).then(below).otherwise(above)
    most = pl.when(pl.col("num") > 0).then(above).otherwise(below)
    has_blocks_known = ~pl.coalesce("blocks_unknown", pl.lit(value=False))
    share = pl.col("num").abs() / pl.col("den")  # of a ratio that is only shown
    return [
        narrow(rounded_quotient(wide(pl.col("g") + inside) * num, den)).alias("energy"),
        narrow((wide(least) * num) // wide("den")).alias("below"),  # rounded down, as "above" is up
        narrow(rounded_up_quotient(wide(most) * num, den)).alias("above"),
        ((pl.col("measured") > 0) | pl.col("inside").is_not_null()).alias("is_measured"),
        ((pl.col("lacking") == 0) & has_blocks_known & pl.col("source").is_not_null()).alias("has_factors"),
        (pl.col("unconfirmed") == 0).alias("is_confirmed"),
        (pl.col("covered_w") * share).alias("covered"),
        (pl.col("all_w") * share).alias("all"),
    ]


def _row_sums() -> list[pl.Expr]:
    energy, below, above = (pl.col(name) for name in ("energy", "below", "above"))
    return [
        energy.sum(),
        pl.when(below.is_not_null().all()).then(energy.sum() + below.sum()).alias("low"),
        pl.when(above.is_not_null().all()).then(energy.sum() + above.sum()).alias("high"),
        (pl.col("has_factors").all() & pl.col("is_measured").any()).alias("is_known"),
        pl.col("is_confirmed").all().alias("energy_confirmed"),
        pl.col("covered").sum(),
        pl.col("all").sum(),
    ]


_SUMMED: Final = (
    "g", "gap_low", "gap_high", "open_low", "open_high", "measured", "lacking", "unconfirmed", "covered_w",
    "all_w",
)  # fmt: skip


def _running(days: pl.DataFrame) -> pl.DataFrame:
    """series, day and the running sums of `_SUMMED` to the end of the day."""
    g, low, high = (pl.col(name) for name in ("g", "gap_low", "gap_high"))
    additive = days.sort("series", "day").select(
        "series",
        "day",
        # What is unknown adds nothing to the sum of the rest; that it is unknown is counted beside it.
        g.fill_null(0),
        low.fill_null(0),
        high.fill_null(0),
        open_low=low.is_null().cast(pl.Int64),
        open_high=high.is_null().cast(pl.Int64),
        measured=g.is_not_null().cast(pl.Int64),
        lacking=(~pl.col("has_factors")).cast(pl.Int64),
        unconfirmed=(~pl.col("is_confirmed")).cast(pl.Int64),
        # Shares of time, not quantities: a point that nobody weighed is in none.
        covered_w=pl.col("covered_w").fill_null(0),
        all_w=pl.col("all_w").fill_null(0),
    )
    return additive.with_columns(pl.col(_SUMMED).cum_sum().over("series"))


def _between(parts: pl.DataFrame, running: pl.DataFrame) -> pl.DataFrame:
    """The parts with the sums of their days [since, until)."""
    ends = _at(parts.with_columns(at=pl.col("until") - 1), running)
    starts = _at(parts.select("part", "series", at=pl.col("since") - 1), running)
    sums = ends.join(starts, on="part", suffix="_before")
    return sums.with_columns(pl.col(name) - pl.col(f"{name}_before") for name in _SUMMED)


def _at(parts: pl.DataFrame, running: pl.DataFrame) -> pl.DataFrame:
    found = parts.sort("at").join_asof(
        running,
        left_on="at",
        right_on="day",
        by="series",
        check_sortedness=False,  # sorted within the groups
    )
    # Before the first day of a series nothing has been summed yet.
    return found.with_columns(pl.col(_SUMMED).fill_null(0))


def _days_of(facts: EnergyFacts, basis: str) -> pl.DataFrame:
    """enterprise, source, day, g, gap_low, gap_high, has_factors, is_confirmed, covered_w, all_w."""
    if basis == ELECTRICITY:
        electric = facts.point_days.filter(pl.col("carrier") == Carrier.ELECTRICITY)
        return electric.select(
            "enterprise", "day", "gap_low", "gap_high", g="amount", source=point_source(),
            has_factors=pl.lit(value=True), is_confirmed=pl.lit(value=True), **_point_weights(),
        ).select(_DAY)  # fmt: skip
    return pl.concat([_days_of_scopes(facts, basis), _days_of_points(facts, basis)])


_DAY: Final = (
    *SERIES, "day", "g", "gap_low", "gap_high", "has_factors", "is_confirmed", "covered_w", "all_w",
)  # fmt: skip


def _days_of_scopes(facts: EnergyFacts, basis: str) -> pl.DataFrame:
    total = facts.enterprise_days.with_columns(scope=pl.lit(Scope.TOTAL.value))
    own = facts.scope_days
    # A day without a point of another use has no SCOPE_DAYS: what excludes something is then the total.
    excludes = pl.col("scope").is_in([scope.value for scope in EXCLUDING])
    plain = (
        total.drop("scope")
        .join(
            own.filter(excludes).select("enterprise", "scope").unique(),
            on="enterprise",
        )
        .join(own, on=["enterprise", "day", "scope"], how="anti")
    )
    covered = pl.col("measured_w") + pl.col("estimated_w")
    days = pl.concat([total.select(own.columns), own, plain.select(own.columns)])
    return days.select(
        "enterprise", "day",
        source=scope_source(),
        g=f"{basis}_g", gap_low=f"{basis}_gap_low", gap_high=f"{basis}_gap_high",
        has_factors=~pl.col("no_factor").str.contains(f":{basis}", literal=True),
        is_confirmed=pl.col(f"{basis}_confirmed"),
        covered_w=covered,
        all_w=covered + pl.col("missing_w") + pl.col("pending_w"),
    ).select(_DAY)  # fmt: skip


def _days_of_points(facts: EnergyFacts, basis: str) -> pl.DataFrame:
    gaps = facts.point_gaps.select(
        "enterprise", "point", "day", low=f"{basis}_gap_low", high=f"{basis}_gap_high"
    )
    has_gap = (pl.col("gap_low") != 0) | (pl.col("gap_high") != 0)
    is_open = pl.coalesce(has_gap, pl.lit(value=True))
    factor = pl.col(f"{basis}_factor")
    return (
        facts.point_days.join(gaps, on=["enterprise", "point", "day"], how="left")
        .select(
            "enterprise", "day",
            source=point_source(),
            g=f"{basis}_g",
            gap_low=pl.when(is_open).then("low").otherwise(pl.lit(0, pl.Int64)),
            gap_high=pl.when(is_open).then("high").otherwise(pl.lit(0, pl.Int64)),
            has_factors=factor.is_not_null(),
            is_confirmed=factor.is_in(list(facts.confirmed_factors)).fill_null(value=False),
            **_point_weights(),
        )
        .select(_DAY)
    )  # fmt: skip


def _point_weights() -> dict[str, pl.Expr]:
    covered = pl.col("measured_s") + pl.col("estimated_s")
    every = covered + pl.col("missing_s") + pl.col("pending_s")
    return {"covered_w": pl.col("weight_g_day") * covered, "all_w": pl.col("weight_g_day") * every}


# --------------------------------------------------------------------------------------------- blocks


def _blocks_of(facts: EnergyFacts, basis: str) -> pl.DataFrame:
    """enterprise, source, start, end, g: the blocks of every series, as they count in it."""
    g = "amount" if basis == ELECTRICITY else f"{basis}_g"
    points = facts.blocks.select(
        "enterprise", "start", "end", g=g, source=pl.format("{}/{}/{}", "via", "use", "sign")
    )
    if basis == ELECTRICITY:  # a block does not say what flowed: the series that are asked do
        return points
    scopes = [
        facts.blocks.with_columns(sign=scope_sign(scope).cast(pl.Int64))
        .filter(pl.col("sign") != 0)
        .select("enterprise", "start", "end", g=pl.col(g) * pl.col("sign"), source=pl.lit(f"scope/{scope}"))
        for scope in Scope
    ]
    return pl.concat([points, *scopes])


def _block_sums(parts: pl.DataFrame, blocks: pl.DataFrame) -> pl.DataFrame:
    """part, inside (null: no block is), across_low, across_high, blocks_unknown."""
    since, until = (day_start(pl.col(name).cast(pl.Int64)) for name in ("since", "until"))
    is_inside = (pl.col("start") >= since) & (pl.col("end") <= until)
    return (
        parts.select("part", "series", "since", "until")
        .join(blocks, on="series")
        .filter(pl.col("start") < until, pl.col("end") > since)
        .with_columns(is_inside=is_inside)
        .group_by("part")
        .agg(
            inside=pl.when(pl.col("is_inside").any()).then(pl.col("g").filter("is_inside").sum()),
            across_low=pl.min_horizontal("g", 0).filter(~pl.col("is_inside")).sum(),
            across_high=pl.max_horizontal("g", 0).filter(~pl.col("is_inside")).sum(),
            blocks_unknown=pl.col("g").is_null().any(),
        )
    )
