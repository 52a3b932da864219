"""Readings handed in over HTTP: kept raw in the inbox of their partition, or refused at once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from nengshao.domain.codes import partition_of
from nengshao.domain.readings import Source
from nengshao.ports import Booking
from nengshao.wire import Item, encode_message
from tests.support.service import NOW, TOKEN, Api, Chunks, ScopedAuthenticator, is_problem, served
from tests.support.state import A, B, leased, registry_of

HEAD = "enterpriseCode,dataCode,statType,statDate,dataValue\n"
CSV = f"{HEAD}{A},0000000001010011,2,2025-02-01,5\n".encode()
ITEM = Item("0000000002330011", 1.5, 4, 0, "2025-03-01 00:00:00", "2025-03-01 00:01:00", 1, True)
MESSAGE = encode_message(A, "collector-1", [ITEM], 7)
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PATH = f"/v1/readings?enterprise={A}"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path) as service:
        service.state.save_registry(registry_of(A, B), at=NOW)
        yield service


def send(
    api: Api, raw: bytes, content_type: str = "text/csv", path: str = PATH, **headers: str
) -> httpx.Response:
    return api.post(path, content=raw, headers={"Content-Type": content_type} | headers)


def send_file(api: Api, raw: bytes, name: str, field: str = "file") -> httpx.Response:
    return api.post(PATH, files={field: (name, raw, "application/octet-stream")})


def xlsx() -> bytes:
    book = io.BytesIO()
    pl.read_csv(CSV, infer_schema=False).write_excel(book)
    return book.getvalue()


def test_a_table_is_kept_raw_with_the_time_of_its_acceptance(api: Api) -> None:
    response = send_file(api, CSV, "二月.csv")
    (entry,) = api.state.take_inbox(0, 10)
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/uploads/{entry.inbox_id}"
    assert response.json() == {
        "id": entry.inbox_id, "state": "waiting", "enterprise": A, "accepted_at": "2025-03-10T09:00:00+08:00",
        "submitted_by": "token", "receipt": None,
    }  # fmt: skip
    assert (entry.source, entry.enterprise, entry.format) == (Source.API, A, "csv")
    assert (entry.topic, entry.device) == ("", "")
    assert (entry.raw, entry.accepted_at, entry.submitted_by) == (CSV, NOW, "token")


@pytest.mark.parametrize(
    ("raw", "content_type", "kept_as"),
    [
        (CSV, "text/csv; charset=utf-8", "csv"),
        (xlsx(), XLSX_TYPE, "xlsx"),
        (MESSAGE, "application/json", "json"),
    ],
    ids=["csv", "xlsx", "json"],
)
def test_a_body_is_taken_as_its_media_type_says(
    api: Api, raw: bytes, content_type: str, kept_as: str
) -> None:
    assert send(api, raw, content_type).status_code == 202
    (entry,) = api.state.take_inbox(0, 10)
    assert (entry.format, entry.raw) == (kept_as, raw)


@pytest.mark.parametrize(("name", "kept_as"), [("a.CSV", "csv"), ("a.b.xlsx", "xlsx"), ("m.json", "json")])
def test_a_file_is_taken_as_its_name_says(api: Api, name: str, kept_as: str) -> None:
    assert send_file(api, MESSAGE, name).status_code == 202
    assert [entry.format for entry in api.state.take_inbox(0, 10)] == [kept_as]


def test_a_json_message_is_kept_with_the_topic_it_would_have_come_on(api: Api) -> None:
    send(api, MESSAGE, "application/json")
    (entry,) = api.state.take_inbox(0, 10)
    assert (entry.topic, entry.device) == (f"nhjc/v1/{A}/collector-1/data", "collector-1")


def test_an_upload_goes_to_the_partition_of_its_enterprise(tmp_path: Path) -> None:
    with served(tmp_path, partitions=8) as api:
        api.state.save_registry(registry_of(A, B), at=NOW)
        for code in (A, B):
            send(api, CSV, path=f"/v1/readings?enterprise={code}")
        assert [entry.enterprise for entry in api.state.take_inbox(partition_of(A, 8), 10)] == [A]
        assert [entry.enterprise for entry in api.state.take_inbox(partition_of(B, 8), 10)] == [B]


def test_the_same_content_is_accepted_once_and_keeps_its_first_time(api: Api) -> None:
    first = send(api, CSV).json()
    api.clock.move_to(NOW + 60)
    assert send(api, CSV).json() == first
    assert len(api.state.take_inbox(0, 10)) == 1


def test_a_new_key_makes_the_same_content_a_new_delivery(api: Api) -> None:
    without = send(api, CSV).json()["id"]
    first, second = (send(api, CSV, **{"Idempotency-Key": "2"}).json()["id"] for _ in range(2))
    assert without != first == second


def test_a_key_used_again_for_other_content_loses_nothing(api: Api) -> None:
    for raw in (CSV, CSV + b"\n"):
        assert send(api, raw, **{"Idempotency-Key": "1"}).status_code == 202
    assert [entry.raw for entry in api.state.take_inbox(0, 10)] == [CSV, CSV + b"\n"]


def test_a_key_of_one_enterprise_is_not_that_of_another(api: Api) -> None:
    ids = {
        send(api, CSV, path=f"/v1/readings?enterprise={code}", **{"Idempotency-Key": "1"}).json()["id"]
        for code in (A, B)
    }
    assert len(ids) == 2


def test_the_receipt_is_there_once_the_holder_has_booked_it(api: Api) -> None:
    upload = send(api, CSV).json()["id"]
    assert api.get(f"/v1/uploads/{upload}").json()["state"] == "waiting"
    booking = Booking(at=NOW, inbox_done={upload: '{"sha256": "ab", "stored": 1}'})
    api.state.book(leased(api.state), booking)
    shown = api.get(f"/v1/uploads/{upload}").json()
    assert (shown["state"], shown["receipt"]) == ("booked", {"sha256": "ab", "stored": 1})


@pytest.mark.parametrize("upload", ["999", "0", "abc", str(2**63)])
def test_an_upload_that_never_was_has_no_receipt(api: Api, upload: str) -> None:
    assert api.get(f"/v1/uploads/{upload}").status_code == (404 if upload == "999" else 422)


@pytest.mark.parametrize("enterprise", ["nobody", "91350100M000100Y43"])
def test_an_enterprise_that_is_not_registered_is_not_found(api: Api, enterprise: str) -> None:
    assert is_problem(send(api, CSV, path=f"/v1/readings?enterprise={enterprise}"), 404, "not-found")


def test_the_enterprise_must_be_named(api: Api) -> None:
    assert is_problem(send(api, CSV, path="/v1/readings"), 422, "validation")


@pytest.mark.parametrize("content_type", ["text/plain", "application/pdf", ""])
def test_an_unknown_media_type_is_refused_at_once(api: Api, content_type: str) -> None:
    assert is_problem(send(api, CSV, content_type), 415, "unknown-format")


@pytest.mark.parametrize("name", ["table.xls", "table", "table.csv.exe"])
def test_an_unknown_kind_of_file_is_refused_at_once(api: Api, name: str) -> None:
    assert is_problem(send_file(api, CSV, name), 415, "unknown-format")


def test_nothing_is_refused_as_empty(api: Api) -> None:
    assert is_problem(send(api, b""), 422, "upload-empty")
    assert is_problem(send_file(api, b"", "a.csv"), 422, "upload-empty")


def test_a_csv_in_gbk_is_refused_at_once_and_nothing_waits(api: Api) -> None:
    for response in (
        send(api, CSV + "一号炉".encode("gbk")),
        send_file(api, "一号炉".encode("gbk"), "a.csv"),
    ):
        assert is_problem(response, 422, "not-utf-8")
        assert "另存为" in response.json()["detail"]
    assert api.state.take_inbox(0, 9) == []


def test_a_form_without_the_file_or_without_form_is_refused(api: Api) -> None:
    assert is_problem(send_file(api, CSV, "a.csv", field="table"), 422, "bad-request")
    assert is_problem(send(api, b"not a form", "multipart/form-data; boundary=x"), 422, "bad-request")
    assert is_problem(send(api, b"not a form", "multipart/form-data"), 422, "bad-request")


@pytest.mark.parametrize(
    "raw",
    [
        b"{", b"[]", b"null", b"\xff", b"{}", b'{"deviceId": "d1"}', b"[" * 5000,
        encode_message(B, "d1", [ITEM], None), encode_message(A, "d/1", [ITEM], None),
    ],
)  # fmt: skip
def test_json_that_says_nothing_of_its_sender_or_of_another_is_refused(api: Api, raw: bytes) -> None:
    assert is_problem(send(api, raw, "application/json"), 422, "bad-request")
    assert api.state.take_inbox(0, 10) == []


def test_a_body_that_announces_too_much_is_not_read(api: Api) -> None:
    response = send(api, b"x" * (api.max_upload_bytes + 1))
    assert is_problem(response, 413, "upload-too-large")


@pytest.mark.parametrize("content_type", ["text/csv", "multipart/form-data; boundary=x"])
def test_a_body_of_untold_length_is_given_up_once_it_is_too_long(api: Api, content_type: str) -> None:
    prefix = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    body: Any = Chunks(1000, 1000, prefix if "multipart" in content_type else b"")
    assert is_problem(send(api, body, content_type), 413, "upload-too-large")
    assert body.taken <= 12
    assert api.state.take_inbox(0, 10) == []


def test_a_body_of_the_greatest_size_is_taken(api: Api) -> None:
    assert send(api, b"x" * api.max_upload_bytes).status_code == 202


@pytest.mark.parametrize("token", [None, "wrong"])
def test_not_a_byte_is_read_of_a_stranger(api: Api, token: str | None) -> None:
    api.token = token
    body: Any = Chunks(1000, 1000)
    assert is_problem(send(api, body), 401, "not-authenticated")
    assert body.taken == 0


def test_a_caller_uploads_for_and_sees_uploads_of_their_own_enterprises_only(api: Api) -> None:
    upload = send(api, CSV).json()["id"]
    api.authenticator = ScopedAuthenticator(B)
    assert is_problem(send(api, CSV), 404, "not-found")
    assert is_problem(api.get(f"/v1/uploads/{upload}"), 404, "not-found")
    own = send(api, CSV, path=f"/v1/readings?enterprise={B}").json()
    assert own["submitted_by"] == "inspector"
    assert api.get(f"/v1/uploads/{own['id']}").status_code == 200


def test_twenty_uploads_at_once_are_each_kept_once(api: Api) -> None:
    async def all_at_once() -> list[int]:
        transport = httpx.ASGITransport(api.app)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            sent = [client.post(PATH, content=CSV + b"\n" * (n // 2)) for n in range(20)]
            return [response.status_code for response in await asyncio.gather(*sent)]

    assert asyncio.run(all_at_once()) == [202] * 20
    assert len(api.state.take_inbox(0, 100)) == 10
