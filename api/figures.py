"""How stored integers are shown: tce and natural units as JSON numbers, shares, dates, instants, labels.

Null stays null: what is not known is never shown as zero. A stored integer divided by a power of ten is
correctly rounded, so up to 15 significant digits the number in the JSON is the exact decimal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, Field

from nengshao.domain.readings import MICRO
from nengshao.domain.time import LOCAL_ZONE, date_of
from nengshao.domain.units import MILLI

G_PER_TONNE: Final = 1_000_000
"""Grams of standard coal in a tce (吨标准煤), of CO2 in a tCO2."""

SHARE_DIGITS: Final = 6

NOT_EVIDENCE: Final = "不作为执法依据 / not a basis for enforcement"
"""The label of every figure that rests on a factor, quota or rule that nobody has confirmed."""

INSUFFICIENT: Final = "数据不足 / insufficient data"


class Coverage(BaseModel):
    """数据覆盖：四个份额之和为 1 / four shares that sum to 1."""

    measured: float = Field(description="实测份额 / measured share, 0–1")
    estimated: float = Field(description="估算份额 / estimated share, 0–1")
    missing: float = Field(description="缺失份额 / missing share, 0–1")
    pending: float = Field(description="未到期份额 / not yet due, 0–1")


def tonnes(grams: int | None) -> float | None:
    """Tonnes of `grams` of standard coal or CO2; None where it is not known.

    >>> tonnes(117_939_451_659), tonnes(None)
    (117939.451659, None)
    """
    return None if grams is None else grams / G_PER_TONNE


def from_milli(amount: int | None) -> float | None:
    """Canonical units (kWh, m³, MJ, kg) of an integer in 10⁻³ of them; None where it is not known."""
    return None if amount is None else amount / MILLI


def micro(amount: int) -> float:
    """Canonical units of an integer in 10⁻⁶ of them."""
    return amount / MICRO


def share(part: int, whole: int) -> float:
    """`part / whole` to six digits; `whole` is not 0."""
    return round(part / whole, SHARE_DIGITS)


def rounded(ratio: float | None) -> float | None:
    """A ratio to six digits; None where it is not known."""
    return None if ratio is None else round(ratio, SHARE_DIGITS)


def coverage_of(rows: Iterable[Mapping[str, Any]], *, whole_periods: bool = False) -> Coverage | None:
    """Coverage over ENTERPRISE_DAYS rows; None when nothing was expected in them.

    `whole_periods`: the rows are a year to date. A month's figure is then measured: only its share of a
    single day is an estimate.
    """
    kinds = ("measured", "estimated", "missing", "pending")
    weights = dict.fromkeys(kinds, 0)
    for row in rows:
        for kind in kinds:
            weights[kind] += row[f"{kind}_w"] or 0  # null: no point of the day has a weight
        spread = (row["spread_w"] or 0) if whole_periods else 0
        weights["measured"] += spread
        weights["estimated"] -= spread
    whole = sum(weights.values())
    return Coverage(**{kind: share(weight, whole) for kind, weight in weights.items()}) if whole else None


def instant(ts: int | None) -> dt.datetime | None:
    """An instant with its offset (+08:00), as people and machines read it."""
    return None if ts is None else moment(ts)


def moment(ts: int) -> dt.datetime:
    """An instant that is known, with its offset (+08:00)."""
    return dt.datetime.fromtimestamp(ts, LOCAL_ZONE)


def date(day: int | None) -> dt.date | None:
    """The accounting date of a day number."""
    return None if day is None else date_of(day)


_POINT_IDS: Final = ("point", "lowest_point", "via")


def with_text_ids(value: Any) -> Any:
    """A stored JSON value with the ids of points as text: 64 bits do not fit into a JavaScript number."""
    if isinstance(value, Mapping):
        return {
            name: str(part) if name in _POINT_IDS and part is not None else with_text_ids(part)
            for name, part in value.items()
        }
    return [with_text_ids(part) for part in value] if isinstance(value, list) else value


def label_for(is_confirmed: bool | None) -> str | None:
    """不作为执法依据, unless what the figure rests on is known to be confirmed."""
    return None if is_confirmed else NOT_EVIDENCE


def listed(text: str | None) -> list[str]:
    """The parts of a comma-separated column; none for an empty or absent one."""
    return [part for part in (text or "").split(",") if part]
