"""Intensities: how far a figure reaches, its bounds, what it is compared with, and what is never assumed."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analytics.explanation.intensities import Intensities
from analytics.intensity import RESULT
from analytics.intensity_measures import measures_of_intensity
from nengshao.domain.errors import FrameContractError
from nengshao.domain.time import day_start
from nengshao.frames import MEASURES, PRODUCTS
from nengshao.registry import Registry
from tests.support import intensities as w
from tests.support import metering as m

T = w.TONNE
D = 86_400
JANUARY = ("2025-01-01", "2025-02-01")
A_YEAR_BEFORE = ("2024-01-01", "2024-02-01")
OUTPUT = [w.stated("output", "p", *JANUARY, 1_000)]
TEN_A_DAY = w.days(*JANUARY, 10 * T)


def january(**world: Any) -> dict[str, Any]:
    """January 2025, 310 tce and 1 000 t unless told otherwise: 310 kgce/t."""
    stats = world.pop("stats", OUTPUT)
    return w.figure(w.intensities(stats, **({"daily": TEN_A_DAY} | world)), "2025-01")


def measured(found: pl.DataFrame, measure: str, period: str, targets: Any = ()) -> dict[str, Any] | None:
    """The MEASURES row of a period on the calorific basis, scope total; None: there is none."""
    rows = measures_of_intensity(found, w.targets_frame(targets)).filter(
        pl.col("measure") == measure, pl.col("subject").str.starts_with(f"{period}/calorific/total/")
    )
    return rows.row(0, named=True) if rows.height else None


# --------------------------------------------------------------------------------------------- reach


def test_an_empty_world_has_no_figures() -> None:
    found = w.intensities()
    assert found.is_empty()
    assert dict(found.schema) == dict(RESULT.schema)
    assert dict(measures_of_intensity(found, w.targets_frame([])).schema) == dict(MEASURES.schema)


def test_a_figure_is_sorted_unique_and_the_same_in_any_order_of_its_rows() -> None:
    stats = w.monthly("output", "p", 2025, [100] * 3) + w.monthly("output", "q", 2025, [50] * 3)
    daily = w.days("2025-01-01", "2025-04-01", 3 * T)
    found = w.intensities(stats, daily=daily, today="2025-06-01")
    assert found.equals(found.unique(RESULT.key, maintain_order=True).sort(*RESULT.key))
    assert found.equals(w.intensities(stats[::-1], daily=daily[::-1], today="2025-06-01"))


def test_every_basis_has_its_own_figure() -> None:
    daily = [row | {"carbon_g": 20 * T, "carbon_gap_high": None} for row in TEN_A_DAY]
    found = w.intensities(OUTPUT, daily=daily)
    assert w.figure(found, "2025-01", basis="equivalent")["intensity"] == 310.0
    carbon = w.figure(found, "2025-01", basis="carbon")
    assert (carbon["intensity"], carbon["intensity_low"], carbon["intensity_high"]) == (620.0, 620.0, None)


def test_periods_that_have_not_begun_have_no_rows() -> None:
    found = w.intensities(OUTPUT, daily=TEN_A_DAY, today="2025-02-01")
    assert sorted(found["period"].unique()) == ["2025", "2025-01", "2025-02"]


def test_the_year_to_date_ends_with_the_last_stated_month() -> None:
    stats = w.monthly("output", "p", 2025, [1_000, 1_000, None, 1_000])
    row = w.figure(w.intensities(stats, daily=w.days("2025-01-01", "2025-06-01", 10 * T)), "2025")
    assert (row["end_day"], row["is_whole"]) == (w.at("2025-03-01"), False)
    assert (row["energy_g"], row["intensity"]) == (590 * T, 295.0)


@pytest.mark.parametrize(
    "daily",
    [
        w.days("2025-01-02", "2025-02-01", 10 * T),  # the first day has no figures yet
        w.days("2025-01-01", "2025-01-20", 10 * T),  # the last ones have none
        w.days("2025-01-01", "2025-01-20", 10 * T) + w.days("2025-01-21", "2025-02-01", 10 * T),
        w.days("2025-01-01", "2025-01-31", 10 * T) + w.days("2025-01-31", "2025-02-01", T, published=False),
        [],
    ],
)  # fmt: skip
def test_a_month_whose_days_are_not_all_published_waits(daily: list[dict[str, Any]]) -> None:
    row = january(daily=daily)
    assert (row["end_day"], row["quantity"], row["intensity"]) == (w.at("2025-01-01"), None, None)
    assert (row["is_whole"], row["is_confirmed"], row["coverage"]) == (False, False, None)


def test_an_output_of_nothing_gives_no_intensity_and_no_infinity() -> None:
    row = january(stats=[w.stated("output", "p", *JANUARY, 0)])
    assert (row["quantity"], row["energy_g"], row["is_whole"]) == (0, 310 * T, True)
    assert (row["intensity"], row["intensity_low"], row["intensity_high"]) == (None, None, None)


def test_an_enterprise_is_asked_only_while_it_is_active_and_a_product_while_it_is_registered() -> None:
    begins, ends = (day_start(w.at(day)) for day in ("2025-03-01", "2025-09-01"))
    world: dict[str, Any] = {
        "daily": w.days("2025-03-01", "2025-09-01", T),
        "enterprises": m.enterprises(active_from=begins, active_to=ends),
    }
    stats = w.monthly("output", "p", 2025, [None, None, 10, 10, 10, 10, 10, 10])
    found = w.intensities(stats, **world)
    row = w.figure(found, "2025")
    assert (row["first_day"], row["end_day"]) == (w.at("2025-03-01"), w.at("2025-09-01"))
    assert (row["is_whole"], row["quantity"]) == (True, 60_000)
    assert "2025-02" not in found["period"].to_list()
    product = w.product(valid_from=day_start(w.at("2025-05-01")))
    row = w.figure(w.intensities(stats, products=[product], **world), "2025")
    assert (row["first_day"], row["quantity"]) == (w.at("2025-05-01"), 40_000)


def test_a_registered_product_of_which_nothing_is_stated_is_shown_as_unknown() -> None:
    row = january(stats=[], products=[w.product()])
    assert (row["quantity"], row["unit"], row["intensity"]) == (None, None, None)


def test_an_unconfirmed_output_or_factor_makes_the_figure_unconfirmed() -> None:
    assert january()["is_confirmed"] is True
    assert january(stats=[w.stated("output", "p", *JANUARY, 1, state="submitted")])["is_confirmed"] is False
    assert january(daily=w.days(*JANUARY, T, calorific_confirmed=False))["is_confirmed"] is False


def test_an_overflow_is_our_error() -> None:
    with pytest.raises(FrameContractError, match="overflowed"):
        shared(w.share(1, 2**62))


# -------------------------------------------------------------------------------------------- bounds


def test_gaps_open_the_bounds_and_lower_the_coverage() -> None:
    daily = w.days("2025-01-01", "2025-01-31", 10 * T) + w.days(
        "2025-01-31", "2025-02-01", None, calorific_gap_low=-T, calorific_gap_high=41 * T,
        measured_w=0, missing_w=100,
    )  # fmt: skip
    row = january(daily=daily)
    assert (row["low_g"], row["energy_g"], row["high_g"]) == (299 * T, 300 * T, 341 * T)
    assert (row["intensity_low"], row["intensity"], row["intensity_high"]) == (299.0, 300.0, 341.0)
    assert row["coverage"] == pytest.approx(30 / 31)


def test_an_unbounded_gap_leaves_the_other_bound() -> None:
    daily = w.days("2025-01-01", "2025-01-31", 10 * T) + w.days(
        "2025-01-31", "2025-02-01", None, calorific_gap_high=None
    )
    row = january(daily=daily)
    assert (row["low_g"], row["high_g"], row["intensity_high"]) == (300 * T, None, None)


def test_a_missing_factor_makes_it_unknown_not_small() -> None:
    daily = w.days("2025-01-01", "2025-01-31", 10 * T) + w.days(
        "2025-01-31", "2025-02-01", None, no_factor="heat:calorific"
    )
    found = w.intensities(OUTPUT, daily=daily)
    row = w.figure(found, "2025-01")
    assert [row[name] for name in ("energy_g", "low_g", "high_g", "intensity")] == [None] * 4
    assert w.figure(found, "2025-01", basis="carbon")["energy_g"] == 300 * T


def test_a_month_without_any_measurement_is_unknown() -> None:
    row = january(daily=w.days(*JANUARY, None, calorific_gap_high=9 * T))
    assert [row[name] for name in ("energy_g", "low_g", "high_g")] == [None] * 3


@pytest.mark.parametrize(
    ("start", "end", "changes", "expected"),
    [
        (3600, 7200, {}, (317, 317, 317)),  # inside: in the value and both bounds
        (30 * D, 32 * D, {}, (310, 310, 317)),  # across the end
        (-D, D, {}, (310, 310, 317)),  # across the start
        (30 * D, 32 * D, {"sign": -1}, (303, 310, 310)),  # an output across
        (0, D, {"sign": 0}, (310, 310, 310)),  # of a sub-meter
        (0, D, {"use": "certificate"}, (310, 310, 310)),
        (40 * D, 41 * D, {}, (310, 310, 310)),  # beyond
    ],
)
def test_a_block_counts_by_where_it_lies(
    start: int, end: int, changes: dict[str, Any], expected: tuple[int, ...]
) -> None:
    row = january(blocks=[w.block(start, end, 7 * T, **changes)])
    assert (row["low_g"], row["energy_g"], row["high_g"]) == tuple(each * T for each in expected)


def test_a_block_without_a_factor_makes_it_unknown() -> None:
    assert january(blocks=[w.block(0, D, None)])["energy_g"] is None


def test_a_month_of_nothing_but_a_block_is_known() -> None:
    row = january(daily=w.days(*JANUARY, None), blocks=[w.block(0, D, 5 * T)])
    assert (row["low_g"], row["energy_g"], row["high_g"]) == (5 * T, 5 * T, 5 * T)


# -------------------------------------------------------------------------------------------- shares


def shared(*shares: dict[str, Any], **world: Any) -> dict[str, Any]:
    """January of a product charged with shares of points 1 and 2, which used 1 000 and 100 Wh a day."""
    points = w.point_days(1, *JANUARY, 1_000, calorific_g=100, sign=1) + w.point_days(
        2, *JANUARY, 100, calorific_g=10, use="feedstock"
    )
    world = {"points": points, "products": [w.product()]} | world
    return january(shares=list(shares), **world)


def test_a_product_is_charged_with_its_points_whatever_side_they_are_on() -> None:
    row = shared(w.share(1, 1, 2), w.share(2, -1))
    # 3 100 / 2 − 310
    assert (row["low_g"], row["energy_g"], row["high_g"]) == (1_240, 1_240, 1_240)
    assert row["coverage"] == 1.0
    assert row["is_confirmed"] is True


def test_a_factor_that_nobody_confirmed_makes_a_product_unconfirmed() -> None:
    points = w.point_days(1, *JANUARY, 1, calorific_factor="other")
    assert shared(w.share(1), points=points)["is_confirmed"] is False


def test_a_point_counts_in_the_scopes_of_its_use() -> None:
    points = w.point_days(1, *JANUARY, 0, calorific_g=100) + w.point_days(
        2, *JANUARY, 0, calorific_g=10, use="feedstock"
    )
    targets = [
        w.target("product:p", scope=scope, target_mg=1) for scope in ("feedstock", "excluding_feedstock")
    ]
    found = w.intensities(
        OUTPUT, daily=TEN_A_DAY, points=points, products=[w.product()],
        shares=[w.share(1), w.share(2)], targets=targets,
    )  # fmt: skip
    rows = found.filter(pl.col("period") == "2025-01", pl.col("basis") == "calorific")
    assert dict(rows.select("scope", "energy_g").rows()) == {
        "total": 3_410,
        "feedstock": 310,
        "excluding_feedstock": 3_100,
    }


def test_shares_that_change_within_the_month_count_by_their_days() -> None:
    # 10 days in full, 21 days a half: 1 000 + 2 100 / 2
    change = day_start(w.at("2025-01-11"))
    row = shared(w.share(1, valid_to=change), w.share(1, 1, 2, valid_from=change))
    assert row["energy_g"] == 2_050


def test_before_the_first_share_and_in_a_hole_the_charge_is_unknown() -> None:
    late = w.share(1, valid_from=day_start(w.at("2025-01-02")))
    assert shared(late)["energy_g"] is None
    hole = w.share(1, valid_to=day_start(w.at("2025-01-10")))
    assert shared(hole, w.share(1, valid_from=day_start(w.at("2025-01-12"))))["energy_g"] is None


def test_of_several_products_one_without_shares_has_no_energy_of_its_own() -> None:
    # 310 tce and two products: whose they are nobody has said. q: 31 000 kWh × 0.1229 / 2.
    ends = day_start(w.at("2025-01-01"))
    stats = [*OUTPUT, w.stated("output", "q", *JANUARY, 500)]
    found = w.intensities(stats, daily=TEN_A_DAY, products=[w.product(), w.product("q")])
    for denominator in ("product:p", "product:q"):
        row = w.figure(found, "2025-01", denominator)
        unknown = ("energy_g", "low_g", "high_g", "intensity", "intensity_low", "intensity_high")
        assert [row[name] for name in unknown] == [None] * 6
        assert (row["quantity"] is None, row["grade"]) == (False, "")
    norm = [w.product(norm="cement"), w.product("q")]
    row_of_norm = measured(w.intensities(stats, daily=TEN_A_DAY, products=norm), "norm_ratio", "2025-01")
    assert row_of_norm is not None
    assert (row_of_norm["value"], row_of_norm["low"], row_of_norm["high"]) == (None, None, None)
    # The other one has shares, or ended the day before: the total is nobody's, or p's.
    shared_q = w.intensities(
        stats, daily=TEN_A_DAY, products=[w.product(), w.product("q")],
        points=w.point_days(1, *JANUARY, 1_000_000), shares=[w.share(1, 1, 2, name="q")],
    )  # fmt: skip
    assert w.figure(shared_q, "2025-01")["energy_g"] is None
    assert w.figure(shared_q, "2025-01", "product:q")["energy_g"] == 1_904_950
    over = w.intensities(OUTPUT, daily=TEN_A_DAY, products=[w.product(), w.product("q", valid_to=ends)])
    assert w.figure(over, "2025-01")["energy_g"] == 310 * T
    # A total per 产值 is nobody's share.
    value = [w.stated("output_value", "", *JANUARY, 1_000, unit="1e4CNY")]
    whole = w.intensities(value, daily=TEN_A_DAY, products=[w.product(), w.product("q")])
    assert w.figure(whole, "2025-01", "output_value")["intensity"] == 310.0


def test_an_explanation_says_why_one_of_several_products_has_no_energy() -> None:
    products = [w.product(), w.product("q")]
    row = w.figure(w.intensities(OUTPUT, daily=TEN_A_DAY, products=products), "2025-01")
    registered = pl.DataFrame(products, dict(PRODUCTS.schema))
    registry = Registry(enterprises=m.enterprises(active_from=0), products=registered)
    opened = Intensities({"STATISTICS": w.statistics(OUTPUT)}, registry, {}, w.NORMS)
    tree = opened.tree(row)
    assert (tree["value"], tree["is_confirmed"], row["is_confirmed"]) == (None, False, False)
    assert tree["because"] == [
        "企业有多种产品，本产品未登记分摊 / one of several products, without registered shares"
    ]


def test_a_share_of_a_point_without_figures_is_unknown() -> None:
    assert shared(w.share(1), w.share(3))["energy_g"] is None


def test_a_product_waits_for_its_points_not_for_others() -> None:
    pending = w.point_days(1, "2025-01-01", "2025-01-31", 0) + w.point_days(
        1, "2025-01-31", "2025-02-01", 0, pending_s=9
    )
    assert shared(w.share(1), points=pending)["end_day"] == w.at("2025-01-01")
    unpublished = w.days(*JANUARY, 10 * T, published=False)  # some other meter of the works is late
    assert shared(w.share(1), daily=unpublished)["end_day"] == w.at("2025-02-01")


def gap(point: int, day: str, low: int | None, high: int | None) -> dict[str, Any]:
    bases = ("calorific", "equivalent", "carbon")
    sides = {f"{basis}_gap_{side}": g for basis in bases for side, g in (("low", low), ("high", high))}
    return {"enterprise": m.ENTERPRISE, "point": point, "day": w.at(day)} | sides


@pytest.mark.parametrize(
    ("num", "den", "expected"),
    [
        (1, 1, (3_000 - 7, 3_000, 3_000 + 40)),
        (-1, 1, (-3_000 - 40, -3_000, -3_000 + 7)),  # what is taken off swaps them
        (1, 3, (1_000 - 3, 1_000, 1_000 + 14)),  # 7 / 3 and 40 / 3, rounded away from the value
    ],
)
def test_a_point_s_gaps_in_mass(num: int, den: int, expected: tuple[int, ...]) -> None:
    points = w.point_days(1, "2025-01-01", "2025-01-31", 1, calorific_g=100) + w.point_days(
        1, "2025-01-31", "2025-02-01", None, gap_low=-50, gap_high=300, measured_s=0, missing_s=D
    )
    row = shared(w.share(1, num, den), points=points, gaps=[gap(1, "2025-01-31", -7, 40)])
    assert (row["low_g"], row["energy_g"], row["high_g"]) == expected
    assert row["coverage"] == pytest.approx(30 / 31)
    open_ended = shared(w.share(1, num, den), points=points)  # no gap in mass is known: unbounded
    assert (open_ended["low_g"], open_ended["high_g"]) == (None, None)


def test_a_block_of_a_point_is_shared_as_the_point_is() -> None:
    # 3 100 / 3 + 100 / 3 = 1 066.67 → 1 067, rounded once; the one across the border in the bounds alone
    blocks = [w.block(0, D, 100), w.block(30 * D, 32 * D, 50)]
    row = shared(w.share(1, 1, 3), blocks=blocks)
    assert (row["low_g"], row["energy_g"], row["high_g"]) == (1_067, 1_067, 1_084)


# --------------------------------------------------------------------------------------- electricity


def two_shares(second: int) -> dict[str, Any]:
    """January of a point with 1 000 kWh a day but for a block of 2 000 kWh over the 14th and 15th; its share,
    one half, ends with the 14th, and `second` quarters follow."""
    points = w.point_days(1, "2025-01-01", "2025-01-14", 1_000_000)
    points += w.point_days(1, "2025-01-14", "2025-01-16", None, measured_s=0, missing_s=D)
    points += w.point_days(1, "2025-01-16", "2025-02-01", 1_000_000)
    block = w.block(13 * D, 15 * D, 245_800, sign=0, amount=2_000_000)
    border = day_start(w.at("2025-01-15"))
    shares = [w.share(1, 2, 4, valid_to=border), w.share(1, second, 4, valid_from=border)]
    return january(points=points, blocks=[block], products=[w.product()], shares=shares)


def test_a_share_that_is_registered_again_within_a_block_stays_exact() -> None:
    # 31 × 1 000 kWh × 0.1229 / 2 = 1 904 950 g, and nothing is open: the block is wholly inside
    row = two_shares(2)
    assert (row["low_g"], row["energy_g"], row["high_g"]) == (1_904_950,) * 3


def test_a_block_across_the_border_of_two_different_shares_is_in_the_bounds_alone() -> None:
    # (13 000 / 2 + 16 000 × 3/4) kWh × 0.1229 = 2 273 650 g; of the block of 245 800 g at most
    # 1/2 + 3/4: 307 250.
    row = two_shares(3)
    assert (row["low_g"], row["energy_g"], row["high_g"]) == (2_273_650, 2_273_650, 2_580_900)


def test_a_norm_in_kilowatt_hours_has_figures_in_kilowatt_hours() -> None:
    # 31 days × 1 MWh in, 0.1 out, over 900 t: 27 900 kWh / 900 t = 31 kWh/t: above 29, below 34: grade 3
    points = w.point_days(1, *JANUARY, 1_000_000, sign=1) + w.point_days(2, *JANUARY, 100_000, sign=-1)
    points += w.point_days(3, *JANUARY, 9_999) + w.point_days(4, *JANUARY, 5, sign=1, carrier="diesel")
    found = w.intensities(
        [w.stated("output", "p", *JANUARY, 900)], daily=TEN_A_DAY, points=points,
        products=[w.product(norm="cement_preparation")],
    )  # fmt: skip
    row = w.figure(found, "2025-01", basis="electricity")
    assert [row[name] for name in ("intensity", "limit_3", "gap", "grade")] == [31.0, 34.0, -3.0, "3"]
    assert [row[name] for name in ("energy_g", "low_g", "high_g", "gap_g")] == [None] * 4  # no mass
    mass = w.figure(found, "2025-01")
    assert (mass["norm"], mass["norm_problem"], mass["grade"]) == ("", "", "")
    ratio = measures_of_intensity(found, w.targets_frame([])).filter(
        pl.col("measure") == "norm_ratio", pl.col("subject") == "2025-01/electricity/total/product:p"
    )
    assert ratio["value"].to_list() == [pytest.approx(31 / 34)]


def test_what_is_made_of_points_waits_where_they_have_no_figures() -> None:
    # Only the last days of the meters were given: nothing is said of the month, rather than too little.
    points = w.point_days(1, "2025-01-20", "2025-02-01", 1_000_000, sign=1)
    found = w.intensities(
        OUTPUT, daily=TEN_A_DAY, points=points, products=[w.product(norm="cement_preparation")]
    )
    row = w.figure(found, "2025-01", basis="electricity")
    assert (row["end_day"], row["intensity"]) == (w.at("2025-01-01"), None)
    assert w.figure(found, "2025-01")["intensity"] == 310.0


def test_pue_is_the_electricity_of_the_site_over_that_of_its_computers() -> None:
    # 31 × 1 300 kWh over 31 000 kWh of IT equipment, stated as output: 1.3
    points = w.point_days(1, *JANUARY, 1_300_000, sign=1)
    stats = [w.stated("output", "p", *JANUARY, 31_000, unit="kWh")]
    found = w.intensities(stats, daily=TEN_A_DAY, points=points, products=[w.product(norm="data_centre")])
    row = w.figure(found, "2025-01", basis="electricity")
    assert (row["intensity"], row["limit_3"], row["grade"], row["norm_confirmed"]) == (1.3, 1.5, "2", False)


# ------------------------------------------------------------------------------------------- scopes


def test_without_another_use_every_scope_that_excludes_something_is_the_total() -> None:
    targets = [
        w.target("product:p", scope="net", target_mg=1),
        w.target("product:p", scope="feedstock", target_mg=1),
    ]
    found = w.intensities(OUTPUT, daily=TEN_A_DAY, targets=targets)
    assert w.figure(found, "2025-01", scope="net")["energy_g"] == 310 * T
    assert w.figure(found, "2025-01", scope="feedstock")["energy_g"] is None


def test_before_the_first_day_of_another_use_a_scope_is_the_total() -> None:
    # Feedstock is metered from 11 January on: 10 × 10 + 21 × 8
    scopes = w.scope_days("excluding_feedstock", "2025-01-11", "2025-02-01", 8 * T)
    found = w.intensities(OUTPUT, daily=TEN_A_DAY, scopes=scopes)
    assert w.figure(found, "2025-01", scope="excluding_feedstock")["energy_g"] == 268 * T
    assert w.figure(found, "2025-01")["energy_g"] == 310 * T


# -------------------------------------------------------------------------------------- comparisons


def two_years(now: list[float | None], before: list[float | None], **world: Any) -> pl.DataFrame:
    """Ten tce a day since 2024; output by month of 2025 and 2024."""
    stats = w.monthly("output", "p", 2025, now) + w.monthly("output", "p", 2024, before)
    return w.intensities(stats, **({"daily": w.days("2024-01-01", "2026-01-01", 10 * T)} | world))


def test_the_year_before_is_that_of_the_same_days() -> None:
    # Of 2025 January and February are stated: 590 / 2 000; of 2024 every month, but the same days count:
    # 600 / 1 000 kgce/t
    row = w.figure(two_years([1_000, 1_000], [500] * 12), "2025")
    assert (row["intensity"], row["previous"]) == (295.0, 600.0)
    assert row["change"] == pytest.approx(-305 / 600)


def test_there_is_no_year_before_if_its_days_are_not_all_known() -> None:
    found = two_years([1_000, 1_000], [500, None, 500])
    assert w.figure(found, "2025")["previous"] is None
    assert measured(found, "intensity_change", "2025") is None
    assert w.figure(found, "2025-01")["previous"] == 620.0


def test_another_unit_is_never_compared() -> None:
    stats = [
        w.stated("output", "p", *JANUARY, 1_000),
        w.stated("output", "p", "2024-01-01", "2024-02-01", 1, unit="1e4t"),
    ]
    found = w.intensities(stats, daily=w.days("2024-01-01", "2026-01-01", 10 * T))
    assert w.figure(found, "2025-01")["previous"] is None


def test_a_chain_links_whole_months_over_the_turn_of_the_year() -> None:
    found = two_years([1_000, 700], [None] * 11 + [500])
    assert w.figure(found, "2025-01")["chain"] == pytest.approx(310 / 620 - 1)
    assert w.figure(found, "2025-02")["chain"] == pytest.approx(400 / 310 - 1)
    assert w.figure(found, "2025")["chain"] is None
    assert "2024-12" not in found["period"].to_list()


def test_a_change_is_bounded_by_both_years() -> None:
    # 300 … 341 against 300 … 320 kgce/t: 300 / 320 − 1 … 341 / 300 − 1
    def open_january(year: int, high: int) -> list[dict[str, Any]]:
        first, last, end = f"{year}-01-01", f"{year}-01-31", f"{year}-02-01"
        return w.days(first, last, 10 * T) + w.days(last, end, None, calorific_gap_high=high * T)

    stats = [*OUTPUT, w.stated("output", "p", *A_YEAR_BEFORE, 1_000)]
    found = w.intensities(stats, daily=open_january(2025, 41) + open_january(2024, 20))
    row = measured(found, "intensity_change", "2025-01")
    assert row is not None
    assert (row["value"], row["low"], row["high"]) == (
        0.0, pytest.approx(300 / 320 - 1), pytest.approx(341 / 300 - 1),
    )  # fmt: skip
    unbounded = w.intensities(
        stats,
        daily=open_january(2025, 41) + w.days("2024-01-01", "2024-02-01", 10 * T, calorific_gap_high=None),
    )
    row = measured(unbounded, "intensity_change", "2025-01")
    assert row is not None
    assert (row["low"], row["high"]) == (None, None)


# ------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("target", "before", "gap_high", "state", "numbers"),
    [
        (310, 500, 0, "met", (0, 0, 0)),  # equal is met
        (309, 500, 0, "missed_falling", (1, 1, 1)),
        (309, 1_000, 0, "rising", (2, 2, 2)),  # 310 last year: not below it
        (309, 2_000, 0, "rising", (2, 2, 2)),
        (311, 2_000, 2, "", (0, 0, 2)),  # 310 … 312: met, or missed and risen
        (311, 2_000, None, "", (0, 0, None)),
        (309, None, 0, "", (None, 1, 2)),  # missed; whether it fell nobody knows
        (310, None, 0, "met", (0, 0, 0)),
    ],
)
def test_three_states(
    target: int, before: float | None, gap_high: int | None, state: str, numbers: tuple[int | None, ...]
) -> None:
    high = None if gap_high is None else gap_high * T
    daily = w.days("2024-01-01", "2025-01-31", 10 * T) + w.days(
        "2025-01-31", "2025-02-01", 10 * T, calorific_gap_high=high
    )
    targets = [w.target("product:p", target_mg=target * 10**6)]
    found = two_years([1_000], [before], daily=daily, targets=targets)
    row = w.figure(found, "2025")
    assert (row["target"], row["state"], row["target_confirmed"]) == (target, state, True)
    state_row = measured(found, "intensity_state", "2025", targets)
    assert state_row is not None
    assert tuple(state_row[name] for name in ("value", "low", "high")) == numbers
    assert w.figure(found, "2025-01")["target"] is None  # a year's target says nothing of a month
    ratio = measured(found, "intensity_ratio", "2025", targets)
    assert ratio is not None
    assert (ratio["value"], ratio["is_confirmed"]) == (pytest.approx(310 / target), True)
    assert measured(found, "intensity_ratio", "2025-01", targets) is None


def test_a_reduction_is_asked_of_the_same_days_of_the_base_year() -> None:
    # 2023: January 310 tce / 500 t = 620; 10 % less: 558. 2025: 310 kgce/t: 50 % less: completion 5.
    targets = [w.target("product:p", reduction_ppm=100_000, base_year=2023)]
    stats = [*OUTPUT, w.stated("output", "p", "2023-01-01", "2023-02-01", 500)]
    daily = w.days("2023-01-01", "2023-12-31", 10 * T) + TEN_A_DAY
    found = w.intensities(stats, daily=daily, targets=targets)
    row = w.figure(found, "2025")
    assert (row["target"], row["target_confirmed"], row["previous"]) == (558.0, True, None)
    completion = measured(found, "reduction_completion", "2025", targets)
    assert completion is not None
    assert completion["value"] == pytest.approx(5.0)
    assert (completion["at"], completion["coverage"]) == (day_start(w.at("2025-02-01")), 1.0)
    open_base = w.days("2023-01-01", "2023-12-31", 10 * T, calorific_gap_high=1) + TEN_A_DAY
    row = w.figure(w.intensities(stats, daily=open_base, targets=targets), "2025")
    assert (row["target"], row["target_confirmed"]) == (558.0, False)


def test_a_target_without_its_base_is_unknown_and_asked_for_all_the_same() -> None:
    targets = [w.target("product:p", reduction_ppm=100_000, base_year=2023)]
    found = w.intensities(OUTPUT, daily=TEN_A_DAY, targets=targets)
    assert w.figure(found, "2025")["target"] is None
    for measure in ("intensity_ratio", "intensity_state", "reduction_completion", "reduction_gap"):
        row = measured(found, measure, "2025", targets)
        assert row is not None
        assert (row["value"], row["low"], row["high"]) == (None, None, None)


def test_the_bounds_of_a_reduction_run_the_other_way() -> None:
    # 310 … 341 of 620: reduced by 0.45 … 0.5; asked 0.1: completion 4.5 … 5; gap −40 … −35 points
    targets = [w.target("product:p", reduction_ppm=100_000, base_year=2024)]
    daily = w.days("2024-01-01", "2025-01-31", 10 * T)
    daily += w.days("2025-01-31", "2025-02-01", 10 * T, calorific_gap_high=31 * T)
    found = two_years([1_000], [500], daily=daily, targets=targets)
    completion = measured(found, "reduction_completion", "2025", targets)
    gap = measured(found, "reduction_gap", "2025", targets)
    assert completion is not None
    assert gap is not None
    assert (completion["low"], completion["high"]) == (pytest.approx(4.5), pytest.approx(5.0))
    assert (gap["low"], gap["high"]) == (pytest.approx(-40.0), pytest.approx(-35.0))


def test_a_base_year_with_a_gap_opens_the_target_and_all_that_is_held_against_it() -> None:
    # January 2024: 310 tce and up to 310 more / 1 000 t: 310 … 620 kgce/t. 50 % less is asked: 155 … 310.
    # January 2025: 310 kgce/t. Against the target 310/310 … 310/155 = 1 … 2; met (0) or, against 310 before,
    # risen (2). Reduced by 1 − 310/310 = 0 … 1 − 310/620 = 0.5: completion 0 … 1, gap 50 … 0 points.
    targets = [w.target("product:p", reduction_ppm=500_000, base_year=2024)]
    open_base = w.days("2024-01-01", "2024-01-31", 10 * T)
    for high, bounds in (
        (310 * T, {"intensity_ratio": (1, 2), "intensity_state": (0, 2), "reduction_completion": (0, 1),
                   "reduction_gap": (0, 50)}),
        (None, {"intensity_ratio": (None, None), "intensity_state": (None, 2),
                "reduction_completion": (None, None), "reduction_gap": (None, None)}),
    ):  # fmt: skip
        daily = [
            *open_base, *w.days("2024-01-31", "2024-02-01", 10 * T, calorific_gap_high=high), *TEN_A_DAY,
        ]  # fmt: skip
        found = two_years([1_000], [1_000], daily=daily, targets=targets)
        assert (w.figure(found, "2025")["target"], w.figure(found, "2025")["state"]) == (155.0, "")
        for measure, (low, most) in bounds.items():
            row = measured(found, measure, "2025", targets)
            assert row is not None
            assert (row["low"], row["high"]) == (low, most), measure


def test_a_target_far_below_any_base_is_missed_for_sure() -> None:
    # 310 … 620 kgce/t before; 90 % less: 31 … 62. 310 is above both, and no less than before.
    targets = [w.target("product:p", reduction_ppm=900_000, base_year=2024)]
    daily = [
        *w.days("2024-01-01", "2024-01-31", 10 * T),
        *w.days("2024-01-31", "2024-02-01", 10 * T, calorific_gap_high=310 * T), *TEN_A_DAY,
    ]  # fmt: skip
    row = measured(
        two_years([1_000], [1_000], daily=daily, targets=targets), "intensity_state", "2025", targets
    )
    assert row is not None
    assert (row["value"], row["low"], row["high"]) == (2, 1, 2)


def test_an_incentive_target_is_not_the_one_that_must_be_met() -> None:
    found = w.intensities(
        OUTPUT, daily=TEN_A_DAY, targets=[w.target("product:p", target_mg=1, level="incentive")]
    )
    assert w.figure(found, "2025")["target"] is None


# ------------------------------------------------------------------------------------------- norms


def test_a_grade_is_told_only_if_the_bounds_agree_on_it() -> None:
    # GB 21257-2024: 308 / 315 / 350; 310 is grade 2, 310 … 316 may be 2 or 3
    world: dict[str, Any] = {"products": [w.product(norm="caustic_soda_30")]}
    stats = [w.stated("output", "p", "2025-05-01", "2025-06-01", 1_000)]
    for high, grade in ((5, "2"), (6, ""), (None, "")):
        gap_high = None if high is None else high * T
        daily = w.days("2025-05-01", "2025-05-31", 10 * T)
        daily += w.days("2025-05-31", "2025-06-01", 10 * T, calorific_gap_high=gap_high)
        row = w.figure(w.intensities(stats, daily=daily, **world), "2025-05")
        assert (row["limit_2"], row["grade"]) == (315.0, grade)


def test_what_keeps_a_known_limit_has_its_grade_though_another_is_unknown() -> None:
    # Clinker: 100 / 107 / 117, and without the altitude nobody can say what level 3 is.
    world: dict[str, Any] = {
        "products": [w.product(norm="clinker")],
        "stats": [w.stated("output", "p", *JANUARY, 1_000)],
    }
    for g, grade in ((3 * T, "1"), (3_400_000, "2"), (4 * T, "")):
        row = january(daily=w.days(*JANUARY, g), **world)
        assert (row["grade"], row["limit_3"], row["norm_problem"]) == (grade, None, "missing:altitude")


def test_measures_against_a_norm_and_its_baseline() -> None:
    # 310 kgce/t against 350 (level 3) and 350 (基准, from memory, so unconfirmed)
    stats = [w.stated("output", "p", "2025-05-01", "2025-06-01", 1_000)]
    found = w.intensities(
        stats, daily=w.days("2025-05-01", "2025-06-01", 10 * T), products=[w.product(norm="caustic_soda_30")]
    )
    norm, baseline = measured(found, "norm_ratio", "2025-05"), measured(found, "baseline_ratio", "2025-05")
    assert norm is not None
    assert baseline is not None
    assert (norm["value"], norm["is_confirmed"]) == (310 / 350, True)
    assert (baseline["value"], baseline["is_confirmed"]) == (310 / 350, False)
    assert (norm["subject"], norm["at"]) == (
        "2025-05/calorific/total/product:p",
        day_start(w.at("2025-06-01")),
    )


def test_a_norm_that_is_taken_away_judges_no_more() -> None:
    change = day_start(w.at("2025-06-01"))
    products = [w.product(norm="caustic_soda_30", valid_to=change), w.product(valid_from=change)]
    stats = w.monthly("output", "p", 2025, [1_000] * 6)
    found = w.intensities(stats, daily=w.days("2025-01-01", "2025-07-01", 10 * T), products=products)
    assert [w.figure(found, f"2025-{month:02}")["norm"] for month in (4, 5, 6)] == [
        "caustic_soda_30", "caustic_soda_30", "",
    ]  # fmt: skip
    assert w.figure(found, "2025-04")["norm_problem"] == "not_in_force"  # from 1 May 2025 on


def test_an_unknown_norm_is_said_where_it_would_stand() -> None:
    row = january(products=[w.product(norm="cemnet")])
    assert (row["norm"], row["norm_problem"], row["grade"]) == ("cemnet", "unknown_norm", "")


# ------------------------------------------------------------------------------------------- regions

REGION: dict[str, Any] = {"subject": "430600", "unit": "1e4CNY"}


def region(stats: list[dict[str, Any]], period: str = "2025", **more: str) -> dict[str, Any]:
    more = {"basis": "equivalent", "denominator": "gdp_comparable"} | more
    return w.figure(w.intensities(stats), period, **more)


def gdp(end: str, value: float, first: str = "2025-01-01") -> dict[str, Any]:
    return w.stated("gdp_comparable", "", first, end, value, **REGION)


def consumption(end: str, value: float, item: str = "total", **changes: Any) -> dict[str, Any]:
    changes = REGION | {"unit": "tce"} | changes
    return w.stated(changes.pop("indicator", "energy_consumption"), item, "2025-01-01", end, value, **changes)


def test_a_region_reaches_to_the_last_day_that_both_are_stated_to() -> None:
    # GDP for 1—3月 and 1—9月, energy for 1—3月 and 1—6月: 1—3月.
    stats = [
        gdp("2025-04-01", 100),
        gdp("2025-10-01", 300),
        consumption("2025-04-01", 40),
        consumption("2025-07-01", 90),
    ]
    row = region(stats)
    assert (row["end_day"], row["is_whole"], row["intensity"]) == (w.at("2025-04-01"), False, 400.0)
    assert (row["intensity_low"], row["intensity_high"]) == (400.0, 400.0)
    assert region([*stats, consumption("2025-10-01", 130)])["intensity"] == pytest.approx(1300 / 3)


def test_what_nobody_stated_is_not_nothing() -> None:
    stats = [gdp("2026-01-01", 100), consumption("2026-01-01", 40)]
    found = w.intensities(stats, targets=[
        w.target("gdp_comparable", enterprise="430600", basis="equivalent", scope=scope, target_mg=1)
        for scope in ("excluding_feedstock", "net")
    ])  # fmt: skip
    names = {"denominator": "gdp_comparable", "basis": "equivalent"}
    row = w.figure(found, "2025", scope="excluding_feedstock", **names)
    assert (row["end_day"], row["energy_g"], row["intensity"]) == (w.at("2025-01-01"), None, None)
    assert w.figure(found, "2025", **names)["intensity"] == 400.0


def test_a_scope_s_own_statement_goes_before_the_sum_of_parts() -> None:
    # net: 40 − 5 − 3 = 32, stated as 31
    parts = [gdp("2026-01-01", 100), consumption("2026-01-01", 40), consumption("2026-01-01", 5, "feedstock")]
    parts.append(consumption("2026-01-01", 3, "non_fossil"))
    target = w.target("gdp_comparable", enterprise="430600", basis="equivalent", scope="net", target_mg=1)
    names = {"denominator": "gdp_comparable", "basis": "equivalent", "scope": "net"}
    assert w.figure(w.intensities(parts, targets=[target]), "2025", **names)["intensity"] == 320.0
    parts.append(consumption("2026-01-01", 31, "net", state="preliminary"))
    row = w.figure(w.intensities(parts, targets=[target]), "2025", **names)
    assert (row["intensity"], row["is_confirmed"]) == (310.0, False)


def test_a_region_s_carbon_is_its_own_statement_in_its_own_unit() -> None:
    stats = [
        gdp("2026-01-01", 100),
        consumption("2026-01-01", 1, indicator="carbon_emission", unit="1e4tCO2"),
    ]
    found = w.intensities(stats)
    names = {"denominator": "gdp_comparable"}
    assert w.figure(found, "2025", basis="carbon", **names)["energy_g"] == 10_000 * T
    assert w.figure(found, "2025", basis="equivalent", **names)["energy_g"] is None
    wrong = [gdp("2026-01-01", 100), consumption("2026-01-01", 1, unit="tCO2")]
    assert region(wrong)["energy_g"] is None


def test_the_sum_of_key_units_is_never_a_region_s_energy() -> None:
    days = [row | {"enterprise": "430600"} for row in w.days("2025-01-01", "2026-01-01", 10 * T)]
    row = w.figure(
        w.intensities([gdp("2026-01-01", 100)], daily=days), "2025", "gdp_comparable", basis="equivalent"
    )
    assert (row["energy_g"], row["intensity"]) == (None, None)


def test_an_enterprise_has_no_gdp_and_a_region_no_products() -> None:
    stats = [
        w.stated("gdp_comparable", "", *JANUARY, 1),
        w.stated("output", "p", *JANUARY, 1, subject="430600"),
    ]
    assert w.intensities(stats, daily=TEN_A_DAY).is_empty()
