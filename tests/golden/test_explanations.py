"""Explanations worked by hand: the tree of every kind of figure down to its leaves, and that it adds up.

The plant is `tests.support.plant`. Its factors, in g per 10⁻³ unit: electricity 0.1229, raw coal 0.7143
(calorific). A day of 2025 is: grid 1 100 kWh, sold 100 kWh, coal 900 + 300/3 = 1 000 kg, feedstock coal
200 kg, roof 50 kWh.
"""

from __future__ import annotations

import datetime as dt
import json
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from nengshao.domain.factors import Basis
from nengshao.domain.rules import Measure
from nengshao.domain.time import day_number, day_start
from nengshao.domain.units import Scope
from tests.support.plant import NEW_YEAR, PLANT, Plant, plant
from tests.support.trees import Tree, beside, every, faults, of_kind

APRIL = day_number(dt.date(2025, 4, 1))
DAY_G = {"进线": 135_190, "外供": -12_290, "原煤": 714_300, "原料煤": 142_860, "光伏": 6_145}
"""1 100 × 0.1229 kg = 135 190 g; 100 × 0.1229; 1 000 × 0.7143; 200 × 0.7143; 50 × 0.1229."""


@pytest.fixture(scope="module")
def works() -> Plant:
    return plant()


def total(works: Plant, basis: Basis = Basis.CALORIFIC, scope: Scope = Scope.TOTAL, **days: int) -> Tree:
    asked = (PLANT, basis, scope, days.get("first", NEW_YEAR), days.get("end", APRIL))
    return works.explainer.total(asked, works.frames, works.registry)


def measured(works: Plant, measure: Measure, subject: str) -> tuple[dict[str, Any], Tree]:
    rows = works.standing.measures.filter(pl.col("measure") == measure, pl.col("subject") == subject)
    row = rows.row(0, named=True)
    tree = works.explainer.measure(row, works.frames, works.registry)
    assert tree is not None
    return row, tree


def test_a_quarter_opens_into_its_points_and_they_add_up(works: Plant) -> None:
    tree = total(works)
    # 90 days: 12 167 100 − 1 106 100 + 64 287 000 + 12 857 400 + 553 050
    assert tree["exact"] == 88_758_450
    assert {child["name"]: child["exact"] for child in tree["children"]} == {
        name: 90 * grams for name, grams in DAY_G.items()
    }
    assert (tree["value"], tree["unit"], tree["low"], tree["high"]) == (88.75845, "tce", 88.75845, 88.75845)
    assert faults(tree) == []


def test_a_long_gap_is_a_leaf_of_its_own_and_the_days_beside_it_are_the_rest(works: Plant) -> None:
    (grid,) = [child for child in total(works)["children"] if child["name"] == "进线"]
    conversion, block = grid["children"]
    # Not read from 3 to 5 March: the 4 days from the 2nd to the 6th are one block of 4 400 kWh.
    assert (conversion["exact"], block["exact"]) == (86 * 135_190, 4 * 135_190)
    assert (block["kind"], block["facts"]["amount"], block["facts"]["days"]) == ("block", 4400.0, 4.0)
    amount, factor = conversion["children"]
    assert (amount["exact"], amount["exact_unit"]) == (94_600_000, "10⁻³ kWh")
    assert (factor["facts"]["fraction"], factor["edition"], factor["source"], factor["confidence"]) == (
        "1229/10000", "test", "test", "transcribed",
    )  # fmt: skip
    assert conversion["coverage"] == {
        "measured": 0.955556, "estimated": 0.0, "missing": 0.044444, "pending": 0.0, "days": 90,
    }  # fmt: skip  # 86 of 90 days


def test_a_virtual_point_is_opened_into_its_terms(works: Plant) -> None:
    (amount,) = [node for node in of_kind(total(works), "amount") if node["op"] == "sum"]
    # 90 × 900 kg whole, and a third of 90 × 300 kg, in g
    assert [(term["name"], term["facts"]["coefficient"], term["exact"]) for term in amount["children"]] == [
        ("一号秤", "1", 81_000_000),
        ("二号秤", "1/3", 9_000_000),
    ]
    assert amount["exact"] == 90_000_000


def test_each_scope_counts_its_own_points_and_names_those_it_does_not(works: Plant) -> None:
    found = {scope: total(works, scope=scope) for scope in Scope}
    assert {scope.value: tree["exact"] for scope, tree in found.items()} == {
        "total": 88_758_450,
        "feedstock": 12_857_400,
        "non_fossil": 553_050,
        "excluding_feedstock": 75_901_050,
        "excluding_non_fossil": 88_205_400,
        "net": 75_348_000,
    }
    assert [faults(tree) for tree in found.values()] == [[]] * 6
    out = {point["name"]: point["use"] for point in found[Scope.NET]["facts"]["not_counted"]}
    assert (out["光伏"], out["原料煤"], out["一号秤"]) == ("non_fossil", "feedstock", "energy")


def test_every_basis_adds_up_and_an_unconfirmed_factor_is_named_at_every_level(works: Plant) -> None:
    carbon = total(works, Basis.CARBON)
    # 0.5 kgCO2/kWh and 2 kgCO2/kg: (99 000 − 9 000 + 4 500) × 0.5 + (90 000 + 18 000) × 2 = 263 250 kg
    assert (carbon["exact"], carbon["unit"], faults(carbon)) == (263_250_000, "tCO2", [])
    equivalent = total(works, Basis.EQUIVALENT)
    assert faults(equivalent) == []
    assert equivalent["because"] == ["系数 / factor electricity/equivalent/2008-06-01: recalled"]
    assert equivalent["label"] == "不作为执法依据 / not a basis for enforcement"
    assert {child["name"]: child["is_confirmed"] for child in equivalent["children"]} == {
        "进线": False, "外供": False, "原煤": True, "原料煤": True, "光伏": False,
    }  # fmt: skip


def test_what_is_missing_is_a_leaf_that_is_in_the_bounds_alone(works: Plant) -> None:
    tree = total(works, first=APRIL, end=APRIL + 9)
    (gap,) = of_kind(tree, "gap")
    # Sold energy missing on 8 April: up to 1 000 kWh × 24 h more were sold, 2 949.6 kg.
    assert (gap["value"], gap["exact_low"], gap["exact_high"]) == (None, -2_949_600, 0)
    assert (gap["facts"]["missing_days"], gap["facts"]["missing_s"]) == (1, 86_400)
    assert tree["exact"] == 9 * sum(DAY_G.values()) - DAY_G["外供"]
    assert tree["exact"] - tree["exact_low"] == 2_949_600
    assert faults(tree) == []


def test_a_block_across_the_border_widens_the_bounds_and_is_in_no_value(works: Plant) -> None:
    march_4 = day_number(dt.date(2025, 3, 4))
    tree = total(works, end=march_4)
    (block,) = of_kind(tree, "block")
    assert (block["value"], block["exact_low"], block["exact_high"]) == (None, 0, 540_760)
    assert block["facts"]["is_inside"] is False
    # 62 days of everything, but of the grid only the 60 before 2 March.
    assert tree["exact"] == 62 * sum(DAY_G.values()) - 2 * DAY_G["进线"]
    assert faults(tree) == []


def test_progress_opens_into_use_and_what_was_due_with_the_quotas_document(works: Plant) -> None:
    row, tree = measured(works, Measure.PROGRESS_RATIO, "2025/calorific/total")
    used, due = tree["children"]
    # To 9 April: 99 days of everything, but sold energy is missing on the 8th.
    assert used["exact"] == 99 * sum(DAY_G.values()) - DAY_G["外供"] == 97_646_585
    assert due["exact"] == 135_616_438  # 500 t × 99 / 365, rounded
    assert tree["value"] == row["value"] == 97_646_585 / 135_616_438
    quota, share = due["children"]
    assert (quota["exact"], quota["source"], quota["confidence"]) == (500_000_000, "某文件", "official")
    assert [part["exact"] for part in share["children"]] == [99, 365]
    assert beside(tree, "projection")["exact"] is not None
    assert faults(tree) == []


def test_the_profile_of_last_year_shows_both_sums(works: Plant) -> None:
    _, tree = measured(works, Measure.PROGRESS_RATIO, "2025/calorific/total/incentive")
    _, share = tree["children"][1]["children"]
    # A day of 2024 was 1 000 kWh of grid: 122 900 + 714 300 + 142 860 + 6 145 − 12 290 = 973 915 g. The likes
    # of 1 January to 9 April are 99 days of it, without the 29 February; those of the year are 365.
    assert [part["exact"] for part in share["children"]] == [99 * 973_915, 365 * 973_915]
    assert faults(tree) == []


def test_the_profile_of_the_plan_shows_its_months(works: Plant) -> None:
    _, tree = measured(works, Measure.PROGRESS_RATIO, "2025/carbon/net")
    _, share = tree["children"][1]["children"]
    # January to March whole and 9 of 30 days of April, by 30: (210 000 006 × 30 + 70 000 004 × 9) of
    # (12 × 70 000 000 + 78) × 30
    assert [part["exact"] for part in share["children"]] == [6_930_000_216, 25_200_002_340]
    assert tree["because"] == ["配额 / quota 2025: copied"]
    assert faults(tree) == []


def test_an_intensity_opens_into_the_products_points_and_the_stated_output(works: Plant) -> None:
    row, tree = measured(works, Measure.NORM_RATIO, "2025/calorific/total/product:clinker")
    figure, norm = tree["children"]
    energy, output = figure["children"]
    # Coal whole 64 287 000; 2/3 of the grid's 12 167 100 = 8 111 400; −1/2 of the 1 106 100 sold.
    assert [charge["exact"] for charge in energy["children"]] == [8_111_400, -553_050, 64_287_000]
    assert energy["exact"] == 71_845_350
    assert [leaf["exact"] for leaf in output["children"]] == [200_001, 200_002, 200_003]
    assert [leaf["facts"]["state"] for leaf in output["children"]] == ["approved", "approved", "submitted"]
    assert output["exact"] == 600_006
    assert figure["value"] == 71_845_350 / 600_006  # kg/t
    # 50 kgce/t, and 2 for each of the 5 points by which the ratio is above 75 %
    assert (norm["value"], norm["facts"]["limits"][2]) == (
        60.0,
        {"level": 3, "printed": 50.0, "corrected": 60.0},
    )
    # The months' ratios, and the outputs by which their mean is weighed: March's is not approved.
    assert [leaf["value"] for leaf in norm["beside"]] == [80.0, 80.0, 80.0, 200.001, 200.002, 200.003]
    assert norm["is_confirmed"] is False
    assert norm["facts"]["corrections"][0]["parameter"] == "ratio"
    assert tree["value"] == row["value"] == 71_845_350 / 600_006 / 60
    assert tree["because"] == ["统计 / statistic output/clinker 2025-03-01 … 2025-04-01: submitted"]
    assert faults(tree) == []


def test_a_reduction_opens_both_years(works: Plant) -> None:
    row, tree = measured(works, Measure.REDUCTION_COMPLETION, "2025/calorific/net/output_value_comparable")
    actual, asked = tree["children"]
    now, base = actual["children"]
    # Net: a day of 2025 is 135 190 + 714 300 − 12 290 g, one of 2024 12 290 g less; 90 and 91 days of them.
    assert now["children"][0]["exact"] == 90 * 837_200
    assert base["children"][0]["exact"] == 91 * 824_910
    assert [node["children"][1]["exact"] for node in (now, base)] == [300_006, 300_006]
    reduced = 1 - Fraction(90 * 837_200, 91 * 824_910)
    assert actual["value"] == pytest.approx(float(100 * reduced))
    assert (asked["value"], asked["unit"]) == (3.0, "pp")
    assert tree["value"] == row["value"] == pytest.approx(float(reduced / Fraction(3, 100)))
    assert faults(tree) == []


def test_a_balance_opens_into_the_meter_and_its_sub_meters(works: Plant) -> None:
    row, tree = measured(works, Measure.BALANCE_RESIDUAL, "2025-03/0000000000000001.0.00")
    distance, meter = tree["children"]
    # 31 × 1 100 kWh, the block of 4 days among them, against 31 × 700 kWh
    assert [side["exact"] for side in distance["children"]] == [34_100_000, 21_700_000]
    assert (distance["exact"], meter["exact"]) == (12_400_000, 34_100_000)
    assert tree["value"] == row["value"] == pytest.approx(4 / 11)
    assert faults(tree) == []


def test_the_daily_series_is_held_against_the_monthly_one(works: Plant) -> None:
    _, tree = measured(works, Measure.SERIES_DEVIATION, "2025-02/0000000000000001.2")
    coarse, fine = tree["children"][0]["children"]
    assert (coarse["exact"], fine["exact"]) == (30_000_000, 30_800_000)  # 30 000 kWh reported, 28 × 1 100
    assert faults(tree) == []


def test_completeness_is_days_over_days(works: Plant) -> None:
    _, tree = measured(works, Measure.COMPLETENESS, "2")
    measured_time, due = tree["children"]
    assert (measured_time["exact"], due["exact"]) == (8 * 86_400, 9 * 86_400)
    assert len(due["children"]) == 9
    assert faults(tree) == []


@pytest.mark.parametrize("measure", [m for m in Measure if m is not Measure.SILENT_SECONDS])
def test_the_leaves_of_every_measure_add_up_to_it(works: Plant, measure: Measure) -> None:
    rows = works.standing.measures.filter(pl.col("measure") == measure)
    sample = rows.gather_every(max(1, rows.height // 4)).to_dicts()
    assert sample
    for row in sample:
        tree = works.explainer.measure(row, works.frames, works.registry)
        assert tree is not None
        assert faults(tree) == [], row["subject"]
        assert (tree["kind"], tree["value"]) == (measure, row["value"])
        assert tree["is_confirmed"] == row["is_confirmed"], (row["subject"], tree["because"])
        assert json.loads(json.dumps(tree, allow_nan=False)) == tree


def test_silence_is_now_less_when_a_delivery_was_due(works: Plant) -> None:
    at = day_start(APRIL)
    row = {
        "enterprise": PLANT, "measure": "silent_seconds", "subject": "D", "at": at, "value": 7200.0,
        "low": 7200.0, "high": 7200.0, "coverage": None, "is_confirmed": True,
    }  # fmt: skip
    seen = pl.DataFrame({"enterprise": [PLANT], "device": ["D"], "at": [at - 8100]})
    tree = works.explainer.measure(row, {**works.frames, "LAST_SEEN": seen}, works.registry)
    assert tree is not None
    assert [leaf["exact"] for leaf in tree["children"]] == [at, at - 7200]
    assert tree["facts"]["last_seen"] == "2025-03-31T21:45:00+08:00"
    assert {point["name"] for point in tree["facts"]["points"]} >= {"进线", "外供"}
    assert faults(tree) == []


def test_every_intensity_says_what_the_books_say(works: Plant) -> None:
    rows = works.standing.intensity.gather_every(7).to_dicts()
    for row in rows:
        tree = works.explainer.intensity(row, works.frames, works.registry)
        assert (tree["value"], tree["is_confirmed"]) == (row["intensity"], row["is_confirmed"])
        assert faults(tree) == []
        assert [node for node in every(tree) if node["kind"] == "residual"] == []
