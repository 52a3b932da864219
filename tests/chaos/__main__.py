"""The long set: one verdict line per scenario, a JSON object at the end; exit status 1 for any failure."""

from __future__ import annotations

import argparse
import signal
import sys
from random import SystemRandom

from tests.chaos.runner import run_alone, summary
from tests.chaos.scenarios import long_set
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="random kills, besides the named scenarios'")
    parser.add_argument("--seed", type=int, help="of the first scenario; the next ones count on from it")
    parser.add_argument(
        "--only", action="append", help="only scenarios whose name starts so; may be repeated"
    )
    parser.add_argument("--store-down", type=float, default=300.0, metavar="S", help="of store-killed")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    missing = [kind.title for kind in (Mosquitto, Influx, Postgres) if kind.find() is None]
    if missing:
        print(f"not on this machine: {', '.join(missing)}; run `make servers`", file=sys.stderr)
        return 3
    seed = given.seed if given.seed is not None else SystemRandom().randrange(10**6)
    chosen = [s for s in long_set(given.kills, given.store_down) if is_wanted(s.name, given.only)]
    results = []
    for number, scenario in enumerate(chosen):
        result = run_alone(scenario, seed + number)
        print(result.line(), flush=True)
        if not result.is_ok:
            print(f"repeat: {repeat(scenario.name, seed + number, given.store_down)}", flush=True)
        results.append(result)
    print(summary(seed, results))
    return 0 if results and all(result.is_ok for result in results) else 1


def is_wanted(name: str, prefixes: list[str] | None) -> bool:
    return prefixes is None or any(name.startswith(prefix) for prefix in prefixes)


def repeat(name: str, seed: int, store_down_s: float) -> str:
    """The command that plays one scenario with its own seed."""
    kills = name.removeprefix("kills-") if name.startswith("kills-") else "0"
    return f"python -m tests.chaos --only {name} --kills {kills} --seed {seed} --store-down {store_down_s:g}"


if __name__ == "__main__":
    sys.exit(main())
