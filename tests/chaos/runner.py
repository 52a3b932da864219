"""Runs a scenario: stack, load, faults, healing, quiet, audit; one line says what came of it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.audit import Verdict, grams_of, verdict_on
from tests.chaos.journals import truth_of
from tests.chaos.scenarios import Scenario
from tests.chaos.stack import Servers, Stack
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres

_CALM_WITHIN_S: Final = 180.0
_TOTALS_WITHIN_S: Final = 60.0


@dataclass(frozen=True)
class Result:
    """A scenario that was played. Without a verdict it did not come as far as the audit."""

    name: str
    seed: int
    kills: int
    seconds: float
    verdict: Verdict | None
    trace: str = ""  # of what ended it before its audit

    @property
    def is_ok(self) -> bool:
        return self.verdict is not None and self.verdict.is_ok

    def line(self) -> str:
        """The verdict line."""
        found, head = self.verdict, f"chaos {self.name} seed={self.seed} kills={self.kills}"
        if found is None:
            return f"{head} seconds={self.seconds:.0f} NOT AUDITED: {_last_line(self.trace)}"
        said = (
            f"{head} readings={found.readings} receipted={found.receipted} lost={found.lost} "
            f"double={found.double} undelivered={found.undelivered} inexact={found.inexact} "
            f"seconds={self.seconds:.0f}"
        )
        return f"{said} {'ok' if found.is_ok else 'FAILED: ' + '; '.join(found.problems)}"


def bring_to_rest(scenario: Scenario, stack: Stack) -> None:
    """Load and faults, healing, quiet."""
    scenario.play(stack)
    stack.heal()
    stack.calm(_CALM_WITHIN_S)


def audited(stack: Stack) -> Verdict:
    """The verdict on a stack at rest: it waits for the totals, and for nothing else."""
    truth = truth_of([devices.folder for devices in stack.groups])
    published = stack.published(grams_of(truth), _TOTALS_WITHIN_S)
    ledger = stack.serving().get("/v1/ledger")
    return verdict_on(truth, stack.site.stored_readings(), ledger, published)


def run(scenario: Scenario, seed: int, folder: Path, servers: Servers) -> Result:
    """Play a scenario in `folder` over running servers; never raises for what the scenario finds."""
    began, stack, verdict, trace = time.monotonic(), None, None, ""
    try:
        with scenario.around(folder), Stack(folder, servers, scenario.plan(seed)) as stack:
            bring_to_rest(scenario, stack)
            verdict = audited(stack)
    except Exception as exc:  # whatever it is, it is this scenario's verdict
        trace = "".join(traceback.format_exception(exc))
        (folder / "error.txt").write_text(trace, encoding="utf-8")
    kills = stack.kills if stack is not None else 0
    return Result(scenario.name, seed, kills, time.monotonic() - began, verdict, trace)


def run_alone(scenario: Scenario, seed: int) -> Result:
    """Run a scenario over servers of its own. Its folder stays if it fails, and is then named."""
    folder = Path(tempfile.mkdtemp(prefix=f"nengshao-chaos-{scenario.name}-"))
    folder.chmod(0o755)  # the servers' user must be able to pass
    site = folder / "site"
    site.mkdir()
    with ExitStack() as open_:
        servers = Servers(
            open_.enter_context(Mosquitto(folder / "mosquitto")),
            open_.enter_context(Influx(folder / "influx")),
            open_.enter_context(Postgres(folder / "postgres")),
        )
        result = run(scenario, seed, site, servers)
    if result.is_ok:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"kept: {folder}")
    return result


def _last_line(trace: str) -> str:
    """The error of a traceback; what logs were added to it as notes comes after."""
    said = trace.partition("\n--- ")[0].rstrip().splitlines()
    return next((line for line in reversed(said) if line and not line.startswith(" ")), "")


def summary(seed: int, results: list[Result]) -> str:
    """The last line: a JSON object over all scenarios."""
    verdicts = [result.verdict for result in results if result.verdict is not None]
    found = {
        "seed": seed,
        "scenarios": len(results),
        "failed": sum(not result.is_ok for result in results),
        "kills": sum(result.kills for result in results),
        "readings": sum(v.readings for v in verdicts),
        "receipted": sum(v.receipted for v in verdicts),
        "lost": sum(v.lost for v in verdicts),
        "double": sum(v.double for v in verdicts),
        "undelivered": sum(v.undelivered for v in verdicts),
        "totals_exact": len(verdicts) == len(results) and not any(v.inexact for v in verdicts),
        "seconds": round(sum(result.seconds for result in results)),
    }
    return json.dumps(found)
