"""Stated figures as leaves: what was said of which period, by whom, and who approved it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analytics.explanation.nodes import Node, node
from analytics.statistics import WINDOW, in_force, stated_periods
from nengshao.domain.targets import StatisticState
from nengshao.domain.time import date_of, iso_text
from nengshao.domain.units import MILLI

Window = tuple[str, str, str, int, int]
"""subject, indicator, item, first_day, end_day (exclusive)."""


def stated_leaves(statistics: pl.DataFrame, window: Window) -> list[Node]:
    """The stated periods that fill the window from its start on (`statistics.stated_periods`), a leaf each.

    Units: `exact` in 10⁻³ of the unit.
    """
    asked = pl.DataFrame([window], schema={name: statistics.schema[name] for name in WINDOW}, orient="row")
    periods = stated_periods(statistics, asked).sort("stated_first").to_dicts()
    subject, indicator, item, *_ = window
    return [
        statistic_leaf(row)
        for period in periods
        for row in in_force(statistics)
        .filter(
            pl.col("subject") == subject, pl.col("indicator") == indicator, pl.col("item") == item,
            pl.col("first_day") == period["stated_first"], pl.col("end_day") == period["stated_end"],
        )
        .to_dicts()
    ]  # fmt: skip


def statistic_leaf(row: Mapping[str, Any]) -> Node:
    """A STATISTICS row."""
    state = StatisticState(row["state"])
    first, end = date_of(row["first_day"]).isoformat(), date_of(row["end_day"]).isoformat()
    named = "/".join(filter(None, (row["indicator"], row["item"])))
    doubt = f"统计 / statistic {named} {first} … {end}: {state.value}"
    decided = row["decided_at"]
    return node(
        "statistic", named, row["value"] / MILLI, row["unit"],
        exact=row["value"], exact_unit=f"10⁻³ {row['unit']}",
        because=() if state.is_confirmed else [doubt], source=row["source"],
        facts={
            "subject": row["subject"], "indicator": row["indicator"], "item": row["item"],
            "from": first, "to": end, "state": state.value, "accepted_at": iso_text(row["version"]),
            "submitted_by": row["submitted_by"], "decided_by": row["decided_by"],
            "decided_at": None if decided is None else iso_text(decided), "note": row["note"],
        },
    )  # fmt: skip


def stated_sum(name: str, leaves: Sequence[Node]) -> Node:
    """What the leaves come to; unknown without any."""
    total = sum(leaf["exact"] for leaf in leaves) if leaves else None
    unit = leaves[0]["unit"] if leaves else ""
    value = None if total is None else total / MILLI
    return node(
        "quantity", name, value, unit, op="sum", formula="Σ 所报期间 / Σ stated periods",
        exact=total, exact_unit=f"10⁻³ {unit}", children=leaves,
        because=() if leaves else ["未报 / not stated"],
    )  # fmt: skip
