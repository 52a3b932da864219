"""Registers: what becomes of two reads, and of a wrong one between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from analytics.findings import events_of, segments_of
from analytics.registers import checked_reads, register_findings
from analytics.repairs import LONGEST_RUN
from analytics.sifting import plain_segments, sifted_reads
from tests.support import metering as m

Q = m.QUARTER


def found(
    reads: pl.DataFrame, points: pl.DataFrame, changes: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """SEGMENTS and EVENTS of reads, sorted."""
    sifted = sifted_reads(reads.lazy(), points, changes, m.enterprises())
    findings = register_findings(checked_reads(sifted, points, changes))
    segments = pl.concat([segments_of(findings), plain_segments(sifted)])
    return segments.collect().sort("point", "start"), events_of(findings).collect().sort(
        "point", "ts", "event"
    )


def segments(
    values: Sequence[float | None], spec: dict[str, Any] | None = None, **more: Any
) -> list[tuple[Any, ...]]:
    """(start, end, amount, quality) with times in quarters of an hour after T0."""
    reads = m.readings(1, m.kwh(*values, step=more.get("step", Q)))  # type: ignore[arg-type]
    frame, _ = found(reads, m.points(spec or m.point(1)), more.get("changes", m.changes()))
    return [
        ((a - m.T0) / Q, (b - m.T0) / Q, amount, quality) for _, a, b, amount, quality in frame.iter_rows()
    ]


def events(
    values: Sequence[float | None], spec: dict[str, Any] | None = None, **more: Any
) -> list[tuple[float, str]]:
    reads = m.readings(1, m.kwh(*values))  # type: ignore[arg-type]
    _, frame = found(reads, m.points(spec or m.point(1)), more.get("changes", m.changes()))
    return [((ts - m.T0) / Q, event) for _, ts, event in frame.iter_rows()]


def test_reads_become_the_energy_between_them() -> None:
    assert segments([100, 101.5, 104]) == [(0, 1, 1500, "measured"), (1, 2, 2500, "measured")]


@pytest.mark.parametrize(
    ("missed", "quality"),
    [(0, "measured"), (1, "estimated"), (15, "estimated"), (16, "block"), (40, "block")],
)
def test_a_gap_is_measured_estimated_or_a_block_by_its_length(missed: int, quality: str) -> None:
    # 4 h = 16 quarters is the longest gap that is interpolated: 15 missed reads
    assert segments([0, *[None] * missed, 5]) == [(0, missed + 1, 5000, quality)]


def test_one_and_a_half_cadences_are_still_measured() -> None:
    assert segments([0, 1], step=Q * 3 // 2)[0][3] == "measured"
    assert segments([0, 1], step=Q * 3 // 2 + 1)[0][3] == "estimated"


def test_a_rollover_within_capacity_counts_on() -> None:
    spec = m.point(1, register_modulus=1_000 * 1_000_000)
    assert segments([999, 2], spec) == [(0, 1, 3000, "measured")]
    assert events([999, 2], spec) == [(1, "rollover")]


@pytest.mark.parametrize(
    "spec",
    [
        m.point(1),  # the register's size is not known
        m.point(1, register_modulus=1_000_000_000, capacity=None),  # nothing says that it fits
        m.point(1, register_modulus=1_000_000_000, capacity=8_000),  # 3 kWh don't fit into a quarter at 8 kW
    ],
    ids=["no size", "no capacity", "above capacity"],
)
def test_any_other_fall_is_missing_with_an_event(spec: dict[str, Any]) -> None:
    assert segments([999, 2], spec) == [(0, 1, None, "missing")]
    assert events([999, 2], spec) == [(1, "fall")]


def test_a_fall_over_a_time_in_which_the_register_may_go_round_twice_is_no_rollover() -> None:
    # Size 1 000 kWh, capacity 1 000 kWh an hour: over an hour and a quarter it may go round more than once.
    spec = m.point(1, register_modulus=1_000 * 10**6)
    assert segments([600.0, None, None, None, None, 100.0], spec) == [(0, 5, None, "missing")]
    assert events([600.0, None, None, None, None, 100.0], spec) == [(5, "fall")]
    # Within three quarters of an hour it cannot.
    assert segments([600.0, None, None, 100.0], spec) == [(0, 3, 500_000, "estimated")]


def test_a_rise_over_a_time_in_which_the_register_may_go_all_the_way_round_is_not_exact() -> None:
    # Size 1 000 kWh, capacity 1 000 kWh an hour: over an hour and a quarter 100 kWh may as well be 1 100, but
    # no more than 1 250. Within an hour 1 100 do not fit, nor do 1 300 in the longer time.
    spec = m.point(1, register_modulus=1_000 * 10**6)
    values = [600.0, None, None, None, None, 700.0, 710.0]
    assert segments(values, spec) == [(0, 5, None, "missing"), (5, 6, 10_000, "measured")]
    assert events(values, spec) == [(5, "uncertain_rise")]
    assert segments([600.0, None, None, None, 700.0], spec) == [(0, 4, 100_000, "estimated")]
    assert segments([600.0, None, None, None, None, 900.0], spec) == [(0, 5, 300_000, "estimated")]
    # Where either is not known, nothing says that it went round.
    for unlimited in (m.point(1), m.point(1, register_modulus=1_000 * 10**6, capacity=None)):
        assert segments(values, unlimited)[0] == (0, 5, 100_000, "estimated")
        assert events(values, unlimited) == []


def test_a_rise_is_uncertain_even_within_a_cadence_that_is_long_enough() -> None:
    # Size 200 kWh, and a quarter of an hour lets 250 through: 10 may be 210, 60 are 60.
    spec = m.point(1, register_modulus=200 * 10**6)
    counted = segments([10.0 * n for n in range(10)] + [150.0] + [160.0 + n for n in range(60)], spec)
    assert {s[2:] for s in counted[:9]} == {(None, "missing")}
    assert counted[9] == (9, 10, 60_000, "measured")


def test_a_replacement_counts_to_the_closing_and_from_the_opening_read() -> None:
    at = m.T0 + Q + 300
    change = m.changes((1, at, 12_000_000, 500_000))
    pairs = segments([10, 11, 2], changes=change)
    assert [amount for *_, amount, _ in pairs] == [1000, 1000, 1500]
    assert [s[:2] for s in pairs] == [(0, 1), (1, 4 / 3), (4 / 3, 2)]
    assert events([10, 11, 2], changes=change) == [(4 / 3, "replacement")]


def test_a_read_at_the_instant_of_the_replacement_gives_way_to_the_registry() -> None:
    change = m.changes((1, m.T0 + Q, 11_000_000, 0))
    assert [s[2] for s in segments([10, 999, 2], changes=change)] == [1000, 2000]


def test_two_replacements_between_two_reads_both_count() -> None:
    change = m.changes((1, m.T0 + 300, 11_000_000, 0), (1, m.T0 + 600, 2_000_000, 0))
    assert [s[2] for s in segments([10, 3], changes=change)] == [1000, 2000, 3000]


def test_a_replacement_of_another_point_changes_nothing() -> None:
    assert segments([10, 11], changes=m.changes((2, m.T0 + 300, 0, 0))) == [(0, 1, 1000, "measured")]


@pytest.mark.parametrize("wrong", [9000, 3], ids=["spike", "dip"])
def test_a_single_wrong_read_is_left_out_and_its_neighbours_are_joined(wrong: float) -> None:
    assert segments([100, 101, wrong, 103, 104]) == [
        (0, 1, 1000, "measured"),
        (1, 3, 2000, "estimated"),
        (3, 4, 1000, "measured"),
    ]
    assert events([100, 101, wrong, 103, 104]) == [(2, "spike")]


@pytest.mark.parametrize("wrong", [9000, 3], ids=["spike", "dip"])
def test_a_wrong_read_shows_without_a_capacity_too(wrong: float) -> None:
    pairs = segments([100, 101, wrong, 103, 104], m.point(1, capacity=None))
    assert [s[2] for s in pairs] == [1000, 2000, 1000]


def test_a_rise_above_capacity_that_stays_is_missing_with_an_event() -> None:
    values: list[float | None] = [100, 101, 9000, 9001]
    assert segments(values)[1] == (1, 2, None, "missing")
    assert events(values) == [(2, "implausible_rise")]


def test_an_unregistered_replacement_is_a_fall_and_counts_on_afterwards() -> None:
    values: list[float | None] = [100, 101, 5, 6, 7]
    assert [s[2] for s in segments(values)] == [1000, None, 1000, 1000]
    assert events(values) == [(2, "fall")]


def test_invalid_reads_are_passed_over() -> None:
    reads = m.readings(1, m.kwh(1, 99, 3)).with_columns(valid=pl.Series([True, False, True]))
    frame, _ = found(reads, m.points(m.point(1)), m.changes())
    assert frame["amount"].to_list() == [2000]


def test_nothing_is_counted_across_a_time_out_of_force() -> None:
    spec = m.points(m.point(1, valid_to=m.T0 + 2 * Q), m.point(1, valid_from=m.T0 + 4 * Q))
    reads = m.readings(1, m.kwh(0, 1, 2, 3, 4, 5))
    frame, _ = found(reads, spec, m.changes())
    assert [(a - m.T0) // Q for a in frame["start"]] == [0, 1, 4]  # the closing read at 2 still counts


def test_a_new_specification_of_the_same_point_goes_on() -> None:
    spec = m.points(
        m.point(1, valid_to=m.T0 + 2 * Q), m.point(1, valid_from=m.T0 + 2 * Q, capacity=9_000_000)
    )
    reads = m.readings(1, m.kwh(0, 1, 2, 3))
    frame, _ = found(reads, spec, m.changes())
    assert frame["amount"].to_list() == [1000, 1000, 1000]


def test_points_do_not_mix() -> None:
    reads = pl.concat([m.readings(1, m.kwh(0, 1)), m.readings(2, m.kwh(500, 502))])
    frame, _ = found(reads, m.points(m.point(1), m.point(2)), m.changes())
    assert frame["amount"].to_list() == [1000, 2000]


def test_values_are_rounded_so_that_differences_add_up() -> None:
    reads = m.readings(1, [(m.T0, 500), (m.T0 + Q, 1_500), (m.T0 + 2 * Q, 2_501)])  # 0.5, 1.5, 2.501 Wh
    frame, _ = found(reads, m.points(m.point(1)), m.changes())
    assert frame["amount"].to_list() == [2, 1]  # half to even: 0, 2; then 3


def test_a_register_that_stuck_and_caught_up_is_bridged_with_its_exact_energy() -> None:
    # 100 kWh/h of capacity are 25 a quarter: 60 at once is too much for one, not for four
    spec = m.point(1, capacity=100_000)
    assert segments([0, 10, 20, 20, 20, 20, 80, 90], spec) == [
        (0, 1, 10_000, "measured"),
        (1, 2, 10_000, "measured"),
        (2, 6, 60_000, "estimated"),
        (6, 7, 10_000, "measured"),
    ]
    assert events([0, 10, 20, 20, 20, 20, 80, 90], spec) == [(6, "stuck")]


def test_a_stop_of_the_plant_is_measured_as_nothing_used() -> None:
    spec = m.point(1, capacity=100_000)
    assert [s[2:] for s in segments([0, 10, 10, 10, 30], spec)] == [
        (10_000, "measured"), (0, "measured"), (0, "measured"), (20_000, "measured"),
    ]  # fmt: skip


def test_a_jump_that_no_stretch_of_equal_reads_explains_stays_missing() -> None:
    spec = m.point(1, capacity=100_000)
    assert segments([0, 10, 10, 900, 910], spec)[2] == (2, 3, None, "missing")
    assert (3, "implausible_rise") in events([0, 10, 10, 900, 910], spec)


def test_a_few_reads_in_another_unit_are_left_out_together() -> None:
    spec = m.point(1, capacity=100_000)
    assert segments([1000, 1010, 1.020, 1.030, 1.040, 1050, 1060], spec) == [
        (0, 1, 10_000, "measured"),
        (1, 5, 40_000, "estimated"),
        (5, 6, 10_000, "measured"),
    ]
    assert segments([1000, 1010, 1_020_000, 1_030_000, 1050, 1060], spec)[1] == (1, 4, 40_000, "estimated")


def test_a_run_longer_than_the_limit_is_not_bridged() -> None:
    spec = m.point(1, capacity=100_000)
    stuck = [0.0, 10.0, *[10.0] * (LONGEST_RUN + 1), 110.0, 120.0]
    assert segments(stuck, spec)[-2][2:] == (None, "missing")
    assert segments([0.0, 10.0, *[10.0] * LONGEST_RUN, 110.0, 120.0], spec)[-2][2:] == (100_000, "block")


RATIO_CHANGE = m.points(
    m.point(1, valid_to=m.T0 + 2 * Q, ratio_num=40), m.point(1, valid_from=m.T0 + 2 * Q, ratio_num=60)
)


def test_another_ratio_without_reads_of_that_instant_is_missing_with_an_event() -> None:
    # 100 kWh on the dial at 40, then at 60: 4 000 -> 6 060 would fit the rated capacity after a long gap
    reads = m.readings(1, m.kwh(3920, 3960, 6060, 6120))
    frame, happened = found(reads, RATIO_CHANGE, m.changes())
    assert frame["amount"].to_list() == [40_000, 60_000]
    assert happened.rows() == [(1, m.T0 + 2 * Q, "ratio_change")]


def test_another_ratio_with_reads_of_that_instant_is_counted_exactly() -> None:
    reads = m.readings(1, m.kwh(3920, 3960, 6060, 6120))
    change = m.changes((1, m.T0 + 2 * Q, 4_000_000_000, 6_000_000_000))  # the dial stood at 100
    frame, happened = found(reads, RATIO_CHANGE, change)
    # the read at that very instant gives way to the registry's two
    assert frame["amount"].to_list() == [40_000, 40_000, 120_000]
    assert happened.rows() == [(1, m.T0 + 2 * Q, "replacement")]


def test_another_unit_is_a_border_as_well() -> None:
    spec = m.points(
        m.point(1, valid_to=m.T0 + 2 * Q, unit="MWh"), m.point(1, valid_from=m.T0 + 2 * Q, unit="kWh")
    )
    frame, happened = found(m.readings(1, m.kwh(10, 11, 12, 13)), spec, m.changes())
    assert frame["amount"].to_list() == [1000, 1000]
    assert happened["event"].to_list() == ["ratio_change"]


def test_another_capacity_is_no_border() -> None:
    spec = m.points(
        m.point(1, valid_to=m.T0 + 2 * Q), m.point(1, valid_from=m.T0 + 2 * Q, capacity=9_000_000)
    )
    frame, happened = found(m.readings(1, m.kwh(10, 11, 12, 13)), spec, m.changes())
    assert frame["amount"].to_list() == [1000, 1000, 1000]
    assert happened.is_empty()


def test_a_difference_that_does_not_fit_into_64_bits_is_no_rise() -> None:
    reads = m.readings(1, [(m.T0, -(2**62)), (m.T0 + Q, 2**62 + 5), (m.T0 + 2 * Q, 2**62 + 6)])
    for capacity in (1_000_000, 2**40):
        frame, _ = found(reads, m.points(m.point(1, capacity=capacity)), m.changes())
        assert frame["quality"].to_list() == ["missing", "measured"]


def test_no_read_at_all_is_no_segment() -> None:
    frame, happened = found(m.readings(1, []), m.points(m.point(1)), m.changes((1, m.T0, 5, 0)))
    assert frame.is_empty()
    assert happened["event"].to_list() == ["replacement"]
