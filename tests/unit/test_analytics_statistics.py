"""What is stated of a period: which versions count, and how far they reach."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analytics.statistics import in_force, quantity_over, stated_periods
from tests.support import intensities as w
from tests.support import metering as m


def windows(*spans: tuple[str, str], item: str = "p") -> pl.DataFrame:
    rows = [(m.ENTERPRISE, "output", item, w.at(first), w.at(end)) for first, end in spans]
    names = dict.fromkeys(("subject", "indicator", "item"), pl.String())
    schema = names | {"first_day": pl.Int32(), "end_day": pl.Int32()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def over(rows: list[dict[str, Any]], first: str, end: str) -> dict[str, Any]:
    return quantity_over(w.statistics(rows), windows((first, end))).row(0, named=True)


def output(first: str, end: str, value: float = 10, **changes: Any) -> dict[str, Any]:
    return w.stated("output", "p", first, end, value, **changes)


MONTHS = w.monthly("output", "p", 2024, [10, 20, 30])


@pytest.mark.parametrize(
    ("end", "quantity", "reached"),
    [
        ("2024-01-31", None, "2024-01-01"),  # the month is not within it
        ("2024-02-01", 10_000, "2024-02-01"),
        ("2024-02-29", 10_000, "2024-02-01"),  # of a leap February a day is missing
        ("2024-03-01", 30_000, "2024-03-01"),
        ("2025-01-01", 60_000, "2024-04-01"),
    ],
)
def test_whole_periods_within_the_window_add_up(end: str, quantity: int | None, reached: str) -> None:
    row = over(MONTHS, "2024-01-01", end)
    assert (row["quantity"], row["reached_day"]) == (quantity, w.at(reached))


def test_a_hole_ends_it() -> None:
    row = over(w.monthly("output", "p", 2024, [10, None, 30]), "2024-01-01", "2025-01-01")
    assert (row["quantity"], row["reached_day"]) == (10_000, w.at("2024-02-01"))


def test_what_begins_after_the_window_s_start_says_nothing_of_it() -> None:
    row = over(MONTHS, "2024-01-02", "2025-01-01")
    assert (row["quantity"], row["unit"], row["is_confirmed"]) == (None, None, False)
    assert row["reached_day"] == w.at("2024-01-02")


def test_nothing_stated_is_unknown_and_a_stated_nothing_is_nothing() -> None:
    assert over([], "2024-01-01", "2025-01-01")["quantity"] is None
    assert over([output("2024-01-01", "2024-02-01", 0)], "2024-01-01", "2025-01-01")["quantity"] == 0


def test_days_months_and_quarters_follow_one_another() -> None:
    rows = [
        output("2024-01-01", "2024-02-01"), output("2024-02-01", "2024-02-02"),
        output("2024-02-02", "2024-04-01"), output("2024-04-01", "2024-07-01"),
    ]  # fmt: skip
    row = over(rows, "2024-01-01", "2025-01-01")
    assert (row["quantity"], row["reached_day"]) == (40_000, w.at("2024-07-01"))


def test_a_cumulative_figure_goes_before_the_months_it_holds() -> None:
    # 1—6月 is stated as 105: the months within it, 10 + 20 + 30, are part of it, not beside it.
    rows = [*MONTHS, output("2024-01-01", "2024-07-01", 105), output("2024-07-01", "2024-08-01", 7)]
    assert over(rows, "2024-01-01", "2024-09-01")["quantity"] == 112_000
    assert over(rows, "2024-01-01", "2024-06-30")["quantity"] == 60_000  # the months fit
    assert over(rows, "2024-03-01", "2024-09-01")["quantity"] == 30_000


def test_periods_that_overlap_in_part_are_never_added() -> None:
    rows = [output("2024-01-01", "2024-02-01"), output("2024-01-20", "2024-03-01")]
    row = over(rows, "2024-01-01", "2025-01-01")
    assert (row["quantity"], row["reached_day"]) == (10_000, w.at("2024-02-01"))


def test_another_unit_ends_it() -> None:
    rows = [output("2024-01-01", "2024-02-01"), output("2024-02-01", "2024-03-01", 1, unit="1e4t")]
    row = over(rows, "2024-01-01", "2025-01-01")
    assert (row["quantity"], row["unit"], row["reached_day"]) == (10_000, "t", w.at("2024-02-01"))


def test_a_window_over_two_years() -> None:
    rows = [output("2024-12-01", "2025-01-01"), output("2025-01-01", "2025-02-01")]
    assert over(rows, "2024-12-01", "2025-02-01")["quantity"] == 20_000


def test_the_highest_version_that_was_not_rejected_counts() -> None:
    rows = [
        output("2024-01-01", "2024-02-01", 10, version=1), output("2024-01-01", "2024-02-01", 20, version=2),
        output("2024-01-01", "2024-02-01", 30, version=3, state="rejected"),
    ]  # fmt: skip
    assert in_force(w.statistics(rows))["version"].to_list() == [2]
    assert over(rows[::-1], "2024-01-01", "2024-02-01")["quantity"] == 20_000


@pytest.mark.parametrize(
    ("states", "confirmed"),
    [
        (("approved", "final"), True),
        (("approved", "submitted"), False),
        (("preliminary", "approved"), False),
    ],
)
def test_it_is_confirmed_if_every_part_is(states: tuple[str, str], confirmed: bool) -> None:
    rows = [
        output("2024-01-01", "2024-02-01", state=states[0]),
        output("2024-02-01", "2024-03-01", state=states[1]),
    ]
    assert over(rows, "2024-01-01", "2024-03-01")["is_confirmed"] is confirmed


def test_many_subjects_and_windows_at_once_keep_apart() -> None:
    rows = MONTHS + w.monthly("output", "q", 2024, [1, 2, 3])
    rows += w.monthly("output", "p", 2024, [5], subject="other")
    spans = (("2024-01-01", "2024-03-01"), ("2024-02-01", "2024-04-01"), ("2024-01-01", "2024-03-01"))
    asked = pl.concat([windows(*spans), windows(spans[0], item="q")])
    asked = pl.concat([asked, asked.head(1).with_columns(subject=pl.lit("other"))])
    found = quantity_over(w.statistics(rows), asked)
    assert found["quantity"].to_list() == [30_000, 50_000, 3_000, 5_000]  # a window twice is one window


def test_stated_periods_are_those_that_were_added() -> None:
    rows = [*MONTHS, output("2024-01-01", "2024-03-01", 33)]
    found = stated_periods(w.statistics(rows), windows(("2024-01-01", "2024-04-01")))
    spans = found.select("stated_first", "stated_end", "value").rows()
    assert spans == [
        (w.at("2024-01-01"), w.at("2024-03-01"), 33_000),
        (w.at("2024-03-01"), w.at("2024-04-01"), 30_000),
    ]


@pytest.mark.parametrize(
    ("indicator", "value", "unit", "quantity", "to"),
    [
        ("gdp_comparable", 1_000, "1e8CNY", 10_000_000_000, "1e4CNY"),  # 1 000 亿 is 10 000 000 万
        ("gdp_comparable", 0.001, "1e8CNY", 10_000, "1e4CNY"),  # 10 万元
        ("output_value", 12_345.678, "1e4CNY", 12_345_678, "1e4CNY"),
        ("value_added", 12_345_670, "CNY", 1_234_567, "1e4CNY"),  # 1 234.567 万元
        ("value_added_comparable", 5, "CNY", 0, "1e4CNY"),  # half of 10 yuan: to even
        ("output_value_comparable", 15, "CNY", 2, "1e4CNY"),
        ("energy_consumption", 1.5, "1e4tce", 15_000_000, "tce"),
        ("carbon_emission", 1.5, "1e4tCO2", 15_000_000, "tCO2"),
        ("output", 1.5, "1e4t", 1_500, "1e4t"),  # a product's own unit
        ("norm_parameter", 75, "%", 75_000, "%"),
    ],
)
def test_money_coal_and_carbon_are_read_in_one_unit_each(
    indicator: str, value: float, unit: str, quantity: int, to: str
) -> None:
    row = w.stated(indicator, "", "2024-01-01", "2024-02-01", value, unit=unit)
    assert in_force(w.statistics([row])).select("value", "unit").rows() == [(quantity, to)]


def test_money_in_an_unknown_unit_is_unknown() -> None:
    rows = [
        w.stated("output_value", "", "2024-01-01", "2024-02-01", 1, unit="1e4CNY", version=1),
        w.stated("output_value", "", "2024-01-01", "2024-02-01", 1, unit="USD", version=2),
    ]
    assert in_force(w.statistics(rows)).is_empty()  # nor does the version before it come back


def test_a_change_of_unit_goes_on_where_the_unit_is_known() -> None:
    rows = [
        w.stated("output_value", "", "2024-01-01", "2024-02-01", 1, unit="1e8CNY"),
        w.stated("output_value", "", "2024-02-01", "2024-03-01", 2_500, unit="1e4CNY"),
        w.stated("output_value", "", "2024-03-01", "2024-04-01", 3_000_000, unit="CNY"),
    ]
    asked = windows(("2024-01-01", "2025-01-01"), item="").with_columns(indicator=pl.lit("output_value"))
    found = quantity_over(w.statistics(rows), asked).row(0, named=True)
    # 10 000 + 2 500 + 300 万元
    assert (found["quantity"], found["unit"], found["reached_day"]) == (
        12_800_000,
        "1e4CNY",
        w.at("2024-04-01"),
    )
