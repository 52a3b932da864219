"""Leases: one holder at a time, by the store's clock; an epoch that is over writes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from nengshao.domain.errors import LeaseLost
from nengshao.frames import PROGRESS, READINGS
from nengshao.ports import DIRTY_SCHEMA, Booking, Intent, JudgementCommit, Lease
from nengshao.stores.state import SqlStateStore
from tests.support.state import BACKENDS, A, booked, commit_of, day_row, opened, registry_of, state_url


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path)) as store:
        yield store


def acquired(store: SqlStateStore, holder: str, ttl_s: float = 60.0) -> Lease:
    lease = store.acquire_lease("ingest", 0, holder, ttl_s)
    assert lease is not None
    return lease


def test_a_held_lease_is_refused_to_others_and_given_again_to_its_holder(store: SqlStateStore) -> None:
    first = acquired(store, "a")
    assert store.acquire_lease("ingest", 0, "b", 60.0) is None
    again = acquired(store, "a")
    assert (again.epoch, again.holder) == (first.epoch, "a")
    assert again.expires_at >= first.expires_at


def test_a_lease_runs_on_the_stores_clock(store: SqlStateStore) -> None:
    assert abs(acquired(store, "a", ttl_s=100.0).expires_at - time.time() - 100.0) < 5.0


def test_kinds_and_partitions_are_leased_apart(store: SqlStateStore) -> None:
    acquired(store, "a")
    assert store.acquire_lease("assess", 0, "b", 60.0) is not None
    assert store.acquire_lease("ingest", 1, "b", 60.0) is not None


def test_an_expired_lease_goes_to_the_next_with_a_new_epoch(store: SqlStateStore) -> None:
    old = acquired(store, "a", ttl_s=0.0)
    new = acquired(store, "b")
    assert new.epoch == old.epoch + 1
    with pytest.raises(LeaseLost):
        store.renew_lease(old, 60.0)


def test_an_expired_lease_that_nobody_took_is_renewed_with_its_epoch(store: SqlStateStore) -> None:
    old = acquired(store, "a", ttl_s=0.0)
    renewed = store.renew_lease(old, 60.0)
    assert renewed.epoch == old.epoch
    assert store.acquire_lease("ingest", 0, "b", 60.0) is None


def test_a_lease_given_back_is_free_at_once_and_its_epoch_is_over(store: SqlStateStore) -> None:
    lease = acquired(store, "a")
    store.release_lease(lease)
    with pytest.raises(LeaseLost):
        store.book(lease, Booking(at=1))
    assert acquired(store, "b").epoch == lease.epoch + 1


def test_giving_back_what_another_holds_takes_nothing_from_him(store: SqlStateStore) -> None:
    old = acquired(store, "a", ttl_s=0.0)
    new = acquired(store, "b")
    store.release_lease(old)
    assert store.acquire_lease("ingest", 0, "a", 60.0) is None
    store.book(new, Booking(at=1))


def test_of_many_who_race_for_a_lease_one_gets_it(store: SqlStateStore) -> None:
    start = threading.Barrier(6)

    def race(number: int) -> Lease | None:
        start.wait()
        return store.acquire_lease("ingest", 0, f"h{number}", 60.0)

    with ThreadPoolExecutor(6) as pool:
        won = [lease for lease in pool.map(race, range(6)) if lease is not None]
    assert len(won) == 1


def test_of_many_who_race_for_an_expired_lease_one_gets_it(store: SqlStateStore) -> None:
    dead = acquired(store, "dead", ttl_s=0.0)
    with ThreadPoolExecutor(6) as pool:
        tries = pool.map(lambda n: store.acquire_lease("ingest", 0, f"h{n}", 60.0), range(6))
        assert [lease.epoch for lease in tries if lease is not None] == [dead.epoch + 1]


def test_a_paused_holder_writes_nothing_once_it_has_a_successor(store: SqlStateStore) -> None:
    store.save_registry(registry_of(A), at=1)
    paused = acquired(store, "paused", ttl_s=0.0)
    acquired(store, "successor")
    intent = Intent("i1", 0, paused.epoch, 1, READINGS.empty(), pl.DataFrame(schema=dict(DIRTY_SCHEMA)))
    judgement = JudgementCommit(1, {A: 1}, PROGRESS.empty(), (), (), {})
    with pytest.raises(LeaseLost):
        store.record_intent(paused, intent)
    with pytest.raises(LeaseLost):
        store.book(paused, Booking(at=1, ledger=booked(A, "stored", 1)))
    with pytest.raises(LeaseLost):
        store.commit_assessment(paused, commit_of(day_row(A, 1)))
    with pytest.raises(LeaseLost):
        store.commit_judgement(paused, judgement)
    assert store.open_intents(0) == []
    assert store.ledger().is_empty()
    assert store.enterprise_days([A], 0, 10).is_empty()


def test_a_holder_whose_lease_ran_out_still_writes_while_nobody_took_it(store: SqlStateStore) -> None:
    store.save_registry(registry_of(A), at=1)
    store.book(acquired(store, "a", ttl_s=0.0), Booking(at=1, ledger=booked(A, "stored", 1)))
    assert store.ledger()["count"].to_list() == [1]


def test_a_lease_that_never_was_writes_nothing(store: SqlStateStore) -> None:
    with pytest.raises(LeaseLost):
        store.book(Lease("ingest", 0, "nobody", 1, 0.0), Booking(at=1))
