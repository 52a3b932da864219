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
    """What a meter measures. The value is used in registry files, factor tables and results.

    Named after GB/T 2589, annexes A and B, and the fuels of statistics and of CO2 tables beside them. Where
    an annex gives a range, each limit is a carrier of its own (天然气: the upper one).
    """

    ELECTRICITY = "electricity"
    OWN_NON_FOSSIL_ELECTRICITY = "own_non_fossil_electricity"
    HEAT = "heat"
    STEAM_LOW_PRESSURE = "steam_low_pressure"
    WASTE_HEAT = "waste_heat"
    # coal and what is made of it
    RAW_COAL = "raw_coal"
    ANTHRACITE = "anthracite"
    BITUMINOUS_COAL = "bituminous_coal"
    COKING_COAL = "coking_coal"
    LIGNITE = "lignite"
    WASHED_COAL = "washed_coal"
    DRY_CLEAN_COAL = "dry_clean_coal"
    MIDDLINGS = "middlings"
    OTHER_WASHED_COAL = "other_washed_coal"
    COAL_SLIME_LOW = "coal_slime_low"
    COAL_SLIME_HIGH = "coal_slime_high"
    COAL_GANGUE = "coal_gangue"
    BRIQUETTE = "briquette"
    COKE = "coke"
    COAL_TAR = "coal_tar"
    CRUDE_BENZOL = "crude_benzol"
    # oil and what is made of it
    CRUDE_OIL = "crude_oil"
    FUEL_OIL = "fuel_oil"
    GASOLINE = "gasoline"
    KEROSENE = "kerosene"
    DIESEL = "diesel"
    RESIDUAL_OIL = "residual_oil"
    LPG = "lpg"
    REFINERY_DRY_GAS = "refinery_dry_gas"
    NAPHTHA = "naphtha"
    LUBRICATING_OIL = "lubricating_oil"
    PARAFFIN_WAX = "paraffin_wax"
    SOLVENT_OIL = "solvent_oil"
    PETROLEUM_COKE = "petroleum_coke"
    PETROLEUM_ASPHALT = "petroleum_asphalt"
    OTHER_PETROLEUM_PRODUCTS = "other_petroleum_products"
    # gases
    NATURAL_GAS = "natural_gas"
    NATURAL_GAS_LOW = "natural_gas_low"
    GAS_FIELD_GAS = "gas_field_gas"
    LNG = "lng"
    COALBED_METHANE = "coalbed_methane"
    COAL_MINE_GAS_LOW = "coal_mine_gas_low"
    COAL_MINE_GAS_HIGH = "coal_mine_gas_high"
    COKE_OVEN_GAS_LOW = "coke_oven_gas_low"
    COKE_OVEN_GAS_HIGH = "coke_oven_gas_high"
    BLAST_FURNACE_GAS = "blast_furnace_gas"
    CONVERTER_GAS = "converter_gas"
    CARBIDE_FURNACE_GAS = "carbide_furnace_gas"
    PRODUCER_GAS = "producer_gas"
    HEAVY_OIL_CATALYTIC_GAS = "heavy_oil_catalytic_gas"
    HEAVY_OIL_THERMAL_GAS = "heavy_oil_thermal_gas"
    GAS_FROM_COKE = "gas_from_coke"
    PRESSURE_GASIFICATION_GAS = "pressure_gasification_gas"
    WATER_GAS = "water_gas"
    OTHER_COAL_GAS = "other_coal_gas"
    # other fuels
    METHANOL = "methanol"
    ETHANOL = "ethanol"
    HYDROGEN = "hydrogen"
    BIOGAS_LOW = "biogas_low"
    BIOGAS_HIGH = "biogas_high"
    MUNICIPAL_WASTE = "municipal_waste"
    INDUSTRIAL_WASTE = "industrial_waste"
    # 耗能工质: counted by the energy spent on making them
    FRESH_WATER = "fresh_water"
    SOFTENED_WATER = "softened_water"
    DEOXYGENATED_WATER = "deoxygenated_water"
    COMPRESSED_AIR = "compressed_air"
    BLAST_AIR = "blast_air"
    OXYGEN = "oxygen"
    NITROGEN_BYPRODUCT = "nitrogen_byproduct"
    NITROGEN = "nitrogen"
    CARBON_DIOXIDE = "carbon_dioxide"
    ACETYLENE = "acetylene"
    CALCIUM_CARBIDE = "calcium_carbide"

    @property
    def unit(self) -> Unit:
        """The carrier's canonical unit."""
        return _CARRIERS[self][0]

    @property
    def zh(self) -> str:
        """The carrier's Chinese name."""
        return _CARRIERS[self][1]

    @property
    def is_fuel(self) -> bool:
        """Whether it is burnt: only then a measured heating value says what a unit of it is worth."""
        return self.unit in (Unit.KG, Unit.CUBIC_METRE) and self not in _NOT_BURNT


_CARRIERS: Final[dict[Carrier, tuple[Unit, str]]] = {
    Carrier.ELECTRICITY: (Unit.KWH, "电力"),
    Carrier.OWN_NON_FOSSIL_ELECTRICITY: (Unit.KWH, "自产非化石电力"),
    Carrier.HEAT: (Unit.MJ, "热力"),
    Carrier.STEAM_LOW_PRESSURE: (Unit.KG, "低压蒸汽"),
    Carrier.WASTE_HEAT: (Unit.MJ, "余热余压"),
    Carrier.RAW_COAL: (Unit.KG, "原煤"),
    Carrier.ANTHRACITE: (Unit.KG, "无烟煤"),
    Carrier.BITUMINOUS_COAL: (Unit.KG, "烟煤"),
    Carrier.COKING_COAL: (Unit.KG, "炼焦烟煤"),
    Carrier.LIGNITE: (Unit.KG, "褐煤"),
    Carrier.WASHED_COAL: (Unit.KG, "洗精煤"),
    Carrier.DRY_CLEAN_COAL: (Unit.KG, "干洗精煤"),
    Carrier.MIDDLINGS: (Unit.KG, "洗中煤"),
    Carrier.OTHER_WASHED_COAL: (Unit.KG, "其他洗煤"),
    Carrier.COAL_SLIME_LOW: (Unit.KG, "煤泥（下限）"),
    Carrier.COAL_SLIME_HIGH: (Unit.KG, "煤泥（上限）"),
    Carrier.COAL_GANGUE: (Unit.KG, "煤矸石"),
    Carrier.BRIQUETTE: (Unit.KG, "型煤"),
    Carrier.COKE: (Unit.KG, "焦炭"),
    Carrier.COAL_TAR: (Unit.KG, "煤焦油"),
    Carrier.CRUDE_BENZOL: (Unit.KG, "粗苯"),
    Carrier.CRUDE_OIL: (Unit.KG, "原油"),
    Carrier.FUEL_OIL: (Unit.KG, "燃料油"),
    Carrier.GASOLINE: (Unit.KG, "汽油"),
    Carrier.KEROSENE: (Unit.KG, "煤油"),
    Carrier.DIESEL: (Unit.KG, "柴油"),
    Carrier.RESIDUAL_OIL: (Unit.KG, "渣油"),
    Carrier.LPG: (Unit.KG, "液化石油气"),
    Carrier.REFINERY_DRY_GAS: (Unit.KG, "炼厂干气"),
    Carrier.NAPHTHA: (Unit.KG, "石脑油"),
    Carrier.LUBRICATING_OIL: (Unit.KG, "润滑油"),
    Carrier.PARAFFIN_WAX: (Unit.KG, "石蜡"),
    Carrier.SOLVENT_OIL: (Unit.KG, "溶剂油"),
    Carrier.PETROLEUM_COKE: (Unit.KG, "石油焦"),
    Carrier.PETROLEUM_ASPHALT: (Unit.KG, "石油沥青"),
    Carrier.OTHER_PETROLEUM_PRODUCTS: (Unit.KG, "其他石油制品"),
    Carrier.NATURAL_GAS: (Unit.CUBIC_METRE, "天然气"),
    Carrier.NATURAL_GAS_LOW: (Unit.CUBIC_METRE, "天然气（下限）"),
    Carrier.GAS_FIELD_GAS: (Unit.CUBIC_METRE, "气田天然气"),
    Carrier.LNG: (Unit.KG, "液化天然气"),
    Carrier.COALBED_METHANE: (Unit.CUBIC_METRE, "煤层气"),
    Carrier.COAL_MINE_GAS_LOW: (Unit.CUBIC_METRE, "煤矿瓦斯气（下限）"),
    Carrier.COAL_MINE_GAS_HIGH: (Unit.CUBIC_METRE, "煤矿瓦斯气（上限）"),
    Carrier.COKE_OVEN_GAS_LOW: (Unit.CUBIC_METRE, "焦炉煤气（下限）"),
    Carrier.COKE_OVEN_GAS_HIGH: (Unit.CUBIC_METRE, "焦炉煤气（上限）"),
    Carrier.BLAST_FURNACE_GAS: (Unit.CUBIC_METRE, "高炉煤气"),
    Carrier.CONVERTER_GAS: (Unit.CUBIC_METRE, "转炉煤气"),
    Carrier.CARBIDE_FURNACE_GAS: (Unit.CUBIC_METRE, "密闭电石炉炉气"),
    Carrier.PRODUCER_GAS: (Unit.CUBIC_METRE, "发生炉煤气"),
    Carrier.HEAVY_OIL_CATALYTIC_GAS: (Unit.CUBIC_METRE, "重油催化裂解煤气"),
    Carrier.HEAVY_OIL_THERMAL_GAS: (Unit.CUBIC_METRE, "重油热裂解煤气"),
    Carrier.GAS_FROM_COKE: (Unit.CUBIC_METRE, "焦炭制气"),
    Carrier.PRESSURE_GASIFICATION_GAS: (Unit.CUBIC_METRE, "压力气化煤气"),
    Carrier.WATER_GAS: (Unit.CUBIC_METRE, "水煤气"),
    Carrier.OTHER_COAL_GAS: (Unit.CUBIC_METRE, "其他煤气"),
    Carrier.METHANOL: (Unit.KG, "甲醇"),
    Carrier.ETHANOL: (Unit.KG, "乙醇"),
    Carrier.HYDROGEN: (Unit.CUBIC_METRE, "氢气"),
    Carrier.BIOGAS_LOW: (Unit.CUBIC_METRE, "沼气（下限）"),
    Carrier.BIOGAS_HIGH: (Unit.CUBIC_METRE, "沼气（上限）"),
    Carrier.MUNICIPAL_WASTE: (Unit.KG, "城市生活垃圾"),
    Carrier.INDUSTRIAL_WASTE: (Unit.KG, "其他工业废料"),
    Carrier.FRESH_WATER: (Unit.KG, "新水"),
    Carrier.SOFTENED_WATER: (Unit.KG, "软水"),
    Carrier.DEOXYGENATED_WATER: (Unit.KG, "除氧水"),
    Carrier.COMPRESSED_AIR: (Unit.CUBIC_METRE, "压缩空气"),
    Carrier.BLAST_AIR: (Unit.CUBIC_METRE, "鼓风"),
    Carrier.OXYGEN: (Unit.CUBIC_METRE, "氧气"),
    Carrier.NITROGEN_BYPRODUCT: (Unit.CUBIC_METRE, "氮气（副产品）"),
    Carrier.NITROGEN: (Unit.CUBIC_METRE, "氮气（主产品）"),
    Carrier.CARBON_DIOXIDE: (Unit.CUBIC_METRE, "二氧化碳气"),
    Carrier.ACETYLENE: (Unit.CUBIC_METRE, "乙炔"),
    Carrier.CALCIUM_CARBIDE: (Unit.KG, "电石"),
}

_NOT_BURNT: Final = frozenset(
    {
        Carrier.STEAM_LOW_PRESSURE,
        Carrier.FRESH_WATER,
        Carrier.SOFTENED_WATER,
        Carrier.DEOXYGENATED_WATER,
        Carrier.COMPRESSED_AIR,
        Carrier.BLAST_AIR,
        Carrier.OXYGEN,
        Carrier.NITROGEN_BYPRODUCT,
        Carrier.NITROGEN,
        Carrier.CARBON_DIOXIDE,
        Carrier.ACETYLENE,
        Carrier.CALCIUM_CARBIDE,
    }
)


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
