"""Stated figures: every version kept, once; periods that fit together; decisions. On both databases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nengshao.domain.codes import REGION_PARTITION
from nengshao.domain.errors import ConfigError, FrameContractError
from nengshao.domain.time import day_number
from nengshao.frames import STATISTICS
from nengshao.stores.state import SqlStateStore
from tests.support.state import BACKENDS, A, B, opened, rows, state_url

COUNTY = "990101"
JAN, FEB, MAR = (day_number(dt.date(2024, month, 1)) for month in (1, 2, 3))  # a leap year
YEAR_END = day_number(dt.date(2025, 1, 1))


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return state_url(request, tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[SqlStateStore]:
    with opened(url) as store:
        yield store


def stated(first: int = JAN, end: int = FEB, version: int = 100, **columns: Any) -> dict[str, Any]:
    """The output of a month, submitted."""
    key = {"subject": A, "indicator": "output", "item": "steel", "first_day": first, "version": version}
    fixed = {"value": 2**60, "unit": "t", "state": "submitted", "source": "月报", "submitted_by": "张统计"}
    return key | {"end_day": end, "decided_by": "", "note": ""} | fixed | columns


def put(store: SqlStateStore, *given: dict[str, Any]) -> int:
    return store.put_statistics(rows(STATISTICS, *given))


def decide(
    store: SqlStateStore,
    state: str,
    version: int = 100,
    first: int = JAN,
    subject: str = A,
    item: str = "steel",
) -> bool:
    return store.decide_statistic(subject, "output", item, first, version, state, "李审核", "核对台账", 999)


def every(store: SqlStateStore, subject: str = A) -> pl.DataFrame:
    return store.statistics([subject], -(2**31), 2**31 - 1)


def test_every_version_is_kept_as_it_was_stated(store: SqlStateStore) -> None:
    given = [stated(), stated(version=101, value=-1), stated(FEB, MAR), stated(subject=COUNTY, item="")]
    assert put(store, *given) == 4
    mine, county = rows(STATISTICS, *given[:3]), rows(STATISTICS, given[3])
    assert_frame_equal(every(store), mine.sort(STATISTICS.key))
    assert_frame_equal(
        store.statistics([COUNTY, A], JAN, MAR), pl.concat([county, mine]).sort(STATISTICS.key)
    )


def test_a_period_is_found_by_any_day_it_has_in_common(store: SqlStateStore) -> None:
    put(store, stated(JAN, FEB), stated(FEB, MAR))
    assert MAR - FEB == 29
    for first, end, found in [
        (FEB - 1, FEB, [JAN]),
        (FEB, FEB + 1, [FEB]),
        (FEB + 28, MAR + 9, [FEB]),
        (FEB - 1, FEB + 1, [JAN, FEB]),
        (MAR, MAR + 9, []),
        (JAN - 9, JAN, []),
    ]:
        assert store.statistics([A], first, end)["first_day"].to_list() == found


def test_empty_frames_and_answers(store: SqlStateStore) -> None:
    assert store.put_statistics(STATISTICS.empty()) == 0
    assert store.due_judgements(0) == {}
    assert_frame_equal(every(store), STATISTICS.empty())
    assert_frame_equal(store.statistics([], 0, 9), STATISTICS.empty())
    with pytest.raises(FrameContractError, match="STATISTICS"):
        store.put_statistics(pl.DataFrame({"subject": [A]}))


def test_the_same_upload_again_is_one_and_what_was_first_given_stays(store: SqlStateStore) -> None:
    assert put(store, stated(), stated()) == 1
    assert put(store, stated(value=7), stated(version=101)) == 1
    assert every(store).select("version", "value").rows() == [(100, 2**60), (101, 2**60)]


def test_subjects_are_due_for_judgement_enterprises_and_regions_alike(store: SqlStateStore) -> None:
    put(store, stated(), stated(subject=COUNTY, indicator="gdp_comparable", item=""))
    first = store.due_judgements(0)
    assert set(first) == {A}
    assert set(store.due_judgements(REGION_PARTITION)) == {COUNTY}
    put(store, stated(version=101))
    assert store.due_judgements(0)[A] > first[A]


def test_periods_that_overlap_in_part_are_refused_by_name_and_nothing_kept(store: SqlStateStore) -> None:
    put(store, stated(JAN, YEAR_END, item="coke"), stated(FEB, MAR))
    before = store.due_judgements(0)
    with pytest.raises(ConfigError) as refused:
        put(
            store,
            stated(FEB, MAR, item="coke"),  # a month inside the year
            stated(FEB + 5, MAR + 5),  # across the end of February
            stated(MAR + 5, MAR + 5),  # no day at all
            stated(FEB + 5, MAR + 5, item="other", subject=B),  # nobody else's concern
        )
    item, other = f"statistics {A}/output/steel", f"statistics {A}/output/coke"
    assert set(refused.value.problems) == {
        f"{other} 2024-02-01 … 2024-03-01: 与 2024-01-01 … 2025-01-01 部分重叠 / overlaps it in part",
        f"{item} 2024-02-06 … 2024-03-06: 与 2024-02-01 … 2024-03-01 部分重叠 / overlaps it in part",
        f"{item} 2024-03-06 … 2024-03-06: 期间为空 / the period is empty",
    }
    assert every(store).height == 2
    assert every(store, B).is_empty()
    assert store.due_judgements(0) == before


def test_overlaps_within_one_upload_and_past_a_short_period_are_seen(store: SqlStateStore) -> None:
    with pytest.raises(ConfigError) as refused:
        put(store, stated(JAN, YEAR_END), stated(JAN + 1, JAN + 2), stated(FEB, MAR))
    assert len(refused.value.problems) == 2
    assert all("2024-01-01 … 2025-01-01" in problem for problem in refused.value.problems)


def test_neighbours_other_items_and_further_versions_fit(store: SqlStateStore) -> None:
    fitting = [
        stated(JAN, FEB),
        stated(JAN, FEB, version=101),
        stated(FEB, MAR),
        stated(JAN, MAR, item=""),
        stated(JAN, MAR, indicator="output_value"),
        stated(JAN, MAR, subject=B),
    ]
    assert sum(put(store, row) for row in fitting) == len(fitting)


def test_what_was_rejected_makes_room_and_cannot_come_back_into_it(store: SqlStateStore) -> None:
    put(store, stated(JAN, MAR))
    assert decide(store, "rejected")
    assert put(store, stated(JAN, FEB, version=101), stated(FEB, MAR, version=101)) == 2
    with pytest.raises(ConfigError, match="2024-01-01 … 2024-03-01"):
        decide(store, "approved")
    assert every(store).filter(version=100)["state"].to_list() == ["rejected"]
    assert decide(store, "rejected", version=101)
    assert decide(store, "rejected", version=101, first=FEB)
    assert decide(store, "approved")


def test_a_decision_stands_with_who_when_and_why_until_the_next(store: SqlStateStore) -> None:
    put(store, stated(), stated(version=101, state="preliminary"))
    before = store.due_judgements(0)[A]
    for state in ("approved", "approved", "rejected", "final"):
        assert decide(store, state)
        decided, other = every(store).to_dicts()
        assert (decided["state"], decided["decided_by"], decided["decided_at"], decided["note"]) == (
            state,
            "李审核",
            999,
            "核对台账",
        )
        assert (other["state"], other["decided_by"], other["decided_at"]) == ("preliminary", "", None)
    assert store.due_judgements(0)[A] > before


def test_what_is_not_there_cannot_be_decided_and_a_submission_is_no_decision(store: SqlStateStore) -> None:
    put(store, stated())
    before = store.due_judgements(0)
    assert not decide(store, "approved", version=7)
    assert not decide(store, "approved", item="coke")
    assert not decide(store, "approved", subject=B)
    for state in ("submitted", "preliminary", "nonsense"):
        with pytest.raises(ConfigError, match=state):
            decide(store, state)
    assert store.due_judgements(0) == before
    assert every(store)["state"].to_list() == ["submitted"]


def test_the_same_upload_twice_at_once_is_one(store: SqlStateStore, url: str) -> None:
    upload = [stated(JAN + n, JAN + n + 1, subject=who) for n in range(50) for who in (A, B, COUNTY)]
    with opened(url) as other, ThreadPoolExecutor(4) as pool:
        tries = [(store, upload), (other, upload[::-1])] * 2
        counts = list(pool.map(lambda turn: put(turn[0], *turn[1]), tries))
    assert sorted(counts) == [0, 0, 0, 150]
    assert every(store).height == 50


def test_two_uploads_at_once_that_do_not_fit_together_are_not_both_kept(
    store: SqlStateStore, url: str
) -> None:
    def kept(which: SqlStateStore, row: dict[str, Any]) -> bool:
        try:
            return put(which, row) == 1
        except ConfigError:
            return False

    with opened(url) as other, ThreadPoolExecutor(2) as pool:
        for turn in range(6):
            rivals = [stated(first, MAR, item=f"product {turn}") for first in (JAN, FEB)]
            assert sum(pool.map(kept, (store, other), rivals)) == 1
    assert every(store).height == 6


def test_a_hundred_thousand_figures_are_one_upload(store: SqlStateStore) -> None:
    days = pl.DataFrame({"first_day": range(JAN, JAN + 1_000)}, schema={"first_day": pl.Int32})
    items = pl.DataFrame({"item": [f"product {number:03}" for number in range(100)]})
    whole = rows(STATISTICS, stated()).drop("first_day", "end_day", "item").join(items, how="cross")
    upload = whole.join(days, how="cross").with_columns(end_day=pl.col("first_day") + 1)
    # Measured, two cores: 2 s on SQLite, 4 s on PostgreSQL.
    assert store.put_statistics(upload.select(list(STATISTICS.schema))) == 100_000
    assert store.statistics([A], JAN + 500, JAN + 501).height == 100
