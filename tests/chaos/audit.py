"""The audit: device-side truth against the store, the ledger and the totals. Pure.

A *reading* is a point at an instant; a *version* of it is what one message said of it. Messages count by
their bytes, however often they were sent.

`lost`: versions whose message has an accepting receipt and that are not in the store with the value they were
sent with; and what is in the store and was never booked for the first time.
`double`: first bookings beyond what there is, Σ stored − distinct readings, or Σ (stored + corrected +
superseded) − versions, whichever is more (of the store, and of what is lost: a loss is no double); and rows
of the store that no device made.
`undelivered`: versions that were made and lack their receipt, or are not in the store, after all has healed.
`inexact`: enterprise-days whose published total is not the one that follows from the truth.
Besides, the books must balance by themselves (received = Σ outcomes), and nothing may have been refused:
no device here says anything wrong.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from tests.chaos.journals import Truth
from tests.support import plants
from tests.support.site import STORED

_FIRST: Final = ("stored", "corrected", "superseded")
_OUTCOMES: Final = (*_FIRST, "duplicate", "quarantined")
_G_PER_10_KWH: Final = 1229  # 0.1229 kgce/kWh (GB/T 2589-2020, 当量值)

DayGrams = Mapping[tuple[str, dt.date], int | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an audit found; versions are counted, and enterprise-days where a day is inexact."""

    readings: int
    receipted: int
    lost: int
    double: int
    undelivered: int
    inexact: int
    problems: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        return not self.problems


def verdict_on(truth: Truth, store: pl.DataFrame, ledger: Mapping[str, Any], published: DayGrams) -> Verdict:
    """The verdict. `store`: STORED; `ledger`: the answer of /v1/ledger; `published`: grams of coal."""
    made = truth.rows.unique(subset=list(STORED))
    receipted = truth.rows.filter(pl.col("digest").is_in(list(truth.receipted))).unique(subset=list(STORED))
    gone = receipted.join(store, on=list(STORED), how="anti").height
    foreign = store.join(made, on=list(STORED), how="anti").height
    silent = made.join(receipted, on=list(STORED), how="anti")
    absent = made.join(store, on=list(STORED), how="anti")
    undelivered = pl.concat([silent, absent]).unique(subset=list(STORED)).height
    known = pl.concat([store, receipted.select(list(STORED))]).unique()
    surplus, unbooked = max(0, *_booked_beyond(known, ledger)), max(0, *_short_of(store, ledger))
    wrong = [day for day, grams in grams_of(truth).items() if published.get(day) != grams]
    found = {
        f"{gone} receipted readings are not in the store": gone,
        f"{unbooked} readings of the store are not in the books": unbooked,
        f"{foreign} rows of the store were never made": foreign,
        f"{surplus} first bookings too many": surplus,
        f"{undelivered} readings not delivered": undelivered,
        f"{len(wrong)} enterprise-days inexact, such as {wrong[:1]}": len(wrong),
        f"refused: {sorted(set(truth.refused))}": len(truth.refused),
        f"the books do not balance: {ledger['totals']}": not _is_balanced(ledger),
    }
    return Verdict(
        readings=made.height, receipted=receipted.height, lost=gone + unbooked, double=foreign + surplus,
        undelivered=undelivered, inexact=len(wrong),
        problems=tuple(words for words, count in found.items() if count),
    )  # fmt: skip


def _booked_beyond(rows: pl.DataFrame, ledger: Mapping[str, Any]) -> tuple[int, int]:
    """How many more readings, and versions, were booked for the first time than these rows hold."""
    readings = rows.select("enterprise", "point", pl.col("time") // 10**9).n_unique()
    totals = ledger["totals"]
    return totals["stored"] - readings, sum(totals[outcome] for outcome in _FIRST) - rows.height


def _short_of(rows: pl.DataFrame, ledger: Mapping[str, Any]) -> tuple[int, int]:
    readings, versions = _booked_beyond(rows, ledger)
    return -readings, -versions


def _is_balanced(ledger: Mapping[str, Any]) -> bool:
    totals = ledger["totals"]
    return bool(
        totals["received"] == sum(totals[outcome] for outcome in _OUTCOMES)
        and totals["received"] == sum(row["count"] for row in ledger["rows"])
        and min(totals.values()) >= 0
        and totals["quarantined"] == 0
    )


def grams_of(truth: Truth) -> dict[tuple[str, dt.date], int]:
    """Standard coal of every enterprise and day, from the register reads that stand at its two midnights."""
    reads = (
        truth.rows.sort("time")
        .with_columns(pl.col("time") // 10**9)
        .unique(["enterprise", "point", "time"], keep="last", maintain_order=True)
        .filter((pl.col("time") - plants.START) % 86_400 == 0)
        .sort("enterprise", "point", "time")
        .with_columns(
            (pl.col("value") - pl.col("value").shift().over("enterprise", "point")).alias("used"),
            ((pl.col("time") - plants.START) // 86_400 - 1).alias("day"),
        )
        .drop_nulls("used")
    )
    totals = reads.group_by("enterprise", "day").agg(pl.col("used").sum()).sort("enterprise", "day")
    first = dt.date(2025, 1, 1)  # plants.START
    return {
        (enterprise, first + dt.timedelta(day)): used // 10**7 * _G_PER_10_KWH
        for enterprise, day, used in totals.iter_rows()
    }
