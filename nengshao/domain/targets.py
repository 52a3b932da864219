"""Targets of 双控 and the figures people state for them, as closed vocabularies."""

from __future__ import annotations

from enum import StrEnum


class TargetLevel(StrEnum):
    """A target that must be met, or one that is rewarded (发改环资〔2021〕1310号: 基本目标, 激励目标)."""

    BASE = "base"
    INCENTIVE = "incentive"


class Profile(StrEnum):
    """How a year's quota spreads over its days."""

    LINEAR = "linear"
    LAST_YEAR = "last_year"  # the shape of the enterprise's own year before
    PLAN = "plan"  # the enterprise's monthly plan, scaled to the quota


class Projection(StrEnum):
    """By what method the rest of a year is expected."""

    LINEAR = "linear"  # as the days so far
    LAST_YEAR = "last_year"  # the rest of last year, scaled by how this year compares so far
    BLEND = "blend"  # between the two


class IntensityState(StrEnum):
    """The three states of an intensity against its target."""

    MET = "met"
    MISSED_FALLING = "missed_falling"  # above its target, below the year before
    RISING = "rising"  # above its target, and not below the year before


class Indicator(StrEnum):
    """What a statistic states."""

    OUTPUT = "output"  # 产品产量; item: the product
    OUTPUT_VALUE = "output_value"  # 产值, current prices
    OUTPUT_VALUE_COMPARABLE = "output_value_comparable"  # 产值, comparable prices
    VALUE_ADDED = "value_added"  # 增加值, current prices
    VALUE_ADDED_COMPARABLE = "value_added_comparable"
    GDP_COMPARABLE = "gdp_comparable"  # 地区生产总值, constant prices
    ENERGY_CONSUMPTION = "energy_consumption"  # a region's total, tce; item: the scope
    CARBON_EMISSION = "carbon_emission"  # a region's total, tCO2; item: the scope
    NORM_PARAMETER = "norm_parameter"  # what a norm's correction needs; item: "<product>/<parameter>"


class StatisticState(StrEnum):
    """How far a stated figure has come."""

    SUBMITTED = "submitted"  # by an enterprise; nobody has looked at it
    APPROVED = "approved"
    REJECTED = "rejected"  # kept, never used
    PRELIMINARY = "preliminary"  # 初步核算
    FINAL = "final"  # 最终核实

    @property
    def is_confirmed(self) -> bool:
        """Whether an inspector may rest a case on it."""
        return self in (StatisticState.APPROVED, StatisticState.FINAL)
