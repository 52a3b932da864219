"""What is said to InfluxDB, byte for byte, and what is understood of its answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nengshao.domain.errors import StoreUnavailable
from nengshao.frames import READINGS
from nengshao.stores.influx_text import (
    READING_COLUMNS,
    figure_lines,
    flux_text,
    in_writing_order,
    nanoseconds,
    pieces_of,
    point_conditions,
    reading_lines,
    reading_prefixes,
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


def lines(rows: pl.DataFrame) -> pl.DataFrame:
    return reading_lines(in_writing_order(rows), reading_prefixes(IDENTITIES))


def test_a_reading_is_one_line_whose_field_names_validity_and_input_type() -> None:
    rows = readings((1, T, T + 5, -123, True, 4), (2, -1, 0, 7, False, 5))
    assert lines(rows)["line"].to_list() == [
        "reading,enterprise=E,point=0401000004020030.0.00 v4=-123i 1735660800000086405",
        r"reading,enterprise=E,point=a\ b\,c\=d\e x5=7i -999913599",
    ]


def test_points_without_a_name_that_fits_a_line_have_no_line() -> None:
    rows = readings(*[(point, T, T, 1, True, 4) for point in (1, 3, 4, 99)])
    assert lines(rows)["line"].is_null().to_list() == [False, True, True, True]


def test_of_two_values_of_one_version_the_greater_comes_last() -> None:
    rows = readings((1, T, T, 9, True, 4), (1, T, T, 3, True, 4))
    assert lines(rows)["row"].to_list() == [1, 0]
    assert lines(rows[:1])["row"].to_list() == [0]


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


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-12-31T16:00:00.000086405Z", T * 10**9 + 86_405),
        ("2024-12-31T16:00:00.1Z", T * 10**9 + 100_000_000),
        ("2024-12-31T16:00:00Z", T * 10**9),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1677-09-21T00:12:44.000172799Z", -9_223_372_036 * 10**9 + 172_799),
        ("2262-04-11T23:47:15.000172799Z", 9_223_372_035 * 10**9 + 172_799),
    ],
)
def test_a_time_is_understood_with_as_many_digits_as_it_has(text: str, ns: int) -> None:
    assert pl.DataFrame({"_time": [text]}).select(nanoseconds()).item() == ns


# -------------------------------------------------------------------------------------------- pieces

OTHER_HEADER = b",result,table,_time,_value,enterprise,_field,point\r\n"
OTHER_ROW = b',_result,1,2024-12-31T16:00:00Z,7,E,v4,"a b,c=d\\e"\r\n'
SECTIONS = HEADER + 2 * ROW + b"\r\n" + OTHER_HEADER + 3 * OTHER_ROW + b"\r\n" + HEADER + ROW + b"\r\n"
ERROR = b',error,reference\r\n"out of\r\nmemory",897\r\n'


def chunks_of(answer: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The answer in pieces between the cuts."""
    borders = [0, *sorted(cuts), len(answer)]
    return [answer[start:end] for start, end in itertools.pairwise(borders)]


def understood(chunks: Iterable[bytes], least: int) -> pl.DataFrame:
    """Each piece by itself, as it is read while the next one arrives."""
    return pl.concat(table_of(piece, READING_COLUMNS) for piece in pieces_of(chunks, least))


def test_an_answer_cut_anywhere_says_the_same() -> None:
    whole = table_of(SECTIONS, READING_COLUMNS)
    assert whole["_value"].to_list() == [-5, -5, 7, 7, 7, -5]
    for cut in range(len(SECTIONS) + 1):
        assert understood(chunks_of(SECTIONS, [cut]), least=1).equals(whole), cut


@settings(deadline=None)
@given(
    parts=st.lists(st.sampled_from([(HEADER, ROW), (OTHER_HEADER, OTHER_ROW)]), max_size=4),
    heights=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    cuts=st.lists(st.integers(0, 2000)),
    least=st.integers(1, 600),
)
def test_an_answer_in_any_pieces_says_the_same(
    parts: list[tuple[bytes, bytes]], heights: list[int], cuts: list[int], least: int
) -> None:
    answer = b"\r\n".join(header + n * row for (header, row), n in zip(parts, heights, strict=False))
    chunks = chunks_of(answer, (min(cut, len(answer)) for cut in cuts))
    assert understood(chunks, least).equals(table_of(answer, READING_COLUMNS))


def test_an_error_cut_anywhere_is_told_whole() -> None:
    answer = HEADER + ROW + b"\r\n" + ERROR
    for cut in range(len(answer) + 1):
        with pytest.raises(StoreUnavailable, match=r'"out of\r\nmemory",897'):
            understood(chunks_of(answer, [cut]), least=1)


def test_pieces_are_as_large_as_they_were_asked_for() -> None:
    answer = HEADER + 1000 * ROW
    sizes = [len(piece) for piece in pieces_of((answer[n : n + 10] for n in range(0, len(answer), 10)), 8192)]
    assert sum(sizes) == len(answer) + (len(sizes) - 1) * len(HEADER)
    assert all(8192 - len(ROW) <= size <= 8192 + len(HEADER) + len(ROW) for size in sizes[:-1])
    assert 0 < sizes[-1] <= 8192 + len(HEADER) + len(ROW)


def test_series_that_alternate_keep_their_names() -> None:
    other = OTHER_ROW.replace(b"E,v4", b"v4,E").replace(b"v4,E,", b"x5,E,")
    answer = HEADER + ROW + other + ROW + other
    assert readings_of(table_of(answer, READING_COLUMNS), IDENTITIES).rows() == [
        (1, T, T + 5, -5, False, 4),
        (2, T, T - 86_400, 7, False, 5),
        (1, T, T + 5, -5, False, 4),
        (2, T, T - 86_400, 7, False, 5),
    ]
