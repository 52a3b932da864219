"""Which intensities are asked, over which days, and which days of earlier years they are compared with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import polars as pl

from analytics.intensity_charges import ELECTRICITY
from analytics.specs import FOREVER
from nengshao.domain.factors import Basis
from nengshao.domain.norms import NormIndicator, NormTable
from nengshao.domain.targets import Indicator, TargetLevel
from nengshao.domain.time import accounting_day, day_number
from nengshao.domain.units import Scope
from nengshao.registry import Registry

DENOMINATORS: Final = (
    Indicator.OUTPUT_VALUE,
    Indicator.OUTPUT_VALUE_COMPARABLE,
    Indicator.VALUE_ADDED,
    Indicator.VALUE_ADDED_COMPARABLE,
    Indicator.GDP_COMPARABLE,
)
"""What an intensity may be per, beside a product's output. GDP: of regions; the others: of enterprises."""

PRODUCT: Final = "product:"
SPAN: Final = ("enterprise", "denominator", "scope", "basis", "period", "first_day", "limit_day")

_REGION: Final = r"^\d{6}$"  # codes.is_region_code


def is_region() -> pl.Expr:
    """Whether the row is of a region: then it is made of statistics alone."""
    return pl.col("enterprise").str.contains(_REGION)


def asked_spans(
    statistics: pl.DataFrame,
    scope_days: pl.DataFrame,
    registry: Registry,
    norms: NormTable,
    *,
    years: Sequence[int],
    today: int,
) -> pl.DataFrame:
    """The columns of SPAN: every figure of the years, and the December before each, begun by `today`.

    An enterprise (a region) has a figure per denominator that is stated or targeted in the year, or that is
    one of its products; on every basis (a region: those of its statistics) and in every scope it has totals
    of or targets in; a norm on electricity adds the basis "electricity". [first_day, limit_day): the year or
    the month, as far as the enterprise is active and the product is registered.
    """
    pairs = _pairs(statistics, registry, [*years, *(year - 1 for year in years)])
    spans = _clipped(pairs.join(_periods(years, today), on="year"), registry)
    scopes = _scopes(pairs, scope_days, registry.intensity_targets)
    scoped = spans.join(scopes, on="enterprise").with_columns(is_region=is_region())
    masses = scoped.join(_bases(), on="is_region")
    electric = spans.join(_limited_in_kwh(registry, norms), on=["enterprise", "denominator"], how="semi")
    of_electricity = electric.with_columns(scope=pl.lit(Scope.TOTAL.value), basis=pl.lit(ELECTRICITY))
    return pl.concat([masses.select(SPAN), of_electricity.select(SPAN)])


def _pairs(statistics: pl.DataFrame, registry: Registry, years: Sequence[int]) -> pl.DataFrame:
    """enterprise, denominator, year: what is stated, registered or targeted."""
    asked = pl.DataFrame({"year": sorted(set(years))}, schema={"year": pl.Int32})
    denominator = (
        pl.when(pl.col("indicator") == Indicator.OUTPUT)
        .then(pl.format("product:{}", "item"))
        .otherwise(pl.col("indicator"))
    )
    indicators = [Indicator.OUTPUT.value, *(each.value for each in DENOMINATORS)]
    year_of = pl.col("first_day").cast(pl.Date).dt.year()
    is_gdp = pl.col("denominator") == Indicator.GDP_COMPARABLE
    stated = (
        statistics.filter(pl.col("indicator").is_in(indicators))
        .select(denominator.alias("denominator"), year_of.alias("year"), enterprise="subject")
        .filter(is_region() == is_gdp)
    )
    registered = registry.products.select("enterprise", denominator=pl.format("product:{}", "product")).join(
        asked, how="cross"
    )
    targeted = registry.intensity_targets.select("enterprise", "denominator", "year")
    columns = ["enterprise", "denominator", "year"]
    found = pl.concat([stated.select(columns), registered.select(columns), targeted.select(columns)])
    return found.unique().join(asked, on="year", how="semi")


def _periods(years: Sequence[int], today: int) -> pl.DataFrame:
    """year, period, first, end of the years, their months, and the December before each, begun by `today`."""
    months = {(year, month) for year in years for month in range(1, 13)} | {(year - 1, 12) for year in years}
    rows = [(year, str(year), dt.date(year, 1, 1), dt.date(year + 1, 1, 1)) for year in sorted(set(years))]
    rows += [
        (year, f"{year}-{month:02}", dt.date(year, month, 1), dt.date(year + month // 12, month % 12 + 1, 1))
        for year, month in sorted(months)
    ]
    schema = {"year": pl.Int32, "period": pl.String, "first": pl.Int32, "end": pl.Int32}
    days = [(year, period, day_number(first), day_number(end)) for year, period, first, end in rows]
    return pl.DataFrame(days, schema=schema, orient="row").filter(pl.col("first") <= today)


def _clipped(spans: pl.DataFrame, registry: Registry) -> pl.DataFrame:
    """The spans with first_day and limit_day: within what the registry says of enterprise and product."""
    first, end = accounting_day(pl.col("from")), accounting_day(pl.col("to").fill_null(FOREVER) - 1) + 1
    active = registry.enterprises.rename({"active_from": "from", "active_to": "to"}).select(
        "enterprise", active_first=first, active_end=end
    )
    made = (
        registry.products.rename({"valid_from": "from", "valid_to": "to"})
        .group_by("enterprise", denominator=pl.format("product:{}", "product"))
        .agg(made_first=first.min(), made_end=end.max())
    )
    return (
        spans.join(active, on="enterprise", how="left")
        .filter(pl.col("active_first").is_not_null() | is_region())
        .join(made, on=["enterprise", "denominator"], how="left")
        .with_columns(
            first_day=pl.max_horizontal("first", "active_first", "made_first").cast(pl.Int32),
            limit_day=pl.min_horizontal("end", "active_end", "made_end").cast(pl.Int32),
        )
        .filter(pl.col("first_day") < pl.col("limit_day"))
    )


def _scopes(pairs: pl.DataFrame, scope_days: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """enterprise, scope: the total, and those that it has totals of or targets in."""
    total = pairs.select("enterprise", scope=pl.lit(Scope.TOTAL.value))
    found = [total, *(frame.select("enterprise", "scope") for frame in (scope_days, targets))]
    return pl.concat(found).unique()


def _bases() -> pl.DataFrame:
    """is_region, basis. What regions state as their consumption of energy is its 等价值 (发电煤耗计算法)."""
    stated = (Basis.EQUIVALENT, Basis.CARBON)
    rows = [(False, basis.value) for basis in Basis] + [(True, basis.value) for basis in stated]
    return pl.DataFrame(rows, schema={"is_region": pl.Boolean, "basis": pl.String}, orient="row")


def _limited_in_kwh(registry: Registry, norms: NormTable) -> pl.DataFrame:
    names = {norm.norm_id for norm in norms.rows if norm.indicator is NormIndicator.ELECTRICITY}
    limited = registry.products.filter(pl.col("norm").is_in(sorted(names)))
    return limited.select("enterprise", denominator=pl.format("product:{}", "product")).unique()


# --------------------------------------------------------------------------------------- comparisons


def compared_spans(spans: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """SPAN + years_back (Int32): the same days of the year before, and of the base year of a target.

    `spans`: SPAN + end_day. Whole months are compared with whole months: what ends with February ends with
    February in any year.
    """
    base, found = _base_years(targets), spans.select(*SPAN, "end_day")
    key = ["enterprise", "denominator", "scope", "basis", "period"]
    earlier = pl.concat(
        [
            found.with_columns(years_back=pl.lit(1, pl.Int32)),
            found.join(base.filter(pl.col("years_back") != 1), on=key),
        ]
    )
    return earlier.with_columns(
        first_day=_years_before("first_day"), limit_day=_years_before("end_day")
    ).select(*SPAN, "years_back")


def _base_years(targets: pl.DataFrame) -> pl.DataFrame:
    """The key of a year's figure + years_back, of the base targets that name a base year."""
    return targets.filter(pl.col("level") == TargetLevel.BASE, pl.col("base_year").is_not_null()).select(
        "enterprise", "denominator", "scope", "basis",
        period=pl.col("year").cast(pl.String), years_back=pl.col("year") - pl.col("base_year"),
    )  # fmt: skip


def _years_before(day: str) -> pl.Expr:
    """The same day of the calendar `years_back` years earlier; of 29 February, where there is none, 1 March:
    up to it lies all of February."""
    date = pl.col(day).cast(pl.Date)
    earlier = date.dt.offset_by(pl.format("-{}y", "years_back"))
    is_lost = (date.dt.day() != earlier.dt.day()).cast(pl.Int32)
    return earlier.cast(pl.Int32) + is_lost
