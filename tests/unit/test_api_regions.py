"""Regions over HTTP: the sum of their key units, its share, intensities of statistics, the barometer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from api.barometer import reading_of, rules_for, targets_of
from nengshao.domain.alerts import Alert, AlertState
from nengshao.domain.codes import REGION_PARTITION
from nengshao.domain.rules import Band, Measure, Operator, Rule, Severity
from nengshao.domain.time import parse_instant
from nengshao.frames import INTENSITY, MEASURES, PROGRESS, STATISTICS
from nengshao.ports import JudgementCommit
from tests.support.plant import NEW_YEAR, PLANT, Plant
from tests.support.service import Api, ScopedAuthenticator, is_problem
from tests.support.state import leased, rows
from tests.support.trees import faults
from tests.support.works import CITY, COUNTY, OTHER, keep_region, works_served

QUARTER = {"from_": "2025-01-01", "to": "2025-04-01"}


@pytest.fixture
def works(tmp_path: Path) -> Iterator[tuple[Api, Plant]]:
    with works_served(tmp_path) as both:
        keep_region(both[0].state, both[1])
        yield both


@pytest.fixture
def api(works: tuple[Api, Plant]) -> Api:
    return works[0]


def stated(indicator: str, value: int, unit: str, state: str) -> dict[str, Any]:
    """A statement of the city over the first quarter, 10⁻³ of the unit."""
    return {
        "subject": CITY, "indicator": indicator, "item": "total", "first_day": NEW_YEAR,
        "end_day": NEW_YEAR + 90, "version": 1, "value": value, "unit": unit, "state": state,
        "source": "公报", "submitted_by": "统计局", "decided_by": "", "note": "",
    }  # fmt: skip


def judge(api: Api, region: str, *measures: Mapping[str, Any], alerts: tuple[Alert, ...] = ()) -> None:
    commit = JudgementCommit(
        at=1, enterprises={region: 0}, progress=PROGRESS.empty(), alerts=alerts, transitions=[],
        explanations={}, measures=rows(MEASURES, *measures),
    )  # fmt: skip
    api.state.commit_judgement(leased(api.state, "assess", REGION_PARTITION), commit)


def test_regions_are_listed_with_how_many_key_units_are_in_them(api: Api) -> None:
    assert api.get("/v1/regions").json() == {
        "regions": [
            {"code": CITY, "name": "某市", "parent": None, "enterprises": 1},
            {"code": COUNTY, "name": "某县", "parent": CITY, "enterprises": 1},
            {"code": OTHER, "name": "邻县", "parent": CITY, "enterprises": 0},
        ],
        "next": None,
    }  # fmt: skip
    assert [row["code"] for row in api.get("/v1/regions", parent=CITY).json()["regions"]] == [COUNTY, OTHER]


def test_the_sum_of_key_units_is_a_measure_of_its_own(api: Api) -> None:
    shown = api.get(f"/v1/regions/{CITY}/totals", **QUARTER).json()
    found = {row["scope"]: row["calorific"]["tce"] for row in shown["scopes"]}
    # As the plant's own: its block of 2 to 5 March is in it.
    assert found == {
        "total": 88.75845, "feedstock": 12.8574, "non_fossil": 0.55305, "excluding_feedstock": 75.90105,
        "excluding_non_fossil": 88.2054, "net": 75.348,
    }  # fmt: skip
    assert (shown["enterprises"], shown["days"], shown["shares"]) == (1, 90, [])


def test_the_share_in_what_the_region_states_is_shown_and_a_preliminary_one_labelled(api: Api) -> None:
    energy = stated("energy_consumption", 1_000, "1e4tce", "preliminary")
    carbon = stated("carbon_emission", 1_000_000, "tCO2", "final")
    api.state.put_statistics(rows(STATISTICS, energy, carbon))
    shown = api.get(f"/v1/regions/{CITY}/totals", **QUARTER).json()["shares"]
    # 105.4944 tce (等价值) of 10 000, and 263.25 tCO2 of 1 000
    assert [(row["basis"], row["stated_t"], row["share"]) for row in shown] == [
        ("equivalent", 10_000.0, 0.010549), ("carbon", 1_000.0, 0.26325),
    ]  # fmt: skip
    assert [row["label"] is None for row in shown] == [False, True]
    other = api.get(f"/v1/regions/{CITY}/totals", from_="2025-01-01", to="2025-03-01").json()
    assert other["shares"] == []  # not stated of these days


def test_a_region_without_statistics_and_without_key_units_is_unknown_and_not_zero(api: Api) -> None:
    shown = api.get(f"/v1/regions/{OTHER}/totals", **QUARTER).json()
    assert (shown["scopes"][0]["calorific"]["tce"], shown["days"], shown["enterprises"]) == (None, 0, 0)
    assert api.get(f"/v1/regions/{OTHER}/intensity").json()["intensities"] == []
    assert api.get(f"/v1/regions/{OTHER}/progress").json()["progress"] == []
    tree = api.get(f"/v1/regions/{OTHER}/explanation", measure="total", basis="carbon", **QUARTER).json()
    assert (tree["value"], tree["children"]) == (None, [])


def test_a_region_opens_into_its_key_units_and_each_by_its_own_call(api: Api) -> None:
    asked = {"measure": "total", "basis": "calorific", **QUARTER}
    tree = api.get(f"/v1/regions/{CITY}/explanation", **asked).json()
    (member,) = tree["children"]
    assert (tree["exact"], member["kind"], member["facts"]["enterprise"]) == (88_758_450, "enterprise", PLANT)
    own = api.get(f"/v1/enterprises/{member['facts']['enterprise']}/explanation", **asked).json()
    assert own["exact"] == member["exact"]
    assert faults(tree) == []


def test_a_regions_intensity_is_asked_like_an_enterprises(api: Api) -> None:
    row = {
        "enterprise": CITY, "denominator": "gdp_comparable", "basis": "equivalent", "scope": "total",
        "period": "2025", "first_day": NEW_YEAR, "end_day": NEW_YEAR + 90, "is_whole": False,
        "unit": "1e4CNY",
        "energy_g": 10**12, "low_g": 10**12, "high_g": 10**12, "quantity": 4 * 10**9, "intensity": 250.0,
        "state": "", "norm": "", "grade": "", "is_confirmed": False, "target_confirmed": False,
        "norm_confirmed": False,
    }  # fmt: skip
    commit = JudgementCommit(
        at=1, enterprises={CITY: 0}, progress=PROGRESS.empty(), alerts=(), transitions=[], explanations={},
        intensity=rows(INTENSITY, row),
    )  # fmt: skip
    api.state.commit_judgement(leased(api.state, "assess", REGION_PARTITION), commit)
    (shown,) = api.get(f"/v1/regions/{CITY}/intensity").json()["intensities"]
    assert (shown["intensity"], shown["energy_t"], shown["label"] is None) == (250.0, 1_000_000.0, False)
    asked = {"measure": "intensity", "basis": "equivalent", "denominator": "gdp_comparable", "period": "2025"}
    tree = api.get(f"/v1/regions/{CITY}/explanation", **asked).json()
    assert tree["children"][0]["name"] == "未报 / not stated"  # the statistics are gone


@pytest.mark.parametrize(
    "noun", ["totals", "progress", "intensity", "barometer", "explanation?measure=total&basis=carbon"]
)
@pytest.mark.parametrize("code", ["430699", "nowhere", PLANT])
def test_a_region_that_there_is_not_is_not_found(api: Api, noun: str, code: str) -> None:
    assert is_problem(api.get(f"/v1/regions/{code}/{noun}"), 404, "not-found")


def test_who_may_not_see_everything_sees_no_region(api: Api) -> None:
    api.authenticator = ScopedAuthenticator(PLANT)
    assert api.get("/v1/regions").json()["regions"] == []
    assert is_problem(api.get(f"/v1/regions/{CITY}/totals"), 404, "not-found")


@pytest.mark.parametrize(
    "query", ["from=2025-02-01&to=2025-01-01", "from=2020-01-01&to=2025-01-01", "scope=x"]
)
def test_a_window_that_is_empty_or_too_long_is_refused(api: Api, query: str) -> None:
    assert api.get(f"/v1/regions/{CITY}/totals?{query}").status_code == 422


# ----------------------------------------------------------------------------------------- barometer

AT = parse_instant("2025-07-01T00:00:00+08:00")
COMPLETION = Rule(
    name="county-completion", measure=Measure.REDUCTION_COMPLETION, op=Operator.BELOW,
    bands=(Band(1.0, Severity.YELLOW, "一级"), Band(0.5, Severity.RED, "三级")),
    hold_s=0, min_coverage=0, legal_basis="某办法", confidence="official",
    summary_zh="未达进度", summary_en="behind",
)  # fmt: skip


def measure(
    region: str,
    value: float | None,
    name: str = "reduction_completion",
    year: int = 2025,
    basis: str = "equivalent",
) -> dict[str, Any]:
    return {
        "enterprise": region, "measure": name, "subject": f"{year}/{basis}/total/gdp_comparable", "at": AT,
        "value": value, "low": value, "high": value, "is_confirmed": True,
    }  # fmt: skip


def alert(state: AlertState = AlertState.FIRING, **fields: Any) -> Alert:
    given: dict[str, Any] = {
        "alert_id": "a", "rule": COMPLETION.name, "enterprise": COUNTY,
        "subject": "2025/equivalent/total/gdp_comparable", "state": state, "severity": "red", "since": AT,
        "seen_at": AT, "breached_s": 0, "is_insufficient": False, "is_confirmed": True, "level": "三级",
    }  # fmt: skip
    return Alert(**given | fields)


def colour(
    *alerts: Alert, values: tuple[float | None, ...] = (0.4,), rules: tuple[Rule, ...] = (COMPLETION,)
) -> Any:
    found = [measure(COUNTY, value) for value in values]
    return reading_of({"code": COUNTY, "name": "某县"}, found, alerts, rules)


def test_a_firing_alert_gives_the_colour_and_the_printed_level_stands_apart() -> None:
    shown = colour(alert(severity="yellow", level="一级"), alert())
    assert (shown.colour, shown.colour_zh, shown.level, shown.rule) == (
        "red",
        "红色",
        "三级",
        "county-completion",
    )
    assert shown.completion == 0.4


def test_green_is_said_only_where_a_rule_looked_and_found_nothing() -> None:
    assert colour(values=(1.2,)).colour == "green"
    assert colour(values=(1.2,), rules=()).colour is None
    assert colour(alert(AlertState.PENDING), values=(1.2,)).colour == "green"


def test_what_is_not_known_has_no_colour() -> None:
    for shown in (
        colour(values=()),
        colour(values=(None,)),
        colour(alert(AlertState.PENDING, is_insufficient=True)),
    ):
        assert (shown.colour, shown.colour_zh) == (None, "数据不足 / insufficient data")
        assert shown.labels == ["数据不足 / insufficient data"]


def test_a_colour_that_rests_on_something_unconfirmed_is_labelled() -> None:
    assert colour(alert(is_confirmed=False)).labels == ["不作为执法依据 / not a basis for enforcement"]


def test_only_the_latest_year_of_gdp_targets_counts() -> None:
    given = [
        measure(COUNTY, 0.9, year=2024), measure(COUNTY, 0.4), measure(COUNTY, 2.0, "reduction_gap"),
        measure(COUNTY, 1.0, "progress_ratio"),
    ]  # fmt: skip
    other = measure(COUNTY, 1.0) | {"subject": "2025/calorific/total/product:clinker"}
    assert targets_of([*given, other]) == given[1:3]
    assert targets_of([]) == []


def test_energy_and_carbon_stand_apart_and_of_several_energy_targets_the_worst() -> None:
    rows = [
        measure(COUNTY, 0.7), measure(COUNTY, 1.1, basis="calorific"), measure(COUNTY, 1.3, basis="carbon"),
        measure(COUNTY, 0.9, "reduction_gap"), measure(COUNTY, -0.2, "reduction_gap", basis="calorific"),
        measure(COUNTY, -0.6, "reduction_gap", basis="carbon"),
    ]  # fmt: skip
    for given in (rows, rows[::-1]):
        shown = reading_of({"code": COUNTY, "name": "某县"}, given, (), (COMPLETION,))
        assert (shown.completion, shown.gap_pp) == (0.7, 0.9)
        assert (shown.carbon_completion, shown.carbon_gap_pp) == (1.3, -0.6)
    only = reading_of({"code": COUNTY, "name": "某县"}, rows[2:3], (), (COMPLETION,))
    assert (only.completion, only.carbon_completion, only.carbon_gap_pp) == (None, 1.3, None)
    half = [measure(COUNTY, 0.7), measure(COUNTY, None, basis="calorific")]
    assert reading_of({"code": COUNTY, "name": "某县"}, half, (), (COMPLETION,)).completion is None


def test_an_alert_of_another_year_says_nothing_of_the_year_that_is_shown(api: Api) -> None:
    api.law = api.law.__class__(
        api.law.factors, api.law.norms, api.law.calendar, {COMPLETION.name: COMPLETION}
    )
    before = alert(subject="2024/equivalent/total/gdp_comparable")
    judge(api, COUNTY, measure(COUNTY, 1.2), measure(COUNTY, 0.4, year=2024), alerts=(before,))
    shown = api.send("GET", f"/v1/regions/{CITY}/barometer", app=api.app_over(api.state)).json()
    assert [(row["code"], row["colour"], row["completion"]) for row in shown["regions"]] == [
        (COUNTY, "green", 1.2), (OTHER, None, None),
    ]  # fmt: skip


def test_a_rule_has_a_say_in_its_months_and_regions_only() -> None:
    found = [measure(COUNTY, 0.4)]  # to the end of June

    def has_say(**fields: Any) -> bool:
        rule = Rule(**{name: getattr(COMPLETION, name) for name in Rule.__slots__} | fields)
        return rules_for({"r": rule}, COUNTY, found) != []

    assert has_say()
    assert has_say(months=(6,), regions=(CITY,))
    assert not has_say(months=(9,))
    assert not has_say(regions=("110000",))
    assert not has_say(is_enabled=False)
    assert not has_say(measure=Measure.INTENSITY_STATE)


def test_the_barometer_shows_the_regions_within(api: Api) -> None:
    api.law = api.law.__class__(
        api.law.factors, api.law.norms, api.law.calendar, {COMPLETION.name: COMPLETION}
    )
    judge(api, COUNTY, measure(COUNTY, 0.4), measure(COUNTY, 1.8, "reduction_gap"), alerts=(alert(),))
    shown = api.send("GET", f"/v1/regions/{CITY}/barometer", app=api.app_over(api.state)).json()
    assert [(row["code"], row["colour"], row["level"], row["gap_pp"]) for row in shown["regions"]] == [
        (COUNTY, "red", "三级", 1.8), (OTHER, None, "", None),
    ]  # fmt: skip
    assert shown["regions"][0]["as_of"] == "2025-07-01T00:00:00+08:00"
    assert (shown["own"]["code"], shown["own"]["colour"]) == (CITY, None)
    county = api.send("GET", f"/v1/regions/{COUNTY}/barometer", app=api.app_over(api.state)).json()
    assert (county["own"], county["regions"]) == (shown["regions"][0], [])
