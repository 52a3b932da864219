"""`nengshao simulate`: a faulty fleet through the real pipeline, scored against its own truth."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from nengshao.domain.readings import Outcome
from nengshao.domain.time import DAY_S, accounting_day, instant_of
from nengshao.notify.recording import RecordingNotifier
from nengshao.stage import Stage
from nengshao.wire import Form
from simulators.fleet import Fleet
from simulators.scorer import score

_START = dt.date(2025, 1, 1)
_CHAPTER_S = 30 * DAY_S
_AFTERMATH_S = 45 * DAY_S  # what is late by then, the last month's coal included, has arrived


def score_fleet(seed: int, months: int, form: Form = Form.PLAIN) -> dict[str, Any]:
    """The score of the first `months` (2 to 12) of the faulty fleet's 2025, with the books beside it.

    Everything is real: broker, decoding, screening, store, books, assessment. Whole months, because coal is
    a monthly figure.
    """
    first_after = dt.date(2025 + months // 12, months % 12 + 1, 1)
    fleet = Fleet(seed, start=_START, days=(first_after - _START).days, per_message=4, form=form)
    with tempfile.TemporaryDirectory(prefix="nengshao-simulation-") as folder:
        stage = Stage(
            Path(folder),
            [fleet],
            start=instant_of(_START),
            notifiers=[RecordingNotifier()],
            store={"kind": "duckdb"},
        )
        with stage:
            stage.app.start(["ingest"])
            played, end = stage.clock.now(), fleet.end + _AFTERMATH_S
            while played < end:
                stage.play(fleet, played, min(end, played + _CHAPTER_S))
                played = min(end, played + _CHAPTER_S)
                stage.settle()
            return _scored(stage, fleet, seed)


def _scored(stage: Stage, fleet: Fleet, seed: int) -> dict[str, Any]:
    state = stage.app.stores.state
    truth = fleet.truth()
    enterprises = truth["enterprise"].unique(maintain_order=True).to_list()
    first, last = accounting_day(instant_of(fleet.start)), accounting_day(fleet.end)
    point_days = state.point_days(enterprises, first, last)
    blocks = state.blocks(enterprises, instant_of(fleet.start), fleet.end)
    result = score(truth, fleet.fault_records, point_days, blocks, quarantine=_quarantine(stage))
    books = {outcome.value: 0 for outcome in Outcome}
    for row in state.ledger().iter_rows(named=True):
        books[row["outcome"]] += row["count"]
    distinct = stage.app.stores.readings.count()
    return {
        "seed": seed,
        "days": fleet.days,
        **result.to_dict(),
        "ledger": {"received": sum(books.values()), **books},
        "distinct_in_store": distinct,
        "balanced": books["stored"] == distinct and stage.app.in_flight == 0,
    }


def _quarantine(stage: Stage) -> pl.DataFrame:
    """enterprise, device, arrived_at of everything refused."""
    rows: list[tuple[str, str, int]] = []
    before: int | None = None
    while page := stage.app.stores.state.quarantine_page(before_id=before, limit=1000):
        rows += [(row["enterprise"], row["device"], row["arrived_at"]) for row in page]
        before = page[-1]["quarantine_id"]
    schema = {"enterprise": pl.String, "device": pl.String, "arrived_at": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def print_score(result: dict[str, Any], console: Console) -> None:
    """The score as tables: by fault, and by fault and kind of point."""
    title = f"种子 / seed {result['seed']}，{result['days']} 天 / days"
    for name, part in (("故障 / fault", "classes"), ("故障与计量点类型 / fault and kind", "kinds")):
        table = Table(title=title)
        columns = list(next(iter(result[part].values()), {}))
        for heading in (name, *columns):
            table.add_column(heading)
        for row, figures in result[part].items():
            table.add_row(row, *(f"{figures[c]:.6g}" for c in columns))
        console.print(table)
    for key, value in result.items():
        if key not in ("classes", "kinds", "seed", "days"):
            console.print(f"{key}: {value}", highlight=False)
