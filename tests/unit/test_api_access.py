"""Who is let in, what everybody may ask, and how errors are answered."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.auth import Principal, TokenAuthenticator
from api.errors import ANSWERS, ApiError, answer_for, headers_of, problem_of
from nengshao.domain import errors
from nengshao.domain.errors import StoreRejected, StoreUnavailable
from tests.support.service import Api, is_problem, served
from tests.support.state import A

OPEN = {"/health/live", "/health/ready"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path) as service:
        yield service


def operations(api: Api) -> Iterator[tuple[str, str]]:
    for path, methods in api.app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path


def test_every_operation_but_health_wants_a_token(api: Api) -> None:
    api.token = None
    for method, path in operations(api):
        response = api.send(method, path)
        if path in OPEN:
            assert response.status_code == 200, path
        else:
            assert is_problem(response, 401, "not-authenticated"), path
            assert response.headers["www-authenticate"] == 'Bearer realm="nengshao"'


def test_every_operation_but_health_says_in_the_document_that_it_wants_a_token(api: Api) -> None:
    for path, methods in api.app.openapi()["paths"].items():
        for operation in methods.values():
            assert bool(operation.get("security")) == (path not in OPEN), path


@pytest.mark.parametrize("token", ["wrong", "let-me-in-", "", "密码"])
def test_a_wrong_token_opens_nothing(api: Api, token: str) -> None:
    api.token = None
    response = api.send("GET", "/v1/alerts", headers={"Authorization": f"Bearer {token}".encode()})
    assert is_problem(response, 401, "not-authenticated")


def test_another_scheme_than_bearer_opens_nothing(api: Api) -> None:
    api.token = None
    response = api.send("GET", "/v1/alerts", headers={"Authorization": "Basic let-me-in"})
    assert is_problem(response, 401, "not-authenticated")


def test_without_a_configured_token_only_health_answers(tmp_path: Path) -> None:
    with served(tmp_path, authenticator=None) as api:
        for method, path in [*operations(api), ("GET", "/docs"), ("GET", "/openapi.json")]:
            response = api.send(method, path)
            if path in OPEN:
                assert response.status_code == 200
            else:
                assert is_problem(response, 503, "access-not-configured"), path


def test_the_authenticator_keeps_the_hash_of_the_token_only() -> None:
    authenticator = TokenAuthenticator.for_token("secret-of-mine")
    assert authenticator.principal_of("secret-of-mine") == Principal("token")
    assert authenticator.principal_of("secret-of-min") is None
    assert "secret-of-mine" not in repr(vars(authenticator))


def test_a_principal_without_limits_sees_all_and_one_with_limits_only_theirs() -> None:
    everyone, someone = Principal("all"), Principal("one", frozenset({"b", "a"}))
    assert everyone.scope(None) is None
    assert everyone.scope("x") == ["x"]
    assert someone.scope(None) == ["a", "b"]
    assert someone.scope("a") == ["a"]
    assert someone.scope("x") == []
    assert someone.may_see("b")
    assert not someone.may_see("x")


def test_the_process_is_alive_and_its_parts_are_ready(api: Api) -> None:
    assert api.get("/health/live").json() == {"status": "ok"}
    assert api.get("/health/ready").json() == {"status": "ok", "checks": {"state": "ok"}}


def test_a_part_that_is_away_makes_the_service_not_ready_and_says_no_more_than_which(tmp_path: Path) -> None:
    def broken() -> None:
        raise StoreUnavailable("postgres at 10.0.0.7 is away")

    with served(tmp_path, checks={"readings": broken, "state": lambda: None}) as api:
        response = api.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "checks": {"readings": "unavailable", "state": "ok"}}


class BrokenState:
    """A state store of which every method fails in the same way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


def send_to_broken(api: Api, error: Exception, path: str = "/v1/alerts") -> Any:
    return api.send("GET", path, app=api.app_over(BrokenState(error)))


def test_an_unavailable_store_is_answered_with_when_to_come_back(api: Api) -> None:
    response = send_to_broken(api, StoreUnavailable("influx at 10.0.0.7", retry_after=2.2))
    assert is_problem(response, 503, "store-unavailable")
    assert response.headers["retry-after"] == "3"
    assert "10.0.0.7" not in response.text


def test_an_unavailable_store_that_does_not_say_when_is_asked_again_after_five_seconds(api: Api) -> None:
    assert send_to_broken(api, StoreUnavailable("away")).headers["retry-after"] == "5"


@pytest.mark.parametrize("error", [RuntimeError("secret path"), StoreRejected("secret row")])
def test_what_nobody_planned_is_answered_without_internals(api: Api, error: Exception) -> None:
    response = send_to_broken(api, error)
    assert response.status_code == response.json()["status"] == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


def test_an_error_of_the_store_leaves_a_trace_in_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    send_to_broken(api, StoreRejected("row 7"))
    assert [record.exc_info is not None for record in caplog.records if record.name == "api.errors"] == [True]


def test_an_unknown_address_and_a_wrong_method_are_problems_too(api: Api) -> None:
    unknown, wrong = api.get("/v2/nothing"), api.post("/v1/alerts")
    assert unknown.status_code == unknown.json()["status"] == 404
    assert unknown.json()["type"] == "about:blank"
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert {unknown.headers["content-type"], wrong.headers["content-type"]} == {"application/problem+json"}


def test_a_parameter_that_is_not_valid_is_named(api: Api) -> None:
    response = api.get("/v1/alerts", limit=0)
    assert is_problem(response, 422, "validation")
    assert [problem["loc"] for problem in response.json()["errors"]] == [["query", "limit"]]


def test_a_parameter_that_is_unknown_is_refused(api: Api) -> None:
    response = api.get("/v1/alerts", stat="firing")
    assert is_problem(response, 422, "validation")
    assert response.json()["errors"][0]["loc"] == ["query", "stat"]


def test_every_error_of_the_domain_has_an_answer_and_none_falls_to_the_last_row() -> None:
    found = vars(errors).values()
    classes = [cls for cls in found if inspect.isclass(cls) and issubclass(cls, Exception)]
    assert errors.StoreUnavailable in classes
    assert {cls for cls in classes if answer_for(cls) is ANSWERS[Exception]} == set()


def test_every_error_of_the_service_has_a_row_of_its_own() -> None:
    assert [cls for cls in ApiError.__subclasses__() if cls not in ANSWERS] == []
    assert headers_of(ApiError("一", "one")) == {}
    assert problem_of(ApiError("一", "one"), "/x").detail == "一 / one"


def test_requests_are_counted_by_the_template_of_their_route(api: Api) -> None:
    api.get(f"/v1/enterprises/{A}")
    api.get("/v1/enterprises/nobody")
    api.get("/nothing/here")
    send_to_broken(api, RuntimeError("x"))
    text = api.get("/metrics").text
    assert 'nengshao_http_requests_total{route="/v1/enterprises/{code}",status="404"} 2.0' in text
    assert 'nengshao_http_requests_total{route="unmatched",status="404"} 1.0' in text
    assert 'nengshao_http_requests_total{route="/v1/alerts",status="500"} 1.0' in text
    assert "nobody" not in text


def test_metrics_come_in_the_exposition_format(api: Api) -> None:
    response = api.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "# HELP nengshao_readings_total" in response.text
