"""Virtual points: combinations, coverage, bounds and blocks, through `assess`."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analytics.assessment import Results, assess
from analytics.virtuals import DEEPEST, terms_multiplied_out
from nengshao.frames import VIRTUAL_TERMS
from tests.support import metering as m

D = 86_400
GRID_1, GRID_2, SOLD, SUM = 1, 2, 3, 9


def terms(*rows: tuple[int, int, int, int], valid_from: int = 0, valid_to: int | None = None) -> pl.DataFrame:
    """VIRTUAL_TERMS of (point, term, num, den)."""
    dated = [(*row, valid_from, valid_to) for row in rows]
    return pl.DataFrame(dated, schema=dict(VIRTUAL_TERMS.schema), orient="row")


def virtual(number: int = SUM, **changes: Any) -> dict[str, Any]:
    return m.point(number, kind="virtual", device="", **changes)


def sub(number: int, **changes: Any) -> dict[str, Any]:
    return m.point(number, role="sub", **changes)


def steady(number: int, kwh_a_quarter: float, *, gone: range = range(0), days: int = 1) -> pl.DataFrame:
    pairs = m.kwh(*(i * kwh_a_quarter for i in range(96 * days + 1)))
    return m.readings(number, [pair for i, pair in enumerate(pairs) if i not in gone])


def run(frames: list[pl.DataFrame], made_of: pl.DataFrame, *specs: dict[str, Any], days: int = 1) -> Results:
    return assess(
        pl.concat(frames).sort("point", "ts").lazy(),
        m.registry(m.points(*specs), virtual_terms=made_of), m.FACTORS,
        window=(m.DAY, m.DAY + days), as_of=m.T0 + 99 * D,
    ).collect()  # fmt: skip


def only(result: Results, number: int = SUM) -> dict[str, Any]:
    return result.point_days.filter(pl.col("point") == number).row(0, named=True)


def test_two_incomers_less_what_is_sold_on_is_the_plants_electricity() -> None:
    made_of = terms((SUM, GRID_1, 1, 1), (SUM, GRID_2, 1, 1), (SUM, SOLD, -1, 1))
    reads = [steady(GRID_1, 10), steady(GRID_2, 5), steady(SOLD, 3)]
    result = run(reads, made_of, sub(GRID_1), sub(GRID_2), sub(SOLD), virtual())
    # 96 quarters × (10 + 5 − 3) kWh = 1 152 kWh; × 0.1229 = 141.5808 kgce
    assert only(result)["amount"] == 1_152_000
    assert only(result)["measured_s"] == D
    assert result.enterprise_days["calorific_g"].to_list() == [141_581]


def test_a_third_of_a_meter_is_rounded_once_and_exactly() -> None:
    result = run([steady(GRID_1, 1)], terms((SUM, GRID_1, 1, 3)), sub(GRID_1), virtual())
    assert only(result)["amount"] == 32_000  # 96 kWh / 3


def test_what_a_term_misses_widens_the_bounds_on_its_own_side() -> None:
    # The sold energy's meter was silent all day: at most capacity 1 000 kWh × 24 h.
    made_of = terms((SUM, GRID_1, 1, 1), (SUM, SOLD, -1, 2))
    result = run([steady(GRID_1, 10)], made_of, sub(GRID_1), sub(SOLD), virtual())
    row = only(result)
    assert (row["amount"], row["gap_low"], row["gap_high"]) == (960_000, -12_000_000, 0)
    # Weights 1 and ½ of equal expected energy: a third of the time is missing.
    assert (row["measured_s"], row["missing_s"]) == (57_600, 28_800)
    assert result.enterprise_days["calorific_gap_low"].to_list() == [-1_474_800]  # 12 000 kWh × 0.1229


def test_a_term_without_capacity_makes_it_unbounded_and_one_without_any_row_too() -> None:
    made_of = terms((SUM, GRID_1, 1, 1), (SUM, SOLD, 1, 1))
    for other in (sub(SOLD, capacity=None), sub(SOLD, valid_from=m.T0 + 5 * D)):
        assert only(run([steady(GRID_1, 10)], made_of, sub(GRID_1), other, virtual()))["gap_high"] is None


def test_nothing_measured_is_null_and_not_zero() -> None:
    made_of = terms((SUM, GRID_1, 1, 1))
    result = run([steady(GRID_1, 10).clear()], made_of, sub(GRID_1), virtual())
    assert only(result)["amount"] is None
    assert result.enterprise_days["calorific_g"].to_list() == [None]


def test_a_block_of_a_term_is_a_block_of_the_virtual_point() -> None:
    # Silent from 08:00 on the 1st to 08:00 on the 3rd: 192 quarters × 2 kWh, counted half against the sum.
    reads = steady(GRID_1, 2, gone=range(33, 224), days=3)
    result = run([reads], terms((SUM, GRID_1, -1, 2)), sub(GRID_1), virtual(), days=3)
    (block,) = result.blocks.filter(pl.col("via") == SUM).to_dicts()
    assert (block["point"], block["amount"], block["sign"]) == (GRID_1, -192_000, 1)
    (own,) = result.blocks.filter(pl.col("via") == GRID_1).to_dicts()
    assert (own["amount"], own["sign"]) == (384_000, 0)


def test_terms_are_dated() -> None:
    made_of = pl.concat(
        [
            terms((SUM, GRID_1, 1, 1), valid_to=m.T0 + D),
            terms((SUM, GRID_1, 2, 1), valid_from=m.T0 + D),
        ]
    )
    result = run([steady(GRID_1, 1, days=2)], made_of, sub(GRID_1), virtual(), days=2)
    amounts = result.point_days.filter(pl.col("point") == SUM)["amount"].to_list()
    assert amounts == [96_000, 192_000]


def test_a_virtual_point_may_stand_on_another() -> None:
    made_of = terms((SUM, 8, 1, 2), (SUM, GRID_2, 1, 1), (8, GRID_1, 2, 3))
    flat = terms_multiplied_out(made_of).filter(pl.col("point") == SUM).sort("term")
    assert flat.select("term", "num", "den").rows() == [(GRID_1, 1, 3), (GRID_2, 1, 1)]
    specs = (sub(GRID_1), sub(GRID_2), virtual(8, role="sub"), virtual())
    result = run([steady(GRID_1, 3), steady(GRID_2, 1)], made_of, *specs)
    assert only(result)["amount"] == 192_000


def test_validity_of_nested_terms_is_what_they_have_in_common() -> None:
    made_of = pl.concat(
        [
            terms((SUM, 8, 1, 1), valid_from=100, valid_to=300),
            terms((8, GRID_1, 1, 1), valid_from=0, valid_to=200),
            terms((8, GRID_2, 1, 1), valid_from=300),
        ]
    )
    flat = terms_multiplied_out(made_of).filter(pl.col("point") == SUM)
    assert flat.select("term", "valid_from", "valid_to").rows() == [(GRID_1, 100, 200)]


def test_a_cycle_ends_nowhere_and_harms_nothing() -> None:
    assert terms_multiplied_out(terms((1, 2, 1, 1), (2, 1, 1, 1))).is_empty()
    chain = terms(*((n, n + 1, 1, 1) for n in range(1, DEEPEST + 1)))
    assert terms_multiplied_out(chain).filter(pl.col("point") == 1)["term"].to_list() == [DEEPEST + 1]


def test_no_virtual_point_no_row() -> None:
    result = run([steady(GRID_1, 1)], terms(), m.point(GRID_1))
    assert result.point_days["point"].to_list() == [GRID_1]


@pytest.mark.parametrize("carrier", ["raw_coal"])
def test_a_virtual_point_takes_its_own_carriers_factor(carrier: str) -> None:
    specs = (sub(GRID_1, carrier=carrier), virtual(carrier=carrier))
    result = run([steady(GRID_1, 1)], terms((SUM, GRID_1, 1, 1)), *specs)
    assert result.enterprise_days["calorific_g"].to_list() == [68_573]  # 96 kg × 0.7143 = 68.5728 kgce
