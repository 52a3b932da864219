"""The scenarios: what is built, and what is done to it while its devices publish.

A scenario draws everything from its seed: the versions of MQTT, how many processes there are, who is hit,
when, and for how long. What it leaves undone at its end the runner heals.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.chaos.stack import BROKER, INGESTOR, STATE, STORE, TARGETS, Plan, Stack

WHOLE: Final = {"whole": "ingest,assess,serve"}
PAIR: Final = {"first": "ingest,serve", "second": "ingest,serve", "assess": "assess"}
# Devices that never wait for receipts, however long a store is away, and do not resend all they hold every
# few seconds either.
_HOLDING: Final[Mapping[str, Any]] = {"in_flight": 10**6, "patience_s": (10.0, 80.0)}
# For minutes of absence: as patient as real devices, and batches for what has then come together.
_PATIENT: Final[Mapping[str, Any]] = {
    "per_second": 30.0,
    "patience_s": (60.0, 480.0),
    "settings": {"ingest": {"batch_rows": 5000}},
}
_SPOOL_BYTES: Final = 409_600  # whole pages, as a file system counts


@dataclass(frozen=True)
class Scenario:
    """`plan` builds its stack from a seed; `play` is what happens to it."""

    name: str
    plan: Callable[[int], Plan]
    play: Callable[[Stack], None]
    around: Callable[[Path], contextlib.AbstractContextManager[None]] = lambda _: contextlib.nullcontext()


def drawn(seed: int, **given: Any) -> Plan:
    """A plan with what is not `given` drawn from the seed."""
    chance = Random(f"{seed}/plan")
    plan = Plan(
        seed=seed,
        processes=chance.choice((WHOLE, PAIR)),
        partitions=chance.choice((1, 1, 3)),
        ingest_protocol=chance.choice(("3.1.1", "5")),
        device_protocol=chance.choice(("3.1.1", "5")),
        shared=chance.random() < 0.5,
        meters=chance.randint(3, 8),
        per_second=chance.uniform(30, 90),
    )
    return replace(plan, **given)


# ------------------------------------------------------------------------------------------- kills


def spread(count: int, chance: Random) -> list[str]:
    """Targets of `count` kills: each kind as often as the others, in any order."""
    rounds = [chance.sample(TARGETS, len(TARGETS)) for _ in range(-(-count // len(TARGETS)))]
    return [target for one in rounds for target in one][:count]


def random_kills(count: int) -> Scenario:
    """`count` kills at random moments; one may fall while another's victim is still down."""

    def play(stack: Stack) -> None:
        for target in spread(count, stack.chance):
            stack.run_for(stack.chance.uniform(0.2, 2.0))
            stack.kill_for(target, stack.chance.uniform(0.05, 2.5))

    return Scenario(f"kills-{count}", drawn, play)


# ---------------------------------------------------------------------------------- a server away


def server_killed(name: str, target: str, away_s: float, **given: Any) -> Scenario:
    """Killed under load, and away for a while, during which devices go on."""

    def play(stack: Stack) -> None:
        stack.run_for(2)
        again = stack.kill(target)
        stack.run_for(away_s)
        again()
        stack.run_for(2)

    return Scenario(name, lambda seed: drawn(seed, **{**_HOLDING, **given}), play)


def server_stands_still(name: str, target: str, away_s: float) -> Scenario:
    """SIGSTOP: connections stay open and nobody answers; then it goes on as if nothing had been."""

    def play(stack: Stack) -> None:
        stack.run_for(2)
        server = stack.servers.named(target)
        stack.under_load()
        stack.pause(server)
        stack.run_for(away_s)
        stack.resume(server)
        stack.run_for(2)

    return Scenario(name, lambda seed: drawn(seed, **_HOLDING), play)


def broker_restarted() -> Scenario:
    """Ended and started as an operator does, twice."""

    def play(stack: Stack) -> None:
        for _ in range(2):
            stack.run_for(2)
            stack.under_load()
            stack.servers.mosquitto.stop()
            stack.run_for(stack.chance.uniform(0.1, 2))
            stack.servers.mosquitto.start()
        stack.run_for(2)

    return Scenario("broker-restarted", drawn, play)


# ------------------------------------------------------------------------------------- the network


def network_cut(seconds: float) -> Scenario:
    """Each line cut (connections reset) and stalled (no byte passes) in turn, then some at once."""

    def play(stack: Stack) -> None:
        lines = [stack.device_line, stack.ingest_line, stack.store_line]
        rounds = [[line] for line in stack.chance.sample(lines, 3)] + [stack.chance.sample(lines, 2)]
        for number, hit in enumerate(rounds):
            stack.run_for(1)
            stack.under_load()
            for line in hit:
                line.cut() if (number + stack.plan.seed) % 2 else line.stall()
            stack.run_for(stack.chance.uniform(0.5, 1.5) * seconds)
            for line in hit:
                line.heal()

    return Scenario("network-cut", drawn, play)


def network_slow(seconds: float) -> Scenario:
    """Every line late and narrow; the store's slow enough that the acks are, too; and one cut meanwhile."""

    def play(stack: Stack) -> None:
        stack.run_for(1)
        stack.device_line.slow(stack.chance.uniform(0.01, 0.1), 200_000)
        stack.ingest_line.slow(stack.chance.uniform(0.01, 0.1), 200_000)
        stack.store_line.slow(stack.chance.uniform(0.2, 0.6), 50_000)
        stack.run_for(seconds)
        stack.under_load()
        stack.ingest_line.cut()
        stack.run_for(1)
        stack.ingest_line.heal()
        stack.run_for(1)

    return Scenario("network-slow", drawn, play)


# ------------------------------------------------------------------------------------- succession


def holder_paused() -> Scenario:
    """The holder stands still past its lease, a spare takes over, the first wakes; then the other way."""

    def play(stack: Stack) -> None:
        for _ in range(2):
            stack.run_for(1.5)
            first = stack.holder()
            stack.under_load()
            pause_between_transactions(stack, first)
            assert stack.holder() != first
            stack.run_for(stack.chance.uniform(0.5, 2.0))
            stack.resume(stack.processes[first])
        stack.run_for(1)

    return Scenario("holder-paused", lambda seed: drawn(seed, processes=PAIR, partitions=1), play)


def pause_between_transactions(stack: Stack, name: str) -> None:
    """In a transaction it would keep the lease's row locked until PostgreSQL ends its session, after 30 s."""
    process = stack.processes[name]
    stack.pause(process)
    stack.run_for(0.3)
    while stack.site.transactions_standing():
        stack.resume(process)
        stack.run_for(stack.chance.uniform(0.0, 0.1))
        stack.pause(process)
        stack.run_for(0.3)


# -------------------------------------------------------------------------------------- the spool


def spools(stack: Stack) -> list[Path]:
    return sorted(stack.folder.glob("data-*/spool/**/*.spool"))


def spooled_bytes(stack: Stack) -> int:
    return sum(path.stat().st_size for path in spools(stack) if path.exists())


def wait_full(stack: Stack, room: int) -> None:
    """Until the spool has stopped growing under load: what is left may be too little for a whole batch."""
    size, since = 0, time.monotonic()

    def is_full() -> bool:
        nonlocal size, since
        if (now := spooled_bytes(stack)) != size:
            size, since = now, time.monotonic()
        return size > room / 3 and time.monotonic() - since > 2

    stack.wait(is_full, "the spool is full")


def spool_full(settings: Mapping[str, Any], name: str = "spool-full", room: int = _SPOOL_BYTES) -> Scenario:
    """The store is away until the spool has no room; then nothing is taken from the broker, nor dropped."""

    def play(stack: Stack) -> None:
        stack.run_for(2)
        again = stack.kill(STORE)
        wait_full(stack, room)
        stack.run_for(stack.chance.uniform(1, 3))
        assert spooled_bytes(stack) <= room
        again()
        stack.run_for(2)

    def plan(seed: int) -> Plan:
        return drawn(seed, processes=WHOLE, partitions=1, settings={"ingest": settings}, **_HOLDING)

    return Scenario(name, plan, play)


def disk_full() -> Scenario:
    """The same, but it is the disk that is full: a file system of 400 kB, and a limit far above."""

    @contextmanager
    def small_disk(folder: Path) -> Iterator[None]:
        spool = folder / "data-whole" / "spool"
        spool.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SPOOL_BYTES}", "tmpfs", spool], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", spool], check=True)

    return replace(spool_full({}, "disk-full"), around=small_disk)


def can_mount() -> bool:
    """Whether this user may mount a small file system."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


def spool_torn() -> Scenario:
    """Killed while it spools, with a record half written at the end; then again, with the end cut off.

    The second is what no crash leaves after fsync: a damaged disk. The receipt, which waits for the books,
    holds even then.
    """

    def tear(path: Path, chance: Random) -> None:
        with path.open("r+b") as file:
            if chance.random() < 0.5:
                head = file.read(chance.randrange(3, 40))
                file.seek(0, os.SEEK_END)
                file.write(head)
            else:
                file.truncate(max(0, file.seek(0, os.SEEK_END) - chance.randrange(1, 40)))

    def play(stack: Stack) -> None:
        stack.run_for(1.5)
        for _ in range(2):
            again = stack.kill(STORE)
            stack.wait(lambda: spooled_bytes(stack) > 30_000, "something is spooled")
            restart = stack.kill(INGESTOR)
            tear(spools(stack)[-1], stack.chance)
            restart()
            stack.run_for(stack.chance.uniform(0.5, 3))
            again()
            stack.holder()
            stack.wait(lambda: stack.in_flight("spool") == 0, "the spool is drained")
            stack.run_for(1)

    return Scenario("spool-torn", lambda seed: drawn(seed, processes=WHOLE, partitions=1), play)


# ------------------------------------------------------------------------------------------- sets


def long_set(kills: int, store_down_s: float) -> list[Scenario]:
    """Every named scenario, then random kills until there are enough of them."""
    named = [
        server_killed("store-killed", STORE, store_down_s, **_PATIENT),
        server_stands_still("store-stands-still", STORE, 15),
        server_killed("state-killed", STATE, 15),
        server_stands_still("state-stands-still", STATE, 12),
        server_killed("broker-killed", BROKER, 5),
        broker_restarted(),
        spool_full({"spool_max_bytes": _SPOOL_BYTES}),
        *([disk_full()] if can_mount() else []),
        network_cut(3),
        network_slow(15),
        holder_paused(),
        spool_torn(),
    ]
    return named + kills_set(kills)


def kills_set(kills: int) -> list[Scenario]:
    """Random kills, ten to a scenario."""
    each = 10
    return [random_kills(min(each, kills - done)) for done in range(0, kills, each)]


def short_set() -> list[Scenario]:
    """What CI can wait for; its kills are in the test of the audit."""
    return [
        small(server_stands_still("store-stands-still", STORE, 4), processes=WHOLE),
        small(spool_full({"spool_max_bytes": _SPOOL_BYTES})),
        small(network_cut(1)),
    ]


def small(scenario: Scenario, **given: Any) -> Scenario:
    """The same with fewer devices, which are the dearest to start."""
    return replace(scenario, plan=lambda seed: replace(scenario.plan(seed), groups=2, enterprises=3, **given))
