"""Figures and what they were made of, over HTTP: totals, intensities, measures, and the trees below them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nengshao.domain.rules import Measure
from nengshao.domain.time import day_number
from nengshao.registry import ENTERPRISES
from tests.support.plant import PLANT, Plant
from tests.support.service import Api, is_problem
from tests.support.state import A, enterprise_row, rows
from tests.support.trees import faults, of_kind
from tests.support.works import AT, COUNTY, recommit, works_served

PATH = f"/v1/enterprises/{PLANT}"
QUARTER = {"from_": "2025-01-01", "to": "2025-04-01"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Plant]]:
    with works_served(tmp_path_factory.mktemp("works")) as both:
        yield both


@pytest.fixture
def api(served: tuple[Api, Plant]) -> Api:
    return served[0]


def explained(api: Api, **asked: Any) -> Any:
    response = api.get(f"{PATH}/explanation", **asked)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_total_opens_in_one_call_down_to_its_factors(api: Api) -> None:
    tree = explained(api, measure="total", basis="calorific", **QUARTER)
    assert tree["exact"] == 88_758_450  # golden: worked by hand there
    assert {node["confidence"] for node in of_kind(tree, "factor")} == {"transcribed"}
    assert all(isinstance(node["facts"]["point"], str) for node in of_kind(tree, "point"))
    assert faults(tree) == []


def test_a_basis_is_never_defaulted(api: Api) -> None:
    for asked in ({"measure": "total"}, {"measure": "progress", "year": 2025}, {"measure": "intensity"}):
        response = api.get(f"{PATH}/explanation", **asked)
        assert is_problem(response, 422, "bad-request")
        assert "从不默认" in response.json()["detail"]


@pytest.mark.parametrize(
    "query",
    [
        "measure=total&basis=guess",
        "measure=total&basis=electricity",
        "measure=total&basis=carbon&scope=some",
        "measure=total&basis=carbon&from=2025-02-01&to=2025-02-01",
        "measure=total&basis=carbon&from=2014-01-01&to=2025-01-01",
        "measure=everything",
        "measure=progress&basis=calorific",
        "measure=intensity&basis=calorific&period=2025",
        "measure=intensity&basis=calorific&denominator=product:clinker",
        "measure=norm_ratio",
        "basis=calorific",
    ],
)
def test_what_cannot_be_answered_is_refused(api: Api, query: str) -> None:
    response = api.get(f"{PATH}/explanation?{query}")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query",
    [
        "measure=progress&basis=calorific&year=2019",
        "measure=intensity&basis=calorific&denominator=product:nothing&period=2025",
        "measure=norm_ratio&subject=2019/calorific/total/product:clinker",
    ],
)
def test_a_figure_that_there_is_not_is_not_found(api: Api, query: str) -> None:
    assert is_problem(api.get(f"{PATH}/explanation?{query}"), 404, "not-found")


def test_a_day_before_there_was_anything_is_unknown_and_not_zero(api: Api) -> None:
    tree = explained(api, measure="total", basis="calorific", from_="2020-02-29", to="2020-03-01")
    assert (tree["value"], tree["exact"], tree["children"]) == (None, None, [])


def test_ten_years_are_the_longest_total(api: Api) -> None:
    tree = explained(api, measure="total", basis="carbon", from_="2016-01-01", to="2026-01-01")
    assert tree["facts"]["to"] == "2026-01-01"
    assert faults(tree) == []


def test_progress_opens_into_use_and_due(api: Api) -> None:
    tree = explained(api, measure="progress", basis="calorific", year=2025)
    assert (tree["kind"], [child["kind"] for child in tree["children"]]) == (
        "progress_ratio",
        ["total", "due"],
    )
    incentive = explained(api, measure="progress", basis="calorific", year=2025, level="incentive")
    assert incentive["children"][1]["facts"]["profile"] == "last_year"
    assert faults(tree) == faults(incentive) == []


def test_an_intensity_opens_into_energy_and_output(api: Api) -> None:
    tree = explained(
        api, measure="intensity", basis="calorific", denominator="product:clinker", period="2025"
    )
    assert tree["value"] == 71_845_350 / 600_006
    assert [node["kind"] for node in tree["beside"]] == ["target", "intensity", "norm"]
    assert faults(tree) == []


@pytest.mark.parametrize("measure", [m for m in Measure if m is not Measure.SILENT_SECONDS])
def test_every_measure_that_is_listed_can_be_opened(api: Api, measure: Measure) -> None:
    listed = api.get(f"{PATH}/measures", measure=measure.value).json()["measures"]
    assert {row["measure"] for row in listed} == {measure.value}
    tree = explained(api, measure=measure.value, subject=listed[0]["subject"])
    assert faults(tree) == []
    assert tree["value"] == pytest.approx(listed[0]["value"], abs=1e-6)


def test_measures_are_paged_and_say_their_unit(api: Api) -> None:
    first = api.get(f"{PATH}/measures", limit=3).json()
    second = api.get(f"{PATH}/measures", limit=3, cursor=first["next"]).json()
    assert (len(first["measures"]), first["next"], second["next"]) == (3, 3, 6)
    assert first["measures"][0]["measure_zh"] == "计量平衡差率"
    gap = api.get(f"{PATH}/measures", measure="reduction_gap").json()["measures"]
    assert [(row["unit"], row["label"] is None) for row in gap] == [("pp", False)]


def test_a_quarters_scopes_stand_side_by_side_on_every_basis(api: Api) -> None:
    shown = api.get(f"{PATH}/totals", **QUARTER).json()
    found = {row["scope"]: row for row in shown["scopes"]}
    assert {scope: row["calorific"]["tce"] for scope, row in found.items()} == {
        "total": 88.75845, "feedstock": 12.8574, "non_fossil": 0.55305, "excluding_feedstock": 75.90105,
        "excluding_non_fossil": 88.2054, "net": 75.348,
    }  # fmt: skip
    assert (found["total"]["carbon"]["t"], found["total"]["scope_zh"]) == (263.25, "总量")
    assert found["total"]["equivalent"]["label"] is not None
    assert (shown["days"], shown["published"], shown["pending"], shown["no_factor"]) == (90, True, None, [])
    assert shown["coverage"]["measured"] == pytest.approx(0.996961)


def test_days_carry_the_other_scopes_where_there_are_any(api: Api) -> None:
    (day,) = api.get(f"{PATH}/energy", from_="2025-01-01", to="2025-01-02").json()["days"]
    assert day["calorific"]["tce"] == 0.986205
    assert {row["scope"]: row["calorific"]["tce"] for row in day["scopes"]} == {
        "feedstock": 0.14286, "non_fossil": 0.006145, "net": 0.8372,
    }  # fmt: skip


def test_the_days_of_a_window_add_up_to_its_total_but_for_what_lies_across_a_border(api: Api) -> None:
    days = api.get(f"{PATH}/energy", **QUARTER).json()["days"]
    # The block of 2 to 5 March is in no single day: 4 × 135 190 g.
    assert round(sum(day["calorific"]["tce"] for day in days), 6) == round(88.75845 - 0.54076, 6)


def test_intensities_carry_norm_target_and_what_they_are_compared_with(api: Api) -> None:
    query = {"denominator": "product:clinker", "basis": "calorific", "period": "2025"}
    (row,) = api.get(f"{PATH}/intensity", **query).json()["intensities"]
    assert (row["name"], row["unit"], row["quantity"], row["energy_t"]) == ("熟料", "t", 600.006, 71.84535)
    assert (row["is_whole"], row["start"], row["end"]) == (False, "2025-01-01", "2025-04-01")
    assert (row["target"], row["state"], row["state_zh"]) == (90.0, "missed_falling", "未达到目标，同比下降")
    limits = row["limits"]
    assert (limits["level_1"], limits["level_2"], limits["level_3"]) == (45.0, 50.0, 60.0)
    assert (limits["grade"], limits["problem"]) == ("over", "")
    # 71 845 350 g − 60 kg/t × 600.006 t = 35 844 990 g
    assert limits["gap_t"] == 35.84499
    assert (row["is_confirmed"], row["label"] is None) == (False, False)
    # March's output is not approved: neither the intensity nor what the norm says of it may be evidence.
    assert (limits["is_confirmed"], limits["label"]) == (False, row["label"])


def test_what_a_norm_says_is_no_surer_than_the_output_that_it_judges(api: Api) -> None:
    query = {"denominator": "product:clinker", "basis": "calorific"}
    found = api.get(f"{PATH}/intensity", **query).json()["intensities"]
    confirmed = {row["period"]: row["limits"]["is_confirmed"] for row in found if row["limits"]}
    assert confirmed["2025-03"] is False  # its output is submitted, its clinker ratio approved
    assert all(row["is_confirmed"] or not row["limits"]["is_confirmed"] for row in found if row["limits"])


@pytest.mark.parametrize("period", ["2025-13", "2025-00", "2025-3", "25", "2025Q1", "March", "2025-03-01"])
def test_a_period_that_is_no_year_or_month_is_refused_and_not_answered_with_nothing(
    api: Api, period: str
) -> None:
    asked = {"measure": "intensity", "basis": "calorific", "denominator": "product:clinker"}
    for response in (
        api.get(f"{PATH}/intensity", period=period),
        api.get(f"{PATH}/explanation", period=period, **asked),
        api.get(f"/v1/regions/{COUNTY}/intensity", period=period),
    ):
        assert is_problem(response, 422, "validation")
        (problem,) = response.json()["errors"]
        assert problem["loc"] == ["query", "period"]
        assert "须为年或月，如 2025、2025-03" in problem["msg"]


def test_a_day_that_is_none_is_refused_everywhere(api: Api) -> None:
    days = ("energy", "totals", "revisions", "meter-events")
    for path in (*(f"{PATH}/{noun}" for noun in days), "/v1/ledger", f"/v1/regions/{COUNTY}/totals"):
        assert is_problem(api.get(path, from_="2025-02-30"), 422, "validation")
        assert is_problem(api.get(path, from_="2025-02-02", to="2025-02-02"), 422, "bad-request")


def test_intensities_are_filtered_and_paged(api: Api) -> None:
    first = api.get(f"{PATH}/intensity", year=2025, limit=2).json()
    assert (len(first["intensities"]), first["next"]) == (2, 2)
    net = api.get(
        f"{PATH}/intensity", scope="net", basis="carbon", denominator="output_value_comparable"
    ).json()
    assert {(row["scope"], row["basis"]) for row in net["intensities"]} == {("net", "carbon")}
    assert api.get(f"{PATH}/intensity", year=1999).json()["intensities"] == []


def test_an_enterprise_of_which_nothing_is_known_opens_into_nothing(tmp_path: Path) -> None:
    with works_served(tmp_path) as (api, works):
        more = rows(ENTERPRISES, enterprise_row(A, name="新厂", active_from=AT))
        registry = works.registry
        both = replace(
            registry, enterprises=registry.enterprises.vstack(more.select(registry.enterprises.columns))
        )
        api.state.save_registry(both, at=AT)
        path = f"/v1/enterprises/{A}"
        tree = api.get(f"{path}/explanation", measure="total", basis="carbon").json()
        assert (tree["value"], tree["children"], tree["coverage"]) == (None, [], None)
        totals = api.get(f"{path}/totals").json()
        assert (totals["days"], totals["published"], totals["scopes"][0]["carbon"]["t"]) == (0, False, None)
        for noun, listed in (
            ("progress", "progress"),
            ("intensity", "intensities"),
            ("measures", "measures"),
        ):
            assert api.get(f"{path}/{noun}").json()[listed] == []


def test_what_open_proposals_would_add_stands_beside_the_total(tmp_path: Path) -> None:
    with works_served(tmp_path) as (api, works):
        day = day_number(dt.date(2025, 1, 15))
        api.state.close_period(PLANT, day, day + 1, "王会计", "月结", AT)
        recommit(api.state, works, day, 1_000_000)
        shown = api.get(f"{PATH}/totals", **QUARTER).json()
        assert shown["pending"] == {"days": 1, "calorific_tce": 1.0, "equivalent_tce": 1.0, "carbon_t": 1.0}
        assert shown["scopes"][0]["calorific"]["tce"] == 88.75845  # what is in force
        tree = explained(api, measure="total", basis="calorific", **QUARTER)
        assert (tree["exact"], of_kind(tree, "residual")) == (88_758_450, [])
