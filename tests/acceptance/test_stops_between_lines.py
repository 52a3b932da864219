"""Stop the process between every two lines of "Life of a reading": nothing is lost, nothing is double.

At each stop the process is gone as after `kill -9`: nothing is finished, no lease given back. Everything is
then built again from what is on disk (SQLite, DuckDB, spool, the devices' journals) and at the broker.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.support import pacing, plants, troubled
from tests.support.crash import Crash, Crashing
from tests.support.house import House, house


def _is_data(*seen: Any) -> int:
    return sum(delivery.message.topic.endswith("/data") for delivery in seen[-1])


def _is_message(given: Any, *_: Any) -> bool:
    return given.height > 2  # a table has one reading


def _is_of_message(_lease: Any, intent: Any, *_: Any) -> bool:
    return _is_message(intent.readings)


def _has_readings(_lease: Any, booking: Any, *_: Any) -> bool:
    return booking.intent_id is not None and not booking.inbox_done


def _is_upload(_lease: Any, booking: Any, *_: Any) -> bool:
    return bool(booking.inbox_done)


def _has_deliveries(deliveries: Any, *_: Any) -> bool:
    return any(delivery.message.topic.endswith("/data") for delivery in deliveries)


def _fires(_lease: Any, commit: Any, *_: Any) -> bool:
    return bool(commit.notices)


# line of the table, port, method, when, and the settings of its stop
STOPS = [
    (2, "subscriber", "take", "after", {"nth": 7, "when": _is_data}),  # taken from the broker
    (4, "state", "watermarks", "before", {}),  # decoded and screened
    (5, "state", "record_intent", "before", {"nth": 2, "when": _is_of_message}),
    (5, "state", "record_intent", "after", {"nth": 2, "when": _is_of_message}),
    (5, "readings", "write", "before", {"nth": 2, "when": _is_message}),
    (5, "readings", "write", "after", {"nth": 2, "when": _is_message}),
    (6, "state", "book", "before", {"nth": 2, "when": _has_readings}),
    (6, "state", "book", "after", {"nth": 2, "when": _has_readings}),
    (6, "state", "book", "before", {"when": _is_upload}),
    (6, "state", "book", "after", {"when": _is_upload}),
    (7, "subscriber", "ack", "before", {"nth": 3, "when": _has_deliveries}),
    (7, "subscriber", "ack", "after", {"nth": 3, "when": _has_deliveries}),
    (7, "subscriber", "publish", "before", {"nth": 3}),
    (7, "subscriber", "publish", "after", {"nth": 3}),
    (8, "state", "claim_dirty", "after", {"nth": 3}),
    (8, "state", "commit_assessment", "before", {"nth": 3}),
    (8, "state", "commit_assessment", "after", {"nth": 3}),
    (9, "state", "commit_judgement", "before", {"when": _fires}),
    (9, "state", "commit_judgement", "after", {"when": _fires}),
    (9, "results", "write_load", "after", {"nth": 2}),
    (9, "results", "write_figures", "before", {"nth": 2}),
    (9, "results", "write_figures", "after", {"nth": 2}),
    (10, "notifier", "deliver", "before", {}),
    (10, "notifier", "deliver", "after", {}),
    (10, "state", "log_delivery", "before", {}),
    (10, "state", "log_delivery", "after", {}),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> troubled.Ending:
    """How the three days end if nothing ever stops."""
    with house(tmp_path_factory.mktemp("house"), pacing.registry(), now=plants.START) as home:
        return troubled.played(home)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, pacing.registry(), now=plants.START) as made:
        yield made


def check(ending: troubled.Ending, undisturbed: troubled.Ending) -> None:
    """What no stop may change."""
    assert ending.standing.equals(troubled.truth())
    assert ending.stored == ending.distinct == ending.standing.height == pacing.readings_in(troubled.DAYS)
    assert ending.is_like(undisturbed)
    assert ending.unreceipted == 0


def test_without_a_stop_everything_is_booked_once_and_told_once(undisturbed: troubled.Ending) -> None:
    check(undisturbed, undisturbed)
    assert undisturbed.deaths == 0
    assert len(undisturbed.told) == 1
    assert undisturbed.books["corrected"] == 2
    assert undisturbed.books["superseded"] == 1
    assert undisturbed.books["quarantined"] >= 1
    assert undisturbed.books["duplicate"] >= 2 * 24  # the repeated message
    states = [found[0].state for found in undisturbed.alerts]
    assert states == ["firing"]
    assert [row["cause"] for row in undisturbed.revisions].count("correction") == 1


@pytest.mark.parametrize(
    ("port", "method", "side", "options"),
    [pytest.param(*stop[1:], id=f"line{stop[0]}-{stop[3]}-{stop[2]}-{n}") for n, stop in enumerate(STOPS)],
)
def test_a_stop_changes_nothing_in_the_end(
    home: House, undisturbed: troubled.Ending, port: str, method: str, side: str, options: dict[str, Any]
) -> None:
    wrap = {port: lambda real: Crashing(real, method, after=side == "after", **options)}
    ending = troubled.played(home, **wrap)
    assert ending.deaths == 1
    check(ending, undisturbed)


class DyingInMidWrite:
    """A reading store whose process dies when a part of its second batch is on disk."""

    def __init__(self, store: Any) -> None:
        self._store, self._writes = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, readings: pl.DataFrame) -> None:
        self._writes += _is_message(readings)
        if self._writes == 2:
            self._store.write(readings.gather_every(2))
            raise Crash
        self._store.write(readings)


def test_a_stop_in_the_middle_of_the_store_write_changes_nothing(
    home: House, undisturbed: troubled.Ending
) -> None:
    ending = troubled.played(home, readings=DyingInMidWrite)
    assert ending.deaths == 1
    check(ending, undisturbed)
