"""Partitions: sharing their leases evenly, and changing their number, on SQLite and PostgreSQL."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from nengshao.domain.codes import partition_of
from nengshao.domain.errors import ConfigError, LeaseLost
from nengshao.domain.readings import Source
from nengshao.frames import READINGS
from nengshao.ports import DIRTY_SCHEMA, Booking, InboxEntry, Intent, Lease, Partitioning
from nengshao.stores.state import SqlStateStore
from nengshao.stores.state.engine import Database
from nengshao.stores.state.partitions import PLACED
from nengshao.stores.state.schema import inbox, metadata
from tests.support.state import BACKENDS, credit_code, leased, opened, registry_of, state_url, typed

LONG_S = 60.0
CODES = [credit_code(n) for n in range(12)]
REGION = "430000"


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return state_url(request, tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[SqlStateStore]:
    with opened(url, partitions=4) as store:
        yield store


class Worker:
    """What a process does about its leases, one turn at a time."""

    def __init__(self, store: SqlStateStore, name: str, ttl_s: float = LONG_S) -> None:
        self.store, self.name, self.ttl_s = store, name, ttl_s
        self.leases: dict[int, Lease] = {}

    def turn(self) -> None:
        for partition in range(self.store.partitions.count):
            lease = self.leases.pop(partition, None)
            try:
                if lease is None:
                    lease = self.store.take_share("ingest", partition, self.name, self.ttl_s)
                else:
                    lease = self.store.renew_share(lease, self.ttl_s)
            except LeaseLost:
                lease = None
            if lease is not None:
                self.leases[partition] = lease

    def leave(self) -> None:
        for lease in self.leases.values():
            self.store.release_lease(lease)


def shares(*workers: Worker, turns: int = 3) -> list[int]:
    """How many each holds after some turns; none is held twice, and none by nobody."""
    for _ in range(turns):
        for worker in workers:
            worker.turn()
    held = [partition for worker in workers for partition in worker.leases]
    assert sorted(held) == list(range(workers[0].store.partitions.count))
    return [len(worker.leases) for worker in workers]


# ---------------------------------------------------------------------------------------------- sharing


def test_one_holds_all_until_others_come_and_then_no_more_than_they_and_one(store: SqlStateStore) -> None:
    a, b, c, d, e = (Worker(store, name) for name in "abcde")
    assert shares(a) == [4]
    assert shares(a, b) == [2, 2]
    assert sorted(shares(a, b, c)) == [1, 1, 2]
    assert shares(a, b, c, d) == [1, 1, 1, 1]
    assert shares(a, b, c, d, e) == [1, 1, 1, 1, 0]


def test_who_comes_takes_no_more_from_others_than_it_gets(store: SqlStateStore) -> None:
    a, b = Worker(store, "a"), Worker(store, "b")
    shares(a)
    epochs = {partition: lease.epoch for partition, lease in a.leases.items()}
    b.turn()
    shares(a, b)
    moved = [p for worker in (a, b) for p, lease in worker.leases.items() if lease.epoch != epochs[p]]
    assert sorted(moved) == sorted(b.leases)


def test_who_leaves_is_succeeded_at_once_by_those_who_stay(store: SqlStateStore) -> None:
    a, b, c = (Worker(store, name) for name in "abc")
    shares(a, b, c)
    a.leave()
    assert shares(b, c) == [2, 2]


def test_the_partitions_of_a_dead_one_go_to_those_who_live_once_its_leases_are_over(
    store: SqlStateStore,
) -> None:
    a, b, c = (Worker(store, name, ttl_s=4.0) for name in "abc")
    shares(a, b, c)
    ends = max(lease.expires_at for lease in a.leases.values())
    while time.time() < ends + 0.1:
        for worker in (b, c):
            worker.turn()
        assert not {*b.leases, *c.leases} & {*a.leases} or time.time() > ends - 0.1
        time.sleep(0.1)
    assert shares(b, c) == [2, 2]
    (lost, *_) = a.leases.values()
    with pytest.raises(LeaseLost):
        store.book(lost, Booking(at=1))


def test_a_newcomer_leaves_a_holder_the_time_to_renew_what_ran_out_while_the_store_was_away(
    store: SqlStateStore,
) -> None:
    a, b = Worker(store, "a", ttl_s=0.0), Worker(store, "b", ttl_s=2.0)
    shares(a)
    came_at = time.monotonic()
    b.turn()
    assert b.leases == {}
    a.turn()
    assert len(a.leases) == 4
    while len(b.leases) < 4:  # nobody renews any more
        b.turn()
    assert time.monotonic() - came_at >= b.ttl_s / 2


def test_kinds_are_shared_apart(store: SqlStateStore) -> None:
    a = Worker(store, "a")
    shares(a)
    assert store.take_share("other", 0, "a", LONG_S) is not None
    assert store.take_share("other", 1, "b", LONG_S) is not None


# ------------------------------------------------------------------------------------------- announcing


def changing(store: SqlStateStore, to: int) -> tuple[str, list[Lease]]:
    """The holder of an announced change, and all leases in its hands."""
    leased(store, "repartition", holder="changer")
    store.announce_partitions(to)
    held = [store.take_share("ingest", n, "changer", LONG_S) for n in range(store.partitions.count)]
    return "changer", [lease for lease in held if lease is not None]


def test_once_announced_holders_give_back_at_renewal_and_nobody_else_gets_a_share(
    store: SqlStateStore,
) -> None:
    a, b = Worker(store, "a"), Worker(store, "b")
    shares(a, b)
    paused = dict(b.leases)
    _, before = changing(store, 2)
    assert before == []
    a.turn()
    assert a.leases == {}
    a.turn()
    assert a.leases == {}
    _, free = changing(store, 2)
    assert sorted(lease.partition for lease in free) == sorted({0, 1, 2, 3} - paused.keys())
    b.turn()
    _, free = changing(store, 2)
    assert len(free) == 4
    assert [store.renew_share(lease, LONG_S).epoch for lease in free] == [lease.epoch for lease in free]


def test_another_number_is_refused_until_the_announced_one_holds(store: SqlStateStore) -> None:
    store.announce_partitions(2)
    store.announce_partitions(2)
    assert store.read_partitions() == Partitioning(4, 0, announced=2)
    with pytest.raises(ConfigError, match="2 个分区尚未完成"):
        store.announce_partitions(3)
    with pytest.raises(ConfigError):
        store.announce_partitions(0)


def test_a_switch_wants_an_announcement_and_the_lease_of_every_partition(store: SqlStateStore) -> None:
    own = [leased(store, partition=n) for n in range(4)]
    with pytest.raises(LeaseLost):
        store.switch_partitions(own)
    store.announce_partitions(2)
    with pytest.raises(LeaseLost):
        store.switch_partitions(own[:3])
    store.release_lease(own[3])
    with pytest.raises(LeaseLost):
        store.switch_partitions(own)
    assert store.read_partitions().count == 4


# -------------------------------------------------------------------------------------------- switching


def test_every_row_is_in_the_partition_of_its_enterprise_afterwards(url: str, store: SqlStateStore) -> None:
    database = Database(url)
    with database.writing() as connection:
        for table in PLACED:
            rows = [made_up(table, n, code) for n, code in enumerate([*CODES, REGION])]
            connection.execute(sa.insert(table), rows)
    _, leases = changing(store, 3)
    assert store.switch_partitions(leases) == store.read_partitions() == Partitioning(3, 1)
    with database.reading() as connection:
        for table in PLACED:
            found = connection.execute(sa.select(table.c.enterprise, table.c.partition)).all()
            assert sorted(found) == sorted((code, partition_of(code, 3)) for code in [*CODES, REGION])
    database.close()


def test_no_table_with_partitions_is_forgotten() -> None:
    others = {t.name for t in metadata.sorted_tables if "partition" in t.c} - {t.name for t in PLACED}
    assert others == {"leases", "intents", "subscriptions"}  # ended; split; of their epoch


def made_up(table: sa.Table, number: int, code: str) -> dict[str, Any]:
    """A row of any table, of an enterprise in one of four partitions."""
    values: dict[type, Any] = {int: number, str: f"x{number}", bool: False, bytes: b"", float: 0.0}
    row = {c.name: values.get(c.type.python_type, {}) for c in table.columns if not c.nullable}
    return row | {"enterprise": code, "partition": partition_of(code, 4)}


def test_an_open_intent_is_split_among_the_partitions_of_its_points(url: str, store: SqlStateStore) -> None:
    registry = registry_of(*CODES)
    store.save_registry(registry, at=1)
    _, leases = changing(store, 3)
    points = dict(registry.points.select("point", "enterprise").iter_rows())
    stranger = 4
    readings = pl.DataFrame([row_of(p, 10) for p in [*points, stranger]], schema=dict(READINGS.schema))
    dirty = typed(DIRTY_SCHEMA, *((code, 7, False) for code in CODES))
    store.record_intent(leases[0], Intent("i", 0, leases[0].epoch, 1, readings, dirty))
    store.record_intent(leases[1], Intent("struck", 1, leases[1].epoch, 1, readings, dirty))
    store.book(leases[1], Booking(at=1, intent_id="struck"))
    store.switch_partitions(leases)
    with opened(url) as after:
        parts = [intent for n in range(3) for intent in after.open_intents(n)]
        assert [part.partition for part in parts] == [0, 1, 2]
        whole = pl.concat([part.readings for part in parts])
        assert whole.sort("point").equals(readings.sort("point"))
        for part in parts:
            owners = {points.get(p, "") for p in part.readings["point"]}
            assert {partition_of(owner, 3) for owner in owners} == {part.partition}
            assert set(part.dirty["enterprise"]) == {c for c in CODES if partition_of(c, 3) == part.partition}
        lease = leased(after, partition=0)
        after.book(lease, Booking(at=2, intent_id=parts[0].intent_id))
        assert after.open_intents(0) == []


def row_of(point: int, ts: int) -> dict[str, Any]:
    return {"point": point, "ts": ts, "version": ts + 1, "value": 5, "valid": True, "input_type": 1}


def test_whoever_works_by_the_old_number_gets_nothing_and_writes_nothing_under_its_leases(
    url: str, store: SqlStateStore
) -> None:
    assess = leased(store, "assess")
    _, leases = changing(store, 3)
    store.switch_partitions(leases)
    for lease in (*leases, assess):
        with pytest.raises(LeaseLost):
            store.book(lease, Booking(at=1))
    assert store.partitions == Partitioning(4)
    for kind in ("ingest", "assess"):
        assert store.acquire_lease(kind, 0, "changer", LONG_S) is None
    assert store.take_share("ingest", 0, "changer", LONG_S) is None
    with opened(url) as anew:
        assert anew.partitions == Partitioning(3, 1)
        lease = anew.take_share("ingest", 0, "other", LONG_S)
        assert lease is not None
        assert lease.epoch > leases[0].epoch


def test_what_comes_in_meanwhile_is_placed_by_the_number_that_holds_when_it_is_written(
    url: str, store: SqlStateStore
) -> None:
    _, leases = changing(store, 3)

    def deliver(worker: int) -> list[int]:
        return [store.put_inbox(upload(f"{worker}:{n}", CODES[n % 12])) for n in range(40)]

    with ThreadPoolExecutor(3) as pool:
        given = [pool.submit(deliver, worker) for worker in range(3)]
        time.sleep(0.05)
        store.switch_partitions(leases)
        ids = [one for future in given for one in future.result()]
    database = Database(url)
    with database.reading() as connection:
        rows: Sequence[Any] = connection.execute(sa.select(inbox)).all()
    database.close()
    assert sorted(row.inbox_id for row in rows) == sorted(ids)
    assert Counter(row.partition for row in rows) == Counter(partition_of(r.enterprise, 3) for r in rows)


def upload(key: str, enterprise: str) -> InboxEntry:
    return InboxEntry(Source.API, enterprise, "manual", "", "csv", b"raw", 1_700_000_000, key)
