"""Conversion factors as dated facts with a source and a confidence. A basis is never defaulted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final

from nengshao.domain.errors import FactorMissing
from nengshao.domain.units import Carrier


class Basis(StrEnum):
    """What an amount is converted to: standard coal as 当量值 or 等价值 (折标基准), or CO2.

    A figure that does not say which it used is wrong.
    """

    CALORIFIC = "calorific"
    EQUIVALENT = "equivalent"
    CARBON = "carbon"

    @property
    def zh(self) -> str:
        """当量值, 等价值 or 二氧化碳."""
        return _BASIS_ZH[self]

    @property
    def tonne(self) -> str:
        """The unit in which 10⁶ g of the mass are shown: tce or tCO2."""
        return "tCO2" if self is Basis.CARBON else "tce"


_BASIS_ZH: Final = {Basis.CALORIFIC: "当量值", Basis.EQUIVALENT: "等价值", Basis.CARBON: "二氧化碳"}


class Confidence(StrEnum):
    """How well a value from a law or a standard is known to us."""

    OFFICIAL = "official"  # the issuing body's text, or national press quoting it
    TRANSCRIBED = "transcribed"  # a working program or data file that transcribes the standard
    COPIED = "copied"  # a vendor page or mirror; plausible, low authority
    RECALLED = "recalled"  # memory; nobody has looked it up

    @property
    def is_confirmed(self) -> bool:
        """Whether an inspector may rest a case on the value (else: 不作为执法依据)."""
        return self in (Confidence.OFFICIAL, Confidence.TRANSCRIBED)


@dataclass(frozen=True, slots=True)
class CoalFactor:
    """Standard coal per unit of a carrier: kgce per canonical unit, equally g per 10⁻³ unit.

    Valid on accounting days `valid_from <= day < valid_to` (`valid_to` None: still in force).
    """

    factor_id: str
    carrier: Carrier
    basis: Basis
    kgce_per_unit: Fraction
    edition: str
    source: str
    confidence: Confidence
    valid_from: dt.date
    valid_to: dt.date | None = None
    note: str = ""

    def is_valid_on(self, day: dt.date) -> bool:
        """Whether the row is in force on that accounting day."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True, slots=True)
class FactorTable:
    """All coal factors that are loaded; at most one is valid per carrier, basis and day."""

    rows: tuple[CoalFactor, ...]

    def at(self, carrier: Carrier, basis: Basis, day: dt.date) -> CoalFactor:
        """The one row valid that day.

        Raises: FactorMissing if there is none; nothing is ever assumed in its place.
        """
        for row in self.rows:
            if row.carrier is carrier and row.basis is basis and row.is_valid_on(day):
                return row
        raise FactorMissing([f"no {basis.value} factor for {carrier.value} on {day}"])


def overlapping_rows(rows: Iterable[CoalFactor]) -> list[str]:
    """A problem line for every two rows of one carrier and basis that are valid on a common day."""
    problems = []
    ordered = sorted(rows, key=lambda row: (row.carrier, row.basis, row.valid_from))
    for earlier, later in pairwise(ordered):
        same = (earlier.carrier, earlier.basis) == (later.carrier, later.basis)
        if same and (earlier.valid_to is None or later.valid_from < earlier.valid_to):
            problems.append(f"factors {earlier.factor_id} and {later.factor_id} overlap")
    return problems
