"""Stores that fail between any two commits, redeliveries grouped anew, take-overs: the books add up.

Whatever fails, in the end every version is stored once, Σ stored = distinct readings, and every day that has
a reading has been marked to be computed.
"""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest

from ingest.bookkeeper import Bookkeeper
from ingest.preparing import decoded_batch, limits_of
from nengshao.clock import SteppedClock
from nengshao.domain.errors import StoreUnavailable
from nengshao.domain.time import accounting_day
from nengshao.ports import Lease
from nengshao.settings import Dialect, IngestSettings
from nengshao.stores.memory import MemoryReadingStore
from nengshao.stores.state import open_state
from nengshao.telemetry import Telemetry
from nengshao.wire import Message
from tests.support import pacing, plants
from tests.support.crash import Unreliable

SETTINGS = IngestSettings()
NOW = pacing.day_end(3)
FAILURES = [
    None,
    None,
    "record_intent",
    "book",
    "book",
    "book, answered by nobody",
    "write",
    "write, answered by nobody",
]


class Run:
    """One holder after another, on stores that are away when they are told to be."""

    def __init__(self, folder: Path) -> None:
        state = open_state(f"sqlite:///{folder / 'state.db'}")
        state.migrate()
        state.save_registry(pacing.registry(), at=plants.START)
        self.state, self.readings = Unreliable(state), Unreliable(MemoryReadingStore())
        self.take_over()

    def take_over(self) -> None:
        """A new holder."""
        self.state.come_back()
        self.readings.come_back()
        lease = self.state.acquire_lease("ingest", 0, "holder", 600.0)
        assert isinstance(lease, Lease)
        self._lease = lease
        self._books = Bookkeeper(
            self.state,  # type: ignore[arg-type]  # a store that may be away
            self.readings,  # type: ignore[arg-type]  # the same
            SteppedClock(NOW), Telemetry(), settings=SETTINGS, dialects={"national": Dialect(valid=1)},
        )  # fmt: skip
        self._books.read_registry()
        self._books.read_books(0)
        self._books.settle_open_intents(lease)

    def book(self, messages: list[Message], failure: str | None) -> bool:
        """Whether they were booked; if not, what the books hold is read again."""
        store = self.readings if failure is not None and failure.startswith("write") else self.state
        if failure is not None:
            store.go(failure.partition(",")[0], answers_only="answered" in failure)
        try:
            batch = decoded_batch([(message, NOW) for message in messages], limits_of(SETTINGS))
            self._books.book_batch(self._lease, batch)
        except StoreUnavailable:
            store.come_back()
            self._books.read_books(0)
            return False
        store.come_back()
        return True


def some_messages(chance: random.Random) -> list[Message]:
    """Readings of two meters over three days, in one or two versions, or two values of one version."""
    found = []
    for seq in range(chance.randint(2, 6)):
        places = {
            (chance.randrange(6) * 40, chance.choice(["00", "01"])) for _ in range(chance.randint(1, 3))
        }
        items = [
            pacing.read(
                slot, meter, kwh=chance.choice([10.0, 20.0]),
                upload=plants.START + slot * 900 + 60 * chance.choice([1, 2]),
            )
            for slot, meter in sorted(places)
        ]  # fmt: skip
        outgoing = pacing.outgoing(items, seq=seq, at=0)
        found.append(Message(outgoing.topic, outgoing.payload))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_the_books_add_up_whatever_fails(seed: int, tmp_path: Path) -> None:
    chance, run = random.Random(seed), Run(tmp_path)
    messages = some_messages(chance)
    waiting = list(range(len(messages)))
    for _ in range(8):
        some = chance.sample(waiting, chance.randint(1, len(waiting))) if waiting else []
        if some and run.book([messages[n] for n in some], chance.choice(FAILURES)):
            waiting = [n for n in waiting if n not in some]
        elif chance.random() < 0.3:
            run.take_over()
    assert run.book(messages, None)
    counts = dict(run.state.ledger().group_by("outcome").agg(pl.col("count").sum()).iter_rows())
    stored = run.readings.scan(sorted(pacing.registry().points["point"]), 0, NOW).collect()
    assert counts["stored"] == run.readings.count() == stored.height
    dirty = set(run.state.claim_dirty(0, 1000)["day"])
    assert set(stored.select(accounting_day(pl.col("ts"))).to_series()) <= dirty


def test_of_two_values_of_a_version_both_are_known_although_one_was_never_booked(tmp_path: Path) -> None:
    # The greater is written, its booking fails; then the lesser comes, then the greater again.
    run = Run(tmp_path)
    lesser, greater = (
        Message(outgoing.topic, outgoing.payload)
        for outgoing in (
            pacing.outgoing(
                [pacing.read(40, "00", kwh=kwh, upload=plants.START + 40 * 900 + 60)], seq=1, at=0
            )
            for kwh in (10.0, 20.0)
        )
    )
    assert not run.book([greater], "book")
    assert run.book([lesser], None)
    assert run.book([greater], None)
    counts = dict(run.state.ledger().group_by("outcome").agg(pl.col("count").sum()).iter_rows())
    assert counts["stored"] == run.readings.count() == 1
    points = sorted(pacing.registry().points["point"])
    assert run.readings.scan(points, 0, NOW).collect()["value"].to_list() == [20_000_000]
