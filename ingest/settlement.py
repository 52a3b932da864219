"""Open intents: rows that were about to be written and of which the books do not know yet.

A row of an open intent that the store holds is *not* booked, however old it is: it must not be taken for a
duplicate. The intents' exact rows make that decidable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from nengshao.frames import READINGS
from nengshao.ports import Intent

_ROW = list(READINGS.schema)


class OpenIntents:
    """The intents of a partition that were never struck, with what is left of each."""

    def __init__(self, intents: Sequence[Intent] = ()) -> None:
        self._intents = {intent.intent_id: intent for intent in intents}
        self._rows = {intent.intent_id: intent.readings for intent in intents}

    def add(self, intent: Intent) -> None:
        """An intent that has just been recorded."""
        self._intents[intent.intent_id] = intent
        self._rows[intent.intent_id] = intent.readings

    def intents(self) -> list[Intent]:
        """The open intents, oldest first."""
        return list(self._intents.values())

    def rows(self, intent_id: str) -> pl.DataFrame:
        """READINGS that are left of an intent; none if it was struck meanwhile."""
        return self._rows.get(intent_id, READINGS.empty())

    def covering(self, rows: pl.DataFrame) -> str | None:
        """An open intent of exactly these rows: a batch that is tried again needs no second one.

        One that names more must not be struck with these: its other rows would be forgotten.
        """
        for intent_id, unbooked in self._rows.items():
            if unbooked.height == rows.height and rows.join(unbooked, on=_ROW, how="anti").is_empty():
                return intent_id
        return None

    def contradict(self, rows: pl.DataFrame) -> bool:
        """Whether an open intent may have written another value of the same version as one of these."""
        version = ["point", "ts", "version"]
        both = rows.select(*version, "value").join(self._unbooked(), on=version, suffix="_unbooked")
        return not both.filter(pl.col("value") != pl.col("value_unbooked")).is_empty()

    def keys_among(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Those of the (point, ts) pairs that an open intent may have written."""
        if not self._rows:
            return keys.clear()
        return keys.join(self._unbooked().select("point", "ts").unique(), on=["point", "ts"], how="semi")

    def without_unbooked(self, stored: pl.DataFrame) -> pl.DataFrame:
        """Of what the store holds, that which the books know."""
        return stored.join(self._unbooked().select(_ROW), on=_ROW, how="anti")

    def left_after(self, rows: pl.DataFrame, *, booked_intent: str | None) -> dict[str, pl.DataFrame]:
        """Per other intent that loses rows by booking `rows`: what is left of it."""
        left = {}
        for intent_id, unbooked in self._rows.items():
            if intent_id == booked_intent:
                continue
            rest = unbooked.join(rows.select(_ROW), on=_ROW, how="anti")
            if rest.height < unbooked.height:
                left[intent_id] = rest
        return left

    def booked(self, intent_id: str | None, left: Mapping[str, pl.DataFrame]) -> None:
        """Follow a booking: its intent is struck, others keep what is left."""
        if intent_id is not None:
            self._drop(intent_id)
        for other, rest in left.items():
            self._rows[other] = rest
            if rest.is_empty():
                self._drop(other)

    def _drop(self, intent_id: str) -> None:
        self._intents.pop(intent_id, None)
        self._rows.pop(intent_id, None)

    def _unbooked(self) -> pl.DataFrame:
        return pl.concat([READINGS.empty(), *self._rows.values()])
