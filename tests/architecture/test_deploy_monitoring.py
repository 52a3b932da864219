"""What watches the service asks for what there is: metrics, labels, sources, files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from nengshao.domain.readings import Outcome
from nengshao.notify.pipeline import Outcome as NoticeOutcome
from nengshao.settings import ApiSettings, StoreSettings
from nengshao.telemetry import Telemetry
from tests.servers.server import DEPLOY
from tests.support.deploy import CHINESE, OURS, SERVICES, mounts_of, secrets_of

PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"][0][
    "rules"
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "nengshao.json").read_text(encoding="utf-8"))
PORT = ApiSettings().port


def test_prometheus_scrapes_our_services_with_the_token() -> None:
    job, log = PROMETHEUS["scrape_configs"]
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    assert targets == [f"{name}:{PORT}" for name in OURS]
    assert log["static_configs"] == [{"targets": ["broker-log:8766"]}]
    assert "authorization" not in log, "it counts, and has no figures"
    assert job["authorization"] == {"type": "Bearer", "credentials_file": "/run/secrets/api_token"}
    assert ("api_token", "/run/secrets/api_token") in secrets_of(SERVICES["prometheus"])
    mounted = dict(mounts_of(SERVICES["prometheus"])).values()
    assert set(PROMETHEUS["rule_files"]) < set(mounted)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_operational_alert_asks_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    assert unknown_in_promql(rule["expr"]) == set()
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert all(CHINESE.search(text) and " / " in text for text in rule["annotations"].values())


def test_every_metric_that_an_alert_or_a_panel_asks_for_is_set_somewhere() -> None:
    asked = " ".join([rule["expr"] for rule in RULES] + promql_of_dashboard())
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("nengshao", "ingest", "analytics", "api")
        for path in (DEPLOY.parent / folder).rglob("*.py")
        if path.name != "telemetry.py"
    )
    attributes = [name for name in vars(Telemetry()) if name != "registry" and f"nengshao_{name}" in asked]
    assert attributes
    assert [name for name in attributes if not re.search(rf"telemetry\.{name}\b", sources)] == []


def test_operational_panels_ask_for_metrics_that_exist() -> None:
    assert len(promql_of_dashboard()) > 5
    assert {expr: unknown for expr in promql_of_dashboard() if (unknown := unknown_in_promql(expr))} == {}


def test_dashboard_names_its_panels_in_chinese_and_explains_them_in_english() -> None:
    panels = DASHBOARD["panels"]
    assert all(CHINESE.search(panel["title"]) for panel in panels)
    assert all(re.search(r"[A-Za-z]{3,}", panel["description"]) for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in cells_of(panel["gridPos"])]
    assert len(cells) == len(set(cells)), "two panels overlap"


def test_dashboard_asks_only_sources_that_are_provisioned() -> None:
    path = DEPLOY / "grafana" / "provisioning" / "datasources" / "nengshao.yaml"
    provisioned = yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]
    sources = {source["uid"]: source for source in provisioned}
    asked = re.findall(r'"uid": "(nengshao-\w+)"', json.dumps(DASHBOARD))
    assert set(asked) == set(sources)
    assert {urlsplit(source["url"]).hostname for source in provisioned} <= set(SERVICES)
    token = sources["nengshao-results"]["secureJsonData"]["token"]
    assert token[len("$__file{") : -1] in {target for _, target in secrets_of(SERVICES["grafana"])}
    assert sources["nengshao-results"]["jsonData"]["defaultBucket"] == StoreSettings().influx_results_bucket


def test_grafana_finds_the_dashboard_where_it_is_mounted() -> None:
    path = DEPLOY / "grafana" / "provisioning" / "dashboards" / "nengshao.yaml"
    (provider,) = yaml.safe_load(path.read_text(encoding="utf-8"))["providers"]
    mounted = dict(mounts_of(SERVICES["grafana"]))
    assert provider["options"]["path"] == mounted["./grafana/dashboards"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{mounted['./grafana/dashboards']}/nengshao.json"


def promql_of_dashboard() -> list[str]:
    return [
        target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
        if "expr" in target
    ]


def metric_labels() -> dict[str, set[str]]:
    """The labels of every series that Prometheus gets from us."""
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    telemetry = Telemetry()
    labels = {
        collector._name: set(collector._labelnames)
        for name, collector in vars(telemetry).items()
        if name != "registry"
    }
    families = list(telemetry.registry.collect())
    assert {family.name for family in families} == set(labels)
    return {
        family.name + suffix: labels[family.name] for family in families for suffix in suffixes[family.type]
    }


def unknown_in_promql(expr: str) -> set[str]:
    """What a PromQL expression names that there is not: metrics, labels, roles and outcomes."""
    known = metric_labels()
    metrics = set(re.findall(r"\bnengshao_\w+", expr))
    labels = {"job", "role", "le"}.union(*(known.get(metric, set()) for metric in metrics))
    matchers = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', expr)
    grouped = {name for group in re.findall(r"\bby \(([^)]*)\)", expr) for name in group.split(", ")}
    outcomes = NoticeOutcome if "nengshao_notices_total" in metrics else Outcome
    real = {
        "role": set(OURS),
        "job": {"nengshao", "broker-log"},
        "outcome": {outcome.value for outcome in outcomes},
    }
    values = {f'{name}="{value}"' for name, text in matchers for value in text.split("|")
              if name in real and value not in real[name]}  # fmt: skip
    return (metrics - set(known)) | ({name for name, _ in matchers} | grouped) - labels | values


def cells_of(position: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(position["x"], position["x"] + position["w"]):
        for y in range(position["y"], position["y"] + position["h"]):
            yield x, y
