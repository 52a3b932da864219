"""How tables are written down: columns by kind, and those of a frame's contract."""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, Text
from sqlalchemy.schema import SchemaItem

from nengshao.frames import Contract

_SERIAL: Final = BigInteger().with_variant(Integer, "sqlite")

_TYPES: Final[dict[Any, Any]] = {
    pl.Int8: BigInteger,
    pl.Int32: BigInteger,
    pl.Int64: BigInteger,
    pl.Float64: Double,
    pl.Boolean: Boolean,
    pl.String: Text,
}


def big(name: str, **options: Any) -> Column[Any]:
    """An integer that is always given."""
    return Column(name, BigInteger, nullable=False, **options)


def text(name: str, **options: Any) -> Column[Any]:
    """A text that is always given."""
    return Column(name, Text, nullable=False, **options)


def json(name: str) -> Column[Any]:
    """A JSON value that is always given."""
    return Column(name, sa.JSON, nullable=False)


def key(name: str) -> Column[Any]:
    """A text that is part of the primary key."""
    return Column(name, Text, primary_key=True)


def big_key(name: str) -> Column[Any]:
    """An integer that is part of the primary key."""
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def serial(name: str) -> Column[Any]:
    """An id the database gives, growing with time. SQLite counts only in a column called INTEGER."""
    return Column(name, _SERIAL, primary_key=True, autoincrement=True)


def of_contract(contract: Contract, *, key: tuple[str, ...] = ()) -> list[SchemaItem]:
    """The contract's columns, its key (in the order of `key`, if given) as primary key."""
    parts = key or contract.key
    columns = [
        Column(column, _TYPES[dtype], nullable=column not in parts)
        for column, dtype in contract.schema.items()
    ]
    return [*columns, sa.PrimaryKeyConstraint(*parts)]
