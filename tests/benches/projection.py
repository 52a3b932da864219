"""The year-end projection, scored month by month beside the linear naive one (used / days gone by × days).

Plants: the simulator's load shapes, three years each, on seeds drawn anew in every run (`--base` repeats a
run). The simulator's years are all alike, so the scorer makes them differ, by figures that were written down
before the method was and not touched since (`unlike_years`): the calendar moves like the Spring Festival,
the level grows or shrinks, demand wanders, output changes for good now and then, maintenance and outages
come when they come. Coal is a monthly figure, spread over its month, as the system would see it. The second
and third year are projected with the year before at hand, the first without.

The real plant (simulators/replay.py) has one year only, so there is nothing but that year to go by.

Error: |projected − outcome| / outcome, mean over plants. Covered: how often the 80 % interval holds the
outcome. `ratio`: mean error of the naive projection / ours, with a year before at hand.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import secrets
from random import Random
from typing import Any, Final

import polars as pl

from analytics.profiles import calendar_of
from analytics.projection import with_projection
from analytics.quota import year_days
from nengshao.domain.readings import StatType
from nengshao.domain.time import day_number
from nengshao.domain.units import Carrier, Role
from simulators import replay
from simulators.loads import Run
from simulators.plants import PLANTS, SLOTS_A_DAY, PlantSpec

PLANT_NAMES: Final = ("cement", "steel", "datacentre")
FIRST_YEAR: Final = 2023
YEARS: Final = 3  # the second is a leap year

# Only the proportions matter here: g of standard coal per 10⁻³ canonical unit, rounded.
GRAMS: Final = {
    Carrier.ELECTRICITY: 0.1229,
    Carrier.NATURAL_GAS: 1.33,
    Carrier.RAW_COAL: 0.7143,
    Carrier.DIESEL: 1.4571,
    Carrier.HEAT: 0.0341,
}

Days = list[float]


def plant_years(plant: PlantSpec, seed: str) -> list[Days]:
    """g a day of the plant's years."""
    rng = Random(f"{seed}/{plant.slug}/calendar")
    years = range(FIRST_YEAR, FIRST_YEAR + YEARS)
    # The Spring Festival falls between 21 January and 20 February, and the plant's year with it.
    plain = [shape_of_year(plant, f"{seed}/{year}", year, rng.randint(-15, 15)) for year in years]
    return unlike_years(plain, plant.slug, Random(f"{seed}/{plant.slug}/variation"))


def shape_of_year(plant: PlantSpec, seed: str, year: int, shift: int) -> Days:
    """The plant's load shape as g a day, its calendar moved by `shift` days."""
    first, end = year_days(year)
    flows = plant.loads(Run(seed, dt.date(year, 1, 1) + dt.timedelta(days=shift), end - first))
    total = [0.0] * (end - first)
    for point in plant.points:
        if point.role is Role.SUB:
            continue
        sign = -1 if point.role is Role.OUTPUT else 1
        flow, grams = flows[point.load], sign * GRAMS[point.carrier]
        daily = [sum(flow[at : at + SLOTS_A_DAY]) * grams for at in range(0, len(flow), SLOTS_A_DAY)]
        if point.stat_type is StatType.MONTH:
            daily = spread_by_month(daily, year)
        total = [a + b for a, b in zip(total, daily, strict=True)]
    return total


def spread_by_month(daily: Days, year: int) -> Days:
    """Every day its month's mean."""
    first = day_number(dt.date(year, 1, 1))
    spread: Days = []
    for month in range(1, 13):
        end = day_number(dt.date(year + month // 12, month % 12 + 1, 1)) - first
        own = daily[len(spread) : end]
        spread += [sum(own) / len(own)] * len(own)
    return spread


def unlike_years(years: list[Days], slug: str, rng: Random) -> list[Days]:
    """The years made different from one another.

    Level: a factor e^N(0, 6 %) from year to year. Demand: wanders about it by the month, AR(1) with 0.8 and
    N(0, 3 %), 5 % in the long run. Output: one year in four it changes for good, by 12 to 30 % either way. An
    overhaul of 7 to 28 days at 30 % load, within 20 days of the plant's own date (steel; the cement shape has
    one, the data hall never stops), and none to five outages of 1 to 5 days (not in the data hall).
    """
    level, demand, overhaul = 1.0, rng.gauss(0, 0.05), rng.randrange(20, 340)
    varied = []
    for year in years:
        level *= math.exp(rng.gauss(0, 0.06))
        factors = [level] * len(year)
        for month in range(len(year) // 30 + 1):
            after = 0.8 * demand + rng.gauss(0, 0.03)
            for day in range(month * 30, min(len(year), month * 30 + 30)):
                factors[day] *= math.exp(demand + (after - demand) * (day - month * 30) / 30)
            demand = after
        if rng.random() < 0.25:
            change = math.exp(rng.choice((-1, 1)) * rng.uniform(0.12, 0.3))
            level *= change
            at = rng.randrange(len(year))
            factors[at:] = [factor * change for factor in factors[at:]]
        if slug == "steel":
            stop(factors, overhaul + rng.randint(-20, 20), rng.randint(7, 28))
        if slug != "datacentre":
            for _ in range(rng.randint(0, 5)):
                stop(factors, rng.randrange(len(year)), rng.randint(1, 5))
        varied.append([g * factor for g, factor in zip(year, factors, strict=True)])
    return varied


def stop(factors: Days, first: int, days: int) -> None:
    """The plant at 30 % load for some days."""
    for day in range(max(0, first), min(len(factors), first + days)):
        factors[day] *= 0.3


def scored(daily: pl.DataFrame, years: range) -> pl.DataFrame:
    """One row per plant, year and month-end: the errors, %, and covered: 100 if the interval held, else 0.

    `daily`: plant, day, g.
    """
    cases = pl.DataFrame(
        [
            {"year": year, "month": month, "first_day": first, "duty_end": end}
            | {"as_of_day": day_number(dt.date(year, month + 1, 1)) - 1}
            for year in years
            for first, end in [year_days(year)]
            for month in range(1, 12)
        ]
    ).with_columns(pl.col("first_day", "duty_end", "as_of_day").cast(pl.Int32))
    series = (
        daily.select("plant").unique(maintain_order=True).join(cases, how="cross").with_row_index("series")
    )
    rows = series.join(daily, on="plant")
    is_of_year = (pl.col("day") >= pl.col("first_day")) & (pl.col("day") < pl.col("duty_end"))
    used = pl.col("g").filter(pl.col("day") <= pl.col("as_of_day")).sum()
    sums = (
        rows.filter(is_of_year)
        .group_by("series")
        .agg(used_g=used, low_g=used, high_g=used, outcome=pl.col("g").sum())
    )
    of_series = rows.lazy().select("series", "day", "g", is_whole=True, is_confirmed=True)
    known = series.join(sums, on="series").lazy()
    gone, whole = pl.col("as_of_day") - pl.col("first_day") + 1, pl.col("duty_end") - pl.col("first_day")
    return (
        with_projection(known, calendar_of(known, of_series, of_series))
        .with_columns(
            ours=error(pl.col("projected_g")),
            naive=error(pl.col("used_g") / gone * whole),
            covered=pl.col("outcome").is_between("projected_low_g", "projected_high_g") * 100.0,
        )
        .collect()
    )


def error(projected: pl.Expr) -> pl.Expr:
    """|projected − outcome| / outcome, %."""
    return ((projected - pl.col("outcome")) / pl.col("outcome")).abs() * 100


def report(title: str, rows: pl.DataFrame, by: str) -> list[dict[str, Any]]:
    """Print the means by month or by plant; and return them."""
    means = rows.group_by(by, maintain_order=True).agg(pl.col("ours", "naive", "covered").mean())
    print(f"\n{title}\n{by:>12}  ours %  naive %  covered %")
    for row in means.to_dicts():
        mark = "  loses" if row["ours"] > row["naive"] else ""
        print(f"{row[by]:>12}  {row['ours']:6.2f}  {row['naive']:7.2f}  {row['covered']:9.0f}{mark}")
    return means.to_dicts()


def summary(title: str, rows: pl.DataFrame) -> dict[str, Any]:
    """Print both tables of some scored rows; the figures for the JSON line."""
    months = report(title, rows.sort("month"), "month")
    report(title, rows.with_columns(pl.col("plant").str.split("/").list.last()), "plant")
    return {
        "projections": rows.height,
        "methods": sorted(rows["projection"].unique()),
        "error_pct": [round(m["ours"], 2) for m in months],
        "naive_error_pct": [round(m["naive"], 2) for m in months],
        "covered_pct": [round(m["covered"]) for m in months],
        "mean_error_pct": round(float(rows["ours"].mean()), 2),  # type: ignore[arg-type]
        "naive_mean_error_pct": round(float(rows["naive"].mean()), 2),  # type: ignore[arg-type]
        "mean_covered_pct": round(float(rows["covered"].mean()), 1),  # type: ignore[arg-type]
        "months_lost": [m["month"] for m in months if m["ours"] > m["naive"]],
    }


def simulated(base: int, seeds: int) -> pl.DataFrame:
    """plant, day, g of every plant on every seed."""
    first, _ = year_days(FIRST_YEAR)
    rows = []
    for seed in range(seeds):
        for slug in PLANT_NAMES:
            grams = [g for year in plant_years(PLANTS[slug], f"{base}/{seed}") for g in year]
            rows += [(f"{seed}/{slug}", first + day, round(g)) for day, g in enumerate(grams)]
    return pl.DataFrame(rows, schema={"plant": pl.String, "day": pl.Int32, "g": pl.Int64}, orient="row")


def real() -> pl.DataFrame:
    """plant, day, g of the published year."""
    usage = replay.read_usage()  # 10⁻² kWh a quarter of an hour
    first = day_number(replay.START)
    rows = [
        ("real", first + at // SLOTS_A_DAY, round(sum(usage[at : at + SLOTS_A_DAY]) * 1.229))
        for at in range(0, len(usage), SLOTS_A_DAY)
    ]
    return pl.DataFrame(rows, schema={"plant": pl.String, "day": pl.Int32, "g": pl.Int64}, orient="row")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=60, help="plants of each kind")
    parser.add_argument("--base", type=int, default=secrets.randbelow(10**9), help="repeat a run's seeds")
    args = parser.parse_args()
    daily = simulated(args.base, args.seeds)
    rows = scored(daily, range(FIRST_YEAR, FIRST_YEAR + YEARS))
    is_first = pl.col("year") == FIRST_YEAR
    with_last = summary("with a year before", rows.filter(~is_first))
    result = {
        "bench": "projection",
        "base": args.base,
        "seeds": args.seeds,
        "with_last_year": with_last,
        "first_year": summary("first year: nothing but itself", rows.filter(is_first)),
        "real_plant": summary("real plant, 2018", scored(real(), range(2018, 2019))),
        "peer": "linear naive: used / days gone by × days of the year",
        "ratio": round(with_last["naive_mean_error_pct"] / with_last["mean_error_pct"], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
