"""The registry at rest: replaced as a whole, read as a snapshot, its changes marking days dirty."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.errors import ConfigError
from nengshao.frames import conform
from nengshao.registry import CONTRACTS, Registry
from nengshao.stores.state.assessments import write_judge_todos
from nengshao.stores.state.bulk import chunks, columns_of, frame_of, rows_of, run_many
from nengshao.stores.state.dirty import marking
from nengshao.stores.state.engine import Database, next_generation, next_value
from nengshao.stores.state.part import Part
from nengshao.stores.state.registry_problems import registry_problems
from nengshao.stores.state.schema import enterprise_days, registry_tables, settings

_VERSION: Final = "registry_version"


class SqlRegistry(Part):
    """`nengshao.ports.RegistryStore`."""

    def __init__(self, database: Database, partitions: int) -> None:
        """The first call reads; later ones only look whether the version has changed."""
        super().__init__(database, partitions)
        self._snapshot: Registry | None = None
        self._reading: Final = threading.Lock()

    def registry(self) -> Registry:
        """The present snapshot, every table sorted by its key."""
        with self._reading, self._db.reading() as connection:
            version = _version(connection)
            if self._snapshot is None or self._snapshot.version != version:
                self._snapshot = _read(connection, version)
            return self._snapshot

    def registry_version(self) -> int:
        """Grows with every `save_registry`; 0 when nothing was ever saved."""
        with self._db.reading() as connection:
            return _version(connection)

    def save_registry(self, registry: Registry, *, at: int) -> None:
        """Replace the registry and mark what follows from the change; `registry.version` is not looked at.

        Result days of an enterprise whose points, meter changes or activity differ become dirty; an
        enterprise with any other difference (a quota, a device) becomes due for judgement.
        Raises: ConfigError listing everything that is wrong with it; FrameContractError.
        """
        tables = {name: _conformed(registry, name) for name in CONTRACTS}
        if problems := registry_problems(Registry(0, **tables)):
            raise ConfigError(problems)
        with self._db.writing() as connection:
            version = next_value(connection, _VERSION)  # from here on nobody else saves
            before = _read(connection, version)
            _replace(connection, tables)
            self._mark(connection, before, Registry(version, **tables))

    def _mark(self, connection: Connection, before: Registry, after: Registry) -> None:
        changed, touched = _changed_enterprises(before, after), _touched_enterprises(before, after)
        if not touched:
            return
        generation = next_generation(connection)
        _mark_result_days(connection, changed, generation)
        todos = [
            {"enterprise": name, "partition": self._partition(name), "generation": generation}
            for name in touched
        ]
        write_judge_todos(connection, todos)


def _version(connection: Connection) -> int:
    query = sa.select(settings.c.value).where(settings.c.name == _VERSION)
    return int(connection.execute(query).scalar_one())


def _conformed(registry: Registry, name: str) -> pl.DataFrame:
    contract = CONTRACTS[name]
    frame: pl.DataFrame = getattr(registry, name)
    return conform(frame.lazy(), contract).collect().sort(contract.key, nulls_last=True)


def _read(connection: Connection, version: int) -> Registry:
    return Registry(version, **{name: _read_table(connection, name) for name in CONTRACTS})


def _read_table(connection: Connection, name: str) -> pl.DataFrame:
    contract = CONTRACTS[name]
    query = sa.select(*columns_of(registry_tables[name], contract.schema))
    return frame_of(connection.execute(query), contract.schema).sort(contract.key)


def _replace(connection: Connection, tables: dict[str, pl.DataFrame]) -> None:
    for name, frame in tables.items():
        connection.execute(sa.delete(registry_tables[name]))
        run_many(connection, sa.insert(registry_tables[name]), rows_of(frame, CONTRACTS[name].schema))


def _mark_result_days(connection: Connection, enterprises: Iterable[str], generation: int) -> None:
    days = enterprise_days.c
    facts: list[Any] = [days.enterprise, days.day, days.partition, sa.false(), sa.literal(generation)]
    names = ["enterprise", "day", "partition", "late", "generation"]
    for some in chunks(sorted(enterprises)):
        query = sa.select(*facts).where(days.enterprise.in_(some)).order_by(days.enterprise, days.day)
        connection.execute(marking(connection).from_select(names, query))


def _changed_enterprises(before: Registry, after: Registry) -> list[str]:
    """Enterprises whose facts differ that go into daily figures: points, meter changes, activity."""
    points = _differing(before.points, after.points)["enterprise"]
    activity = _differing(
        *(side.enterprises.select("enterprise", "active_from", "active_to") for side in (before, after))
    )
    meters = _differing(before.meter_changes, after.meter_changes)["point"]
    owners = pl.concat([before.points, after.points]).filter(pl.col("point").is_in(meters.implode()))
    return sorted({*points, *activity["enterprise"], *owners["enterprise"]})


def _touched_enterprises(before: Registry, after: Registry) -> list[str]:
    """Enterprises that differ in anything."""
    named = ("enterprises", "devices", "points", "quotas")
    differing = [_differing(getattr(before, name), getattr(after, name))["enterprise"] for name in named]
    return sorted({*_changed_enterprises(before, after), *pl.concat(differing)})


def _differing(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Rows that are in one of the two only."""
    names = before.columns
    gone = before.join(after, on=names, how="anti", nulls_equal=True)
    return pl.concat([gone, after.join(before, on=names, how="anti", nulls_equal=True)])
