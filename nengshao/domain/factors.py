"""Conversion factors as dated facts with a source and a confidence. A basis is never defaulted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final

from nengshao.domain.codes import region_chain
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
class Factor:
    """What a unit of a carrier comes to: kg of standard coal or CO2 per canonical unit, equally g per 10⁻³.

    Valid on accounting days `valid_from <= day < valid_to` (`valid_to` None: still in force) in `region`, a
    行政区划代码 ("": the whole country), and in every region within it that has no row of its own. 0 is a
    medium that is not counted on the basis; the note says why.

    `parts` are what `per_unit` was made of, by name, as text. Of carbon: ncv (GJ per `unit`), unit,
    carbon_content (tC/GJ), oxidation (a fraction). Of a measured heating value: heat (J per canonical unit).
    """

    factor_id: str
    carrier: Carrier
    basis: Basis
    per_unit: Fraction
    edition: str
    source: str
    confidence: Confidence
    valid_from: dt.date
    valid_to: dt.date | None = None
    region: str = ""
    note: str = ""
    parts: tuple[tuple[str, str], ...] = ()

    def is_valid_on(self, day: dt.date) -> bool:
        """Whether the row is in force on that accounting day."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that conversions rest on and that no carrier has, with where it comes from."""

    name: str
    value: Fraction
    unit: str
    edition: str
    source: str
    confidence: Confidence
    note: str = ""


@dataclass(frozen=True, slots=True)
class FactorTable:
    """All factors that are loaded; at most one is valid per carrier, basis, region and day."""

    rows: tuple[Factor, ...]
    standard_coal: Constant | None = None
    """The heat of standard coal, kJ/kgce: what a measured heating value is divided by."""
    _rows_of: dict[tuple[Carrier, Basis, str], list[Factor]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows_of: dict[tuple[Carrier, Basis, str], list[Factor]] = {}
        for row in self.rows:
            rows_of.setdefault((row.carrier, row.basis, row.region), []).append(row)
        object.__setattr__(self, "_rows_of", rows_of)

    def at(self, carrier: Carrier, basis: Basis, day: dt.date, region: str = "") -> Factor:
        """The row valid that day in the region, or else in the narrowest region around it that has one.

        Raises: FactorMissing if there is none; nothing is ever assumed in its place.
        """
        for area in region_chain(region):
            for row in self._rows_of.get((carrier, basis, area), ()):
                if row.is_valid_on(day):
                    return row
        place = f" in {region}" if region else ""
        raise FactorMissing([f"no {basis.value} factor for {carrier.value} on {day}{place}"])

    def narrowest(self, carrier: Carrier, region: str) -> str:
        """The narrowest region around `region` that has rows of the carrier; "" if none below the country."""
        for area in region_chain(region):
            if any((carrier, basis, area) in self._rows_of for basis in Basis):
                return area
        return ""

    def borders(self, carrier: Carrier, region: str) -> set[dt.date]:
        """The days on which some factor of the carrier in the region begins or ends."""
        rows = [
            row
            for area in region_chain(region)
            for basis in Basis
            for row in self._rows_of.get((carrier, basis, area), ())
        ]
        return {row.valid_from for row in rows} | {row.valid_to for row in rows if row.valid_to is not None}


def kg_co2(heat_gj: Fraction, carbon_content: Fraction, oxidation: Fraction) -> Fraction:
    """kg CO2 of burning what gives `heat_gj`: × tC/GJ × the fraction oxidised × 44/12 × 1 000 kg/t.

    Source: 《工业其他行业企业温室气体排放核算方法与报告指南》: FC × NCV × CC × OF × 44/12; clause not
    seen, the formula is that of public programs.

    >>> kg_co2(Fraction("23.204"), Fraction("0.02618"), Fraction("0.93")) / 1000  # t per t of 烟煤
    Fraction(2589386569, 1250000000)
    """
    return heat_gj * carbon_content * oxidation * Fraction(44, 12) * 1000


def overlapping_rows(rows: Iterable[Factor]) -> list[str]:
    """A problem line for every two rows of one carrier, basis and region that are valid on a common day."""
    problems = []
    ordered = sorted(rows, key=lambda row: (row.carrier, row.basis, row.region, row.valid_from))
    for earlier, later in pairwise(ordered):
        same = _where(earlier) == _where(later)
        if same and (earlier.valid_to is None or later.valid_from < earlier.valid_to):
            problems.append(f"factors {earlier.factor_id} and {later.factor_id} overlap")
    return problems


def _where(row: Factor) -> tuple[Carrier, Basis, str]:
    return row.carrier, row.basis, row.region
