"""`nengshao check`: everything that can be wrong before a start, found at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

import nengshao
from analytics.factor_library import load_factors
from analytics.rules import load_rulebook
from nengshao.app import ROLES, open_state_store
from nengshao.domain.errors import ConfigError, FactorMissing
from nengshao.domain.factors import Basis, FactorTable
from nengshao.domain.time import accounting_day, date_of
from nengshao.domain.units import Carrier, Role
from nengshao.registry import Registry
from nengshao.registry_tables import loose_ends
from nengshao.settings import Settings, read_secret

OUR_NAMES: Final = ("nengshao", "ingest", "analytics", "api", "simulators")


def checkup(settings: Settings) -> Iterator[str]:
    """One line per thing that was checked and is in order, or worth knowing.

    Raises: ConfigError listing every problem of every part.
    """
    problems: list[str] = list(foreign_names())
    lines = [f"设置 / settings: store {settings.store.kind}, data {settings.data_dir}"]
    for secret in (settings.api.token_file, settings.store.influx_token_file, settings.mqtt.password_file):
        problems += _secret_problems(secret)
    factors = None
    try:
        factors = load_factors(settings.assess.factor_dirs)
        lines.append(f"系数 / factors: {len(factors.rows)}")
    except ConfigError as exc:
        problems += exc.problems
    try:
        rules = load_rulebook(settings.assess.rulebook_dirs)
        lines.append(f"规则 / rules: {', '.join(rule.name for rule in rules)}")
    except ConfigError as exc:
        problems += exc.problems
    if problems:
        raise ConfigError(problems)
    if factors is not None and _has_state(settings):
        state = open_state_store(settings)
        registry = state.registry()
        state.close()
        lines.append(
            f"登记表 / registry: {registry.enterprises.height} 家企业, {registry.points.height} 条计量点"
        )
        lines += loose_ends(registry)
        lines += [f"缺少系数 / no factor: {gap}" for gap in factor_gaps(registry, factors)]
    yield from lines


def foreign_names() -> Iterator[str]:
    """A problem line for each of our top-level names that resolves outside our own tree.

    A distribution of the same name that somebody installed would win silently over an editable install.
    """
    home = Path(nengshao.__file__).parent.parent
    for name in OUR_NAMES:
        spec = importlib.util.find_spec(name)
        origin = None if spec is None or spec.origin is None else Path(spec.origin).parent.parent
        if origin != home:
            yield f"{name} 来自别处 / {name} resolves to {origin}, not to {home}"


def refuse_split_roles(settings: Settings, roles: Sequence[str]) -> Collection[str]:
    """The roles, if they are known and may run apart over this store.

    Raises: ConfigError: an unknown role; or some of the roles only, over a store that one process owns.
    """
    wanted = {role.strip() for role in roles if role.strip()}
    problems = [f"未知角色 / unknown role: {role}" for role in sorted(wanted - set(ROLES))]
    if not wanted:
        problems.append("没有角色 / no role given")
    if settings.store.kind != "influx" and wanted != set(ROLES):
        problems.append(
            f"store.kind={settings.store.kind} 只能由一个进程使用，不能拆分角色 / "
            "belongs to one process: run all roles in one, or use InfluxDB and PostgreSQL"
        )
    if problems:
        raise ConfigError(problems)
    return wanted


def factor_gaps(registry: Registry, factors: FactorTable) -> list[str]:
    """Carrier × basis of boundary points for which some day of their validity has no factor."""
    feeding = registry.points.filter(pl.col("feeds_total") & (pl.col("role") != Role.SUB))
    gaps = set()
    for carrier, start, end in feeding.select("carrier", "valid_from", "valid_to").unique().iter_rows():
        days = [start] if end is None else [start, end - 1]
        for basis in Basis:
            for instant in days:
                day = date_of(accounting_day(instant))
                try:
                    factors.at(Carrier(carrier), basis, day)
                except FactorMissing:
                    gaps.add(f"{Carrier(carrier).zh} {basis.zh} {day}")
    return sorted(gaps)


def _has_state(settings: Settings) -> bool:
    url = settings.state_url
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()


def _secret_problems(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        read_secret(file)
    except ConfigError as exc:
        return list(exc.problems)
    return []
