"""A norm opened: its edition, the limits as printed and as corrected, and what the corrections needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import polars as pl

from analytics.explanation.nodes import Node, node
from analytics.explanation.statistics import statistic_leaf
from analytics.intensity_charges import ELECTRICITY
from analytics.intensity_spans import PRODUCT
from analytics.norm_limits import norm_limits
from analytics.statistics import in_force
from nengshao.domain.factors import Confidence
from nengshao.domain.norms import LEVELS, Norm, NormIndicator, NormTable, ParameterKind, parameters_of
from nengshao.domain.targets import Indicator
from nengshao.domain.time import date_of

Row = Mapping[str, Any]


def norm_tree(row: Row, norms: NormTable, statistics: pl.DataFrame) -> Node:
    """What the norm of an INTENSITY row allows: limit 3 after its corrections, with all levels as facts.

    Units: kg (kWh) per unit of product. Missing: limits are null where a parameter that they need is not
    stated; `facts.problem` says which. A period that the first edition begins within has no limits:
    `facts.begins` tells the edition.
    """
    norm = norms.in_force(row["norm"], _indicator(row), date_of(row["first_day"]))
    unit = f"{'kWh' if row['basis'] == ELECTRICITY else 'kg'}/{row['unit']}"
    problem = norm_problem(row, norms, statistics)
    if norm is None:
        begins = norms.in_force(row["norm"], _indicator(row), date_of(row["end_day"] - 1))
        return node("norm", row["norm"], None, unit, because=[f"限额 / norm {row['norm']}: {problem}"],
                    facts={"problem": problem, "begins": None if begins is None else _begins(begins)},
                    )  # fmt: skip
    parameters = _stated_parameters(row, norm, statistics)
    parameters += _weights(row, parameters, norms, statistics)
    doubts = [] if norm.confidence.is_confirmed else [f"限额 / norm {norm.edition}: {norm.confidence.value}"]
    return node(
        "norm", f"{norm.standard} {norm.product_zh}", row["limit_3"], unit,
        because=[*doubts, *(doubt for leaf in parameters for doubt in leaf["because"])],
        formula="3级限定值，按标准修正 / limit of 3级 after the standard's corrections",
        source=norm.source, edition=norm.edition, confidence=norm.confidence.value,
        facts={
            "norm": norm.norm_id, "indicator_zh": norm.indicator_zh, "problem": problem,
            "limits": [
                {"level": level, "printed": _shown(printed), "corrected": row[f"limit_{level}"]}
                for level, printed in zip(LEVELS, norm.limits, strict=True)
            ],
            "corrections": [
                {key: _plain(value) for key, value in asdict(each).items()} for each in norm.corrections
            ],
            "benchmark": row["benchmark"], "baseline": row["baseline"],
            "benchmark_source": norm.benchmark_source, "benchmark_confidence": norm.benchmark_confidence,
            "note": norm.note,
        },
        beside=parameters,
    )  # fmt: skip


def _begins(norm: Norm) -> dict[str, Any]:
    """An edition that began within the period, which it does not judge: since when, and as printed."""
    return {
        "edition": norm.edition, "standard": norm.standard, "from": norm.valid_from.isoformat(),
        "limits": [
            {"level": level, "printed": _shown(printed)}
            for level, printed in zip(LEVELS, norm.limits, strict=True)
        ],
        "source": norm.source, "confidence": norm.confidence.value,
    }  # fmt: skip


def baseline_leaf(row: Row, norms: NormTable, statistics: pl.DataFrame) -> Node:
    """基准水平 of an INTENSITY row, as printed: no text that corrects it was seen. Units: kg per unit."""
    norm = norm_tree(row, norms, statistics)
    confidence = norm["facts"].get("benchmark_confidence")
    is_confirmed = confidence is not None and Confidence(confidence).is_confirmed
    return node(
        "baseline", "基准水平 / baseline", row["baseline"], norm["unit"],
        because=() if is_confirmed else [f"基准水平 / baseline {row['norm']}: {confidence}"],
        source=norm["facts"].get("benchmark_source"), confidence=confidence,
    )  # fmt: skip


def norm_problem(row: Row, norms: NormTable, statistics: pl.DataFrame) -> str:
    """Why limits of an INTENSITY row cannot be said, as `norm_limits` says it; "": nothing is."""
    if not row["norm"]:
        return ""
    asked = pl.DataFrame(
        {
            "enterprise": [row["enterprise"]], "product": [row["denominator"].removeprefix(PRODUCT)],
            "norm": [row["norm"]],
            "indicator": [_indicator(row).value],
            "first_day": [row["first_day"]], "end_day": [row["end_day"]], "unit": [row["unit"]],
        },
        schema_overrides={"first_day": pl.Int32, "end_day": pl.Int32, "unit": pl.String},
    )  # fmt: skip
    return str(norm_limits(asked, norms, statistics)["norm_problem"][0])


def _stated_parameters(row: Row, norm: Norm, statistics: pl.DataFrame) -> list[Node]:
    """What was stated of the parameters that the norm's corrections may ask for, over the row's days."""
    product = row["denominator"].removeprefix(PRODUCT)
    items = [f"{product}/{name}" for name in parameters_of(norm)]
    stated = in_force(statistics).filter(
        pl.col("subject") == row["enterprise"],
        pl.col("indicator") == Indicator.NORM_PARAMETER,
        pl.col("item").is_in(items),
        pl.col("first_day") < row["end_day"],
        pl.col("end_day") > row["first_day"],
    )
    return [statistic_leaf(each) for each in stated.iter_rows(named=True)]


def _weights(row: Row, stated: Sequence[Node], norms: NormTable, statistics: pl.DataFrame) -> list[Node]:
    """The outputs by which parameters that are stated in several parts are weighed."""
    kinds = {each.parameter_id: each.kind for each in norms.parameters}
    items = Counter(leaf["facts"]["item"] for leaf in stated)
    weighed = (item for item, parts in items.items() if parts > 1)
    if all(kinds[item.rpartition("/")[2]] is not ParameterKind.MEAN for item in weighed):
        return []
    outputs = in_force(statistics).filter(
        pl.col("subject") == row["enterprise"],
        pl.col("indicator") == Indicator.OUTPUT,
        pl.col("item") == row["denominator"].removeprefix(PRODUCT),
        pl.col("first_day") >= row["first_day"],
        pl.col("end_day") <= row["end_day"],
    )
    return [statistic_leaf(each) for each in outputs.iter_rows(named=True)]


def _plain(value: Any) -> Any:
    """A field of a correction as JSON has it: fractions as text, so that they stay exact."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, int | str) else str(value)


def _shown(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


def _indicator(row: Row) -> NormIndicator:
    return NormIndicator.ELECTRICITY if row["basis"] == ELECTRICITY else NormIndicator.ENERGY
