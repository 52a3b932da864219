"""The energy of an intensity opened: an enterprise's total, or the points that a product is charged with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import polars as pl

from analytics.explanation.nodes import Node, lacks_factor, mass, mass_sum, node, tonnes
from analytics.explanation.spans import Span
from analytics.explanation.totals import Opened, names_of, total_tree
from analytics.intensity_charges import (
    ELECTRICITY,
    POINT_GAPS,
    EnergyFacts,
    charged_spans,
    energy_charges,
)
from nengshao.domain.factors import Basis, Factor
from nengshao.domain.units import MILLI, Scope
from nengshao.registry import Registry

Frames = Mapping[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Charged:
    """What a figure charges: energy of a subject and denominator on a basis, in a scope, of [first, end)."""

    subject: str
    denominator: str
    basis: str
    scope: Scope
    first: int
    end: int

    @property
    def span(self) -> Span:
        """The same as a span of masses; not for the basis "electricity"."""
        return Span(self.first, self.end, Basis(self.basis), self.scope, is_whole=True)


def energy_tree(asked: Charged, *, frames: Frames, registry: Registry, factors: Mapping[str, Factor]) -> Node:
    """The energy that the figure is made of. Units: g; 10⁻³ kWh on "electricity".

    Missing: unknown outside the days on which it is said what the product is charged with.
    """
    charges = _charges_of(asked, frames, registry)
    if any(charge["source"] is not None and charge["source"].startswith("scope/") for charge in charges):
        return total_tree(asked.subject, asked.span, frames=frames, registry=registry, factors=factors)
    name = "产品用能 / energy that the product is charged with"
    unit = "kWh" if asked.basis == ELECTRICITY else asked.span.basis.tonne
    if _is_outside_shares(asked, registry.product_shares):
        return node(
            "energy", name, None, unit, **mass(None, None, None), formula="未登记分摊 / no shares registered"
        )
    if not charges:
        doubt = "没有计入的计量点 / no point is charged"
        return node("energy", name, None, unit, **mass(None, None, None), because=[doubt])
    if asked.basis == ELECTRICITY:
        return _electricity(name, charges, frames, registry)
    shares = [_share(charge, asked, frames, registry, factors) for charge in charges]
    return mass_sum("energy", name, shares, unit=unit, formula="Σ 分摊比例 × 计量点 / Σ share × point")


def _charges_of(asked: Charged, frames: Frames, registry: Registry) -> list[dict[str, Any]]:
    """`energy_charges` of the figure, each clipped to its days."""
    row = pl.DataFrame(
        {
            "enterprise": [asked.subject], "denominator": [asked.denominator],
            "scope": [asked.scope.value], "basis": [asked.basis],
        }
    )  # fmt: skip
    facts = EnergyFacts(
        enterprise_days=frames["ENTERPRISE_DAYS"],
        scope_days=frames["SCOPE_DAYS"],
        blocks=frames["BLOCKS"],
        point_days=frames["POINT_DAYS"],
        point_gaps=POINT_GAPS.empty(),
    )
    found = energy_charges(row, registry.product_shares, facts).with_columns(
        since=pl.max_horizontal("from_day", pl.lit(asked.first)),
        until=pl.min_horizontal("to_day", pl.lit(asked.end)),
    )
    return found.filter(pl.col("since") < pl.col("until")).sort("source", "since").to_dicts()


def _is_outside_shares(asked: Charged, shares: pl.DataFrame) -> bool:
    """Whether the product has shares, but not on all of these days."""
    spans = charged_spans(shares).filter(
        pl.col("enterprise") == asked.subject, pl.col("denominator") == asked.denominator
    )
    within = spans.filter(pl.col("from_day") <= asked.first, pl.col("to_day") >= asked.end)
    return spans.height > 0 and within.is_empty()


def _share(
    charge: Mapping[str, Any],
    asked: Charged,
    frames: Frames,
    registry: Registry,
    factors: Mapping[str, Factor],
) -> Node:
    """A product's share of a point: one product, rounded once, bounds outward."""
    span = Span(charge["since"], charge["until"], asked.span.basis, asked.scope, is_whole=True)
    share, unit = Fraction(charge["num"], charge["den"]), span.basis.tonne
    days, blocks = _rows_of(charge, span, frames)
    opened = Opened(span, point_days=frames["POINT_DAYS"], registry=registry, factors=factors)
    points = opened.points(days, blocks)
    coefficient = node("share", "分摊比例 / share", float(share), "1", facts={"fraction": str(share)})
    if not points:
        name = charge["source"] or "无数据的计量点 / a point without data"
        return node("no_factor", name, None, unit, **mass(None, None, None), beside=[coefficient])
    (point,) = points
    base = point["exact"] or 0  # nothing measured: the bounds stand on nothing
    falls = [None if point[f"exact_{side}"] is None else (point[f"exact_{side}"] - base) * share
             for side in (("low", "high") if share > 0 else ("high", "low"))]  # fmt: skip
    grams = round(base * share)
    low, high = (
        None if fall is None else grams + whole(fall)
        for fall, whole in zip(falls, (math.floor, math.ceil), strict=True)
    )
    known = None if point["exact"] is None else grams
    return node(
        "no_factor" if lacks_factor(point) else "charge", point["name"], tonnes(known), unit, op="product",
        formula="计量点 × 分摊比例，修约到克 / point × share, rounded to g",
        **mass(known, low, high), children=[point, coefficient], facts=point["facts"],
    )  # fmt: skip


def _rows_of(charge: Mapping[str, Any], span: Span, frames: Frames) -> tuple[pl.DataFrame, pl.DataFrame]:
    """POINT_DAYS and BLOCKS of the charge's point in that use and on that side of the boundary; a share says
    by its own sign how they count."""
    point, use, sign = (charge["source"] or "0//0").split("/")
    one = pl.lit(1, pl.Int8).alias("counts")
    same = (pl.col("use") == use) & (pl.col("sign") == int(sign))
    days = span.of(frames["POINT_DAYS"]).filter(same, pl.col("point") == int(point)).with_columns(one)
    return days, frames["BLOCKS"].filter(same, pl.col("via") == int(point)).with_columns(one)


def _electricity(name: str, charges: list[dict[str, Any]], frames: Frames, registry: Registry) -> Node:
    """kWh of the points charged: their days and the long gaps within. Units: 10⁻³ kWh."""
    names = names_of(registry.points)
    leaves = []
    for charge in charges:
        span = Span(charge["since"], charge["until"], Basis.CALORIFIC, Scope.TOTAL, is_whole=True)
        days, blocks = _rows_of(charge, span, frames)
        start, stop = span.window
        inside = blocks.filter(pl.col("start") >= start, pl.col("end") <= stop)
        parts = [*days["amount"].drop_nulls(), *inside["amount"]]
        share = Fraction(charge["num"], charge["den"])
        amount = round(sum(parts) * share) if parts else None
        point = int(charge["source"].split("/")[0]) if charge["source"] else 0
        named = names.get(point, {"tag": "", "name": str(point)})
        leaves.append(
            node(
                "charge", named["name"], None if amount is None else amount / MILLI, "kWh",
                exact=amount, exact_unit="10⁻³ kWh", formula="计量点 × 分摊比例 / point × share",
                facts={"point": str(point), **named, "share": str(share)},
            )
        )  # fmt: skip
    known = [leaf["exact"] for leaf in leaves if leaf["exact"] is not None]
    total = sum(known) if known else None
    value = None if total is None else total / MILLI
    return node("energy", name, value, "kWh", op="sum", exact=total, exact_unit="10⁻³ kWh", children=leaves)
