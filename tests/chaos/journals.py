"""Device-side truth: what devices made and what their receipts said, from their journals alone.

Shares no code with what it is held against: payloads are read as the JSON that they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tests.chaos.records import Made, read_made
from tests.support.site import STORED


def read_receipts(path: Path) -> Iterator[dict[str, object]]:
    """What receipts said, message by message."""
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            yield from json.loads(line)["messages"]
        except ValueError:
            continue  # empty, or torn


class Progress:
    """How far a group is, followed by reading what its journals have grown by."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / "made.tsv", folder / "receipts.jsonl")
        self._read = [0, 0]
        self._made: set[str] = set()
        self._receipted: set[str] = set()

    def look(self) -> tuple[int, int]:
        """Distinct messages made, and those of them that have no receipt."""
        for line in self._grown(0):
            parts = line.split(b"\t")
            if len(parts) == 3 and parts[2].endswith(b"}"):
                self._made.add(hashlib.sha256(parts[2]).hexdigest())
        for line in self._grown(1):
            try:
                self._receipted.update(said["sha256"] for said in json.loads(line)["messages"])
            except ValueError:
                continue
        return len(self._made), len(self._made - self._receipted)

    def _grown(self, which: int) -> list[bytes]:
        path = self._files[which]
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read[which])
            whole = file.read().rpartition(b"\n")[0]
        self._read[which] += len(whole) + bool(whole)
        return whole.split(b"\n")


@dataclass(frozen=True)
class Truth:
    """Every reading that devices made, as STORED + `digest` of its message, and who has a receipt.

    `receipted`: digests whose receipt accepted every reading. `refused`: reasons that receipts gave.
    """

    rows: pl.DataFrame
    receipted: frozenset[str]
    refused: tuple[str, ...]


def truth_of(folders: list[Path]) -> Truth:
    """The truth of the groups whose folders these are."""
    rows: dict[str, list[tuple[str, str, str, float, str, str]]] = {}
    receipted, refused = set(), []
    for folder in folders:
        for made in read_made(folder / "made.tsv"):
            rows.setdefault(made.digest, _rows(made))
        for said in read_receipts(folder / "receipts.jsonl"):
            if said.get("rejected"):
                refused += [str(item["reason"]) for item in said["rejected"]]  # type: ignore[attr-defined]
            else:
                receipted.add(str(said["sha256"]))
    return Truth(
        _frame([row for of_one in rows.values() for row in of_one]), frozenset(receipted), tuple(refused)
    )


def _rows(made: Made) -> list[tuple[str, str, str, float, str, str]]:
    message = json.loads(made.payload)
    assert message["enterpriseCode"] in made.topic
    return [
        (
            message["enterpriseCode"], f"{item['dataCode']}.{item['statType']}.{item['meter']}",
            made.digest, item["dataValue"], item["statDate"], item["uploadDate"],
        )
        for item in message["data"]
    ]  # fmt: skip


def _frame(rows: list[tuple[str, str, str, float, str, str]]) -> pl.DataFrame:
    names = ["enterprise", "point", "digest", "number", "stat", "upload"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String) | {"number": pl.Float64}, orient="row")
    ts, version = (_instant(name) for name in ("stat", "upload"))
    return frame.select(
        "enterprise",
        "point",
        pl.lit("v4").alias("field"),  # valid, and read by an instrument
        (pl.col("number") * 10**6).round().cast(pl.Int64).alias("value"),
        # As BOOKKEEPING §1 has it: the version rides in the sub-second part, a day ahead of the reading.
        (ts * 10**9 + version - ts + 86_400).alias("time"),
        "digest",
    ).select(*STORED, "digest")


def _instant(column: str) -> pl.Expr:
    """Seconds of a local time of UTC+8, with or without its offset."""
    text = pl.col(column).str.slice(0, 19).str.replace("T", " ", literal=True)
    return text.str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("s") - 8 * 3600
