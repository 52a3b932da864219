"""Tables that people hand in (CSV, XLSX), every cell as text: the one place where such a file is read.

Excel in China saves CSV as GBK. Taken for UTF-8 that is unreadable at best and other letters at worst, and to
guess an encoding is to guess at names: so anything but UTF-8 is refused in words, with the line.
"""

from __future__ import annotations

import io
import re
from typing import Final

import polars as pl

FIRST_ROW: Final = 2
"""Line of a table's first row in its file: the header is line 1."""

_CHINESE: Final = re.compile(r"[\u3400-\u9fff]")
_FOREIGN: Final = re.compile(r"[\u0100-\u036f\u0400-\u07ff]")


def check_utf8(raw: bytes) -> None:
    """Raises: ValueError, with the first line that is not UTF-8.

    Some GBK is UTF-8 by chance (一 is also һ): rare letters of other scripts, without a Chinese character.
    """
    if raw.isascii():
        return
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError(_not_utf8(raw.count(b"\n", 0, exc.start) + 1)) from exc
    if not _CHINESE.search(text) and (foreign := _FOREIGN.search(text)):
        raise ValueError(_not_utf8(text.count("\n", 0, foreign.start()) + 1))


def _not_utf8(line: int) -> str:
    return (
        f"文件不是 UTF-8（第 {line} 行起，像是 GBK/GB18030），请用 Excel 另存为“CSV UTF-8（逗号分隔）”"
        f" / not UTF-8 (line {line}; GBK?), save it as CSV UTF-8"
    )


def read_table(raw: bytes, table_format: str) -> pl.DataFrame:
    """A table's rows under the names of its first line, blank rows too; `table_format`: "csv" or "xlsx".

    Raises: ValueError saying why it cannot be read.
    """
    if table_format == "csv":
        check_utf8(raw)
    try:
        if table_format == "csv":
            table = pl.read_csv(io.BytesIO(raw), infer_schema=False)
        else:
            table = pl.read_excel(
                io.BytesIO(raw), infer_schema_length=0, drop_empty_rows=False, raise_if_empty=False
            )
        named = table.rename(lambda name: name.strip().lstrip("\ufeff"))
        return named.with_columns(pl.all().cast(pl.String).fill_null(""))
    except Exception as exc:  # the readers' errors have no common class, and a person's file may be anything
        reason = str(exc).strip()[:200]
        raise ValueError(f"表格无法读取 / the table cannot be read: {reason}") from exc
