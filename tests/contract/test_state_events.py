"""Meter events: replaced with the days they were found in, kept with what a person said of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from nengshao.domain.time import DAY_S
from nengshao.frames import METER_EVENTS
from nengshao.stores.state import SqlStateStore
from tests.support.state import (
    BACKENDS,
    NO_SPANS,
    A,
    B,
    commit_of,
    leased,
    opened,
    rows,
    state_url,
    typed,
)

Key = tuple[str, int, int, str]


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path)) as store:
        yield store


def commit(store: SqlStateStore, events: list[Key], *spans: tuple[str, int, int]) -> None:
    found = typed(METER_EVENTS.schema, *events)
    commit = commit_of(events=found, block_spans=typed(NO_SPANS.schema, *spans))
    store.commit_assessment(leased(store, "assess"), commit)


def keys(
    store: SqlStateStore, *enterprises: str, start: int = 0, end: int = 10 * DAY_S, **asked: Any
) -> list[Key]:
    found = store.meter_events(enterprises or [A, B], start, end, **asked)
    return [(row["enterprise"], row["point"], row["ts"], row["event"]) for row in found]


def test_events_come_back_newest_first_and_open(store: SqlStateStore) -> None:
    events = [(A, -5, 100, "fall"), (A, 7, 300, "spike"), (A, 7, 100, "rollover"), (B, 1, 200, "stuck")]
    commit(store, events)
    assert keys(store) == [events[1], events[3], events[0], events[2]]
    assert keys(store, A, start=100, end=300) == [events[0], events[2]]
    assert keys(store, B, end=200) == []
    first = store.meter_events([A], 300, 301)[0]
    assert dict(first) == {
        **rows(METER_EVENTS, {"enterprise": A, "point": 7, "ts": 300, "event": "spike"}).to_dicts()[0],
        "confirmed_by": None,
        "confirmed_at": None,
        "note": None,
    }
    assert store.meter_events([], 0, 999) == []


def test_events_of_the_computed_span_are_replaced_and_others_kept(store: SqlStateStore) -> None:
    before, first, last, after = ((A, 1, ts, "fall") for ts in (99, 100, 199, 200))
    others = (B, 1, 150, "fall")
    commit(store, [before, first, last, after, others])
    commit(store, [(A, 1, 150, "spike")], (A, 100, 200))
    assert keys(store, A) == [after, (A, 1, 150, "spike"), before]
    assert keys(store, B) == [others]
    commit(store, [], (A, 0, 150), (A, 190, 300), (B, 500, 600))
    assert keys(store) == sorted([(A, 1, 150, "spike"), others])


def test_what_a_person_said_of_an_event_stays_while_it_is_found_again(store: SqlStateStore) -> None:
    fall, rise = (A, 1, 100, "fall"), (A, 1, 100, "implausible_rise")
    commit(store, [fall, rise])
    assert store.confirm_event(*fall, "王巡检", "换表，已补登记", 5_000)
    for _ in range(2):
        commit(store, [fall, rise], (A, 0, DAY_S))
    said = {row["event"]: (row["confirmed_by"], row["confirmed_at"], row["note"]) for row in
            store.meter_events([A], 0, DAY_S)}  # fmt: skip
    assert said == {"fall": ("王巡检", 5_000, "换表，已补登记"), "implausible_rise": (None, None, None)}
    assert keys(store, only_open=True) == [rise]
    commit(store, [], (A, 0, DAY_S))
    assert keys(store) == []
    commit(store, [fall], (A, 0, DAY_S))
    assert keys(store, only_open=True) == [fall]


def test_the_last_person_s_word_stands_and_there_is_none_of_what_is_not_there(store: SqlStateStore) -> None:
    fall = (A, 1, 100, "fall")
    commit(store, [fall])
    assert store.confirm_event(*fall, "one", "", 1)
    assert store.confirm_event(*fall, "another", "sure", 2)
    [row] = store.meter_events([A], 0, DAY_S)
    assert (row["confirmed_by"], row["confirmed_at"], row["note"]) == ("another", 2, "sure")
    for missing in ((B, 1, 100, "fall"), (A, 2, 100, "fall"), (A, 1, 101, "fall"), (A, 1, 100, "spike")):
        assert not store.confirm_event(*missing, "one", "", 1)


def test_a_year_of_events_is_replaced_at_once(store: SqlStateStore) -> None:
    year = [(A, point, day * DAY_S, "stuck") for day in range(366) for point in range(10)]
    commit(store, year)
    half = typed(METER_EVENTS.schema, *year[::2])
    commit(store, year[::2], (A, 0, 366 * DAY_S))
    assert_frame_equal(
        typed(METER_EVENTS.schema, *keys(store, end=400 * DAY_S)).sort(METER_EVENTS.key),
        half.sort(METER_EVENTS.key),
    )
