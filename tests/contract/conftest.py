"""Every implementation of the store ports, so that one suite runs on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from nengshao.domain.codes import PointKey
from nengshao.ports import ReadingStore, ResultStore
from nengshao.stores.duckdb import open_duckdb
from nengshao.stores.influx import InfluxReadingStore, InfluxResultStore
from nengshao.stores.memory import MemoryReadingStore, MemoryResultStore

STEEL, CEMENT = "91350100M000100Y43", "91990000MA0000001X"

POINTS = {
    "gas": PointKey(STEEL, "0000000002330011", 0),
    "gas, second meter": PointKey(STEEL, "0000000002330011", 0, "001"),  # its tag begins like the first one's
    "a meter with a name": PointKey(STEEL, "0401000004020030", 0, "1号 表, \"甲\"=A\\B ${x} 'é'"),
    "power": PointKey(CEMENT, "0401000004020030", 0),
    "power per day": PointKey(CEMENT, "0401000004020030", 1),
    "never used": PointKey(CEMENT, "0401000004020030", 3),
}


@pytest.fixture
def identities() -> pl.DataFrame:
    """point, enterprise, tag of every point of the tests."""
    rows = [(key.point, key.enterprise, key.tag) for key in POINTS.values()]
    return pl.DataFrame(
        rows, schema={"point": pl.Int64, "enterprise": pl.String, "tag": pl.String}, orient="row"
    )


@pytest.fixture
def point() -> Callable[[str], int]:
    """The id of a point by its name in POINTS."""
    return lambda name: POINTS[name].point


@pytest.fixture
def points() -> list[int]:
    """The ids of all points."""
    return [key.point for key in POINTS.values()]


@pytest.fixture
def influx_readings(request: pytest.FixtureRequest, identities: pl.DataFrame) -> Iterator[InfluxReadingStore]:
    """A reading store in a fresh bucket of the real server."""
    bucket, server = request.getfixturevalue("influx_bucket"), request.getfixturevalue("influx")
    store = InfluxReadingStore(server.url, server.token, server.org, bucket, identities=lambda: identities)
    yield store
    store.close()


@pytest.fixture
def influx_results(request: pytest.FixtureRequest, identities: pl.DataFrame) -> Iterator[InfluxResultStore]:
    """A result store in a fresh bucket of the real server."""
    bucket, server = request.getfixturevalue("influx_bucket"), request.getfixturevalue("influx")
    store = InfluxResultStore(server.url, server.token, server.org, bucket, identities=lambda: identities)
    yield store
    store.close()


@pytest.fixture(params=["memory", "duckdb", "influx"])
def reading_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReadingStore]:
    """Each implementation of `ReadingStore` in turn, empty."""
    store: ReadingStore
    if request.param == "influx":
        store = request.getfixturevalue("influx_readings")
    elif request.param == "duckdb":
        store = open_duckdb(tmp_path / "nengshao.duckdb").readings
    else:
        store = MemoryReadingStore()
    yield store
    store.close()


@pytest.fixture(params=["memory", "duckdb", "influx"])
def result_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultStore]:
    """Each implementation of `ResultStore` in turn, empty."""
    store: ResultStore
    if request.param == "influx":
        store = request.getfixturevalue("influx_results")
    elif request.param == "duckdb":
        store = open_duckdb(tmp_path / "nengshao.duckdb").results
    else:
        store = MemoryResultStore()
    yield store
    store.close()
