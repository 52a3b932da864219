"""The registry at rest: replaced as a whole, read as a snapshot, its changes marking days dirty."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.errors import ConfigError
from nengshao.frames import conform
from nengshao.registry import CONTRACTS, Registry
from nengshao.stores.state.bulk import chunks, columns_of, frame_of, rows_of, run_many
from nengshao.stores.state.dirty import marking
from nengshao.stores.state.engine import Database, next_generation, next_value
from nengshao.stores.state.in_force import write_judge_todos
from nengshao.stores.state.part import Part
from nengshao.stores.state.regions import memberships
from nengshao.stores.state.registry_problems import registry_problems
from nengshao.stores.state.schema import enterprise_days, registry_tables, settings

_OF_POINTS: Final = ("meter_changes", "virtual_terms")
_VERSION: Final = "registry_version"
_DIRTY: Final = ["enterprise", "day", "partition", "late", "generation"]


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

        Dirty become the result days of an enterprise whose points, virtual points, meter changes, heating
        values, region or activity differ, and on those days every region that it joins or leaves. Who has
        any other difference (a quota, a product, a device, a region's name) becomes due for judgement.
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
        changed, touched = _changed_enterprises(before, after), _touched(before, after)
        if not touched:
            return
        place, generation = self._placing(connection), next_generation(connection)
        write_judge_todos(connection, touched, generation, place)
        _mark_result_days(connection, changed, generation)
        moved = _differing(memberships(before), memberships(after))
        by_region = moved.group_by("region").agg("enterprise").sort("region")
        for region, members in by_region.iter_rows():
            _mark_region_days(connection, members, (region, place(region), generation))


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
    for some in chunks(sorted(enterprises)):
        query = sa.select(*facts).where(days.enterprise.in_(some)).order_by(days.enterprise, days.day)
        connection.execute(marking(connection).from_select(_DIRTY, query))


def _mark_region_days(connection: Connection, members: Sequence[str], region: tuple[str, int, int]) -> None:
    """The result days of these enterprises, as days of a region (its code and partition, the generation)."""
    day = enterprise_days.c.day
    code, partition, generation = map(sa.literal, region)
    for some in chunks(members):
        query = sa.select(code, day, partition, sa.false(), generation)
        of_members = query.where(enterprise_days.c.enterprise.in_(some)).group_by(day).order_by(day)
        connection.execute(marking(connection).from_select(_DIRTY, of_members))


def _changed_enterprises(before: Registry, after: Registry) -> list[str]:
    """Enterprises whose facts differ that go into daily figures."""
    sides = before, after
    tables = [_differing(*(getattr(side, name) for side in sides)) for name in ("points", "heating_values")]
    duty = ("enterprise", "active_from", "active_to", "region")
    tables.append(_differing(*(side.enterprises.select(duty) for side in sides)))
    of_points = [_differing(*(getattr(side, name) for side in sides)) for name in _OF_POINTS]
    points = pl.concat(table["point"] for table in of_points)
    owners = pl.concat(side.points for side in sides).filter(pl.col("point").is_in(points.implode()))
    return sorted({name for table in (*tables, owners) for name in table["enterprise"]})


def _touched(before: Registry, after: Registry) -> list[str]:
    """Enterprises and regions that differ in anything."""
    named = {
        name: "code" if name == "regions" else "enterprise"
        for name, contract in CONTRACTS.items()
        if {"code", "enterprise"} & contract.schema.keys()
    }
    differing = [_differing(getattr(before, name), getattr(after, name))[key] for name, key in named.items()]
    return sorted({*_changed_enterprises(before, after), *pl.concat(differing)})


def _differing(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Rows that are in one of the two only."""
    names = before.columns
    gone = before.join(after, on=names, how="anti", nulls_equal=True)
    return pl.concat([gone, after.join(before, on=names, how="anti", nulls_equal=True)])
