"""Quotas and targets of the simulated enterprises and regions, sized so that each stands where it should."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.targets import Indicator, Profile, TargetLevel
from nengshao.domain.units import Carrier, Role, Scope, Use
from simulators.codes import HUNAN_COUNTY, SHANDONG_COUNTY, fictitious_credit_code
from simulators.plants import PlantSpec
from simulators.statements import SOURCE, RegionSpec
from simulators.tables import Row
from simulators.traces import Trace

# Only to size the fictitious quotas: kg of coal or CO2 per canonical unit, rounded; electricity at equivalent
# value and its CO2 are round figures. What is *assessed* comes from the factor tables of analytics/.
_CALORIFIC: Final = {
    Carrier.ELECTRICITY: Fraction("0.1229"),
    Carrier.OWN_NON_FOSSIL_ELECTRICITY: Fraction("0.1229"),
    Carrier.NATURAL_GAS: Fraction("1.3300"),
    Carrier.BITUMINOUS_COAL: Fraction("0.7143"),
    Carrier.DIESEL: Fraction("1.4571"),
    Carrier.HEAT: Fraction("0.0341"),
}
_SIZING: Final = {
    Basis.CALORIFIC: _CALORIFIC,
    Basis.EQUIVALENT: _CALORIFIC
    | {Carrier.ELECTRICITY: Fraction("0.3"), Carrier.OWN_NON_FOSSIL_ELECTRICITY: Fraction("0.3")},
    Basis.CARBON: {
        Carrier.OWN_NON_FOSSIL_ELECTRICITY: Fraction(0),
        Carrier.NATURAL_GAS: Fraction("2.16"),
        Carrier.BITUMINOUS_COAL: Fraction("1.98"),
        Carrier.DIESEL: Fraction("3.1"),
        Carrier.HEAT: Fraction("0.11"),
    },
}
_GRID: Final = {HUNAN_COUNTY: Fraction("0.5"), SHANDONG_COUNTY: Fraction("0.62")}  # kg CO2 per kWh
_SIGN: Final = {Role.INPUT: 1, Role.OUTPUT: -1}
_INCENTIVE: Final = Fraction(100, 97)  # the rewarded quota is 3 % less
_LOOSER: Final = Fraction(9, 10)

REGIONS: Final = {
    HUNAN_COUNTY: RegionSpec(650_000, 260_000, gdp_growth=52, energy_growth=24, target="3.0"),
    SHANDONG_COUNTY: RegionSpec(300_000, 60_000, gdp_growth=48, energy_growth=55, target="2.5"),
}
"""Two counties: in one the intensity falls, though less than it should; in the other it rises."""

_DOCUMENT: Final = {"source": SOURCE, "confidence": Confidence.RECALLED.value}


def quota_rows(plant: PlantSpec, traces: Sequence[Trace], year: int, days: int) -> list[Row]:
    """The plant's annual quotas: energy on its basis, base and incentive, and looser ones: CO2; and energy at
    equivalent value without what is not fossil, where there is any.
    """
    wanted = [
        (plant.basis, Scope.TOTAL, TargetLevel.BASE, plant.pace),
        (plant.basis, Scope.TOTAL, TargetLevel.INCENTIVE, plant.pace * _INCENTIVE),
        (Basis.CARBON, Scope.TOTAL, TargetLevel.BASE, plant.pace * _LOOSER),
    ]
    if any(trace.spec.use is Use.NON_FOSSIL for trace in traces):
        pace = plant.pace * _LOOSER
        wanted.append((Basis.EQUIVALENT, Scope.EXCLUDING_NON_FOSSIL, TargetLevel.BASE, pace))
    return [
        {
            "enterprise": fictitious_credit_code(plant.number), "year": str(year), "basis": basis.value,
            "scope": scope.value, "level": level.value, "profile": Profile.LINEAR.value,
            "quota_t": _rounded(_kg(plant, traces, basis, scope) * 365 / days / pace),
        } | _DOCUMENT
        for basis, scope, level, pace in wanted
    ]  # fmt: skip


def _kg(plant: PlantSpec, traces: Iterable[Trace], basis: Basis, scope: Scope) -> Fraction:
    """What the run comes to, kg of coal or CO2."""
    factors = _SIZING[basis]
    if basis is Basis.CARBON:
        factors = factors | {Carrier.ELECTRICITY: _GRID[plant.region]}
    counted = [t for t in traces if scope is Scope.TOTAL or t.spec.use is not Use.NON_FOSSIL]
    grams = (_SIGN.get(t.spec.role, 0) * factors[t.spec.carrier] * t.energy(0, t.slots) for t in counted)
    return sum(grams, Fraction(0)) / 1000


def _rounded(kg: Fraction) -> str:
    """Tonnes, to 10."""
    return str(max(10, round(kg / 10_000) * 10))


def target_rows(plants: Sequence[PlantSpec], year: int) -> list[Row]:
    """What a unit of each product may take, and by what a unit of GDP must take less than the year before."""
    aim = {"year": str(year), "scope": Scope.TOTAL.value, "level": TargetLevel.BASE.value} | _DOCUMENT
    of_plants = [
        {
            "enterprise": fictitious_credit_code(plant.number), "basis": Basis.CALORIFIC.value,
            "denominator": f"product:{plant.product.product}", "target_kg": plant.product.target,
            "reduction_percent": "", "base_year": "",
        } | aim
        for plant in plants
    ]  # fmt: skip
    of_regions = [
        {
            "enterprise": region, "basis": Basis.EQUIVALENT.value,
            "denominator": Indicator.GDP_COMPARABLE.value, "target_kg": "",
            "reduction_percent": REGIONS[region].target, "base_year": str(year - 1),
        } | aim
        for region in sorted({plant.region for plant in plants})
    ]  # fmt: skip
    return of_plants + of_regions
