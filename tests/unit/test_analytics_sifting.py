"""Which reads are left out because they merely count on, and that nothing is said by halves for it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analytics.assessment import assess
from analytics.sifting import days_sifted, plain_segments, reads_in_doubt, sifted_reads
from tests.support import metering as m

Q, H, D = m.QUARTER, 3600, 86_400
QUARTERS = 3 * 96  # the last fifty reads given are always in doubt: what comes after them is not known


def reads(*, offset: int = 0, **values: int) -> pl.DataFrame:
    """A kWh a quarter of an hour for three days; `q7=99` sets the seventh read, in kWh."""
    rows = {n: n for n in range(QUARTERS + 1)} | {int(name[1:]): kwh for name, kwh in values.items()}
    return m.readings(1, [(m.T0 + offset + n * Q, kwh * 1_000_000) for n, kwh in rows.items()])


def sifted(frame: pl.DataFrame, *specs: dict[str, Any]) -> pl.DataFrame:
    points = m.points(*(specs or (m.point(1),)))
    return sifted_reads(frame.lazy(), points, m.changes(), m.enterprises()).collect()


def kept(frame: pl.DataFrame, until: int = 100) -> list[int]:
    quarters = (frame["ts"] - m.T0) // Q
    return [n for n in quarters if n <= until]


def test_of_reads_that_count_on_the_first_and_last_of_an_hour_are_kept() -> None:
    assert kept(sifted(reads())) == list(range(0, 101, 4))


def test_of_these_the_first_and_last_of_a_day_are_enough_for_days() -> None:
    frame = days_sifted(sifted(reads()).lazy()).collect()
    assert kept(frame, 200) == [0, 96, 192]
    assert plain_segments(frame.lazy()).collect().row(0) == (1, m.T0, m.T0 + D, 96_000, "measured")


def test_reads_off_the_hour_are_kept_on_both_sides_of_it() -> None:
    # At 07, 22, 37 and 52 minutes past: of each hour the first and the last
    frame = sifted(reads(offset=420))
    assert [(ts - m.T0) // 60 % 60 for ts in frame["ts"][:6]] == [7, 52, 7, 52, 7, 52]


def test_around_a_jump_everything_is_in_doubt() -> None:
    # Read 100 is wrong, so the pairs to it and from it are: 50 reads before the one to the next after the
    # other, and the read that the first of these is compared with. A series' first read stands alone.
    doubt = reads_in_doubt(sifted(reads(q100=9_999)).lazy()).collect()
    assert kept(doubt, 120) == [0, *range(49, 103)]


def test_a_missed_read_is_looked_at_with_the_read_before_it() -> None:
    frame = reads().filter(pl.col("ts") != m.T0 + 42 * Q)
    doubt = reads_in_doubt(sifted(frame).lazy()).filter(pl.col("ts") < m.T0 + 60 * Q)
    assert doubt.select((pl.col("ts") - m.T0) // Q, "is_context").collect().rows() == [
        (0, False), (41, True), (43, False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("activity", "amount"),
    [
        ({"active_from": m.T0 + D // 2}, 144_000),
        ({"active_to": m.T0 + D // 2}, 48_000),
        ({"active_from": m.T0 + D // 2 + 450}, 142_500),  # within a pair: half of its 3 kWh
    ],
    ids=["from noon", "to noon", "from between two reads"],
)
def test_half_a_day_of_activity_counts_what_flowed_in_it(activity: dict[str, int], amount: int) -> None:
    # 1 kWh a quarter of an hour before noon, 3 after it: halves of the day's 192 kWh would be wrong
    steps = [1] * 48 + [3] * 48 + [1] * 96
    values = [float(sum(steps[:n])) for n in range(len(steps) + 1)]
    world = m.registry(m.points(m.point(1, valid_from=0)), enterprises=m.enterprises(**activity))
    results = assess(
        m.readings(1, m.kwh(*values)).lazy(), world, m.FACTORS, window=(m.DAY, m.DAY + 1), as_of=m.T0 + 9 * D
    ).collect()
    assert results.point_days["amount"].to_list() == [amount]
    assert results.load["amount"].sum() == amount


def test_a_point_that_ends_counts_to_its_end() -> None:
    world = m.registry(m.points(m.point(1, valid_to=m.T0 + 6 * H)))
    results = assess(
        reads().lazy(), world, m.FACTORS, window=(m.DAY, m.DAY + 2), as_of=m.T0 + 9 * D
    ).collect()
    assert results.point_days["amount"].to_list() == [24_000]


def test_nothing_is_plain_before_a_replacement_or_another_row() -> None:
    at = m.T0 + 40 * Q
    rows = m.points(m.point(1, valid_to=at), m.point(1, valid_from=at, capacity=2_000_000))
    for points, changes in ((rows, m.changes()), (m.points(m.point(1)), m.changes((1, at, 40, 40)))):
        frame = sifted_reads(reads().lazy(), points, changes, m.enterprises()).collect()
        assert not frame.filter(pl.col("ts") <= at)["is_plain"].any()
        assert frame.filter(pl.col("ts") > at + D)["is_plain"].any()
