"""A small world for tests of intensities: days of energy, stated figures, products, targets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import polars as pl

from analytics.intensity import energy_intensity
from analytics.intensity_charges import POINT_GAPS, EnergyFacts
from analytics.norm_library import load_norms
from nengshao.domain.norms import NormTable
from nengshao.domain.time import day_number, day_start
from nengshao.frames import (
    BLOCKS,
    ENTERPRISE_DAYS,
    INTENSITY_TARGETS,
    POINT_DAYS,
    PRODUCT_SHARES,
    PRODUCTS,
    SCOPE_DAYS,
    STATISTICS,
)
from nengshao.registry import Registry
from tests.support import metering as m

NORMS = load_norms()
TONNE = 1_000_000
"""g"""


def at(text: str) -> int:
    """The day number of an ISO date."""
    return day_number(dt.date.fromisoformat(text))


def _frame(rows: Iterable[dict[str, Any]], contract: Any) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(contract.schema))


def _totals(g: int | None, changes: dict[str, Any]) -> dict[str, Any]:
    bases = ("calorific", "equivalent", "carbon")
    row: dict[str, Any] = {f"{basis}_g": g for basis in bases}
    row |= {f"{basis}_gap_{side}": 0 for basis in bases for side in ("low", "high")}
    row |= {f"{basis}_confirmed": True for basis in bases}
    row |= {
        "measured_w": 100, "estimated_w": 0, "spread_w": 0, "missing_w": 0, "pending_w": 0,
        "lowest_point": 1, "missing_points": "", "no_factor": "", "published": True, "recheck_at": None,
    }  # fmt: skip
    return row | changes


def days(first: str, end: str, g: int | None, **changes: Any) -> list[dict[str, Any]]:
    """ENTERPRISE_DAYS rows of [first, end), each with `g` on every basis."""
    span = range(at(first), at(end))
    return [{"enterprise": m.ENTERPRISE, "day": day, **_totals(g, changes)} for day in span]


def scope_days(scope: str, first: str, end: str, g: int | None, **changes: Any) -> list[dict[str, Any]]:
    """SCOPE_DAYS rows of [first, end)."""
    return [row | {"scope": scope} for row in days(first, end, g, **changes)]


def point_days(point: int, first: str, end: str, amount: int | None, **changes: Any) -> list[dict[str, Any]]:
    """POINT_DAYS rows of [first, end) of an electricity point; 1 kWh is 122.9 g on every basis."""
    row: dict[str, Any] = {
        "enterprise": m.ENTERPRISE, "point": point, "carrier": "electricity", "sign": 0, "use": "energy",
        "amount": amount, "measured_s": 86_400, "estimated_s": 0, "spread_s": 0, "missing_s": 0,
        "pending_s": 0, "gap_low": 0, "gap_high": 0, "weight_g_day": 10, "recheck_at": None,
    }  # fmt: skip
    for basis in ("calorific", "equivalent", "carbon"):
        row |= {
            f"{basis}_g": None if amount is None else amount * 1229 // 10_000,
            f"{basis}_factor": "f",
        }
    return [row | {"day": day} | changes for day in range(at(first), at(end))]


def block(start: int, end: int, g: int | None, **changes: Any) -> dict[str, Any]:
    """A BLOCKS row over [start, end) seconds from the start of 2025."""
    row: dict[str, Any] = {
        "enterprise": m.ENTERPRISE, "via": 1, "point": 1, "start": m.T0 + start, "end": m.T0 + end,
        "sign": 1, "use": "energy", "amount": g,
    }  # fmt: skip
    return row | {f"{basis}_g": g for basis in ("calorific", "equivalent", "carbon")} | changes


def stated(indicator: str, item: str, first: str, end: str, value: float, **changes: Any) -> dict[str, Any]:
    """A STATISTICS row, approved; `value` in its unit (t)."""
    row: dict[str, Any] = {
        "subject": m.ENTERPRISE, "indicator": indicator, "item": item, "first_day": at(first),
        "end_day": at(end), "version": 1, "value": round(value * 1000), "unit": "t", "state": "approved",
        "source": "test", "submitted_by": "", "decided_by": "", "decided_at": None, "note": "",
    }  # fmt: skip
    return row | changes


def monthly(indicator: str, item: str, year: int, values: Iterable[float | None], **changes: Any) -> Any:
    """STATISTICS rows of the year's months, from January on; None: nothing is stated."""
    firsts = [dt.date(year, month, 1) for month in range(1, 13)] + [dt.date(year + 1, 1, 1)]
    return [
        stated(indicator, item, str(firsts[i]), str(firsts[i + 1]), value, **changes)
        for i, value in enumerate(values)
        if value is not None
    ]


def product(name: str = "p", **changes: Any) -> dict[str, Any]:
    """A PRODUCTS row: t, without a norm, since 2020."""
    row = {
        "enterprise": m.ENTERPRISE, "product": name, "name": name, "unit": "t", "norm": "",
        "valid_from": day_start(at("2020-01-01")), "valid_to": None,
    }  # fmt: skip
    return row | changes


def share(point: int, num: int = 1, den: int = 1, name: str = "p", **changes: Any) -> dict[str, Any]:
    """A PRODUCT_SHARES row since 2020."""
    row = {
        "enterprise": m.ENTERPRISE, "product": name, "point": point, "num": num, "den": den,
        "valid_from": day_start(at("2020-01-01")), "valid_to": None,
    }  # fmt: skip
    return row | changes


def target(denominator: str, **changes: Any) -> dict[str, Any]:
    """An INTENSITY_TARGETS row of 2025, calorific, total, base level, officially confirmed."""
    row: dict[str, Any] = {
        "enterprise": m.ENTERPRISE, "year": 2025, "basis": "calorific", "scope": "total",
        "denominator": denominator, "level": "base", "target_mg": None, "reduction_ppm": None,
        "base_year": None, "source": "a document", "confidence": "official",
    }  # fmt: skip
    return row | changes


def statistics(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """STATISTICS of these rows."""
    return _frame(rows, STATISTICS)


def intensities(
    stats: Iterable[dict[str, Any]] = (),
    *,
    daily: Iterable[dict[str, Any]] = (),
    scopes: Iterable[dict[str, Any]] = (),
    blocks: Iterable[dict[str, Any]] = (),
    points: Iterable[dict[str, Any]] = (),
    gaps: Iterable[dict[str, Any]] = (),
    products: Iterable[dict[str, Any]] = (),
    shares: Iterable[dict[str, Any]] = (),
    targets: Iterable[dict[str, Any]] = (),
    norms: NormTable = NORMS,
    years: tuple[int, ...] = (2025,),
    today: str = "2026-11-21",
    enterprises: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """`energy_intensity` of this world."""
    registry = Registry(
        enterprises=m.enterprises(active_from=0) if enterprises is None else enterprises,
        products=_frame(products, PRODUCTS),
        product_shares=_frame(shares, PRODUCT_SHARES),
        intensity_targets=_frame(targets, INTENSITY_TARGETS),
    )
    facts = EnergyFacts(
        enterprise_days=_frame(daily, ENTERPRISE_DAYS),
        scope_days=_frame(scopes, SCOPE_DAYS),
        blocks=_frame(blocks, BLOCKS),
        point_days=_frame(points, POINT_DAYS),
        point_gaps=_frame(gaps, POINT_GAPS),
        confirmed_factors=frozenset({"f"}),
    )
    return energy_intensity(facts, statistics(stats), registry, norms, years=years, today=at(today))


def targets_frame(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """INTENSITY_TARGETS of these rows."""
    return _frame(rows, INTENSITY_TARGETS)


def figure(frame: pl.DataFrame, period: str, denominator: str = "product:p", **more: str) -> dict[str, Any]:
    """The one row of a period and denominator; basis "calorific", scope "total" unless told otherwise."""
    wanted = {"basis": "calorific", "scope": "total"} | more
    found = frame.filter(
        pl.col("period") == period,
        pl.col("denominator") == denominator,
        *(pl.col(name) == value for name, value in wanted.items()),
    )
    return found.row(0, named=True)
