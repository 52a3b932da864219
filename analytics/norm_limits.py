"""What a norm allows a product over a period: its limits after the corrections that it prescribes.

The edition in force on the period's first day rules all of it. A period that the norm's first edition begins
within is judged by none, since no norm was in force for all of it; its whole months from then on are. A
parameter that a correction needs and that nobody stated leaves the limits of the levels it touches unknown:
the base value is never assumed. 标杆水平 and 基准水平 are as printed: no text that corrects them was seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from analytics.norm_library import PER_UNIT
from analytics.statistics import WINDOW, in_force, quantity_over, stated_periods
from nengshao.domain.norms import (
    LEVELS,
    Correction,
    LinearCorrection,
    Norm,
    NormTable,
    ParameterKind,
    parameters_of,
)
from nengshao.domain.readings import MICRO
from nengshao.domain.targets import Indicator, StatisticState
from nengshao.domain.time import day_number
from nengshao.domain.units import MILLI

_LIMITS: Final = [f"limit_{level}" for level in LEVELS]
_CONFIRMED: Final = [state.value for state in StatisticState if state.is_confirmed]
_MICRO_PER_MILLI: Final = MICRO // MILLI


def norm_limits(rows: pl.DataFrame, norms: NormTable, statistics: pl.DataFrame) -> pl.DataFrame:
    """The rows with what the norm of their product allows.

    Columns in:  enterprise, product, norm (its id), indicator, first_day, end_day, unit (of the quantity);
                 STATISTICS.
    Columns out: those + limit_1, limit_2, limit_3, benchmark, baseline (Int64), open_1, open_2, open_3,
                 norm_confirmed, baseline_confirmed (Boolean), norm_problem (String).
    Units:       10⁻⁶ kg (kWh) per unit of product.
    Missing:     a limit is null if the standard has none, or (`open_…`: true) if it cannot be said; why is in
                 norm_problem: "unknown_norm", "not_in_force", "edition_begins:<date>" (the first one
                 does, within the period), "unsupported", "unit:<as stated>", "missing:<parameters>", "" if
                 nothing is in the way.
    """
    dated = _with_editions(rows.with_row_index("row"), norms)
    values = _parameter_values(dated, norms, statistics)
    corrected = dated.with_columns(missing=pl.lit("", pl.String))
    for step in _steps(norms):
        corrected = _corrected(corrected, step, values)
    unstated = pl.format("missing:{}", pl.col("missing").str.strip_chars_start(","))
    confirmed = values.group_by("row").agg(parameters_confirmed=pl.col("is_confirmed").all())
    return (
        corrected.with_columns(norm_problem=pl.coalesce(
            "norm_problem", pl.when(pl.col("missing") != "").then(unstated), pl.lit("")
        ))
        .join(confirmed, on="row", how="left")
        .with_columns(
            # A norm without parameters rests on none.
            norm_confirmed=pl.col("norm_confirmed") & pl.coalesce("parameters_confirmed", pl.lit(value=True)),
            **{
                f"open_{level}": pl.col(f"limit_{level}").is_null()
                & (pl.col(f"is_printed_{level}") | (pl.col("norm_problem") != ""))
                for level in LEVELS
            },
        )
        .sort("row")
        .select(
            *rows.columns, *_LIMITS, "benchmark", "baseline", *(f"open_{level}" for level in LEVELS),
            "norm_confirmed", "baseline_confirmed", "norm_problem",
        )
    )  # fmt: skip


def _with_editions(rows: pl.DataFrame, norms: NormTable) -> pl.DataFrame:
    """The rows with the printed figures of the edition in force on their first day, and what hinders it."""
    editions = pl.DataFrame([_edition(norm) for norm in norms.rows], schema=_EDITION).sort("from_day")
    known = editions["norm"].unique().implode()
    dated = rows.sort("first_day").join_asof(
        editions, left_on="first_day", right_on="from_day", by=["norm", "indicator"],
        check_sortedness=False,  # both are sorted just above, which Polars cannot see within groups
    ).join(
        editions.group_by("norm", "indicator").agg(begins=pl.col("from_day").min()),
        on=["norm", "indicator"], how="left",
    )  # fmt: skip
    has_begun_since = pl.col("edition").is_null() & (pl.col("begins") < pl.col("end_day"))
    problem = (
        pl.when(~pl.col("norm").is_in(known)).then(pl.lit("unknown_norm"))
        .when(has_begun_since).then(pl.format("edition_begins:{}", pl.col("begins").cast(pl.Date)))
        .when(pl.col("edition").is_null()).then(pl.lit("not_in_force"))
        .when("is_unsupported").then(pl.lit("unsupported"))
        .when(pl.col("unit") != pl.col("per")).then(pl.format("unit:{}", "unit"))
    )  # fmt: skip
    figures = pl.col(*_LIMITS, "benchmark", "baseline")
    return dated.with_columns(
        norm_problem=problem,
        norm_confirmed=pl.coalesce("norm_confirmed", pl.lit(value=False)),
        baseline_confirmed=pl.coalesce("baseline_confirmed", pl.lit(value=False)),
        **{
            f"is_printed_{level}": pl.coalesce(pl.col(f"limit_{level}").is_not_null(), pl.lit(value=False))
            for level in LEVELS
        },
    ).with_columns(pl.when(pl.col("norm_problem").is_null()).then(figures))


_EDITION: Final[dict[str, Any]] = {
    "norm": pl.String,
    "indicator": pl.String,
    "from_day": pl.Int32,
    "edition": pl.String,
    "per": pl.String,
    **dict.fromkeys(_LIMITS, pl.Int64),
    "benchmark": pl.Int64,
    "baseline": pl.Int64,
    "norm_confirmed": pl.Boolean,
    "baseline_confirmed": pl.Boolean,
    "is_unsupported": pl.Boolean,
}


def _edition(norm: Norm) -> dict[str, Any]:
    figures = zip(
        [*_LIMITS, "benchmark", "baseline"], [*norm.limits, norm.benchmark, norm.baseline], strict=True
    )
    benchmark = norm.benchmark_confidence
    return {
        "norm": norm.norm_id,
        "indicator": norm.indicator.value,
        "from_day": day_number(norm.valid_from),
        "edition": norm.edition,
        "per": norm.per,
        **{name: None if value is None else int(value * PER_UNIT) for name, value in figures},
        "norm_confirmed": norm.confidence.is_confirmed,
        "baseline_confirmed": benchmark is not None and benchmark.is_confirmed,
        "is_unsupported": norm.unsupported != "",
    }


# --------------------------------------------------------------------------------------- parameters


def _parameter_values(dated: pl.DataFrame, norms: NormTable, statistics: pl.DataFrame) -> pl.DataFrame:
    """row, parameter, x (10⁻⁶ of its unit), is_confirmed: what was stated of what the rows' editions need."""
    known = {each.parameter_id: each for each in norms.parameters}
    needs = pl.DataFrame(
        [
            (norm.edition, name, known[name].unit, known[name].kind.value)
            for norm in norms.rows
            for name in parameters_of(norm)
        ],
        schema={"edition": pl.String, "parameter": pl.String, "in_unit": pl.String, "kind": pl.String},
        orient="row",
    )
    asked = (
        dated.filter(pl.col("norm_problem").is_null())
        .join(needs, on="edition")
        .select(
            "row", "parameter", "in_unit", "kind", "product", "first_day", "end_day", subject="enterprise",
            indicator=pl.lit(Indicator.NORM_PARAMETER.value),
            item=pl.format("{}/{}", "product", "parameter"),
        )
    )  # fmt: skip
    stated = statistics.filter(pl.col("indicator") == Indicator.NORM_PARAMETER)
    constants = asked.filter(pl.col("kind") == ParameterKind.CONSTANT)
    means = asked.filter(pl.col("kind") == ParameterKind.MEAN)
    found = pl.concat([_constants(constants, stated), _means(means, stated, statistics)])
    return found.drop_nulls("x")


def _constants(asked: pl.DataFrame, stated: pl.DataFrame) -> pl.DataFrame:
    """What is stated of a period that holds the row's: of the shortest one, where there are several."""
    versions = in_force(stated).select(
        "subject", "item", "value", stated_first="first_day", stated_end="end_day", in_unit="unit",
        is_confirmed=pl.col("state").is_in(_CONFIRMED),
    )  # fmt: skip
    return (
        asked.join(versions, on=["subject", "item", "in_unit"])
        .filter(
            pl.col("stated_first") <= pl.col("first_day"),
            pl.col("stated_end") >= pl.col("end_day"),
            pl.col("first_day") < pl.col("end_day"),
        )
        .sort("row", "parameter", pl.col("stated_end") - pl.col("stated_first"))
        .unique(["row", "parameter"], keep="first", maintain_order=True)
        .select("row", "parameter", "is_confirmed", x=pl.col("value") * _MICRO_PER_MILLI)
    )


def _means(asked: pl.DataFrame, stated: pl.DataFrame, statistics: pl.DataFrame) -> pl.DataFrame:
    """Of one stated period its value; of several the mean by output, rounded half to even; null if they do
    not fill the row's, or if the output of one of them is not known. A mean rests on the outputs too."""
    parts = (
        asked.join(stated_periods(stated, asked.select(WINDOW).unique()), on=WINDOW)
        .filter(pl.col("unit") == pl.col("in_unit"))
        .select(
            "row", "parameter", "value", "is_confirmed", "subject",
            until="end_day", indicator=pl.lit(Indicator.OUTPUT.value), item="product",
            first_day="stated_first", end_day="stated_end",
        )
    )  # fmt: skip
    output = quantity_over(statistics.filter(pl.col("indicator") == Indicator.OUTPUT), parts)
    whole = output.filter(pl.col("reached_day") == pl.col("end_day")).select(
        *WINDOW, "quantity", output_confirmed="is_confirmed"
    )
    summed = (
        parts.join(whole, on=WINDOW, how="left")
        .group_by("row", "parameter")
        .agg(
            is_whole=pl.col("end_day").max() == pl.col("until").first(),
            periods=pl.len(),
            value=pl.col("value").first(),
            product=(wide("value") * wide("quantity")).sum() * _MICRO_PER_MILLI,
            output=wide("quantity").sum(),
            is_weighed=pl.col("quantity").is_not_null().all() & (pl.col("quantity").sum() > 0),
            is_confirmed=pl.col("is_confirmed").all(),
            output_confirmed=pl.col("output_confirmed").all(),
        )
    )
    divisor = pl.when("is_weighed").then("output").otherwise(1)
    mean = pl.when("is_weighed").then(narrow(rounded_quotient(pl.col("product"), divisor)))
    value = pl.when(pl.col("periods") == 1).then(pl.col("value") * _MICRO_PER_MILLI).otherwise(mean)
    is_confirmed = pl.col("is_confirmed") & (pl.col("output_confirmed") | (pl.col("periods") == 1))
    return summed.select("row", "parameter", is_confirmed=is_confirmed, x=pl.when("is_whole").then(value))


# --------------------------------------------------------------------------------------- corrections

_STEP: Final[dict[str, Any]] = {
    "edition": pl.String,
    "parameter": pl.String,
    "when_parameter": pl.String,  # null: always
    "above": pl.Int64,  # 10⁻⁶ of its unit
    "base": pl.Int64,  # 10⁻⁶ of the parameter's unit
    "lowest": pl.Int64,
    "highest": pl.Int64,
    **{f"add_{level}": pl.Int64 for level in LEVELS},  # 10⁻⁶ kg per unit and unit of it; null: not linear
    **{f"is_at_{level}": pl.Boolean for level in LEVELS},
    "offset": pl.Int64,  # the factor is (offset + slope × parameter) / den
    "slope": pl.Int64,
    "den": pl.Int64,
}


def _steps(norms: NormTable) -> Iterable[pl.DataFrame]:
    """The first correction of every edition, then the second one, and so on."""
    longest = max((len(norm.corrections) for norm in norms.rows), default=0)
    for place in range(longest):
        rows = [
            {"edition": norm.edition, **_step(norm.corrections[place])}
            for norm in norms.rows
            if len(norm.corrections) > place
        ]
        yield pl.DataFrame(rows, schema=_STEP)


def _step(correction: Correction) -> dict[str, Any]:
    if isinstance(correction, LinearCorrection):
        lowest, highest = correction.lowest, correction.highest
        return {
            "parameter": correction.parameter,
            "base": int(correction.base * MICRO),
            "lowest": None if lowest is None else int(lowest * MICRO),
            "highest": None if highest is None else int(highest * MICRO),
            **{
                f"add_{level}": int(each * PER_UNIT)
                for level, each in zip(LEVELS, correction.per_unit, strict=True)
            },
            **{f"is_at_{level}": each != 0 for level, each in zip(LEVELS, correction.per_unit, strict=True)},
        }
    den = math.lcm(correction.offset.denominator, correction.slope.denominator)
    return {
        "parameter": correction.parameter,
        "when_parameter": correction.when_parameter or None,
        "above": int(correction.when_above * MICRO),
        "offset": int(correction.offset * den),
        "slope": int(correction.slope * den),
        "den": den,
        **{f"is_at_{level}": level in correction.levels for level in LEVELS},
    }


def _corrected(rows: pl.DataFrame, step: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    """The rows after one correction each: the limits it touches, and in `missing` what it would need."""
    condition = values.select("row", when_parameter="parameter", condition="x")
    joined = (
        rows.join(step, on="edition", how="left")
        .join(values.select("row", "parameter", "x"), on=["row", "parameter"], how="left")
        .join(condition, on=["row", "when_parameter"], how="left")
    )
    is_due = (
        pl.when(pl.col("when_parameter").is_null())
        .then(pl.col("parameter").is_not_null())
        .otherwise(pl.col("condition") > pl.col("above"))
    )  # null: nobody stated what decides it
    lacking = (
        pl.when(pl.col("is_due").is_null()).then("when_parameter")
        .when(pl.col("is_due") & pl.col("x").is_null()).then("parameter")
    )  # fmt: skip
    is_judged = pl.col("norm_problem").is_null() & pl.col("parameter").is_not_null()
    listed = pl.when(is_judged & lacking.is_not_null()).then(pl.format("{},{}", "missing", lacking))
    return (
        joined.with_columns(is_due=is_due)
        .with_columns(
            *(_limit_after(level).alias(f"limit_{level}") for level in LEVELS),
            missing=pl.coalesce(listed, "missing"),
        )
        .select(rows.columns)
    )


def _limit_after(level: int) -> pl.Expr:
    """The level's limit after the row's correction; null if it touches the level and cannot be worked out."""
    limit = pl.col(f"limit_{level}")
    # clip() leaves a side open whose bound is null.
    difference = (pl.col("x") - pl.col("base")).clip("lowest", "highest")
    added = narrow(rounded_quotient(wide(f"add_{level}") * wide(difference), pl.lit(MICRO)))
    factor = wide("offset") * MICRO + wide("slope") * wide("x")
    scaled = narrow(rounded_quotient(wide(limit) * factor, wide("den") * MICRO))
    result = pl.when(pl.col(f"add_{level}").is_not_null()).then(limit + added).otherwise(scaled)
    is_at = pl.col(f"is_at_{level}")
    return (
        pl.when(is_at & pl.col("is_due").is_null()).then(None)
        .when(is_at & pl.col("is_due")).then(result)
        .otherwise(limit)
    )  # fmt: skip
