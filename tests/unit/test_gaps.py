"""What is missing before a reading, by hand: spans, cadences, dates of duty, and what makes no gap."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from ingest.gaps import REFUSED_SCHEMA, Expectations, GapLimits, Refusals
from ingest.outcomes import TAIL_SCHEMA
from nengshao.domain.codes import PointKey
from nengshao.domain.time import DAY_S
from nengshao.registry_tables import registry_of
from tests.support import plants
from tests.support.plants import CADENCE_S, DEVICE, ELECTRICITY, START

Q = CADENCE_S
A = plants.credit_code(1)
NOW = START + 30 * DAY_S
LIMITS = GapLimits(NOW, grace_s=60, reach_s=180 * DAY_S)
POINT = PointKey(A, ELECTRICITY, 0, "00").point


def expecting(points: list[dict[str, str]] | None = None, **changes: Any) -> Expectations:
    tables = plants.tables(1, 1)
    tables["points"] = points or [plants.point_row(1)]
    for name, rows in changes.items():
        tables[name] = rows
    return Expectations(registry_of(tables))


def rows(
    *quarters: float, point: int = POINT, outcome: str = "stored", cadence_s: int | None = Q
) -> pl.DataFrame:
    """Judged readings of a point at these quarters of an hour after the start."""
    read = [(point, START + int(q * Q), outcome, cadence_s) for q in quarters]
    schema = {"point": pl.Int64, "ts": pl.Int64, "outcome": pl.String, "cadence_s": pl.Int64}
    return pl.DataFrame(read, schema=schema, orient="row")


def mark(quarter: float | None, point: int = POINT) -> pl.DataFrame:
    known = [] if quarter is None else [(point, START + int(quarter * Q), True)]
    return pl.DataFrame(known, schema=TAIL_SCHEMA, orient="row")


def found(
    read: pl.DataFrame, known: pl.DataFrame, expected: Expectations | None = None
) -> list[tuple[float, float]]:
    """The gaps as spans in quarters after the start."""
    gaps = (expected or expecting()).gaps(read, known, LIMITS)
    return [((start - START) / Q, (end - START) / Q) for start, end in gaps.select("start", "end").rows()]


CASES = [
    pytest.param([1, 2, 3], 0, [], id="in order"),
    pytest.param([3, 1, 2], 0, [], id="in order, but for the batch"),
    pytest.param([5], 0, [(1, 5)], id="four instants less the one that came"),
    pytest.param([1, 2, 5, 6], 0, [(3, 5)], id="within a batch"),
    pytest.param([3, 6], 0, [(1, 3), (4, 6)], id="twice"),
    pytest.param([0, 1], None, [], id="a first reading ever"),
    pytest.param([7, 9], None, [(8, 9)], id="after a first reading ever"),
    pytest.param([-5, 0], 0, [], id="late readings make none"),
    pytest.param([-5, 1, 3], 0, [(2, 3)], id="late readings hide none"),
    pytest.param([1.4], 0, [], id="a register read late"),
    pytest.param([1.5], 0, [(0.5, 1.5)], id="a register read so late that one is missing"),
    pytest.param([3.1], 0, [(0.5, 3.1)], id="a register off the grid: half a cadence sooner"),
]


@pytest.mark.parametrize(("read", "known", "expected"), CASES)
def test_gaps(read: list[float], known: float | None, expected: list[tuple[float, float]]) -> None:
    assert found(rows(*read), mark(known)) == expected


def test_a_gap_names_the_device_the_cadence_and_when_it_may_be_asked_for() -> None:
    gap = expecting().gaps(rows(5), mark(0), LIMITS)
    assert gap.to_dicts() == [
        {"enterprise": A, "device": DEVICE, "point": POINT, "start": START + Q, "end": START + 5 * Q,
         "cadence_s": Q, "due_at": NOW + 2 * Q + 60},
    ]  # fmt: skip


def test_a_reading_sent_twice_in_a_batch_hides_no_gap() -> None:
    read = pl.concat([rows(1, 4), rows(4, 4, outcome="duplicate"), rows(4, outcome="corrected")])
    assert found(read, mark(0)) == [(2, 4)]


def test_rows_that_were_not_screened_find_their_cadence_in_the_registry() -> None:
    assert found(rows(1, 4).drop("cadence_s"), mark(0)) == [(2, 4)]


def test_a_day_s_figure_is_due_every_day_and_a_month_s_is_not_asked_for() -> None:
    daily, monthly = plants.point_row(1, "d", stat_type="1"), plants.coal_row(1)
    points = {
        kind: PointKey(A, row["data_code"], int(row["stat_type"]), row["meter"]).point
        for kind, row in (("daily", daily), ("monthly", monthly))
    }
    expected = expecting([daily, monthly])
    read = rows(3 * 96, point=points["daily"], cadence_s=DAY_S)
    assert found(read, mark(0, points["daily"]), expected) == [(96, 3 * 96)]
    for cadence_s in (None, 900):  # a month's series has no cadence, whatever its row says
        read = rows(90 * 96, point=points["monthly"], cadence_s=cadence_s)
        assert found(read, mark(0, points["monthly"]), expected) == []


def test_a_person_s_figures_are_not_asked_for_and_none_of_a_point_without_device() -> None:
    desk = [plants.device_row(1, cadence_s="")]
    assert found(rows(5), mark(0), expecting(devices=desk)) == []
    assert found(rows(5), mark(0), expecting([plants.point_row(1, device="")])) == []
    assert found(rows(5), mark(0), Expectations(registry_of(plants.tables(0, 0)))) == []


def test_nothing_is_missing_before_the_enterprise_was_active_nor_after() -> None:
    late = [plants.enterprise_row(1, active_from="2025-01-01 00:45:00")]
    assert found(rows(6), mark(0), expecting(enterprises=late)) == [(3, 6)]
    early = [plants.enterprise_row(1, active_to="2025-01-01 00:45:00")]
    assert found(rows(6), mark(0), expecting(enterprises=early)) == [(1, 3)]
    never = [plants.enterprise_row(1, active_from="2025-02-01")]
    assert found(rows(6), mark(0), expecting(enterprises=never)) == []


def test_a_gap_over_a_change_of_device_is_asked_of_both_each_for_its_part() -> None:
    change = "2025-01-01 01:00:00"
    points = [
        plants.point_row(1, valid_to=change),
        plants.point_row(1, valid_from=change, device="d2", cadence_s="1800"),
    ]
    gaps = expecting(points).gaps(rows(8, cadence_s=1800), mark(0), LIMITS)
    assert gaps.select("device", "cadence_s").rows() == [("d1", 900), ("d2", 1800)]
    spans = gaps.select((pl.col("start", "end") - START) // Q).rows()
    assert spans == [(1, 4), (4, 8)]


def test_what_is_further_back_than_devices_keep_is_not_asked_for() -> None:
    limits = GapLimits(NOW, grace_s=60, reach_s=NOW - START - 3 * Q)
    gaps = expecting().gaps(rows(6), mark(0), limits)
    assert gaps.select("start", "end").rows() == [(START + 3 * Q, START + 6 * Q)]


def came_refused(*quarters: int) -> pl.DataFrame:
    read = [(POINT, START + q * Q, Q) for q in quarters]
    return pl.DataFrame(read, schema=REFUSED_SCHEMA, orient="row")


def test_what_came_and_was_refused_is_not_missing_in_its_batch_nor_later() -> None:
    refusals = Refusals()
    assert found(*refusals.counted(rows(1, 4), mark(0), came_refused(2, 3))) == []
    assert found(*refusals.counted(rows(1, 6), mark(0), came_refused(4, 5))) == [(2, 4)]
    refusals.note(came_refused(2, 3))
    refusals.note(came_refused())
    assert found(*refusals.counted(rows(4), mark(1), None)) == []
    assert found(*refusals.counted(rows(6), mark(1), came_refused())) == [(4, 6)]
    assert found(*refusals.counted(rows(8), mark(6), None)) == [(7, 8)]
    assert found(*Refusals().counted(rows(4), mark(1), None)) == [(2, 4)]
