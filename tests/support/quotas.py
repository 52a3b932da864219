"""Days, blocks, quotas and plans in plain words, for tests of progress and of what it is made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import polars as pl

from analytics.quota import quota_progress
from nengshao.domain.factors import Basis
from nengshao.domain.time import day_number
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, QUOTA_PLANS, QUOTAS, SCOPE_DAYS
from tests.support import metering as m


def number(year: int, month: int = 1, day: int = 1) -> int:
    """The accounting day of a date."""
    return day_number(dt.date(year, month, day))


def day(at: int, g: int | None = 1000, **changes: Any) -> dict[str, Any]:
    """An ENTERPRISE_DAYS row, the same on every basis, measured and published."""
    row: dict[str, Any] = {
        "enterprise": m.ENTERPRISE, "day": at, "measured_w": 100, "estimated_w": 0, "spread_w": 0,
        "missing_w": 0, "pending_w": 0, "lowest_point": 1, "missing_points": "", "no_factor": "",
        "published": True, "recheck_at": None,
    }  # fmt: skip
    for basis in Basis:
        row |= {f"{basis}_g": g, f"{basis}_gap_low": 0, f"{basis}_gap_high": 0, f"{basis}_confirmed": True}
    return row | changes


def days(first: int, figures: Iterable[int | None], **changes: Any) -> list[dict[str, Any]]:
    """Rows of one day after another."""
    return [day(first + offset, g, **changes) for offset, g in enumerate(figures)]


def block(start: int, end: int, g: int | None, *, sign: int = 1, use: str = "energy") -> dict[str, Any]:
    """A BLOCKS row of [start, end) (instants), the same on every basis."""
    return {
        "enterprise": m.ENTERPRISE, "point": 1, "start": start, "end": end, "sign": sign, "use": use,
        "amount": 1, "calorific_g": g, "equivalent_g": g, "carbon_g": g,
    }  # fmt: skip


def quota(g: int, **changes: Any) -> dict[str, Any]:
    """A QUOTAS row: calorific, total, base, linear, of 2025, official."""
    row = {
        "enterprise": m.ENTERPRISE, "year": 2025, "basis": "calorific", "scope": "total", "level": "base",
        "quota_g": g, "profile": "linear", "source": "a document", "confidence": "official",
    }  # fmt: skip
    return row | changes


def plan(planned: Iterable[int], **changes: Any) -> list[dict[str, Any]]:
    """QUOTA_PLANS rows of January, February, …"""
    key = {"enterprise": m.ENTERPRISE, "year": 2025, "basis": "calorific", "scope": "total"} | changes
    return [key | {"month": month, "planned_g": g} for month, g in enumerate(planned, start=1)]


def frames(
    rows: list[dict[str, Any]], scopes: list[dict[str, Any]], blocks: list[dict[str, Any]]
) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    """ENTERPRISE_DAYS, SCOPE_DAYS and BLOCKS of these rows."""
    return (
        pl.LazyFrame(rows, schema=dict(ENTERPRISE_DAYS.schema)),
        pl.LazyFrame(scopes, schema=dict(SCOPE_DAYS.schema)),
        pl.LazyFrame(blocks, schema=dict(BLOCKS.schema)),
    )


def progress_rows(
    rows: list[dict[str, Any]],
    quotas: list[dict[str, Any]],
    *,
    scopes: list[dict[str, Any]] | None = None,
    blocks: list[dict[str, Any]] | None = None,
    plans: list[dict[str, Any]] | None = None,
    enterprises: pl.DataFrame | None = None,
    until: int | None = None,
    today: int = number(2030),
) -> pl.DataFrame:
    """PROGRESS of these quotas; the enterprise is active from 1970 on unless told otherwise."""
    quota_frame = pl.DataFrame(quotas, schema=dict(QUOTAS.schema))
    if until is not None:
        quota_frame = quota_frame.with_columns(until=pl.lit(until, pl.Int32))
    return quota_progress(
        *frames(rows, scopes or [], blocks or []),
        quota_frame,
        pl.DataFrame(plans or [], schema=dict(QUOTA_PLANS.schema)),
        m.enterprises(active_from=0) if enterprises is None else enterprises,
        today=today,
    ).collect()


def progress(rows: list[dict[str, Any]], quotas: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The one row of it."""
    (row,) = progress_rows(rows, quotas, **more).to_dicts()
    return row
