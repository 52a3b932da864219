"""Coverage, bounds, standard coal and totals, through `assess`."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from analytics.assessment import Results, assess
from analytics.conversion import factor_classes, factors_per_day, to_coal_and_carbon
from nengshao.domain.errors import FrameContractError
from nengshao.domain.factors import Basis, Confidence, FactorTable
from nengshao.domain.units import Carrier
from tests.support import metering as m

D, H = 86_400, 3600
SHARES = ["measured_s", "estimated_s", "missing_s", "pending_s"]


def run(
    frames: list[pl.DataFrame], *specs: dict[str, Any], as_of: int = m.T0 + 99 * D, **more: Any
) -> Results:
    return assess(
        pl.concat(frames).sort("point", "ts").lazy(),
        m.registry(m.points(*specs), enterprises=more.get("enterprises", m.enterprises())),
        more.get("factors", m.FACTORS),
        window=(m.DAY, m.DAY + more.get("days", 1)), as_of=as_of,
    ).collect()  # fmt: skip


def full(number: int = 1, quarters: int = 96, each: float = 1.0) -> pl.DataFrame:
    return m.readings(number, m.kwh(*(i * each for i in range(quarters + 1))))


NOTHING = full().clear()


@pytest.mark.parametrize(
    ("spec", "as_of", "pending"),
    [
        (m.point(1, grace_s=0), m.T0 + 2 * H, D - 2 * H),  # two hours' slots are over
        (m.point(1, grace_s=H), m.T0 + 2 * H, D - H),  # the second hour is within its grace
        (m.point(1, grace_s=0), m.T0 + 2 * H + 1, D - 2 * H),  # a slot that has just begun
        (m.point(1, grace_s=0), m.T0 + 2 * H - 1, D - 2 * H + 900),
        (m.point(1, kind="amount", stat_type=1, grace_s=H), m.T0 + D, D),
        (m.point(1, kind="amount", stat_type=1, grace_s=H), m.T0 + D + H, 0),
        (m.point(1, kind="amount", stat_type=2, grace_s=D), m.T0 + 31 * D, D),
        (m.point(1, kind="amount", stat_type=2, grace_s=D), m.T0 + 32 * D, 0),
        (m.point(1, kind="amount", stat_type=3, grace_s=D), m.T0 + 365 * D, D),
        (m.point(1, kind="amount", stat_type=3, grace_s=D), m.T0 + 366 * D, 0),
    ],
)
def test_uncovered_time_is_pending_until_its_slot_and_grace_are_over(
    spec: dict[str, Any], as_of: int, pending: int
) -> None:
    row = run([NOTHING], spec, as_of=as_of).point_days.row(0, named=True)
    assert (row["pending_s"], row["missing_s"]) == (pending, D - pending)
    assert row["amount"] is None
    if pending:
        assert row["recheck_at"] > as_of
        later = run([NOTHING], spec, as_of=row["recheck_at"]).point_days.row(0, named=True)
        before = run([NOTHING], spec, as_of=row["recheck_at"] - 1).point_days.row(0, named=True)
        assert later["pending_s"] < before["pending_s"] == pending
    else:
        assert row["recheck_at"] is None


def test_the_recheck_waits_for_the_first_uncovered_slot() -> None:
    spec = m.point(1, grace_s=3 * H)
    row = run([full(quarters=8)], spec, as_of=m.T0 + 2 * H).point_days.row(0, named=True)
    assert row["recheck_at"] == m.T0 + 2 * H + 900 + 3 * H


def test_the_shares_sum_to_the_time_on_duty() -> None:
    own = m.enterprises(active_from=m.T0 + 6 * H)
    row = run([full(quarters=40)], m.point(1), enterprises=own).point_days.row(0, named=True)
    assert [row[s] for s in SHARES] == [4 * H, 0, D - 10 * H, 0]
    assert row["amount"] == 16_000


def test_a_gap_is_bounded_by_capacity_and_unbounded_without() -> None:
    row = run([full(quarters=92)], m.point(1, capacity=4_001)).point_days.row(0, named=True)
    assert row["gap_high"] == 4_001  # an hour
    row = run([full(quarters=92)], m.point(1, capacity=None)).point_days.row(0, named=True)
    assert row["gap_high"] is None
    row = run([full()], m.point(1, capacity=None)).point_days.row(0, named=True)
    assert row["gap_high"] == 0  # nothing is missing


def test_a_block_is_missing_time_with_its_exact_amount_beside_it() -> None:
    reads = full().filter(~pl.col("ts").is_between(m.T0 + H, m.T0 + 8 * H, closed="none"))
    results = run([reads], m.point(1))
    row = results.point_days.row(0, named=True)
    assert (row["amount"], row["missing_s"], row["gap_high"]) == (68_000, 7 * H, 0)
    block = results.blocks.row(0, named=True)
    assert (block["start"], block["end"], block["amount"]) == (m.T0 + H, m.T0 + 8 * H, 28_000)
    assert block["calorific_g"] == round(28 * 122.9)


def test_the_total_is_inputs_less_outputs_without_what_is_inside() -> None:
    specs = [m.point(1), m.point(2, role="output"), m.point(3, role="sub"), m.point(4, feeds_total=False)]
    frames = [full(1, each=3.0), full(2), full(3), full(4)]
    results = run(frames, *specs)
    assert results.point_days["sign"].to_list() == [1, -1, 0, 0]
    assert results.enterprise_days["calorific_g"].to_list() == [round(3 * 11_798.4) - 11_798]


def test_missing_outputs_lower_and_missing_inputs_raise_the_bounds() -> None:
    specs = [m.point(1, capacity=10_000), m.point(2, role="output", capacity=4_001)]
    total = run([full(1, 92), full(2, 88)], *specs).enterprise_days.row(0, named=True)
    assert total["calorific_gap_high"] == 1_229
    assert total["calorific_gap_low"] == -984  # 8.002 kWh × 122.9 = 983.4, rounded outwards
    assert total["missing_points"] == "1,2"
    assert total["lowest_point"] == 2


def test_without_a_factor_the_total_says_so_and_is_no_number() -> None:
    total = run([full()], m.point(1, carrier="heat")).enterprise_days.row(0, named=True)
    assert total["calorific_g"] is None
    assert total["equivalent_g"] is None
    assert total["carbon_g"] is None
    assert total["no_factor"] == "heat:calorific,heat:carbon,heat:equivalent"
    assert not total["calorific_confirmed"]


def test_an_unconfirmed_factor_is_carried_along() -> None:
    total = run([full()], m.point(1)).enterprise_days.row(0, named=True)
    assert (total["calorific_confirmed"], total["equivalent_confirmed"]) == (True, False)
    assert total["equivalent_g"] == 28_800
    assert total["no_factor"] == ""


def test_nothing_measured_is_no_total_rather_than_zero() -> None:
    total = run([NOTHING], m.point(1)).enterprise_days.row(0, named=True)
    assert total["calorific_g"] is None
    assert total["calorific_gap_high"] == 24 * 122_900  # 1 000 kW all day


def test_a_factor_applies_from_its_date() -> None:
    change = dt.date(2025, 1, 2)
    table = FactorTable(
        (
            m.factor(Carrier.ELECTRICITY, Basis.CALORIFIC, "0.1", valid_to=change),
            m.factor(Carrier.ELECTRICITY, Basis.CALORIFIC, "0.2", valid_from=change),
        )
    )
    days = run([full(quarters=192)], m.point(1), factors=table, days=2).point_days
    assert days["calorific_g"].to_list() == [9_600, 19_200]
    assert days["calorific_factor"].n_unique() == 2


def test_an_unpublished_feeding_point_keeps_the_day_open_and_a_sub_meter_does_not() -> None:
    late = {"kind": "amount", "stat_type": 1, "grace_s": 9 * D}
    for role, published in (("input", False), ("sub", True)):
        total = run([full()], m.point(1), m.point(2, role=role, **late), as_of=m.T0 + 2 * D).enterprise_days
        assert total["published"].to_list() == [published]
        assert total["recheck_at"].to_list() == [m.T0 + 10 * D]


def test_events_of_the_window_are_given() -> None:
    reads = m.readings(1, m.kwh(0, 1, 900, 3))
    assessment = assess(
        reads.lazy(), m.registry(m.points(m.point(1))), m.FACTORS,
        window=(m.DAY, m.DAY + 1), as_of=m.T0 + D,
    )  # fmt: skip
    assert assessment.collect().events["event"].to_list() == ["spike"]


def test_an_overflow_is_our_bug_and_says_so() -> None:
    huge = m.readings(1, [(m.T0, 9 * 10**18)])
    spec = m.point(1, kind="amount", stat_type=1, capacity=None)
    table = FactorTable(
        (m.factor(Carrier.ELECTRICITY, Basis.CALORIFIC, "5000", confidence=Confidence.COPIED),)
    )
    with pytest.raises(FrameContractError, match="overflow"):
        run([huge], spec, factors=table)


def test_grams_are_rounded_half_to_even_once() -> None:
    table = FactorTable((m.factor(Carrier.ELECTRICITY, Basis.CALORIFIC, "0.5"),))
    world = m.registry(m.points(m.point(1)))
    classes = factor_classes(world.points, world.enterprises, world.heating_values, table)
    days = factors_per_day(table, classes, first_day=m.DAY, end_day=m.DAY + 1)
    schema = {"factor_class": pl.Int32, "day": pl.Int32, "amount": pl.Int64}
    frame = pl.LazyFrame([(0, m.DAY, amount) for amount in (1, 3, 5)], schema=schema, orient="row")
    grams = to_coal_and_carbon(frame, days).sort("amount").collect()["calorific_g"]
    assert grams.to_list() == [0, 2, 2]  # 0.5, 1.5, 2.5


# ------------------------------------------------------------------------------------------------ scopes

GRID, GAS_FEED, SOLAR, GREEN, SOLD = (
    m.point(1), m.point(2, use="feedstock"), m.point(3, use="non_fossil"),
    m.point(4, use="certificate", role="sub"), m.point(5, role="output"),
)  # fmt: skip


def scopes(result: Results, column: str = "calorific_g") -> dict[str, int | None]:
    return dict(result.scope_days.select("scope", column).iter_rows())


def test_every_scope_of_a_day_is_counted_from_its_points() -> None:
    # 96 kWh a day each and per unit: grid 1, feedstock 2, solar 3, certificates 4, sold 5.
    reads = [full(n, each=float(n)) for n in range(1, 6)]
    result = run(reads, GRID, GAS_FEED, SOLAR, GREEN, SOLD)
    day = {n: round(96 * n * 122.9) for n in range(1, 6)}  # g; 96 n kWh × 122.9 g are no halves
    assert result.enterprise_days["calorific_g"].to_list() == [day[1] + day[2] + day[3] - day[5]]
    assert scopes(result) == {
        "feedstock": day[2],
        "non_fossil": day[3] + day[4],
        "excluding_feedstock": day[1] + day[3] - day[5],
        "excluding_non_fossil": day[1] + day[2] - day[4] - day[5],
        "net": day[1] - day[4] - day[5],
    }


def test_an_enterprise_of_plain_energy_has_no_scope_rows() -> None:
    assert run([full()], GRID).scope_days.is_empty()


def test_a_scope_in_which_nothing_counts_is_exactly_nothing() -> None:
    result = run([full(1), full(3)], GRID, SOLAR)
    assert scopes(result)["feedstock"] == 0
    assert scopes(result)["non_fossil"] == 11_798


def test_what_is_missing_widens_each_scope_on_its_own_side() -> None:
    # The certificates' series is missing: at most 1 000 kWh × 24 h × 122.9 g might be non-fossil.
    result = run([full()], GRID, GREEN)
    most = 24_000 * 1229 // 10
    assert scopes(result, "calorific_gap_high")["non_fossil"] == most
    assert scopes(result, "calorific_gap_low")["net"] == -most
    assert scopes(result, "calorific_gap_high")["net"] == 0
    assert result.enterprise_days["calorific_gap_high"].to_list() == [0]


def test_recovered_energy_is_shown_and_never_added() -> None:
    result = run([full(1), full(2)], GRID, m.point(2, role="recovered"))
    assert result.enterprise_days["calorific_g"].to_list() == [11_798]
    assert result.point_days.filter(pl.col("point") == 2)["calorific_g"].to_list() == [11_798]


def test_carbon_stands_beside_both_bases_of_coal() -> None:
    row = run([full()], GRID).enterprise_days.row(0, named=True)
    # 96 kWh × 0.1229, × 0.3 and × 0.5
    assert (row["calorific_g"], row["equivalent_g"], row["carbon_g"]) == (11_798, 28_800, 48_000)


@pytest.mark.parametrize("change", [{"role": "sub"}, {"role": "output"}, {"use": "feedstock"}])
def test_a_block_counts_as_its_point_did_when_it_began(change: dict[str, Any]) -> None:
    # Silent from the 2nd, 00:00, to the 4th, 00:00: 192 quarters; the point's role changes on the 8th.
    gone = set(range(97, 288))
    reads = m.readings(
        1, [pair for i, pair in enumerate(m.kwh(*map(float, range(96 * 10 + 1)))) if i not in gone]
    )
    border = m.T0 + 7 * D
    before, after = m.point(1, valid_to=border), m.point(1, valid_from=border, **change)
    for specs in ((m.point(1),), (before, after)):
        (block,) = run([reads], *specs, days=10).blocks.to_dicts()
        assert (block["amount"], block["sign"], block["use"]) == (192_000, 1, "energy")
