"""Files that people hand in: read as text, whatever Excel made of them, or refused in words."""

from __future__ import annotations

import io

import polars as pl
import pytest

from ingest.tables import decode_table
from nengshao.domain.errors import ReadingRejected
from nengshao.tables import check_utf8, read_table

CSV = "名称,数量\n一号炉,1\n二号炉,2\n"


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16"])
def test_another_encoding_is_refused_with_the_line_and_what_to_do(encoding: str) -> None:
    raw = f"name,n\nplain,1\n{CSV}".encode(encoding)
    line = 1 if encoding == "utf-16" else 3
    with pytest.raises(ValueError, match=rf"文件不是 UTF-8（第 {line} 行起.*另存为“CSV UTF-8"):
        read_table(raw, "csv")


@pytest.mark.parametrize("text", ["一", "code,n\n一,1", "未,一"])
def test_gbk_that_is_utf_8_by_chance_is_seen_by_its_letters(text: str) -> None:
    raw = text.encode("gbk")
    raw.decode("utf-8")  # which is what makes it dangerous
    with pytest.raises(ValueError, match="GBK"):
        check_utf8(raw)


@pytest.mark.parametrize(
    "text", ["", "plain", CSV, "\ufeff" + CSV, "m³,°C,µ,±,α", "Škoda 电表", "二氧化碳 CO₂"]
)
def test_utf_8_is_taken_with_the_signs_that_a_table_of_meters_has(text: str) -> None:
    check_utf8(text.encode())


def test_a_csv_and_a_workbook_give_the_same_text_blank_rows_included() -> None:
    book = io.BytesIO()
    rows = {" 名称 ": ["一号炉", "", "二号炉"], "数量": ["1", "", "2"]}
    pl.DataFrame(rows).write_excel(book)
    csv = "\ufeff 名称 ,数量\n一号炉,1\n,\n二号炉,2\n".encode()
    for found in (read_table(book.getvalue(), "xlsx"), read_table(csv, "csv")):
        assert found.to_dict(as_series=False) == {"名称": ["一号炉", "", "二号炉"], "数量": ["1", "", "2"]}


@pytest.mark.parametrize(("raw", "kind"), [(b"no workbook", "xlsx"), (b"", "csv"), (b"a,a \n1,2\n", "csv")])
def test_what_is_no_table_is_refused(raw: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match="表格无法读取"):
        read_table(raw, kind)


def test_blank_rows_of_a_table_of_readings_keep_their_number_and_are_no_readings() -> None:
    head = "enterpriseCode,dataCode,statType,statDate,dataValue\n"
    row = "x,0000000002330011,0,2025-02-01,1\n"
    csv = (head + row + ",,,,\n" * 5 + row).encode()
    assert decode_table(csv, "csv", "x", 0, 2).readings["index"].to_list() == [0, 6]
    with pytest.raises(ReadingRejected, match="2 rows, at most 1"):
        decode_table(csv, "csv", "x", 0, 1)


def test_a_table_of_readings_in_gbk_is_rejected_as_a_whole_by_that_reason() -> None:
    raw = "enterpriseCode,dataCode,statType,statDate,dataValue\n一二三,,,,".encode("gbk")
    with pytest.raises(ReadingRejected, match="不是 UTF-8"):
        decode_table(raw, "csv", "x", 0, 10)
