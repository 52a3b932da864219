"""Statements: what enterprises and a statistical office state by the month and the quarter (STATISTICS)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any, Final

from nengshao.domain.targets import Indicator, StatisticState
from nengshao.domain.time import DAY_S, day_number, instant_of
from simulators.manual import months_of
from simulators.plants import SLOTS_A_DAY, ProductSpec

SOURCE: Final = "虚构，仅供演示 (fictitious, for demonstration only)"

Statement = dict[str, Any]
"""A STATISTICS row."""

_OFFICE_S: Final = 10 * 3600


def output_by_day(product: ProductSpec, flow: Sequence[int], rng: Random) -> list[int]:
    """What is made every day, 10⁻³ of the product's unit: the flow over what a unit takes, ± 3 %."""
    made, better = [], 1.0
    for number in range(0, len(flow), SLOTS_A_DAY):
        better = min(1.03, max(0.97, better + 0.004 * (2 * rng.random() - 1)))
        made.append(int(sum(flow[number : number + SLOTS_A_DAY]) * 1000 * better / product.per_unit))
    return made


def plant_statements(
    enterprise: str, product: ProductSpec, made: Sequence[int], start: dt.date, rng: Random, *, faulty: bool
) -> Iterator[Statement]:
    """Output and its value of every whole month, stated within days of its end and approved by somebody.

    In a faulty run one month is stated too high at first and corrected two weeks later.
    """
    months = list(months_of(start, len(made)))
    wrong = rng.randrange(len(months)) if faulty and months else -1
    for number, (first, last, end) in enumerate(months):
        days = (day_number(start) + first // SLOTS_A_DAY, day_number(end))
        output = sum(made[first // SLOTS_A_DAY : last // SLOTS_A_DAY])
        stated = instant_of(end) + rng.randint(2, 5) * DAY_S + _OFFICE_S
        if number == wrong:
            yield from _output(enterprise, product, output * 11 // 10, days, stated)
            stated += 14 * DAY_S
        yield from _output(enterprise, product, output, days, stated)
    year = (dt.date(start.year, 1, 1), dt.date(start.year + 1, 1, 1))
    for name, value, unit in product.parameters:
        parameter = _statement(
            enterprise, Indicator.NORM_PARAMETER, f"{product.product}/{name}", _days(*year), instant_of(start)
        )
        yield parameter | _approved(instant_of(start)) | {"value": value * 1000, "unit": unit}


def _output(
    enterprise: str, product: ProductSpec, output: int, days: tuple[int, int], stated: int
) -> Iterator[Statement]:
    value = int(Fraction(output) * product.price / 10_000)
    for indicator, item, amount, unit in (
        (Indicator.OUTPUT, product.product, output, product.unit),
        (Indicator.OUTPUT_VALUE_COMPARABLE, "", value, "1e4CNY"),
    ):
        statement = _statement(enterprise, indicator, item, days, stated) | _approved(stated)
        yield statement | {"value": amount, "unit": unit}


@dataclass(frozen=True, slots=True)
class RegionSpec:
    """A region's quarter of the year before the run, and by what each grows in the year (per mille)."""

    gdp: int  # 10⁴ CNY, constant prices
    energy: int  # tce, equivalent
    gdp_growth: int
    energy_growth: int
    target: str  # reduction of the intensity against the year before, %


def region_statements(region: str, spec: RegionSpec, start: dt.date, days: int) -> Iterator[Statement]:
    """GDP and energy of the region: four final quarters of the year before, and the run's as they end."""
    end = start + dt.timedelta(days=days)
    for year, state in ((start.year - 1, StatisticState.FINAL), (start.year, StatisticState.PRELIMINARY)):
        for quarter in range(4):
            first, after = _quarter(year, quarter), _quarter(year, quarter + 1)
            if after <= end and (first >= start or year < start.year):
                stated = max(instant_of(start), instant_of(after) + 25 * DAY_S)
                yield from _region_quarter(region, spec, (first, after), stated, state)


def _region_quarter(
    region: str, spec: RegionSpec, quarter: tuple[dt.date, dt.date], stated: int, state: StatisticState
) -> Iterator[Statement]:
    is_grown = state is StatisticState.PRELIMINARY
    for indicator, item, value, growth, unit in (
        (Indicator.GDP_COMPARABLE, "", spec.gdp, spec.gdp_growth, "1e4CNY"),
        (Indicator.ENERGY_CONSUMPTION, "total", spec.energy, spec.energy_growth, "tce"),
    ):
        grown = value * (1000 + growth * is_grown)  # 10⁻³ of the unit, by the per mille
        statement = _statement(region, indicator, item, _days(*quarter), stated)
        yield statement | {
            "value": grown,
            "unit": unit,
            "state": state.value,
            "submitted_by": "统计机构（虚构）",
        }


def _quarter(year: int, number: int) -> dt.date:
    return dt.date(year + number // 4, number % 4 * 3 + 1, 1)


def _days(first: dt.date, after: dt.date) -> tuple[int, int]:
    return day_number(first), day_number(after)


def _statement(
    subject: str, indicator: Indicator, item: str, days: tuple[int, int], stated: int
) -> Statement:
    return {
        "subject": subject, "indicator": indicator.value, "item": item, "first_day": days[0],
        "end_day": days[1], "version": stated, "source": SOURCE, "decided_by": "", "decided_at": None,
        "note": "",
    }  # fmt: skip


def _approved(at: int) -> Statement:
    return {
        "state": StatisticState.APPROVED.value, "submitted_by": "simulated desk",
        "decided_by": "simulated office", "decided_at": at,
    }  # fmt: skip
