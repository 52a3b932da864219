"""Which days hang together."""

from __future__ import annotations

import polars as pl

from analytics.registers import REACH
from analytics.worklist import Window, days_without_results, register_reach, whole_periods, windows_of
from nengshao.ports import DIRTY_SCHEMA
from tests.support import metering as m

D = 86_400
TODAY = m.DAY + 40


def dirty(*days: int, late: bool = False) -> pl.DataFrame:
    rows = [(m.ENTERPRISE, m.DAY + day, late) for day in days]
    return pl.DataFrame(rows, schema=dict(DIRTY_SCHEMA), orient="row")


def offsets(frame: pl.DataFrame) -> list[int]:
    return sorted(day - m.DAY for day in frame["day"])


def test_every_active_day_wants_a_result() -> None:
    none = pl.DataFrame(schema={"enterprise": pl.String, "first_day": pl.Int32, "last_day": pl.Int32})
    own = m.enterprises(active_to=m.T0 + 3 * D)
    assert offsets(days_without_results(own, none, today=TODAY)) == [0, 1, 2]
    assert offsets(days_without_results(own, none, today=m.DAY + 1)) == [0, 1]
    some = pl.DataFrame([(m.ENTERPRISE, m.DAY + 1, m.DAY + 1)], schema=none.schema, orient="row")
    assert offsets(days_without_results(own, some, today=TODAY)) == [0, 2]
    assert offsets(days_without_results(m.enterprises(active_from=m.T0 + 99 * D), none, today=TODAY)) == []


def test_a_months_figure_reaches_over_its_month_up_to_today() -> None:
    monthly = m.points(m.point(1, kind="amount", stat_type=2, cadence_s=None))
    assert offsets(whole_periods(dirty(0), monthly, today=TODAY)) == list(range(31))
    assert offsets(whole_periods(dirty(0), monthly, today=m.DAY + 3)) == [0, 1, 2, 3]
    assert offsets(whole_periods(dirty(5), monthly, today=TODAY)) == [5]
    assert offsets(whole_periods(dirty(31), monthly, today=m.DAY + 99)) == list(range(31, 59))


def test_a_years_figure_reaches_over_its_year() -> None:
    yearly = m.points(m.point(1, kind="amount", stat_type=3, cadence_s=None))
    assert offsets(whole_periods(dirty(0), yearly, today=m.DAY + 999)) == list(range(365))
    assert offsets(whole_periods(dirty(31), yearly, today=m.DAY + 999)) == [31]


def test_an_amount_that_crosses_midnight_reaches_the_next_day() -> None:
    crossing = m.points(m.point(1, kind="amount", cadence_s=5 * 3600))
    assert offsets(whole_periods(dirty(1), crossing, today=TODAY)) == [1, 2]
    assert offsets(whole_periods(dirty(0), crossing, today=TODAY)) == [0]  # a slot ends at this midnight
    assert offsets(whole_periods(dirty(0), m.points(m.point(1, kind="amount")), today=TODAY)) == [0]


def test_a_late_read_reaches_its_neighbours() -> None:
    noon = m.readings(1, [(m.T0 + i * D + D // 2, i * 1_000_000) for i in range(400)])
    spec, today = m.points(m.point(1, cadence_s=D)), m.DAY + 500
    around = [*range(200 - REACH + 1, 200), *range(201, 200 + REACH + 1)]
    assert offsets(register_reach(dirty(200, late=True), noon, spec, today=today)) == around
    assert offsets(register_reach(dirty(200), noon, spec, today=today)) == []


def test_reads_that_do_not_agree_reach_as_well() -> None:
    values = [(m.T0 + i * D + D // 2, (500 if i == 200 else i) * 1_000_000_000) for i in range(400)]
    spec, today = m.points(m.point(1, cadence_s=D)), m.DAY + 500
    found = offsets(register_reach(dirty(201), m.readings(1, values), spec, today=today))
    assert {199, 200, 202} <= set(found)
    assert offsets(register_reach(dirty(2), m.readings(1, values), spec, today=today)) == []


def test_days_are_worked_in_runs_that_are_cut_and_shared() -> None:
    rows = [("A", d) for d in (0, 1, 2, 9)] + [("B", d) for d in (0, 1, 2)]
    frame = pl.DataFrame(rows, schema={"enterprise": pl.String, "day": pl.Int32}, orient="row")
    assert windows_of(frame, span_days=31, chunk_days=100) == [
        Window(0, 3, ("A", "B")),
        Window(9, 10, ("A",)),
    ]
    assert windows_of(frame, span_days=2, chunk_days=1) == [
        Window(0, 2, ("A",)), Window(0, 2, ("B",)), Window(2, 3, ("A",)), Window(2, 3, ("B",)),
        Window(9, 10, ("A",)),
    ]  # fmt: skip
