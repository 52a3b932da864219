"""Registry rows as people fill them in: every cell is text, in human units (nengshao.registry_tables)."""

from __future__ import annotations

from typing import Final

from nengshao.domain.time import iso_text
from nengshao.domain.units import MILLI, PointKind, to_canonical
from simulators.plants import SLOT_S, SLOTS_A_DAY
from simulators.traces import CHANGE_DELAY_S, Trace

Row = dict[str, str]
Tables = dict[str, list[Row]]

QUOTA_SOURCE: Final = "虚构，仅供演示 (fictitious, for demonstration only)"

_MANUAL_GRACE_S: Final = 10 * 86_400  # a month's figures are expected by the 10th of the next
_DEVICE_GRACE_S: Final = 2 * 3600
_MAX_ESTIMATE_S: Final = 4 * 3600


def device_row(enterprise: str, device: str, name: str, cadence_s: int | None) -> Row:
    """A row of the devices table, without its validity; `cadence_s` None: people enter its figures."""
    cadence = "" if cadence_s is None else str(cadence_s)
    return {"enterprise": enterprise, "device": device, "name": name, "cadence_s": cadence}


def point_row(trace: Trace, *, per_message: int, by_hand: bool) -> Row:
    """A row of the points table, without its validity.

    A device that collects readings for one message declares the wait as part of its grace.
    """
    spec = trace.spec
    return {
        "enterprise": trace.key.enterprise,
        "data_code": spec.data_code,
        "stat_type": str(int(spec.stat_type)),
        "meter": spec.meter,
        "name": spec.name,
        "device": spec.device,
        "carrier": spec.carrier.value,
        "kind": spec.kind.value,
        "role": spec.role.value,
        "feeds_total": "true",
        "unit": spec.unit.value,
        "ratio": str(spec.ratio),
        "cadence_s": str(spec.cadence_s),
        "grace_s": str(_MANUAL_GRACE_S if by_hand else per_message * SLOT_S + _DEVICE_GRACE_S),
        "max_estimate_s": str(_MAX_ESTIMATE_S if spec.kind is PointKind.REGISTER else 0),
        "capacity_per_hour": str(spec.capacity_per_hour),
        "register_size": str(spec.register_size or ""),
        "expected_per_day": str(_expected_per_day(trace)),
    }


def _expected_per_day(trace: Trace) -> int:
    """What the enterprise declared: a mean day to two digits, in the point's unit after the ratio."""
    per_unit = float(to_canonical(trace.spec.unit) * MILLI)
    mean = trace.energy(0, trace.slots) * SLOTS_A_DAY / trace.slots / per_unit
    return max(1, int(float(f"{mean:.1e}")))


def change_rows(trace: Trace) -> list[Row]:
    """Rows of the meter changes table: the trace's one, or none; both displays before the ratio."""
    change, spec = trace.change, trace.spec
    if change is None:
        return []
    return [
        {
            "enterprise": trace.key.enterprise,
            "data_code": spec.data_code,
            "stat_type": str(int(spec.stat_type)),
            "meter": spec.meter,
            "at": iso_text(trace.instant(change.slot) + CHANGE_DELAY_S),
            "closing": f"{change.closing / 10**spec.digits:.{spec.digits}f}",
            "opening": f"{change.opening / 10**spec.digits:.{spec.digits}f}",
        }
    ]
