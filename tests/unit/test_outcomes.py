"""What the books call a reading, and which days it makes dirty."""

from __future__ import annotations

import polars as pl
import pytest

from ingest.outcomes import TAIL_SCHEMA, merged_watermarks, outcomes_of
from nengshao.frames import READINGS

DAY = 86_400
E = "E1"


def accepted(*rows: tuple[int, int, int, int, bool], kind: str = "register") -> pl.DataFrame:
    """Rows of (point, ts, version, value, valid)."""
    frame = pl.DataFrame([(*row, 4) for row in rows], schema=dict(READINGS.schema), orient="row")
    return frame.with_columns(pl.lit(E).alias("enterprise"), pl.lit(kind).alias("kind"))


def booked(*rows: tuple[int, int, int, int, bool]) -> pl.DataFrame:
    return accepted(*rows).select(list(READINGS.schema))


def marks(*, tail_valid: bool | None = True, **points: int) -> pl.DataFrame:
    rows = [(int(name[1:]), mark, tail_valid) for name, mark in points.items()]
    return pl.DataFrame(rows, schema=TAIL_SCHEMA, orient="row")


R = (1, 1000, 2000, 50, True)

CASES = [
    pytest.param([R], [], ["stored"], 1, id="first version"),
    pytest.param([R], [R], ["duplicate"], 0, id="same version and value"),
    pytest.param([R, R], [], ["stored", "duplicate"], 1, id="twice in one batch"),
    pytest.param([(1, 1000, 2001, 51, True)], [R], ["corrected"], 1, id="newer version"),
    pytest.param([(1, 1000, 1999, 51, True)], [R], ["superseded"], 1, id="older version is kept"),
    pytest.param([(1, 1000, 2000, 51, True)], [R], ["corrected"], 1, id="conflict, greater value stands"),
    pytest.param([(1, 1000, 2000, 49, True)], [R], ["superseded"], 0, id="conflict, lesser is put aside"),
    pytest.param(
        [(1, 1000, 2001, 7, True), R], [], ["corrected", "stored"], 2, id="two versions at once, any order"
    ),
    pytest.param(
        [(1, 1000, 2000, 60, True), R], [], ["corrected", "stored"], 1, id="a conflict within the batch"
    ),
]


@pytest.mark.parametrize(("rows", "known", "expected", "written"), CASES)
def test_outcomes_and_rows_to_write(rows: list, known: list, expected: list[str], written: int) -> None:
    result = outcomes_of(accepted(*rows), booked(*known), marks(p1=5000))
    assert result.rows["outcome"].to_list() == expected
    assert result.to_write.height == written


def test_the_lesser_value_of_a_conflict_is_kept_in_the_corrections() -> None:
    result = outcomes_of(accepted((1, 1000, 2000, 49, True)), booked(R), marks(p1=5000))
    assert result.corrections.rows() == [(1, 1000, 2000, 50, 49)]


def test_a_register_ahead_of_its_watermark_dirties_every_day_since_the_last_read() -> None:
    ts = 3 * DAY
    result = outcomes_of(accepted((1, ts, ts, 9, True)), READINGS.empty(), marks(p1=DAY))
    assert result.dirty.rows() == [(E, 1, False), (E, 2, False), (E, 3, False)]


def test_a_late_register_read_is_marked_late_so_that_its_neighbours_are_found() -> None:
    result = outcomes_of(accepted((1, DAY, DAY, 9, True)), READINGS.empty(), marks(p1=9 * DAY))
    assert result.dirty.rows() == [(E, 1, True)]


def test_a_correction_with_the_same_value_dirties_nothing() -> None:
    result = outcomes_of(accepted((1, 1000, 2001, 50, True)), booked(R), marks(p1=5000))
    assert result.rows["outcome"].to_list() == ["corrected"]
    assert result.dirty.is_empty()


def test_taking_back_the_validity_of_a_reading_dirties_its_day() -> None:
    result = outcomes_of(accepted((1, 1000, 2001, 50, False)), booked(R), marks(p1=5000))
    assert result.dirty.height == 1


def test_an_invalid_reading_is_stored_and_dirties_nothing() -> None:
    result = outcomes_of(accepted((1, 1000, 2000, 50, False)), READINGS.empty(), marks())
    assert result.rows["outcome"].to_list() == ["stored"]
    assert result.to_write.height == 1
    assert result.dirty.is_empty()


def test_nothing_comes_of_nothing() -> None:
    result = outcomes_of(accepted(), READINGS.empty(), marks())
    assert result.rows.is_empty()
    assert result.to_write.is_empty()
    assert result.dirty.is_empty()


@pytest.mark.parametrize("tail_valid", [False, None])
def test_a_register_ahead_of_a_read_that_is_not_known_to_be_valid_is_late(tail_valid: bool | None) -> None:
    known = marks(p1=DAY, tail_valid=tail_valid)
    result = outcomes_of(accepted((1, 3 * DAY, 3 * DAY, 9, True)), READINGS.empty(), known)
    assert result.dirty.rows() == [(E, 3, True)]


def test_a_register_behind_an_invalid_read_of_its_own_batch_is_late() -> None:
    rows = accepted((1, 2 * DAY, 2 * DAY, 9, False), (1, 3 * DAY, 3 * DAY, 9, True))
    result = outcomes_of(rows, READINGS.empty(), marks(p1=DAY))
    assert result.dirty.rows() == [(E, 3, True)]


def test_the_tail_is_what_stands_at_the_watermark() -> None:
    taken_back = outcomes_of(accepted((1, 1000, 2001, 50, False)), booked(R), marks(p1=1000))
    tails = taken_back.tails
    assert tails.rows() == [(1, 1000, False)]
    assert merged_watermarks(marks(p1=1000), tails).rows() == [(1, 1000, False)]
    assert merged_watermarks(marks(p1=2000), tails).rows() == [(1, 2000, True)]
    older = outcomes_of(accepted((1, 1000, 1999, 50, False)), booked(R), marks(p1=1000))
    assert older.tails.rows() == [(1, 1000, True)]
