"""How far devices' clocks are off, from what their messages show."""

from __future__ import annotations

import polars as pl

from ingest.clocks import STAMPS_SCHEMA, WINDOW_S, Clocks, latest_of_devices, with_future
from nengshao.telemetry import Telemetry

NOW = 1_000 * WINDOW_S
SLOT = NOW // WINDOW_S


def stamped(*told: tuple[str, int]) -> pl.DataFrame:
    """Messages of these devices, made this long after (before: below zero) they arrive."""
    rows = [("E", device, NOW + skew) for device, skew in told]
    return pl.DataFrame(rows, schema=STAMPS_SCHEMA, orient="row")


def counted(telemetry: Telemetry) -> dict[str, float]:
    [family] = telemetry.device_clocks.collect()
    return {sample.labels["state"]: sample.value for sample in family.samples}


def test_of_a_window_the_freshest_message_tells() -> None:
    clocks = Clocks(Telemetry(), 300)
    told = clocks.news(stamped(("late", -900), ("late", -30), ("ahead", 500), ("late", -60)), NOW)
    assert told.rows() == [("E", "ahead", SLOT, 500), ("E", "late", SLOT, -30)]


def test_what_is_no_fresher_is_no_news_until_the_next_window() -> None:
    clocks = Clocks(Telemetry(), 300)
    clocks.news(stamped(("d", -3)), NOW)
    assert clocks.news(stamped(("d", -3)), NOW).is_empty()
    assert clocks.news(stamped(("d", -4000)), NOW).is_empty()
    assert clocks.news(stamped(("d", -2)), NOW).rows() == [("E", "d", SLOT, -2)]
    later = clocks.news(stamped(("d", -3)), NOW + WINDOW_S)
    assert later.rows() == [("E", "d", SLOT + 1, -3 - WINDOW_S)]
    assert clocks.news(stamped(), NOW).is_empty()


def test_the_metrics_count_devices_and_never_name_them() -> None:
    telemetry = Telemetry()
    clocks = Clocks(telemetry, 300)
    clocks.news(stamped(("a", 301), ("b", 300), ("c", -300), ("d", -301), ("e", -9999)), NOW)
    assert counted(telemetry) == {"ahead": 1, "behind": 2, "right": 2}
    clocks.news(stamped(("d", 0)), NOW)
    assert counted(telemetry) == {"ahead": 1, "behind": 1, "right": 3}
    other = Clocks(telemetry, 300)  # of another partition in the same process
    other.news(stamped(("x", 0)), NOW)
    clocks.forget()
    assert counted(telemetry) == {"ahead": 0, "behind": 0, "right": 1}


def test_a_reading_refused_as_of_the_future_tells_of_its_clock_and_no_other_refusal_does() -> None:
    schema = {"message": pl.Int32, "index": pl.Int32, "enterprise": pl.String, "device": pl.String,
              "version": pl.Int64}  # fmt: skip
    raw = pl.DataFrame(
        [(0, 0, "E", "ok", 1), (1, 0, "E", "fast", 99), (1, 1, "E", "fast", None), (2, 0, "X", "liar", 98)],
        schema=schema, orient="row",
    )  # fmt: skip
    rejected = pl.DataFrame(
        [(1, 0, "future"), (1, 1, "future"), (2, 0, "unknown_enterprise"), (3, None, "not_json")],
        schema={"message": pl.Int32, "index": pl.Int32, "reason": pl.String}, orient="row",
    )  # fmt: skip
    heard = latest_of_devices(raw.head(1))
    found = with_future(heard, raw, rejected)
    assert found.rows() == [("E", "ok", 1), ("E", "fast", 99)]
    assert with_future(heard, raw, rejected.clear()).rows() == [("E", "ok", 1)]


def test_of_a_device_s_messages_the_one_made_last_counts() -> None:
    rows = [(0, "E", "a", 5), (0, "E", "a", 7), (1, "E", "b", 9), (2, "E", "a", 6), (3, "F", "a", 1)]
    accepted = pl.DataFrame(rows, schema=["message", *STAMPS_SCHEMA], orient="row")
    assert latest_of_devices(accepted).rows() == [("E", "a", 7), ("E", "b", 9), ("F", "a", 1)]
