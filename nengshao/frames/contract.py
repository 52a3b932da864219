"""A contract of columns, and how a frame is held to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from nengshao.domain.errors import FrameContractError


@dataclass(frozen=True, slots=True)
class Contract:
    """A named frame: its schema in order, and the columns it is sorted and unique by."""

    name: str
    schema: Mapping[str, pl.DataType | type[pl.DataType]]
    key: tuple[str, ...]

    def empty(self) -> pl.DataFrame:
        """A frame of this contract without rows."""
        return pl.DataFrame(schema=dict(self.schema))


def conform(frame: pl.LazyFrame, contract: Contract) -> pl.LazyFrame:
    """`frame` with exactly the contract's columns in its order.

    Raises: FrameContractError naming every missing or mistyped column.
    """
    actual = frame.collect_schema()
    problems = [
        f"{name}: {actual.get(name, 'missing')} instead of {dtype}"
        for name, dtype in contract.schema.items()
        if actual.get(name) != dtype
    ]
    if problems:
        raise FrameContractError(f"{contract.name}: " + ", ".join(problems))
    return frame.select(list(contract.schema))
