"""Nodes: the one form of every explanation, and what it means that a tree adds up.

A node is a JSON-able mapping:

    kind          what it is: total, point, virtual, conversion, amount, term, factor, part, gap, block,
                  enterprise, residual, statistic, intensity, progress, quota, due, projection, norm, …
    name          what people call it
    value, unit   the figure as shown; null: unknown
    low, high     its bounds as shown; null: unbounded. Left out where a figure has none
    exact         the same figure as an integer of `exact_unit`; likewise exact_low, exact_high
    op            how it is made of its children, in their order: "sum", "product", "quotient", "difference",
                  "distance" (|a − b|), "change" ((a − b) / |b|), "reduction" (100 × (1 − a / b)),
                  "relative" (`intensity.relative`), "state" (of an intensity, its target, the year before);
                  "" for a leaf
    formula       the same for people
    coverage      shares of the time that were measured, estimated, missing, pending; and the days
    is_confirmed  whether an inspector may rest a case on it; `because`: what is not confirmed, else empty
    label         不作为执法依据, unless it is confirmed
    source, edition, confidence   of a fact of law or of a figure that somebody states
    facts         what else belongs to it, by name
    children      what it is made of, in the order of the formula
    beside        nodes to be shown with it that it is not made of

In a "sum" each child's integers stand as they count, so that they add up to the node's. A child that is
not known (exact null) adds nothing to the value and its own bounds to the bounds; a conversion without a
factor (kind "no_factor"), or a part that is not there (kind "not_there"), leaves the sum unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Node = dict[str, Any]

UNCONFIRMED_LABEL: Final = "不作为执法依据 / not a basis for enforcement"
"""What is shown on everything that rests on an unconfirmed factor, quota, statistic or threshold."""

G_PER_TONNE: Final = 1_000_000

_OUTSIDE: Final = ("exact_low", "exact_high")


def node(
    kind: str,
    name: str,
    value: float | None,
    unit: str,
    *,
    children: Sequence[Node] = (),
    because: Iterable[str] = (),
    **more: Any,
) -> Node:
    """A node; what is unconfirmed in it is its own `because` and that of its children."""
    reasons = list(dict.fromkeys([*because, *(reason for child in children for reason in child["because"])]))
    return {
        "kind": kind,
        "name": name,
        "value": value,
        "unit": unit,
        "op": "",
        **more,
        "is_confirmed": not reasons,
        "label": UNCONFIRMED_LABEL if reasons else None,
        "because": reasons,
        "children": list(children),
    }


def mass_sum(kind: str, name: str, children: Sequence[Node], *, unit: str, formula: str, **more: Any) -> Node:
    """The sum of masses, in g, shown in `unit`s of a tonne, with the bounds that the children leave."""
    exact = sum_of(children)
    low, high = (bound_of(children, side) for side in _OUTSIDE)
    return node(
        kind, name, tonnes(exact), unit, op="sum", formula=formula,
        low=tonnes(low), high=tonnes(high),
        exact=exact, exact_low=low, exact_high=high, exact_unit="g",
        children=children, **more,
    )  # fmt: skip


def sum_of(children: Iterable[Node]) -> int | None:
    """Σ exact of the children that are known; None if none is, or if something in them has no factor."""
    children = list(children)
    known = [child["exact"] for child in children if child["exact"] is not None]
    return sum(known) if known and not any(map(lacks_factor, children)) else None


def lacks_factor(tree: Node) -> bool:
    """Whether something that the node adds up has no factor, or is not there: then nothing is known of it."""
    is_lacking = tree["kind"] in ("no_factor", "not_there")
    return is_lacking or (tree["op"] == "sum" and any(map(lacks_factor, tree["children"])))


def bound_of(children: Iterable[Node], side: str) -> int | None:
    """Σ of one side's bounds; None if a child is unbounded on it, or has no factor."""
    bounds = [child[side] for child in children]
    return None if None in bounds else sum(bounds)


def tonnes(grams: int | None) -> float | None:
    """Tonnes of so many grams."""
    return None if grams is None else grams / G_PER_TONNE


def mass(grams: int | None, low: int | None, high: int | None) -> dict[str, Any]:
    """A mass in g and its bounds as the fields of a node; `value` is given apart."""
    return {
        "low": tonnes(low), "high": tonnes(high),
        "exact": grams, "exact_low": low, "exact_high": high, "exact_unit": "g",
    }  # fmt: skip


def leaves(tree: Node) -> list[Node]:
    """The nodes that are made of nothing else, in order."""
    return [leaf for child in tree["children"] for leaf in leaves(child)] if tree["children"] else [tree]


def rest_of(published: Mapping[str, Any], children: Sequence[Node], name: str, unit: str) -> list[Node]:
    """What a published figure (used_g, low_g, high_g) says more than its parts; nothing if nothing more."""
    if published["used_g"] is None or any(map(lacks_factor, children)):
        return []
    more, low, high = (
        None
        if published[whole] is None
        else published[whole] - sum(c[part] for c in children if c[part] is not None)
        for whole, part in (("used_g", "exact"), ("low_g", "exact_low"), ("high_g", "exact_high"))
    )
    return [node("residual", name, tonnes(more), unit, **mass(more, low, high))] if more else []
