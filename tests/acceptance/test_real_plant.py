"""The real plant's year through the real pipeline: what its file says comes out, to the last digit."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import polars as pl
import pytest

from analytics.factor_library import load_factors
from nengshao.domain.factors import Basis
from nengshao.domain.time import accounting_day, date_of, instant_of
from nengshao.domain.units import Carrier
from nengshao.notify.recording import RecordingNotifier
from nengshao.stage import Stage
from simulators.replay import ENTERPRISE, START, RealPlant
from tests.support.house import booked

READINGS = 35_040  # 365 days of 96 quarters of an hour
SUM_WH = 959_636_710  # Σ Usage_kWh of the file, 959 636.71 kWh
FACTOR = Fraction("0.1229")  # kgce/kWh, GB/T 2589-2008 Annex A


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage after the plant's year has been played on it."""
    plant = RealPlant(per_message=96)
    start = instant_of(START)
    played = Stage(
        tmp_path_factory.mktemp("plant"), [plant], start=start, notifiers=[RecordingNotifier()],
        api={"port": 0},
    )  # fmt: skip
    with played:
        played.app.start(["ingest"])
        played.play(plant, start, plant.end + 3600)
        played.settle()
        yield played


def test_every_reading_of_the_year_is_stored_once(stage: Stage) -> None:
    assert booked(stage.app.stores.state) == {"stored": READINGS}
    assert stage.app.stores.readings.count() == READINGS
    assert stage.app.in_flight == stage.publisher.unreceipted == 0
    assert stage.publisher.receipts.stored == READINGS


def test_the_year_adds_up_to_what_the_file_says(stage: Stage) -> None:
    days = point_days(stage)
    assert days.height == 365
    assert days["amount"].sum() == SUM_WH
    assert {name: days[name].sum() for name in ("measured_s", "estimated_s", "missing_s", "pending_s")} == {
        "measured_s": 365 * 86_400,
        "estimated_s": 0,
        "missing_s": 0,
        "pending_s": 0,
    }


def test_the_year_is_117_939_tce_rounded_once_a_day(stage: Stage) -> None:
    state, days = stage.app.stores.state, point_days(stage)
    by_hand = [
        round(Fraction(amount) * FACTOR) for amount in days["amount"]
    ]  # Wh × 0.1229 g/Wh, half to even
    assert days["calorific_g"].to_list() == by_hand
    progress = state.progress([ENTERPRISE]).to_dicts()[0]
    assert progress["used_g"] == progress["low_g"] == progress["high_g"] == sum(by_hand)
    assert round(progress["used_g"] / 1e6, 3) == 117.939
    assert abs(Fraction(progress["used_g"]) - SUM_WH * FACTOR) <= Fraction(365, 2)
    assert progress["coverage"] == 1.0
    assert date_of(progress["as_of_day"]).isoformat() == "2018-12-31"


@pytest.mark.parametrize("basis", [Basis.EQUIVALENT, Basis.CARBON])
def test_without_a_factor_for_2018_it_says_so(stage: Stage, basis: Basis) -> None:
    days = stage.app.stores.state.enterprise_days([ENTERPRISE], *span(stage))
    assert days[f"{basis}_g"].null_count() == 365
    assert set(days["no_factor"]) == {"electricity:carbon,electricity:equivalent"}
    in_2018 = [
        row
        for row in load_factors().rows
        if (row.carrier, row.basis) == (Carrier.ELECTRICITY, basis) and row.valid_from.year <= 2018
    ]
    assert in_2018 == []


def test_the_books_are_kept_in_event_time(stage: Stage) -> None:
    # The clock stood at the end of the year while it was played: it rules, not the machine's.
    assert stage.app.stores.state.ledger().rows() == [
        (span(stage)[1], ENTERPRISE, "mqtt", "stored", "", READINGS),
    ]


def span(stage: Stage) -> tuple[int, int]:
    end = accounting_day(stage.clock.now())
    return end - 365, end


def point_days(stage: Stage) -> pl.DataFrame:
    return stage.app.stores.state.point_days([ENTERPRISE], *span(stage))
