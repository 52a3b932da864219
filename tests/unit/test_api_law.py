"""The law as data over HTTP: factors, norms, restatements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.law import load_law
from nengshao.ports import DIRTY_SCHEMA
from tests.support.service import NOW, Api, ScopedAuthenticator, served
from tests.support.state import A, registry_of, typed


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path, law=load_law()) as service:
        service.state.save_registry(registry_of(A), at=NOW)
        yield service


def test_factors_carry_edition_source_confidence_and_what_they_were_made_of(api: Api) -> None:
    query = {"carrier": "bituminous_coal", "basis": "carbon", "on": "2024-06-01"}
    rows = api.get("/v1/factors", **query).json()["factors"]
    assert rows
    for row in rows:
        assert row["edition"]
        assert row["source"]
        assert (row["label"] is None) == (row["confidence"] in ("official", "transcribed"))
        assert row["valid_from"] <= "2024-06-01"
        assert row["valid_to"] is None or row["valid_to"] > "2024-06-01"
    assert any("oxidation" in row["parts"] for row in rows)


def test_factors_are_filtered_and_paged_to_the_end(api: Api) -> None:
    seen, cursor = [], 0
    while cursor is not None:
        page = api.get("/v1/factors", cursor=cursor, limit=200).json()
        seen += [row["id"] for row in page["factors"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == len(load_law().factors.rows)
    national = api.get("/v1/factors?carrier=electricity&basis=carbon&region=&limit=1000").json()["factors"]
    assert {row["region"] for row in national} == {""}
    assert api.get("/v1/factors", on="1970-01-01").json()["factors"] == []
    assert api.get("/v1/factors", carrier="moonlight").status_code == 422


def test_norms_show_their_levels_corrections_and_sources(api: Api) -> None:
    (row,) = api.get("/v1/norms", id="cement").json()["norms"]
    # GB 16780-2021: 80 / 87 / 94 kgce/t at 75 % clinker (transcribed)
    assert (row["standard"], row["levels"]) == ("GB 16780-2021", {"1": 80.0, "2": 87.0, "3": 94.0})
    assert "clinker_ratio" in row["parameters"]
    assert row["source"]
    assert api.get("/v1/norms", id="nothing").json() == {"norms": [], "next": None}
    assert api.get("/v1/norms", limit=1).json()["next"] == 1


def test_restatements_say_what_changed_and_how_much_it_moved(api: Api) -> None:
    change = {"factor": "x", "change": "added", "fields": [], "before": None, "after": {"per_unit": "1"}}
    dirty = typed(DIRTY_SCHEMA, (A, 20_000, False), (A, 20_001, False))
    api.state.restate({"x": {"per_unit": "1"}}, [change], dirty, NOW)
    assert api.get("/v1/restatements").json() == {
        "restatements": [{"id": 1, "made_at": "2025-03-10T09:00:00+08:00", "days": 2, "changes": [change]}],
        "next": None,
    }
    api.authenticator = ScopedAuthenticator(A)
    assert api.get("/v1/restatements").json()["restatements"] == []
    assert api.get("/v1/factors").status_code == 200
    assert dt.date.fromisoformat(api.get("/v1/factors").json()["factors"][0]["valid_from"])
