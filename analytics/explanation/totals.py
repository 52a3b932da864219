"""A total opened: points, their days by factor, long gaps, and what is missing with how it bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from analytics.explanation.factors import factor_leaf, gone_factor_leaf
from analytics.explanation.nodes import Node, mass, mass_sum, node, rest_of, tonnes
from analytics.explanation.spans import Span, span_facts, used_in_spans
from analytics.integers import narrow, rounded_quotient, wide
from analytics.scopes import scope_sign
from analytics.specs import FOREVER
from analytics.totals import gap_of
from analytics.virtuals import terms_multiplied_out
from nengshao.domain.factors import Basis, Factor
from nengshao.domain.time import DAY_S, accounting_day, date_of, day_start, iso_text
from nengshao.domain.units import MILLI, Carrier
from nengshao.registry import Registry

SHARES: Final = ("measured", "estimated", "missing", "pending")
MOST_BLOCKS: Final = 50
"""Long gaps of a point that are shown one by one; what more there are is one node with their sum."""

_SECONDS: Final = [f"{share}_s" for share in SHARES]
_GROUP: Final = ["point", "carrier", "counts", "factor"]


def total_tree(
    enterprise: str,
    span: Span,
    *,
    frames: Mapping[str, pl.DataFrame],
    registry: Registry,
    factors: Mapping[str, Factor],
) -> Node:
    """An enterprise's total, opened down to amounts × factors; the leaves' `exact` add up to the root's.

    `frames`: POINT_DAYS, BLOCKS, ENTERPRISE_DAYS, SCOPE_DAYS. Were what was published ever something else
    than the points' sum, a node of kind "residual" would say by how much. Missing: a point without any
    figure adds nothing to the value and its gap to the bounds. Units: g.
    """
    mine = span.of(frames["POINT_DAYS"]).with_columns(counts=scope_sign(span.scope))
    counting = mine.filter(pl.col("counts") != 0)
    opened = Opened(span, point_days=frames["POINT_DAYS"], registry=registry, factors=factors)
    children = opened.points(counting, frames["BLOCKS"].with_columns(counts=scope_sign(span.scope)))
    published = used_in_spans([(enterprise, span)], frames)[0]
    name = "已发布数字与现有明细之差 / the published figure minus what it opens into"
    return mass_sum(
        "total",
        f"{span.scope.zh}（{span.basis.zh}）",
        [*children, *rest_of(published, children, name, span.basis.tonne)],
        unit=span.basis.tonne,
        formula="Σ 输入 − Σ 输出，按口径计 / inputs − outputs, as the scope counts them",
        coverage=coverage_of(counting, is_whole=span.is_whole, weight=pl.col("weight_g_day")),
        facts={"enterprise": enterprise, **span_facts(span), "not_counted": opened.not_counted(mine)},
    )


def names_of(points: pl.DataFrame) -> dict[int, dict[str, str]]:
    """Per point what people and the API call it: `dataCode.statType.meter`, and its name."""
    tag = pl.format("{}.{}.{}", "data_code", "stat_type", "meter")  # as PointKey.tag
    rows = points.sort("valid_from").select("point", tag, "name").iter_rows()
    return {point: {"tag": tag, "name": name} for point, tag, name in rows}


def coverage_of(days: pl.DataFrame, *, is_whole: bool, weight: pl.Expr) -> dict[str, Any] | None:
    """Shares of the time by weight, and the number of days; None if nothing was expected."""
    spread = pl.col("spread_s") if is_whole else pl.lit(0, pl.Int64)
    seconds = {"measured": pl.col("measured_s") + spread, "estimated": pl.col("estimated_s") - spread}
    row = days.select(
        *((seconds.get(s, pl.col(f"{s}_s")).cast(pl.Int128) * weight).sum().alias(s) for s in SHARES),
        days=pl.col("day").n_unique(),
    ).row(0, named=True)
    total = sum(row[share] or 0 for share in SHARES)  # null: no day at all, or none with a weight
    return {**_rounded(row, total), "days": row["days"]} if total else None


class Opened:
    """Builds the nodes below one total."""

    def __init__(
        self, span: Span, *, point_days: pl.DataFrame, registry: Registry, factors: Mapping[str, Factor]
    ) -> None:
        self._span, self._factors, self._point_days = span, factors, point_days
        self._names = names_of(registry.points)
        self._terms = terms_multiplied_out(registry.virtual_terms)
        self._virtual = set(self._terms["point"])

    def points(self, days: pl.DataFrame, blocks: pl.DataFrame) -> list[Node]:
        """A node for each point of these POINT_DAYS and BLOCKS rows; `counts`: with which sign, not 0."""
        by_point, gaps = self._conversions(days), self._blocks(blocks)
        days_of = days.partition_by("point", as_dict=True)
        return [
            self._point(
                point, [*by_point.get(point, []), *gaps.get(point, [])], days_of.get((point,), days.clear())
            )
            for point in sorted({*by_point, *gaps})
        ]

    def _point(self, point: int, parts: list[Node], days: pl.DataFrame) -> Node:
        """One point as it counts: its days by factor, its long gaps, and what it misses."""
        return mass_sum(
            "virtual" if point in self._virtual else "point",
            self._named(point)["name"],
            parts,
            unit=self._span.basis.tonne,
            formula="Σ 用量 × 系数 + Σ 块 / amounts × factors + long gaps",
            coverage=coverage_of(days, is_whole=self._span.is_whole, weight=pl.lit(1, pl.Int128)),
            # Days without an amount rest on their factor too: it is in their bounds.
            because=self._doubts(days[f"{self._span.basis}_factor"].unique().sort()),
            facts={"point": str(point), **self._named(point)},
        )

    def _doubts(self, factor_ids: Iterable[str | None]) -> list[str]:
        factors = [None if factor_id is None else self._factor(factor_id) for factor_id in factor_ids]
        return [
            doubt
            for factor in factors
            for doubt in (["缺系数 / no factor"] if factor is None else factor["because"])
        ]

    def _conversions(self, days: pl.DataFrame) -> dict[int, list[Node]]:
        """By point: a conversion per carrier, sign and factor, and what its days miss."""
        basis = self._span.basis
        rates = pl.DataFrame(
            [(f.factor_id, f.per_unit.numerator, f.per_unit.denominator) for f in self._factors.values()],
            schema={"factor": pl.String, f"{basis}_num": pl.Int64, f"{basis}_den": pl.Int64},
            orient="row",
        )
        amounts = ("amount", f"{basis}_g")
        groups = (
            days.with_columns(factor=pl.col(f"{basis}_factor"))
            .join(rates, on="factor", how="left")
            .with_columns(below=gap_of("low", basis), above=gap_of("high", basis))
            .sort("day")
            .group_by(_GROUP, maintain_order=True)
            .agg(
                *(pl.when(pl.col(n).is_not_null().any()).then(pl.col(n).sum()).alias(n) for n in amounts),
                *(pl.when(pl.col(n).is_not_null().all()).then(pl.col(n).sum()) for n in ("below", "above")),
                *(pl.col(n).sum() for n in (*_SECONDS, "spread_s")),
                pl.col("day"),
                missing_days=(pl.col("missing_s") > 0).sum(),
            )
        )
        found: dict[int, list[Node]] = {}
        for row in groups.iter_rows(named=True):
            found.setdefault(row["point"], []).extend(self._conversion(row))
        return found

    def _conversion(self, row: Mapping[str, Any]) -> list[Node]:
        basis, counts = self._span.basis, row["counts"]
        days = row["day"]
        facts = {
            "carrier": row["carrier"], "carrier_zh": Carrier(row["carrier"]).zh, "sign": counts,
            "from": date_of(days[0]).isoformat(), "to": date_of(days[-1] + 1).isoformat(), "days": len(days),
        }  # fmt: skip
        if row["factor"] is None:
            name = f"{facts['carrier_zh']}：缺{basis.zh}系数 / no {basis.value} factor"
            return [node("no_factor", name, None, basis.tonne, **mass(None, None, None), facts=facts)]
        nodes = []
        if row["amount"] is not None:
            grams = counts * row[f"{basis}_g"]
            nodes.append(
                node(
                    "conversion", facts["carrier_zh"], tonnes(grams), basis.tonne, op="product",
                    formula="Σ 逐日（用量 × 系数，修约到克）/ by day, amount × factor rounded to g",
                    **mass(grams, grams, grams),
                    coverage=_shares(row, is_whole=self._span.is_whole), facts=facts,
                    children=[self._amount(row), self._factor(row["factor"]), *_minus(counts)],
                )
            )  # fmt: skip
        low, high = row["below"], row["above"]
        if counts < 0:
            low, high = (None if bound is None else -bound for bound in (high, low))
        if (low, high) != (0, 0):
            name = "缺失时段 / missing time"
            missing = {**facts, "missing_days": row["missing_days"], "missing_s": row["missing_s"]}
            nodes.append(node("gap", name, None, basis.tonne, **mass(None, low, high), facts=missing))
        return nodes

    def _factor(self, factor_id: str) -> Node:
        known = self._factors.get(factor_id)
        return gone_factor_leaf(factor_id) if known is None else factor_leaf(known)

    def _amount(self, row: Mapping[str, Any]) -> Node:
        """What flowed, in 10⁻³ canonical units; a virtual point's is opened into its terms."""
        unit = Carrier(row["carrier"]).unit
        fields = {
            "exact": row["amount"], "exact_unit": f"10⁻³ {unit}",
            "coverage": _shares(row, is_whole=self._span.is_whole),
        }  # fmt: skip
        value = row["amount"] / MILLI
        if row["point"] not in self._virtual:
            return node("amount", "实测与估算用量 / measured and estimated", value, unit, **fields)
        terms = self._term_nodes(row, unit)
        name = "虚拟计量点 / of a virtual point"
        return node("amount", name, value, unit, op="sum", formula="Σ 系数 × 用量", children=terms, **fields)

    def _term_nodes(self, row: Mapping[str, Any], unit: str) -> list[Node]:
        days = pl.DataFrame({"day": row["day"]}, schema={"day": pl.Int32}).with_columns(
            at=day_start(pl.col("day").cast(pl.Int64))
        )
        of_term = self._point_days.select("day", "amount", term="point")
        parts = (
            self._terms.filter(pl.col("point") == row["point"])
            .with_columns(pl.col("valid_to").fill_null(FOREVER))
            .join_where(days, pl.col("valid_from") <= pl.col("at"), pl.col("at") < pl.col("valid_to"))
            .join(of_term, on=["term", "day"])
            .with_columns(part=narrow(rounded_quotient(wide("amount") * pl.col("num"), pl.col("den"))))
            .drop_nulls("part")
            .group_by("term", "num", "den")
            .agg(pl.col("amount", "part").sum(), days=pl.len())
            .sort("term", "num", "den")
        )
        return [self._term(part, unit) for part in parts.iter_rows(named=True)]

    def _term(self, part: Mapping[str, Any], unit: str) -> Node:
        num, den = part["num"], part["den"]
        coefficient = str(num) if den == 1 else f"{num}/{den}"
        return node(
            "term", self._named(part["term"])["name"], part["part"] / MILLI, unit,
            exact=part["part"], exact_unit=f"10⁻³ {unit}",
            formula="Σ 逐日（系数 × 用量）/ by day, coefficient × amount",
            facts={
                "point": str(part["term"]), **self._named(part["term"]),
                "coefficient": coefficient, "amount": part["amount"] / MILLI, "days": part["days"],
            },
        )  # fmt: skip

    def _blocks(self, blocks: pl.DataFrame) -> dict[int, list[Node]]:
        """By the point that counts them: long gaps that touch the days, inside and across the border."""
        start, stop = self._span.window
        near = blocks.filter(pl.col("counts") != 0, pl.col("start") < stop, pl.col("end") > start).sort(
            "via", "start", "point"
        )
        basis = self._span.basis
        own = self._point_days.join(near.select(point="via").unique(), on="point", how="semi")
        factor_of = {
            (point, day): factor
            for point, day, factor in own.select("point", "day", f"{basis}_factor").rows()
        }
        found: dict[int, list[Node]] = {}
        for row in near.iter_rows(named=True):
            factor_id = factor_of.get((row["via"], accounting_day(row["start"])))
            found.setdefault(row["via"], []).append(self._block(row, factor_id))
        return {via: _capped(nodes, basis) for via, nodes in found.items()}

    def _block(self, row: Mapping[str, Any], factor_id: str | None) -> Node:
        basis, (start, stop) = self._span.basis, self._span.window
        facts = {
            "point": str(row["point"]), **self._named(row["point"]), "sign": row["counts"],
            "start": iso_text(row["start"]), "end": iso_text(row["end"]),
            "days": (row["end"] - row["start"]) / DAY_S, "amount": row["amount"] / MILLI,
        }  # fmt: skip
        if row[f"{basis}_g"] is None:
            return node("no_factor", "块：缺系数 / block, no factor", None, basis.tonne,
                        **mass(None, None, None), facts=facts)  # fmt: skip
        grams = row["counts"] * row[f"{basis}_g"]
        factor = [] if factor_id is None else [self._factor(factor_id)]
        if start <= row["start"] and row["end"] <= stop:
            name = "块：长缺口内的准确用量 / exact amount of a long gap"
            return node("block", name, tonnes(grams), basis.tonne, **mass(grams, grams, grams),
                        facts={**facts, "is_inside": True}, beside=factor)  # fmt: skip
        name = "块：跨期，计入上下界 / across the border, in the bounds only"
        return node("block", name, None, basis.tonne, **mass(None, min(grams, 0), max(grams, 0)),
                    facts={**facts, "is_inside": False}, beside=factor)  # fmt: skip

    def not_counted(self, days: pl.DataFrame) -> list[dict[str, Any]]:
        """The points with days that this scope does not count: what is inside, or of another use."""
        rest = days.group_by("point").agg(
            is_out=(pl.col("counts") == 0).all(), sign=pl.col("sign").last(), use=pl.col("use").last()
        )
        return [
            {"point": str(row["point"]), **self._named(row["point"]), "sign": row["sign"], "use": row["use"]}
            for row in rest.filter("is_out").sort("point").iter_rows(named=True)
        ]

    def _named(self, point: int) -> dict[str, str]:
        return self._names.get(point, {"tag": "", "name": str(point)})


def _rounded(seconds: Mapping[str, int], total: int) -> dict[str, float]:
    """Shares of a total, as they are shown: to six digits."""
    return {share: round(seconds[share] / total, 6) for share in SHARES}


def _minus(counts: int) -> list[Node]:
    """What an output is multiplied by, so that it is subtracted."""
    return [node("sign", "减去 / subtracted", float(counts), "1")] if counts < 0 else []


def _shares(row: Mapping[str, Any], *, is_whole: bool) -> dict[str, Any] | None:
    spread = row["spread_s"] if is_whole else 0
    seconds = {share: row[f"{share}_s"] for share in SHARES}
    seconds["measured"] += spread
    seconds["estimated"] -= spread
    total = sum(seconds.values())
    return {**_rounded(seconds, total), "days": len(row["day"])} if total else None


def _capped(nodes: list[Node], basis: Basis) -> list[Node]:
    """The first `MOST_BLOCKS`, and one node for what more there are."""
    shown, rest = nodes[:MOST_BLOCKS], nodes[MOST_BLOCKS:]
    if not rest:
        return shown
    name = f"其余 {len(rest)} 块 / {len(rest)} more"
    total = mass_sum("block", name, rest, unit=basis.tonne, formula="Σ 块")
    return [*shown, {**total, "op": "", "children": []}]
