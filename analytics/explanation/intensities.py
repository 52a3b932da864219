"""Intensities opened: energy over a stated quantity, beside the norm, the target and earlier years."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from analytics import intensity_regions
from analytics.explanation.charges import Charged, energy_tree
from analytics.explanation.nodes import Node, mass, mass_sum, node
from analytics.explanation.norms import baseline_leaf, norm_tree
from analytics.explanation.spans import span_facts
from analytics.explanation.statistics import stated_leaves, stated_sum
from analytics.intensity import STATES
from analytics.intensity_charges import ELECTRICITY, unshared_among_others
from analytics.intensity_spans import PRODUCT, compared_spans
from nengshao.domain.codes import is_region_code
from nengshao.domain.factors import Basis, Confidence, Factor
from nengshao.domain.norms import NormTable
from nengshao.domain.rules import Measure
from nengshao.domain.targets import Indicator, TargetLevel
from nengshao.domain.time import date_of
from nengshao.domain.units import Scope
from nengshao.registry import Registry

Row = Mapping[str, Any]
_MICRO: Final = 1_000_000
_REDUCTIONS: Final = (Measure.REDUCTION_COMPLETION, Measure.REDUCTION_GAP)
_STATES_ARE: Final = "0 达到 1 未达到但下降 2 未达到且上升 / " + ", ".join(
    f"{number} {state}" for number, state in enumerate(STATES)
)
_FIGURE: Final = ("enterprise", "denominator", "basis", "scope")


@dataclass(frozen=True, slots=True)
class Intensities:
    """Opens the intensities of one subject, by what is at rest about it and the law."""

    frames: Mapping[str, pl.DataFrame]
    registry: Registry
    factors: Mapping[str, Factor]
    norms: NormTable

    def tree(self, row: Row) -> Node:
        """An INTENSITY row: energy over quantity, and beside it what it is held against.

        Units: kg (kWh) per unit of the denominator.
        """
        figure = self._figure(row, row["first_day"], row["end_day"])
        norm = norm_tree(row, self.norms, self.frames["STATISTICS"]) if row["norm"] else None
        beside = [self._target(row), self._compared(row, 1), norm]
        facts = {
            **figure["facts"], "period": row["period"], "is_whole": row["is_whole"], "change": row["change"],
            "chain": row["chain"], "state": row["state"], "grade": row["grade"], "gap": row["gap"],
        }  # fmt: skip
        return figure | {
            "low": row["intensity_low"], "high": row["intensity_high"], "facts": facts,
            "coverage": None if row["coverage"] is None else {"covered": row["coverage"]},
            "beside": [each for each in beside if each is not None],
        }  # fmt: skip

    def measure(self, measure_row: Row, row: Row) -> Node | None:
        """A MEASURES row, made of this INTENSITY row; None if the target that it needs was withdrawn."""
        measure = Measure(measure_row["measure"])
        if measure in _REDUCTIONS and not self._asks_reduction(row):
            return None
        children, op, formula = self._parts(measure, row)
        return node(
            measure.value, measure.zh, measure_row["value"], measure.unit, op=op, formula=formula,
            low=measure_row["low"], high=measure_row["high"], children=children,
            coverage=None if measure_row["coverage"] is None else {"covered": measure_row["coverage"]},
            facts={"period": row["period"], "subject": measure_row["subject"]},
        )  # fmt: skip

    def _parts(self, measure: Measure, row: Row) -> tuple[list[Node], str, str]:
        """What the measure is made of, the operation, and the formula for people."""
        figure = self.tree(row)
        if measure in _REDUCTIONS:
            actual, asked = self._reductions(row, figure)
            if measure is Measure.REDUCTION_GAP:
                return [asked, actual], "difference", "目标降低率 − 实际降低率 = target − actual"
            return [actual, asked], "quotient", "实际降低率 / 目标降低率 = actual / target"
        if measure is Measure.INTENSITY_CHANGE:
            formula = "(强度 − 上年) / |上年| = (intensity − previous) / |previous|"
            return [figure, self._compared(row, 1)], "change", formula
        if measure is Measure.INTENSITY_STATE:
            before = self._compared(row, 1)
            return [figure, self._reference(measure, row), before], "state", _STATES_ARE
        return [figure, self._reference(measure, row)], "relative", "强度 / 参照 = intensity / reference"

    def _reference(self, measure: Measure, row: Row) -> Node:
        """What the intensity is held against."""
        if measure is Measure.NORM_RATIO:
            return norm_tree(row, self.norms, self.frames["STATISTICS"])
        if measure is Measure.BASELINE_RATIO:
            return baseline_leaf(row, self.norms, self.frames["STATISTICS"])
        return self._target(row) or node("target", "未设目标 / no target", None, "")

    # ------------------------------------------------------------------------------------- figures

    def _figure(self, row: Row, first: int, end: int) -> Node:
        """The intensity of a row's subject over other days: energy and quantity, both opened."""
        asked = Charged(row["enterprise"], row["denominator"], row["basis"], Scope(row["scope"]), first, end)
        is_region = is_region_code(asked.subject)
        energy = self._stated_energy(asked) if is_region else self._charged_energy(asked)
        quantity = self._quantity(asked)
        over, under = energy["exact"], quantity["exact"]
        value = over / under if over is not None and under is not None and under > 0 else None
        unit = f"{'kWh' if row['basis'] == ELECTRICITY else 'kg'}/{quantity['unit']}"
        return node(
            "intensity", f"{row['denominator']} {date_of(first)} … {date_of(end)}", value, unit,
            op="quotient", formula="能耗 / 产量或产值 = energy / quantity", children=[energy, quantity],
            facts={
                "denominator": row["denominator"], "basis": row["basis"], "scope": row["scope"],
                "from": date_of(first).isoformat(), "to": date_of(end).isoformat(),
            },
        )  # fmt: skip

    def _charged_energy(self, asked: Charged) -> Node:
        """What the enterprise or the product used; unknown of a product without shares beside others."""
        row = pl.DataFrame(
            [(asked.subject, asked.denominator, asked.first, asked.end)],
            schema=["enterprise", "denominator", "first_day", "end_day"], orient="row",
        )  # fmt: skip
        registry = self.registry
        if unshared_among_others(row, registry.product_shares, registry.products).is_empty():
            return energy_tree(asked, frames=self.frames, registry=registry, factors=self.factors)
        unit = "kWh" if asked.basis == ELECTRICITY else Basis(asked.basis).tonne
        return node(
            "energy", "产品用能 / energy that the product is charged with", None, unit,
            **mass(None, None, None),
            because=["企业有多种产品，本产品未登记分摊 / one of several products, without registered shares"],
        )  # fmt: skip

    def _quantity(self, asked: Charged) -> Node:
        if asked.denominator.startswith(PRODUCT):
            indicator, item = Indicator.OUTPUT.value, asked.denominator.removeprefix(PRODUCT)
        else:
            indicator, item = asked.denominator, ""
        window = (asked.subject, indicator, item, asked.first, asked.end)
        return stated_sum("产量或产值 / quantity", stated_leaves(self.frames["STATISTICS"], window))

    def _stated_energy(self, asked: Charged) -> Node:
        """A region's energy or carbon: as stated for the scope, or its total less what the scope excludes."""
        recipes = intensity_regions.RECIPES.filter(pl.col("scope") == asked.scope.value)
        for (_,), recipe in recipes.group_by("recipe", maintain_order=True):
            parts = [
                self._stated_part(asked, item, sign) for item, sign in recipe.select("item", "part").rows()
            ]
            if all(parts):
                leaves = [leaf for part in parts for leaf in part]
                return mass_sum("energy", "所报总量 / as stated", leaves, unit=Basis(asked.basis).tonne,
                                formula="Σ 所报 / Σ as stated", facts=span_facts(asked.span))  # fmt: skip
        return node("energy", "未报 / not stated", None, Basis(asked.basis).tonne, **mass(None, None, None))

    def _stated_part(self, asked: Charged, item: str, sign: int) -> list[Node]:
        """The statistics that say the item over exactly these days, in g as they count; empty: none does."""
        stated_as = intensity_regions.STATED_AS.filter(pl.col("basis") == asked.basis)
        grams_of = dict(stated_as.select("unit", "grams").iter_rows())
        indicator = stated_as["indicator"][0]
        leaves = stated_leaves(
            self.frames["STATISTICS"], (asked.subject, indicator, item, asked.first, asked.end)
        )
        if not leaves or leaves[-1]["facts"]["to"] != date_of(asked.end).isoformat():
            return []
        found = []
        for leaf in leaves:
            grams = sign * leaf["exact"] * grams_of[leaf["unit"]]
            found.append(leaf | mass(grams, grams, grams))
        return found

    # --------------------------------------------------------------------------------- comparisons

    def _compared(self, row: Row, years_back: int) -> Node:
        """The same days of an earlier year, opened."""
        span = pl.DataFrame(
            {
                **{name: [row[name]] for name in (*_FIGURE, "period", "first_day", "end_day")},
                "limit_day": [row["end_day"]],
            },
            schema_overrides=dict.fromkeys(("first_day", "end_day", "limit_day"), pl.Int32),
        )  # fmt: skip
        targets = self.registry.intensity_targets
        found = compared_spans(span, targets).filter(pl.col("years_back") == years_back).row(0, named=True)
        earlier = self._figure(row, found["first_day"], found["limit_day"])
        return earlier | {"name": f"{years_back} 年前 / {years_back} years before"}

    def _target_row(self, row: Row) -> Row | None:
        same = [pl.col(name) == row[name] for name in _FIGURE]
        base = pl.col("level") == TargetLevel.BASE
        found = self.registry.intensity_targets.filter(
            *same, base, pl.col("year").cast(pl.String) == row["period"]
        )
        return found.row(0, named=True) if found.height else None

    def _target(self, row: Row) -> Node | None:
        """The year's target: as set, or the base year's figure less the reduction asked."""
        set_as = self._target_row(row)
        if set_as is None:
            return None
        confidence = Confidence(set_as["confidence"])
        doubts = [] if confidence.is_confirmed else [f"目标 / target {row['period']}: {confidence.value}"]
        unit = f"kg/{row['unit'] or ''}"
        fields = {"source": set_as["source"], "confidence": confidence.value}
        if set_as["target_mg"] is not None:
            return node("target", "强度目标 / target", row["target"], unit, because=doubts, **fields)
        base = self._compared(row, int(row["period"]) - set_as["base_year"])
        energy = base["children"][0]
        if energy.get("exact_low") != energy.get("exact_high"):
            doubts.append(f"基年数据不全 / the base year {set_as['base_year']} is not complete")
        kept = node("share", "1 − 降低率 / 1 − reduction", 1 - set_as["reduction_ppm"] / _MICRO, "1")
        return node(
            "target", "强度目标 / target", row["target"], unit, op="product", children=[base, kept],
            because=doubts, formula="基年强度 × (1 − 降低率) = base year × (1 − reduction)", **fields,
            facts={"base_year": set_as["base_year"]},
        )  # fmt: skip

    def _asks_reduction(self, row: Row) -> bool:
        set_as = self._target_row(row)
        return set_as is not None and set_as["reduction_ppm"] is not None

    def _reductions(self, row: Row, figure: Node) -> tuple[Node, Node]:
        """The actual and the asked reduction rate, in percent of the base year's figure."""
        set_as = self._target_row(row) or {}
        base = self._compared(row, int(row["period"]) - set_as["base_year"])
        is_known = figure["value"] is not None and base["value"] is not None and base["value"] > 0
        rate = (1 - figure["value"] / base["value"]) * 100 if is_known else None
        actual = node(
            "reduction", "实际降低率 / actual reduction", rate, "pp", op="reduction",
            formula="100 × (1 − 强度 / 基年强度) = 100 × (1 − intensity / base year)",
            children=[figure, base],
        )  # fmt: skip
        target = self._target(row)
        asked = node(
            "target", "目标降低率 / target reduction", set_as["reduction_ppm"] / _MICRO * 100, "pp",
            source=set_as["source"], confidence=set_as["confidence"],
            because=[] if target is None else target["because"],
            facts={"base_year": set_as["base_year"]},
        )  # fmt: skip
        return actual, asked
