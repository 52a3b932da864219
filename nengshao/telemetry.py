"""Every Prometheus metric of Nengshao, declared in one place; one registry per application."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Telemetry:
    """The metrics of one application. Two applications in one process do not share numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.readings = Counter(
            "nengshao_readings_total",
            "Delivered readings by door, outcome and reason.",
            ["source", "outcome", "reason"],
            registry=self.registry,
        )
        self.messages = Counter(
            "nengshao_messages_total", "Messages taken from the broker.", registry=self.registry
        )
        self.in_flight = Gauge(
            "nengshao_in_flight",
            "Messages between the door and the books, by place.",
            ["place"],
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "nengshao_batch_seconds", "From a full batch to its booking.", registry=self.registry
        )
        self.retries = Counter(
            "nengshao_retries_total",
            "Attempts repeated because something was unavailable.",
            ["what"],
            registry=self.registry,
        )
        self.spool_bytes = Gauge("nengshao_spool_bytes", "Bytes in the disk spool.", registry=self.registry)
        self.lease_held = Gauge(
            "nengshao_lease_held",
            "1 while this process holds the partition's lease.",
            ["kind", "partition"],
            registry=self.registry,
        )
        self.resends = Counter(
            "nengshao_resends_total",
            "Resend requests by what became of them.",
            ["state"],
            registry=self.registry,
        )
        self.device_clocks = Gauge(
            "nengshao_device_clocks",
            "Devices by how their clock stands against ours.",
            ["state"],
            registry=self.registry,
        )
        self.broker_denials = Counter(
            "nengshao_broker_denials_total",
            "What the broker refused, by its log; enterprise empty: not registered.",
            ["kind", "enterprise"],
            registry=self.registry,
        )
        self.cycle_seconds = Histogram(
            "nengshao_cycle_seconds", "One assessment cycle.", registry=self.registry
        )
        self.dirty_days = Gauge(
            "nengshao_dirty_days", "Enterprise-days claimed by the last cycle.", registry=self.registry
        )
        self.alerts = Gauge(
            "nengshao_alerts",
            "Open alerts by rule and state.",
            ["partition", "rule", "state"],
            registry=self.registry,
        )
        self.notices = Counter(
            "nengshao_notices_total",
            "Notices by channel and outcome.",
            ["channel", "outcome"],
            registry=self.registry,
        )
        self.http_requests = Counter(
            "nengshao_http_requests_total",
            "Requests by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
