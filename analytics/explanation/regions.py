"""A region's sum opened into its key units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analytics.explanation.nodes import Node, mass, mass_sum, node, rest_of, tonnes
from analytics.explanation.spans import Span, span_facts, used_in_spans

Row = Mapping[str, Any]


def region_tree(
    region: str, span: Span, *, frames: Mapping[str, pl.DataFrame], members: Sequence[Row], others: int = 0
) -> Node:
    """The sum of a region's key units: a node for each, to be opened by its own call.

    `members`: enterprise, name. `others`: how many key units more there are. `frames`: ENTERPRISE_DAYS and
    SCOPE_DAYS of the members and of the region, BLOCKS of all its key units under the region's code and of
    the members under theirs. What was published of the region and is none of the members' is a node of its
    own: the others', or what the region's days have not yet taken over. The sum is never called 单位GDP能耗:
    that is made of statistics alone.
    """
    subjects = [(member["enterprise"], span) for member in members]
    *used, published = used_in_spans([*subjects, (region, span)], frames)
    lacking = _without_factor(span, frames["ENTERPRISE_DAYS"])
    children = [
        _member(member, row, span, is_lacking=member["enterprise"] in lacking)
        for member, row in zip(members, used, strict=True)
    ]
    name = (
        f"其余 {others} 家 / {others} more key units"
        if others
        else "区域数字与现有明细之差 / the region's figure minus its key units'"
    )
    rest = rest_of(published, children, name, span.basis.tonne)
    if others and published["used_g"] is None:  # what the others came to is known of the region's days alone
        rest = [node("not_there", name, None, span.basis.tonne, **mass(None, None, None))]
    return mass_sum(
        "total", f"重点用能单位之和：{span.scope.zh}（{span.basis.zh}）/ sum of key units",
        [*children, *rest],
        unit=span.basis.tonne, formula="Σ 用能单位 / Σ key units", coverage=_coverage(published),
        facts={"region": region, **span_facts(span)},
    )  # fmt: skip


def _without_factor(span: Span, days: pl.DataFrame) -> set[str]:
    """The subjects that lack a factor on some day of the span."""
    is_lacking = (pl.col("no_factor") + ",").str.contains(f":{span.basis},", literal=True)
    return set(span.of(days).filter(is_lacking)["enterprise"])


def _member(member: Row, used: Row, span: Span, *, is_lacking: bool) -> Node:
    code = member["enterprise"]
    return node(
        "no_factor" if is_lacking else "enterprise", member["name"], tonnes(used["used_g"]), span.basis.tonne,
        **mass(used["used_g"], used["low_g"], used["high_g"]),
        because=() if used["is_confirmed"] else [f"用能单位 / enterprise {code}"],
        coverage=_coverage(used), facts={"enterprise": code, **span_facts(span)},
    )  # fmt: skip


def _coverage(used: Row) -> dict[str, Any] | None:
    return None if used["coverage"] is None else {"covered": used["coverage"]}
