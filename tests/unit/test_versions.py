"""Which rows can be stored, which wins, and the version in the timestamp."""

from __future__ import annotations

import polars as pl
import pytest

from nengshao.domain.readings import VERSION_LEAD_S, VERSION_SPAN
from nengshao.frames import READINGS
from nengshao.stores.versions import (
    TS_LIMIT,
    edges_of,
    reach_windows,
    timestamp,
    ts_of,
    unstorable_rows,
    version_of,
    winners,
)

T = 1_735_660_800


def readings(*rows: tuple[int, int, int, int, bool, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(READINGS.schema), orient="row")


def test_the_version_stands_in_the_sub_second_part_by_a_days_lead() -> None:
    frame = readings((1, T, T + 5, 0, True, 4), (1, T, T - VERSION_LEAD_S, 0, True, 4))
    assert frame.select(timestamp())["ts"].to_list() == [T * 10**9 + 86_405, T * 10**9]


@pytest.mark.parametrize("ts", [-TS_LIMIT, -T, -1, 0, 1, T, TS_LIMIT])
@pytest.mark.parametrize("lead", [0, 1, VERSION_LEAD_S, VERSION_SPAN - 1])
def test_ts_and_version_come_back_from_the_timestamp_before_1970_too(ts: int, lead: int) -> None:
    version = ts - VERSION_LEAD_S + lead
    frame = readings((1, ts, version, 0, True, 4))
    back = frame.select(timestamp().alias("ns")).select(
        ts=ts_of(pl.col("ns")), version=version_of(pl.col("ns"))
    )
    assert back.row(0) == (ts, version)
    assert unstorable_rows(frame) == []


@pytest.mark.parametrize(
    ("ts", "version"),
    [
        (T, T - VERSION_LEAD_S - 1),
        (T, T - VERSION_LEAD_S + VERSION_SPAN),
        (TS_LIMIT + 1, TS_LIMIT + 1),
        (-TS_LIMIT - 1, -TS_LIMIT),
        (-(2**63), 2**63 - 1),  # the difference would wrap around to -1
        (None, T),
    ],
)
def test_what_does_not_fit_the_timestamp_is_unstorable(ts: int, version: int) -> None:
    assert unstorable_rows(readings((1, T, T, 0, True, 4), (1, ts, version, 0, True, 4))) == [1]


def test_winners_of_rows_in_any_order_are_sorted_and_unique() -> None:
    rows = [
        (2, T, T, 1, True, 4),
        (1, T + 1, T, 1, True, 4),
        (1, T, T + 1, 0, False, 4),
        (1, T, T, 9, True, 4),
    ]
    assert winners(readings(*rows)).rows() == [rows[2], rows[1], rows[0]]
    assert winners(READINGS.empty()).equals(READINGS.empty())


def test_rows_in_order_stay_unless_two_share_a_second() -> None:
    rows = [(1, T, T, 1, True, 4), (1, T + 1, T, 1, True, 4), (2, T - 1, T, 1, True, 4)]
    assert winners(readings(*rows)).rows() == rows
    for twice in range(3):
        later = (*rows[twice][:2], T + 1, *rows[twice][3:])
        assert winners(readings(*rows[: twice + 1], later, *rows[twice + 1 :])).rows() == [
            *rows[:twice],
            later,
            *rows[twice + 1 :],
        ]


def test_the_edge_at_the_border_itself_is_the_first_after_it() -> None:
    won = readings(*[(1, T + s, T, s, s != 0, 4) for s in (-1, 0, 1)])
    assert edges_of(won, "last", T + 1)["ts"].to_list() == [T - 1]
    assert edges_of(won, "first", T + 1)["ts"].to_list() == [T + 1]
    assert edges_of(won, "first", T)["ts"].to_list() == [T + 1]


@pytest.mark.parametrize("side", ["last", "first"])
def test_the_longest_reach_covers_all_time_on_its_side_of_the_border(side: str) -> None:
    windows = reach_windows("last" if side == "last" else "first", T)
    assert windows[-1] == ((-TS_LIMIT, T) if side == "last" else (T, TS_LIMIT + 1))
    assert [end - start for start, end in windows] == sorted(end - start for start, end in windows)
