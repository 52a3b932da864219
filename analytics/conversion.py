"""Standard coal and CO2: physical amounts × dated factors, on every basis side by side.

Which factor holds depends on the carrier, the region, the day, and on what the enterprise itself measured.
Points for which it is always the same are one *factor class*, so that many points share few rows.
One Int128 product, one rounding half to even, one strict cast, at point × day (BOOKKEEPING §5).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from nengshao.domain.errors import FactorMissing
from nengshao.domain.factors import Basis, Confidence, Constant, Factor, FactorTable, kg_co2
from nengshao.domain.time import accounting_day, date_of, day_number
from nengshao.domain.units import Carrier
from nengshao.frames import Contract

_PER_BASIS: Final = {
    "num": pl.Int64(),  # kg of coal or CO2 per canonical unit = g per 10⁻³ unit; null: no factor
    "den": pl.Int64(),
    "factor": pl.String(),  # factor_id
    "confirmed": pl.Boolean(),
}
_COLUMNS: Final = {f"{basis}_{name}": dtype for basis in Basis for name, dtype in _PER_BASIS.items()}

FACTOR_DAYS: Final = Contract(
    "FACTOR_DAYS",
    {"factor_class": pl.Int32, "day": pl.Int32, **_COLUMNS},
    key=("factor_class", "day"),
)

FACTOR_SPANS: Final = Contract(
    "FACTOR_SPANS",
    {"factor_class": pl.Int32, "first_day": pl.Int32, "end_day": pl.Int32, **_COLUMNS},
    key=("factor_class", "first_day"),
)
"""The same, one row for all the days [first_day, end_day) on which nothing changes."""


@dataclass(frozen=True, slots=True)
class HeatingValue:
    """A row of HEATING_VALUES in accounting days [first_day, end_day); `end_day` None: in force."""

    enterprise: str
    heat_j: int
    source: str
    confidence: Confidence
    first_day: int
    end_day: int | None

    def is_valid_on(self, day: int) -> bool:
        """Whether it is the enterprise's heating value on that day."""
        return self.first_day <= day and (self.end_day is None or day < self.end_day)


@dataclass(frozen=True, slots=True)
class FactorClass:
    """What decides on the factors of a point: a carrier, the region as far as the library tells regions
    apart, and the heating values that the enterprise has measured, by first_day."""

    carrier: Carrier
    region: str
    measured: tuple[HeatingValue, ...] = ()


@dataclass(frozen=True, slots=True)
class FactorClasses:
    """`rows[factor_class]` is what a class is, `of` says who is in it."""

    of: pl.DataFrame  # enterprise, carrier, factor_class (Int32): one row per pair
    rows: tuple[FactorClass, ...]


def factor_classes(
    points: pl.DataFrame, enterprises: pl.DataFrame, heating_values: pl.DataFrame, factors: FactorTable
) -> FactorClasses:
    """The classes of the carriers that these points measure.

    Heating values of carriers that are no fuels are passed over. An enterprise that is not in `enterprises`
    is somewhere in the country.
    """
    measured: dict[tuple[str, str], list[HeatingValue]] = {}
    for row in heating_values.sort("valid_from").iter_rows(named=True):
        measured.setdefault((row["enterprise"], row["carrier"]), []).append(_heating_value(row))
    regions = dict(enterprises.select("enterprise", "region").iter_rows())
    pairs = points.select("enterprise", "carrier").unique().sort("enterprise", "carrier")
    number_of: dict[FactorClass, int] = {}
    numbers = []
    for enterprise, name in pairs.iter_rows():
        carrier = Carrier(name)
        own = tuple(measured.get((enterprise, name), ())) if carrier.is_fuel else ()
        region = factors.narrowest(carrier, regions.get(enterprise, ""))
        numbers.append(number_of.setdefault(FactorClass(carrier, region, own), len(number_of)))
    of = pairs.with_columns(factor_class=pl.Series(numbers, dtype=pl.Int32))
    return FactorClasses(of, tuple(number_of))


def _heating_value(row: dict[str, Any]) -> HeatingValue:
    return HeatingValue(
        enterprise=row["enterprise"],
        heat_j=row["heat_j"],
        source=row["source"],
        confidence=Confidence(row["confidence"]),
        first_day=accounting_day(row["valid_from"]),
        end_day=None if row["valid_to"] is None else accounting_day(row["valid_to"]),
    )


def factors_per_day(
    factors: FactorTable, classes: FactorClasses, *, first_day: int, end_day: int
) -> pl.DataFrame:
    """FACTOR_DAYS of every class and day of [first_day, end_day). Without a row: nulls, never a guess."""
    spans = factor_spans(factors, classes, first_day=first_day, end_day=end_day)
    days = spans.with_columns(day=pl.int_ranges("first_day", "end_day", dtype=pl.Int32))
    return days.explode("day", empty_as_null=False).select(list(FACTOR_DAYS.schema))


def factor_spans(
    factors: FactorTable, classes: FactorClasses, *, first_day: int, end_day: int
) -> pl.DataFrame:
    """FACTOR_SPANS of every class over [first_day, end_day), without gaps: for few rows over many years."""
    rows = []
    for number, kind in enumerate(classes.rows):
        cuts = sorted(day for day in _borders(factors, kind) if first_day < day < end_day)
        for first, end in pairwise([first_day, *cuts, end_day]):
            row: dict[str, object] = {"factor_class": number, "first_day": first, "end_day": end}
            for basis in Basis:
                row |= _columns(basis, factor_on(factors, kind, basis, first))
            rows.append(row)
    return pl.DataFrame(rows, schema=dict(FACTOR_SPANS.schema))


def _borders(factors: FactorTable, kind: FactorClass) -> set[int]:
    """The accounting days on which some factor of the class begins or ends."""
    own = {day for value in kind.measured for day in (value.first_day, value.end_day) if day is not None}
    return own | {day_number(date) for date in factors.borders(kind.carrier, kind.region)}


def _columns(basis: Basis, factor: Factor | None) -> dict[str, object]:
    if factor is None:
        return {}
    return {
        f"{basis}_num": factor.per_unit.numerator,
        f"{basis}_den": factor.per_unit.denominator,
        f"{basis}_factor": factor.factor_id,
        f"{basis}_confirmed": factor.confidence.is_confirmed,
    }


def to_coal_and_carbon(frame: pl.LazyFrame, factor_days: pl.DataFrame) -> pl.LazyFrame:
    """`frame` (factor_class, day, amount in 10⁻³ canonical unit, …), in any order, with calorific_g,
    equivalent_g (g of standard coal), carbon_g (g CO2) and the columns of FACTOR_DAYS.

    Null: amount unknown, or no factor. Overflow fails when the plan is run.
    """
    return _with_masses(frame.join(factor_days.lazy(), on=["factor_class", "day"], how="left"))


def few_to_coal_and_carbon(frame: pl.LazyFrame, spans: pl.DataFrame) -> pl.LazyFrame:
    """The same from FACTOR_SPANS: for few rows over so many years that a row per class and day is too much.

    Rows outside the spans, and those without a factor_class, are left out.
    """
    on_the_day = (pl.col("first_day") <= pl.col("day")) & (pl.col("day") < pl.col("end_day"))
    joined = frame.join(spans.lazy(), on="factor_class").filter(on_the_day)
    return _with_masses(joined.drop("first_day", "end_day"))


def _with_masses(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(mass_of("amount", basis).alias(f"{basis}_g") for basis in Basis)


def mass_of(amount: str, basis: Basis) -> pl.Expr:
    """g of standard coal or CO2 of a column in 10⁻³ canonical unit, from the row's FACTOR_DAYS columns."""
    product = wide(amount) * wide(f"{basis}_num")
    return narrow(rounded_quotient(product, pl.col(f"{basis}_den")))


def factor_rows(factors: FactorTable, classes: FactorClasses) -> dict[str, Factor]:
    """Every factor by its id: those of the library, and those that the classes' heating values make."""
    rows = {row.factor_id: row for row in factors.rows}
    return rows | {row.factor_id: row for kind in classes.rows for row in _measured_rows(factors, kind)}


def _measured_rows(factors: FactorTable, kind: FactorClass) -> Iterator[Factor]:
    for day in _borders(factors, kind):
        for basis in Basis:
            factor = factor_on(factors, kind, basis, day)
            if factor is not None and any(value.is_valid_on(day) for value in kind.measured):
                yield factor


def factor_on(factors: FactorTable, kind: FactorClass, basis: Basis, day: int) -> Factor | None:
    """The factor of a class on an accounting day: by the enterprise's own heating value where it has one,
    else the library's. None where there is none.

    A heating value replaces the default on both bases of coal. Of CO2 it replaces the default NCV, the
    default's carbon content and oxidation stay; a default without these stays as it is.
    """
    try:
        default = factors.at(kind.carrier, basis, date_of(day), kind.region)
    except FactorMissing:
        default = None
    own = next((value for value in reversed(kind.measured) if value.is_valid_on(day)), None)
    if own is None:
        return default
    return (
        _measured_carbon(own, default) if basis is Basis.CARBON else _measured_coal(own, kind, basis, factors)
    )


def _measured_coal(own: HeatingValue, kind: FactorClass, basis: Basis, factors: FactorTable) -> Factor | None:
    coal = factors.standard_coal
    if coal is None:
        return None
    return Factor(
        factor_id=_measured_id(own, kind.carrier, own.first_day, basis),
        carrier=kind.carrier,
        basis=basis,
        per_unit=Fraction(own.heat_j, 1000) / coal.value,  # kJ per unit ÷ kJ/kgce
        edition="实测低位发热量 / measured heating value",
        source=f"{own.source}; {coal.source}",
        confidence=_lower(own.confidence, coal.confidence),
        valid_from=date_of(own.first_day),
        valid_to=None if own.end_day is None else date_of(own.end_day),
        parts=(("heat", str(own.heat_j)), (coal.name, str(coal.value))),
    )


def _measured_carbon(own: HeatingValue, default: Factor | None) -> Factor | None:
    parts = dict(default.parts) if default is not None else {}
    if default is None or "carbon_content" not in parts:
        return default
    content, oxidation = Fraction(parts["carbon_content"]), Fraction(parts["oxidation"])
    first_day = max(own.first_day, day_number(default.valid_from))
    own_end = None if own.end_day is None else date_of(own.end_day)
    ends = [date for date in (default.valid_to, own_end) if date is not None]
    return Factor(
        factor_id=_measured_id(own, default.carrier, first_day, Basis.CARBON),
        carrier=default.carrier,
        basis=Basis.CARBON,
        per_unit=kg_co2(Fraction(own.heat_j, 10**9), content, oxidation),  # GJ per unit
        edition=f"实测低位发热量 / measured heating value; {default.edition}",
        source=f"{own.source}; {default.source}",
        confidence=_lower(own.confidence, default.confidence),
        valid_from=date_of(first_day),
        valid_to=min(ends, default=None),
        parts=(("heat", str(own.heat_j)), *((key, parts[key]) for key in ("carbon_content", "oxidation"))),
    )


def _measured_id(own: HeatingValue, carrier: Carrier, first_day: int, basis: Basis) -> str:
    return f"measured/{own.enterprise}/{carrier}/{date_of(first_day)}/{basis}"


def _lower(one: Confidence, other: Confidence) -> Confidence:
    """The lower of two confidences: they are declared from the best to the worst."""
    return max(one, other, key=list(Confidence).index)


CHANGED_SPANS: Final[dict[str, pl.DataType]] = {
    "carrier": pl.String(),
    "region": pl.String(),  # and every region within it; "": the whole country
    "first_day": pl.Int32(),
    "end_day": pl.Int32(),  # exclusive; null: open
}
"""Accounting days whose figures rest on a factor that changed."""

_VALIDITY: Final = frozenset({"valid_from", "valid_to"})
_WORDS: Final = frozenset({"edition", "source", "note"})


def factor_records(factors: FactorTable) -> dict[str, dict[str, Any]]:
    """The library as JSON-able rows by id, as the books remember it; the constants among them."""
    records = {row.factor_id: _record(row) for row in factors.rows}
    coal = factors.standard_coal
    return records if coal is None else records | {f"constant/{coal.name}": _record(coal)}


def _record(row: Factor | Constant) -> dict[str, Any]:
    return {key: _plain(value) for key, value in asdict(row).items() if key not in ("factor_id", "name")}


def _plain(value: object) -> object:
    """A field as JSON has it, so that what comes back from the books compares equal."""
    if isinstance(value, tuple):
        return [list(part) for part in value]
    return value if value is None else str(value)


def changed_factors(
    known: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], pl.DataFrame]:
    """What the library says otherwise than the books know, and CHANGED_SPANS: the days that rest on it.

    `known`, `now`: `factor_records`. A change: `factor` (its id), `change` (added, removed or changed),
    `fields` that differ, `before` and `after` (None: there was or is no such row). Another edition, source or
    note alone is a change without days. A constant concerns every fuel: measured heating values rest on it.
    """
    changes, spans = [], []
    for factor_id in sorted(known.keys() | now.keys()):
        before, after = known.get(factor_id), now.get(factor_id)
        if before == after:
            continue
        fields = [] if before is None or after is None else _differing(before, after)
        kind = "added" if before is None else "removed" if after is None else "changed"
        changes.append(
            {"factor": factor_id, "change": kind, "fields": fields, "before": before, "after": after}
        )
        spans += _affected(before, after, set(fields))
    frame = pl.DataFrame(spans, schema=CHANGED_SPANS, orient="row")
    return changes, frame.unique().sort("carrier", "region", "first_day", "end_day")


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


_Span = tuple[str, str, int, int | None]


def _affected(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, fields: set[str]
) -> list[_Span]:
    """The days of both rows, or only those of one of them if nothing but the validity differs."""
    rows = [row for row in (before, after) if row is not None]
    if fields and fields <= _WORDS:
        return []
    if not fields or fields - _VALIDITY - _WORDS:
        return [(*place, *_days(row)) for row in rows for place in _places(row)]
    spans = [_days(row) for row in rows]
    cuts = sorted({day for span in spans for day in span if day is not None})
    return [
        (*place, first, end)
        for first, end in pairwise([*cuts, None])
        if first is not None and sum(_holds(span, first) for span in spans) == 1
        for place in _places(rows[0])
    ]


def _days(row: Mapping[str, Any]) -> tuple[int, int | None]:
    """A record's validity in accounting days; a constant's is all time."""
    first, end = row.get("valid_from"), row.get("valid_to")
    return (
        day_number(dt.date.fromisoformat(first)) if first else 0,
        day_number(dt.date.fromisoformat(end)) if end else None,
    )


def _holds(span: tuple[int, int | None], day: int) -> bool:
    return span[0] <= day and (span[1] is None or day < span[1])


def _places(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "carrier" in row:
        return [(row["carrier"], row["region"])]
    return [(carrier.value, "") for carrier in Carrier if carrier.is_fuel]
