"""Chains and circles in what the registry says of who stands on whom. Pure."""

from __future__ import annotations

import polars as pl


def unpeeled(edges: pl.DataFrame, times: int | None = None) -> pl.DataFrame:
    """What is left of (source, target) when edges to nodes without edges are taken away, `times` times.

    Without `times`: as long as there are any. Then every edge left leads into a circle, and every node with
    an edge has one that is left.
    """
    done = 0
    while done != times and not edges.is_empty():
        left = edges.join(edges.select(target="source").unique(), on="target", how="semi")
        if left.height == edges.height:
            break
        edges, done = left, done + 1
    return edges


def circles(edges: pl.DataFrame) -> list[list[int]]:
    """At least one circle of every part of the graph that has any: its nodes in order, the first least."""
    onward = dict(unpeeled(edges).sort("source", "target", descending=True).iter_rows())
    found, seen = [], set[int]()
    for start in sorted(onward):
        path: dict[int, int] = {}
        node = start
        while node not in seen and node not in path:
            path[node] = len(path)
            node = onward[node]
        if node in path:
            circle = list(path)[path[node] :]
            least = circle.index(min(circle))
            found.append(circle[least:] + circle[:least])
        seen |= path.keys()
    return found
