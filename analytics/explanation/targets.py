"""Progress opened: what was used, what the quota's profile allows by then, what the year should come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from analytics.explanation.nodes import Node, mass, node, tonnes
from analytics.profiles import calendar_of, same_day_last_year, with_due
from analytics.quota import year_days
from analytics.specs import FOREVER
from analytics.usage import daily_totals, days_of_series
from nengshao.domain.codes import is_region_code
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.rules import Measure
from nengshao.domain.targets import Profile, Projection
from nengshao.domain.time import accounting_day, date_of
from nengshao.registry import Registry

_PROFILE_ZH: Final = {
    Profile.LINEAR: "按日均摊 / the days gone by over the days on duty",
    Profile.LAST_YEAR: "按上年同日累计 / the same days of the year before over all of them",
    Profile.PLAN: "按月度计划 / the plan's months gone by over all of them",
}
_SHARE_UNITS: Final = {
    Profile.LINEAR: "d",
    Profile.LAST_YEAR: "g",
    Profile.PLAN: "g·d",  # the month that is going on has gone by in part
}
_PROJECTION_ZH: Final = {
    Projection.LINEAR: "按今年至今外推 / as the days so far",
    Projection.LAST_YEAR: "按上年余下的日子 / the rest of last year",
    Projection.BLEND: "按上年走势与今年水平 / last year's shape at this year's level",
}
_OF_QUOTA: Final = ("enterprise", "year", "basis", "scope", "as_of_day", "quota_g")


def progress_tree(
    row: Mapping[str, Any],
    measure: Measure,
    used: Node | None,
    *,
    registry: Registry,
    frames: Mapping[str, pl.DataFrame],
) -> Node:
    """A PROGRESS row as the ratio that `measure` names: used, or projected, over what is due, or the quota.

    `used`: the total to the end of as_of_day, opened; None before the first complete day. `frames`:
    ENTERPRISE_DAYS, SCOPE_DAYS, BLOCKS of the year and, for the profile of the year before, of that too.
    Units: masses in g, shown in t.
    """
    quota = quota_leaf(row, registry.quotas)
    projection = _projection(row)
    facts = {
        "year": row["year"], "basis": row["basis"], "scope": row["scope"], "level": row["level"],
        "as_of": None if row["as_of_day"] is None else date_of(row["as_of_day"]).isoformat(),
    }  # fmt: skip
    if used is None:
        return node(
            measure.value, measure.zh, None, "1", facts=facts, because=quota["because"], beside=[quota]
        )
    if measure is Measure.PROGRESS_RATIO:
        due = due_tree(row, quota, registry=registry, frames=frames)
        figures = {"low": row["pace_low"], "high": row["pace_high"]}
        children, value, formula = [used, due], row["pace"], "已用 / 按进度可用 = used / due"
    elif measure is Measure.QUOTA_RATIO:
        figures = {side: _over(row[f"{side}_g"], row["quota_g"]) for side in ("low", "high")}
        children, value = [used, quota], _over(row["used_g"], row["quota_g"])
        formula = "已用 / 年度配额 = used / quota"
    else:
        figures = {side: _over(row[f"projected_{side}_g"], row["quota_g"]) for side in ("low", "high")}
        projection = _projection(row, because=used["because"])  # what was used is part of it
        children, value = [projection, quota], _over(row["projected_g"], row["quota_g"])
        formula = "全年预计 / 年度配额 = projected / quota; 上下界为 80 % 区间 / bounds: the 80 % interval"
    return node(
        measure.value, measure.zh, value, "1", op="quotient", formula=formula, children=children,
        beside=[used if measure is Measure.PROJECTED_RATIO else projection],
        coverage=None if row["coverage"] is None else {"covered": row["coverage"]},
        facts=facts, **figures,
    )  # fmt: skip


def quota_leaf(row: Mapping[str, Any], quotas: pl.DataFrame) -> Node:
    """The quota that a PROGRESS row is about, with the document that sets it."""
    key = ("enterprise", "year", "basis", "scope", "level")
    found = quotas.filter(pl.col(name) == row[name] for name in key)
    origin = found.row(0, named=True) if found.height else {}
    confidence = origin.get("confidence")
    is_confirmed = confidence is not None and Confidence(confidence).is_confirmed
    grams = row["quota_g"]
    return node(
        "quota", "年度配额 / quota of the year", tonnes(grams), Basis(row["basis"]).tonne,
        **mass(grams, grams, grams),
        because=() if is_confirmed else [f"配额 / quota {row['year']}: {confidence or 'withdrawn'}"],
        source=origin.get("source"), confidence=confidence,
        facts={"year": row["year"], "level": row["level"], "profile": origin.get("profile")},
    )  # fmt: skip


def due_tree(
    row: Mapping[str, Any], quota: Node, *, registry: Registry, frames: Mapping[str, pl.DataFrame]
) -> Node:
    """What the profile allows by the end of as_of_day: the quota × a fraction of two integers."""
    due = row["due_g"]
    profile = quota["facts"]["profile"]
    fraction = _share(row, profile, registry, frames) if profile is not None else None
    name = "按进度可用 / due by then"
    fields = mass(due, due, due) | {"facts": {"profile": profile}}
    if due is None or fraction is None:
        return node("due", name, tonnes(due), Basis(row["basis"]).tonne, **fields, because=quota["because"],
                    formula="所选进度无依据 / the profile has nothing to go by", beside=[quota])  # fmt: skip
    part, whole, is_confirmed = fraction
    doubts = () if is_confirmed else ("上年所用系数未经确认 / factors of the year before are unconfirmed",)
    unit = _SHARE_UNITS[Profile(profile)]
    share = node(
        "profile", _PROFILE_ZH[Profile(profile)], part / whole, "1", op="quotient",
        formula="至今 / 全年 = so far / all",
        children=[
            node("part", "至今 / so far", part, unit, exact=part, exact_unit=unit),
            node("part", "全年 / all", whole, unit, exact=whole, exact_unit=unit),
        ],
    )  # fmt: skip
    return node(
        "due", name, tonnes(due), Basis(row["basis"]).tonne, op="product",
        formula="配额 × 进度，修约到克 / quota × share, rounded to g", **fields, children=[quota, share],
        because=doubts,
    )  # fmt: skip


def _share(
    row: Mapping[str, Any], profile: str, registry: Registry, frames: Mapping[str, pl.DataFrame]
) -> tuple[int, int, bool] | None:
    """The part of the year that is due, the whole, and whether the year before is confirmed where the profile
    rests on it: as `profiles.with_due` takes them."""
    first_day, duty_end = duty_of(row["enterprise"], row["year"], registry)
    series = pl.LazyFrame(
        {
            **{name: [row[name]] for name in _OF_QUOTA},
            "series": [0], "profile": [profile], "first_day": [first_day], "duty_end": [duty_end],
            "end_day": [row["as_of_day"] + 1],
        },
        schema_overrides=dict.fromkeys(("year", "as_of_day", "first_day", "duty_end", "end_day"), pl.Int32),
    )  # fmt: skip
    days, scopes, blocks = (frames[name].lazy() for name in ("ENTERPRISE_DAYS", "SCOPE_DAYS", "BLOCKS"))
    before = series.with_columns(
        first_day=same_day_last_year(pl.col("first_day")),
        end_day=same_day_last_year(pl.col("duty_end") - 1) + 1,
    )
    this_year = daily_totals(series, days_of_series(series, days, scopes), blocks)
    published = days_of_series(before, days, scopes).filter("published")
    calendar = calendar_of(series, this_year, daily_totals(before, published, blocks))
    due = with_due(series, calendar, registry.quota_plans.lazy())
    part, whole, is_confirmed = due.select("part", "whole", "due_confirmed").collect().row(0)
    return None if part is None or whole is None else (int(part), int(whole), bool(is_confirmed))


def duty_of(subject: str, year: int, registry: Registry) -> tuple[int, int]:
    """The accounting days [first, end) of the year on which the subject is on duty; a region always is."""
    first, end = year_days(year)
    if is_region_code(subject):
        return first, end
    mine = registry.enterprises.filter(pl.col("enterprise") == subject).row(0, named=True)
    active_to = FOREVER if mine["active_to"] is None else mine["active_to"]
    return max(first, accounting_day(mine["active_from"])), min(end, accounting_day(active_to - 1) + 1)


def _projection(row: Mapping[str, Any], because: Sequence[str] = ()) -> Node:
    method = row["projection"]
    grams, low, high = (row[f"projected_{side}g"] for side in ("", "low_", "high_"))
    return node(
        "projection", "全年预计 / expected of the year", tonnes(grams), Basis(row["basis"]).tonne,
        **mass(grams, low, high), because=because,
        formula=_PROJECTION_ZH[Projection(method)] if method else "尚不足以预计 / not enough to say",
        facts={"method": method},
    )  # fmt: skip


def _over(grams: int | None, quota_g: int) -> float | None:
    """As `quota.measures_of_progress` divides."""
    return None if grams is None or quota_g <= 0 else grams / quota_g
