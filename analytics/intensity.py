"""Intensities: energy or carbon per unit of product, 产值, 增加值 or GDP, by month and for the year to date.

The days of a figure end where something of its energy is not yet due, or where its denominator is not stated:
then it is a figure of part of the period, and says so. Nothing is ever divided by an output of nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from analytics.intensity_charges import (
    ELECTRICITY,
    EnergyFacts,
    charged_spans,
    energy_charges,
    unshared_among_others,
)
from analytics.intensity_energy import energy_over, energy_reach
from analytics.intensity_regions import region_figures
from analytics.intensity_spans import PRODUCT, SPAN, asked_spans, compared_spans, is_region
from analytics.norm_library import PER_UNIT
from analytics.norm_limits import norm_limits
from analytics.statistics import WINDOW, quantity_over
from nengshao.domain.errors import FrameContractError
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.norms import LEVELS, NormIndicator, NormTable
from nengshao.domain.targets import Indicator, IntensityState, TargetLevel
from nengshao.domain.time import day_start
from nengshao.domain.units import Scope
from nengshao.frames import INTENSITY, Contract
from nengshao.registry import Registry

RESULT: Final = Contract(
    "INTENSITY",
    {
        **INTENSITY.schema,
        "previous_low": pl.Float64,  # bounds of `previous`; null: unbounded
        "previous_high": pl.Float64,
        "target_low": pl.Float64,  # bounds of `target`, as those of its base year; null: unbounded
        "target_high": pl.Float64,
        "previous_confirmed": pl.Boolean,  # factors and denominator of the year before
        "baseline_confirmed": pl.Boolean,  # 基准水平
        "norm_problem": pl.String,  # why limits are unknown: norm_limits.norm_limits; "": they are known
    },
    key=INTENSITY.key,
)
"""INTENSITY and what its measures need besides."""

STATES: Final = (IntensityState.MET, IntensityState.MISSED_FALLING, IntensityState.RISING)
"""By the number that stands for each in measures: 0, 1, 2."""

_FIGURE: Final = ("enterprise", "denominator", "basis", "scope", "period")
_CONFIRMED: Final = [level.value for level in Confidence if level.is_confirmed]


def energy_intensity(
    energy: EnergyFacts,
    statistics: pl.DataFrame,
    registry: Registry,
    norms: NormTable,
    *,
    years: Sequence[int],
    today: int,
) -> pl.DataFrame:
    """INTENSITY of `years`, every month and the year to date, of what the registry and the statistics name.

    Columns in:  EnergyFacts and STATISTICS from the January before the first year on, and of targets' base
                 years; `registry`: enterprises, products, product_shares, intensity_targets.
    Columns out: RESULT, sorted by key. On the basis "electricity" (norms in kWh per unit) intensities and
                 limits are in kWh per unit, and energy_g, low_g, high_g and gap_g null: there is no mass.
    Units:       kg per unit of the denominator; quantity 10⁻³ of the unit.
    Missing:     a figure without energy, denominator or an output above 0 is null, never infinite.
                 Bounds of a figure over an exact denominator. `previous`: the same days of the calendar a
                 year before; `chain`: whole months alone. A reduction target stands on the same days of its
                 base year. `state`, `grade`: "" if the bounds do not agree on it.
    Raises:      FrameContractError if a quantity does not fit into 64 bits.
    Source:      GB/T 2589-2020 (clause not seen): e_j = E_j / P_j, e_g = E / G.
    """
    spans = asked_spans(statistics, energy.scope_days, registry, norms, years=years, today=today)
    try:
        figures = _figures(spans, energy, statistics, registry)
        current, earlier = (
            figures.filter(pl.col("years_back") == 0),
            figures.filter(pl.col("years_back") != 0),
        )
        compared = (
            _with_previous(current, earlier)
            .pipe(_with_chain)
            .pipe(_with_target, earlier, registry.intensity_targets)
            .pipe(_with_norm, statistics, registry.products, norms)
        )
    except pl.exceptions.InvalidOperationError as exc:  # of a strict cast
        raise FrameContractError(f"a quantity overflowed, or a column is of another type: {exc}") from exc
    asked = pl.col("period").str.slice(0, len("2025")).cast(pl.Int32).is_in(list(years))
    return compared.filter(asked).pipe(_named).sort(*RESULT.key)


# ------------------------------------------------------------------------------------------- figures


def _figures(
    spans: pl.DataFrame, energy: EnergyFacts, statistics: pl.DataFrame, registry: Registry
) -> pl.DataFrame:
    """SPAN + years_back, end_day, is_whole, energy, low, high, energy_confirmed, coverage, quantity, unit,
    quantity_confirmed, intensity and its bounds: of the spans, and of those they are compared with."""
    shares, targets = registry.product_shares, registry.intensity_targets
    of_enterprises = spans.filter(~is_region())
    charges = energy_charges(of_enterprises, shares, energy)
    enterprises = _with_earlier(
        of_enterprises, targets, lambda rows: _stated(rows, charges, energy, statistics)
    )
    summed = energy_over(enterprises, charges, energy)
    used = _unknown_outside_shares(summed, charged_spans(shares)).pipe(
        _unknown_beside_others, shares, registry.products
    )
    regions = _with_earlier(spans.filter(is_region()), targets, lambda rows: region_figures(rows, statistics))
    made = pl.col("quantity") > 0
    return pl.concat([used, regions.select(used.columns)]).with_columns(
        is_whole=pl.col("end_day") == pl.col("limit_day"),
        intensity=pl.when(made).then(pl.col("energy") / pl.col("quantity")),
        intensity_low=pl.when(made).then(pl.col("low") / pl.col("quantity")),
        intensity_high=pl.when(made).then(pl.col("high") / pl.col("quantity")),
    )


def _with_earlier(
    spans: pl.DataFrame, targets: pl.DataFrame, reach: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """The spans as far as they reach, and the same days of earlier years as far as all of them are known."""
    asked = reach(spans.with_columns(years_back=pl.lit(0, pl.Int32)))
    begun = asked.filter(pl.col("end_day") > pl.col("first_day"))
    compared = reach(compared_spans(begun, targets)).filter(pl.col("end_day") == pl.col("limit_day"))
    return pl.concat([asked, compared])


def _stated(
    rows: pl.DataFrame, charges: pl.DataFrame, energy: EnergyFacts, statistics: pl.DataFrame
) -> pl.DataFrame:
    """Rows of enterprises + end_day, quantity, unit, quantity_confirmed: as far as both reach."""
    is_product = pl.col("denominator").str.starts_with(PRODUCT)
    windows = energy_reach(rows.rename({"limit_day": "end_day"}), charges, energy).with_columns(
        subject="enterprise",
        indicator=pl.when(is_product).then(pl.lit(Indicator.OUTPUT.value)).otherwise("denominator"),
        item=pl.when(is_product).then(pl.col("denominator").str.strip_prefix(PRODUCT)).otherwise(pl.lit("")),
        limit_day="end_day",
        end_day="energy_end",
    )
    stated = quantity_over(statistics, windows.select(WINDOW)).rename({"is_confirmed": "quantity_confirmed"})
    found = windows.join(stated, on=WINDOW, how="left", maintain_order="left")
    return found.select(*rows.columns, "quantity", "unit", "quantity_confirmed", end_day="reached_day")


def _unknown_outside_shares(rows: pl.DataFrame, charged: pl.DataFrame) -> pl.DataFrame:
    """The rows with energy, low, high null where it is not known what a product should be charged with."""
    is_within = (pl.col("from_day") <= pl.col("first_day")) & (pl.col("end_day") <= pl.col("to_day"))
    key = [*SPAN, "years_back"]
    shared = rows.join(charged, on=["enterprise", "denominator"]).group_by(key).agg(is_known=is_within.any())
    return (
        rows.join(shared, on=key, how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.coalesce("is_known", pl.lit(value=True))).then(pl.col("energy", "low", "high"))
        )
        .drop("is_known")
    )


def _unknown_beside_others(rows: pl.DataFrame, shares: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    """The rows with energy, low, high null where a product without shares is not the only one made: the
    enterprise's total is then not its own."""
    key = [*SPAN, "years_back"]
    is_shared = unshared_among_others(rows.select(*key, "end_day"), shares, products).select(key)
    return (
        rows.join(is_shared.with_columns(among=pl.lit(value=True)), on=key, how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("among").is_null()).then(pl.col("energy", "low", "high")),
            energy_confirmed=pl.col("energy_confirmed") & pl.col("among").is_null(),
        )
        .drop("among")
    )


# --------------------------------------------------------------------------------------- comparisons


def _with_previous(current: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """+ previous, previous_low, previous_high, previous_confirmed, change; only in the same unit."""
    before = earlier.filter(pl.col("years_back") == 1).select(
        *_FIGURE, "unit",
        previous="intensity", previous_low="intensity_low", previous_high="intensity_high",
        previous_confirmed=pl.col("energy_confirmed") & pl.col("quantity_confirmed"),
    )  # fmt: skip
    joined = current.join(before, on=[*_FIGURE, "unit"], how="left", maintain_order="left")
    return joined.with_columns(change=relative(pl.col("intensity"), pl.col("previous")) - 1)


def _with_chain(rows: pl.DataFrame) -> pl.DataFrame:
    """+ chain: a whole month against the whole month before it."""
    is_month = pl.col("period").str.len_chars() > len("2025")
    whole = rows.filter(is_month & pl.col("is_whole"))
    following = (pl.col("period") + "-01").str.to_date().dt.offset_by("1mo").dt.strftime("%Y-%m")
    before = whole.select(
        *_FIGURE[:-1], "unit", period=following, month_before=pl.col("intensity"),
    )  # fmt: skip
    chain = relative(pl.col("intensity"), pl.col("month_before")) - 1
    joined = rows.join(before, on=[*_FIGURE, "unit"], how="left", maintain_order="left")
    return joined.with_columns(chain=pl.when("is_whole").then(chain)).drop("month_before")


def relative(value: pl.Expr, reference: pl.Expr) -> pl.Expr:
    """`value / reference`; of a reference below 0 (a process that recovers more than it uses) the same
    distance on the same side: 1 + (value − reference) / |reference|. Above 1 is always more. Null for 0.
    """
    return pl.when(reference > 0).then(value / reference).when(reference < 0).then(2 - value / reference)


def _with_target(rows: pl.DataFrame, earlier: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """+ target, target_low, target_high, target_confirmed, state, of the year's figure.

    A reduction target is taken from the base year's figure in force; if that has open bounds or rests on
    something unconfirmed, so does the target.
    """
    bases = earlier.select(
        *_FIGURE, "unit", "years_back",
        base="intensity", base_low="intensity_low", base_high="intensity_high",
        base_confirmed=pl.col("energy_confirmed")
        & pl.col("quantity_confirmed")
        & (pl.col("low") == pl.col("high")),
    )  # fmt: skip
    set_for = targets.filter(pl.col("level") == TargetLevel.BASE).select(
        "enterprise", "denominator", "basis", "scope", "target_mg", "reduction_ppm",
        period=pl.col("year").cast(pl.String), years_back=pl.col("year") - pl.col("base_year"),
        is_sourced=pl.col("confidence").is_in(_CONFIRMED),
    )  # fmt: skip
    kept = 1 - pl.col("reduction_ppm") / 1_000_000  # ppm
    is_based = pl.col("target_mg").is_not_null() | pl.coalesce("base_confirmed", pl.lit(value=False))
    state = [state_number(end, other) for end, other in CORNERS]
    return (
        rows.drop("years_back")
        .join(set_for, on=_FIGURE, how="left", maintain_order="left")
        .join(bases, on=[*_FIGURE, "unit", "years_back"], how="left", maintain_order="left")
        .with_columns(
            **{
                f"target{end}": pl.coalesce(_kg("target_mg"), pl.col(f"base{end}") * kept)
                for end in ("", "_low", "_high")
            },
            target_confirmed=pl.coalesce("is_sourced", pl.lit(value=False)) & is_based,
        )
        .with_columns(
            state=pl.when((state[0] == state[1]) & (state[1] == state[2]))
            .then(state[0].replace_strict(list(range(len(STATES))), [str(each) for each in STATES]))
            .otherwise(pl.lit(""))
        )
        .drop("target_mg", "reduction_ppm", "is_sourced", "^base(_low|_high|_confirmed)?$", "years_back")
    )


# The figure itself, the least that it can be against the most that it may be and was before, and the reverse.
CORNERS: Final = (("", ""), ("_low", "_high"), ("_high", "_low"))


def state_number(end: str, other: str) -> pl.Expr:
    """The place in STATES of one end of the intensity against the other end of the target and of the year
    before; null if it cannot be said."""
    value, before, target = (
        pl.col(name) for name in (f"intensity{end}", f"previous{other}", f"target{other}")
    )
    return (
        pl.when(value.is_null() | target.is_null())
        .then(None)
        .when(_comparable(value) <= _comparable(target))
        .then(0)
        .when(value < before)
        .then(1)
        .when(before.is_not_null())
        .then(2)
    )


def _comparable(value: pl.Expr) -> pl.Expr:
    """A double without the noise of its last places: a figure exactly at a target that is a product of ratios
    (1 000 × 0.97) must not be above it."""
    return value.round_sig_figs(12)


def _kg(*columns: str) -> pl.Expr:
    """Whole millionths of a kg as kg: the nearest double, so that a figure equal to a limit is not above it.

    Polars divides by a literal by multiplying with its reciprocal (90 400 000 / 10⁶ gives 90.39999999999999);
    to round to the places that there are mends it.
    """
    return (pl.col(columns) / PER_UNIT).round(6)


# --------------------------------------------------------------------------------------------- norms


def _with_norm(
    rows: pl.DataFrame, statistics: pl.DataFrame, products: pl.DataFrame, norms: NormTable
) -> pl.DataFrame:
    """+ norm, its limits and levels, grade, gap, gap_g, norm_confirmed, baseline_confirmed, norm_problem.

    Norms of energy count all of it, 当量值; so they are held against no other basis and no other scope.
    """
    limits = norm_limits(_rows_with_norm(rows, products, norms), norms, statistics)
    figures = [*(f"limit_{level}" for level in LEVELS), "benchmark", "baseline"]
    joined = rows.join(
        limits.drop("product", "indicator", "first_day", "end_day", "unit"),
        on=_FIGURE, how="left", maintain_order="left",
    ).with_columns(pl.col("^open_.$").fill_null(value=False))  # fmt: skip
    over = wide("energy") * _MILLIONTHS_PER_G - wide("limit_3") * wide("quantity")
    grades = [_grade(f"intensity{end}") for end in ("", "_low", "_high")]
    return (
        joined.with_columns(gap_g=narrow(rounded_quotient(over, pl.lit(_MILLIONTHS_PER_G))))
        .with_columns(_kg(*figures))
        .with_columns(
            pl.col("norm", "norm_problem").fill_null(""),
            pl.col("norm_confirmed", "baseline_confirmed").fill_null(value=False),
            gap=pl.col("intensity") - pl.col("limit_3"),
            grade=pl.when((grades[0] == grades[1]) & (grades[1] == grades[2]))
            .then(grades[0])
            .otherwise(pl.lit("")),
        )
    )


# A limit is 10⁻⁶ kg per unit and a quantity 10⁻³ units: their product is 10⁻⁶ g.
_MILLIONTHS_PER_G: Final = PER_UNIT


def _rows_with_norm(rows: pl.DataFrame, products: pl.DataFrame, norms: NormTable) -> pl.DataFrame:
    """The figures that a norm may limit: norm, indicator, product beside them. What a product names on the
    last day of the span counts. A norm of electricity alone limits no mass."""
    of_energy, of_electricity = (
        sorted({norm.norm_id for norm in norms.rows if norm.indicator is indicator})
        for indicator in (NormIndicator.ENERGY, NormIndicator.ELECTRICITY)
    )
    is_electric = pl.col("basis") == ELECTRICITY
    limits_electricity = pl.col("norm").is_in(of_electricity)
    limits_mass = pl.col("norm").is_in(of_energy) | ~limits_electricity  # an id nobody knows: said there
    last = pl.max_horizontal(pl.col("end_day") - 1, "first_day")
    named = products.select(
        "enterprise", "product", "norm", "valid_from", denominator=pl.format("product:{}", "product")
    )
    return (
        rows.filter(pl.col("scope") == Scope.TOTAL, is_electric | (pl.col("basis") == Basis.CALORIFIC))
        .join(named, on=["enterprise", "denominator"])
        .filter(pl.col("valid_from") < day_start(last.cast(pl.Int64) + 1))
        .sort("valid_from")
        .unique(_FIGURE, keep="last", maintain_order=True)
        .filter(
            pl.col("norm") != "", pl.when(is_electric).then(limits_electricity).otherwise(limits_mass)
        )
        .select(
            *_FIGURE, "product", "norm", "first_day", "end_day", "unit",
            indicator=pl.when(is_electric)
            .then(pl.lit(NormIndicator.ELECTRICITY.value))
            .otherwise(pl.lit(NormIndicator.ENERGY.value)),
        )
    )  # fmt: skip


def _grade(intensity: str) -> pl.Expr:
    """The best level whose limit an intensity keeps, "over" if none; "" as soon as a limit that decides it
    cannot be said."""
    value, unsaid = pl.col(intensity), pl.lit("")
    has_no_limit = pl.col("limit_3").is_null() & ~pl.col("open_3")
    return (
        pl.when(value.is_null() | has_no_limit).then(unsaid)
        .when(value <= pl.col("limit_1")).then(pl.lit("1")).when("open_1").then(unsaid)
        .when(value <= pl.col("limit_2")).then(pl.lit("2")).when("open_2").then(unsaid)
        .when(value <= pl.col("limit_3")).then(pl.lit("3")).when("open_3").then(unsaid)
        .otherwise(pl.lit("over"))
    )  # fmt: skip


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """RESULT: of electricity there is no mass to name."""
    masses = {"energy_g": "energy", "low_g": "low", "high_g": "high", "gap_g": "gap_g"}
    has_mass = pl.col("basis") != ELECTRICITY
    return rows.with_columns(
        is_confirmed=pl.col("energy_confirmed") & pl.col("quantity_confirmed"),
        **{name: pl.when(has_mass).then(column) for name, column in masses.items()},
    ).select([pl.col(name).cast(dtype) for name, dtype in RESULT.schema.items()])
