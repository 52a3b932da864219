"""The command line: parses arguments, reads settings, calls one function per command, maps errors to codes.

Exit codes: 0 done; 1 a bug, or the answer is no; 2 the configuration; 3 something outside is unavailable.
"""

from __future__ import annotations

import datetime as dt
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from nengshao.domain.errors import ConfigError, NengshaoError, StoreUnavailable

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="能哨 Nengshao：重点用能单位在线监测"
)
registry_app = typer.Typer(no_args_is_help=True, help="登记表的导入与导出 / import and export the registry")
app.add_typer(registry_app, name="registry")

_PIPE_WIDTH = 120  # columns where there is no terminal to ask
out = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
err = Console(stderr=True)

SettingsFile = Annotated[Path | None, typer.Option("--settings", help="设置文件 (TOML) / settings file")]


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Errors as exit codes, with every problem on a line of its own."""
    try:
        yield
    except ConfigError as exc:
        for problem in exc.problems:
            err.print(f"[red]✗[/] {problem}", highlight=False)
        raise typer.Exit(2) from exc
    except StoreUnavailable as exc:
        err.print(f"[red]✗[/] 无法连接 / unavailable: {exc}", highlight=False)
        raise typer.Exit(3) from exc


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option(help="打印结果表后退出 / exit after the table")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="以 JSON 输出 / print JSON")] = False,
    data: Annotated[Path, typer.Option(help="数据目录 / data folder")] = Path("nengshao-data/demo"),
    port: Annotated[
        int, typer.Option(help="HTTP 端口，被占用时另选 / HTTP port, another if it is taken")
    ] = 8765,
    seed: Annotated[int, typer.Option(help="模拟企业的随机种子 / seed of the simulated fleet")] = 7,
    rate: Annotated[
        float, typer.Option(help="实时阶段每秒流逝的秒数 / seconds per second when live")
    ] = 900.0,
) -> None:
    """一条命令看到全部：真实钢厂 2018 年与三家模拟企业 2025 年 / the whole house in one command."""
    from nengshao.demo import Demo

    _quiet_logging()
    with _exit_codes(), Demo(data, port=port, seed=seed, console=err if as_json else out) as running:
        running.replay()
        if as_json:
            typer.echo(msgspec.json.format(msgspec.json.encode(running.report()), indent=2).decode())
        else:
            running.print_report()
        if once:
            err.print(
                f"数据与令牌在 / data and token in {data}；去掉 --once 继续 / go on without --once",
                highlight=False,
            )
        else:
            running.live(rate)


@app.command()
def run(
    settings: SettingsFile = None,
    roles: Annotated[str, typer.Option(help="ingest,assess,serve 中的一个或多个 / one or more roles")] = (
        "ingest,assess,serve"
    ),
) -> None:
    """运行服务 / run the service."""
    from nengshao.app import build_app
    from nengshao.checkup import refuse_split_roles
    from nengshao.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with _exit_codes():
        loaded = load_settings(settings)
        wanted = refuse_split_roles(loaded, roles.split(","))
        ended, is_outdated = threading.Event(), True
        while is_outdated and not ended.is_set():
            with build_app(loaded) as running:
                _stop_on_signals(running, ended)
                running.start(wanted)
                if "serve" in wanted:
                    out.print(f"{running.address}/docs", highlight=False)
                running.wait()
            is_outdated = running.is_outdated


@app.command()
def check(settings: SettingsFile = None) -> None:
    """检查设置、登记表、系数和规则，一次报告全部问题 / check everything, report all problems at once."""
    from nengshao.checkup import checkup
    from nengshao.settings import load_settings

    with _exit_codes():
        for line, is_well in checkup(load_settings(settings)):
            out.print(f"[green]✓[/] {line}" if is_well else f"[yellow]![/] {line}", highlight=False)


@app.command()
def doctor(
    *,
    broker_conf: Annotated[
        Path | None,
        typer.Option(help="代理的设置文件；不给则找已部署的 / its configuration; none: the deployed one"),
    ] = None,
    outage_hours: Annotated[
        float, typer.Option(min=0.1, help="接入可能停多久 / how long ingest may be down")
    ] = 24.0,
    as_json: Annotated[bool, typer.Option("--json", help="以 JSON 输出 / print JSON")] = False,
    settings: SettingsFile = None,
) -> None:
    """哪里会悄悄丢数据：代理、存储、时钟、磁盘、租约；有则退出码 1 / where data would be lost silently."""
    from nengshao.broker.findings import Level
    from nengshao.doctor import examine
    from nengshao.settings import load_settings

    marks = {Level.LOSES: "[red]✗[/]", Level.RISK: "[yellow]![/]", Level.NOTE: "[green]✓[/]"}
    with _exit_codes():
        found = list(examine(load_settings(settings), broker_conf, round(outage_hours * 3600)))
        if as_json:
            typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        for one in [] if as_json else found:
            out.print(f"{marks[one.level]} {escape(one.what)} [dim]\\[{one.code}][/]", highlight=False)
            for label, text in (("为何 / why", one.why), ("改为 / instead", one.instead)):
                if text:
                    out.print(f"    {label}: {escape(text)}", highlight=False)
        if any(one.level is Level.LOSES for one in found):
            raise typer.Exit(1)


@app.command("broker-acl")
def broker_acl(
    *,
    acl: Annotated[Path, typer.Option(help="写入的规则文件 / rules file to write")],
    passwords: Annotated[
        Path | None, typer.Option(help="密码文件：删去不再有的账号 / strike accounts that are no more")
    ] = None,
    wait: Annotated[float, typer.Option(help="等候各分区订阅的秒数 / seconds for subscriptions")] = 10.0,
    settings: SettingsFile = None,
) -> None:
    """由登记表生成代理的规则；之后向它发 SIGHUP / the broker's rules from the registry; then SIGHUP it."""
    from nengshao.broker_access import write_access
    from nengshao.settings import load_settings

    with _exit_codes():
        for line in write_access(load_settings(settings), acl, passwords, wait):
            out.print(line, highlight=False, markup=False)


@app.command("broker-log")
def broker_log(
    log: Annotated[Path, typer.Argument(help="代理的日志文件；- 为标准输入 / its log; -: standard input")],
    *,
    once: Annotated[bool, typer.Option(help="数完现有的即退出 / end after what is there")] = False,
    host: Annotated[str, typer.Option(help="指标的地址 / address of the metrics")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="指标的端口，0 不开 / port of the metrics, 0: none")] = 8766,
    settings: SettingsFile = None,
) -> None:
    """数代理拒绝了什么，记入账本与指标 / count what the broker refused, for the books and Prometheus."""
    from nengshao.broker_log import count_denials
    from nengshao.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _exit_codes():
        source = None if str(log) == "-" else log
        count_denials(
            load_settings(settings), source, address=(host, port) if port else None, stop=stop, once=once
        )


@app.command()
def init(settings: SettingsFile = None) -> None:
    """建立或升级状态库 / make or upgrade the state."""
    from nengshao.app import open_state_store
    from nengshao.settings import load_settings

    with _exit_codes():
        loaded = load_settings(settings)
        loaded.data_dir.mkdir(parents=True, exist_ok=True)
        open_state_store(loaded).close()
        out.print("状态库已就绪 / the state is ready")


@registry_app.command("import")
def registry_import(path: Path, settings: SettingsFile = None) -> None:
    """从 CSV 目录或 XLSX 工作簿导入，整体替换 / replace the registry by a folder of CSV or a workbook."""
    from nengshao.app import clock_of, load_law, open_state_store
    from nengshao.checkup import unknown_norms
    from nengshao.registry_tables import loose_ends, read_tables, registry_of
    from nengshao.settings import load_settings

    with _exit_codes():
        loaded = load_settings(settings)
        registry, norms = registry_of(read_tables(path)), load_law(loaded).norms
        if registry.enterprises.is_empty():
            raise ConfigError(
                ["enterprises 为空，导入会清空登记表 / no enterprise: it would empty the registry"]
            )
        loaded.data_dir.mkdir(parents=True, exist_ok=True)
        state = open_state_store(loaded)
        state.save_registry(registry, at=clock_of(loaded.clock).now())
        state.close()
        out.print(f"{registry.enterprises.height} 家企业、{registry.points.height} 条计量点已导入 / imported")
        for line in [*loose_ends(registry), *unknown_norms(registry, norms)]:
            out.print(f"[yellow]![/] {line}", highlight=False)


@registry_app.command("export")
def registry_export(folder: Path, settings: SettingsFile = None) -> None:
    """导出为 CSV 目录，可再导入 / export as a folder of CSV that imports again."""
    from nengshao.app import open_state_store
    from nengshao.registry_tables import tables_of, write_tables
    from nengshao.settings import load_settings

    with _exit_codes():
        state = open_state_store(load_settings(settings))
        write_tables(tables_of(state.registry()), folder)
        state.close()
        out.print(f"已导出到 {folder} / exported", highlight=False)


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(help="CSV、XLSX 或 JSON / a table or a message")],
    *,
    enterprise: Annotated[str, typer.Option(help="统一社会信用代码 / unified social credit code")],
    token_file: Annotated[Path, typer.Option(help="令牌文件 / file with the token")],
    address: Annotated[str, typer.Option(help="服务地址 / address of the service")] = "http://127.0.0.1:8765",
) -> None:
    """把数据文件交给运行中的服务，等待回执 / hand a file to the running service, wait for its receipt."""
    from nengshao.uploading import send_upload

    with _exit_codes():
        receipt = send_upload(address, token_file, enterprise, file)
        typer.echo(msgspec.json.format(msgspec.json.encode(receipt), indent=2).decode())
        if any(message.get("rejected") for message in (receipt["receipt"] or {}).get("messages", [])):
            raise typer.Exit(1)


@app.command()
def simulate(
    *,
    seed: Annotated[int, typer.Option(help="随机种子 / seed")] = 1,
    months: Annotated[int, typer.Option(min=2, max=12, help="2025 年的前几个月 / months of 2025")] = 3,
    form: Annotated[
        Literal["plain", "compact", "gzip", "compact+gzip"],
        typer.Option(help="数据报文的写法 / how data messages are written"),
    ] = "plain",
    as_json: Annotated[bool, typer.Option("--json", help="以 JSON 输出 / print JSON")] = False,
) -> None:
    """带故障的模拟企业走完整条管线并评分 / the faulty fleet through the real pipeline, scored."""
    from nengshao.simulation import print_score, score_fleet
    from nengshao.wire import Form

    _quiet_logging()
    with _exit_codes():
        score = score_fleet(seed, months, Form(form))
        if as_json:
            typer.echo(msgspec.json.format(msgspec.json.encode(score), indent=2).decode())
        else:
            print_score(score, out)


@app.command("test-rules")
def check_rules(
    directories: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR]…", help="规则目录；不给则随附的全部 / rulebooks; none: all that ship"),
    ] = None,
) -> None:
    """用规则旁的测试检验规则 / run the tests that stand beside the rules."""
    from nengshao.ruletests import check_rulebook, print_reports, shipped_rulebooks

    with _exit_codes():
        reports = [report for path in directories or shipped_rulebooks() for report in check_rulebook(path)]
        print_reports(reports, out)
        if not all(report.is_right for report in reports):
            raise typer.Exit(1)


@app.command()
def replay(
    *,
    rule: Annotated[str, typer.Option(help="规则名，停用的也可 / name of a rule, disabled ones too")],
    first: Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="起始日 / first day")],
    last: Annotated[dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="终止日，含 / last day")],
    rulebook: Annotated[
        list[Path] | None, typer.Option(help="另加的规则目录，可多个 / more rulebooks, repeatable")
    ] = None,
    enterprise: Annotated[
        list[str] | None, typer.Option(help="只看这些企业或地区，可多个 / only these, repeatable")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="以 JSON 输出 / print JSON")] = False,
    settings: SettingsFile = None,
) -> None:
    """一条规则在历史数据上会发出哪些预警，不写入任何结果 / what a rule would have done; writes nothing."""
    from nengshao import replaying
    from nengshao.settings import load_settings

    with _exit_codes():
        replayed = replaying.replay_on_history(
            load_settings(settings),
            rule,
            rulebooks=rulebook or [],
            first=first.date(),
            last=last.date(),
            enterprises=enterprise or [],
        )
        if as_json:
            shown = replaying.as_json(replayed)
            typer.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
        else:
            replaying.print_replay(replayed, out)


@app.command()
def repartition(
    to: Annotated[int, typer.Option(min=1, help="新的分区数 / the new number of partitions")],
    settings: SettingsFile = None,
) -> None:
    """运行中更改分区数，中断后重复即可 / change the number of partitions under load; may be repeated."""
    from nengshao.repartition import repartition as change
    from nengshao.settings import load_settings

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with _exit_codes():
        for line in change(load_settings(settings), to):
            out.print(line, highlight=False)


@app.command()
def schema() -> None:
    """打印消息的 JSON Schema / print the JSON Schema of every payload."""
    from nengshao.wire import json_schemas

    typer.echo(msgspec.json.format(msgspec.json.encode(dict(json_schemas())), indent=2).decode())


def main() -> None:
    """The console script."""
    try:
        app()
    except NengshaoError as exc:
        err.print(f"[red]✗[/] {type(exc).__name__}: {exc}", highlight=False)
        sys.exit(1)


def _stop_on_signals(running: Any, ended: threading.Event) -> None:
    def end(*_: object) -> None:
        # A second signal within `set` would wait for the lock that the first one holds.
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, signal.SIG_IGN)
        ended.set()
        running.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if ended.is_set():  # while it was put together
        running.stop()


def _quiet_logging() -> None:
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s %(message)s")
