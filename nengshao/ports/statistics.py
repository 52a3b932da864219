"""Stated figures: output, 产值, GDP, with every version kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import polars as pl


class Statistics(Protocol):
    """Dated figures that people state, and who approved them."""

    def put_statistics(self, rows: pl.DataFrame) -> int:
        """Keep STATISTICS rows and make their subjects due for judgement; the number of new ones.

        A row whose key is there already is kept as it was first given (the same upload, sent again).
        Raises: ConfigError naming rows of one subject, indicator and item whose periods overlap in part, and
        empty periods. What was rejected forbids nothing."""
        ...

    def statistics(self, subjects: Sequence[str], first_day: int, end_day: int) -> pl.DataFrame:
        """STATISTICS rows, every version, of periods that overlap [first_day, end_day), sorted by key."""
        ...

    def decide_statistic(  # noqa: PLR0917 - the key of a version, and who decides what
        self,
        subject: str,
        indicator: str,
        item: str,
        first_day: int,
        version: int,
        state: str,
        by: str,
        note: str,
        at: int,
    ) -> bool:
        """Approve or reject one version, or call it final (`state`); the last decision stands. The subject
        becomes due for judgement. False: there is no such version.

        Raises: ConfigError if `state` is no decision, or if what had been rejected would now overlap another
        period in part."""
        ...
