"""`nengshao check`: everything that can be wrong before a start, found at once."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

import nengshao
from analytics.factor_gaps import factor_gaps
from nengshao.app import ROLES, has_state, load_law, open_state_store
from nengshao.domain.errors import ConfigError
from nengshao.domain.norms import NormTable
from nengshao.domain.time import local_text
from nengshao.registry import Registry
from nengshao.registry_tables import loose_ends
from nengshao.settings import Settings, read_secret

OUR_NAMES: Final = ("nengshao", "ingest", "analytics", "api", "simulators")


def checkup(settings: Settings) -> Iterator[tuple[str, bool]]:
    """One line per thing that was checked, and whether it is in order; if not, it is worth knowing.

    Raises: ConfigError listing every problem of every part.
    """
    problems: list[str] = list(foreign_names())
    lines = [f"设置 / settings: store {settings.store.kind}, data {settings.data_dir}"]
    for secret in (settings.api.token_file, settings.store.influx_token_file, settings.mqtt.password_file):
        problems += _secret_problems(secret)
    law, loose = None, list[str]()
    try:
        law = load_law(settings)
        rows = law.factors.rows
        unconfirmed = sum(not row.confidence.is_confirmed for row in rows)
        lines.append(f"系数 / factors: {len(rows)}, 其中未确认 / of them unconfirmed: {unconfirmed}")
        lines.append(f"限额 / norms: {len(law.norms.rows)}")
        lines.append(f"日历 / calendars: {', '.join(map(str, sorted(law.calendar.years)))}")
        lines.append(f"规则 / rules: {', '.join(law.rules)}")
    except ConfigError as exc:
        problems += exc.problems
    if problems:
        raise ConfigError(problems)
    if law is not None and has_state(settings):
        state = open_state_store(settings)
        registry, partitions = state.registry(), state.partitions
        state.close()
        lines.append(f"分区 / partitions: {partitions.count}")
        if partitions.announced is not None:
            again = f"nengshao repartition --to {partitions.announced}"
            loose.append(f"更改分区数没有做完，无人接入，请再运行 / nobody ingests until it is done: {again}")
        lines.append(
            f"登记表 / registry: {registry.enterprises.height} 家企业, {registry.points.height} 条计量点"
        )
        loose += loose_ends(registry)
        loose += [f"缺少系数 / no factor: {gap}" for gap in factor_gaps(registry, law.factors)]
        loose += unknown_norms(registry, law.norms)
    yield from ((line, True) for line in lines)
    yield from ((line, False) for line in loose)


def unknown_norms(registry: Registry, norms: NormTable) -> list[str]:
    """A line for each product row whose norm is in no library, with the norms that are like it, or all."""
    known = sorted({row.norm_id for row in norms.rows})
    products = registry.products.filter(pl.col("norm") != "", ~pl.col("norm").is_in(known))
    lines = []
    for row in products.sort("enterprise", "product", "valid_from").iter_rows(named=True):
        close = difflib.get_close_matches(row["norm"], known, n=5)
        there_are = "相近 / close to it" if close else "现有 / there are"
        lines.append(
            f"products {row['enterprise']}/{row['product']}（{local_text(row['valid_from'])[:10]} 起）:"
            f" 限额不存在 / unknown norm {row['norm']}；{there_are}: {', '.join(close or known)}"
        )
    return lines


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


def _secret_problems(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        read_secret(file)
    except ConfigError as exc:
        return list(exc.problems)
    return []
