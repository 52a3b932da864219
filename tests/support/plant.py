"""One plant with everything that an explanation opens, over two years, its figures by the real arithmetic.

A cement works: grid electricity in (a register read once a day), some of it sold on, coal as two meters whose
sum is a virtual point, coal as feedstock, and a photovoltaic roof. Every figure is small enough to follow.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import polars as pl

from analytics.assessment import Results, assess
from analytics.calendar_library import Calendar
from analytics.explanation.explainer import Explainer
from analytics.law import Law
from analytics.standing import Figures, Standing, asked_years, standing_of
from nengshao.domain.factors import Confidence
from nengshao.domain.norms import (
    LinearCorrection,
    Norm,
    NormIndicator,
    NormParameter,
    NormTable,
    ParameterKind,
)
from nengshao.domain.time import day_number, day_start
from nengshao.frames import (
    INTENSITY_TARGETS,
    PRODUCT_SHARES,
    PRODUCTS,
    QUOTA_PLANS,
    QUOTAS,
    READINGS,
    STATISTICS,
    VIRTUAL_TERMS,
)
from nengshao.registry import Registry
from tests.support import metering as m

PLANT = m.ENTERPRISE
GRID, SOLD, COAL_A, COAL_B, COAL, FEED, ROOF, COAL_MONTH, LINE = 1, 2, 3, 4, 5, 6, 7, 8, 9
FIRST = day_number(dt.date(2024, 1, 1))
NEW_YEAR = day_number(dt.date(2025, 1, 1))
TODAY = day_number(dt.date(2025, 4, 10))
D = 86_400


def daily(number: int, **changes: Any) -> dict[str, Any]:
    """A point that sends the amount of each day."""
    daily: dict[str, Any] = {
        "kind": "amount", "stat_type": 1, "cadence_s": D, "max_estimate_s": 0, "valid_from": day_start(FIRST),
    }  # fmt: skip
    return m.point(number, **daily | changes)


POINTS = m.points(
    m.point(GRID, name="进线", cadence_s=D, max_estimate_s=0, valid_from=day_start(FIRST)),
    daily(SOLD, name="外供", role="output"),
    daily(COAL_A, name="一号秤", role="sub", carrier="raw_coal", unit="kg", parent=COAL),
    daily(COAL_B, name="二号秤", role="sub", carrier="raw_coal", unit="kg", parent=COAL),
    daily(COAL, name="原煤", kind="virtual", device="", carrier="raw_coal", unit="kg"),
    daily(FEED, name="原料煤", carrier="raw_coal", unit="kg", use="feedstock"),
    daily(ROOF, name="光伏", use="non_fossil"),
    daily(COAL_MONTH, name="进线月报", feeds_total=False, stat_type=2, data_code=f"{1:016d}"),
    daily(LINE, name="生产线", role="sub", parent=GRID),
)

REGISTRY = Registry(
    enterprises=m.enterprises(active_from=day_start(FIRST)),
    points=POINTS,
    virtual_terms=pl.DataFrame(
        [(COAL, COAL_A, 1, 1, 0, None), (COAL, COAL_B, 1, 3, 0, None)],
        schema=dict(VIRTUAL_TERMS.schema),
        orient="row",
    ),
    products=pl.DataFrame(
        [(PLANT, "clinker", "熟料", "t", "clinker", 0, None), (PLANT, "cement", "水泥", "t", "", 0, None)],
        schema=dict(PRODUCTS.schema),
        orient="row",
    ),
    product_shares=pl.DataFrame(
        [(PLANT, "clinker", COAL, 1, 1, 0, None), (PLANT, "clinker", GRID, 2, 3, 0, None),
         (PLANT, "clinker", SOLD, -1, 2, 0, None)],
        schema=dict(PRODUCT_SHARES.schema), orient="row",
    ),
    quotas=pl.DataFrame(
        [
            (PLANT, 2025, "calorific", "total", "base", 500_000_000, "linear", "某文件", "official"),
            (PLANT, 2025, "calorific", "total", "incentive", 450_000_000, "last_year", "某文件", "official"),
            (PLANT, 2025, "carbon", "net", "base", 900_000_000, "plan", "某文件", "copied"),
        ],
        schema=dict(QUOTAS.schema),
        orient="row",
    ),
    quota_plans=pl.DataFrame(
        [(PLANT, 2025, "carbon", "net", month, 70_000_000 + month) for month in range(1, 13)],
        schema=dict(QUOTA_PLANS.schema),
        orient="row",
    ),
    intensity_targets=pl.DataFrame(
        [
            (PLANT, 2025, "calorific", "total", "product:clinker", "base", 90_000_000, None, None, "令",
             "official"),
            (PLANT, 2025, "calorific", "net", "output_value_comparable", "base", None, 30_000, 2024, "令",
             "copied"),
        ],
        schema=dict(INTENSITY_TARGETS.schema), orient="row",
    ),
)  # fmt: skip


def made() -> pl.DataFrame:
    """2024 and 2025 up to today: a read or an amount a day, constant within a year, a little more in 2025.

    The grid's register is not read from 3 to 6 March 2025: a block. The sold meter is silent on 8 April.
    """
    rows: list[tuple[int, int, int]] = []
    register = 0
    for day in range(FIRST, TODAY + 1):
        start, is_new = day_start(day), day >= NEW_YEAR
        register_is_read = not NEW_YEAR + 61 <= day < NEW_YEAR + 64
        if register_is_read:
            rows.append((GRID, start, register))
        register += 1_100_000_000 if is_new else 1_000_000_000  # 1 000 kWh a day, then 1 100
        if day == TODAY:
            break
        amounts = {SOLD: 100, COAL_A: 900, COAL_B: 300, FEED: 200, ROOF: 50, LINE: 700 if is_new else 1000}
        if day == NEW_YEAR + 97:  # 8 April
            del amounts[SOLD]
        rows += [(point, start, amount * 1_000_000) for point, amount in amounts.items()]
        if date_is_first(day):
            rows.append((COAL_MONTH, start, 1_000_000_000 * 30))
    frame = [(point, ts, ts + D, value, True, 4) for point, ts, value in rows]
    return pl.DataFrame(frame, schema=dict(READINGS.schema), orient="row").sort("point", "ts")


def date_is_first(day: int) -> bool:
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).day == 1


def statistic(
    indicator: str, item: str, first: dt.date, end: dt.date, value: int, unit: str, state: str
) -> Any:
    return (PLANT, indicator, item, day_number(first), day_number(end), 1, value, unit, state, "报表", "企业",
            "", None, "")  # fmt: skip


def statistics() -> pl.DataFrame:
    """10 t of clinker and 1 million CNY a month; March 2025 is not approved yet. And a clinker ratio."""
    rows = []
    for year in (2024, 2025):
        for month in range(1, 13 if year == 2024 else 4):
            first = dt.date(year, month, 1)
            end = dt.date(year + month // 12, month % 12 + 1, 1)
            state = "submitted" if (year, month) == (2025, 3) else "approved"
            rows.append(statistic("output", "clinker", first, end, 200_000 + month, "t", state))
            rows.append(
                statistic("output_value_comparable", "", first, end, 100_000 + month, "1e4CNY", "approved")
            )
            rows.append(statistic("norm_parameter", "clinker/ratio", first, end, 80_000, "%", "approved"))
    return pl.DataFrame(rows, schema=dict(STATISTICS.schema), orient="row")


NORMS = NormTable(
    (
        Norm(
            "clinker", NormIndicator.ENERGY, "GB 0000", "熟料", "Clinker", "单位产品综合能耗", "kgce/t", "t",
            (Fraction(40), Fraction(45), Fraction(50)), Fraction(40), Fraction(50), "a list",
            Confidence.COPIED,
            (LinearCorrection("ratio", (Fraction(1), Fraction(1), Fraction(2)), base=Fraction(75)),),
            "clause not seen", Confidence.TRANSCRIBED, dt.date(2020, 1, 1),
        ),
    ),
    (NormParameter("ratio", "熟料比例", "clinker share", "%", ParameterKind.MEAN),),
)  # fmt: skip

LAW = Law(m.FACTORS, NORMS, Calendar({}, {2025: True}), {})


@dataclass(frozen=True)
class Plant:
    """The plant's figures, and what opens them."""

    results: Results
    standing: Standing
    frames: dict[str, pl.DataFrame]
    registry: Registry
    explainer: Explainer


def plant(registry: Registry = REGISTRY, law: Law = LAW, readings: pl.DataFrame | None = None) -> Plant:
    """The plant as it stands on 10 April 2025."""
    results = assess(
        (made() if readings is None else readings).lazy(),
        registry,
        law.factors,
        window=(FIRST, TODAY + 1),
        as_of=day_start(TODAY) + 9 * 3600,
    ).collect()
    figures = Figures(
        results.enterprise_days,
        results.scope_days,
        results.blocks,
        results.point_days,
        statistics(),
        NEW_YEAR,
        asked_years(registry),
    )
    standing = standing_of(figures, registry, law, today=TODAY)
    frames = {
        "POINT_DAYS": results.point_days, "BLOCKS": results.blocks,
        "ENTERPRISE_DAYS": results.enterprise_days, "SCOPE_DAYS": results.scope_days,
        "STATISTICS": figures.statistics, "PROGRESS": standing.progress, "INTENSITY": standing.intensity,
    }  # fmt: skip
    return Plant(results, standing, frames, registry, Explainer(law))
