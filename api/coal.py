"""Standard coal of some days on one basis, with bounds, from ENTERPRISE_DAYS and BLOCKS rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from api import figures
from nengshao.domain.factors import Basis

Row = Mapping[str, Any]


class Coal(BaseModel):
    """一个折标基准下的标准煤 / standard coal on one basis."""

    tce: float | None = Field(description="吨标准煤；空：缺折标系数或无数据 / null: no factor or no data")
    low_tce: float | None = Field(description="下界，tce；空：无界或未知 / lower bound; null: unbounded")
    high_tce: float | None = Field(description="上界，tce；空：无界或未知 / upper bound; null: unbounded")
    is_confirmed: bool = Field(description="所用系数均已确认 / every factor used is confirmed")
    label: str | None = Field(description="标注 / label to be shown with the figure")


def coal_of(days: Sequence[Row], blocks: Sequence[Row], start: int, end: int, basis: Basis) -> Coal:
    """Standard coal of ENTERPRISE_DAYS rows that fill [start, end), with the BLOCKS rows that touch it.

    The rule is the quota's: a block wholly inside counts in full; one across a border counts between
    nothing and its amount, so it widens the bounds only. A missing factor leaves everything unknown; where
    nothing was measured the figure is unknown and the bounds say what could have been.
    """
    name = basis.value
    boundary = [block for block in blocks if block["sign"]]
    inside = [_signed(b, name) for b in boundary if start <= b["start"] and b["end"] <= end]
    across = [_signed(b, name) for b in boundary if not (start <= b["start"] and b["end"] <= end)]
    lacks_factor = any(f":{name}" in (row["no_factor"] or "") for row in days)
    known = [row[f"{name}_g"] for row in days if row[f"{name}_g"] is not None]
    is_unknown = lacks_factor or not days or None in across
    base = None if is_unknown else total([*known, *inside])
    low = total([base, *(row[f"{name}_gap_low"] for row in days), *(min(g or 0, 0) for g in across)])
    high = total([base, *(row[f"{name}_gap_high"] for row in days), *(max(g or 0, 0) for g in across)])
    is_confirmed = bool(days) and all(row[f"{name}_confirmed"] for row in days)
    return Coal(
        tce=figures.tce(base if known or inside else None),
        low_tce=figures.tce(low),
        high_tce=figures.tce(high),
        is_confirmed=is_confirmed,
        label=figures.label_for(is_confirmed),
    )


def total(grams: Iterable[int | None]) -> int | None:
    """The sum; None if a part of it is not known.

    >>> total([1, 2]), total([1, None])
    (3, None)
    """
    parts = list(grams)
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _signed(block: Row, name: str) -> int | None:
    grams: int | None = block[f"{name}_g"]
    return None if grams is None else block["sign"] * grams
