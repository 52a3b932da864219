"""The state store as a whole: its schema, its errors, many threads at once. On SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from nengshao.domain.codes import REGION_PARTITION, partition_of
from nengshao.domain.errors import ConfigError, LeaseLost, StoreRejected, StoreUnavailable
from nengshao.frames import STATISTICS
from nengshao.ports import (
    DIRTY_SCHEMA,
    LAST_SEEN_SCHEMA,
    WATERMARK_SCHEMA,
    Booking,
    Notice,
    Partitioning,
    StateStore,
)
from nengshao.registry import ENTERPRISES, REGIONS
from nengshao.stores.state import SqlStateStore, open_state
from nengshao.stores.state.engine import Database
from nengshao.stores.state.leases import check_lease
from nengshao.stores.state.schema import metadata
from tests.support.state import (
    BACKENDS,
    A,
    B,
    booked,
    commit_of,
    credit_code,
    day_row,
    enterprise_row,
    entry,
    leased,
    opened,
    registry_of,
    rows,
    state_url,
    typed,
)


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return state_url(request, tmp_path)


@pytest.fixture(params=["sqlite"])
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return state_url(request, tmp_path)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def test_an_empty_database_gets_exactly_the_tables_of_the_schema(url: str, database: Database) -> None:
    with opened(url), database.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_migrating_again_changes_nothing_and_loses_nothing(url: str) -> None:
    with opened(url) as store:
        store.save_registry(registry_of(A), at=1)
        store.migrate()
        assert store.registry().enterprises["enterprise"].to_list() == [A]
    with opened(url) as again:
        assert again.registry_version() == 1


def test_two_processes_may_migrate_at_once(url: str) -> None:
    stores: list[StateStore] = [open_state(url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda store: store.migrate(), stores))
    for store in stores:
        assert store.registry_version() == 0
        store.close()


def test_the_number_of_partitions_is_that_of_the_first_who_made_the_database(url: str) -> None:
    with opened(url, partitions=4), opened(url, partitions=3) as other:
        assert other.partitions == other.read_partitions() == Partitioning(4)


def test_a_database_of_a_later_version_is_refused(url: str, database: Database) -> None:
    with opened(url) as store:
        with database.writing() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(ConfigError, match="9999"):
            store.migrate()


@pytest.mark.parametrize("bad", ["", "nonsense", "mysql://root@db/state", "sqlite://", "sqlite:///:memory:"])
def test_only_files_of_sqlite_and_postgresql_are_accepted(bad: str) -> None:
    with pytest.raises(ConfigError):
        open_state(bad)


def test_no_partitions_are_refused() -> None:
    with pytest.raises(ConfigError):
        open_state("sqlite:///state.db", partitions=0)


@pytest.mark.parametrize(
    "away", ["postgresql://nobody@127.0.0.1:1/state", "sqlite:////no/such/folder/state.db"], ids=BACKENDS
)
def test_a_store_that_is_away_is_unavailable(away: str) -> None:
    store = open_state(away)
    with pytest.raises(StoreUnavailable):
        store.ping()
    with pytest.raises(StoreUnavailable):
        store.migrate()
    store.close()


def test_a_lost_connection_is_unavailable_and_the_next_call_has_a_new_one(postgres_url: str) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    plain = postgres_url.replace("+psycopg", "")
    database = Database(postgres_url)
    with pytest.raises(StoreUnavailable), database.writing() as connection:  # noqa: PT012
        connection.execute(sa.text("SELECT 1"))
        with psycopg.connect(plain) as executioner:
            executioner.execute(f"SELECT pg_terminate_backend(pid) {others}")
        connection.execute(sa.text("SELECT 1"))
    with database.reading() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1
    database.close()


def test_sqlite_commits_are_durable_and_readers_do_not_wait_for_the_writer(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with opened(sqlite_url) as store, database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        connection.execute(sa.text("UPDATE settings SET value = 7 WHERE name = 'registry_version'"))
        assert store.registry_version() == 0
    database.close()


def test_a_sqlite_file_that_another_process_writes_is_waited_for(sqlite_url: str) -> None:
    with opened(sqlite_url) as store:
        other = sqlite3.connect(
            sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN IMMEDIATE")
        freed = threading.Timer(0.2, other.rollback)
        freed.start()
        assert store.acquire_lease("ingest", 0, "me", 1.0) is not None
        freed.join()
        other.close()


def test_what_a_database_can_never_hold_is_rejected(url: str) -> None:
    with opened(url) as store, pytest.raises(StoreRejected):
        store.log_delivery("no-such-notice", "console", "delivered", "", 1)


def test_closing_twice_is_safe(url: str) -> None:
    with opened(url) as store:
        store.ping()
        store.close()


def test_no_one_takes_a_lease_over_between_the_check_and_the_commit(url: str, database: Database) -> None:
    with opened(url) as store, ThreadPoolExecutor(1) as pool:
        paused = store.acquire_lease("ingest", 0, "paused", 0.0)
        assert paused is not None
        with database.writing() as connection:
            check_lease(connection, paused)
            taken = pool.submit(store.acquire_lease, "ingest", 0, "successor", 60.0)
            with pytest.raises(TimeoutError):
                taken.result(timeout=0.3)
        successor = taken.result(timeout=10)
        assert successor is not None
        with pytest.raises(LeaseLost), database.writing() as connection:
            check_lease(connection, paused)


def test_many_threads_book_judge_and_read_at_once_and_the_books_are_exact(url: str) -> None:
    with opened(url, partitions=4) as store:
        store.save_registry(registry_of(A, B), at=1)

        def book(partition: int) -> None:
            lease = leased(store, partition=partition, holder=f"h{partition}")
            for turn in range(8):
                store.book(
                    lease,
                    Booking(
                        at=turn,
                        ledger=booked(A, "stored", 3).vstack(
                            booked("made-up", "quarantined", 1, "bad_topic")
                        ),
                        quarantine=[entry("same", enterprise="made-up")],
                        dirty=typed(DIRTY_SCHEMA, (B, turn, False), (A, turn, True)),
                        watermarks=typed(WATERMARK_SCHEMA, (1, turn), (2, partition)),
                        last_seen=typed(LAST_SEEN_SCHEMA, (A, "d1", turn)),
                    ),
                )
                store.mark_dirty(typed(DIRTY_SCHEMA, (A, turn, False), (B, turn, False)))
                store.ledger()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(book, range(4)))
        assert store.ledger()["count"].to_list() == [32, 96]
        assert store.watermarks([1, 2])["watermark"].to_list() == [7, 3]
        assert [row["count"] for row in store.quarantine_page()] == [32]


class Writers:
    """Each kind of writer, on a connection of its own, its rows in whatever order."""

    REGIONS = ("990100", "990101", "990102")
    TURNS = 12

    def __init__(self, url: str) -> None:
        self._url = url
        self.codes = [credit_code(number) for number in range(12)]
        county = [{"code": code, "parent": None if code == "990100" else "990100"} for code in self.REGIONS]
        self._registries = [
            registry_of(
                *self.codes,
                regions=rows(REGIONS, *county),
                enterprises=rows(ENTERPRISES, *(enterprise_row(c, region=region) for c in self.codes)),
            )
            for region in self.REGIONS[1:]
        ]

    def commit(self, store: SqlStateStore, turn: int, partition: int) -> None:
        own = [code for code in (*self.codes, *self.REGIONS) if partition_of(code, 2) == partition]
        days = [day_row(code, day, calorific_g=turn) for code in own for day in (1, 2)]
        regions = {code: self.REGIONS for code in own if code in self.codes}
        claimed = store.claim_dirty(partition, 99)
        commit = commit_of(*days, claimed=claimed, regions=regions)
        store.commit_assessment(leased(store, "assess", partition, f"worker {partition}"), commit)
        if turn == 3:
            store.close_period(own[0], 1, 3, "somebody", "month", 9)

    def save(self, store: SqlStateStore, turn: int) -> None:
        store.save_registry(self._registries[turn % 2], at=turn)

    def restate(self, store: SqlStateStore, turn: int) -> None:
        days = [(code, day, False) for day in (2, 1) for code in (*self.REGIONS, *self.codes)]
        store.restate({"grid": {"edition": turn}}, [{"edition": turn}], typed(DIRTY_SCHEMA, *days), turn)

    def decide(self, store: SqlStateStore, turn: int) -> None:
        for proposal in store.proposals(state="open"):
            store.decide_proposal(proposal["proposal_id"], accept=turn % 2 == 0, by="a", reason="b", at=turn)

    def state(self, store: SqlStateStore, turn: int) -> None:
        key = {"indicator": "output", "item": "", "first_day": 1, "end_day": 3, "version": turn}
        subjects = (*self.REGIONS, *self.codes)[:: -1 if turn % 2 else 1]
        store.put_statistics(
            rows(STATISTICS, *(key | {"subject": code, "state": "submitted"} for code in subjects))
        )
        store.decide_statistic(self.codes[turn % 12], "output", "", 1, turn, "approved", "a", "", turn)

    def book(self, store: SqlStateStore, turn: int) -> None:
        days = typed(DIRTY_SCHEMA, *((code, day, True) for day in (2, 1) for code in self.codes))
        store.book(leased(store, "ingest", 0, "ingestor"), Booking(at=turn, dirty=days))

    def run(self, write: Callable[[SqlStateStore, int], None]) -> None:
        with opened(self._url, partitions=2) as store:
            for turn in range(self.TURNS):
                write(store, turn)


def test_writers_of_every_kind_at_once_never_wait_for_each_other_in_a_ring(url: str) -> None:
    """PostgreSQL would end one of them; what they lock they lock in one order."""
    writers = Writers(url)
    with opened(url, partitions=2) as store:
        writers.save(store, 0)
        workers = [partial(writers.commit, partition=partition) for partition in (0, 1, REGION_PARTITION)]
        others = [writers.save, writers.restate, writers.decide, writers.state, writers.book]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(writers.run, [*workers, *others]))
        assert len(store.restatements()) == Writers.TURNS
        assert store.statistics([writers.codes[0]], 0, 9).height == Writers.TURNS


def test_a_notice_of_the_port_has_a_column_for_every_field() -> None:
    assert set(Notice.__dataclass_fields__) <= set(metadata.tables["notices"].c.keys())
