"""Random metered worlds: every kind of point, and everything that goes wrong with meters."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from nengshao.frames import READINGS, VIRTUAL_TERMS
from nengshao.registry import Registry
from tests.support import metering as m

_DAY = 86_400
Rows = list[tuple[int, int, int, int, bool, int]]


@dataclass(frozen=True, slots=True)
class World:
    """A registry, and the readings of all its points, sorted."""

    registry: Registry
    readings: pl.DataFrame


def registers(rng: random.Random, reads: int) -> World:
    """Up to three registers of so many reads: seldom or often with spikes, dips, stops, jumps, falls, gaps,
    other units, rollovers, replacements, new rows and ratios, invalid reads."""
    often = rng.choice([1, 0.1, 0.02])
    specs: list[dict[str, Any]] = []
    rows: Rows = []
    changes = []
    for point in range(1, rng.randint(2, 4)):
        cadence = rng.choice([900, 900, 3600])
        spec = {
            "cadence_s": cadence, "capacity": rng.choice([None, 1_000_000, 100_000]),
            "register_modulus": rng.choice([None, 10**9, 10**10]),
            "max_estimate_s": cadence * rng.choice([1, 4, 20]),
        }  # fmt: skip
        specs += _dated(rng, point, spec, m.T0 + rng.randint(0, reads) * cadence)
        rows += _reads(rng, point, reads, often, spec)
        if rng.random() < 0.4:
            at = {m.T0 + rng.randint(0, reads) * cadence + rng.choice([0, 300]) for _ in range(2)}
            changes += [(point, t, rng.randint(0, 10**9), rng.randint(0, 10**9)) for t in sorted(at)]
    activity = m.enterprises(
        active_from=m.T0 + rng.choice([0, 0, rng.randint(1, 3 * _DAY)]),
        active_to=rng.choice([None, None, m.T0 + rng.randint(4 * _DAY, 9 * _DAY)]),
    )
    registry = m.registry(m.points(*specs), meter_changes=m.changes(*changes), enterprises=activity)
    return World(registry, _frame(rows))


def _dated(rng: random.Random, point: int, spec: dict[str, Any], cut: int) -> list[dict[str, Any]]:
    if rng.random() < 0.6:
        return [m.point(point, **spec)]
    later = spec | rng.choice([{}, {"capacity": 500_000}, {"ratio_num": 2}])
    since = cut + rng.choice([0, 0, 5 * 3600])
    return [m.point(point, valid_to=cut, **spec), m.point(point, valid_from=since, **later)]


def _reads(rng: random.Random, point: int, reads: int, often: float, spec: dict[str, Any]) -> Rows:
    cadence, offset = spec["cadence_s"], rng.choice([0, 0, 137])
    most = (spec["capacity"] or 200_000) * 1000 * cadence // 3600
    value, stops, rows = rng.randint(0, 10**8), 0, []
    for n in range(reads):
        value += 0 if stops else rng.randint(0, most // rng.choice([1, 2]))
        stops = max(0, stops - 1)
        if rng.random() < 0.02 * often:
            stops = rng.randint(1, 70)
        if rng.random() < 0.01 * often:  # what a register that stuck catches up with
            value += most * rng.randint(1, 60)
        if rng.random() < 0.005 * often:
            value = rng.randint(0, value)
        told = rng.choices(
            [value, value + most * 1000, max(0, value - most * rng.randint(1, 5)), value // 1000],
            [1, 0.01 * often, 0.01 * often, 0.005 * often],
        )[0]
        told %= spec["register_modulus"] or told + 1
        if rng.random() > 0.05 * often:
            ts = m.T0 + n * cadence + offset
            rows.append((point, ts, ts, told, rng.random() > 0.02 * often, 4))
    return rows


def everything(rng: random.Random) -> World:
    """About ten days of registers, and amounts by the quarter, day and month, a power, a store, and a virtual
    point of them; some of them implausible, missing or told all day long."""
    world = registers(rng, 900)
    kinds: dict[int, tuple[dict[str, Any], int, int, int]] = {
        11: ({"kind": "amount"}, 900, 250_000_000, 400),
        12: ({"kind": "amount", "stat_type": 1, "cadence_s": None}, _DAY, 24_000_000_000, 12),
        13: ({"kind": "amount", "stat_type": 2, "cadence_s": None, "capacity": None}, 31 * _DAY, 10**12, 1),
        14: ({"kind": "power", "cadence_s": 1800}, 1800, 1_000_000_000, 300),
        15: ({"kind": "stock", "stat_type": 1, "cadence_s": None}, _DAY, 10**12, 10),
    }  # fmt: skip
    specs = [m.point(point, **more) for point, (more, *_) in kinds.items()]
    rows: Rows = []
    for point, (_, step, most, count) in kinds.items():
        same = rng.randint(1, most)
        for n in range(count):
            ts = m.T0 + n * step
            value = same if point == 14 and n < 60 else rng.randint(0, most)
            value += most * rng.choices([0, 1, -2], [1, 0.01, 0.01])[0]
            if rng.random() > 0.05:
                rows.append((point, ts, ts, value, rng.random() > 0.02, 4))
    terms = pl.DataFrame(
        [(19, 1, 2, 1, 0, None), (19, 11, -1, 3, 0, None)], schema=dict(VIRTUAL_TERMS.schema), orient="row"
    )
    virtual = m.point(19, kind="virtual", device="", role="sub")
    points = pl.concat([world.registry.points, m.points(*specs, virtual)])
    registry = replace(world.registry, points=points, virtual_terms=terms)
    return World(registry, pl.concat([world.readings, _frame(rows)]).sort("point", "ts"))


def _frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(READINGS.schema), orient="row")
