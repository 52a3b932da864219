"""Proofs over explanation trees: that every node is what its formula makes of its children."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

Tree = Mapping[str, Any]


def every(tree: Tree) -> Iterator[Tree]:
    """The node and all below it; not what is only shown beside."""
    yield tree
    for child in tree["children"]:
        yield from every(child)


def beside(tree: Tree, kind: str) -> Tree:
    """The one node of that kind that is shown beside."""
    (found,) = [node for node in tree["beside"] if node["kind"] == kind]
    return found


def of_kind(tree: Tree, kind: str) -> list[Tree]:
    """The nodes of that kind below (or at) the root, in order."""
    return [node for node in every(tree) if node["kind"] == kind]


def faults(tree: Tree) -> list[str]:
    """A line for every node that is not what its children make of it."""
    return [line for node in every(tree) for line in _faults_of(node)]


def _faults_of(node: Tree) -> list[str]:
    where = f"{node['kind']} {node['name']}"
    found = []
    if bool(node["because"]) == node["is_confirmed"] or (node["label"] is None) != node["is_confirmed"]:
        found.append(f"{where}: label, is_confirmed and because disagree")
    if not {reason for child in node["children"] for reason in child["because"]} <= set(node["because"]):
        found.append(f"{where}: a doubt of a child is not a doubt of the whole")
    if node["op"]:
        found += [f"{where}: {line}" for line in _CHECKS[node["op"]](node)]
    return found


def _sum(node: Tree) -> list[str]:
    children = node["children"]
    known = [child["exact"] for child in children if child["exact"] is not None]
    found = []
    if node["exact"] is not None and node["exact"] != sum(known):
        found.append(f"{node['exact']} is not Σ {known}")
    if node["exact"] is None and known and not [*of_kind(node, "no_factor"), *of_kind(node, "not_there")]:
        found.append(f"unknown, though {known} are known")
    for side in ("exact_low", "exact_high"):
        bounds = [child.get(side) for child in children]
        if node.get(side) is not None and (None in bounds or node[side] != sum(bounds)):
            found.append(f"{side} {node[side]} is not Σ {bounds}")
    return found


def _product(node: Tree) -> list[str]:
    """Rounded once for each day: half a unit of every day may be lost or won."""
    parts = [_figure(child) for child in node["children"]]
    days = node.get("facts", {}).get("days", 1)
    made = node["exact"] if node.get("exact") is not None else node["value"]
    if made is None or None in parts:
        return [] if made is None else [f"{made} is made of {parts}"]
    slack = 0.5 * days + 1e-9 * abs(made) if node.get("exact") is not None else 1e-9 * abs(made)
    return [] if abs(math.prod(parts) - made) <= slack else [f"{made} is not Π {parts}"]  # type: ignore[arg-type]  # none is None


def _ratio(make: Callable[[Sequence[float]], float]) -> Callable[[Tree], list[str]]:
    def check(node: Tree) -> list[str]:
        parts = [_figure(child) for child in node["children"]]
        value = _figure(node)
        if value is None or any(part is None for part in parts):
            return [] if value is None else [f"{value} is made of {parts}"]
        made = make(parts)  # type: ignore[arg-type]  # none is None
        return [] if math.isclose(made, value, rel_tol=1e-9, abs_tol=1e-12) else [f"{value} is not {made}"]

    return check


def _figure(node: Tree) -> float | None:
    """The exact integer where there is one."""
    exact, value = node.get("exact"), node["value"]
    return value if exact is None else exact


def _state(parts: Sequence[float]) -> float:
    intensity, target, before = parts
    return 0 if intensity <= target else 1 if intensity < before else 2


_CHECKS: Final[dict[str, Callable[[Tree], list[str]]]] = {
    "sum": _sum,
    "product": _product,
    "quotient": _ratio(lambda p: p[0] / p[1]),
    "difference": _ratio(lambda p: p[0] - p[1]),
    "distance": _ratio(lambda p: abs(p[0] - p[1])),
    "change": _ratio(lambda p: (p[0] - p[1]) / abs(p[1])),
    "relative": _ratio(lambda p: p[0] / p[1] if p[1] > 0 else 2 - p[0] / p[1]),
    "reduction": _ratio(lambda p: 100 * (1 - p[0] / p[1])),
    "state": _ratio(_state),
}
