"""Load shapes: the energy that flows in every quarter of an hour, as integers in 10⁻³ canonical unit.

Each plant is a function of a `Run` and gives one list per flow. Flows add up: what sub-meters measure is
part of what the boundary measures.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass

_DAY = 96  # quarters of an hour


@dataclass(frozen=True, slots=True)
class Run:
    """The year a plant runs through: where its randomness starts, its first day, its length."""

    seed: str
    start: dt.date
    days: int

    def rng(self, flow: str) -> random.Random:
        """The randomness of one flow; the same text gives the same numbers on every machine."""
        return random.Random(f"{self.seed}/{flow}")

    def quarters(self) -> Iterator[tuple[dt.date, int]]:
        """(date, quarter of the day) from the first to the last."""
        for day in range(self.days):
            date = self.start + dt.timedelta(days=day)
            for quarter in range(_DAY):
                yield date, quarter


def warmth(date: dt.date) -> float:
    """How far the year has come to midsummer: 0 at new year, 1 at the end of July."""
    x = min(date.timetuple().tm_yday / 424, 1.0)  # a parabola with its top at day 212
    return 4 * x * (1 - x)


def _wavering(rng: random.Random, share: float) -> float:
    return 1 + share * (2 * rng.random() - 1)


def _kw(power: float) -> int:
    """Wh in a quarter of an hour at this power in kW."""
    return int(power * 250)


# ------------------------------------------------------------------------------------------- cement


def cement(run: Run) -> dict[str, list[int]]:
    """Flows of the kiln line: incomer_1, incomer_2, kiln, raw_mill, cement_mill, auxiliary, pv (Wh); coal,
    diesel_in (what is bought), diesel_stock (by how much the tank falls; < 0: rises) (g).
    """
    flows: dict[str, list[int]] = {
        name: []
        for name in (
            "kiln", "raw_mill", "cement_mill", "auxiliary", "incomer_1", "incomer_2", "coal", "diesel",
        )
    }  # fmt: skip
    rng = run.rng("line")
    split = 0.53
    for (date, quarter), fire in zip(run.quarters(), kiln_fire(run), strict=True):
        kiln = _kw((250 + 5800 * fire) * _wavering(rng, 0.02))
        raw_mill = _kw((8200 if fire > 0.5 and not 72 <= quarter < 84 else 120) * _wavering(rng, 0.03))
        mill = _kw(_cement_mill_kw(date, quarter) * _wavering(rng, 0.05))
        auxiliary = _kw((2000 + 700 * fire) * _wavering(rng, 0.03))
        total = kiln + raw_mill + mill + auxiliary
        split = min(0.58, max(0.48, split + 0.002 * (2 * rng.random() - 1)))
        first = int(total * split)
        coal = int(7_650_000 * fire * _wavering(rng, 0.04))  # 147 kg a tonne of clinker, 5 000 t a day
        trucks = 24 <= quarter < 76 and date.isoweekday() != 7
        diesel = int(36_000 * _wavering(rng, 0.3)) if trucks else 0
        row = (kiln, raw_mill, mill, auxiliary, first, total - first, coal, diesel)
        for series, amount in zip(flows.values(), row, strict=True):
            series.append(amount)
    bought = tankers(flows["diesel"])
    fall = [used - put_in for used, put_in in zip(flows.pop("diesel"), bought, strict=True)]
    return flows | {"diesel_in": bought, "diesel_stock": fall, "pv": sunshine(run, 3000.0)}


TANK_G = 40_000_000
"""What lies in the diesel tank when a run starts."""


def tankers(used: list[int]) -> list[int]:
    """What is put into a tank from which this is used: 25 t, whenever less than 10 t are left."""
    bought, left = [], TANK_G
    for amount in used:
        left -= amount
        bought.append(25_000_000 if left < 10_000_000 else 0)
        left += bought[-1]
    return bought


def sunshine(run: Run, peak_kw: float) -> list[int]:
    """What panels give: nothing at night, more in summer, less under clouds (Wh)."""
    rng, energy, clouds = run.rng("sun"), [], 1.0
    for date, quarter in run.quarters():
        if quarter == 0:
            clouds = rng.uniform(0.25, 1.0)
        risen = min(max(quarter - 26, 0), 46) / 46  # half past six to six
        height = 4 * risen * (1 - risen)
        energy.append(_kw(peak_kw * (0.6 + 0.4 * warmth(date)) * height * clouds * _wavering(rng, 0.1)))
    return energy


def kiln_fire(run: Run) -> list[float]:
    """How hot the kiln runs, 0 to 1: a winter overhaul, trips of some hours, slow heating up after each."""
    rng = run.rng("fire")
    fire, down_until, heat = [], -1, 1.0
    for index, (date, _) in enumerate(run.quarters()):
        overhaul = (1, 20) <= (date.month, date.day) < (2, 13)  # around the Spring Festival
        if index > down_until and rng.random() < 1 / (35 * _DAY):
            down_until = index + rng.randint(8 * 4, 60 * 4)
        if overhaul or index <= down_until:
            heat = 0.0
            fire.append(0.0)
            continue
        heat = min(1.0, heat + 1 / 48)  # half a day from cold to full load
        fire.append(heat)
    return fire


def _cement_mill_kw(date: dt.date, quarter: int) -> float:
    """Ground mostly at night, when electricity is cheap; demand is low in winter."""
    night = quarter < 32 or quarter >= 88
    share = 1.0 if night else (0.7 if date.isoweekday() >= 6 else 0.5)
    return 13_000 * share * (0.55 + 0.45 * warmth(date))


# -------------------------------------------------------------------------------------------- steel

_HEAT_MW = (72.0, 78.0, 41.0, 3.5)  # one heat takes an hour, tap to tap: melt, melt, refine, tap


def steel(run: Run) -> dict[str, list[int]]:
    """Flows of the works: main, furnace, oxygen (Wh), gas (dm³), heat_out (kJ)."""
    flows: dict[str, list[int]] = {name: [] for name in ("furnace", "oxygen", "main", "gas", "heat_out")}
    rng = run.rng("works")
    melts, rolls = True, True
    for date, quarter in run.quarters():
        if quarter % 4 == 0:
            melts = _melts(date, quarter, rng)
            rolls = rng.random() < (0.9 if melts else 0.35)
        power_mw = _HEAT_MW[quarter % 4] if melts else 0.4
        furnace = _kw(power_mw * 1000 * _wavering(rng, 0.06))
        oxygen = _kw((9000 if melts else 2500) * _wavering(rng, 0.04))
        rolling = _kw((17_000 if rolls else 1500) * _wavering(rng, 0.08))
        rest = _kw((5000 + 1200 * warmth(date)) * _wavering(rng, 0.03))
        gas = int((1_000_000 if rolls else 160_000) * _wavering(rng, 0.07))
        heat = int((15_000_000 if melts else 600_000) * _wavering(rng, 0.1))
        row = (furnace, oxygen, furnace + oxygen + rolling + rest, gas, heat)
        for series, amount in zip(flows.values(), row, strict=True):
            series.append(amount)
    return flows


def _melts(date: dt.date, quarter: int, rng: random.Random) -> bool:
    """Three shifts; maintenance on Sunday's day shift; a heat now and then is lost."""
    maintenance = date.isoweekday() == 7 and 32 <= quarter < 64
    return not maintenance and rng.random() < 0.93


# --------------------------------------------------------------------------------------- datacentre


def datacentre(run: Run) -> dict[str, list[int]]:
    """Flows of the hall: feed_a, feed_b, it (Wh), diesel (g)."""
    flows: dict[str, list[int]] = {name: [] for name in ("it", "feed_a", "feed_b", "diesel")}
    rng = run.rng("hall")
    one_feed_until = -1
    for index, (date, quarter) in enumerate(run.quarters()):
        if rng.random() < 1 / (120 * _DAY):
            one_feed_until = index + rng.randint(4 * 4, 10 * 4)  # feed A is out for maintenance
        growth = 1 + 0.04 * (date - run.start).days / 365
        busy = 1 + 0.05 * (32 <= quarter < 92) - 0.03 * (date.isoweekday() >= 6)
        it = _kw(9500 * growth * busy * _wavering(rng, 0.01))
        total = int(it * (1.22 + 0.16 * warmth(date)))  # cooling works harder in summer
        feed_a = 0 if index <= one_feed_until else int(total * (0.5 + 0.02 * (rng.random() - 0.5)))
        tests = date.isoweekday() == 2 and date.day <= 7 and 40 <= quarter < 43  # the generators, monthly
        row = (it, feed_a, total - feed_a, 105_000 + rng.randrange(9000) if tests else 0)
        for series, amount in zip(flows.values(), row, strict=True):
            series.append(amount)
    return flows
