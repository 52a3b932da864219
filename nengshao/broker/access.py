"""Who may say what to whom: Mosquitto's rules and accounts, made from the registry.

An account is a device's, `enterprise/device`, or its enterprise's, for a collector that speaks for them all.
Each rule names whole topics: no pattern, no wildcard, so that what is not registered is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from nengshao.domain.codes import partition_of
from nengshao.registry import Registry
from nengshao.wire import COMMAND, DATA, RECEIPT, ROOT, STATUS

_FROM_DEVICES: Final = (DATA, STATUS)
_TO_DEVICES: Final = (COMMAND, RECEIPT)
_HEAD: Final = (
    "# nengshao broker-acl 生成，请勿手改；改登记表后重新生成，再向代理发 SIGHUP。",
    "# Made by nengshao broker-acl, not by hand: make it anew when the registry has changed, then SIGHUP.",
)


@dataclass(frozen=True, slots=True)
class Access:
    """Every device that may sign in, by enterprise; both sorted."""

    devices: Mapping[str, tuple[str, ...]]

    @property
    def accounts(self) -> list[str]:
        """Names that may sign in, the enterprises' and their devices'."""
        return [
            name
            for enterprise, devices in self.devices.items()
            for name in (enterprise, *(f"{enterprise}/{device}" for device in devices))
        ]


def access_of(registry: Registry, at: int) -> Access:
    """The devices that are in duty at `at` or will be, of enterprises that are not over.

    A device whose duty has ended is out; one that is yet to begin may connect, and its readings are screened.
    """
    lasting = pl.col("active_to").is_null() | (pl.col("active_to") > at)
    open_ended = pl.col("valid_to").is_null() | (pl.col("valid_to") > at)
    rows = registry.devices.filter(open_ended).join(
        registry.enterprises.filter(lasting), on="enterprise", how="semi"
    )
    found: dict[str, set[str]] = {}
    for enterprise, device in rows.select("enterprise", "device").iter_rows():
        found.setdefault(enterprise, set()).add(device)
    return Access({enterprise: tuple(sorted(found[enterprise])) for enterprise in sorted(found)})


def admitted(
    access: Access, subscribed: Mapping[int, int], version: int, partitions: int, present: Collection[str]
) -> Access:
    """Those of `access` whose messages somebody takes: others' would be acknowledged and gone.

    `subscribed`: the registry version by which each partition's session subscribes. One that is behind the
    registry's `version` has its enterprises only if they are `present` in the rules in force. With one
    partition a wildcard takes everybody's.
    """
    if partitions == 1:
        return access
    return Access(
        {
            enterprise: devices
            for enterprise, devices in access.devices.items()
            if subscribed.get(partition_of(enterprise, partitions), -1) >= version or enterprise in present
        }
    )


def rules_text(access: Access, service: str, collectors: Collection[str] = ()) -> str:
    """The rules file: the same registry gives the same bytes.

    `collectors`: accounts that enterprises of these names have for all of their devices. Only they have such
    rules, because Mosquitto reads a file in time that grows with the square of its users.
    """
    return "\n".join([*_HEAD, *_service(service), *_enterprises(access, frozenset(collectors))]) + "\n"


def enterprises_in(rules: str) -> frozenset[str]:
    """The enterprises that a rules file of ours has."""
    users = (line.removeprefix("user ") for line in rules.splitlines() if line.startswith("user "))
    return frozenset(enterprise for enterprise, slash, _ in (user.partition("/") for user in users) if slash)


def accounts_text(accounts: str, allowed: Collection[str]) -> str:
    """A password file with only the lines of allowed names, in their order; nothing is said of passwords."""
    names = frozenset(allowed)
    kept = [line for line in accounts.splitlines() if line.partition(":")[0] in names]
    return "".join(f"{line}\n" for line in kept)


def _service(name: str) -> Iterator[str]:
    yield f"\nuser {name}"
    yield from (f"topic read {ROOT}/+/+/{leaf}" for leaf in _FROM_DEVICES)
    yield from (f"topic write {ROOT}/+/+/{leaf}" for leaf in _TO_DEVICES)


def _enterprises(access: Access, collectors: frozenset[str]) -> Iterator[str]:
    for enterprise, devices in access.devices.items():
        if enterprise in collectors:
            yield f"\nuser {enterprise}"
            for device in devices:
                yield from _topics(enterprise, device)
        for device in devices:
            yield f"\nuser {enterprise}/{device}"
            yield from _topics(enterprise, device)


def _topics(enterprise: str, device: str) -> Iterator[str]:
    yield from (f"topic write {ROOT}/{enterprise}/{device}/{leaf}" for leaf in _FROM_DEVICES)
    yield from (f"topic read {ROOT}/{enterprise}/{device}/{leaf}" for leaf in _TO_DEVICES)
