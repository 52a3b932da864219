"""State stores to test, on both databases, and rows to fill them with."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from nengshao.domain.codes import PointKey, credit_code_check_character
from nengshao.domain.readings import Reason, Source
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, POINT_DAYS, POINTS, Contract
from nengshao.ports import LEDGER_SCHEMA, AssessmentCommit, Lease, QuarantineEntry
from nengshao.registry import ENTERPRISES, Registry
from nengshao.stores.state import SqlStateStore, open_state
from tests.servers.postgres import Postgres

BACKENDS = ("sqlite", "postgres")


_SHARED = pytest.StashKey[str]()


def state_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty database of the kind that the test is parametrised with."""
    if request.param == "postgres":
        return _emptied(_shared_postgres(request))
    return f"sqlite:///{folder / 'state.db'}"


def _shared_postgres(request: pytest.FixtureRequest) -> str:
    """One database for all tests of the run: a hundred of them take the server long to flush at its end."""
    server: Postgres = request.getfixturevalue("postgres")
    if _SHARED not in request.config.stash:
        name = f"state_{uuid.uuid4().hex}"
        request.config.stash[_SHARED] = server.create_database(name)
        if server.is_external:
            request.config.add_cleanup(lambda: server.drop_database(name))
    return request.config.stash[_SHARED]


def _emptied(url: str) -> str:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


@contextmanager
def opened(url: str, partitions: int = 1, **caps: int) -> Iterator[SqlStateStore]:
    """A migrated store, closed at the end."""
    store = open_state(url, partitions, **caps)
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def credit_code(number: int) -> str:
    """A valid code of an enterprise that does not exist."""
    body = f"919999990000{number:05d}"
    return body + credit_code_check_character(body)


A, B = credit_code(1), credit_code(2)


def rows(contract: Contract, *given: Mapping[str, Any]) -> pl.DataFrame:
    """A frame of the contract; columns that a row does not give are null."""
    return pl.DataFrame(list(given), schema=dict(contract.schema))


def typed(schema: Mapping[str, Any], *given: Sequence[Any]) -> pl.DataFrame:
    """A frame of the schema from whole rows."""
    return pl.DataFrame(list(given), schema=dict(schema), orient="row")


def point_row(enterprise: str, data_code: str = "0000000002330011", **columns: Any) -> dict[str, Any]:
    """A registry row of a point, valid for ever, feeding totals."""
    stat_type, meter = columns.get("stat_type", 0), columns.get("meter", "00")
    key = PointKey(enterprise, data_code, stat_type, meter)
    identity = {"point": key.point, **asdict(key)}
    return identity | {"feeds_total": True, "valid_from": 0, "name": "1# 进线"} | columns


def enterprise_row(enterprise: str, **columns: Any) -> dict[str, Any]:
    """A registry row of an enterprise."""
    return {"enterprise": enterprise, "name": "某厂", "region": "999999", "active_from": 0} | columns


def registry_of(*enterprises: str, **tables: pl.DataFrame) -> Registry:
    """A registry of these enterprises with one point each, or the tables given."""
    defaults: dict[str, Any] = {
        "enterprises": rows(ENTERPRISES, *(enterprise_row(code) for code in enterprises)),
        "points": rows(POINTS, *(point_row(code) for code in enterprises)),
    }
    return Registry(**defaults | tables)


def leased(store: SqlStateStore, kind: str = "ingest", partition: int = 0, holder: str = "me") -> Lease:
    """A lease that nobody else has."""
    lease = store.acquire_lease(kind, partition, holder, 3600.0)
    assert lease is not None
    return lease


def booked(enterprise: str, outcome: str, count: int, reason: str = "", source: str = "mqtt") -> pl.DataFrame:
    """A ledger frame of one row."""
    return typed(LEDGER_SCHEMA, (enterprise, source, outcome, reason, count))


def entry(sha256: str = "aa", **fields: Any) -> QuarantineEntry:
    """A quarantined message of a registered enterprise."""
    given: dict[str, Any] = {
        "enterprise": A,
        "device": "d1",
        "source": Source.MQTT,
        "topic": f"nhjc/v1/{A}/d1/data",
        "reason": Reason.UNKNOWN_POINT,
        "detail": "no such point",
        "sha256": sha256,
        "size": 10,
        "raw": b"0123456789",
        "indexes": (),
        "arrived_at": 1_000,
    }
    return QuarantineEntry(**given | fields)


def day_row(enterprise: str, day: int, **columns: Any) -> dict[str, Any]:
    """An enterprise's day."""
    return {"enterprise": enterprise, "day": day, "published": True, "no_factor": ""} | columns


def commit_of(
    *days: Mapping[str, Any], points: Sequence[Mapping[str, Any]] = (), **fields: Any
) -> AssessmentCommit:
    """An assessment of these days."""
    given: dict[str, Any] = {
        "at": 5_000,
        "claimed": pl.DataFrame(schema={"enterprise": pl.String, "day": pl.Int32, "generation": pl.Int64}),
        "point_days": rows(POINT_DAYS, *points),
        "enterprise_days": rows(ENTERPRISE_DAYS, *days),
        "blocks": NO_BLOCKS,
        "block_spans": NO_SPANS,
    }
    return AssessmentCommit(**given | fields)


NO_SPANS = pl.DataFrame(schema={"enterprise": pl.String, "start": pl.Int64, "end": pl.Int64})
NO_BLOCKS = BLOCKS.empty()
