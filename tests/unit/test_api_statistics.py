"""Statistics over HTTP: handed in as JSON or tables, kept with every version, decided by people."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from api.auth import Principal
from nengshao.domain.norms import NormParameter, NormTable, ParameterKind
from nengshao.domain.time import iso_text, parse_instant
from nengshao.frames import PRODUCTS
from nengshao.registry import ENTERPRISES, REGIONS
from tests.support.plant import LAW
from tests.support.service import NOW, TOKEN, Api, ScopedAuthenticator, is_problem, served
from tests.support.state import A, B, enterprise_row, registry_of, rows

REGION = "999999"
PATH = "/v1/statistics"
OUTPUT: dict[str, Any] = {
    "subject": A, "indicator": "output", "item": "clinker", "first": "2025-01-01", "end": "2025-02-01",
    "value": 1234.5, "unit": "t", "source": "月报",
}  # fmt: skip
GDP: dict[str, Any] = {
    "subject": REGION, "indicator": "gdp_comparable", "first": "2024-10-01", "end": "2025-01-01",
    "value": "1,000", "unit": "1e8CNY", "source": "公报", "state": "preliminary",
}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    altitude = NormParameter("altitude", "海拔", "altitude", "m", ParameterKind.CONSTANT)
    norms = NormTable(LAW.norms.rows, (*LAW.norms.parameters, altitude))
    with served(tmp_path, law=replace(LAW, norms=norms)) as service:
        product = {
            "enterprise": A,
            "product": "clinker",
            "name": "熟料",
            "unit": "t",
            "norm": "",
            "valid_from": 0,
        }
        registry = registry_of(
            A, B,
            enterprises=rows(ENTERPRISES, *(enterprise_row(code, region=REGION) for code in (A, B))),
            regions=rows(REGIONS, {"code": REGION, "name": "某县", "parent": None}),
            products=rows(PRODUCTS, product | {"valid_from": 0}),
        )  # fmt: skip
        service.state.save_registry(registry, at=NOW)
        yield service


def put(api: Api, *given: dict[str, Any]) -> httpx.Response:
    return api.post(PATH, content=json.dumps(given), headers={"Content-Type": "application/json"})


def listed(api: Api, subject: str = A, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(PATH, subject=subject, **query).json()["statistics"]
    return found


def decide(api: Api, version: int, state: str, **key: Any) -> httpx.Response:
    given = {"subject": A, "indicator": "output", "item": "clinker", "first": "2025-01-01"} | key
    return api.post(
        f"{PATH}/decisions", json=given | {"version": version, "state": state, "reason": "核对无误"}
    )


def test_an_enterprises_figure_is_submitted_under_the_time_of_its_acceptance(api: Api) -> None:
    answer = put(api, OUTPUT)
    assert (answer.status_code, answer.json()) == (
        201, {"accepted": 1, "unchanged": 0, "accepted_at": "2025-03-10T09:00:00+08:00"},
    )  # fmt: skip
    assert listed(api) == [
        {
            "subject": A, "indicator": "output", "item": "clinker", "first": "2025-01-01",
            "end": "2025-02-01", "version": NOW, "accepted_at": "2025-03-10T09:00:00+08:00",
            "value": 1234.5, "unit": "t", "state": "submitted", "is_in_force": True, "source": "月报",
            "submitted_by": "token",
            "decided_by": None, "decided_at": None, "note": None,
        }
    ]  # fmt: skip


def test_the_same_figure_sent_again_is_no_new_version_and_another_value_is_one(api: Api) -> None:
    put(api, OUTPUT)
    api.clock.move_to(NOW + 60)
    assert put(api, OUTPUT).json()["unchanged"] == 1
    assert put(api, OUTPUT | {"value": "1234.500"}).json()["unchanged"] == 1
    assert put(api, OUTPUT | {"value": 1300}).json()["accepted"] == 1
    assert [(row["value"], row["is_in_force"]) for row in listed(api)] == [(1234.5, False), (1300.0, True)]


def test_a_decision_stands_with_who_when_and_why(api: Api) -> None:
    put(api, OUTPUT)
    assert decide(api, NOW, "approved").status_code == 204
    (row,) = listed(api)
    assert (row["state"], row["decided_by"], row["decided_at"], row["note"]) == (
        "approved", "token", iso_text(NOW), "核对无误",
    )  # fmt: skip
    assert put(api, OUTPUT).json()["unchanged"] == 1  # an approved figure handed in again stays approved


def test_what_was_rejected_is_kept_and_never_used(api: Api) -> None:
    put(api, OUTPUT)
    decide(api, NOW, "rejected")
    assert [(row["state"], row["is_in_force"]) for row in listed(api)] == [("rejected", False)]
    assert put(api, OUTPUT).json()["accepted"] == 1
    assert [row["is_in_force"] for row in listed(api)] == [False, True]


def test_a_correction_in_the_same_second_is_a_version_of_its_own(api: Api) -> None:
    put(api, OUTPUT)
    assert put(api, OUTPUT | {"value": 1}).json()["accepted"] == 1
    assert [(row["version"], row["value"], row["is_in_force"]) for row in listed(api)] == [
        (NOW, 1234.5, False), (NOW + 1, 1.0, True),
    ]  # fmt: skip


def test_periods_that_overlap_in_part_are_refused_with_both(api: Api) -> None:
    put(api, OUTPUT)
    response = put(api, OUTPUT | {"first": "2025-01-15", "end": "2025-03-01"})
    assert is_problem(response, 409, "not-possible")
    assert "2025-01-15" in response.json()["detail"]


def test_a_region_states_preliminary_and_final_figures(api: Api) -> None:
    assert put(api, GDP).status_code == 201
    api.clock.move_to(NOW + 60)
    assert put(api, GDP | {"state": "final"}).json()["accepted"] == 1
    assert [(row["value"], row["state"], row["is_in_force"]) for row in listed(api, REGION)] == [
        (1000.0, "preliminary", False), (1000.0, "final", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"indicator": "gdp_comparable", "item": "", "unit": "1e4CNY"}, "不报此指标"),
        ({"item": "cement"}, "没有这个分项"),
        ({"unit": "kg"}, "单位应为"),
        ({"value": -1}, "不得为负"),
        ({"value": 0.0001}, "精度更细"),
        ({"value": "many"}, "不是数字"),
        ({"value": 10**17}, "数字过大"),
        ({"end": "2025-01-01"}, "期间"),
        ({"first": "1900-01-01"}, "期间"),
        ({"first": "someday"}, "不是日期"),
        ({"state": "final"}, "企业留空"),
        ({"state": "approved"}, "企业留空"),
        ({"source": ""}, "必填"),
        ({"subject": "nobody"}, "统一社会信用代码有误"),
        ({"colour": "red"}, "未知的列"),
        ({"indicator": "norm_parameter", "item": "clinker/height", "unit": "%"}, "没有这个分项"),
        ({"indicator": "norm_parameter", "item": "cement/ratio", "unit": "%"}, "没有这个分项"),
        ({"indicator": "value_added", "item": "clinker", "unit": "1e4CNY"}, "没有这个分项"),
    ],
)
def test_a_row_that_cannot_stand_is_named_and_nothing_is_taken(
    api: Api, change: dict[str, Any], problem: str
) -> None:
    response = put(api, OUTPUT | {"first": "2025-02-01", "end": "2025-03-01"}, OUTPUT | change)
    assert is_problem(response, 422, "rows")
    assert "第 2 行 row 2" in response.json()["detail"]
    assert problem in response.json()["detail"]
    assert listed(api) == []


@pytest.mark.parametrize(
    "change",
    [{"state": None}, {"item": "total"}, {"unit": "t"}, {"indicator": "energy_consumption", "item": "x"}],
)
def test_a_regions_row_that_cannot_stand_is_named(api: Api, change: dict[str, Any]) -> None:
    assert is_problem(put(api, GDP | change), 422, "rows")


def test_the_same_period_twice_in_one_upload_is_refused(api: Api) -> None:
    assert "报了两次" in put(api, OUTPUT, OUTPUT | {"value": 1}).json()["detail"]


@pytest.mark.parametrize("raw", [b"{}", b"[1]", b"[]", b"not json", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_list_of_rows_is_refused(api: Api, raw: bytes) -> None:
    api.max_upload_bytes = 1_000_000
    assert is_problem(api.post(PATH, content=raw, headers={"Content-Type": "application/json"}), 422, "rows")


def test_a_table_is_read_like_json(api: Api) -> None:
    head = "subject,indicator,item,first,end,value,unit,source"
    csv = f'\ufeff{head}\n{A},output,clinker,2025/1/1,2025-02-01,"1,234.5",t,月报\n,,,,,,,\n'.encode()
    assert api.post(PATH, content=csv, headers={"Content-Type": "text/csv"}).json()["accepted"] == 1
    book = io.BytesIO()
    pl.DataFrame([{key: str(value) for key, value in OUTPUT.items()}]).write_excel(book)
    again = api.post(PATH, files={"file": ("产量.xlsx", book.getvalue(), "application/octet-stream")})
    assert again.json() == {"accepted": 0, "unchanged": 1, "accepted_at": "2025-03-10T09:00:00+08:00"}


@pytest.mark.parametrize(
    "said",
    [
        {"first": "2025-03-01", "end": "2025-03-11"},  # NOW is in that last day
        {"first": "2025-03-01", "last": "2025-03-10"},
        {"period": "2025-03"},
    ],
)
def test_a_period_that_has_not_ended_cannot_have_a_figure_yet(api: Api, said: dict[str, str]) -> None:
    row = {name: value for name, value in OUTPUT.items() if name not in ("first", "end")} | said
    refused = put(api, OUTPUT, row)
    assert is_problem(refused, 422, "rows")
    assert "第 2 行 row 2: 期间尚未结束" in refused.json()["detail"]
    assert listed(api) == []
    api.clock.move_to(parse_instant("2025-04-01T00:00:00+08:00"))
    assert put(api, row).status_code == 201


def test_a_period_that_ended_with_the_day_before_can_have_one(api: Api) -> None:
    assert put(api, OUTPUT | {"first": "2025-03-01", "end": "2025-03-10"}).status_code == 201


def test_a_parameter_that_holds_on_every_day_may_be_stated_ahead_and_a_mean_may_not(api: Api) -> None:
    year = {"indicator": "norm_parameter", "first": "2025-01-01", "end": "2026-01-01", "value": 80}
    assert put(api, OUTPUT | year | {"item": "clinker/altitude", "unit": "m"}).status_code == 201
    mean = put(api, OUTPUT | year | {"item": "clinker/ratio", "unit": "%"})
    assert "尚未结束（至 2025-12-31）" in mean.json()["detail"]


@pytest.mark.parametrize(
    ("said", "first", "end"),
    [
        ({"first": "2025-01-01", "last": "2025-01-31"}, "2025-01-01", "2025-02-01"),
        ({"first": "2025-01-31", "last": "2025-01-31"}, "2025-01-31", "2025-02-01"),
        ({"period": "2024"}, "2024-01-01", "2025-01-01"),
        ({"period": "2024-02"}, "2024-02-01", "2024-03-01"),
        ({"period": "2024-12"}, "2024-12-01", "2025-01-01"),
        ({"period": "2024Q4"}, "2024-10-01", "2025-01-01"),
        ({"period": "２０２４年2月"}, "2024-02-01", "2024-03-01"),
    ],
)
def test_a_period_is_said_in_one_of_three_ways(api: Api, said: dict[str, str], first: str, end: str) -> None:
    row = {name: value for name, value in OUTPUT.items() if name not in ("first", "end")}
    assert put(api, row | said).status_code == 201
    (kept,) = listed(api, from_="2024-01-01", to="2025-03-01")
    assert (kept["first"], kept["end"]) == (first, end)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({}, "三者之一"),
        ({"first": "2025-01-01"}, "三者之一"),
        ({"end": "2025-02-01"}, "三者之一"),
        ({"first": "2025-01-01", "end": "2025-02-01", "last": "2025-01-31"}, "三者之一"),
        ({"first": "2025-01-01", "end": "2025-02-01", "period": "2025-01"}, "三者之一"),
        ({"last": "2025-01-31", "period": "2025-01"}, "三者之一"),
        ({"period": "2025-13"}, "不是期间"),
        ({"period": "2025Q5"}, "不是期间"),
        ({"period": "Jan-25"}, "不是期间"),
        ({"first": "2025-01-31", "last": "2025-01-30"}, "不为空"),
    ],
)
def test_a_period_said_in_no_way_or_in_two_is_refused(api: Api, said: dict[str, str], problem: str) -> None:
    row = {name: value for name, value in OUTPUT.items() if name not in ("first", "end")}
    response = put(api, row | said)
    assert is_problem(response, 422, "rows")
    assert "第 1 行 row 1" in response.json()["detail"]
    assert problem in response.json()["detail"]


def test_the_number_of_a_tables_row_is_its_line_in_the_file(api: Api) -> None:
    head = "subject,indicator,item,period,value,unit,source"
    csv = f"{head}\n{A},output,clinker,2025-01,1,t,月报\n,,,,,,\n{A},output,clinker,2025-02,x,t,月报\n"
    refused = api.post(PATH, content=csv.encode(), headers={"Content-Type": "text/csv"})
    assert 'row 4, value "x"' in refused.json()["detail"]


def test_a_csv_as_excel_saves_it_in_china_is_refused_with_what_to_do(api: Api) -> None:
    csv = f"subject,indicator,item,period,value,unit,source\n{A},output,clinker,2025-01,1,t,月报\n"
    refused = api.post(PATH, content=csv.encode("gbk"), headers={"Content-Type": "text/csv"})
    assert is_problem(refused, 422, "not-utf-8")
    assert "第 2 行" in refused.json()["detail"]
    assert "CSV UTF-8" in refused.json()["detail"]
    assert listed(api) == []


def test_a_table_that_cannot_be_read_is_refused(api: Api) -> None:
    files = {"file": ("a.xlsx", b"not a workbook", "application/octet-stream")}
    assert is_problem(api.post(PATH, files=files), 422, "rows")
    assert is_problem(
        api.post(PATH, content=b"x", headers={"Content-Type": "text/plain"}), 415, "unknown-format"
    )
    api.max_upload_bytes = 10
    big = api.send(
        "POST", PATH, app=api.app_over(api.state), content=b"x" * 11, headers={"Content-Type": "text/csv"}
    )
    assert is_problem(big, 413, "upload-too-large")


def test_a_list_is_narrowed_and_paged(api: Api) -> None:
    months = [("2025-01-01", "2025-02-01"), ("2025-02-01", "2025-03-01"), ("2024-01-01", "2024-02-01")]
    put(api, *(OUTPUT | {"first": first, "end": end} for first, end in months))
    put(api, OUTPUT | {"indicator": "norm_parameter", "item": "clinker/ratio", "unit": "%", "value": 80})
    assert len(listed(api)) == 4
    assert [row["item"] for row in listed(api, indicator="norm_parameter")] == ["clinker/ratio"]
    assert len(listed(api, from_="2024-01-01", to="2025-01-01")) == 1
    page = api.get(PATH, subject=A, limit=3).json()
    assert (len(page["statistics"]), page["next"]) == (3, 3)
    assert api.get(PATH, subject=A, from_="2000-01-01", to="2020-01-01").status_code == 422
    assert api.get(PATH).status_code == 422


def test_a_version_that_there_is_not_is_not_found(api: Api) -> None:
    assert is_problem(decide(api, 1, "approved"), 404, "not-found")
    assert decide(api, NOW, "maybe").status_code == 422


def test_a_figure_that_was_rejected_cannot_stand_again_over_another(api: Api) -> None:
    put(api, OUTPUT)
    decide(api, NOW, "rejected")
    put(api, OUTPUT | {"first": "2025-01-15", "end": "2025-03-01"})
    assert is_problem(decide(api, NOW, "approved"), 409, "not-possible")


class Looker(Principal):
    """Somebody who sees everything and decides nothing."""

    def may_decide(self, subject: str) -> bool:
        return not subject


class LookerAtDoor:
    def principal_of(self, credential: str) -> Principal | None:
        return Looker("looker") if credential == TOKEN else None


def test_who_may_not_decide_may_hand_in_their_own_and_nothing_else(api: Api) -> None:
    api.authenticator = LookerAtDoor()
    assert put(api, OUTPUT).status_code == 201
    assert is_problem(put(api, GDP), 403, "not-allowed")
    assert is_problem(decide(api, NOW, "approved"), 403, "not-allowed")


def test_a_caller_hands_in_and_sees_their_own_only(api: Api) -> None:
    api.authenticator = ScopedAuthenticator(B)
    for response in (
        put(api, OUTPUT),
        put(api, GDP),
        api.get(PATH, subject=A),
        api.get(PATH, subject=REGION),
    ):
        assert is_problem(response, 404, "not-found")
    assert is_problem(decide(api, NOW, "approved"), 404, "not-found")
    mine = {"subject": B, "indicator": "output_value", "item": "", "unit": "1e4CNY"}
    assert put(api, OUTPUT | mine).status_code == 201
    assert is_problem(put(api, OUTPUT | mine, OUTPUT), 404, "not-found")
