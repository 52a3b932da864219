"""Spans: which days, on which basis, in which scope; and what many of them came to, at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from analytics.quota import quota_progress
from analytics.usage import days_of_series, with_used
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.targets import Profile, TargetLevel
from nengshao.domain.time import date_of, day_start
from nengshao.domain.units import Scope
from nengshao.frames import QUOTA_PLANS, QUOTAS

_USED: Final = ("used_g", "low_g", "high_g", "is_confirmed", "coverage")


@dataclass(frozen=True, slots=True)
class Span:
    """What a total is of: accounting days `first <= day < end`, on one basis, in one scope.

    `is_whole`: the days are whole months, or a year to date: a month's figure is then measured, not spread.
    """

    first: int
    end: int
    basis: Basis
    scope: Scope
    is_whole: bool

    @property
    def window(self) -> tuple[int, int]:
        """The instants [start, stop)."""
        return day_start(self.first), day_start(self.end)

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of these days."""
        return frame.filter(pl.col("day").is_between(self.first, self.end, closed="left"))


def span_facts(span: Span) -> dict[str, Any]:
    """What the figures of a span are of, as the facts of a node."""
    return {
        "basis": span.basis.value, "basis_zh": span.basis.zh,
        "scope": span.scope.value, "scope_zh": span.scope.zh,
        "from": date_of(span.first).isoformat(), "to": date_of(span.end).isoformat(),
    }  # fmt: skip


def used_in_spans(
    asked: Iterable[tuple[str, Span]], frames: Mapping[str, pl.DataFrame]
) -> list[dict[str, Any]]:
    """used_g, low_g, high_g, is_confirmed and coverage of spans of enterprises or regions, in their order.

    Units: g of standard coal, or of CO2. Missing: see `usage.with_used`; a span without any day is unknown.
    """
    rows = [
        (n, subject, span.basis.value, span.scope.value, span.first, span.end)
        for n, (subject, span) in enumerate(asked)
    ]
    schema = {
        "series": pl.Int64, "enterprise": pl.String, "basis": pl.String, "scope": pl.String,
        "first_day": pl.Int32, "end_day": pl.Int32,
    }  # fmt: skip
    series = pl.LazyFrame(rows, schema=schema, orient="row")
    days, scopes, blocks = (frames[name].lazy() for name in ("ENTERPRISE_DAYS", "SCOPE_DAYS", "BLOCKS"))
    used = with_used(series, days_of_series(series, days, scopes), blocks)
    return used.sort("series").select(_USED).collect().to_dicts()


def year_to_date(
    frames: Mapping[str, pl.DataFrame], enterprises: pl.DataFrame, *, year: int, today: int
) -> list[dict[str, Any]]:
    """enterprise, basis, as_of_day, used_g, low_g, high_g, is_confirmed, coverage: each enterprise's year up
    to its last complete day, on every basis.

    It is the progress of an enterprise against no quota: the same days, bounds and coverage as with one.
    Units: g. Missing: as in PROGRESS.
    """
    whole = enterprises.select(
        "enterprise",
        year=pl.lit(year, pl.Int32),
        scope=pl.lit(Scope.TOTAL.value),
        level=pl.lit(TargetLevel.BASE.value),
        quota_g=pl.lit(0, pl.Int64),
        profile=pl.lit(Profile.LINEAR.value),
        source=pl.lit(""),
        confidence=pl.lit(Confidence.OFFICIAL.value),  # nothing is doubted but the factors
    )
    bases = pl.DataFrame({"basis": [basis.value for basis in Basis]})
    none = whole.join(bases, how="cross").select(list(QUOTAS.schema))
    days, scopes, blocks = (frames[name].lazy() for name in ("ENTERPRISE_DAYS", "SCOPE_DAYS", "BLOCKS"))
    progress = quota_progress(days, scopes, blocks, none, QUOTA_PLANS.empty(), enterprises, today=today)
    return progress.select("enterprise", "basis", "as_of_day", *_USED).collect().to_dicts()
