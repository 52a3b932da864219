"""Norms (能耗限额) as dated facts: limits, corrections, 标杆 and 基准, with source and confidence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final

from nengshao.domain.factors import Confidence

LEVELS: Final = (1, 2, 3)
"""1级 (先进), 2级 (准入: new and extended works), 3级 (限定: what nobody may exceed)."""


class NormIndicator(StrEnum):
    """What a norm limits per unit of product: standard coal on the calorific basis, or electricity."""

    ENERGY = "energy"
    ELECTRICITY = "electricity"


class ParameterKind(StrEnum):
    """What a stated parameter says of the days it is stated for."""

    MEAN = "mean"  # a mean over them: of several periods the output decides the weight
    CONSTANT = "constant"  # it holds on each of them


@dataclass(frozen=True, slots=True)
class NormParameter:
    """What a norm's correction needs to know. `unit` is the one it must be stated in."""

    parameter_id: str
    zh: str
    en: str
    unit: str
    kind: ParameterKind


@dataclass(frozen=True, slots=True)
class LinearCorrection:
    """limit + per_unit × (parameter − base), per level; the difference is kept within [lowest, highest].

    Units: `per_unit` in kg (kWh) per unit of product and unit of the parameter; 0: the level stays as it is.
    """

    parameter: str
    per_unit: tuple[Fraction, Fraction, Fraction]
    base: Fraction = Fraction(0)
    lowest: Fraction | None = None
    highest: Fraction | None = None


@dataclass(frozen=True, slots=True)
class FactorCorrection:
    """limit × (offset + slope × parameter), at `levels`; only if `when_parameter` is above `when_above`."""

    parameter: str
    offset: Fraction = Fraction(0)
    slope: Fraction = Fraction(1)
    levels: tuple[int, ...] = LEVELS
    when_parameter: str = ""  # "": always
    when_above: Fraction = Fraction(0)


Correction = LinearCorrection | FactorCorrection


@dataclass(frozen=True, slots=True)
class Norm:
    """One edition of what a standard limits of one product, by one indicator.

    Units: limits, benchmark and baseline in kg of standard coal (kWh of electricity) per `per`; None: the
    standard has none, or it is not known. Corrections are applied in their order, to the limits alone.
    An edition is in force from `valid_from` to the day before the next one's.
    """

    norm_id: str
    indicator: NormIndicator
    standard: str
    product_zh: str
    product_en: str
    indicator_zh: str
    unit: str  # as printed: kgce/t, gce/kWh, kWh/t
    per: str  # the unit of the product: t, m2, kWh
    limits: tuple[Fraction | None, Fraction | None, Fraction | None]
    benchmark: Fraction | None  # 标杆水平
    baseline: Fraction | None  # 基准水平
    benchmark_source: str
    benchmark_confidence: Confidence | None
    corrections: tuple[Correction, ...]
    source: str
    confidence: Confidence
    valid_from: dt.date
    note: str = ""
    unsupported: str = ""  # why nothing is judged by it; "": it is

    @property
    def edition(self) -> str:
        """What names this row: `cement/energy/2022-11-01`."""
        return f"{self.norm_id}/{self.indicator}/{self.valid_from}"


@dataclass(frozen=True, slots=True)
class NormTable:
    """All norms that are loaded, sorted by id, indicator and `valid_from`, and the parameters they need."""

    rows: tuple[Norm, ...]
    parameters: tuple[NormParameter, ...]

    def in_force(self, norm_id: str, indicator: NormIndicator, day: dt.date) -> Norm | None:
        """The edition of that day; None: there is no such norm, or none of its editions is in force yet."""
        found = [
            row
            for row in self.rows
            if (row.norm_id, row.indicator) == (norm_id, indicator) and row.valid_from <= day
        ]
        return found[-1] if found else None


def parameters_of(norm: Norm) -> tuple[str, ...]:
    """The parameters that a norm's corrections may ask for, in their order, each once."""
    asked = [
        name
        for correction in norm.corrections
        for name in (getattr(correction, "when_parameter", ""), correction.parameter)
        if name
    ]
    return tuple(dict.fromkeys(asked))


def unlike_editions(rows: Iterable[Norm]) -> list[str]:
    """A problem line for every two editions of one norm that are per different units of product."""
    ordered = sorted(rows, key=lambda row: (row.norm_id, row.valid_from))
    return [
        f"norm {later.edition} is per {later.per}, {earlier.edition} per {earlier.per}"
        for earlier, later in pairwise(ordered)
        if earlier.norm_id == later.norm_id and earlier.per != later.per
    ]
