"""Readings that people hand in as tables (CSV, XLSX): into the same columns as the wire's messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from nengshao.domain.codes import plain_data_code
from nengshao.domain.errors import ReadingRejected
from nengshao.domain.readings import DataScope, InputType, Reason
from nengshao.tables import read_table
from nengshao.wire import RAW_SCHEMA, Decoded, Rejection, instants

REQUIRED: Final = ("enterpriseCode", "dataCode", "statType", "statDate", "dataValue")
OPTIONAL: Final = {
    "meter": "00",
    "inputType": str(int(InputType.MANUAL)),
    "scope": str(int(DataScope.WHOLE_PLANT)),
    "valid": "true",
    "uploadDate": "",  # empty: the time the table was accepted
}
_VALID_WORDS: Final = {"true": 3, "false": 2, "1": 1, "0": 0, "是": 3, "否": 2}


def decode_table(raw: bytes, table_format: str, enterprise: str, accepted_at: int, max_rows: int) -> Decoded:
    """The rows of a table as wire.RAW_SCHEMA columns; row n of the table has index n, from 0.

    Raises: ReadingRejected when the table as a whole cannot be read.
    """
    table = _read_table(raw, table_format)
    table = (
        table.with_columns(
            pl.lit(default).alias(name) for name, default in OPTIONAL.items() if name not in table.columns
        )
        .with_row_index("index")
        .filter(~_is_blank())
    )
    if table.is_empty():
        raise ReadingRejected(Reason.BAD_SHAPE, "the table has no rows")
    if table.height > max_rows:
        raise ReadingRejected(Reason.TOO_MANY_READINGS, f"{table.height} rows, at most {max_rows}")
    is_own, value = pl.col("enterpriseCode") == enterprise, pl.col("dataValue").cast(pl.Float64, strict=False)
    foreign = table.filter(~is_own)
    unread = table.filter(is_own, value.is_null())
    rejections = [
        *(
            Rejection(0, n, Reason.SPOOFED_ENTERPRISE, code)
            for n, code in foreign.select("index", "enterpriseCode").rows()
        ),
        *(Rejection(0, n, Reason.BAD_VALUE, text) for n, text in unread.select("index", "dataValue").rows()),
    ]
    own = table.filter(is_own, value.is_not_null())
    return Decoded(_raw_columns(own, enterprise, accepted_at), {}, rejections)


def _is_blank() -> pl.Expr:
    """Whether a row is one of the empty ones that spreadsheets leave at the end."""
    return pl.all_horizontal(pl.col(name) == "" for name in REQUIRED)


def _read_table(raw: bytes, table_format: str) -> pl.DataFrame:
    try:
        table = read_table(raw, table_format)
    except ValueError as exc:
        raise ReadingRejected(Reason.BAD_SHAPE, str(exc)) from exc
    missing = [name for name in REQUIRED if name not in table.columns]
    unknown = [name for name in table.columns if name not in REQUIRED and name not in OPTIONAL]
    if missing or unknown:
        raise ReadingRejected(Reason.BAD_SHAPE, f"missing columns {missing}, unknown columns {unknown}")
    return table.select(pl.all().str.strip_chars())


def _raw_columns(table: pl.DataFrame, enterprise: str, accepted_at: int) -> pl.DataFrame:
    version = instants(table["uploadDate"].replace("", None)).fill_null(accepted_at)
    unread = (table["uploadDate"] != "") & instants(table["uploadDate"]).is_null()
    return table.select(
        pl.lit(0).alias("message"),
        "index",
        pl.lit(enterprise).alias("enterprise"),
        pl.lit("").alias("device"),
        pl.Series("data_code", _codes(table["dataCode"].to_list()), dtype=pl.String),
        pl.col("statType").cast(pl.Int64, strict=False).fill_null(-1).alias("stat_type"),
        pl.col("meter").replace("", "00"),
        instants(table["statDate"]).alias("ts"),
        pl.when(pl.lit(unread)).then(None).otherwise(pl.lit(version)).alias("version"),
        pl.col("dataValue").cast(pl.Float64).alias("value"),
        pl.col("valid").str.to_lowercase().replace("", OPTIONAL["valid"])
        .replace_strict(_VALID_WORDS, default=-1).alias("valid_code"),
        pl.col("inputType").replace("", OPTIONAL["inputType"]).cast(pl.Int64, strict=False).fill_null(-1)
        .alias("input_type"),
        pl.col("scope").replace("", OPTIONAL["scope"]).cast(pl.Int64, strict=False).fill_null(-1),
    ).cast(pl.Schema(RAW_SCHEMA))  # fmt: skip


def _codes(texts: Sequence[str]) -> list[str | None]:
    return [plain_data_code(text) for text in texts]
