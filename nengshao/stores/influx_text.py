"""What we say to InfluxDB and what it answers, as text: line protocol, Flux and CSV. Pure.

Line protocol: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
CSV: https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import polars as pl

from nengshao.domain.errors import StoreUnavailable
from nengshao.frames import READINGS, WINNER_ORDER
from nengshao.stores.versions import NANO, timestamp, ts_of, version_of

READING: Final = "reading"
"""Measurement of readings. Tags `enterprise` and `point` (PointKey.tag); one field, whose name says validity
and inputType: `v4` valid, `x4` not, 4 being the inputType. Version: see `nengshao.stores.versions`."""

READING_COLUMNS: Final = {
    "_time": pl.String,
    "_value": pl.Int64,
    "_field": pl.String,
    "enterprise": pl.String,
    "point": pl.String,
}

_CLAUSES: Final = 200
"""Most tag comparisons in a query; past half of them in one enterprise, all of it is read and sifted here."""

PIECE_BYTES: Final = 4_000_000
"""Least size of a piece of an answer that is parsed while the rest arrives: some 40 000 readings."""

_ERROR_HEADER: Final = b",error,reference"
_LINE_END: Final = b"\r\n"
_SECTION_END: Final = 2 * _LINE_END


def tagged(identities: pl.DataFrame) -> pl.DataFrame:
    """Identities (point, enterprise, tag) under the names of our tags: id (Int64), enterprise, point."""
    return identities.select(pl.col("point").alias("id"), "enterprise", pl.col("tag").alias("point"))


def in_writing_order(readings: pl.DataFrame) -> pl.DataFrame:
    """READINGS with their position as `row`; of two values of one version the greater comes later, since
    InfluxDB keeps the last written. Where there are none, the order stays.
    """
    rows = readings.with_row_index("row")
    if readings.select("point", "ts", "version").is_duplicated().any():
        return rows.sort(READINGS.key + WINNER_ORDER)
    return rows


def reading_prefixes(identities: pl.DataFrame) -> pl.DataFrame:
    """id, prefix: how the lines of each point begin (null: it has no line form).

    `identities`: point, enterprise, tag.
    """
    return tagged(identities.unique("point")).select("id", _prefix(READING, ["enterprise", "point"]))


def reading_lines(rows: pl.DataFrame, prefixes: pl.DataFrame) -> pl.DataFrame:
    """Lines of READINGS + row, in their order: row, field, ts, line (null: the point has none)."""
    field = pl.when("valid").then(pl.lit("v")).otherwise(pl.lit("x")) + pl.col("input_type").cast(pl.String)
    return (
        rows.join(prefixes, left_on="point", right_on="id", how="left", maintain_order="left")
        .with_columns(field.alias("field"))
        .select(
            "row",
            "field",
            "ts",
            pl.format("{} {}={}i {}", "prefix", "field", "value", timestamp()).alias("line"),
        )
    )


def figure_lines(
    frame: pl.DataFrame, measurement: str, tags: Sequence[str], fields: Mapping[str, pl.Expr], at: pl.Expr
) -> pl.DataFrame:
    """Lines of figures: row (position), `tags`, prefix, field (""), ts, fields, is_whole, line.

    A field without a finite value is left out of its line, which then is not whole; a row without any field,
    or without a form of its tags (prefix), has no line (null).
    """
    texts = [pl.lit(f"{name}=") + _field_text(frame, value) for name, value in fields.items()]
    joined = pl.concat_str(texts, separator=",", ignore_nulls=True)
    is_whole = pl.all_horizontal(text.is_not_null() for text in texts)
    lines = frame.with_row_index("row").select(
        "row",
        *tags,
        _prefix(measurement, tags),
        pl.lit("").alias("field"),
        at.alias("ts"),
        pl.when(joined != "").then(joined).alias("fields"),
        is_whole.alias("is_whole"),
    )
    return lines.with_columns(pl.format("{} {} {}", "prefix", "fields", pl.col("ts") * NANO).alias("line"))


def _field_text(frame: pl.DataFrame, value: pl.Expr) -> pl.Expr:
    if frame.lazy().select(value).collect_schema().dtypes()[0].is_float():
        return pl.when(value.is_finite()).then(value.cast(pl.String))
    return value.cast(pl.String) + "i"


def _prefix(measurement: str, tags: Sequence[str]) -> pl.Expr:
    """`measurement,enterprise=…,point=…`; null where a tag has no line form."""
    pieces = [pl.lit(measurement)]
    for name in tags:
        # A line break would end the line, a trailing backslash would escape what follows the tag.
        is_writable = ~(pl.col(name).str.contains(r"[\r\n]") | pl.col(name).str.ends_with("\\"))
        escaped = pl.col(name).str.replace_all(r"([,= ])", r"\$1")
        is_empty = pl.col(name) == ""  # an empty tag is written by leaving it out
        pieces.append(
            pl.when(is_writable).then(
                pl.when(is_empty).then(pl.lit("")).otherwise(pl.lit(f",{name}=") + escaped)
            )
        )
    return pl.concat_str(pieces).alias("prefix")


def flux_text(text: str) -> str:
    """A Flux string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


def rows_query(bucket: str, start: int, end: int, where: str) -> str:
    """Flux for all rows with `start <= ts < end` that satisfy `where`."""
    times = f"start: time(v: {start * NANO}), stop: time(v: {end * NANO})"
    return f"from(bucket: {flux_text(bucket)}) |> range({times}) |> filter(fn: (r) => {where})"


def keep(columns: Sequence[str]) -> str:
    """Flux that sends only these columns: the less is sent, the faster the read."""
    return f" |> keep(columns: [{', '.join(map(flux_text, columns))}])"


def measurement_is(measurement: str) -> str:
    """Flux condition: rows of that measurement."""
    return f"r._measurement == {flux_text(measurement)}"


def point_conditions(identities: pl.DataFrame) -> Iterator[str]:
    """Flux conditions that together select at least these points; several points to a condition.

    Tags are compared whole, never by pattern: one code can be part of another.
    """
    clauses: list[str] = []
    size = 0
    for (enterprise,), mine in identities.sort("enterprise", "tag").group_by(
        "enterprise", maintain_order=True
    ):
        clause, cost = _enterprise_clause(str(enterprise), mine["tag"].to_list())
        if clauses and size + cost > _CLAUSES:
            yield " or ".join(clauses)
            clauses, size = [], 0
        clauses.append(clause)
        size += cost
    if clauses:
        yield " or ".join(clauses)


def _enterprise_clause(enterprise: str, tags: Sequence[str]) -> tuple[str, int]:
    clause = f"r.enterprise == {flux_text(enterprise)}"
    if len(tags) > _CLAUSES // 2:
        return f"({clause})", 1
    points = " or ".join(f"r.point == {flux_text(tag)}" for tag in tags)
    return f"({clause} and ({points}))", 1 + len(tags)


def pieces_of(chunks: Iterable[bytes], least: int = PIECE_BYTES) -> Iterator[bytes]:
    """An answer that arrives in chunks, as answers of some `least` bytes each.

    They are cut at line ends, and each begins with the header of the section that it goes on with: table_of
    understands every one by itself. An error report, which ends an answer, is not cut.
    """
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size < least:
            continue
        text = b"".join(held)
        cut = text.rfind(b"\n") + 1
        header = _open_header(text, cut)
        if not header.startswith(_ERROR_HEADER):
            yield text[:cut]
            text = header + text[cut:]
        held, size = [text], 0
    yield b"".join(held)


def _open_header(text: bytes, end: int) -> bytes:
    """The header line of the section that is open at `end`, a line's end; empty if none is."""
    start = text.rfind(_SECTION_END, 0, end)
    start = 0 if start < 0 else start + len(_SECTION_END)
    while text.startswith(_LINE_END, start, end):
        start += len(_LINE_END)
    return text[start : text.find(b"\n", start, end) + 1]


def table_of(answer: bytes, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """The rows of a CSV answer without annotations, as `schema`.

    Raises: StoreUnavailable if the server broke off with an error, which it reports in the text itself after
    having answered 200, or if a column is not of its type.
    """
    frames = [pl.DataFrame(schema=dict(schema))]
    for section in _sections(answer.strip(_LINE_END)):
        if section.startswith(_ERROR_HEADER):
            detail = section[len(_ERROR_HEADER) :].decode(errors="replace").strip()
            raise StoreUnavailable(f"InfluxDB broke off a query: {detail}")
        frames.append(_section(section, schema))
    return pl.concat(frames)


def _sections(answer: bytes) -> list[bytes]:
    # From the end it is found four times as fast whether there is a border at all, which is rare.
    several = answer.rfind(_SECTION_END) >= 0
    return [section for section in (answer.split(_SECTION_END) if several else [answer]) if section]


def _section(section: bytes, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    try:
        rows = pl.read_csv(section, columns=list(schema), schema_overrides=dict(schema), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise StoreUnavailable(f"InfluxDB: rows in the bucket that are not ours: {error}") from error
    return rows.select(list(schema))


def nanoseconds() -> pl.Expr:
    """The column `_time` of an answer as nanoseconds since 1970."""
    # Go leaves out the zeros at the end, and the point with them. With "%.f" for all that, Polars takes four
    # times as long. A float holds nine digits exactly enough to be rounded to them.
    text = pl.col("_time")
    seconds = text.str.head(19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ns", cache=False)
    fraction = text.str.slice(19).str.strip_suffix("Z").cast(pl.Float64, strict=False).fill_null(0.0)
    return seconds.to_physical() + (fraction * NANO).round().cast(pl.Int64)


def readings_of(answer: pl.DataFrame, identities: pl.DataFrame) -> pl.DataFrame:
    """READINGS, unsorted, all versions, from an answer of READING_COLUMNS; other points' rows are dropped.

    The rows of a series follow each other, so names are looked up once for each such run of rows.
    """
    series, time = ["enterprise", "point", "_field"], pl.col("time")
    rows = answer.select(*series, "_value", nanoseconds().alias("time"), run=pl.struct(series).rle_id())
    runs = rows.select("run", *series).unique("run", keep="first")
    named = runs.join(tagged(identities), on=["enterprise", "point"], how="inner").select(
        "run",
        "id",
        pl.col("_field").str.starts_with("v").alias("valid"),
        pl.col("_field").str.slice(1).cast(pl.Int8).alias("input_type"),
    )
    return (
        rows.select("run", "time", "_value")
        .join(named, on="run", how="inner", maintain_order="left")
        .select(
            pl.col("id").alias("point"),
            ts_of(time).alias("ts"),
            version_of(time).alias("version"),
            pl.col("_value").alias("value"),
            "valid",
            "input_type",
        )
    )
