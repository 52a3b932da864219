"""Reading InfluxDB through the port into a Polars frame, beside a download of the same answers.

Readings of `--points` registers are written, then read back in turns: the queries that the port asks are
downloaded by the same client and thrown away; and the port answers, parsed, named and sorted. `ratio`:
seconds of the download / seconds of ours, the median over the rounds; 1 is the speed of the server.
`ratio_of_fastest` compares the fastest round of each, which a busy machine disturbs least; `plain_s` is the
download of the same readings by a query that sends every column.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any, Final

import polars as pl
from influxdb_client.client.influxdb_client import InfluxDBClient

from nengshao.frames import READINGS
from nengshao.stores.influx import InfluxReadingStore
from nengshao.stores.influx_server import PLAIN_CSV
from nengshao.stores.influx_text import (
    PIECE_BYTES,
    READING,
    READING_COLUMNS,
    keep,
    measurement_is,
    point_conditions,
    rows_query,
)
from tests.benches.queues import missing_servers, serving
from tests.servers.influx import Influx
from tests.support.plants import CADENCE_S, START, registry

BUCKET: Final = "bench-reads"
METERS: Final = 50


def identities_of(points: int) -> pl.DataFrame:
    """point, enterprise, tag of that many registers."""
    tag = pl.format("{}.{}.{}", "data_code", "stat_type", "meter").alias("tag")
    return registry(-(-points // METERS), METERS).points.select("point", "enterprise", tag).head(points)


def readings_of(points: pl.Series, slots: int) -> pl.DataFrame:
    """READINGS of `slots` quarters of an hour, in the order in which they come."""
    ts = pl.DataFrame({"ts": range(START, START + slots * CADENCE_S, CADENCE_S)}, schema={"ts": pl.Int64})
    return ts.join(points.to_frame("point"), how="cross").select(
        "point",
        "ts",
        version=pl.col("ts") + 60,
        value=(pl.col("ts") - START) * 1000 + pl.col("point").abs() % 1000,
        valid=pl.lit(value=True),
        input_type=pl.lit(4, pl.Int8),
    )


def downloaded(client: InfluxDBClient, queries: list[str]) -> int:
    """Bytes of the answers, none of which is kept."""
    answers = (client.query_api().query_raw(query, dialect=PLAIN_CSV) for query in queries)
    return sum(len(chunk) for answer in answers for chunk in answer.stream(PIECE_BYTES))


def measured(server: Influx, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each round, in turns."""
    identities = identities_of(args.points)
    rows = readings_of(identities["point"], args.readings // args.points)
    start, end = START, START + args.readings * CADENCE_S
    queries = [
        rows_query(BUCKET, start, end, f"{measurement_is(READING)} and ({points})")
        + keep(list(READING_COLUMNS))
        for points in point_conditions(identities)
    ]
    server.create_bucket(BUCKET)
    store = InfluxReadingStore(server.url, server.token, server.org, BUCKET, identities=lambda: identities)
    store.write(rows.select(list(READINGS.schema)))
    plain = [query.partition(" |> keep(")[0] for query in queries]
    size, raw, ours, all_columns = 0, [], [], []
    with InfluxDBClient(server.url, server.token, org=server.org, timeout=600_000) as client:
        for _ in range(args.rounds + 1):  # the first one warms up
            began = time.perf_counter()
            size = downloaded(client, queries)
            between = time.perf_counter()
            found = store.scan(identities["point"].to_list(), start, end).collect()
            ended = time.perf_counter()
            downloaded(client, plain)
            all_columns.append(time.perf_counter() - ended)
            raw.append(between - began)
            ours.append(ended - between)
            if found.height != rows.height:
                raise SystemExit(f"{rows.height} written, {found.height} read")
    store.close()
    server.delete_bucket(BUCKET)
    shown = _report(rows.height, size, raw[1:], ours[1:])
    return shown | {"queries": len(queries), "plain_s": [round(s, 3) for s in all_columns[1:]]}


def _report(rows: int, size: int, raw: list[float], ours: list[float]) -> dict[str, Any]:
    return {
        "readings": rows,
        "bytes": size,
        "raw_s": [round(s, 3) for s in raw],
        "ours_s": [round(s, 3) for s in ours],
        "raw_per_s": round(rows / statistics.median(raw)),
        "ours_per_s": round(rows / statistics.median(ours)),
        "ratio": round(statistics.median(r / o for r, o in zip(raw, ours, strict=True)), 3),
        "ratio_of_fastest": round(min(raw) / min(ours), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=1_000_000)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    report: dict[str, Any] = {"bench": "reads", "missing_servers": missing_servers(Influx), "ratio": None}
    if not report["missing_servers"]:
        with serving(Influx) as server:
            report |= measured(server, args)
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
