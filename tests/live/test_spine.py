"""One reading's whole life over Mosquitto, InfluxDB and PostgreSQL, as three `nengshao run` processes.

The numbers are those of "Life of a reading" in the architecture page.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nengshao.domain.time import date_of, day_number, instant_of
from simulators.fleet import Fleet
from simulators.publisher import DevicePublisher
from tests.support.site import Process, Site, open_site

pytestmark = pytest.mark.live

SEED = 11
RATE = 21_600.0  # six hours a second: the rule's hold of two days takes eight
PLAYED = dt.date(2025, 2, 6)  # what was before, the devices bring along; from here they live
FEBRUARY = dt.date(2025, 2, 1)
PACE = "total-energy-ahead-of-pace"
QUOTA = "2025/calorific/total"  # of the steel works: the basis that its plant is held to
KGCE = {  # per canonical unit, calorific: GB/T 2589-2020, as the shipped factors have it
    "electricity": Fraction("0.1229"),
    "natural_gas": Fraction("1.3300"),
    "heat": Fraction("0.0341"),
    "bituminous_coal": Fraction("0.7143"),
    "own_non_fossil_electricity": Fraction("0.1229"),
    "diesel": Fraction("1.4571"),
}
BY_HAND = ("bituminous_coal", "diesel")  # of the cement works: monthly figures
ROWS_BY_HAND = 4  # coal; diesel bought, and its stock at the beginning and at the end
SIGN = {"input": 1, "output": -1, "sub": 0}

Days = Mapping[dt.date, Any]


@dataclass(frozen=True)
class Town:
    """A cement works and a steel works, and the three services of deploy/ that watch them."""

    site: Site
    fleet: Fleet
    cement: str
    steel: str
    ingest: Process
    assess: Process
    serve: Process

    def days(self, code: str, end: dt.date) -> dict[dt.date, dict[str, Any]]:
        """The day series of an enterprise from New Year to `end` (exclusive)."""
        series = self.serve.get(f"/v1/enterprises/{code}/energy", from_="2025-01-01", to=end.isoformat())
        return {dt.date.fromisoformat(day["date"]): day for day in series["days"]}

    def wait_true(self, code: str, end: dt.date, *, with_manual: bool = True) -> None:
        """Until every day's standard coal is the truth's."""
        wanted = truth_tce(self.fleet, code, end, with_manual=with_manual)
        self.site.wait_until(lambda: is_near(self.days(code, end), wanted), f"the days of {code} are true")


def test_a_reading_goes_from_a_device_to_an_alert_that_an_inspector_can_fetch(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fleet = Fleet(SEED, days=90, faulty=False, plants=("cement", "steel"), per_message=24)
    cement, steel = (row["enterprise"] for row in fleet.registry_tables()["enterprises"])
    often = {"interval_s": 0.5}
    with open_site(request, tmp_path, anchor=instant_of(PLAYED), rate=RATE, assess=often) as site:
        said = site.import_registry(with_half_a_quota(fleet.registry_tables(), steel))
        assert "2 家企业" in said
        town = Town(site, fleet, cement, steel, *started(site))
        with site.devices() as devices:
            with living(devices, town):  # lines 1 to 7, and 8
                january = hand_in_january(town)
                alert = wait_fired(town)  # line 9
            assert devices.wait_receipted(30)
            assert not devices.receipts.rejected
            stored = devices.receipts.stored + ROWS_BY_HAND
        check_alert(alert, steel)  # line 11
        check_days(town, january)
        check_notice(town, alert)  # line 10
        check_books(town, stored)
        check_surroundings(town)

        processes = (town.serve, town.assess, town.ingest)
        assert [process.end() for process in processes] == [0, 0, 0]
        assert not [process.name for process in processes if "Traceback" in process.log_text()]


def with_half_a_quota(tables: dict[str, list[dict[str, str]]], code: str) -> dict[str, list[dict[str, str]]]:
    """The fleet's registry with one enterprise held to half of its quota: it is ahead from the start."""
    quotas = [
        row | {"quota_t": str(int(row["quota_t"]) // 2)} if row["enterprise"] == code else row
        for row in tables["quotas"]
    ]
    return tables | {"quotas": quotas}


def started(site: Site) -> tuple[Process, Process, Process]:
    """The services of deploy/: each process also serves its own health and metrics."""
    roles = {"ingest": "ingest,serve", "assess": "assess,serve", "serve": "serve"}
    ingest, assess, serve = (site.start(name, roles[name]) for name in roles)
    for process in (ingest, assess, serve):
        process.wait_ready()
    return ingest, assess, serve


@contextmanager
def living(devices: DevicePublisher, town: Town) -> Iterator[None]:
    """The devices tell what they have kept since New Year, and then live on by the site's clock."""
    stop = threading.Event()

    def live() -> None:
        told = instant_of(town.fleet.start)
        while not stop.is_set():
            now = town.site.clock.now()
            devices.publish(town.fleet.messages(told, now))
            told = now
            stop.wait(0.05)

    thread = threading.Thread(target=live, name="fleet")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def hand_in_january(town: Town) -> Days:
    """Upload January's coal and diesel as a person does; January as it was shown before."""
    town.wait_true(town.cement, FEBRUARY, with_manual=False)
    before = town.days(town.cement, FEBRUARY)
    (table,) = town.fleet.uploads(0, instant_of(PLAYED))

    def post() -> int:
        answer = town.serve.http.post(
            "/v1/readings", params={"enterprise": town.cement}, files={"file": (table.name, table.content)}
        )
        assert answer.status_code == 202, answer.text
        return int(answer.json()["id"])

    number = post()
    town.site.wait_until(
        lambda: town.serve.get(f"/v1/uploads/{number}")["state"] == "booked", "the upload is booked"
    )
    (receipt,) = town.serve.get(f"/v1/uploads/{number}")["receipt"]["messages"]
    assert receipt["stored"] == ROWS_BY_HAND
    assert not receipt.get("rejected")
    assert post() == number  # the same content is the same delivery
    return before


def wait_fired(town: Town) -> dict[str, Any]:
    """The pace alert of the steel works, whole, once it has held for two days and fires."""

    def firing() -> list[dict[str, Any]]:
        found = town.serve.get("/v1/alerts", enterprise=town.steel, state="firing")["alerts"]
        return [alert for alert in found if (alert["rule"], alert["subject"]) == (PACE, QUOTA)]

    town.site.wait_until(lambda: bool(firing()), "the pace alert fires")
    (alert,) = firing()
    detail: dict[str, Any] = town.serve.get(f"/v1/alerts/{alert['id']}")
    return detail


def check_alert(alert: dict[str, Any], steel: str) -> None:
    """Rule, legal basis, state and history; and the figures open up to points and factors, to the gram."""
    assert (alert["enterprise"], alert["state"], alert["severity"]) == (steel, "firing", "orange")
    assert alert["rule_facts"]["hold_s"] == 2 * 86_400
    assert "不作为执法依据" in alert["legal_basis"]
    assert "不作为执法依据 / not a basis for enforcement" in alert["labels"]  # nobody has confirmed the quota
    assert [step["after"] for step in alert["history"]] == ["pending", "firing"]
    held = dt.datetime.fromisoformat(alert["fired_at"]) - dt.datetime.fromisoformat(alert["since"])
    assert held >= dt.timedelta(days=2)

    frozen = alert["explanation"]
    assert frozen["low"] > 1.05
    used, due = frozen["tree"]["children"]
    assert (used["kind"], due["kind"]) == ("total", "due")
    assert frozen["value"] == pytest.approx(used["exact"] / due["exact"])
    assert sum(part["exact"] or 0 for part in used["children"]) == used["exact"]
    conversions = [part for part in parts_of(used) if part["kind"] == "conversion"]
    carriers = set()
    for part in conversions:
        (amount,) = [child for child in part["children"] if child["kind"] == "amount"]
        (factor,) = [child for child in part["children"] if child["kind"] == "factor"]
        carrier = factor["facts"]["carrier"]
        carriers.add(carrier)
        assert factor["edition"].startswith("GB/T 2589-2020")
        assert factor["value"] == pytest.approx(float(KGCE[carrier]))
        grams = Fraction(amount["exact"]) * KGCE[carrier]
        assert abs(part["exact"]) == pytest.approx(float(abs(grams)), abs=50)  # rounded once a day
    assert carriers == {"electricity", "natural_gas", "heat"}


def parts_of(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """A node and all that it is made of."""
    return [tree, *(part for child in tree["children"] for part in parts_of(child))]


def check_days(town: Town, january: Days) -> None:
    """Every day is the truth's and wholly covered; January carried less before its coal was entered."""
    for code, end in ((town.steel, PLAYED), (town.cement, FEBRUARY)):
        town.wait_true(code, end)
        days = town.days(code, end).values()
        assert {known_share(day) for day in days} == {1.0}
        assert all(day["published"] and not day["missing_points"] for day in days)
    after = town.days(town.cement, FEBRUARY)
    assert all(known_share(day) < 0.5 for day in january.values())  # coal is most of a kiln's energy
    assert all(after[date]["calorific"]["tce"] > day["calorific"]["tce"] for date, day in january.items())

    def progress() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = town.serve.get(f"/v1/enterprises/{town.cement}/progress")["progress"]
        return rows

    assert {row["basis"] for row in progress()} >= {"equivalent", "carbon"}
    town.site.wait_until(
        lambda: all((row["as_of"] or "") >= "2025-01-31" for row in progress()), "January is judged"
    )


def known_share(day: dict[str, Any]) -> float:
    """Measured and estimated: a day's part of a month's figure is an estimate."""
    measured, estimated = day["coverage"]["measured"], day["coverage"]["estimated"]
    return round(float(measured + estimated), 6)


def check_notice(town: Town, alert: dict[str, Any]) -> None:
    """Whoever watches the console is told of the alert, once."""

    def told() -> list[str]:
        lines = town.assess.log_text().splitlines()
        return [
            line for line in lines if f"（{QUOTA}）" in line and alert["rule_facts"]["summary_zh"] in line
        ]

    town.site.wait_until(lambda: bool(told()), "a notice is delivered")
    assert len(told()) == 1


def check_books(town: Town, stored: int) -> None:
    """Balanced, and proved from outside: by receipts, InfluxDB's own client and the process's metrics."""
    town.site.wait_until(lambda: town.ingest.get("/v1/ledger")["in_flight"] == 0, "nothing is in flight")
    ledger = town.serve.get("/v1/ledger", proof="true")
    totals = ledger["totals"]
    assert ledger["balanced"]
    assert ledger["proof"]["is_equal"]
    assert totals["stored"] == ledger["proof"]["distinct_readings"] == stored
    assert totals["corrected"] == totals["superseded"] == totals["quarantined"] == 0
    rows = town.site.stored_readings()
    assert rows.height == stored
    assert rows.select("enterprise", "point", pl.col("time") // 10**9).is_unique().all()
    for source, count in (("mqtt", stored - ROWS_BY_HAND), ("api", ROWS_BY_HAND)):
        assert town.ingest.metric("nengshao_readings_total", outcome="stored", source=source) == count


def check_surroundings(town: Town) -> None:
    """What Grafana reads is there; every process shows its metrics; nothing is open without the token."""
    assert town.site.count_results("load", "amount_milli") > 5_000
    assert town.site.count_results("enterprise_day", "tce_calorific") >= 31 + 36
    assert town.site.count_results("progress", "pace") > 0
    assert town.ingest.metric("nengshao_lease_held", kind="ingest") == 1
    assert town.assess.metric("nengshao_lease_held", kind="assess", partition="0") == 1
    town.site.wait_until(
        lambda: town.assess.metric("nengshao_alerts", rule=PACE, state="firing") >= 1, "the gauge says so"
    )
    assert town.serve.metric("nengshao_http_requests_total") > 0
    for path in ("/v1/enterprises", "/v1/ledger", "/metrics"):
        assert town.serve.http.get(path, headers={"Authorization": ""}).status_code == 401


def is_near(days: Days, wanted: Mapping[dt.date, float]) -> bool:
    """To ten grams a day: each point's day is rounded once, and a month's coal is split over its days."""
    shown = {date: day["calorific"]["tce"] for date, day in days.items()}
    return shown.keys() == wanted.keys() and all(
        value is not None and abs(value - wanted[date]) <= 1e-5 for date, value in shown.items()
    )


def truth_tce(fleet: Fleet, code: str, end: dt.date, *, with_manual: bool) -> dict[dt.date, float]:
    """Standard coal by day from the fleet's own truth; what is entered monthly is spread evenly."""
    is_manual = pl.col("carrier").is_in(BY_HAND)
    rows = (
        fleet.truth()
        .with_columns(even=pl.col("amount").mean().over("point", "period"))
        .with_columns(amount=pl.when(is_manual).then("even").otherwise("amount"))
        .filter(enterprise=code)
        .filter(pl.col("day") < day_number(end), ~is_manual | with_manual)
    )
    tce: dict[dt.date, float] = {}
    for day, role, carrier, amount in rows.select("day", "role", "carrier", "amount").iter_rows():
        grams = SIGN[role] * amount * float(KGCE[carrier])  # 10⁻³ unit × kgce per unit
        tce[date_of(day)] = tce.get(date_of(day), 0.0) + grams / 1_000_000
    return tce
