"""Units and carriers: one canonical unit per carrier, conversions as exact fractions.

A `Carrier` is what flows through a meter. Its canonical unit is one of kWh, m³ (at the standard's
reference state), MJ, kg. Past screening every amount is an integer in 10⁻³ of it (Wh, dm³, kJ, g).
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from typing import Final

MILLI: Final = 1_000
"""Amounts are integers in 10⁻³ of the carrier's canonical unit."""


class Unit(StrEnum):
    """Units a registry row may name. The value is what a registry file says."""

    KWH = "kWh"
    MWH = "MWh"
    TEN_MWH = "1e4kWh"
    CUBIC_METRE = "m3"
    TEN_THOUSAND_CUBIC_METRES = "1e4m3"
    MJ = "MJ"
    GJ = "GJ"
    KG = "kg"
    TONNE = "t"


_TO_CANONICAL: Final[dict[Unit, tuple[Unit, Fraction]]] = {
    Unit.KWH: (Unit.KWH, Fraction(1)),
    Unit.MWH: (Unit.KWH, Fraction(1000)),  # 1 MWh = 1 000 kWh
    Unit.TEN_MWH: (Unit.KWH, Fraction(10_000)),  # 万千瓦时
    Unit.CUBIC_METRE: (Unit.CUBIC_METRE, Fraction(1)),
    Unit.TEN_THOUSAND_CUBIC_METRES: (Unit.CUBIC_METRE, Fraction(10_000)),  # 万立方米
    Unit.MJ: (Unit.MJ, Fraction(1)),
    Unit.GJ: (Unit.MJ, Fraction(1000)),
    Unit.KG: (Unit.KG, Fraction(1)),
    Unit.TONNE: (Unit.KG, Fraction(1000)),
}


def canonical_unit(unit: Unit) -> Unit:
    """The canonical unit of the quantity that `unit` measures."""
    return _TO_CANONICAL[unit][0]


def to_canonical(unit: Unit) -> Fraction:
    """How many canonical units one `unit` is, exactly.

    >>> to_canonical(Unit.GJ)
    Fraction(1000, 1)
    """
    return _TO_CANONICAL[unit][1]


class Carrier(StrEnum):
    """What a meter measures. The value is used in registry files, factor tables and results."""

    ELECTRICITY = "electricity"
    NATURAL_GAS = "natural_gas"
    RAW_COAL = "raw_coal"
    DIESEL = "diesel"
    HEAT = "heat"
    COKE = "coke"
    FRESH_WATER = "fresh_water"

    @property
    def unit(self) -> Unit:
        """The carrier's canonical unit."""
        return _CARRIER_UNIT[self]

    @property
    def zh(self) -> str:
        """The carrier's Chinese name."""
        return _CARRIER_ZH[self]


_CARRIER_UNIT: Final[dict[Carrier, Unit]] = {
    Carrier.ELECTRICITY: Unit.KWH,
    Carrier.NATURAL_GAS: Unit.CUBIC_METRE,
    Carrier.RAW_COAL: Unit.KG,
    Carrier.DIESEL: Unit.KG,
    Carrier.HEAT: Unit.MJ,
    Carrier.COKE: Unit.KG,
    Carrier.FRESH_WATER: Unit.KG,
}

_CARRIER_ZH: Final[dict[Carrier, str]] = {
    Carrier.ELECTRICITY: "电力",
    Carrier.NATURAL_GAS: "天然气",
    Carrier.RAW_COAL: "原煤",
    Carrier.DIESEL: "柴油",
    Carrier.HEAT: "热力",
    Carrier.COKE: "焦炭",
    Carrier.FRESH_WATER: "新水",
}


class PointKind(StrEnum):
    """What a point sends: the state of a counter, an amount per period, a mean power, or a stock-take.

    A virtual point sends nothing: it is a dated linear combination of others.
    """

    REGISTER = "register"
    AMOUNT = "amount"
    POWER = "power"
    STOCK = "stock"  # 盘点: what lies in store at an instant; its fall from one to the next is consumption
    VIRTUAL = "virtual"


class Role(StrEnum):
    """Where a point stands: on the enterprise's boundary (in or out), or inside it.

    Inside the boundary nothing adds to a total: conversion, distribution, own working media and energy
    recovered for own use were counted when they, or what they were made of, came in.
    """

    INPUT = "input"
    OUTPUT = "output"
    SUB = "sub"
    RECOVERED = "recovered"  # 回收自用: shown beside the total, never added to it


class Use(StrEnum):
    """What the energy of a point is used as: it decides in which scopes the point counts."""

    ENERGY = "energy"
    FEEDSTOCK = "feedstock"  # 原料用能
    NON_FOSSIL = "non_fossil"  # 非化石能源
    CERTIFICATE = "certificate"  # 绿证: says that so much of what came in was non-fossil; adds nothing itself


class Scope(StrEnum):
    """What a total includes."""

    TOTAL = "total"
    FEEDSTOCK = "feedstock"
    NON_FOSSIL = "non_fossil"
    EXCLUDING_FEEDSTOCK = "excluding_feedstock"
    EXCLUDING_NON_FOSSIL = "excluding_non_fossil"
    NET = "net"

    @property
    def zh(self) -> str:
        """The scope's Chinese name."""
        return _SCOPE_ZH[self]


_SCOPE_ZH: Final[dict[Scope, str]] = {
    Scope.TOTAL: "总量",
    Scope.FEEDSTOCK: "原料用能",
    Scope.NON_FOSSIL: "非化石能源",
    Scope.EXCLUDING_FEEDSTOCK: "扣除原料用能",
    Scope.EXCLUDING_NON_FOSSIL: "扣除非化石能源",
    Scope.NET: "扣除原料用能和非化石能源",
}
