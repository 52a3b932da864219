"""The documentation page: whole, and complete without the internet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.support.service import Api, served


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path, token=None) as service:
        yield service


def test_the_page_loads_nothing_from_anywhere(api: Api) -> None:
    response = api.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r"<(?:script|link|img|iframe|object)\b", response.text) == []
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", response.text) == ["/openapi.json"]
    assert {url for url in re.findall(r"https?://[^/\s'\"<&]+", response.text)} == {"http://nengshao.test"}
    assert "url(" not in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_shows_every_operation_in_chinese_with_a_curl_line(api: Api) -> None:
    page = unescape(api.get("/docs").text)
    document = api.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"] in page
            assert re.search(r"[\u4e00-\u9fff]", operation["summary"])
            assert re.search(r"[\u4e00-\u9fff]", operation["description"])
        assert f"'http://nengshao.test{path}" in page


def test_curl_lines_carry_the_token_the_file_and_what_is_required(api: Api) -> None:
    page = unescape(api.get("/docs").text)
    bearer = '-H "Authorization: Bearer $TOKEN"'
    assert "curl 'http://nengshao.test/health/live'" in page
    assert f"curl {bearer} 'http://nengshao.test/v1/alerts'" in page
    assert (
        f"curl -X POST {bearer} -F file=@data.csv 'http://nengshao.test/v1/readings?enterprise={{enterprise}}'"
        in page
    )


@pytest.mark.parametrize("host", ["<script>alert(1)</script>", "evil.example/'; rm -rf ~", "a b", ""])
def test_a_made_up_host_does_not_get_into_the_page(api: Api, host: str) -> None:
    page = api.send("GET", "/docs", headers={"Host": host}).text
    assert "<script" not in page
    assert "rm -rf" not in page
    assert "'http://127.0.0.1/v1/alerts'" in unescape(page)


def test_the_page_is_there_without_a_token_but_holds_no_data(api: Api) -> None:
    assert api.get("/docs").status_code == api.get("/openapi.json").status_code == 200
    assert api.get("/v1/alerts").status_code == 401


def test_no_other_documentation_is_served(api: Api) -> None:
    assert api.get("/redoc").status_code == 404
