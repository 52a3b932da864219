"""What is said to InfluxDB, byte for byte, and what is understood of its answers."""

from __future__ import annotations

import polars as pl
import pytest

from nengshao.domain.errors import StoreUnavailable
from nengshao.frames import READINGS
from nengshao.stores.influx_text import (
    READING_COLUMNS,
    figure_lines,
    flux_text,
    point_conditions,
    reading_lines,
    readings_of,
    rows_query,
    table_of,
)

T = 1_735_660_800

IDENTITIES = pl.DataFrame(
    [(1, "E", "0401000004020030.0.00"), (2, "E", r"a b,c=d\e"), (3, "F", "two\nlines"), (4, "F", "end\\")],
    schema={"point": pl.Int64, "enterprise": pl.String, "tag": pl.String},
    orient="row",
)


def readings(*rows: tuple[int, int, int, int, bool, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(READINGS.schema), orient="row")


def test_a_reading_is_one_line_whose_field_names_validity_and_input_type() -> None:
    rows = readings((1, T, T + 5, -123, True, 4), (2, -1, 0, 7, False, 5))
    assert reading_lines(rows, IDENTITIES)["line"].to_list() == [
        "reading,enterprise=E,point=0401000004020030.0.00 v4=-123i 1735660800000086405",
        r"reading,enterprise=E,point=a\ b\,c\=d\e x5=7i -999913599",
    ]


def test_points_without_a_name_that_fits_a_line_have_no_line() -> None:
    rows = readings(*[(point, T, T, 1, True, 4) for point in (1, 3, 4, 99)])
    assert reading_lines(rows, IDENTITIES)["line"].is_null().to_list() == [False, True, True, True]


def test_of_two_values_of_one_version_the_greater_comes_last() -> None:
    rows = readings((1, T, T, 9, True, 4), (1, T, T, 3, True, 4))
    assert reading_lines(rows, IDENTITIES)["row"].to_list() == [1, 0]
    assert reading_lines(rows[:1], IDENTITIES)["row"].to_list() == [0]


def test_a_figure_without_a_value_is_left_out_and_a_line_without_any_is_none() -> None:
    frame = pl.DataFrame({"enterprise": ["E", "E", "E"], "n": [3, None, None], "at": [T, T, T]})
    fields = {"count": pl.col("n"), "share": pl.col("n") / 4, "pace": pl.Series([1.5, float("nan"), 2.0])}
    series = frame.with_columns(fields["pace"].alias("pace"))
    lines = figure_lines(
        series,
        "m",
        ["enterprise"],
        {"count": pl.col("n"), "share": pl.col("n") / 4, "pace": pl.col("pace")},
        pl.col("at"),
    )
    assert lines["line"].to_list() == [
        f"m,enterprise=E count=3i,share=0.75,pace=1.5 {T}000000000",
        None,
        f"m,enterprise=E pace=2.0 {T}000000000",
    ]
    assert lines["is_whole"].to_list() == [True, False, False]


def test_flux_text_cannot_be_broken_out_of() -> None:
    assert flux_text('a"b\\c${d}') == r'"a\"b\\c\${d}"'
    assert rows_query('b"', -1, 2, "true").startswith(
        r'from(bucket: "b\"") |> range(start: time(v: -1000000000)'
    )


def test_point_conditions_compare_whole_tags_and_split_large_questions() -> None:
    few = IDENTITIES.head(1)
    assert list(point_conditions(few)) == ['(r.enterprise == "E" and (r.point == "0401000004020030.0.00"))']
    many = pl.DataFrame(
        {
            "point": range(500),
            "enterprise": ["E"] * 101 + [f"F{i // 10}" for i in range(399)],
            "tag": [str(i) for i in range(500)],
        }
    )
    conditions = list(point_conditions(many))
    assert conditions[0].startswith('(r.enterprise == "E") or (r.enterprise == "F0" and (r.point == "101"')
    assert sum(condition.count("r.point ==") for condition in conditions) == 399
    assert [condition.count(" == ") <= 200 for condition in conditions] == [True] * 3
    assert list(point_conditions(IDENTITIES.clear())) == []


HEADER = b",result,table,_time,_value,_field,enterprise,point\r\n"
ROW = b",_result,0,2024-12-31T16:00:00.000086405Z,-5,x4,E,0401000004020030.0.00\r\n"


def test_an_answer_becomes_readings_and_other_points_are_dropped() -> None:
    whole = b',_result,1,1969-12-31T23:59:59Z,9223372036854775807,v5,E,"a b,c=d\\e"\r\n'
    answer = (
        HEADER
        + ROW
        + whole
        + ROW.replace(b"E,", b"G,")
        + b"\r\n"
        + HEADER
        + ROW.replace(b"-5", b"6")
        + b"\r\n"
    )
    assert sorted(readings_of(table_of(answer, READING_COLUMNS), IDENTITIES).rows()) == [
        (1, T, T + 5, -5, False, 4),
        (1, T, T + 5, 6, False, 4),
        (2, -1, -86_401, 2**63 - 1, True, 5),
    ]


@pytest.mark.parametrize("answer", [b"", b"\r\n", HEADER + b"\r\n"])
def test_an_answer_without_rows_is_an_empty_table(answer: bytes) -> None:
    assert table_of(answer, READING_COLUMNS).equals(pl.DataFrame(schema=READING_COLUMNS))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b",error,reference\r\n,out of memory,\r\n", id="at once"),
        pytest.param(HEADER + ROW + b"\r\n,error,reference\r\n,out of memory,\r\n", id="after rows"),
        pytest.param(HEADER + ROW.replace(b"-5", b"1.5"), id="a float, which is not ours"),
    ],
)
def test_an_answer_that_ends_in_an_error_is_none(answer: bytes) -> None:
    with pytest.raises(StoreUnavailable):
        table_of(answer, READING_COLUMNS)
