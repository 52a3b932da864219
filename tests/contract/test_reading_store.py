"""What `nengshao.ports.ReadingStore` promises, on every implementation, the real InfluxDB included."""

from __future__ import annotations

import http.server
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

from nengshao.domain.errors import FrameContractError, StoreRejected, StoreUnavailable
from nengshao.domain.readings import VERSION_LEAD_S, VERSION_SPAN
from nengshao.frames import READINGS
from nengshao.ports import ReadingStore
from nengshao.stores.duckdb import open_duckdb
from nengshao.stores.influx import InfluxReadingStore

T = 1_735_660_800  # 2025-01-01 00:00 Asia/Shanghai
GREATEST, LEAST = 2**63 - 1, -(2**63)

Row = tuple[int, int, int, int, bool, int]
PointNamed = Callable[[str], int]


def readings(*rows: Row) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(READINGS.schema), orient="row")


def keys(*pairs: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame(list(pairs), schema={"point": pl.Int64, "ts": pl.Int64}, orient="row")


def scanned(
    store: ReadingStore, points: list[int], start: int = T - 10**6, end: int = T + 10**6
) -> list[Row]:
    return store.scan(points, start, end).collect().rows()


# ------------------------------------------------------------------------------------------ writing


def test_writing_the_same_rows_twice_equals_once(reading_store: ReadingStore, point: PointNamed) -> None:
    gas = point("gas")
    rows = readings((gas, T, T, 1, True, 4), (gas, T + 60, T, 2, True, 4), (gas, T, T + 5, 3, False, 4))
    reading_store.write(rows)
    once = (
        scanned(reading_store, [gas]),
        reading_store.versions(keys((gas, T))).rows(),
        reading_store.count(),
    )
    reading_store.write(rows)
    reading_store.write(rows.reverse())
    assert once == (
        scanned(reading_store, [gas]),
        reading_store.versions(keys((gas, T))).rows(),
        reading_store.count(),
    )
    assert once[0] == [(gas, T, T + 5, 3, False, 4), (gas, T + 60, T, 2, True, 4)]


def test_two_writers_of_different_versions_both_survive(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    gas, seconds = point("gas"), range(T, T + 200)
    start_together = threading.Barrier(2)

    def write_all(version: int) -> None:
        start_together.wait()
        for first in range(0, 200, 20):
            rows = [(gas, ts, T + version, version, True, 4) for ts in seconds[first : first + 20]]
            reading_store.write(readings(*rows))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_all, [300, 400]))
    held = reading_store.versions(keys(*[(gas, ts) for ts in seconds]))
    assert held.rows() == [(gas, ts, T + v, v, True, 4) for ts in seconds for v in (300, 400)]
    assert scanned(reading_store, [gas]) == [(gas, ts, T + 400, 400, True, 4) for ts in seconds]
    assert reading_store.count() == 200


def test_two_writers_of_the_same_rows_leave_one(reading_store: ReadingStore, point: PointNamed) -> None:
    gas = point("gas")
    rows = [(gas, T + i, T, i, True, 4) for i in range(100)]
    start_together = threading.Barrier(2)

    def write_all(_: int) -> None:
        start_together.wait()
        reading_store.write(readings(*rows))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_all, range(2)))
    assert reading_store.versions(keys(*[row[:2] for row in rows])).rows() == rows
    assert scanned(reading_store, [gas]) == rows
    assert reading_store.count() == 100


def test_readers_and_writers_in_many_threads_do_not_disturb_each_other(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    gas = point("gas")

    def work(n: int) -> int:
        reading_store.write(readings(*[(gas, T + n * 10 + i, T, n, True, 4) for i in range(10)]))
        return len([row for row in scanned(reading_store, [gas]) if row[3] == n])

    with ThreadPoolExecutor(6) as pool:
        seen_by_their_writers = list(pool.map(work, range(30)))
    assert seen_by_their_writers == [10] * 30
    assert reading_store.count() == 300


def test_an_empty_frame_is_written_without_a_trace(reading_store: ReadingStore, points: list[int]) -> None:
    reading_store.write(READINGS.empty())
    assert scanned(reading_store, points) == []
    assert reading_store.count() == 0


def test_more_rows_than_fit_one_request_come_back_whole(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    gas, n = point("gas"), 45_000
    i = pl.int_range(n, eager=True)
    many = pl.DataFrame(
        {
            "point": pl.repeat(gas, n, eager=True, dtype=pl.Int64),
            "ts": T + i * 7,
            "version": T + i * 7 + i % 900,
            "value": i * 1_000_003,
            "valid": i % 3 > 0,
            "input_type": (i % 5 + 1).cast(pl.Int8),
        }
    )
    reading_store.write(many.sample(fraction=1, shuffle=True, seed=1))
    assert reading_store.scan([gas], T, T + n * 7).collect().equals(many)
    assert reading_store.count() == n


def test_a_frame_that_is_not_readings_is_our_bug_and_says_so(reading_store: ReadingStore) -> None:
    with pytest.raises(FrameContractError, match="version: missing"):
        reading_store.write(READINGS.empty().drop("version"))


# ------------------------------------------------------------------------------------ versions, winners


@pytest.mark.parametrize(
    ("loser", "winner"),
    [
        pytest.param((T, 9, True, 5), (T + 1, 1, True, 1), id="version"),
        pytest.param((T, 9, True, 4), (T + 1, 9, False, 4), id="version, valid or not"),
        pytest.param((T, -2, True, 4), (T, -1, True, 4), id="value of one version"),
        pytest.param((T, 1, True, 4), (T, 2, False, 4), id="value before validity"),
        pytest.param((T, 1, False, 4), (T, 1, True, 4), id="validity"),
        pytest.param((T, 1, True, 4), (T, 1, True, 5), id="input type"),
    ],
)
@pytest.mark.parametrize("written", ["in turn", "at once", "at once, the greater first"])
def test_the_greater_in_winner_order_wins(
    reading_store: ReadingStore,
    point: PointNamed,
    loser: tuple[int, int, bool, int],
    winner: tuple[int, int, bool, int],
    written: str,
) -> None:
    gas = point("gas")
    rows = readings((gas, T, *loser), (gas, T, *winner))
    parts = [rows[:1], rows[1:]] if written == "in turn" else [rows]
    for part in parts:
        reading_store.write(part.reverse() if "first" in written else part)
    assert scanned(reading_store, [gas]) == [(gas, T, *winner)]
    # Of one version the greater value stands alone; another version stays beside it.
    both = [(gas, T, *loser), (gas, T, *winner)]
    assert reading_store.versions(keys((gas, T))).rows() == (both if loser[0] != winner[0] else both[1:])
    assert reading_store.count() == 1


def test_an_older_version_that_arrives_later_loses_and_is_kept(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    gas = point("gas")
    for version, value in [(T + 9, 1), (T + 3, 7), (T + 6, 5)]:
        reading_store.write(readings((gas, T, version, value, True, 4)))
    assert scanned(reading_store, [gas]) == [(gas, T, T + 9, 1, True, 4)]
    assert [row[2] for row in reading_store.versions(keys((gas, T))).rows()] == [T + 3, T + 6, T + 9]


def test_any_order_and_batching_gives_the_same_answer(reading_store: ReadingStore, points: list[int]) -> None:
    rng = random.Random(20250101)
    rows = random_readings(rng, points, 600)
    for _ in range(2):
        shuffled = rows.sample(fraction=1, shuffle=True, seed=rng.randrange(1000))
        for part in shuffled.iter_slices(rng.choice([70, 110, 250])):
            reading_store.write(part)
    assert scanned(reading_store, points) == winners_by_hand(rows)


def test_versions_gives_only_the_readings_asked_for(reading_store: ReadingStore, point: PointNamed) -> None:
    gas, power = point("gas"), point("power")
    year = 365 * 86_400
    rows = [
        (p, t, t + v, v, v > 1, 4)
        for p in sorted([gas, power])
        for t in (T, T + 60, T + year)
        for v in (1, 2)
    ]
    reading_store.write(readings(*rows))
    asked = keys((gas, T), (power, T + year), (power, T + 1), (gas, T), (point("never used"), T), (42, T))
    wanted = {(gas, T), (power, T + year)}
    assert reading_store.versions(asked).rows() == [row for row in rows if row[:2] in wanted]
    assert reading_store.versions(keys()).equals(READINGS.empty())


# ------------------------------------------------------------------------------------------ scanning


def test_a_scan_is_half_open_sorted_and_of_the_points_asked_only(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    asked = [point("gas"), point("a meter with a name"), point("power per day")]
    others = [point("gas, second meter"), point("power")]
    rows = [(p, t, t, t - T, True, 4) for t in (T + 10, T - 1, T + 9, T) for p in asked + others]
    reading_store.write(readings(*rows))
    inside = sorted(row for row in rows if row[0] in asked and T <= row[1] < T + 10)
    assert len(inside) == 6
    found = reading_store.scan(asked, T, T + 10)
    assert found.collect_schema() == READINGS.schema
    assert found.collect().rows() == inside


def test_a_scan_of_nothing_has_the_right_columns(reading_store: ReadingStore, point: PointNamed) -> None:
    reading_store.write(readings((point("gas"), T, T, 1, True, 4)))
    for asked, start, end in [
        ([], T, T + 1),
        ([point("power")], T, T + 1),
        ([point("gas")], T, T),
        ([9], T, T + 1),
    ]:
        assert reading_store.scan(asked, start, end).collect().equals(READINGS.empty())


def test_a_scan_of_all_time_finds_all(reading_store: ReadingStore, point: PointNamed) -> None:
    row = (point("gas"), T, T, 1, True, 4)
    reading_store.write(readings(row))
    assert scanned(reading_store, [row[0]], LEAST, GREATEST) == [row]


def test_names_with_spaces_commas_quotes_and_chinese_keep_their_readings(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    named, plain = point("a meter with a name"), point("gas")
    rows = [(named, T, T, 11, True, 4), (plain, T, T, 22, True, 4)]
    reading_store.write(readings(*rows))
    assert scanned(reading_store, [named]) == rows[:1]
    assert reading_store.edges([named], T + 1, T + 2).rows() == rows[:1]
    assert reading_store.versions(keys((named, T))).rows() == rows[:1]
    assert reading_store.count() == 2


def test_extreme_values_and_times_come_back_exactly(reading_store: ReadingStore, point: PointNamed) -> None:
    gas, far = point("gas"), 9_223_372_035
    earliest, latest = T - VERSION_LEAD_S, T - VERSION_LEAD_S + VERSION_SPAN - 1
    rows = [
        (gas, -far, -far, -1, True, 4),  # the year 1677
        (gas, -1, -1, LEAST + 1, True, 4),
        (gas, 0, 0, 0, True, 4),
        (gas, T, earliest, GREATEST, True, 1),
        (gas, T, latest, LEAST, False, 127),
        (
            gas,
            far,
            far - VERSION_LEAD_S + VERSION_SPAN - 1,
            2**53 + 1,
            True,
            0,
        ),  # 2262; no float holds this value
    ]
    reading_store.write(readings(*rows))
    assert reading_store.versions(keys(*[row[:2] for row in rows])).rows() == rows
    assert scanned(reading_store, [gas], -far, far + 1) == rows[:3] + rows[4:]
    assert scanned(reading_store, [gas], -1, 0) == rows[1:2]


def test_count_is_of_readings_not_of_versions(reading_store: ReadingStore, points: list[int]) -> None:
    rows = [(p, T + t, T + v, 1, True, 4) for p in points[:3] for t in range(4) for v in range(3)]
    reading_store.write(readings(*rows))
    assert reading_store.count() == 12


# ------------------------------------------------------------------------------------------ edges


def test_edges_are_the_neighbours_outside_the_window(reading_store: ReadingStore, point: PointNamed) -> None:
    gas = point("gas")
    rows = [(gas, T + s, T, s, True, 4) for s in (-20, -10, 0, 5, 10, 20)]
    reading_store.write(readings(*rows))
    assert reading_store.edges([gas], T, T + 10).rows() == [
        rows[1],
        rows[4],
    ]  # at `start` is inside, at `end` is not
    assert reading_store.edges([gas], T + 1, T + 1).rows() == [rows[2], rows[3]]


def test_edges_of_points_without_a_neighbour_are_left_out(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    gas, power = point("gas"), point("power")
    reading_store.write(readings((gas, T - 1, T, 1, True, 4), (power, T + 9, T, 2, True, 4)))
    assert sorted(reading_store.edges([gas, power, point("never used"), 42], T, T + 9).rows()) == sorted(
        [(gas, T - 1, T, 1, True, 4), (power, T + 9, T, 2, True, 4)]
    )
    assert reading_store.edges([gas], T - 1, T).is_empty()
    assert reading_store.edges([], T, T).equals(READINGS.empty())


def test_edges_pass_over_invalid_winners(reading_store: ReadingStore, point: PointNamed) -> None:
    gas = point("gas")
    before = [
        (gas, T - 30, T, 1, True, 4),
        (gas, T - 20, T, 2, True, 4),
        (gas, T - 20, T + 1, 3, False, 4),  # overrules the valid one of its second
        (gas, T - 10, T, 4, False, 5),
    ]
    after = [
        (gas, T + 10, T, 5, False, 4),
        (gas, T + 20, T, 6, True, 4),
        (gas, T + 20, T + 1, 7, False, 5),
        (gas, T + 30, T, 8, True, 4),
        (gas, T + 30, T + 1, 9, True, 5),
    ]
    reading_store.write(readings(*before, *after))
    assert reading_store.edges([gas], T, T + 1).rows() == [before[0], after[-1]]


def test_an_edge_is_found_however_far_away(reading_store: ReadingStore, point: PointNamed) -> None:
    gas, years = point("gas"), 86_400 * 365
    far = [(gas, T - 9 * years, T - 9 * years, 1, True, 4), (gas, T + 9 * years, T + 9 * years, 2, True, 4)]
    overruled = [(gas, T + s, T + s + v, 1, v == 0, 4) for s in (-100, 100) for v in (0, 1)]
    reading_store.write(readings(*far, *overruled))
    assert reading_store.edges([gas], T, T + 1).rows() == far


@pytest.mark.parametrize("seed", range(4))
def test_edges_of_arbitrary_readings_are_those_found_by_hand(
    reading_store: ReadingStore, points: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    rows = random_readings(rng, points, 300)
    reading_store.write(rows)
    valid = [row for row in winners_by_hand(rows) if row[4]]
    for _ in range(3):
        start, end = sorted(rng.randrange(T - 60, T + 60) for _ in range(2))
        before = {row[0]: row for row in valid if row[1] < start}  # the last one of a point stays
        after = {row[0]: row for row in reversed(valid) if row[1] >= end}
        assert reading_store.edges(points, start, end).rows() == sorted([*before.values(), *after.values()])


def random_readings(rng: random.Random, points: list[int], n: int) -> pl.DataFrame:
    """Readings without two of one version: several versions a second, half of them invalid."""
    drawn = {
        (rng.choice(points[:-1]), T + rng.randrange(-50, 50), T + rng.randrange(4)): (
            rng.randrange(-5, 5),
            rng.random() < 0.5,
            rng.choice([4, 5]),
        )
        for _ in range(n)
    }
    return readings(*[(*key, *rest) for key, rest in drawn.items()])


def winners_by_hand(rows: pl.DataFrame) -> list[Row]:
    best = {row[:2]: row for row in sorted(rows.rows())}
    return sorted(best.values())


# ------------------------------------------------------------------------------------------ errors


def test_rows_that_no_store_can_take_are_named_and_all_others_stored(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    gas = point("gas")
    rows = [
        (gas, T, T - VERSION_LEAD_S - 1, 1, True, 4),
        (gas, T, T - VERSION_LEAD_S, 2, True, 4),
        (gas, T + 1, T + 1 - VERSION_LEAD_S + VERSION_SPAN, 3, True, 4),
        (gas, T + 2, GREATEST, 4, True, 4),
        (gas, LEAST, GREATEST, 5, True, 4),
        (gas, 9_223_372_036, 9_223_372_036, 6, True, 4),
        (gas, T + 3, T, 7, True, 4),
    ]
    with pytest.raises(StoreRejected) as rejection:
        reading_store.write(readings(*rows))
    assert rejection.value.rows == (0, 2, 3, 4, 5)
    assert scanned(reading_store, [gas], LEAST, GREATEST) == [rows[1], rows[6]]


def test_a_row_with_a_missing_value_is_rejected_not_stored_as_zero(
    reading_store: ReadingStore, point: PointNamed
) -> None:
    gas = point("gas")
    rows = readings((gas, T, T, 1, True, 4), (gas, T + 1, T, 2, True, 4))
    with pytest.raises(StoreRejected) as rejection:
        reading_store.write(rows.with_columns(pl.when(pl.col("ts") == T).then("value").alias("value")))
    assert rejection.value.rows == (1,)
    assert scanned(reading_store, [gas]) == [(gas, T, T, 1, True, 4)]


def test_closing_twice_is_harmless(reading_store: ReadingStore) -> None:
    reading_store.close()
    reading_store.close()


# ------------------------------------------------------------------------------------------ DuckDB


def test_duckdb_keeps_everything_when_the_file_is_opened_again(tmp_path: Path, point: PointNamed) -> None:
    gas = point("gas")
    rows = readings((gas, T, T, 1, True, 4), (gas, T, T + 1, 2, True, 4))
    database = open_duckdb(tmp_path / "a.duckdb")
    database.readings.write(rows)
    database.close()
    again = open_duckdb(tmp_path / "a.duckdb")
    assert again.readings.versions(keys((gas, T))).equals(rows)
    again.close()


def test_duckdb_says_unavailable_for_a_closed_or_foreign_file(tmp_path: Path) -> None:
    database = open_duckdb(tmp_path / "a.duckdb")
    database.close()
    with pytest.raises(StoreUnavailable):
        database.readings.count()
    (tmp_path / "b.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailable):
        open_duckdb(tmp_path / "b.duckdb")


CHILD = """
import os, sys, polars as pl
from nengshao.stores.duckdb import open_duckdb
database = open_duckdb(sys.argv[1])
database.readings.write(pl.read_parquet(sys.argv[2]))
print("written", flush=True)
sys.stdin.read()
"""


def test_duckdb_belongs_to_one_process_and_survives_its_sudden_death(
    tmp_path: Path, point: PointNamed, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "a.duckdb"
    rows = readings(*[(point("gas"), T + i, T, i, True, 4) for i in range(100)])
    rows.write_parquet(tmp_path / "rows.parquet")
    command = [sys.executable, "-c", CHILD, str(path), str(tmp_path / "rows.parquet")]
    with subprocess.Popen(
        command, cwd=request.config.rootpath, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"written\n"
        with pytest.raises(StoreUnavailable):
            open_duckdb(path)
        owner.kill()
    database = open_duckdb(path)
    assert database.readings.scan([point("gas")], T, T + 100).collect().equals(rows)
    database.close()


def test_duckdb_does_not_grow_by_rows_sent_again(tmp_path: Path, point: PointNamed) -> None:
    rows = readings(*[(point("gas"), T + i, T, i, True, 4) for i in range(100)])
    database = open_duckdb(tmp_path / "a.duckdb")
    for _ in range(3):
        database.readings.write(rows)
    with database.cursor() as cursor:
        assert cursor.sql("SELECT count(*) FROM reading").fetchall() == [(100,)]
    database.close()


# ---------------------------------------------------------------------------------------- InfluxDB


def write_by_hand(request: pytest.FixtureRequest, line: str) -> None:
    server, bucket = request.getfixturevalue("influx"), request.getfixturevalue("influx_bucket")
    with InfluxDBClient(url=server.url, token=server.token, org=server.org) as client:
        client.write_api(write_options=SYNCHRONOUS).write(bucket, server.org, line)


def test_influx_names_the_rows_of_a_partial_write_and_stores_all_others(
    influx_readings: InfluxReadingStore, request: pytest.FixtureRequest, point: PointNamed
) -> None:
    # Somebody made v5 a float in the first week of 2025; our integers cannot join it there.
    write_by_hand(request, f"reading,enterprise=somebody,point=else v5=1.5 {T}000000000")
    gas, week = point("gas"), 7 * 86_400
    rows = [
        (gas, T + i + (2 * week if i % 10 == 5 else 0), T + 3 * week, i, i % 4 > 0, 5 if i % 3 == 0 else 4)
        for i in range(25_000)
    ]
    lost = [i for i, row in enumerate(rows) if row[4] and row[5] == 5 and row[1] < T + week]
    with pytest.raises(StoreRejected) as rejection:
        influx_readings.write(readings(*rows))
    assert rejection.value.rows == tuple(lost)
    stored = sorted(row for i, row in enumerate(rows) if i not in set(lost))
    # Week by week, since InfluxDB itself hides a field in one of two shards that hold it as different types.
    in_weeks = [scanned(influx_readings, [gas], T + n * week, T + (n + 1) * week) for n in range(4)]
    assert [row for rows_of_week in in_weeks for row in rows_of_week] == stored


def test_influx_rejects_readings_of_points_it_has_no_name_for(
    influx_readings: InfluxReadingStore, point: PointNamed
) -> None:
    gas = point("gas")
    with pytest.raises(StoreRejected) as rejection:
        influx_readings.write(readings((42, T, T, 1, True, 4), (gas, T, T, 2, True, 4)))
    assert rejection.value.rows == (0,)
    assert scanned(influx_readings, [42, gas]) == [(gas, T, T, 2, True, 4)]


def test_influx_makes_its_bucket_once(
    influx: object, request: pytest.FixtureRequest, identities: pl.DataFrame
) -> None:
    server, name = request.getfixturevalue("influx"), request.getfixturevalue("influx_bucket") + "-made"
    store = InfluxReadingStore(server.url, server.token, server.org, name, identities=lambda: identities)
    with pytest.raises(StoreUnavailable, match="存储桶"):
        store.write(readings((identities["point"][0], T, T, 1, True, 4)))
    with ThreadPoolExecutor(6) as processes:  # that start together
        list(processes.map(lambda _: store.ensure_bucket(), range(6)))
    store.ensure_bucket()
    store.write(readings((identities["point"][0], T, T, 1, True, 4)))
    assert store.count() == 1
    store.close()


def test_influx_with_a_wrong_token_is_unavailable_so_that_nothing_is_lost(
    request: pytest.FixtureRequest, identities: pl.DataFrame
) -> None:
    server, bucket = request.getfixturevalue("influx"), request.getfixturevalue("influx_bucket")
    store = InfluxReadingStore(server.url, "wrong", server.org, bucket, identities=lambda: identities)
    with pytest.raises(StoreUnavailable, match="令牌"):
        store.write(readings((identities["point"][0], T, T, 1, True, 4)))
    with pytest.raises(StoreUnavailable, match="令牌"):
        store.count()
    store.close()


def test_influx_that_is_down_is_unavailable(identities: pl.DataFrame) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        store = InfluxReadingStore(url, "t", "o", "b", identities=lambda: identities)
        with pytest.raises(StoreUnavailable, match="无法连接"):
            store.write(readings((identities["point"][0], T, T, 1, True, 4)))
        with pytest.raises(StoreUnavailable, match="无法连接"):
            store.scan([identities["point"][0]], T, T + 1)
        store.close()


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def server_that_answers(answer: Callable[[bytes], Answer]) -> Iterator[str]:
    """The URL of a server that is not InfluxDB: for answers that the real one gives only in distress."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, headers, body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_influx_says_when_to_come_back(status: int, identities: pl.DataFrame) -> None:
    with server_that_answers(lambda _: (status, {"Retry-After": "7"}, b"{}")) as url:
        store = InfluxReadingStore(url, "t", "o", "b", identities=lambda: identities)
        with pytest.raises(StoreUnavailable) as busy:
            store.write(readings((identities["point"][0], T, T, 1, True, 4)))
        assert busy.value.retry_after == 7
        store.close()


def test_a_body_too_large_for_a_proxy_is_sent_in_parts(identities: pl.DataFrame) -> None:
    received: list[bytes] = []

    def proxy(body: bytes) -> Answer:
        if len(body) > 1000:
            return 413, {}, b""
        received.extend(body.splitlines())
        return 204, {}, b""

    with server_that_answers(proxy) as url:
        store = InfluxReadingStore(url, "t", "o", "b", identities=lambda: identities)
        store.write(readings(*[(identities["point"][0], T + i, T, i, True, 4) for i in range(100)]))
        store.close()
    assert [line.split()[1] for line in received] == [f"v4={i}i".encode() for i in range(100)]


def test_a_request_refused_as_such_does_not_condemn_its_rows(identities: pl.DataFrame) -> None:
    with server_that_answers(lambda _: (400, {}, b'{"message": "invalid precision"}')) as url:
        store = InfluxReadingStore(url, "t", "o", "b", identities=lambda: identities)
        with pytest.raises(StoreUnavailable, match="invalid precision"):
            store.write(readings((identities["point"][0], T, T, 1, True, 4)))
        store.close()


COLUMNS = b",result,table,_time,_value,_field,enterprise,point\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({}, COLUMNS + b"\r\n,error,reference\r\n,out of memory,\r\n", id="error"),
        pytest.param({"Content-Length": "999"}, COLUMNS, id="cut"),
        pytest.param(
            {"Transfer-Encoding": "chunked"}, b"%x\r\n%b\r\n" % (len(COLUMNS), COLUMNS), id="chunks cut"
        ),
    ],
)
def test_half_an_answer_of_influx_is_not_taken_for_the_whole(
    headers: dict[str, str], body: bytes, identities: pl.DataFrame
) -> None:
    with server_that_answers(lambda _: (200, headers, body)) as url:
        store = InfluxReadingStore(url, "t", "o", "b", identities=lambda: identities, timeout_s=5)
        with pytest.raises(StoreUnavailable):
            store.scan([identities["point"][0]], T, T + 1)
        store.close()
