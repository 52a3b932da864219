"""What the registry would count twice: a meter, and a total or a meter above it that holds it too. Pure.

A point counts with +1 (input) or −1 (output) while it feeds totals, and with nothing otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final

import polars as pl

from nengshao.domain.units import PointKind, Role
from nengshao.stores.state.registry_graphs import unpeeled
from nengshao.stores.state.registry_points import DEEPEST, FOR_EVER, names_of

Span = tuple[Fraction, int, int]
"""A sign or a coefficient, and the instants [since, until) in which it is in force."""

_SIGN: Final = (
    pl.when(~pl.col("feeds_total"))
    .then(0)
    .otherwise(pl.col("role").replace_strict({Role.INPUT: 1, Role.OUTPUT: -1}, default=0))
    .cast(pl.Int64)
)


def counted_twice(points: pl.DataFrame, terms: pl.DataFrame) -> list[str]:
    """A line, Chinese then English, for every point that counts with a sign, and elsewhere with it again."""
    rows = points.drop_nulls(["point", "valid_from"]).select(
        "point", "carrier", "kind", "parent", "valid_from", pl.col("valid_to").fill_null(FOR_EVER), sign=_SIGN
    )
    names = dict(names_of(points).iter_rows())
    meters = [
        f"points {names[point]}: 与上级 {names[above]} 重复计入合计 / it and {names[above]} above it count"
        for point, above in _below(rows)
    ]
    totals = [
        f"virtual_terms {names[total]}: 与组成项 {names[term]} 重复计入合计"
        f" / it and its term {names[term]} both count"
        for total, term in _through(rows, terms)
    ]
    return [*sorted(meters), *sorted(totals)]


def _below(rows: pl.DataFrame) -> set[tuple[int, int]]:
    """Counting points with a point of the same sign and carrier above them, however far, at a time."""
    edges = rows.drop_nulls("parent").select(source="point", target="parent").unique()
    endless = unpeeled(edges).rename({"source": "point", "target": "parent"})
    climbing = rows.join(endless, on=["point", "parent"], how="anti")
    above = climbing.select(pl.all().exclude("kind").name.suffix("_2"))
    below = climbing.filter(pl.col("sign") != 0)
    found = set[tuple[int, int]]()
    while not below.is_empty():
        met = below.join(above, left_on="parent", right_on="point_2").with_columns(
            valid_from=pl.max_horizontal("valid_from", "valid_from_2"),
            valid_to=pl.min_horizontal("valid_to", "valid_to_2"),
        )
        met = met.filter(pl.col("valid_from") < pl.col("valid_to"))
        same = (pl.col("sign") == pl.col("sign_2")) & (pl.col("carrier") == pl.col("carrier_2"))
        found.update(met.filter(same).select("point", "parent").iter_rows())
        below = met.with_columns(parent="parent_2").select(below.columns)
    return found


def _through(rows: pl.DataFrame, terms: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """Counting virtual points, with what they are made of, however deep, that counts in the same sense."""
    counting = rows.filter(pl.col("sign") != 0)
    totals, counts = _signs(counting.filter(pl.col("kind") == PointKind.VIRTUAL)), _signs(counting)
    own = _terms_of(terms)
    for total, signs in totals.items():
        shares = defaultdict[int, list[Span]](list)
        for term, span in _multiplied_out(total, own, DEEPEST):
            shares[term].append(span)
        yield from (
            (total, term)
            for term, spans in shares.items()
            if term in counts and _ever_adds(signs, spans, counts[term])
        )


def _signs(counting: pl.DataFrame) -> dict[int, list[Span]]:
    signs = defaultdict[int, list[Span]](list)
    for point, sign, since, until in counting.select("point", "sign", "valid_from", "valid_to").iter_rows():
        signs[point].append((Fraction(sign), since, until))
    return signs


def _terms_of(terms: pl.DataFrame) -> dict[int, list[tuple[int, Span]]]:
    own = defaultdict[int, list[tuple[int, Span]]](list)
    sound = terms.drop_nulls(["point", "term", "num", "den", "valid_from"]).filter(pl.col("den") > 0)
    dated = sound.with_columns(pl.col("valid_to").fill_null(FOR_EVER))
    for point, term, num, den, since, until in dated.select(
        "point", "term", "num", "den", "valid_from", "valid_to"
    ).iter_rows():
        own[point].append((term, (Fraction(num, den), since, until)))
    return own


def _multiplied_out(
    point: int, own: dict[int, list[tuple[int, Span]]], depth: int
) -> Iterator[tuple[int, Span]]:
    """All that the point is made of, in between too, with the product of coefficients of each way to it."""
    for term, (share, since, until) in own.get(point, ()) if depth else ():
        yield term, (share, since, until)
        for inner, (part, begin, end) in _multiplied_out(term, own, depth - 1):
            if max(since, begin) < min(until, end):
                yield inner, (share * part, max(since, begin), min(until, end))


def _ever_adds(total: list[Span], shares: list[Span], term: list[Span]) -> bool:
    """Whether at any time the term comes into totals through the total with the sign of its own."""
    instants = {instant for _, since, until in (*total, *shares, *term) for instant in (since, until)}
    return any(_at(total, at) * _at(shares, at) * _at(term, at) > 0 for at in instants)


def _at(spans: Iterable[Span], instant: int) -> Fraction:
    """The sum of what is in force: what a point is on several ways may cancel out."""
    return sum((value for value, since, until in spans if since <= instant < until), Fraction(0))
