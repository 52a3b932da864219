"""Intensities worked by hand (pencil or a pocket calculator), not by our own code.

单位产品综合能耗 e_j = E_j / P_j, 单位产值综合能耗 e_g = E / G: GB/T 2589-2020 (clause not seen).
Feedstock deducted in both years: notice of NDRC and NBS of 2022-11-01, as the press reported it. Completion
and gap: what cities' 晴雨表 rules go by. Norms: as transcribed by a public program (clause not seen).
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analytics.explanation.norms import norm_tree
from analytics.intensity_measures import measures_of_intensity
from nengshao.domain.time import day_start
from tests.support import intensities as w

T = w.TONNE
CEMENT = [w.product(norm="cement")]


def cement_month(clinker_ratio: float, altitude: float = 60, pressure: float | None = None) -> dict[str, Any]:
    """March 2025 of a cement works: 31 days of 150 tce, 50 000 t: 4 650 tce / 50 000 t = 93 kgce/t."""
    stats = [
        w.stated("output", "p", "2025-03-01", "2025-04-01", 50_000),
        w.stated("norm_parameter", "p/clinker_ratio", "2025-03-01", "2025-04-01", clinker_ratio, unit="%"),
        w.stated("norm_parameter", "p/altitude", "2020-01-01", "2100-01-01", altitude, unit="m"),
    ]
    if pressure is not None:
        stats.append(
            w.stated("norm_parameter", "p/air_pressure", "2020-01-01", "2100-01-01", pressure, unit="Pa")
        )
    found = w.intensities(stats, daily=w.days("2025-03-01", "2025-04-01", 150 * T), products=CEMENT)
    return w.figure(found, "2025-03")


def test_a_cement_works_with_72_percent_clinker() -> None:
    # GB 16780-2021, tables 1 and 5.4 as transcribed (clause not seen): 75 % is the base, a point less takes
    # off 1.10 / 1.15 / 1.20. 80 − 3.30 = 76.7; 87 − 3.45 = 83.55; 94 − 3.60 = 90.4.
    # 93 − 90.4 = 2.6 kgce/t; × 50 000 t = 130 t.
    row = cement_month(72)
    assert row["intensity"] == 93.0
    assert (row["limit_1"], row["limit_2"], row["limit_3"]) == (76.7, 83.55, 90.4)
    assert row["grade"] == "over"
    assert row["gap"] == pytest.approx(2.6)
    assert row["gap_g"] == 130 * T
    assert (row["energy_g"], row["quantity"], row["is_whole"]) == (4_650 * T, 50_000_000, True)
    assert row["norm_problem"] == ""


def test_more_clinker_than_the_base_raises_the_limits() -> None:
    # + 5 × 1.10 / 1.15 / 1.20: 85.5, 92.75, 100. 93 is above 92.75: grade 3; 93 − 100 = −7; × 50 000 = −350 t
    row = cement_month(80)
    assert (row["limit_1"], row["limit_2"], row["limit_3"]) == (85.5, 92.75, 100.0)
    assert (row["grade"], row["gap"], row["gap_g"]) == ("3", -7.0, -350 * T)


def test_above_1500_m_the_limit_alone_is_multiplied_after_the_clinker() -> None:
    # 79 500 / 101 325 = 0.784603997…; × 0.211 = 0.165551443…; 1.179 − it = 1.013448557…
    # 90.4 × 1.013448557… = 91.615750 (rounded to 10⁻⁶); levels 1 and 2 as below 1 500 m
    row = cement_month(72, altitude=2000, pressure=79_500)
    assert (row["limit_1"], row["limit_2"]) == (76.7, 83.55)
    assert row["limit_3"] == pytest.approx(91.615750, abs=1e-9)


def test_a_converter_that_recovers_more_than_it_uses() -> None:
    # GB 21256-2025, table 4 as transcribed (clause not seen): +0.23 per point of scrap; 15 points: 3.45.
    # −30 + 3.45 = −26.55; −24.55; −8.55. Charged: 40 GWh × 0.1229 = 4 916 t in, gas worth 5 916 t back:
    # −1 000 t / 100 000 t = −10 kgce/t: below −8.55, above −24.55: grade 3, 1.45 kgce/t or 145 t to spare.
    stats = [
        w.stated("output", "p", "2026-08-01", "2026-09-01", 100_000),
        w.stated("norm_parameter", "p/scrap_ratio", "2026-08-01", "2026-09-01", 15, unit="%"),
        w.stated(
            "norm_parameter", "p/converter_steel_addition", "2026-08-01", "2026-09-01", 0, unit="kgce/t"
        ),
    ]
    used = w.point_days(1, "2026-08-01", "2026-09-01", 0) + w.point_days(2, "2026-08-01", "2026-09-01", 0)
    masses = {(1, w.at("2026-08-05")): 4_916 * T, (2, w.at("2026-08-06")): 5_916 * T}
    for row in used:
        row["calorific_g"] = masses.get((row["point"], row["day"]), 0)
    found = w.intensities(
        stats,
        daily=w.days("2026-08-01", "2026-09-01", 0),
        points=used,
        products=[w.product(norm="converter")],
        shares=[w.share(1), w.share(2, num=-1)],
        years=(2026,),
    )
    row = w.figure(found, "2026-08")
    assert (row["energy_g"], row["intensity"]) == (-1_000 * T, -10.0)
    assert (row["limit_1"], row["limit_2"], row["limit_3"]) == (-26.55, -24.55, -8.55)
    assert (row["grade"], row["gap_g"]) == ("3", -145 * T)
    assert (row["benchmark"], row["baseline"]) == (-30.0, -10.0)
    # It keeps the limit, so the ratio is below 1, although −10 is the greater number: 2 − 10 / 8.55.
    measures = measures_of_intensity(found, w.targets_frame([]))
    ratio = measures.filter(pl.col("measure") == "norm_ratio", pl.col("subject").str.starts_with("2026-08"))
    assert ratio["value"].to_list() == [pytest.approx(2 - 10 / 8.55)]


def test_a_year_is_not_judged_by_an_edition_that_began_within_it_but_its_months_are() -> None:
    # GB 21342-2025, in force from 1 May 2026. 2026 to October: 304 days × 10 t / 1 000 t = 3 040 kgce/t.
    stats = w.monthly("output", "p", 2026, [100] * 10)
    products = [w.product(norm="coke_top_charged")]
    found = w.intensities(
        stats, daily=w.days("2026-01-01", "2026-11-01", 10 * T), products=products, years=(2026,),
        today="2026-11-21",
    )  # fmt: skip
    problems = {period: w.figure(found, period)["norm_problem"] for period in ("2026", "2026-04", "2026-05")}
    assert (problems["2026"], problems["2026-04"]) == ("edition_begins:2026-05-01", "not_in_force")
    assert problems["2026-05"].startswith("missing:")  # the edition is in force, and asks for parameters
    year = w.figure(found, "2026")
    assert (year["intensity"], year["limit_3"], year["grade"], year["gap"]) == (3040.0, None, "", None)
    measures = measures_of_intensity(found, w.targets_frame([]))
    judged = measures.filter(
        pl.col("measure") == "norm_ratio", pl.col("subject") == "2026/calorific/total/product:p"
    )
    assert judged.select("value", "low", "high").rows() == [(None, None, None)]
    opened = norm_tree(year, w.NORMS, w.statistics(stats))
    assert opened["value"] is None
    assert (opened["facts"]["problem"], opened["facts"]["begins"]["from"]) == (problems["2026"], "2026-05-01")


def complete_to_12_march() -> list[dict[str, Any]]:
    later = w.days("2025-03-13", "2025-04-01", 9 * T, published=False)
    return w.days("2025-03-01", "2025-03-13", 9 * T) + later


def test_part_of_a_month_ends_where_the_first_of_the_two_ends() -> None:
    # Output is stated for 1–10 March, 100 t a day; energy is complete to 12 March, 9 tce a day:
    # 10 × 9 t / 1 000 t = 90 kgce/t to 10 March, and nothing is said of 11 and 12 March.
    stats = [w.stated("output", "p", f"2025-03-{d:02}", f"2025-03-{d + 1:02}", 100) for d in range(1, 11)]
    daily = w.days("2025-03-01", "2025-03-13", 9 * T) + w.days(
        "2025-03-13", "2025-04-01", 9 * T, published=False
    )
    row = w.figure(w.intensities(stats, daily=daily), "2025-03")
    assert (row["end_day"], row["is_whole"]) == (w.at("2025-03-11"), False)
    assert (row["energy_g"], row["quantity"], row["intensity"]) == (90 * T, 1_000_000, 90.0)


def test_part_of_a_month_ends_with_the_energy_when_output_is_ahead() -> None:
    stats = [w.stated("output", "p", f"2025-03-{d:02}", f"2025-03-{d + 1:02}", 100) for d in range(1, 21)]
    daily = w.days("2025-03-01", "2025-03-13", 9 * T) + w.days(
        "2025-03-13", "2025-04-01", 9 * T, published=False
    )
    row = w.figure(w.intensities(stats, daily=daily), "2025-03")
    assert (row["end_day"], row["quantity"], row["intensity"]) == (w.at("2025-03-13"), 1_200_000, 90.0)


def test_february_of_a_leap_year_is_held_against_the_whole_february_before() -> None:
    # 2023: 28 × 10 t / 1 000 t = 280; 2024: 29 × 10 t / 1 000 t = 290 kgce/t: + 1/28 = 3.571… %
    stats = [w.stated("output", "p", f"{year}-02-01", f"{year}-03-01", 1_000) for year in (2023, 2024, 2025)]
    daily = w.days("2023-02-01", "2023-03-01", 10 * T) + w.days("2024-02-01", "2024-03-01", 10 * T)
    daily += w.days("2025-02-01", "2025-03-01", 10 * T)
    found = w.intensities(stats, daily=daily, years=(2024, 2025))
    leap = w.figure(found, "2024-02")
    assert (leap["intensity"], leap["previous"]) == (290.0, 280.0)
    assert leap["change"] == pytest.approx(10 / 280)
    assert w.figure(found, "2025-02")["previous"] == 290.0  # all 29 days of it


def test_a_year_to_date_that_ends_with_28_february_of_a_leap_year() -> None:
    # To 28 February 2024: 31 × 10 + 28 × 20 = 870 t over 590 t stated; to 28 February 2023: 31 × 10 + 28 × 10
    # = 590 t over 590 t: 1 474.576… against 1 000 kgce/t.
    def february(year: int) -> list[dict[str, Any]]:
        return [
            w.stated("output", "p", f"{year}-02-{d:02}", f"{year}-02-{d + 1:02}", 10) for d in range(1, 28)
        ] + [w.stated("output", "p", f"{year}-02-28", "2024-02-29" if year == 2024 else "2023-03-01", 10)]

    stats = [w.stated("output", "p", f"{year}-01-01", f"{year}-02-01", 310) for year in (2023, 2024)]
    daily = w.days("2023-01-01", "2023-03-01", 10 * T) + w.days("2024-01-01", "2024-02-01", 10 * T)
    daily += w.days("2024-02-01", "2024-03-15", 20 * T)
    row = w.figure(w.intensities(stats + february(2023) + february(2024), daily=daily, years=(2024,)), "2024")
    assert (row["end_day"], row["quantity"]) == (w.at("2024-02-29"), 590_000)
    assert row["intensity"] == pytest.approx(870_000 / 590)
    assert row["previous"] == 1000.0


def region_statistics() -> list[dict[str, Any]]:
    """2024: 1 000 万tce, 100 of it feedstock, GDP 2 000 亿元; 2025: 1 040, 160, 2 100 (comparable prices)."""
    who = {"subject": "430600", "state": "final"}
    rows = []
    for year, total, feedstock, gdp in ((2024, 1000, 100, 20_000_000), (2025, 1040, 160, 21_000_000)):
        span = (f"{year}-01-01", f"{year + 1}-01-01")
        rows += [
            w.stated("gdp_comparable", "", *span, gdp, unit="1e4CNY", **who),
            w.stated("energy_consumption", "total", *span, total, unit="1e4tce", **who),
            w.stated("energy_consumption", "feedstock", *span, feedstock, unit="1e4tce", **who),
        ]
    return rows


REGION = {"basis": "equivalent", "denominator": "gdp_comparable"}


def region_target(scope: str, reduction_ppm: int) -> dict[str, Any]:
    return w.target(
        "gdp_comparable", enterprise="430600", basis="equivalent", scope=scope, reduction_ppm=reduction_ppm,
        base_year=2024,
    )  # fmt: skip


def test_feedstock_is_deducted_in_both_years() -> None:
    # 2024: (1 000 − 100) 万t / 2 000 亿元 = 450 kgce/万元; 2025: (1 040 − 160) 万t / 2 100 亿元 = 419.0476…:
    # −30.952… / 450 = −6.878307 %. Undeducted: 500 → 495.238…: −0.952381 %.
    targets = [region_target("total", 35_000), region_target("excluding_feedstock", 35_000)]
    found = w.intensities(region_statistics(), targets=targets)
    net = w.figure(found, "2025", scope="excluding_feedstock", **REGION)
    assert net["energy_g"] == 8_800_000 * T
    assert net["intensity"] == pytest.approx(8_800_000 / 21_000_000 * 1000)
    assert (net["previous"], net["unit"]) == (450.0, "1e4CNY")
    assert net["change"] == pytest.approx(-0.06878307, abs=1e-8)
    assert net["state"] == "met"
    assert net["target"] == pytest.approx(450 * 0.965)
    gross = w.figure(found, "2025", scope="total", **REGION)
    assert gross["change"] == pytest.approx(-0.00952381, abs=1e-8)
    assert (gross["state"], gross["is_confirmed"], gross["coverage"]) == ("missed_falling", True, None)


def test_completion_and_gap_of_a_reduction_rate() -> None:
    # 6.878307 % of 3.5 % asked: 1.965231; gap 3.5 − 6.878307 = −3.378307 points.
    # Undeducted 0.952381 %: 0.272109; gap 2.547619 points.
    targets = [region_target("total", 35_000), region_target("excluding_feedstock", 35_000)]
    found = w.intensities(region_statistics(), targets=targets)
    rows = measures_of_intensity(found, w.targets_frame(targets)).rows_by_key(
        ["measure", "subject"], named=True
    )
    net, gross = (f"2025/equivalent/{scope}/gdp_comparable" for scope in ("excluding_feedstock", "total"))
    [completion] = rows["reduction_completion", net]
    assert completion["value"] == pytest.approx(1.965231, abs=1e-6)
    assert completion["at"] == day_start(w.at("2026-01-01"))
    assert completion["value"] == completion["low"] == completion["high"]
    assert rows["reduction_gap", net][0]["value"] == pytest.approx(-3.378307, abs=1e-6)
    assert rows["reduction_completion", gross][0]["value"] == pytest.approx(0.272109, abs=1e-6)
    assert rows["reduction_gap", gross][0]["value"] == pytest.approx(2.547619, abs=1e-6)
    assert rows["intensity_state", gross][0]["value"] == 1.0
    assert rows["intensity_change", gross][0]["value"] == pytest.approx(-0.00952381, abs=1e-8)


def test_a_target_per_10_000_yuan_and_a_gdp_in_yi() -> None:
    # 300 万tce / 1 000 亿元 = 0.3 tce/万元 = 300 kgce/万元, against 400: met. The year before:
    # 10 000 000 万元 and 3 100 000 tce: 310. 300 / 310 − 1 = −10 / 310.
    who = {"subject": "430600", "state": "final"}
    now, before = ("2025-01-01", "2026-01-01"), ("2024-01-01", "2025-01-01")
    rows = [
        w.stated("gdp_comparable", "", *now, 1_000, unit="1e8CNY", **who),
        w.stated("energy_consumption", "total", *now, 300, unit="1e4tce", **who),
        w.stated("gdp_comparable", "", *before, 10_000_000, unit="1e4CNY", **who),
        w.stated("energy_consumption", "total", *before, 3_100_000, unit="tce", **who),
    ]
    target = w.target("gdp_comparable", enterprise="430600", basis="equivalent", target_mg=400_000_000)
    row = w.figure(w.intensities(rows, targets=[target]), "2025", scope="total", **REGION)
    assert (row["unit"], row["intensity"], row["target"], row["state"]) == ("1e4CNY", 300.0, 400.0, "met")
    assert (row["previous"], row["change"]) == (310.0, pytest.approx(-10 / 310))
    reduced = [region_target("total", 20_000)]  # 2 % of 310: 303.8
    row = w.figure(w.intensities(rows, targets=reduced), "2025", scope="total", **REGION)
    assert (row["target"], row["state"]) == (pytest.approx(303.8), "met")


def first_half(base: float, now: float, reduction_ppm: int) -> dict[str, float]:
    """Completion, gap, ratio and state of 1—6月 2025: base and now 万tce over 1 000 亿元."""
    who = {"subject": "430600", "state": "final"}
    rows = []
    for year, energy in ((2024, base), (2025, now)):
        span = (f"{year}-01-01", f"{year}-07-01")
        rows.append(w.stated("gdp_comparable", "", *span, 10_000_000, unit="1e4CNY", **who))
        rows.append(w.stated("energy_consumption", "total", *span, energy, unit="1e4tce", **who))
    target = region_target("total", reduction_ppm)
    found = measures_of_intensity(
        w.intensities(rows, targets=[target], today="2025-07-20"), w.targets_frame([target])
    )
    of_year = found.filter(pl.col("subject") == "2025/equivalent/total/gdp_comparable")
    return dict(of_year.select("measure", "value").iter_rows())


@pytest.mark.parametrize(
    ("base", "now", "asked", "completion", "gap"),
    [
        # Hangzhou, first half: 0.3, 1.0, 2.0 points below the target, of an actual 3.3, 2.3, 1, 2, 3, 1, 2 %
        (1000, 967, 36_000, None, 0.3),
        (1000, 977, 26_000, None, 0.3),
        (1000, 990, 20_000, 0.5, 1.0),
        (1000, 980, 30_000, None, 1.0),
        (1000, 970, 40_000, 0.75, 1.0),
        (1000, 990, 30_000, None, 2.0),
        (1000, 980, 40_000, 0.5, 2.0),
        # city2010 and nanjian: 50 %, 60 %, 90 %, 100 % of what was asked
        (1000, 985, 30_000, 0.5, 1.5),
        (1000, 982.5, 35_000, 0.5, 1.75),
        (1000, 979, 35_000, 0.6, 1.4),
        (1000, 973, 30_000, 0.9, 0.3),
        (1000, 964, 40_000, 0.9, 0.4),
        (1000, 970, 30_000, 1.0, 0.0),
        (1000, 965, 35_000, 1.0, 0.0),
        (700, 679, 30_000, 1.0, 0.0),
        # Hangzhou, three quarters: 0.1, 0.5, 1.0
        (1000, 971, 30_000, None, 0.1),
        (1000, 975, 30_000, None, 0.5),
    ],
)
def test_the_cuts_that_documents_print_are_met_exactly(
    base: float, now: float, asked: int, completion: float | None, gap: float
) -> None:
    # Equal, not nearly: 0.2999999999999968 would be on the other side of 0.3.
    found = first_half(base, now, asked)
    assert found["reduction_gap"] == gap
    assert completion is None or found["reduction_completion"] == completion
    if gap == 0:
        assert (found["intensity_ratio"], found["intensity_state"]) == (1.0, 0.0)


def test_comparable_prices_do_not_follow_inflation() -> None:
    # 100 t a year both years. 产值 at current prices 1 000 → 1 100 万元: 100 → 90.909…; at comparable prices
    # 1 000 → 1 000: 100 → 100 kgce/万元: what fell by 9.09 % were prices alone.
    stats = [
        w.stated(indicator, "", f"{year}-01-01", f"{year + 1}-01-01", value, unit="1e4CNY")
        for indicator, year, value in (
            ("output_value", 2024, 1000), ("output_value", 2025, 1100),
            ("output_value_comparable", 2024, 1000), ("output_value_comparable", 2025, 1000),
        )
    ]  # fmt: skip
    daily = w.days("2024-01-01", "2024-01-02", 100 * T) + w.days("2024-01-02", "2025-01-01", 0)
    daily += w.days("2025-01-01", "2025-01-02", 100 * T) + w.days("2025-01-02", "2026-01-01", 0)
    found = w.intensities(stats, daily=daily)
    current = w.figure(found, "2025", "output_value")
    assert (current["previous"], current["intensity"]) == (100.0, pytest.approx(1000 / 11))
    assert current["change"] == pytest.approx(-1 / 11)
    comparable = w.figure(found, "2025", "output_value_comparable")
    assert (comparable["previous"], comparable["intensity"], comparable["change"]) == (100.0, 100.0, 0.0)


def test_a_third_of_a_meter_is_rounded_once_for_the_month() -> None:
    # 31 days of 100 g, a third: 3 100 / 3 = 1 033.33 → 1 033 g; by days it would be 31 × 33 = 1 023 g.
    points = w.point_days(1, "2025-01-01", "2025-02-01", 0)
    for row in points:
        row["calorific_g"] = 100
    found = w.intensities(
        [w.stated("output", "p", "2025-01-01", "2025-02-01", 1)],
        daily=w.days("2025-01-01", "2025-02-01", 0), points=points, products=[w.product()],
        shares=[w.share(1, 1, 3)],
    )  # fmt: skip
    assert w.figure(found, "2025-01")["energy_g"] == 1_033
