"""Readings in InfluxDB 2.x: the store at scale. Columns in, columns out; no row objects anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import polars as pl

from nengshao.domain.errors import StoreRejected
from nengshao.domain.time import DAY_S
from nengshao.frames import READINGS, conform
from nengshao.stores.influx_results import InfluxResultStore
from nengshao.stores.influx_server import BODY_LINES, InfluxServer
from nengshao.stores.influx_text import (
    READING,
    READING_COLUMNS,
    in_writing_order,
    keep,
    measurement_is,
    nanoseconds,
    point_conditions,
    reading_lines,
    reading_prefixes,
    readings_of,
    rows_query,
)
from nengshao.stores.versions import (
    TS_LIMIT,
    Side,
    edges_of,
    reach_windows,
    stored_versions,
    ts_of,
    unstorable_rows,
    winners,
)

__all__ = ["InfluxReadingStore", "InfluxResultStore"]

_COUNT_ROWS: Final = 2_000_000
"""Most rows that `count` fetches at once."""

_ALL: Final = keep(list(READING_COLUMNS))


class InfluxReadingStore:
    """A `ReadingStore` in a bucket of its own. Safe to use from several threads.

    Nobody else may write there: where another has made one of our fields a float, InfluxDB 2.7 refuses our
    integers in that shard, and a query across it and another shard silently shows only one of them.

    `identities` gives point (Int64), enterprise and tag (String, PointKey.tag) of every point there is. A
    reading of a point that is not among them is rejected; a scan finds nothing of it.
    """

    def __init__(
        self,
        url: str,
        token: str,
        org: str,
        bucket: str,
        *,
        identities: Callable[[], pl.DataFrame],
        timeout_s: float = 60.0,
    ) -> None:
        self._server = InfluxServer(url, token, org, bucket, timeout_s=timeout_s)
        self._identities = identities
        self._prefixed: tuple[pl.DataFrame, pl.DataFrame] | None = None

    def ensure_bucket(self) -> None:
        """Make the bucket, without a retention limit, if it does not exist. Raises: StoreUnavailable."""
        self._server.ensure_bucket()

    def write(self, readings: pl.DataFrame) -> None:
        """See `ReadingStore.write`. The server answers after its write-ahead log is on the disk."""
        rows = conform(readings.lazy(), READINGS).collect()
        prefixes, rejected = self._prefixes(), set(unstorable_rows(rows))

        def bodies() -> Iterator[pl.DataFrame]:
            for some in in_writing_order(rows).iter_slices(BODY_LINES):
                lines = reading_lines(some, prefixes)
                is_whole = lines["line"].is_not_null()
                rejected.update(lines.filter(~is_whole)["row"])
                yield lines.filter(is_whole, ~pl.col("row").is_in(list(rejected)))

        rejected.update(self._server.write(bodies()))
        if rejected:
            detail = "no identity, out of bounds, or of another type than stored"
            raise StoreRejected(f"InfluxDB: {detail}", rows=sorted(rejected))

    def scan(self, points: Sequence[int], start: int, end: int) -> pl.LazyFrame:
        """See `ReadingStore.scan`."""
        # Each series comes in the order of time: with points together there is hardly anything left to sort.
        rows = self._rows(self._asked(points), start, end).sort("point", maintain_order=True)
        return winners(rows).lazy()

    def versions(self, keys: pl.DataFrame) -> pl.DataFrame:
        """See `ReadingStore.versions`."""
        known = self._known().join(keys, on="point", how="semi")
        found = [READINGS.empty()]
        for wanted in _stretches(keys.select("point", "ts")):
            asked = known.join(wanted, on="point", how="semi")
            first, last = wanted["ts"].item(0), wanted["ts"].item(-1)  # a stretch is sorted
            found.append(self._rows(asked, first, last + 1).join(wanted, on=["point", "ts"], how="semi"))
        return stored_versions(pl.concat(found))

    def edges(self, points: Sequence[int], start: int, end: int) -> pl.DataFrame:
        """See `ReadingStore.edges`."""
        asked = self._asked(points)
        sides = [self._edge("last", asked, start), self._edge("first", asked, end)]
        return pl.concat(sides).sort("point", "ts")

    def count(self) -> int:
        """See `ReadingStore.count`. Reads everything that is stored, a stretch of time at a time."""
        return self._count(-TS_LIMIT, TS_LIMIT + 1)

    def ping(self) -> None:
        """See `ReadingStore.ping`."""
        self._server.ping()

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._server.close()

    def _prefixes(self) -> pl.DataFrame:
        """How lines begin; made once per registry, which may have a million points."""
        identities = self._identities()
        if self._prefixed is None or self._prefixed[0] is not identities:
            self._prefixed = identities, reading_prefixes(identities)
        return self._prefixed[1]

    def _known(self) -> pl.DataFrame:
        return self._identities().select("point", "enterprise", "tag").unique("point")

    def _asked(self, points: Sequence[int]) -> pl.DataFrame:
        wanted = pl.DataFrame({"point": points}, schema={"point": pl.Int64})
        return self._known().join(wanted, on="point", how="semi")

    def _rows(
        self, asked: pl.DataFrame, start: int, end: int, then: str = "", also: str = ""
    ) -> pl.DataFrame:
        """READINGS of every version, start <= ts < end. `also`: further condition; `then`: further Flux."""
        start, end = max(start, -TS_LIMIT), min(end, TS_LIMIT + 1)
        found = [READINGS.empty()]
        if start >= end:  # InfluxDB refuses to look into an empty range
            return found[0]
        for points in point_conditions(asked):
            where = f"{measurement_is(READING)} and ({points}){also}"
            query = rows_query(self._server.bucket, start, end, where) + then + _ALL
            found.append(self._server.read(query, READING_COLUMNS, lambda rows: readings_of(rows, asked)))
        return pl.concat(found)

    def _edge(self, side: Side, asked: pl.DataFrame, border: int) -> pl.DataFrame:
        """Ask the server for each point's last (first) valid row, then see whether it wins in its second.

        That answers for nearly all points. Where an invalid version overrules it, look at ever longer
        stretches of winners.
        """
        start, end = reach_windows(side, border)[-1]
        valid_rows = self._rows(asked, start, end, then=f" |> {side}()", also=" and r._field =~ /^v/")
        nearest = edges_of(valid_rows, side, border)
        found = edges_of(winners(self.versions(nearest)), side, border)
        overruled = asked.join(nearest, on="point", how="semi").join(found, on="point", how="anti")
        return pl.concat([found, self._edge_by_reach(side, overruled, border)])

    def _edge_by_reach(self, side: Side, asked: pl.DataFrame, border: int) -> pl.DataFrame:
        found = [READINGS.empty()]
        for start, end in reach_windows(side, border):
            if asked.is_empty():
                break
            found.append(edges_of(winners(self._rows(asked, start, end)), side, border))
            asked = asked.join(found[-1], on="point", how="anti")
        return pl.concat(found)

    def _count(self, start: int, end: int) -> int:
        query = rows_query(self._server.bucket, start, end, measurement_is(READING))
        rows = self._server.read(f"{query} |> count() |> group() |> sum()", {"_value": pl.Int64})[
            "_value"
        ].sum()
        if rows > _COUNT_ROWS and end - start > 1:
            middle = (start + end) // 2
            return self._count(start, middle) + self._count(middle, end)
        columns = {"_time": pl.String, "enterprise": pl.String, "point": pl.String}
        times = (
            self._server.read(query + keep(list(columns)), columns) if rows else pl.DataFrame(schema=columns)
        )
        return times.select("enterprise", "point", ts_of(nanoseconds())).n_unique()


def _stretches(keys: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The keys in groups between which more than a day lies, so that no query spans what nobody asked for."""
    is_new = (pl.col("ts").diff() > DAY_S).fill_null(False)
    grouped = keys.sort("ts").with_columns(is_new.cum_sum().alias("stretch"))
    for _, group in grouped.group_by("stretch", maintain_order=True):
        yield group.drop("stretch")
