"""Enterprises, their points, their energy and its revisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nengshao.domain.alerts import Alert, AlertState
from nengshao.domain.time import parse_instant
from nengshao.frames import LOAD, POINTS, PROGRESS
from nengshao.ports import JudgementCommit, Revision
from nengshao.registry import ENTERPRISES, Registry
from tests.support.plant import PLANT
from tests.support.service import NOW, Api, ScopedAuthenticator, is_problem, served
from tests.support.state import (
    NO_BLOCKS,
    A,
    B,
    commit_of,
    day_row,
    enterprise_row,
    leased,
    point_row,
    registry_of,
    rows,
)
from tests.support.works import works_served

JAN_1 = 20_089  # accounting day 2025-01-01
FIRST = parse_instant("2025-01-01T00:00:00+08:00")
POINT: dict[str, Any] = {
    "device": "d1", "carrier": "electricity", "kind": "register", "role": "input", "unit": "MWh",
    "use": "energy",
    "ratio_num": 200, "ratio_den": 1, "cadence_s": 900, "grace_s": 900, "max_estimate_s": 7200,
    "capacity": 4_000_500, "expected_daily": 24_000_000,
}  # fmt: skip
KNOWN = point_row(A, **POINT)
ID = KNOWN["point"]


def registry() -> Registry:
    enterprises = rows(
        ENTERPRISES,
        enterprise_row(A, name="甲水泥厂", industry="C3011", active_from=FIRST),
        enterprise_row(B, name="乙钢厂", active_from=FIRST),
    )
    return registry_of(A, B, enterprises=enterprises, points=rows(POINTS, KNOWN))


def day(number: int, grams: int | None = 1_500_000, enterprise: str = A, **columns: Any) -> dict[str, Any]:
    """The n-th day of 2025: 1.5 tce calorific, twice that equivalent, thrice the CO2; half is measured."""
    given = {
        "calorific_g": grams,
        "equivalent_g": None if grams is None else 2 * grams,
        **dict.fromkeys(("calorific_gap_low", "calorific_gap_high"), 0),
        **dict.fromkeys(("equivalent_gap_low", "equivalent_gap_high"), 0),
        **dict.fromkeys(("carbon_gap_low", "carbon_gap_high"), 0),
        "carbon_g": None if grams is None else 3 * grams, "carbon_confirmed": True,
        "measured_w": 50, "estimated_w": 20, "spread_w": 0, "missing_w": 30, "pending_w": 0,
        "calorific_confirmed": True, "equivalent_confirmed": False,
        "lowest_point": ID, "missing_points": str(ID),
    }  # fmt: skip
    return day_row(enterprise, JAN_1 + number, **given | columns)


def block(start_day: float, end_day: float, grams: int | None, sign: int = 1) -> dict[str, Any]:
    return {
        "enterprise": A, "via": ID, "point": ID, "sign": sign, "use": "energy",
        "start": FIRST + int(start_day * 86_400), "end": FIRST + int(end_day * 86_400),
        "amount": 1, "calorific_g": grams, "equivalent_g": grams, "carbon_g": grams,
    }  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path) as service:
        service.state.save_registry(registry(), at=NOW)
        yield service


def assess(api: Api, *days: dict[str, Any], blocks: Sequence[dict[str, Any]] = (), **fields: Any) -> None:
    frame = pl.DataFrame(list(blocks), schema=NO_BLOCKS.schema)
    api.state.commit_assessment(leased(api.state, "assess"), commit_of(*days, blocks=frame, **fields))


def judge(api: Api, progress: list[dict[str, Any]], *alerts: Alert) -> None:
    commit = JudgementCommit(
        at=NOW, enterprises={A: 0}, progress=rows(PROGRESS, *progress), alerts=alerts, transitions=[],
        explanations={},
    )  # fmt: skip
    api.state.commit_judgement(leased(api.state, "assess"), commit)


def test_an_enterprise_shows_both_bases_to_date_its_coverage_and_what_is_unconfirmed(api: Api) -> None:
    assess(api, day(0), day(1), day(2, published=False), day(3))
    shown = api.get(f"/v1/enterprises/{A}").json()
    assert (shown["name"], shown["active_from"], shown["active_to"]) == (
        "甲水泥厂", "2025-01-01T00:00:00+08:00", None,
    )  # fmt: skip
    assert shown["to_date"] == {
        "year": 2025,
        "as_of": "2025-01-02",
        "calorific": {"tce": 3.0, "low_tce": 3.0, "high_tce": 3.0, "is_confirmed": True, "label": None},
        "equivalent": {
            "tce": 6.0, "low_tce": 6.0, "high_tce": 6.0, "is_confirmed": False,
            "label": "不作为执法依据 / not a basis for enforcement",
        },
        "carbon": {"t": 9.0, "low_t": 9.0, "high_t": 9.0, "is_confirmed": True, "label": None},
        "coverage": {"measured": 0.5, "estimated": 0.2, "missing": 0.3, "pending": 0.0},
        "no_factor": [],
    }  # fmt: skip


def test_the_year_to_date_ends_before_a_day_that_is_not_there(api: Api) -> None:
    assess(api, day(0), day(2))
    assert api.get(f"/v1/enterprises/{A}").json()["to_date"]["as_of"] == "2025-01-01"


def test_nothing_is_to_date_before_the_first_day_on_duty_is_complete(api: Api) -> None:
    assess(api, day(0, published=False), day(1))
    to_date = api.get(f"/v1/enterprises/{A}").json()["to_date"]
    assert (to_date["as_of"], to_date["calorific"]["tce"]) == (None, None)
    assert to_date["coverage"] is not None  # coverage reaches to yesterday, what is pending included


def test_an_enterprise_without_results_has_nothing_to_date_rather_than_zero(api: Api) -> None:
    shown = api.get(f"/v1/enterprises/{B}").json()
    assert (shown["to_date"], shown["progress"]) == (None, [])
    assert shown["open_alerts"] == {"pending": 0, "firing": 0}


def test_another_year_can_be_asked_for(api: Api) -> None:
    assess(api, day(0), day(366))
    assert api.get(f"/v1/enterprises/{A}", year=2025).json()["to_date"]["as_of"] == "2025-01-01"
    assert api.get(f"/v1/enterprises/{A}").json()["to_date"]["year"] == 2026


PROGRESS_ROW: dict[str, Any] = {
    "enterprise": A, "year": 2025, "basis": "equivalent", "scope": "net", "level": "incentive",
    "quota_g": 10**12, "quota_confirmed": True, "as_of_day": JAN_1, "used_g": 117_939_451_659, "low_g": 0,
    "high_g": None, "due_g": 1, "pace": 1.23456789, "pace_low": 0.5, "pace_high": None,
    "projected_g": 2 * 10**12, "projected_low_g": 1, "projected_high_g": None, "projection": "blend",
    "is_confirmed": False, "coverage": 0.7,
}  # fmt: skip


def test_progress_is_shown_in_tonnes_with_its_basis_scope_and_day(api: Api) -> None:
    judge(api, [PROGRESS_ROW])
    assert api.get(f"/v1/enterprises/{A}").json()["progress"] == [
        {
            "year": 2025, "basis": "equivalent", "basis_zh": "等价值", "scope": "net",
            "scope_zh": "扣除原料用能和非化石能源", "level": "incentive", "unit": "tce",
            "quota_t": 1_000_000.0, "as_of": "2025-01-01", "used_t": 117939.451659, "low_t": 0.0,
            "high_t": None, "due_t": 1e-06, "pace": 1.234568, "pace_low": 0.5, "pace_high": None,
            "projected_t": 2_000_000.0, "projected_low_t": 1e-06, "projected_high_t": None,
            "projection": "blend", "coverage": 0.7, "quota_confirmed": True, "is_confirmed": False,
            "label": "不作为执法依据 / not a basis for enforcement",
        }
    ]  # fmt: skip


def test_progress_of_one_year_and_in_tonnes_of_carbon(api: Api) -> None:
    judge(api, [PROGRESS_ROW, {**PROGRESS_ROW, "year": 2026, "basis": "carbon", "projection": ""}])
    path = f"/v1/enterprises/{A}/progress"
    assert [row["year"] for row in api.get(path).json()["progress"]] == [2025, 2026]
    (carbon,) = api.get(path, year=2026).json()["progress"]
    assert (carbon["unit"], carbon["projection"]) == ("tCO2", None)


def test_the_list_counts_open_alerts_and_pages_by_code(api: Api) -> None:
    fields: dict[str, Any] = {
        "rule": "r", "subject": "s", "severity": "red", "since": 1, "seen_at": 1, "breached_s": 0,
        "is_insufficient": False, "is_confirmed": True, "enterprise": A,
    }  # fmt: skip
    states = [AlertState.FIRING, AlertState.FIRING, AlertState.PENDING, AlertState.RESOLVED]
    judge(api, [], *(Alert(f"a{n}", state=state, **fields) for n, state in enumerate(states)))
    page = api.get("/v1/enterprises", limit=1).json()
    assert [item["code"] for item in page["enterprises"]] == [A]
    assert page["enterprises"][0]["open_alerts"] == {"pending": 1, "firing": 2}
    rest = api.get("/v1/enterprises", limit=1, cursor=page["next"]).json()
    assert ([item["code"] for item in rest["enterprises"]], rest["next"]) == ([B], None)


def test_enterprises_of_several_partitions_are_on_one_page(tmp_path: Path) -> None:
    with served(tmp_path, partitions=7) as api:
        api.state.save_registry(registry(), at=NOW)
        days = [day(0), day(0, enterprise=B)]
        assess(api, *days)
        shown = api.get("/v1/enterprises").json()["enterprises"]
    assert [item["to_date"]["as_of"] for item in shown] == ["2025-01-01", "2025-01-01"]


@pytest.mark.parametrize("path", ["", "/points", "/energy", "/revisions"])
@pytest.mark.parametrize("code", ["nobody", "91350100M000100Y43", "91350100M000100Y44", "%00", "..%2F"])
def test_a_code_that_is_none_or_not_registered_is_not_found(api: Api, code: str, path: str) -> None:
    assert api.get(f"/v1/enterprises/{code}{path}").status_code == 404


@pytest.mark.parametrize("path", ["", "/points", "/energy", "/revisions"])
def test_a_caller_sees_their_own_enterprises_only(api: Api, path: str) -> None:
    api.authenticator = ScopedAuthenticator(B)
    assert is_problem(api.get(f"/v1/enterprises/{A}{path}"), 404, "not-found")
    assert api.get(f"/v1/enterprises/{B}{path}").status_code == 200
    assert [item["code"] for item in api.get("/v1/enterprises").json()["enterprises"]] == [B]


def test_a_change_of_the_registry_is_seen_at_once(api: Api) -> None:
    assert api.get(f"/v1/enterprises/{B}").json()["name"] == "乙钢厂"
    renamed = enterprise_row(B, name="新名", active_from=FIRST)
    changed = rows(ENTERPRISES, enterprise_row(A, active_from=FIRST), renamed)
    api.state.save_registry(registry_of(A, B, enterprises=changed, points=rows(POINTS, KNOWN)), at=NOW)
    assert api.get(f"/v1/enterprises/{B}").json()["name"] == "新名"


def test_points_are_shown_in_their_canonical_unit(api: Api) -> None:
    (point,) = api.get(f"/v1/enterprises/{A}/points").json()["points"]
    assert point == {
        "point": "0000000002330011.0.00", "data_code": "00-00-0000-023300-11", "name": "1# 进线",
        "device": "d1",
        "carrier": "electricity", "carrier_zh": "电力", "unit": "kWh", "sent_unit": "MWh", "kind": "register",
        "role": "input", "use": "energy", "parent": None, "terms": [],
        "feeds_total": True, "stat_type": 0, "cadence_s": 900, "grace_s": 900,
        "max_estimate_s": 7200, "capacity": 4000.5, "expected_daily": 24000.0, "ratio": "200/1",
        "valid_from": "1970-01-01T08:00:00+08:00", "valid_to": None,
    }  # fmt: skip


def test_a_virtual_point_names_its_terms_and_a_sub_meter_its_parent(tmp_path: Path) -> None:
    with works_served(tmp_path) as (api, _):
        points = {row["name"]: row for row in api.get(f"/v1/enterprises/{PLANT}/points").json()["points"]}
    assert [(term["point"], term["coefficient"]) for term in points["原煤"]["terms"]] == [
        ("0000000000000003.1.00", "1/1"), ("0000000000000004.1.00", "1/3"),
    ]  # fmt: skip
    assert (points["生产线"]["parent"], points["光伏"]["use"]) == ("0000000000000001.0.00", "non_fossil")


def test_days_carry_both_bases_coverage_bounds_and_the_points_that_are_missing(api: Api) -> None:
    assess(api, day(0, calorific_gap_low=-1, calorific_gap_high=None, no_factor=""))
    series = api.get(f"/v1/enterprises/{A}/energy", from_="2025-01-01", to="2025-01-03").json()
    assert (series["interval"], series["start"], series["end"]) == ("day", "2025-01-01", "2025-01-03")
    (shown,) = series["days"]
    assert shown["date"] == "2025-01-01"
    assert (shown["calorific"]["tce"], shown["calorific"]["low_tce"], shown["calorific"]["high_tce"]) == (
        1.5, 1.499999, None,
    )  # fmt: skip
    assert shown["equivalent"]["tce"] == 3.0
    assert (shown["carbon"]["t"], shown["scopes"]) == (4.5, [])
    assert shown["coverage"]["missing"] == 0.3
    assert shown["lowest_point"] == "0000000002330011.0.00"
    assert shown["missing_points"] == ["0000000002330011.0.00"]
    assert shown["published"] is True


def test_a_missing_factor_leaves_the_figure_unknown_and_is_named(api: Api) -> None:
    assess(api, day(0, calorific_g=None, no_factor="coke:calorific"))
    (shown,) = api.get(f"/v1/enterprises/{A}/energy").json()["days"]
    assert (shown["calorific"]["tce"], shown["calorific"]["high_tce"]) == (None, None)
    assert shown["equivalent"]["tce"] == 3.0
    assert shown["no_factor"] == ["coke:calorific"]


def test_a_long_gap_counts_in_full_within_the_day_and_widens_the_bounds_across_its_border(api: Api) -> None:
    assess(api, day(0), day(1), blocks=[block(0.25, 0.5, 500_000), block(0.75, 1.25, 200_000)])
    first, second = api.get(f"/v1/enterprises/{A}/energy").json()["days"]
    assert [first["calorific"][name] for name in ("low_tce", "tce", "high_tce")] == [2.0, 2.0, 2.2]
    assert [second["calorific"][name] for name in ("low_tce", "tce", "high_tce")] == [1.5, 1.5, 1.7]
    year = api.get(f"/v1/enterprises/{A}").json()["to_date"]["calorific"]
    assert [year[name] for name in ("low_tce", "tce", "high_tce")] == [3.7, 3.7, 3.7]


@pytest.mark.parametrize(
    ("grams", "blocks", "shown"),
    [
        pytest.param(1000, [], (0.001, 0.001, 0.001), id="nothing missing"),
        pytest.param(1000, [block(0.1, 0.2, 400, -1)], (0.0006, 0.0006, 0.0006), id="an output's block"),
        pytest.param(1000, [block(-1, 0.2, 400, -1)], (0.0006, 0.001, 0.001), id="an output's across"),
        pytest.param(1000, [block(0.1, 0.2, 400, 0)], (0.001, 0.001, 0.001), id="inside the boundary"),
        pytest.param(1000, [block(0.1, 0.2, None)], (None, None, None), id="a block without factor"),
        pytest.param(1000, [block(0.1, 5, None)], (None, None, None), id="one across without factor"),
        pytest.param(None, [], (0.0, None, 0.0), id="nothing measured: bounds only"),
        pytest.param(None, [block(0.1, 0.2, 400)], (0.0004, 0.0004, 0.0004), id="a block only"),
    ],
)  # fmt: skip
def test_bounds_of_a_day(
    api: Api, grams: int | None, blocks: list[dict[str, Any]], shown: tuple[float | None, ...]
) -> None:
    assess(api, day(0, grams), blocks=blocks)
    (found,) = api.get(f"/v1/enterprises/{A}/energy").json()["days"]
    assert tuple(found["calorific"][name] for name in ("low_tce", "tce", "high_tce")) == shown


def test_hours_carry_the_amount_of_each_point_and_how_much_of_the_hour_it_covers(api: Api) -> None:
    loads = [{"enterprise": A, "point": ID, "start": FIRST + h * 3600, "amount": 1_234_567, "covered_s": 900}
             for h in (0, 1)]  # fmt: skip
    gone = {"enterprise": A, "point": 7, "start": FIRST, "amount": 1, "covered_s": 3600}
    api.results.write_load(rows(LOAD, *loads, gone))
    series = api.get(f"/v1/enterprises/{A}/energy?interval=hour&from=2025-01-01&to=2025-01-02").json()
    known, unknown = series["points"]
    assert (series["interval"], known["point"], known["unit"]) == ("hour", "0000000002330011.0.00", "kWh")
    assert known["hours"][1] == {"start": "2025-01-01T01:00:00+08:00", "amount": 1234.567, "covered": 0.25}
    assert len(known["hours"]) == 2
    assert (unknown["point"], unknown["unit"]) == ("7", None)


def test_the_window_ends_by_default_with_the_last_result(api: Api) -> None:
    assess(api, *(day(n) for n in range(40)))
    series = api.get(f"/v1/enterprises/{A}/energy").json()
    assert (series["start"], series["end"], len(series["days"])) == ("2025-01-10", "2025-02-10", 31)
    nothing = api.get(f"/v1/enterprises/{B}/energy", interval="hour").json()
    assert (nothing["start"], nothing["end"]) == ("2025-03-09", "2025-03-11")


@pytest.mark.parametrize(
    "query",
    [
        "from=2025-01-02&to=2025-01-02",
        "from=2024-01-01&to=2025-03-01",
        "interval=hour&from=2025-01-01&to=2025-03-05",
        "from=0001-01-01&to=0001-01-03",
        "to=9999-12-31",
        "from=yesterday",
        "interval=week",
        "since=2025-01-01",
    ],
)
def test_a_window_that_is_empty_too_long_or_none_is_refused(api: Api, query: str) -> None:
    response = api.get(f"/v1/enterprises/{A}/energy?{query}")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


def test_the_longest_windows_are_answered(api: Api) -> None:
    path = f"/v1/enterprises/{A}/energy"
    assert api.get(f"{path}?from=2024-01-01&to=2025-02-04").status_code == 200
    assert api.get(f"{path}?interval=hour&from=2025-01-01&to=2025-03-04").status_code == 200


def test_revisions_say_what_changed_and_why(api: Api) -> None:
    before: dict[str, Any] = {"enterprise_day": None, "point_days": []}
    changed_point = {"point": ID, "amount": None, "measured_s": 900}
    after = {
        "enterprise_day": {"calorific_g": 1_500_000, "equivalent_g": None},
        "point_days": [changed_point],
    }
    assess(api, day(0), revisions=[Revision(A, JAN_1, "late_data", before, after)], at=NOW)
    shown = api.get(f"/v1/enterprises/{A}/revisions").json()["revisions"]
    assert shown == [
        {
            "date": "2025-01-01", "seq": 1, "made_at": "2025-03-10T09:00:00+08:00", "cause": "late_data",
            "cause_zh": "迟到数据",
            "before": {"calorific_tce": None, "equivalent_tce": None, "carbon_t": None, "figures": before},
            "after": {
                "calorific_tce": 1.5, "equivalent_tce": None, "carbon_t": None,
                "figures": after | {"point_days": [changed_point | {"point": str(ID)}]},
            },
            "decided_by": None, "reason": None,
        }
    ]  # fmt: skip
    assert api.get(f"/v1/enterprises/{A}/revisions?from=2025-01-02&to=2025-01-05").json()["revisions"] == []
