"""Data quality opened: silence, dark days, completeness, and what does not add up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analytics.calendar_library import Calendar, working_days
from analytics.explanation.nodes import Node, node
from analytics.explanation.totals import names_of
from nengshao.domain.rules import Measure
from nengshao.domain.time import accounting_day, date_of, day_number, day_start, iso_text
from nengshao.domain.units import MILLI, Carrier
from nengshao.registry import Registry

Row = Mapping[str, Any]


def silence_tree(row: Row, *, registry: Registry, last_seen: pl.DataFrame) -> Node:
    """A SILENT_SECONDS row: the instant it was taken less that by which the device owed a delivery.

    `last_seen`: LAST_SEEN_SCHEMA; a device that was never heard owes since its duty began.
    """
    device, at = row["subject"], row["at"]
    mine = (pl.col("enterprise") == row["enterprise"]) & (pl.col("device") == device)
    duty = registry.devices.filter(mine, pl.col("valid_from") <= at).sort("valid_from").tail(1)
    cadence = duty["cadence_s"].item() if duty.height else None
    due_at = None if row["value"] is None else at - int(row["value"])
    heard = last_seen.filter(mine)["at"].max()
    served = registry.points.filter(
        pl.col("device") == device,
        pl.col("valid_from") <= at,
        pl.col("valid_to").is_null() | (pl.col("valid_to") > at),
    )
    return node(
        row["measure"], Measure.SILENT_SECONDS.zh, row["value"], "s", op="difference",
        exact=None if due_at is None else at - due_at, exact_unit="s",
        formula="此刻 − 应有数据的时刻 / the instant it was taken − when a delivery was due",
        children=[_instant("此刻 / taken at", at), _instant("应有数据的时刻 / a delivery was due", due_at)],
        facts={
            "device": device, "cadence_s": cadence,
            "last_seen": None if heard is None else iso_text(int(heard)),  # type: ignore[arg-type]  # an Int64 column
            "points": [
                {"point": str(point), **named} for point, named in sorted(names_of(served).items())
            ],
        },
    )  # fmt: skip


def _instant(name: str, at: int | None) -> Node:
    text = None if at is None else iso_text(at)
    return node("instant", name, at, "s", exact=at, exact_unit="s", facts={"at": text})


def dark_days_tree(row: Row, *, point_days: pl.DataFrame, registry: Registry, calendar: Calendar) -> Node:
    """A MISSING_WORKING_DAYS row: the days of the run, each counted as 1 if it is worked, else as 0."""
    point, last = int(row["subject"]), accounting_day(row["at"]) - 1
    mine = point_days.filter(pl.col("point") == point, pl.col("day") <= last).sort("day", descending=True)
    run: list[int] = []
    for day in mine.iter_rows(named=True):
        is_dark = day["missing_s"] > 0 and not day["measured_s"] and not day["estimated_s"]
        if not is_dark or (run and day["day"] != run[-1] - 1):
            break
        run.append(day["day"])
    run.reverse()
    first, end = (run[0], run[-1] + 1) if run else (last, last)
    days = working_days(calendar, first, end).to_dicts() if run else []
    doubts = [f"节假日安排 / calendar {date_of(d['day']).year}" for d in days if not d["is_confirmed"]]
    return node(
        row["measure"], Measure.MISSING_WORKING_DAYS.zh, row["value"], "d", op="sum",
        low=row["low"], high=row["high"], exact=sum(d["is_working"] for d in days), exact_unit="d",
        formula="Σ 连续无数据的工作日 / working days of the unbroken run without data",
        because=dict.fromkeys(doubts),
        children=[
            node(
                "day", date_of(d["day"]).isoformat(), float(d["is_working"]), "d",
                exact=int(d["is_working"]), exact_unit="d", facts={"is_working": d["is_working"]},
            )
            for d in days
        ],
        facts=_of_point(point, registry),
    )  # fmt: skip


def completeness_tree(row: Row, *, point_days: pl.DataFrame, registry: Registry) -> Node:
    """A COMPLETENESS row: measured time over all time that was due, of the settled days of its month."""
    point, end = int(row["subject"]), accounting_day(row["at"])
    first = day_number(date_of(end - 1).replace(day=1))
    days = point_days.filter(
        pl.col("point") == point, pl.col("day").is_between(first, end, closed="left")
    ).sort("day")
    measured, due = [], []
    for day in days.iter_rows(named=True):
        name = date_of(day["day"]).isoformat()
        whole = day["measured_s"] + day["estimated_s"] + day["missing_s"]
        measured.append(_seconds("day", name, day["measured_s"] + day["spread_s"]))
        due.append(_seconds("day", name, whole))
    return node(
        row["measure"], Measure.COMPLETENESS.zh, row["value"], "1", op="quotient",
        formula="实测时间 / 应有时间 = measured time / time that was due",
        children=[_sum_of_seconds("实测时间 / measured", measured), _sum_of_seconds("应有时间 / due", due)],
        facts=_of_point(point, registry),
    )  # fmt: skip


def _seconds(kind: str, name: str, seconds: int) -> Node:
    return node(kind, name, seconds, "s", exact=seconds, exact_unit="s")


def _sum_of_seconds(name: str, days: Sequence[Node]) -> Node:
    total = sum(day["exact"] for day in days)
    return node("time", name, total, "s", op="sum", exact=total, exact_unit="s", children=days)


def balance_tree(row: Row, *, point_days: pl.DataFrame, blocks: pl.DataFrame, registry: Registry) -> Node:
    """A BALANCE_RESIDUAL row: |meter − Σ sub-meters| / meter, of its month."""
    month, tag = row["subject"].split("/", 1)
    latest = registry.points.unique("point", keep="last", maintain_order=True)
    meter = next((p for p, named in names_of(latest).items() if named["tag"] == tag), None)
    subs = latest.filter(pl.col("parent") == meter)["point"].sort().to_list() if meter is not None else []
    amounts = _Amounts(month, point_days, blocks, registry)
    whole = amounts.summed("总表 / meter", [] if meter is None else [meter])
    parts = amounts.summed("分表之和 / sub-meters", subs)
    return _residual(row, whole, parts, "|总表 − Σ 分表| / 总表 = |meter − Σ sub-meters| / meter")


def deviation_tree(row: Row, *, point_days: pl.DataFrame, blocks: pl.DataFrame, registry: Registry) -> Node:
    """A SERIES_DEVIATION row: |Σ finer series − coarser one| / coarser one, of its month and item."""
    month, item = row["subject"].split("/", 1)
    data_code, stat_type = item.rsplit(".", 1)
    latest = registry.points.unique("point", keep="last", maintain_order=True).filter(
        pl.col("data_code") == data_code
    )
    below = latest.filter(pl.col("stat_type") < int(stat_type))
    feeding = below.filter("feeds_total")
    # One of the two feeds, the other reconciles; of several finer series the next one is compared.
    coarser = latest.filter(
        pl.col("stat_type") == int(stat_type), pl.col("feeds_total") == feeding.is_empty()
    )
    finer = below if feeding.is_empty() else feeding
    finer = finer.filter(pl.col("stat_type") == pl.col("stat_type").max())
    amounts = _Amounts(month, point_days, blocks, registry)
    coarse = amounts.summed("月度数据 / coarser series", coarser["point"].sort().to_list())
    fine = amounts.summed("逐日之和 / finer series", finer["point"].sort().to_list())
    return _residual(row, coarse, fine, "|Σ 细 − 粗| / 粗 = |Σ finer − coarser| / coarser")


class _Amounts:
    """What points came to in a month: their days, and the long gaps that lie in it."""

    def __init__(
        self, month: str, point_days: pl.DataFrame, blocks: pl.DataFrame, registry: Registry
    ) -> None:
        first = dt.date.fromisoformat(f"{month}-01")
        end = (first + dt.timedelta(days=31)).replace(day=1)
        self._first, self._end = day_number(first), day_number(end)
        self._days = point_days.filter(pl.col("day").is_between(self._first, self._end, closed="left"))
        start, stop = day_start(self._first), day_start(self._end)
        own = pl.col("via") == pl.col("point")
        self._blocks = blocks.filter(own, pl.col("start") >= start, pl.col("end") <= stop)
        self._registry = registry

    def summed(self, name: str, points: Sequence[int]) -> Node:
        """The sum of these points, in 10⁻³ units of their carrier; unknown if one of them is."""
        leaves = [self._leaf(point) for point in points]
        known = [leaf["exact"] for leaf in leaves if leaf["exact"] is not None]
        total = sum(known) if leaves and len(known) == len(leaves) else None
        unit = leaves[0]["unit"] if leaves else ""
        value = None if total is None else total / MILLI
        return node(
            "amount", name, value, unit, op="sum", exact=total, exact_unit=f"10⁻³ {unit}", children=leaves
        )

    def _leaf(self, point: int) -> Node:
        mine = pl.col("point") == point
        days = self._days.filter(mine)
        parts = [*days["amount"].drop_nulls(), *self._blocks.filter(mine)["amount"]]
        total = sum(parts) if parts else None
        seconds = {s: int(days[f"{s}_s"].sum()) for s in ("measured", "estimated", "missing", "pending")}
        whole = sum(seconds.values())
        rows = self._registry.points.filter(mine).sort("valid_from")
        unit = Carrier(rows["carrier"][-1]).unit.value
        facts = _of_point(point, self._registry)
        return node(
            "amount", facts["name"], None if total is None else total / MILLI, unit,
            exact=total, exact_unit=f"10⁻³ {unit}",
            coverage={**{s: n / whole for s, n in seconds.items()}, "days": days.height} if whole else None,
            facts=facts,
        )  # fmt: skip


def _residual(row: Row, whole: Node, parts: Node, formula: str) -> Node:
    measure = Measure(row["measure"])
    known = [side["exact"] for side in (whole, parts)]
    gap = None if None in known else abs(known[0] - known[1])
    unit = whole["unit"]
    distance = node(
        "residual", "差额 / difference", None if gap is None else gap / MILLI, unit, op="distance",
        exact=gap, exact_unit=whole["exact_unit"], children=[whole, parts],
    )  # fmt: skip
    reference = {**whole, "op": "", "children": []}  # opened above
    return node(
        measure.value, measure.zh, row["value"], "1", op="quotient", low=row["low"], high=row["high"],
        formula=formula, children=[distance, reference],
        coverage=None if row["coverage"] is None else {"covered": row["coverage"]},
    )  # fmt: skip


def _of_point(point: int, registry: Registry) -> dict[str, Any]:
    return {"point": str(point), **names_of(registry.points).get(point, {"tag": "", "name": str(point)})}
