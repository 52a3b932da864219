"""What the books know of the law as data: by which factor rows the figures at rest were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl


class LawBooks(Protocol):
    """The factor rows that the stored figures rest on, and the restatements that followed their changes."""

    def known_factors(self) -> dict[str, Mapping[str, Any]]:
        """factor_id -> the row as JSON-able values; empty before the first assessment."""
        ...

    def restate(
        self,
        factors: Mapping[str, Mapping[str, Any]],
        changes: Sequence[Mapping[str, Any]],
        dirty: pl.DataFrame,
        at: int,
    ) -> None:
        """Know these rows instead of all known before, mark DIRTY_SCHEMA days, and keep a restatement if
        anything changed: what changed (`changes`), how many days were marked. One transaction; told twice (by
        two processes that start with the same law) it is one restatement."""
        ...

    def restatements(self) -> list[Mapping[str, Any]]:
        """restatement_id, made_at, changes, days; newest first."""
        ...
