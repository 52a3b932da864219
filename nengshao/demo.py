"""`nengshao demo`: a real plant's 2018 and a simulated fleet's 2025, from the wire to the alert."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import time
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import polars as pl
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import Basis
from nengshao.domain.readings import Outcome
from nengshao.domain.targets import IntensityState, TargetLevel
from nengshao.domain.time import date_of, instant_of, local_text
from nengshao.domain.units import Scope
from nengshao.notify.recording import RecordingNotifier
from nengshao.stage import Script, Stage, free_port
from simulators.fleet import Fleet
from simulators.replay import RealPlant

_PLANT_MONTHS: Final = [dt.date(2018, m, 1) for m in (1, 5, 9)] + [dt.date(2019, 1, 1)]
_FLEET_MONTHS: Final = [
    dt.date(2025, m, 1) for m in range(1, 12)
]  # replayed to the end of October, then live
_LAG_S: Final = 3600  # a day's last message is made after midnight
_PLANT_QUARTERS, _FLEET_QUARTERS = 96, 8  # quarters of an hour per message: once a day, every two hours


class Demo:
    """The demo's stage, its story so far, and what it has to show. Continues where it was stopped."""

    def __init__(self, folder: Path, *, port: int, seed: int, console: Console) -> None:
        """Raises: ConfigError if the folder holds the story of another seed."""
        folder.mkdir(parents=True, exist_ok=True)
        self._story_file = folder / "story.json"
        self._console = console
        self._plant = RealPlant(per_message=_PLANT_QUARTERS)
        self._fleet = Fleet(seed, per_message=_FLEET_QUARTERS)
        self._chapters: list[tuple[Script, int, int]] = [
            *_chapters(self._plant, _PLANT_MONTHS),
            *_chapters(self._fleet, _FLEET_MONTHS),
        ]
        self._played_to = self._read_story(seed)
        self._seed = seed
        self.token_file = folder / "token"
        if not self.token_file.exists():
            self.token_file.touch(mode=0o600)
            self.token_file.write_text(secrets.token_urlsafe(24), encoding="ascii")
        self._stage = Stage(
            folder,
            [self._plant, self._fleet],
            start=self._played_to,
            notifiers=[RecordingNotifier()],
            api={"port": free_port(port), "token_file": self.token_file},
            assess={"interval_s": 4.0},
        )

    def __enter__(self) -> Demo:
        self._stage.app.start(["ingest", "serve"])
        return self

    def __exit__(self, *exc: object) -> None:
        self._stage.close()

    # ---------------------------------------------------------------------------------------- acts

    def replay(self) -> None:
        """Play what of the story has not been played, chapter by chapter, under a progress bar."""
        left = [chapter for chapter in self._chapters if chapter[2] > self._played_to]
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(), console=self._console, transient=True,
        )  # fmt: skip
        with bar:
            task = bar.add_task(
                "回放 / replay", total=len(self._chapters), completed=len(self._chapters) - len(left)
            )
            for script, start, end in left:
                bar.update(task, description=f"回放 / replay {local_text(start)[:7]}")
                self._stage.play(script, max(start, self._played_to), end)
                self._stage.settle()
                self._write_story(end)
                bar.advance(task)

    def live(self, rate: float) -> None:
        """Let time run `rate` times as fast, devices publishing, until Ctrl-C."""
        self._print_welcome(rate)
        self._stage.app.start(["assess"])
        self._stage.clock.run_at(rate)
        try:
            with Live(console=self._console, refresh_per_second=2, transient=True) as screen:
                while self._stage.app.failure is None:
                    now = min(self._stage.clock.now(), self._fleet.end)
                    self._stage.play(self._fleet, self._played_to, max(now, self._played_to))
                    self._write_story(max(now, self._played_to))
                    screen.update(self._pulse())
                    time.sleep(1.0)
        except KeyboardInterrupt:
            self._console.print(
                "正在停止；再次运行将从此处继续 / stopping; the next start continues from here"
            )
        if self._stage.app.failure is not None:
            raise self._stage.app.failure

    # -------------------------------------------------------------------------------------- report

    def report(self) -> dict[str, Any]:
        """Where every enterprise stands and what became of every delivered reading, as the API says it."""
        enterprises = self._get("/v1/enterprises?limit=100")["enterprises"]
        totals = self._get("/v1/ledger")
        return {
            "enterprises": [self._enterprise(e) for e in sorted(enterprises, key=lambda e: e["active_from"])],
            "ledger": {"received": totals["totals"]["received"]}
            | {outcome.value: totals["totals"][outcome.value] for outcome in Outcome},
            "in_flight": totals["in_flight"],
        }

    def print_report(self) -> None:
        """The report as a table a person understands."""
        report = self.report()
        table = Table(title="能耗总量与配额 / energy against annual quotas", title_style="bold")
        outlook = Table(title="碳排放、强度与全年预计 / CO2, intensity and outlook", title_style="bold")
        for part, headings in ((table, _HEADINGS), (outlook, _OUTLOOK_HEADINGS)):
            for heading in headings:
                is_text = heading.startswith(("企业", "预警"))
                part.add_column(heading, justify="left" if is_text else "right", overflow="fold")
        for row in report["enterprises"]:
            table.add_row(*_cells(row))
            outlook.add_row(*_outlook_cells(row))
            if self._console.width < _TABLE_WIDTH:
                self._print_narrow(row)
        if self._console.width >= _TABLE_WIDTH:
            self._console.print(table)
            self._console.print(outlook)
        ledger = "  ".join(f"{name} {count:,}" for name, count in report["ledger"].items())
        self._console.print(f"台账 / ledger: {ledger}  in_flight {report['in_flight']}", highlight=False)
        self._console.print(
            "进度 = 已用 ÷ 按时间可用；待报 = 未到期的数据 / pace = used ÷ due by then; 待报: not yet due",
            style="dim",
        )
        self._console.print(
            "* 所用系数或配额未经确认，不作为执法依据 / rests on an unconfirmed factor or quota", style="dim"
        )

    def _print_narrow(self, row: dict[str, Any]) -> None:
        """One enterprise below the other, where a terminal is too narrow for the table."""
        name, *cells = _cells(row)
        self._console.print(f"\n[bold]{name.replace(chr(10), '  ')}[/]", highlight=False)
        headings, cells = [*_HEADINGS[1:], *_OUTLOOK_HEADINGS[1:]], [*cells, *_outlook_cells(row)[1:]]
        for heading, cell in zip(headings, cells, strict=True):
            label = heading.replace("\n", " ")
            self._console.print(f"  {label}: {cell.replace(chr(10), '  ')}", highlight=False)

    def _enterprise(self, row: dict[str, Any]) -> dict[str, Any]:
        to_date = row["to_date"] or {}
        energy, carbon = self._progress(row["code"])
        coverage = to_date.get("coverage") or {}
        alerts = self._get(f"/v1/alerts?enterprise={row['code']}&limit=100")["alerts"]
        as_of = energy.get("as_of_day")
        return {
            "code": row["code"],
            "name": row["name"],
            "tce_calorific": (to_date.get("calorific") or {}).get("tce"),
            "tce_equivalent": (to_date.get("equivalent") or {}).get("tce"),
            "no_factor": to_date.get("no_factor", []),
            "quota_tce": _tonnes(energy.get("quota_g")),
            "quota_basis": energy.get("basis"),
            "pace": energy.get("pace"),
            "is_confirmed": energy.get("is_confirmed"),
            "as_of": None if as_of is None else date_of(as_of).isoformat(),
            "projection": {
                name: _tonnes(energy.get(f"projected{end}_g"))
                for name, end in (("tce", ""), ("low", "_low"), ("high", "_high"))
            },
            "tco2": _tonnes(carbon.get("used_g")),
            "quota_tco2": _tonnes(carbon.get("quota_g")),
            "intensity": self._intensity(row["code"]),
            "coverage": {
                name: coverage.get(name) for name in ("measured", "estimated", "missing", "pending")
            },
            "alerts": [
                {key: alert[key] for key in ("id", "rule", "severity", "state")}
                for alert in alerts
                if alert["state"] in ("pending", "firing")
            ],
        }

    def _progress(self, enterprise: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """PROGRESS against the base quotas of everything: of energy (calorific before equivalent), of CO2."""
        rows = self._stage.app.stores.state.progress([enterprise]).filter(
            pl.col("scope") == Scope.TOTAL, pl.col("level") == TargetLevel.BASE
        )
        by_basis = {row["basis"]: row for row in rows.sort("year").iter_rows(named=True)}
        carbon = by_basis.pop(Basis.CARBON, {})
        return by_basis.get(Basis.CALORIFIC) or by_basis.get(Basis.EQUIVALENT) or {}, carbon

    def _intensity(self, enterprise: str) -> dict[str, Any] | None:
        """The year's energy per unit of product: kg, target, state, grades by what the norm limits; None:
        nothing is stated.
        """
        rows = self._stage.app.stores.state.intensity([enterprise]).filter(
            pl.col("denominator").str.starts_with("product:"),
            pl.col("scope") == Scope.TOTAL,
            pl.col("period").str.len_chars() == len("2025"),
        )
        rows = rows.filter(pl.col("period") == pl.col("period").max())
        energy = rows.filter(pl.col("basis") == Basis.CALORIFIC)
        if energy.is_empty():
            return None
        shown = ("denominator", "period", "intensity", "unit", "target", "state", "is_confirmed")
        grades = rows.filter(pl.col("grade") != "").select("basis", "grade").rows()
        return energy.select(shown).row(0, named=True) | {"grades": dict(grades)}

    def _get(self, path: str) -> Any:
        token = self.token_file.read_text(encoding="ascii")
        request = urllib.request.Request(  # noqa: S310  # our own loopback address
            self._stage.app.address + path, headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def _print_welcome(self, rate: float) -> None:
        address, token = self._stage.app.address, self.token_file.read_text(encoding="ascii")
        say = self._console.print
        say(f"\n接口文档 / API docs: {address}/docs", highlight=False)
        say(f"令牌 / token: {token}", highlight=False)
        say("试试 / worth trying:", highlight=False)
        firing = [a for e in self.report()["enterprises"] for a in e["alerts"]]
        paths = [
            "/v1/enterprises",
            f"/v1/alerts/{firing[0]['id']}" if firing else "/v1/alerts",
            "/v1/quarantine",
        ]
        for path in paths:
            say(
                f"  curl -s -H 'Authorization: Bearer {token}' '{address}{path}'",
                highlight=False,
                soft_wrap=True,
            )
        say(f"现在以 {rate:g} 倍速继续，Ctrl-C 停止 / now live at {rate:g} times real time, Ctrl-C stops\n")

    def _pulse(self) -> Text:
        readings = self._stage.app.stores.readings.count()
        alerts = self._stage.app.stores.state.alerts_page(states=["firing"])
        when = local_text(self._stage.clock.now())
        end = "，2025 年已播完 / the year is over" if self._played_to >= self._fleet.end else ""
        return Text(f"{when}  数据 / readings {readings:,}  预警 / firing {len(alerts)}{end}")

    # --------------------------------------------------------------------------------------- story

    def _read_story(self, seed: int) -> int:
        if not self._story_file.exists():
            return self._chapters[0][1]
        story = json.loads(self._story_file.read_text(encoding="ascii"))
        if story["seed"] != seed:
            raise ConfigError(
                [f"数据目录属于 --seed {story['seed']} / the folder holds the story of that seed"]
            )
        played_to: int = story["played_to"]
        return played_to

    def _write_story(self, played_to: int) -> None:
        self._played_to = played_to
        fresh = self._story_file.with_suffix(".new")
        fresh.write_text(json.dumps({"seed": self._seed, "played_to": played_to}), encoding="ascii")
        fresh.replace(self._story_file)


def _chapters(script: Script, months: list[dt.date]) -> list[tuple[Script, int, int]]:
    """One chapter from each month to the next; the last runs on until the last day's message is made."""
    instants = [instant_of(month) for month in months]
    chapters = [(script, start, end) for start, end in pairwise(instants)]
    chapters[-1] = (script, chapters[-1][1], chapters[-1][2] + _LAG_S)
    return chapters


def _cells(row: dict[str, Any]) -> list[str]:
    mark = "" if row["is_confirmed"] else " *"
    pace = "—" if row["pace"] is None else f"{row['pace']:.1%}{mark}"
    coverage = row["coverage"]
    share = "—" if coverage["measured"] is None else f"{coverage['measured'] + coverage['estimated']:.2%}"
    if coverage["pending"]:
        share += f"\n待报 {coverage['pending']:.1%}"
    quota = "—" if row["quota_tce"] is None else f"{row['quota_tce']:,.0f}\n{_BASIS_ZH[row['quota_basis']]}"
    alerts = "\n".join(f"{a['rule']} ({a['severity']}, {a['state']})" for a in row["alerts"]) or "无 none"
    return [
        f"{row['name']}\n{row['code']}",
        _tce(row["tce_calorific"], "calorific", row),
        _tce(row["tce_equivalent"], "equivalent", row),
        quota,
        pace,
        row["as_of"] or "—",
        share,
        alerts,
    ]


def _tce(value: float | None, basis: str, row: dict[str, Any]) -> str:
    if value is not None:
        return f"{value:,.3f}"
    return "无系数\nno factor" if any(gap.endswith(basis) for gap in row["no_factor"]) else "—"


def _tonnes(grams: int | None) -> float | None:
    return None if grams is None else grams / 1_000_000


def _outlook_cells(row: dict[str, Any]) -> list[str]:
    carbon = "—" if row["tco2"] is None else f"{row['tco2']:,.0f}\n/ {row['quota_tco2']:,.0f}"
    year, basis = row["projection"], _BASIS_ZH.get(row["quota_basis"], "")
    outlook = "—" if year["tce"] is None else f"{year['tce']:,.0f} {basis}"
    if year["low"] is not None and year["high"] is not None:
        outlook += f"\n[{year['low']:,.0f}, {year['high']:,.0f}]"
    return [f"{row['name']}\n{row['code']}", carbon, outlook, *_intensity_cells(row["intensity"])]


def _intensity_cells(found: dict[str, Any] | None) -> list[str]:
    if found is None or found["intensity"] is None:
        return ["—", "—", "—"]
    mark = "" if found["is_confirmed"] else " *"
    product = found["denominator"].removeprefix("product:")
    target = "—" if found["target"] is None else f"{found['target']:.4g}\n{_STATE_ZH.get(found['state'], '')}"
    grades = [f"{_LIMITED_ZH.get(basis, '电耗')} {_GRADE_ZH[g]}" for basis, g in found["grades"].items()]
    energy = f"{found['intensity']:.4g} kgce/{found['unit']}{mark}\n{product}"
    return [energy, target, "\n".join(grades) or "—"]


_TABLE_WIDTH: Final = 110  # columns below which numbers would be broken over lines
_HEADINGS: Final = (
    "企业\nenterprise", "当量值 tce\ncalorific", "等价值 tce\nequivalent", "年度配额\nquota", "进度\npace",
    "截至\nas of", "覆盖（至昨日）\nto yesterday", "预警\nalerts",
)  # fmt: skip
_OUTLOOK_HEADINGS: Final = (
    "企业\nenterprise", "已排放/配额 tCO2\nCO2, quota", "全年预计 tce [80 %]\nyear's outlook",
    "单位产品综合能耗\nintensity", "目标\ntarget", "限额等级\ngrade",
)  # fmt: skip
_BASIS_ZH: Final = {"calorific": "当量", "equivalent": "等价"}
_STATE_ZH: Final = {
    IntensityState.MET.value: "达到 met",
    IntensityState.MISSED_FALLING.value: "未达到，下降 falling",
    IntensityState.RISING.value: "未达到，上升 rising",
}
_LIMITED_ZH: Final = {Basis.CALORIFIC.value: "能耗"}
_GRADE_ZH: Final = {"1": "1 级", "2": "2 级", "3": "3 级", "over": "超限额 over"}
