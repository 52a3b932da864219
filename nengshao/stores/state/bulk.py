"""Frames into tables and back, and statements over many keys at once."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

_AT_ONCE: Final = 10_000
"""Values in one IN list: SQLite takes 32 766 in a statement, PostgreSQL 65 535."""

Schema = Mapping[str, pl.DataType | type[pl.DataType]]
Row = dict[str, Any]
Rows = Sequence[Row]
T = TypeVar("T")


def chunks(values: Sequence[T], size: int = _AT_ONCE) -> Iterator[Sequence[T]]:
    """`values` in pieces that fit into one statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def upsert(connection: Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT into `table` that can say ON CONFLICT, in the dialect of the connection."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def upsert_all(
    connection: Connection, table: sa.Table, columns: pl.DataFrame
) -> sqlite.Insert | postgresql.Insert:
    """An INSERT of these columns of the table, row by row in their order, that can say ON CONFLICT."""
    return upsert(connection, table).from_select(columns.columns, selected(connection, table, columns))


def selected(connection: Connection, table: sa.Table, columns: pl.DataFrame) -> sa.Select[Any]:
    """A SELECT that yields these columns of the table, row by row in their order.

    They travel as one value, JSON: a statement a row costs some thirty microseconds each.
    """
    names, text = columns.columns, columns.write_json()
    values: list[sa.ColumnElement[Any]]
    if connection.dialect.name == "sqlite":
        listed = sa.func.json_each(text).table_valued("value")
        values = [sa.func.json_extract(listed.c.value, f"$.{name}") for name in names]
    else:
        typed = [sa.column(name, table.c[name].type) for name in names]
        given = sa.cast(sa.bindparam(None, text, type_=sa.Text()), sa.JSON())
        records = sa.func.json_to_recordset(given).table_valued(*typed)
        rows = records.render_derived(with_types=True)
        values = [rows.c[name] for name in names]
    return sa.select(*values).where(sa.true())  # SQLite takes ON CONFLICT without a WHERE for a join's ON


def run_many(connection: Connection, statement: sa.Executable, rows: Rows) -> None:
    """Execute `statement` for each row. No rows: nothing (SQLAlchemy would execute it once, bare)."""
    if rows:
        connection.execute(statement, rows)


def delete_each(connection: Connection, table: sa.Table, rows: Rows) -> None:
    """Delete the rows of `table` that equal one of `rows` in all columns the latter have.

    They are locked in the order given: sorted rows cannot deadlock with another worker's.
    """
    if not rows:
        return
    names = list(rows[0])
    equal = [table.c[name] == sa.bindparam(f"of_{name}") for name in names]
    run_many(connection, sa.delete(table).where(*equal), [{f"of_{n}": row[n] for n in names} for row in rows])


def select_among(
    connection: Connection, select: sa.Select[Any], column: sa.ColumnElement[Any], values: Iterable[Any]
) -> list[Any]:
    """Rows of `select` whose `column` is one of `values`; in no order."""
    found: list[Any] = []
    for some in chunks(sorted(value for value in set(values) if _can_be_there(value))):
        found.extend(connection.execute(select.where(column.in_(some))))
    return found


def select_in_spans(
    connection: Connection,
    select: sa.Select[Any],
    enterprise: sa.Column[Any],
    extent: tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]],
    spans: pl.DataFrame,
) -> list[Any]:
    """Rows of `select` whose extent [start, end) overlaps a span of their enterprise.

    `spans`: enterprise, start, end. One query for all: spans of one transaction lie close together.
    """
    if spans.is_empty():
        return []
    mine: dict[str, list[tuple[int, int]]] = {}
    for name, start, end in spans.select("enterprise", "start", "end").iter_rows():
        mine.setdefault(name, []).append((start, end))
    low, high = spans.select(pl.col("start").min(), pl.col("end").max()).row(0)
    there = select.add_columns(enterprise, *extent).where(extent[0] < high, extent[1] > low)
    found = select_among(connection, there, enterprise, mine)
    return [
        row[:-3] for row in found if any(row[-2] < end and row[-1] > start for start, end in mine[row[-3]])
    ]


def storable_text(text: str, length: int) -> str:
    """`text` as both databases can hold it: no NUL, no lone surrogate, at most `length` characters."""
    return text[:length].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _can_be_there(value: object) -> bool:
    return not isinstance(value, str) or storable_text(value, len(value)) == value


def frame_of(rows: Iterable[Any], schema: Schema) -> pl.DataFrame:
    """Rows, in the order of the schema's columns, as a frame of exactly that schema."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    series = [
        pl.Series(name, values, dtype=dtype)
        for (name, dtype), values in zip(schema.items(), columns, strict=True)
    ]
    return pl.DataFrame(series)


def columns_of(table: sa.Table, schema: Schema) -> list[sa.Column[Any]]:
    """The table's columns in the schema's order."""
    return [table.c[name] for name in schema]


def rows_of(frame: pl.DataFrame, schema: Schema, *, by: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The frame's rows with the schema's columns, sorted by `by`, ready to be executed."""
    chosen = frame.select(list(schema))
    return (chosen.sort(by) if by else chosen).rows(named=True)


def bytes_of_frame(frame: pl.DataFrame) -> bytes:
    """The frame as one compressed blob, types included."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def frame_of_bytes(blob: bytes) -> pl.DataFrame:
    """The frame that `bytes_of_frame` was given."""
    return pl.read_ipc(io.BytesIO(blob))
