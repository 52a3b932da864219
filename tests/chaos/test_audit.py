"""The audit finds what it is there to find: a truth worked by hand, and one thing wrong at a time."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.chaos.audit import Verdict, grams_of, verdict_on
from tests.chaos.journals import Progress, Truth, truth_of
from tests.chaos.records import append_to, read_made
from tests.support import plants
from tests.support.site import STORED

CODE = plants.credit_code(1)
POINT = "0000000002330011.0.00"
MIDNIGHT = 1_735_660_800  # 2025-01-01 00:00 +08:00
NEXT = MIDNIGHT + 86_400
DAY = (CODE, dt.date(2025, 1, 1))

# Three messages: the midnights at 1000 and 1210 kWh, and a correction, made ten minutes later, to 1200.
READS = [
    ("2025-01-01 00:00:00", "2025-01-01 00:01:00", 1000.0),
    ("2025-01-02 00:00:00", "2025-01-02 00:01:00", 1210.0),
    ("2025-01-02 00:00:00", "2025-01-02 00:11:00", 1200.0),
]
STORE = pl.DataFrame(
    [
        (CODE, POINT, "v4", 1_000_000_000, MIDNIGHT * 10**9 + 60 + 86_400),
        (CODE, POINT, "v4", 1_210_000_000, NEXT * 10**9 + 60 + 86_400),
        (CODE, POINT, "v4", 1_200_000_000, NEXT * 10**9 + 660 + 86_400),
    ],
    schema=STORED,
    orient="row",
)
GRAMS = 24_580  # 200 kWh × 0.1229 kgce


def payload(stat: str, upload: str, value: float) -> bytes:
    item = {"dataCode": "0000000002330011", "statType": 0, "meter": "00", "dataValue": value}
    item |= {"statDate": stat, "uploadDate": upload}
    return json.dumps({"enterpriseCode": CODE, "data": [item]}).encode()


def receipt(read: bytes, **outcome: Any) -> bytes:
    message = {"sha256": hashlib.sha256(read).hexdigest(), **outcome}
    return json.dumps({"bookedAt": "", "messages": [message]}).encode() + b"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Journals of a group: the second message is sent twice, and gets two receipts."""
    reads = [payload(*read) for read in READS]
    sent = [*reads, reads[1]]
    lines = [b"%d\tnhjc/v1/%s/d1/data\t%s\n" % (n, CODE.encode(), read) for n, read in enumerate(sent)]
    (tmp_path / "made.tsv").write_bytes(b"".join(lines))
    outcomes = ("stored", "stored", "corrected", "duplicate")
    said = [receipt(read, **{outcome: 1}) for read, outcome in zip(sent, outcomes, strict=True)]
    (tmp_path / "receipts.jsonl").write_bytes(b"".join(said))
    return tmp_path


@pytest.fixture
def truth(folder: Path) -> Truth:
    return truth_of([folder])


def ledger(**changes: int) -> dict[str, Any]:
    counts = {"stored": 2, "corrected": 1, "superseded": 0, "duplicate": 1, "quarantined": 0} | changes
    rows = [{"outcome": outcome, "count": count} for outcome, count in counts.items()]
    return {"totals": {"received": sum(counts.values()), **counts}, "rows": rows}


def found(verdict: Verdict) -> tuple[int, int, int, int]:
    return verdict.lost, verdict.double, verdict.undelivered, verdict.inexact


def test_what_devices_store_and_books_agree_on_is_ok(truth: Truth) -> None:
    assert grams_of(truth) == {DAY: GRAMS}
    verdict = verdict_on(truth, STORE, ledger(), {DAY: GRAMS})
    assert verdict.is_ok
    assert (verdict.readings, verdict.receipted) == (3, 3)


@pytest.mark.parametrize("row", range(3))
def test_a_receipted_reading_that_is_not_in_the_store_is_lost(truth: Truth, row: int) -> None:
    rest = STORE.with_row_index().filter(pl.col("index") != row).drop("index")
    verdict = verdict_on(truth, rest, ledger(), {DAY: GRAMS})
    assert not verdict.is_ok
    assert (verdict.lost, verdict.double) == (1, 0)


def test_another_value_than_was_sent_is_a_loss_and_a_foreign_row(truth: Truth) -> None:
    changed = STORE.with_columns(pl.col("value") + (pl.int_range(pl.len()) == 0))
    verdict = verdict_on(truth, changed, ledger(), {DAY: GRAMS})
    assert (verdict.lost, verdict.double) == (1, 1)


@pytest.mark.parametrize("outcome", ["stored", "corrected", "superseded"])
def test_a_reading_that_is_booked_for_the_first_time_twice_is_double(truth: Truth, outcome: str) -> None:
    counted = ledger()["totals"][outcome] + 1
    verdict = verdict_on(truth, STORE, ledger(**{outcome: counted}), {DAY: GRAMS})
    assert not verdict.is_ok
    assert (verdict.lost, verdict.double) == (0, 1)


def test_a_duplicate_more_is_none(truth: Truth) -> None:
    assert verdict_on(truth, STORE, ledger(duplicate=7), {DAY: GRAMS}).is_ok


def test_a_reading_that_the_books_forgot_is_lost(truth: Truth) -> None:
    verdict = verdict_on(truth, STORE, ledger(stored=1), {DAY: GRAMS})
    assert (verdict.lost, verdict.double) == (1, 0)


def test_books_that_do_not_add_up_are_found(truth: Truth) -> None:
    off = ledger()
    off["totals"]["received"] += 1
    assert not verdict_on(truth, STORE, off, {DAY: GRAMS}).is_ok


@pytest.mark.parametrize("published", [{}, {DAY: None}, {DAY: GRAMS + 1}])
def test_a_total_that_is_off_by_a_gram_is_inexact(truth: Truth, published: dict[Any, Any]) -> None:
    assert found(verdict_on(truth, STORE, ledger(), published)) == (0, 0, 0, 1)


def test_what_was_made_and_has_no_receipt_is_undelivered(folder: Path) -> None:
    lines = (folder / "receipts.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "receipts.jsonl").write_bytes(b"".join(lines[:2]))
    assert found(verdict_on(truth_of([folder]), STORE, ledger(), {DAY: GRAMS})) == (0, 0, 1, 0)


def test_a_refusal_is_a_problem(folder: Path) -> None:
    refusal = receipt(payload(*READS[0]), rejected=[{"reason": "unknown_point"}])
    with (folder / "receipts.jsonl").open("ab") as file:
        file.write(refusal)
    verdict = verdict_on(truth_of([folder]), STORE, ledger(), {DAY: GRAMS})
    assert verdict.problems == ("refused: ['unknown_point']",)


def test_a_torn_line_is_none_and_the_next_one_is_whole(folder: Path) -> None:
    made = folder / "made.tsv"
    with made.open("ab") as file:
        file.write(b'4\tnhjc/v1/x/d1/data\t{"enterprise')  # killed in the middle of it
    with append_to(made) as file:
        file.write(b"4\tnhjc/v1/x/d1/data\t{}\n")
    assert [one.number for one in read_made(made)] == [0, 1, 2, 3, 4]


def test_progress_counts_what_lacks_its_receipt_while_the_journals_grow(folder: Path) -> None:
    progress = Progress(folder)
    assert progress.look() == (3, 0)
    with append_to(folder / "made.tsv") as file:
        file.write(b"4\tnhjc/v1/x/d1/data\t{}\n5\tnhjc/v1/x/d1/data\t{ }\n6\tnhjc")
    assert progress.look() == (5, 2)
    with append_to(folder / "receipts.jsonl") as file:
        file.write(receipt(b"{}", stored=1))
    assert progress.look() == (5, 1)
