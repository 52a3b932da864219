"""What the rules said: progress, intensity, measures, alerts with their history, frozen explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.alerts import Alert, AlertState, Step, Transition
from nengshao.frames import INTENSITY, MEASURES, PROGRESS, Contract
from nengshao.ports import JudgementCommit, Lease
from nengshao.stores.state.bulk import (
    columns_of,
    delete_each,
    frame_of,
    rows_of,
    run_many,
    select_among,
    upsert,
)
from nengshao.stores.state.leases import check_lease
from nengshao.stores.state.outbox import write_notices
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import (
    alert_events,
    alerts,
    explanations,
    intensity,
    judge_todos,
    measures,
    progress,
)

_FIGURES: Final = ((progress, PROGRESS), (intensity, INTENSITY), (measures, MEASURES))

_OPEN: Final = (AlertState.PENDING.value, AlertState.FIRING.value)


class SqlAlerts(Part):
    """Judgements in, alerts out."""

    def commit_judgement(self, lease: Lease, commit: JudgementCommit) -> None:
        """All or nothing. A transition, an explanation or a notice that is there already stays as it is.

        Raises: LeaseLost.
        """
        judged = sorted(commit.enterprises)
        with self._db.writing() as connection:
            check_lease(connection, lease)
            cleared = [{"enterprise": name, "generation": commit.enterprises[name]} for name in judged]
            delete_each(connection, judge_todos, cleared)
            for (table, contract), frame in zip(
                _FIGURES, (commit.progress, commit.intensity, commit.measures), strict=True
            ):
                delete_each(connection, table, [{"enterprise": name} for name in judged])
                run_many(connection, sa.insert(table), rows_of(frame, contract.schema))
            self._write_alerts(connection, commit.alerts)
            _write_events(connection, commit.transitions)
            _write_explanations(connection, commit.explanations, commit.at)
            write_notices(connection, commit.notices)

    def _write_alerts(self, connection: Connection, changed: Sequence[Alert]) -> None:
        rows = [
            asdict(a) | {"state": a.state.value, "partition": self._partition(a.enterprise)} for a in changed
        ]
        statement = upsert(connection, alerts)
        names = [column.name for column in alerts.c if column.name != "alert_id"]
        replaced = statement.on_conflict_do_update(
            index_elements=["alert_id"], set_={name: statement.excluded[name] for name in names}
        )
        run_many(connection, replaced, sorted(rows, key=lambda row: str(row["alert_id"])))

    def progress(self, enterprises: Sequence[str] | None = None) -> pl.DataFrame:
        """PROGRESS rows, all or of those enterprises, sorted by key."""
        return self._figures(progress, PROGRESS, enterprises)

    def intensity(self, enterprises: Sequence[str] | None = None) -> pl.DataFrame:
        """INTENSITY rows, all or of those enterprises, sorted by key."""
        return self._figures(intensity, INTENSITY, enterprises)

    def measures(self, enterprises: Sequence[str] | None = None) -> pl.DataFrame:
        """MEASURES rows as last judged, sorted by key."""
        return self._figures(measures, MEASURES, enterprises)

    def _figures(
        self, table: sa.Table, contract: Contract, enterprises: Sequence[str] | None
    ) -> pl.DataFrame:
        query = sa.select(*columns_of(table, contract.schema))
        with self._db.reading() as connection:
            rows: Sequence[Any]
            if enterprises is None:
                rows = connection.execute(query).all()
            else:
                rows = select_among(connection, query, table.c.enterprise, enterprises)
        return frame_of(rows, contract.schema).sort(contract.key)

    def open_alerts(self, partition: int) -> list[Alert]:
        """Pending and firing alerts of the partition's enterprises, sorted by alert_id."""
        query = sa.select(alerts).where(alerts.c.partition == partition, alerts.c.state.in_(_OPEN))
        with self._db.reading() as connection:
            found = [_alert_of(row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda alert: alert.alert_id)

    def alerts_page(
        self,
        *,
        enterprises: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Alert]:
        """Alerts, newest `since` first; `before` is the alert_id the last page ended with."""
        query = sa.select(alerts).order_by(alerts.c.since.desc(), alerts.c.alert_id.desc()).limit(limit)
        if enterprises is not None:
            query = query.where(alerts.c.enterprise.in_(enterprises))
        if states is not None:
            query = query.where(alerts.c.state.in_(states))
        if before is not None:
            last = sa.select(alerts.c.since).where(alerts.c.alert_id == before).scalar_subquery()
            older = sa.and_(alerts.c.since == last, alerts.c.alert_id < before)
            query = query.where(sa.or_(alerts.c.since < last, older))
        with self._db.reading() as connection:
            return [_alert_of(row) for row in connection.execute(query).mappings()]

    def alert(self, alert_id: str) -> tuple[Alert, list[Mapping[str, Any]], Mapping[str, Any] | None] | None:
        """One alert, its history (at, before, after, reason), and its frozen explanation if it ever fired."""
        query = sa.select(alerts).where(alerts.c.alert_id == alert_id)
        steps = (
            sa.select(alert_events)
            .where(alert_events.c.alert_id == alert_id)
            .order_by(alert_events.c.event_id)
        )
        frozen = sa.select(explanations.c.figures).where(explanations.c.alert_id == alert_id)
        with self._db.reading() as connection:
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            history = [_step_of(step) for step in connection.execute(steps).mappings()]
            return _alert_of(row), history, connection.execute(frozen).scalar()


def _write_events(connection: Connection, transitions: Sequence[Transition]) -> None:
    rows = [
        {
            "alert_id": step.alert.alert_id,
            "at": step.at,
            "before": step.before.value if step.before else "",
            "after": step.alert.state.value,
            "reason": step.reason.value,
        }
        for step in transitions
    ]
    run_many(connection, upsert(connection, alert_events).on_conflict_do_nothing(), rows)


def _write_explanations(connection: Connection, given: Mapping[str, Mapping[str, Any]], at: int) -> None:
    rows = [{"alert_id": name, "figures": dict(given[name]), "frozen_at": at} for name in sorted(given)]
    run_many(connection, upsert(connection, explanations).on_conflict_do_nothing(), rows)


def _alert_of(row: Mapping[Any, Any]) -> Alert:
    values = {name: row[name] for name in Alert.__dataclass_fields__}
    return Alert(**values | {"state": AlertState(row["state"])})


def _step_of(row: Mapping[Any, Any]) -> Mapping[str, Any]:
    before = AlertState(row["before"]) if row["before"] else None
    after, reason = AlertState(row["after"]), Step(row["reason"])
    return {"at": row["at"], "before": before, "after": after, "reason": reason}
