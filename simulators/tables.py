"""Registry rows as people fill them in: every cell is text, in human units (nengshao.registry_tables)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nengshao.domain.time import iso_text
from nengshao.domain.units import MILLI, PointKind, Role, to_canonical
from simulators.plants import SLOT_S, SLOTS_A_DAY, PointSpec, VirtualSpec
from simulators.traces import CHANGE_DELAY_S, MeterChange, Trace

Row = dict[str, str]
Tables = dict[str, list[Row]]


_MANUAL_GRACE_S: Final = 10 * 86_400  # a month's figures are expected by the 10th of the next
_DEVICE_GRACE_S: Final = 2 * 3600
_MAX_ESTIMATE_S: Final = 4 * 3600


def device_row(enterprise: str, device: str, name: str, cadence_s: int | None) -> Row:
    """A row of the devices table, without its validity; `cadence_s` None: people enter its figures."""
    cadence = "" if cadence_s is None else str(cadence_s)
    return {"enterprise": enterprise, "device": device, "name": name, "cadence_s": cadence}


def point_rows(trace: Trace, validity: Row, *, per_message: int, by_hand: bool) -> list[Row]:
    """Rows of the points table: one, or two where the point's ratio or unit changes.

    A device that collects readings for one message declares the wait as part of its grace.
    """
    grace_s = _MANUAL_GRACE_S if by_hand else per_message * SLOT_S + _DEVICE_GRACE_S
    row = {"enterprise": trace.key.enterprise, "grace_s": str(grace_s)} | validity
    if trace.change is None or trace.change.later == trace.spec:
        return [row | _spec_cells(trace, trace.spec)]
    at = iso_text(_instant_of_change(trace, trace.change))
    return [
        row | _spec_cells(trace, trace.spec) | {"valid_to": at},
        row | _spec_cells(trace, trace.change.later) | {"valid_from": at},
    ]


def _spec_cells(trace: Trace, spec: PointSpec) -> Row:
    return {
        **identity_cells(spec),
        "name": spec.name,
        "device": spec.device,
        "carrier": spec.carrier.value,
        "kind": spec.kind.value,
        "role": spec.role.value,
        "use": spec.use.value,
        "parent": spec.parent,
        "feeds_total": "true",
        "unit": spec.unit.value,
        "ratio": str(spec.ratio),
        "cadence_s": str(spec.cadence_s),
        "max_estimate_s": str(_MAX_ESTIMATE_S if spec.kind is PointKind.REGISTER else 0),
        "capacity_per_hour": str(spec.capacity_per_hour),
        "register_size": str(spec.register_size or ""),
        "expected_per_day": str(_expected_per_day(trace, spec)),
    }


def _expected_per_day(trace: Trace, spec: PointSpec) -> int:
    """What the enterprise declared: a mean day to two digits, in the point's unit after the ratio."""
    per_unit = float(to_canonical(spec.unit) * MILLI)
    mean = trace.energy(0, trace.slots) * SLOTS_A_DAY / trace.slots / per_unit
    return max(1, int(float(f"{mean:.1e}")))


def virtual_rows(enterprise: str, virtual: VirtualSpec, of: Sequence[Trace], validity: Row) -> list[Row]:
    """The points table's row of a virtual point: it sends nothing and adds to no total."""
    expected = sum(_expected_per_day(trace, trace.spec) for trace in of)
    row = {
        "enterprise": enterprise, "data_code": virtual.data_code, "stat_type": "0", "meter": virtual.meter,
        "name": virtual.name, "device": "", "carrier": "electricity", "kind": PointKind.VIRTUAL.value,
        "role": Role.SUB.value, "feeds_total": "false", "unit": "kWh", "grace_s": str(_DEVICE_GRACE_S),
        "expected_per_day": str(expected),
    }  # fmt: skip
    return [row | validity]


def term_rows(enterprise: str, virtual: VirtualSpec, of: Sequence[Trace], validity: Row) -> list[Row]:
    """What a virtual point is made of: each of the others once."""
    row = {
        "enterprise": enterprise, "data_code": virtual.data_code, "stat_type": "0", "meter": virtual.meter,
        "coefficient": "1",
    }  # fmt: skip
    return [
        row | {f"term_{name}": cell for name, cell in identity_cells(trace.spec).items()} | validity
        for trace in of
    ]


def identity_cells(spec: PointSpec) -> Row:
    """What names a point within its enterprise."""
    return {"data_code": spec.data_code, "stat_type": str(int(spec.stat_type)), "meter": spec.meter}


def _instant_of_change(trace: Trace, change: MeterChange) -> int:
    return trace.instant(change.slot) + CHANGE_DELAY_S


def change_rows(trace: Trace) -> list[Row]:
    """Rows of the meter changes table: the trace's one, or none; both displays before the ratio."""
    change = trace.change
    if change is None:
        return []
    return [
        identity_cells(trace.spec)
        | {
            "enterprise": trace.key.enterprise,
            "at": iso_text(_instant_of_change(trace, change)),
            "closing": _shown(change.closing, trace.spec.digits),
            "opening": _shown(change.opening, change.later.digits),
        }
    ]


def _shown(counts: int, digits: int) -> str:
    return f"{counts / 10**digits:.{digits}f}"
