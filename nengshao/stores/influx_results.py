"""Results in InfluxDB 2.x, in natural units, for Grafana and whoever else looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl

from nengshao.domain.errors import StoreRejected
from nengshao.domain.factors import Basis
from nengshao.domain.time import day_start
from nengshao.domain.units import MILLI
from nengshao.frames import ENTERPRISE_DAYS, INTENSITY, LOAD, PROGRESS, conform
from nengshao.stores.figures import ALERT_COUNTS
from nengshao.stores.influx_server import BODY_LINES, InfluxServer
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
_CONDITIONS: Final = 200  # most values that a query names; of more, all are read and sifted here

_LOAD_FIELDS: Final = {
    "amount": pl.col("amount") / MILLI,  # canonical units within the hour: of electricity kWh, so mean kW
    "covered": pl.col("covered_s") / _HOUR_S,  # share of the hour that has a figure
    "amount_milli": pl.col("amount"),  # the exact integers, which `load` gives back
    "covered_s": pl.col("covered_s"),
}

_LOAD_COLUMNS: Final = {"_time": pl.String, "_value": pl.Int64, "_field": pl.String, "point": pl.String}

_PROGRESS_TAGS: Final = ["enterprise", "basis", "scope", "level"]
_INTENSITY_TAGS: Final = ["enterprise", "denominator", "basis", "scope", "period"]

_WEIGHT: Final = pl.sum_horizontal("measured_w", "estimated_w", "missing_w", "pending_w")

_DAY_FIELDS: Final = {
    "tce_calorific": pl.col("calorific_g") / _GRAMS_PER_TONNE,
    "tce_equivalent": pl.col("equivalent_g") / _GRAMS_PER_TONNE,
    "tco2": pl.col("carbon_g") / _GRAMS_PER_TONNE,
    **{name: pl.col(f"{name}_w") / _WEIGHT for name in ("measured", "estimated", "missing", "pending")},
}


def _progress_fields(tonnes: str) -> dict[str, pl.Expr]:
    """`tonnes`: what a basis counts in, tce or tco2; the name says the unit."""
    return {
        f"{tonnes}_used": pl.col("used_g") / _GRAMS_PER_TONNE,
        f"quota_{tonnes}": pl.col("quota_g") / _GRAMS_PER_TONNE,
        f"{tonnes}_due": pl.col("due_g") / _GRAMS_PER_TONNE,
        f"{tonnes}_projected": pl.col("projected_g") / _GRAMS_PER_TONNE,
        f"{tonnes}_projected_low": pl.col("projected_low_g") / _GRAMS_PER_TONNE,
        f"{tonnes}_projected_high": pl.col("projected_high_g") / _GRAMS_PER_TONNE,
        "pace": pl.col("pace"),
        "coverage": pl.col("coverage"),
    }


_INTENSITY_FIELDS: Final = {
    "intensity": pl.col("intensity"),  # kg per unit of the denominator
    "low": pl.col("intensity_low"),
    "high": pl.col("intensity_high"),
    "target": pl.col("target"),
}

_ALERT_FIELDS: Final = {"firing": pl.col("firing"), "insufficient": pl.col("insufficient")}


class InfluxResultStore:
    """A `ResultStore` in a bucket of its own. Safe to use from several threads.

    | measurement | tags | fields | time |
    |---|---|---|---|
    | load | enterprise, point | amount, covered (share), amount_milli, covered_s | start of the hour |
    | enterprise_day | enterprise | tce_calorific, tce_equivalent, tco2, measured … pending | day's start |
    | progress | enterprise, basis, scope, level | tce_used, quota_tce, tce_due, tce_projected (and …_low,
    …_high), pace, coverage; on basis carbon tco2_used, quota_tco2, … | as_of_day's start |
    | intensity | enterprise, denominator, basis, scope, period | intensity, low, high, target | its start |
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

    def write_figures(
        self, days: pl.DataFrame, progress: pl.DataFrame, alerts: pl.DataFrame, intensity: pl.DataFrame
    ) -> None:
        """See `ResultStore.write_figures`. Progress is a series: of each day that it stood at."""
        by_day = conform(days.lazy(), ENTERPRISE_DAYS).collect()
        at = day_start(pl.col("day").cast(pl.Int64))
        self._renew("enterprise_day", ["enterprise"], _DAY_FIELDS, by_day, at)
        self._write_progress(conform(progress.lazy(), PROGRESS).collect())
        counts = conform(alerts.lazy(), ALERT_COUNTS).collect()
        self._renew("alert", ["enterprise"], _ALERT_FIELDS, counts, pl.col("at"))
        by_period = conform(intensity.lazy(), INTENSITY).collect()
        self._renew("intensity", _INTENSITY_TAGS, _INTENSITY_FIELDS, by_period, _period_start())

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._server.close()

    def _tags(self) -> pl.DataFrame:
        return tagged(self._identities()).unique("id")

    def _write_progress(self, progress: pl.DataFrame) -> None:
        """Progress of a day, in place of what was written of it and of later days of the year.

        When a day that was complete has become pending again, as_of_day has gone back; the later point would
        still look like the latest. Without any complete day yet there is no point at all.
        """
        at = day_start(pl.col("as_of_day").cast(pl.Int64))
        before_all = _year_start(pl.col("year")) - 1
        year_ends = progress.select(
            pl.coalesce(at, before_all).alias("ts"),
            _year_start(pl.col("year") + 1).alias("end"),
            *_PROGRESS_TAGS,
        )
        for row in self._overtaken(year_ends).iter_rows(named=True):
            self._server.delete("progress", _of(row, _PROGRESS_TAGS), row["ts"] + 1, row["end"] - 1)
        standing = progress.filter(pl.col("as_of_day").is_not_null())
        of_carbon = pl.col("basis") == Basis.CARBON
        for tonnes, rows in (("tce", standing.filter(~of_carbon)), ("tco2", standing.filter(of_carbon))):
            self._renew("progress", _PROGRESS_TAGS, _progress_fields(tonnes), rows, at)

    def _overtaken(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of the rows (ts, end, tags) that have a later point before `end`."""
        if rows.is_empty():
            return rows
        first, last = rows.select(pl.col("ts").min().alias("first"), pl.col("end").max().alias("last")).row(0)
        quotas = '(r._field == "quota_tce" or r._field == "quota_tco2")'
        where = f"{measurement_is('progress')} and {quotas}"
        query = rows_query(self._server.bucket, first + 1, last, where) + " |> last()"
        found = self._found(query, _PROGRESS_TAGS).rename({"ts": "later"})
        later = rows.join(found, on=_PROGRESS_TAGS)
        return later.filter(pl.col("later").is_between("ts", "end", closed="none"))

    def _renew(
        self,
        measurement: str,
        tags: list[str],
        fields: Mapping[str, pl.Expr],
        rows: pl.DataFrame,
        at: pl.Expr,
    ) -> None:
        """Write the rows as lines. Where a line lacks a field that its predecessor had, the predecessor is
        deleted first."""
        lines = figure_lines(rows, measurement, tags, fields, at)
        for row in self._outdated(measurement, tags, list(fields), lines).iter_rows(named=True):
            self._server.delete(measurement, _of(row, tags), row["ts"], row["ts"])
        self._write(measurement, lines)

    def _outdated(
        self, measurement: str, tags: list[str], fields: list[str], lines: pl.DataFrame
    ) -> pl.DataFrame:
        """`tags` and ts of those of the lines in whose place a field stands that they lack.

        One question instead of a deletion for each (3 ms, measured): figures that are not known yet are many
        (no factor, no target), figures that are known no longer are few.
        """
        given = pl.format(",{}", pl.col("fields").fill_null(""))
        lacking = (
            lines.filter(~pl.col("is_whole"))
            .select(*tags, "ts", _field=pl.lit(fields), given=given)
            .explode("_field", empty_as_null=False)
            .filter(~pl.col("given").str.contains(pl.format(",{}=", "_field"), literal=True))
        )
        if lacking.is_empty():
            return lacking
        first, last = lacking.select(first=pl.col("ts").min(), last=pl.col("ts").max()).row(0)
        where = [measurement_is(measurement), _one_of("_field", lacking), _one_of("enterprise", lacking)]
        query = rows_query(self._server.bucket, first, last + 1, " and ".join(where))
        there = self._found(query, [*tags, "_field"])
        return lacking.join(there, on=[*tags, "_field", "ts"], how="semi").unique([*tags, "ts"])

    def _found(self, query: str, columns: Sequence[str]) -> pl.DataFrame:
        """`columns` and ts of the rows of a query."""
        schema = dict.fromkeys(["_time", *columns], pl.String)
        found = self._server.read(query + keep(list(schema)), schema)
        return found.select(*columns, ts_of(nanoseconds()).alias("ts"))

    def _replace(self, measurement: str, tags: list[str], lines: pl.DataFrame) -> None:
        """Write the lines, after the predecessors of those that lack a field."""
        for row in lines.filter(~pl.col("is_whole")).iter_rows(named=True):
            self._server.delete(measurement, _of(row, tags), row["ts"], row["ts"])
        self._write(measurement, lines)

    def _write(self, measurement: str, lines: pl.DataFrame) -> None:
        rejected = lines.filter(pl.col("prefix").is_null())["row"].to_list()
        rejected += self._server.write(lines.filter(pl.col("line").is_not_null()).iter_slices(BODY_LINES))
        if rejected:
            raise StoreRejected(f"InfluxDB does not take these rows of {measurement}", rows=sorted(rejected))


def _of(row: dict[str, str], tags: list[str]) -> dict[str, str]:
    return {name: row[name] for name in tags if row[name]}


def _one_of(column: str, rows: pl.DataFrame) -> str:
    """Flux condition: the column has a value that one of the rows has; no condition if these are many."""
    values = rows[column].unique().sort()
    if len(values) > _CONDITIONS:
        return "true"
    return f"({' or '.join(f'r.{column} == {flux_text(value)}' for value in values)})"


def _year_start(year: pl.Expr) -> pl.Expr:
    """Instant at which an accounting year begins."""
    return day_start(pl.date(year, 1, 1).to_physical().cast(pl.Int64))


def _period_start() -> pl.Expr:
    """Instant at which an accounting year ("2025") or month ("2025-03") begins."""
    date = (pl.col("period") + "-01-01").str.slice(0, 10).str.to_date("%Y-%m-%d")
    return day_start(date.to_physical().cast(pl.Int64))


def _load_of(found: pl.DataFrame, tags: pl.DataFrame) -> pl.DataFrame:
    """LOAD from an answer of _LOAD_COLUMNS, in which each row of LOAD is two: amount_milli and covered_s."""
    named = found.with_columns(ts_of(nanoseconds()).alias("start")).join(tags, on="point", how="inner")
    key = ["enterprise", "id", "start"]
    covered = named.filter(pl.col("_field") == "covered_s").select(*key, pl.col("_value").alias("covered_s"))
    amounts = named.filter(pl.col("_field") == "amount_milli").select(*key, pl.col("_value").alias("amount"))
    rows = covered.join(amounts, on=key, how="left").rename({"id": "point"})
    return rows.select(list(LOAD.schema)).sort("point", "start")
