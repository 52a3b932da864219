"""Readings and results in one DuckDB file, owned by one process: the embedded default."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from nengshao.domain.errors import StoreRejected, StoreUnavailable
from nengshao.frames import ENTERPRISE_DAYS, INTENSITY, LOAD, PROGRESS, READINGS, Contract, conform
from nengshao.stores.figures import ALERT_COUNTS, FIGURES
from nengshao.stores.versions import (
    Side,
    reach_windows,
    stored_versions,
    unstorable_rows,
    winners,
    without_rows,
)

_SQL_TYPES: Final[dict[pl.DataType | type[pl.DataType], str]] = {
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.Int8: "TINYINT",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.String: "VARCHAR",
}

# Rows are appended without a key: readers pick the winner of several versions anyhow, so a row that stands
# twice costs them nothing and changes nothing. The anti-join keeps resent rows from swelling the file.
# Measured in 100 000-row batches, 2 cores, DuckDB 2.0: primary key with ON CONFLICT 0.54 M rows/s and 8 times
# the file (its index); this 3.7 M rows/s, with 10 M rows stored too, since row groups outside the batch's
# times are skipped; the same batch again 12 M rows/s. And two writers of one key have nothing to fight over.
_APPEND: Final = """
INSERT INTO reading SELECT * FROM batch ANTI JOIN (
    SELECT * FROM reading WHERE ts BETWEEN $low AND $high
) USING (point, ts, version, value, valid, input_type)
"""

_SCAN: Final = "SELECT * FROM reading SEMI JOIN asked USING (point) WHERE ts >= $start AND ts < $end"

_VERSIONS: Final = """
SELECT * FROM reading SEMI JOIN asked USING (point, ts) WHERE ts BETWEEN $low AND $high
"""

# A struct compares by its fields in turn, here WINNER_ORDER.
_EDGE: Final = """
WITH winner AS (
    SELECT point, ts, max(struct_pack(version, value, valid, input_type)) AS won
    FROM reading SEMI JOIN asked USING (point) WHERE ts >= $start AND ts < $end GROUP BY point, ts
), edge AS (
    SELECT point, {pick}(ts) AS ts, arg_{pick}(won, ts) AS won FROM winner WHERE won.valid GROUP BY point
)
SELECT point, ts, won.version, won.value, won.valid, won.input_type FROM edge
"""

_LOAD: Final = """
SELECT * FROM load WHERE enterprise = $enterprise AND start >= $start AND start < $end ORDER BY point, start
"""

_TABLES: Final = {
    LOAD.name: "load",
    ENTERPRISE_DAYS.name: "enterprise_day",
    PROGRESS.name: "progress",
    ALERT_COUNTS.name: "alert",
    INTENSITY.name: "intensity",
}


class DuckDatabase:
    """One DuckDB file with its two stores. Safe to use from several threads.

    Raises: StoreUnavailable if the file cannot be opened, for instance while another process has it.
    """

    def __init__(self, path: Path | str) -> None:
        with _translated():
            self._connection = duckdb.connect(str(path))
        self._lock = threading.Lock()  # guards the making of cursors and _is_closed
        self._is_closed = False
        with self.cursor() as cursor:
            cursor.execute(_table_of(READINGS, "reading", is_keyed=False))
            for contract in (LOAD, *FIGURES):
                cursor.execute(_table_of(contract, _TABLES[contract.name], is_keyed=True))
        self.readings = DuckReadingStore(self)
        self.results = DuckResultStore(self)

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for the calling thread alone; DuckDB's errors leave it as ours."""
        with _translated():
            with self._lock:
                if self._is_closed:
                    raise StoreUnavailable("the DuckDB file is closed")
                cursor = self._connection.cursor()
            try:
                yield cursor
            finally:
                cursor.close()

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._connection.close()


def open_duckdb(path: Path | str) -> DuckDatabase:
    """The database in the file at `path`, which is made if it does not exist. Raises: StoreUnavailable."""
    return DuckDatabase(path)


class DuckReadingStore:
    """A `ReadingStore` in a DuckDB file. Closing it closes the file."""

    def __init__(self, database: DuckDatabase) -> None:
        self._database = database

    def write(self, readings: pl.DataFrame) -> None:
        """See `ReadingStore.write`. Returns after DuckDB has synced its write-ahead log."""
        rows = conform(readings.lazy(), READINGS).collect()
        rejected = unstorable_rows(rows)
        self._append(without_rows(rows, rejected))
        if rejected:
            raise StoreRejected("version or time out of bounds", rows=rejected)

    def scan(self, points: Sequence[int], start: int, end: int) -> pl.LazyFrame:
        """See `ReadingStore.scan`."""
        return winners(self._read(_SCAN, _asked(points), start=start, end=end)).lazy()

    def versions(self, keys: pl.DataFrame) -> pl.DataFrame:
        """See `ReadingStore.versions`."""
        asked = keys.select("point", "ts")
        if asked.is_empty():
            return READINGS.empty()
        low, high = asked.select(pl.col("ts").min().alias("low"), pl.col("ts").max().alias("high")).row(0)
        return stored_versions(self._read(_VERSIONS, asked, low=low, high=high))

    def edges(self, points: Sequence[int], start: int, end: int) -> pl.DataFrame:
        """See `ReadingStore.edges`."""
        asked = _asked(points)
        sides = [self._edge("last", asked, start), self._edge("first", asked, end)]
        return pl.concat(sides).sort("point", "ts")

    def count(self) -> int:
        """See `ReadingStore.count`."""
        with self._database.cursor() as cursor:
            counted = cursor.sql("SELECT count(*) FROM (SELECT point, ts FROM reading GROUP BY point, ts)")
            return int(counted.fetchall()[0][0])

    def ping(self) -> None:
        """See `ReadingStore.ping`."""
        with self._database.cursor() as cursor:
            cursor.execute("SELECT 1")

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._database.close()

    def _append(self, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            return
        low, high = rows.select(pl.col("ts").min().alias("low"), pl.col("ts").max().alias("high")).row(0)
        with self._database.cursor() as cursor:
            cursor.register("batch", rows)
            cursor.execute(_APPEND, {"low": low, "high": high})

    def _read(self, query: str, asked: pl.DataFrame, **bounds: int) -> pl.DataFrame:
        with self._database.cursor() as cursor:
            cursor.register("asked", asked)
            found: pl.DataFrame = cursor.sql(query, params=bounds).pl()
            return found.select(list(READINGS.schema))

    def _edge(self, side: Side, asked: pl.DataFrame, border: int) -> pl.DataFrame:
        query = _EDGE.format(pick="max" if side == "last" else "min")
        found = [READINGS.empty()]
        for start, end in reach_windows(side, border):  # nearly always the first is enough, and reads little
            if asked.is_empty():
                break
            found.append(self._read(query, asked, start=start, end=end))
            asked = asked.join(found[-1], on="point", how="anti")
        return pl.concat(found)


class DuckResultStore:
    """A `ResultStore` in a DuckDB file. Closing it closes the file."""

    def __init__(self, database: DuckDatabase) -> None:
        self._database = database
        self._writing = threading.Lock()  # two transactions that replace one row would fail

    def write_load(self, load: pl.DataFrame) -> None:
        """See `ResultStore.write_load`."""
        self._replace([(LOAD, load)])

    def load(self, enterprise: str, start: int, end: int) -> pl.DataFrame:
        """See `ResultStore.load`."""
        bounds = {"enterprise": enterprise, "start": start, "end": end}
        with self._database.cursor() as cursor:
            found: pl.DataFrame = cursor.sql(_LOAD, params=bounds).pl()
            return found

    def write_figures(
        self, days: pl.DataFrame, progress: pl.DataFrame, alerts: pl.DataFrame, intensity: pl.DataFrame
    ) -> None:
        """See `ResultStore.write_figures`. All or nothing."""
        self._replace(list(zip(FIGURES, (days, progress, alerts, intensity), strict=True)))

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._database.close()

    def _replace(self, tables: Sequence[tuple[Contract, pl.DataFrame]]) -> None:
        with self._writing, self._database.cursor() as cursor:
            cursor.begin()
            for contract, rows in tables:
                new = conform(rows.lazy(), contract).unique(contract.key, keep="last").collect()
                cursor.register("batch", new)
                cursor.execute(f"INSERT OR REPLACE INTO {_TABLES[contract.name]} SELECT * FROM batch")
                cursor.unregister("batch")
            cursor.commit()


def _table_of(contract: Contract, table: str, *, is_keyed: bool) -> str:
    columns = [f'"{name}" {_SQL_TYPES[dtype]}' for name, dtype in contract.schema.items()]
    quoted_key = ", ".join(f'"{name}"' for name in contract.key)
    key = [f"PRIMARY KEY ({quoted_key})"] if is_keyed else []
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns + key)})"


def _asked(points: Sequence[int]) -> pl.DataFrame:
    return pl.DataFrame({"point": points}, schema={"point": pl.Int64}).unique()


@contextmanager
def _translated() -> Iterator[None]:
    """Every error of DuckDB as StoreUnavailable: rows that it could refuse never get as far as here."""
    try:
        yield
    except duckdb.Error as error:
        raise StoreUnavailable(f"DuckDB: {error}") from error
