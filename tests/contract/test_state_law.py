"""What the books know of the law: factor rows, and restatements after their changes. On both databases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nengshao.domain.codes import REGION_PARTITION
from nengshao.domain.errors import StoreRejected
from nengshao.domain.time import day_number
from nengshao.ports import DIRTY_SCHEMA
from nengshao.stores.state import SqlStateStore
from tests.support.state import BACKENDS, A, B, opened, state_url, typed

COUNTY = "990101"
OLD: dict[str, dict[str, Any]] = {
    "GB/T 2589-2020/原煤": {"kgce": "0.7143", "valid_to": None},
    "heat": {"num": 2**60, "ok": True},
}
NEW: dict[str, dict[str, Any]] = {
    "GB/T 2589-2020/原煤": {"kgce": "0.7140", "valid_to": None},
    "grid": {"note": ""},
}
CHANGES = [{"factor_id": "GB/T 2589-2020/原煤", "before": {"kgce": "0.7143"}, "after": {"kgce": "0.7140"}}]


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return state_url(request, tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[SqlStateStore]:
    with opened(url) as store:
        yield store


def dirty(*given: tuple[str, int, bool]) -> pl.DataFrame:
    return typed(DIRTY_SCHEMA, *given)


def test_before_the_first_assessment_nothing_is_known(store: SqlStateStore) -> None:
    assert store.known_factors() == {}
    assert store.restatements() == []
    store.restate({}, [], dirty(), 1)
    assert store.known_factors() == {}


def test_factors_first_seen_are_known_and_restate_nothing(store: SqlStateStore) -> None:
    store.restate(OLD, [], dirty(), 1)
    assert store.known_factors() == OLD
    assert store.restatements() == []


def test_a_change_marks_its_days_and_is_kept_with_their_number(store: SqlStateStore) -> None:
    store.restate(OLD, [], dirty(), 1)
    store.restate(NEW, CHANGES, dirty((A, 2, False), (A, 1, False), (A, 1, True), (COUNTY, 1, False)), 70)
    assert store.known_factors() == NEW
    assert store.claim_dirty(0, 9).select("enterprise", "day", "late").rows() == [(A, 1, True), (A, 2, False)]
    assert store.claim_dirty(REGION_PARTITION, 9)["enterprise"].to_list() == [COUNTY]
    store.restate(OLD, [{"factor_id": "grid"}], dirty(), 80)
    found = store.restatements()
    assert [{name: row[name] for name in ("made_at", "changes", "days")} for row in found] == [
        {"made_at": 80, "changes": [{"factor_id": "grid"}], "days": 0},
        {"made_at": 70, "changes": CHANGES, "days": 3},
    ]
    assert found[0]["restatement_id"] > found[1]["restatement_id"]


def test_the_same_law_told_by_several_processes_at_once_is_one_restatement(
    store: SqlStateStore, url: str
) -> None:
    first, end = day_number(dt.date(2024, 1, 1)), day_number(dt.date(2025, 1, 1))
    days = dirty(*((name, day, False) for name in (A, B, COUNTY) for day in range(first, end)))
    store.restate(OLD, [], dirty(), 1)
    with opened(url) as other, ThreadPoolExecutor(4) as pool:
        tries = [(store, days), (other, days.reverse())] * 2
        list(pool.map(lambda turn: turn[0].restate(NEW, CHANGES, turn[1], 9), tries))
    assert [row["days"] for row in store.restatements()] == [3 * 366]
    assert store.known_factors() == NEW
    assert store.claim_dirty(0, 9_999).height == 2 * 366


def test_a_restatement_that_fails_leaves_nothing(store: SqlStateStore) -> None:
    store.restate(OLD, [], dirty(), 1)
    no_day = typed(DIRTY_SCHEMA, (A, None, False))
    with pytest.raises(StoreRejected):
        store.restate(NEW, CHANGES, no_day, 2)
    assert store.known_factors() == OLD
    assert store.restatements() == []
    assert store.claim_dirty(0, 9).is_empty()
