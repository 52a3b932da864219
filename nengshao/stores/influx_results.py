"""Results in InfluxDB 2.x, in natural units, for Grafana and whoever else looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

from nengshao.domain.errors import StoreRejected
from nengshao.domain.time import day_start
from nengshao.domain.units import MILLI
from nengshao.frames import ENTERPRISE_DAYS, LOAD, PROGRESS, conform
from nengshao.stores.figures import ALERT_COUNTS
from nengshao.stores.influx_server import InfluxServer
from nengshao.stores.influx_text import (
    figure_lines,
    flux_text,
    keep,
    measurement_is,
    nanoseconds,
    rows_query,
    tagged,
)
from nengshao.stores.versions import TS_LIMIT, ts_of

_HOUR_S: Final = 3600
_GRAMS_PER_TONNE: Final = 1_000_000

_LOAD_FIELDS: Final = {
    "amount": pl.col("amount") / MILLI,  # canonical units within the hour: of electricity kWh, so mean kW
    "covered": pl.col("covered_s") / _HOUR_S,  # share of the hour that has a figure
    "amount_milli": pl.col("amount"),  # the exact integers, which `load` gives back
    "covered_s": pl.col("covered_s"),
}

_LOAD_COLUMNS: Final = {"_time": pl.String, "_value": pl.Int64, "_field": pl.String, "point": pl.String}

_PROGRESS_COLUMNS: Final = {
    "_time": pl.String,
    "enterprise": pl.String,
    "basis": pl.String,
    "scope": pl.String,
}

_WEIGHT: Final = pl.sum_horizontal("measured_w", "estimated_w", "missing_w", "pending_w")

_DAY_FIELDS: Final = {
    "tce_calorific": pl.col("calorific_g") / _GRAMS_PER_TONNE,
    "tce_equivalent": pl.col("equivalent_g") / _GRAMS_PER_TONNE,
    **{name: pl.col(f"{name}_w") / _WEIGHT for name in ("measured", "estimated", "missing", "pending")},
}

_PROGRESS_FIELDS: Final = {
    "tce_used": pl.col("used_g") / _GRAMS_PER_TONNE,
    "quota_tce": pl.col("quota_g") / _GRAMS_PER_TONNE,
    "tce_due": pl.col("due_g") / _GRAMS_PER_TONNE,
    "pace": pl.col("pace"),
    "coverage": pl.col("coverage"),
}

_ALERT_FIELDS: Final = {"firing": pl.col("firing"), "insufficient": pl.col("insufficient")}


class InfluxResultStore:
    """A `ResultStore` in a bucket of its own. Safe to use from several threads.

    | measurement | tags | fields | time |
    |---|---|---|---|
    | load | enterprise, point | amount, covered (share), amount_milli, covered_s | start of the hour |
    | enterprise_day | enterprise | tce_calorific, tce_equivalent, measured … pending (shares) | day's start |
    | progress | enterprise, basis, scope | tce_used, quota_tce, tce_due, pace, coverage | as_of_day's start |
    | alert | enterprise | firing, insufficient | the instant |

    A figure that is not known is absent, never zero. `identities` as for `InfluxReadingStore`.
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

    def ensure_bucket(self) -> None:
        """Make the bucket, without a retention limit, if it does not exist. Raises: StoreUnavailable."""
        self._server.ensure_bucket()

    def write_load(self, load: pl.DataFrame) -> None:
        """See `ResultStore.write_load`."""
        rows = conform(load.lazy(), LOAD).collect().rename({"point": "id"})
        names = self._tags().select("id", "point")
        by_tag = rows.join(names, on="id", how="left", maintain_order="left")
        tags = ["enterprise", "point"]
        self._replace("load", tags, figure_lines(by_tag, "load", tags, _LOAD_FIELDS, pl.col("start")))

    def load(self, enterprise: str, start: int, end: int) -> pl.DataFrame:
        """See `ResultStore.load`."""
        start, end = max(start, -TS_LIMIT), min(end, TS_LIMIT + 1)
        if start >= end:
            return LOAD.empty()
        exact = '(r._field == "amount_milli" or r._field == "covered_s")'
        where = f"{measurement_is('load')} and r.enterprise == {flux_text(enterprise)} and {exact}"
        query = rows_query(self._server.bucket, start, end, where) + keep(list(_LOAD_COLUMNS))
        found = self._server.read(query, _LOAD_COLUMNS)
        return _load_of(found, self._tags().filter(pl.col("enterprise") == enterprise))

    def write_figures(self, days: pl.DataFrame, progress: pl.DataFrame, alerts: pl.DataFrame) -> None:
        """See `ResultStore.write_figures`. Progress is a series: of each day that it stood at."""
        self._write_days(conform(days.lazy(), ENTERPRISE_DAYS).collect())
        self._write_progress(conform(progress.lazy(), PROGRESS).collect())
        counts = conform(alerts.lazy(), ALERT_COUNTS).collect()
        tags = ["enterprise"]
        self._replace("alert", tags, figure_lines(counts, "alert", tags, _ALERT_FIELDS, pl.col("at")))

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._server.close()

    def _tags(self) -> pl.DataFrame:
        return tagged(self._identities()).unique("id")

    def _write_days(self, days: pl.DataFrame) -> None:
        at = day_start(pl.col("day").cast(pl.Int64))
        tags = ["enterprise"]
        self._replace("enterprise_day", tags, figure_lines(days, "enterprise_day", tags, _DAY_FIELDS, at))

    def _write_progress(self, progress: pl.DataFrame) -> None:
        """Progress of a day, in place of what was written of it and of later days of the year.

        When a day that was complete has become pending again, as_of_day has gone back; the later point would
        still look like the latest. Without any complete day yet there is no point at all.
        """
        at = day_start(pl.col("as_of_day").cast(pl.Int64))
        tags = ["enterprise", "basis", "scope"]
        standing = progress.filter(pl.col("as_of_day").is_not_null())
        lines = figure_lines(standing, "progress", tags, _PROGRESS_FIELDS, at)
        before_all = _year_start(pl.col("year")) - 1
        year_ends = progress.select(
            pl.coalesce(at, before_all).alias("ts"), _year_start(pl.col("year") + 1).alias("end"), *tags
        )
        for row in self._overtaken(year_ends).iter_rows(named=True):
            self._server.delete("progress", _of(row, tags), row["ts"] + 1, row["end"] - 1)
        self._replace("progress", tags, lines)

    def _overtaken(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of the rows (ts, end, tags) that have a later point before `end`."""
        if rows.is_empty():
            return rows
        first, last = rows.select(pl.col("ts").min().alias("first"), pl.col("end").max().alias("last")).row(0)
        where = f'{measurement_is("progress")} and r._field == "quota_tce"'
        query = (
            rows_query(self._server.bucket, first + 1, last, where)
            + " |> last()"
            + keep(list(_PROGRESS_COLUMNS))
        )
        found = self._server.read(query, _PROGRESS_COLUMNS).with_columns(ts_of(nanoseconds()).alias("later"))
        tags = ["enterprise", "basis", "scope"]
        later = rows.join(found, on=tags, how="inner", nulls_equal=True)
        return later.filter(pl.col("later").is_between("ts", "end", closed="none"))

    def _replace(self, measurement: str, tags: list[str], lines: pl.DataFrame) -> None:
        """Write the lines. A line that lacks a field would leave the field of its predecessor standing: where
        one does, the predecessor is deleted first."""
        for row in lines.filter(~pl.col("is_whole")).iter_rows(named=True):
            self._server.delete(measurement, _of(row, tags), row["ts"], row["ts"])
        rejected = lines.filter(pl.col("prefix").is_null())["row"].to_list()
        rejected += self._server.write(lines.filter(pl.col("line").is_not_null()))
        if rejected:
            raise StoreRejected(f"InfluxDB does not take these rows of {measurement}", rows=sorted(rejected))


def _of(row: dict[str, str], tags: list[str]) -> dict[str, str]:
    return {name: row[name] for name in tags if row[name]}


def _year_start(year: pl.Expr) -> pl.Expr:
    """Instant at which an accounting year begins."""
    return day_start(pl.date(year, 1, 1).to_physical().cast(pl.Int64))


def _load_of(found: pl.DataFrame, tags: pl.DataFrame) -> pl.DataFrame:
    """LOAD from an answer of _LOAD_COLUMNS, in which each row of LOAD is two: amount_milli and covered_s."""
    named = found.with_columns(ts_of(nanoseconds()).alias("start")).join(tags, on="point", how="inner")
    key = ["enterprise", "id", "start"]
    covered = named.filter(pl.col("_field") == "covered_s").select(*key, pl.col("_value").alias("covered_s"))
    amounts = named.filter(pl.col("_field") == "amount_milli").select(*key, pl.col("_value").alias("amount"))
    rows = covered.join(amounts, on=key, how="left").rename({"id": "point"})
    return rows.select(list(LOAD.schema)).sort("point", "start")
