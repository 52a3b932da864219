"""The same messages in a hundred orders and batchings, twice each: every total the same, byte for byte.

Registers with gaps short and long, daily amounts, a month of coal, corrections of valid and of invalid, two
values of one version, what must be refused: from decoding to the published totals, on the real components.
"""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.cycle import Cycle
from analytics.law import load_law
from ingest.ingestor import Ingestor
from nengshao.clock import SteppedClock
from nengshao.domain.codes import PointKey
from nengshao.domain.time import DAY_S, accounting_day, day_number, local_text
from nengshao.frames import STATISTICS
from nengshao.registry_tables import registry_of
from nengshao.settings import Dialect, IngestSettings
from nengshao.stores.memory import MemoryReadingStore, MemoryResultStore
from nengshao.stores.state import open_state
from nengshao.telemetry import Telemetry
from nengshao.wire import Item, Message
from tests.support import plants
from tests.support.door import Door
from tests.support.house import as_bytes, booked, totals_of

ORDERS = 100
ACTIVE_FROM = plants.START + 28 * DAY_S  # 29 January: the month of coal reaches back before it
DAYS = 4  # into February
NOW = ACTIVE_FROM + DAYS * DAY_S + 12 * 3600
ENTERPRISE = plants.credit_code(1)
DAILY = "0000000004330011"
STORE = "0000000001010012"
HOUR = 3600
SETTINGS = IngestSettings(batch_idle_ms=0, batch_age_ms=1000)


def registry() -> Any:
    tables = plants.tables(1, 0)
    tables["enterprises"] = [plants.enterprise_row(1, active_from="2025-01-29")]
    hourly = {"cadence_s": str(HOUR), "grace_s": "3600", "max_estimate_s": str(4 * HOUR)}
    tables["points"] = [
        plants.point_row(1, "00", **hourly),
        plants.point_row(1, "01", **hourly, role="output"),
        plants.point_row(1, "02", **hourly, kind="power", capacity_per_hour="9000"),
        plants.point_row(
            1,
            data_code=DAILY,
            stat_type="1",
            carrier="natural_gas",
            kind="amount",
            unit="m3",
            use="feedstock",
        ),
        plants.coal_row(1),
        plants.point_row(
            1,
            data_code=STORE,
            stat_type="1",
            carrier="raw_coal",
            kind="stock",
            unit="t",
            capacity_per_hour="50",
        ),
        plants.point_row(1, "09", kind="virtual", device="", role="sub"),  # what the plant keeps for itself
    ]
    tables["virtual_terms"] = [term_row("00", "1"), term_row("01", "-1/2")]
    tables["products"] = [
        {"enterprise": ENTERPRISE, "product": "p", "name": "产品", "unit": "t", "norm": "",
         "valid_from": "2025-01-01", "valid_to": ""}
    ]  # fmt: skip
    tables["quotas"] = [
        plants.quota_row(1, "36500"), plants.quota_row(1, "30000", scope="excluding_feedstock"),
        plants.quota_row(1, "90000", basis="carbon"),
    ]  # fmt: skip
    return registry_of(tables)


def term_row(meter: str, coefficient: str) -> dict[str, str]:
    key = {"enterprise": ENTERPRISE, "data_code": plants.ELECTRICITY, "stat_type": "0", "meter": "09"}
    term = {"term_data_code": plants.ELECTRICITY, "term_stat_type": "0", "term_meter": meter}
    return key | term | {"coefficient": coefficient, "valid_from": "2025-01-01", "valid_to": ""}


def output() -> pl.DataFrame:
    """What was made in January, as somebody stated it."""
    first, end = day_number(dt.date(2025, 1, 1)), day_number(dt.date(2025, 2, 1))
    row = (
        ENTERPRISE, "output", "p", first, end, NOW, 50_000, "t", "approved", "月报", "厂", "局", NOW, ""
    )  # fmt: skip
    return pl.DataFrame([row], schema=dict(STATISTICS.schema), orient="row")


def items() -> list[Item]:
    """Everything that is told, each version once, in order of time."""
    told: list[Item] = []
    for n in range(DAYS * 24 + 1):
        ts = ACTIVE_FROM + n * HOUR
        if not 30 <= n < 33:  # a gap that is interpolated
            told.append(plants.item(ts, n * 250.5, meter="00"))
        if not 40 <= n < 52:  # a gap that becomes a block, across a midnight
            told.append(plants.item(ts, n * 10.25, meter="01"))
        if n < DAYS * 24 and n % 7:  # a power that is missing every seventh hour
            told.append(plants.item(ts, 1000.0 + n, meter="02"))
    days = [
        plants.item(ACTIVE_FROM + day * DAY_S, 5000.0 + day, code=DAILY, stat_type=1) for day in range(DAYS)
    ]
    days += [
        plants.item(ACTIVE_FROM + day * DAY_S, 900.0 - 7 * day, code=STORE, stat_type=1) for day in (0, 1, 3)
    ]  # a stock-take that was left out
    made = ACTIVE_FROM + 3 * DAY_S + 9 * HOUR
    month = plants.item(plants.START, 3100.0, code=plants.COAL, stat_type=2, upload=made)
    return [*told, *days, month, *_corrections()]


def _corrections() -> list[Item]:
    def again(n: int, value: float, upload: int, *, meter: str = "00", valid: bool = True) -> Item:
        ts = ACTIVE_FROM + n * HOUR
        return plants.item(ts, value, meter=meter, upload=ts + upload, valid=valid)

    return [
        again(24, 24 * 250.5 + 40, 7200), again(24, 24 * 250.5 + 30, 3 * 7200),  # a day's border, twice
        again(10, 10 * 250.5, 7200, valid=False), again(11, 99.0, 30),  # withdrawn; older than the first
        again(60, 60 * 250.5, 7200, valid=False), again(60, 60 * 250.5 + 5, 9000),  # withdrawn, told again
        again(70, 70 * 250.5 + 1, 7200), again(70, 70 * 250.5 + 2, 7200),  # a conflict of three:
        again(70, 70 * 250.5, 7200),  # the greatest stands
        again(5, 1500.0, 7200, meter="02"), again(5, -1.0, 9000, meter="02"),  # refused: negative
        again(6, 1.0, 60, meter="99"),  # refused: unknown point
        plants.item(ACTIVE_FROM + DAY_S, 5111.0, code=DAILY, stat_type=1, upload=ACTIVE_FROM + 3 * DAY_S),
        plants.item(plants.START, 3000.0, code=plants.COAL, stat_type=2, upload=NOW - 60),
    ]  # fmt: skip


ITEMS = items()
_BORDER_TIMES = [local_text(ACTIVE_FROM + n * HOUR) for n in (24, 39, 52, 72)]
BORDERS = [item for item in ITEMS if item.statDate in _BORDER_TIMES]
"""Readings at midnight, and at both ends of the block across one: what changes with them is on other days."""

REFUSED = 2
DISTINCT = 94 + 85 + 82 + DAYS + 3 + 1  # readings: two registers, the power, the days, the store, the month


def messages(chance: random.Random, told: Sequence[Item]) -> list[Message]:
    """The items in messages of a few, however they fall."""
    shuffled = chance.sample(told, len(told))
    cut = []
    while shuffled:
        size = chance.randint(5, 40)
        cut.append(plants.message(1, shuffled[:size], seq=len(cut)))
        shuffled = shuffled[size:]
    return cut


def batches(chance: random.Random, told: Sequence[Item]) -> list[list[Message]]:
    """Every message twice, in any order, a few to a batch."""
    sent = messages(chance, told) * 2
    chance.shuffle(sent)
    cut = []
    while sent:
        size = chance.randint(1, 12)
        cut.append(sent[:size])
        sent = sent[size:]
    return cut


class Run:
    """One pass from the door to the totals."""

    def __init__(self, folder: Path, template: Path) -> None:
        shutil.copy(template, folder / "state.db")
        self.state = open_state(f"sqlite:///{folder / 'state.db'}")
        self.readings, clock, self.door = MemoryReadingStore(), SteppedClock(NOW), Door()
        self.ingestor = Ingestor(
            self.state, self.readings, clock, Telemetry(), partition=0, partitions=1, holder="me",
            settings=SETTINGS, dialects={"national": Dialect(valid=1)}, spool_dir=folder / "spool",
            subscriber=self.door,  # type: ignore[arg-type]  # a door in the Subscriber's place
        )  # fmt: skip
        self.cycle = Cycle(self.state, self.readings, MemoryResultStore(), clock, load_law())

    def take(self, given: Sequence[Sequence[Message]]) -> None:
        for batch in given:
            self.door.put(batch)
            while self.door.has_more:
                assert self.ingestor.step()

    def assess(self) -> None:
        lease = self.state.acquire_lease("assess", 0, "me", 60.0)
        assert lease is not None
        self.cycle.run_once(lease)

    def totals(self) -> dict[str, bytes]:
        first, end = accounting_day(ACTIVE_FROM), accounting_day(NOW) + 1
        points = self.state.registry().points["point"].to_list()
        winners = self.readings.scan(points, 0, NOW).collect()
        return totals_of(self.state, [ENTERPRISE], first, end) | {
            "winners": as_bytes(winners),
            "corrections": as_bytes(self.state.corrections(points).sort(pl.all())),
        }

    def close(self) -> None:
        self.ingestor.close()
        self.state.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state file with schema and registry, to begin each run from."""
    path = tmp_path_factory.mktemp("template") / "state.db"
    state = open_state(f"sqlite:///{path}")
    state.migrate()
    state.save_registry(registry(), at=ACTIVE_FROM)
    state.put_statistics(output())
    state.close()
    return path


@pytest.fixture(scope="module")
def in_order(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The items once, one message each, in order: what every other run is held against."""
    run = Run(tmp_path_factory.mktemp("in order"), template)
    run.take([[plants.message(1, ITEMS[n : n + 20], seq=n) for n in range(0, len(ITEMS), 20)]])
    run.assess()
    return run


def test_the_run_in_order_has_every_kind_of_total(in_order: Run) -> None:
    assert booked(in_order.state)["stored"] == in_order.readings.count() == DISTINCT
    first, end = accounting_day(ACTIVE_FROM), accounting_day(NOW)
    days = in_order.state.point_days([ENTERPRISE], first, end)
    register, output, power, gas, coal = (
        days.filter(pl.col("point") == key.point)
        for key in (
            *(PointKey(ENTERPRISE, plants.ELECTRICITY, 0, meter) for meter in ("00", "01", "02")),
            PointKey(ENTERPRISE, DAILY, 1),
            PointKey(ENTERPRISE, plants.COAL, 2),
        )
    )
    blocks = in_order.state.blocks([ENTERPRISE], 0, NOW).filter(pl.col("via") == pl.col("point"))
    assert register["amount"].sum() == DAYS * 24 * 250_500  # Wh: last − first, whatever was corrected between
    assert register["amount"][0] == 24 * 250_500 + 30_000  # the later of the two corrections of the border
    assert register["estimated_s"].sum() > 0
    assert output["amount"].sum() + blocks["amount"].sum() == DAYS * 24 * 10_250
    assert blocks.height == 1
    assert power["missing_s"].sum() == 14 * HOUR
    assert gas["amount"].to_list() == [5_000_000, 5_111_000, 5_002_000, 5_003_000]
    assert coal["amount"].sum() == pytest.approx(3 * 3_000_000_000 / 31, abs=2)  # g, of 31 days of 3 000 t
    stock = days.filter(pl.col("point") == PointKey(ENTERPRISE, STORE, 1).point)
    assert stock["amount"].sum() == 21_000_000  # 900 t − 879 t, g; the day after the last stock-take has none
    kept = days.filter(pl.col("point") == PointKey(ENTERPRISE, plants.ELECTRICITY, 0, "09").point)
    assert kept["amount"].sum() == register["amount"].sum() - output["amount"].sum() // 2
    scopes = in_order.state.scope_days([ENTERPRISE], first, end)
    assert scopes["scope"].n_unique() == 5
    assert in_order.state.progress([ENTERPRISE])["used_g"].null_count() == 1  # raw coal has no CO2 factor
    assert in_order.state.intensity([ENTERPRISE]).height > 0
    assert in_order.state.measures([ENTERPRISE]).height > 5


@pytest.mark.parametrize("tenth", range(10))
def test_any_order_and_batching_gives_identical_bytes(
    in_order: Run, template: Path, tmp_path: Path, tenth: int
) -> None:
    expected = in_order.totals()
    for order in range(tenth * ORDERS // 10, (tenth + 1) * ORDERS // 10):
        (tmp_path / str(order)).mkdir()
        run, chance = Run(tmp_path / str(order), template), random.Random(order)
        late = chance.sample(BORDERS, 1) if order % 3 == 0 else []
        given = batches(chance, [item for item in ITEMS if item not in late])
        run.take(given)
        if late:
            run.assess()  # figures are published, and revised by the one that comes late
            run.take(batches(chance, late))
        run.assess()
        found = run.totals()
        assert [name for name in expected if found[name] != expected[name]] == [], f"order {order}"
        books = booked(run.state)
        assert sum(books.values()) == 2 * len(ITEMS), f"order {order}"
        assert books["stored"] == run.readings.count() == DISTINCT
        assert books["quarantined"] == 2 * REFUSED
        assert run.door.acknowledged == sum(map(len, given)) + 2 * len(late)
        run.close()
