"""What the state keeps of the broker: subscriptions of sessions, refusals counted once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from nengshao.domain.errors import LeaseLost
from nengshao.ports import DENIALS_SCHEMA
from nengshao.stores.state import SqlStateStore
from tests.support import plants
from tests.support.state import BACKENDS, leased, opened, state_url

ONE, TWO = plants.credit_code(1), plants.credit_code(2)
OUT = {"day": pl.Int32, **DENIALS_SCHEMA}


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path)) as store:
        store.save_registry(plants.registry(2), at=1)
        yield store


def frame(*rows: tuple[int, str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=OUT, orient="row")


def test_refusals_are_added_up_by_day_enterprise_and_kind(store: SqlStateStore) -> None:
    store.book_denials("log", "1", frame((10, ONE, "publish", 2), (10, TWO, "connect", 1)))
    store.book_denials("log", "2", frame((10, ONE, "publish", 3), (11, ONE, "publish", 1)))
    assert store.denials().rows() == [
        (10, ONE, "publish", 5),
        (10, TWO, "connect", 1),
        (11, ONE, "publish", 1),
    ]
    assert store.denials(enterprise=ONE, from_day=11).rows() == [(11, ONE, "publish", 1)]
    assert store.denials(to_day=11).height == 2


def test_made_up_senders_share_one_row(store: SqlStateStore) -> None:
    store.book_denials(
        "log", "1", frame((10, "x", "connect", 1), (10, "y", "connect", 2), (10, "", "connect", 4))
    )
    assert store.denials().rows() == [(10, "", "connect", 7)]


def test_position_moves_with_the_counts_and_by_log(store: SqlStateStore) -> None:
    assert store.log_position("log") is None
    store.book_denials("log", "1:2:3", frame())
    store.book_denials("other", "9", frame((10, ONE, "publish", 2)))
    store.book_denials("log", "1:2:4", frame())
    assert (store.log_position("log"), store.log_position("other")) == ("1:2:4", "9")


def test_subscription_is_the_session_s_and_outlives_its_holder(store: SqlStateStore) -> None:
    assert store.subscriptions() == {}
    lease = leased(store, "ingest")
    store.record_subscription(lease, 3)
    store.record_subscription(lease, 4)
    store.release_lease(lease)
    assert store.subscriptions() == {0: 4}
    with pytest.raises(LeaseLost):
        store.record_subscription(lease, 5)


def test_sessions_of_an_earlier_partitioning_are_over(store: SqlStateStore) -> None:
    lease = leased(store, "ingest")
    store.record_subscription(lease, 3)
    store.announce_partitions(2)
    store.switch_partitions([lease])
    assert store.subscriptions() == {}


def test_held_leases_are_those_that_somebody_has_now(store: SqlStateStore) -> None:
    assert store.held_leases("ingest")[1] == []
    lease = store.acquire_lease("ingest", 0, "a", 60)
    assert lease is not None
    now, held = store.held_leases("ingest")
    assert [(one.partition, one.holder, one.epoch) for one in held] == [(0, "a", lease.epoch)]
    assert 0 < held[0].expires_at - now <= 60
    assert store.held_leases("assess")[1] == []
    store.release_lease(lease)
    assert store.held_leases("ingest")[1] == []
