"""What the books know of the law as data, and the restatements that followed its changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.stores.state.bulk import run_many
from nengshao.stores.state.dirty import write_dirty
from nengshao.stores.state.engine import next_value
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import known_factors, restatements


class SqlLawBooks(Part):
    """`nengshao.ports.LawBooks`."""

    def known_factors(self) -> dict[str, Mapping[str, Any]]:
        """factor_id -> the row as JSON-able values; empty before the first assessment."""
        with self._db.reading() as connection:
            return _read(connection)

    def restate(
        self,
        factors: Mapping[str, Mapping[str, Any]],
        changes: Sequence[Mapping[str, Any]],
        dirty: pl.DataFrame,
        at: int,
    ) -> None:
        """Know these rows instead of all others, mark the days, keep what changed. One transaction.

        The same rows told again, by a second process that started with the same law: only the days are
        marked, and there is one restatement.
        """
        with self._db.writing() as connection:
            next_value(connection, "law")  # from here on nobody else restates
            if _read(connection) != factors:
                rows = [{"factor_id": name, "row": dict(factors[name])} for name in sorted(factors)]
                connection.execute(sa.delete(known_factors))
                run_many(connection, sa.insert(known_factors), rows)
                _keep(connection, changes, dirty, at)
            write_dirty(connection, dirty, self._placing(connection))

    def restatements(self) -> list[Mapping[str, Any]]:
        """restatement_id, made_at, changes, days; newest first."""
        query = sa.select(restatements).order_by(restatements.c.restatement_id.desc())
        with self._db.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def _read(connection: Connection) -> dict[str, Mapping[str, Any]]:
    return {row.factor_id: row.row for row in connection.execute(sa.select(known_factors))}


def _keep(connection: Connection, changes: Sequence[Mapping[str, Any]], dirty: pl.DataFrame, at: int) -> None:
    if not changes:
        return
    days = dirty.select("enterprise", "day").unique().height
    row = {"made_at": at, "changes": [dict(change) for change in changes], "days": days}
    connection.execute(sa.insert(restatements).values(row))
