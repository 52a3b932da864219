import json

import polars as pl
import pytest

from nengshao.domain.time import DAY_S, accounting_day, day_start
from nengshao.frames import BLOCKS, POINT_DAYS
from simulators.faults import Fault, FaultRecord
from simulators.fleet import Fleet
from simulators.scorer import UNEXPLAINED, score

DAY = 20_100
POINT = 7


def truth(amounts, *, kind="register", carrier="electricity", first_of_period=None) -> pl.DataFrame:
    names = ("E", POINT, "t", carrier, kind, "input")
    rows = [(*names, DAY + n, first_of_period or DAY + n, amount) for n, amount in enumerate(amounts)]
    columns = ("enterprise", "point", "tag", "carrier", "kind", "role", "day", "period", "amount")
    return pl.DataFrame(rows, schema=columns, orient="row")


def result(days) -> pl.DataFrame:
    """POINT_DAYS from (amount, measured_s, estimated_s, missing_s) per day; None: the day has no row."""
    rows = [
        {"enterprise": "E", "point": POINT, "day": DAY + n, "carrier": "electricity", "sign": 1,
         "amount": day[0], "measured_s": day[1], "estimated_s": day[2], "missing_s": day[3], "pending_s": 0}
        for n, day in enumerate(days) if day is not None
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=dict(POINT_DAYS.schema))


def block(start, end, amount) -> pl.DataFrame:
    row = {"enterprise": "E", "point": POINT, "start": start, "end": end, "sign": 1, "amount": amount}
    return pl.DataFrame([row], schema=dict(BLOCKS.schema))


def record(fault, start, end, amount, *, lost=False) -> FaultRecord:
    return FaultRecord(
        fault=fault, enterprise="E", device="d", point=POINT, tag="t", start=start, end=end,
        true_amount=amount, by_day=((accounting_day(start), amount),), sent="",
        reached_at=None if lost else end, is_amount_lost=lost, published_from=end, published_until=end,
    )  # fmt: skip


FULL = (1_000_000, DAY_S, 0, 0)
NOON = day_start(DAY) + DAY_S // 2
NONE = BLOCKS.empty()


def test_a_right_result_has_no_error():
    s = score(truth([1_000_000] * 3), [], result([FULL] * 3), NONE)
    assert (s.missing, s.wrongly_missing_share, s.wrongly_measured_share) == (0, 0.0, 0.0)
    assert s.total == 3 * 1_000_000 * 3600


@pytest.mark.parametrize("wrong", [0, 2_000_000], ids=["filled with zero", "counted twice"])
def test_a_wrong_figure_that_claims_to_be_measured_is_found(wrong):
    s = score(truth([1_000_000] * 2), [], result([FULL, (wrong, DAY_S, 0, 0)]), NONE)
    assert s.wrongly_measured_share == 0.5
    assert s.classes[UNEXPLAINED].wrongly_measured == 1_000_000 * 3600
    assert s.wrongly_missing_share == 0.0


@pytest.mark.parametrize("day", [None, (None, 0, 0, DAY_S), (400_000, DAY_S // 2, 0, DAY_S // 2)])
def test_energy_whose_data_exist_must_not_be_missing(day):
    late = record(Fault.LATE, NOON, NOON + 3600, 40_000)
    s = score(truth([1_000_000] * 2), [late], result([day, FULL]), NONE)
    lacking = 1_000_000 - (day[0] or 0 if day else 0)
    assert s.wrongly_missing_share == lacking / 2_000_000
    assert s.classes["late"].wrongly_missing == lacking * 3600
    assert s.classes["late"].unnoticed == 0


def test_energy_that_nothing_ever_told_is_rightly_missing():
    gap = record(Fault.GAP, NOON, NOON + 3600, 50_000, lost=True)
    s = score(truth([1_000_000]), [gap], result([(950_000, DAY_S - 3600, 0, 3600)]), NONE)
    assert s.wrongly_missing_share == 0.0
    assert s.missing == 50_000 * 3600
    assert (s.classes["gap"].flagged, s.classes["gap"].lost) == (1, 50_000 * 3600)


def test_a_spike_that_is_counted_is_wrongly_measured_and_one_that_is_refused_is_caught():
    spike = record(Fault.SPIKE, NOON, NOON + 900, 10_000, lost=True)
    counted = score(truth([1_000_000]), [spike], result([(9_000_000, DAY_S, 0, 0)]), NONE)
    assert counted.classes["spike"].wrongly_measured == 8_000_000 * 3600
    assert counted.classes["spike"].unnoticed == 1
    refused = pl.DataFrame({"enterprise": ["E"], "device": ["d"], "arrived_at": [NOON + 900]})
    caught = score(
        truth([1_000_000]), [spike], result([(990_000, DAY_S - 900, 0, 900)]), NONE, quarantine=refused
    )
    assert (caught.wrongly_measured_share, caught.wrongly_missing_share) == (0.0, 0.0)
    assert (caught.classes["spike"].flagged, caught.classes["spike"].harmless) == (1, 1)


def test_the_exact_amount_of_a_block_is_known_although_its_place_is_not():
    gap = record(Fault.GAP, NOON, NOON + DAY_S, 900_000)
    days = result([(600_000, DAY_S // 2, 0, DAY_S // 2), (500_000, DAY_S // 2, 0, DAY_S // 2)])
    s = score(truth([1_000_000, 1_000_000]), [gap], days, block(NOON, NOON + DAY_S, 900_000))
    assert (s.missing, s.wrongly_missing_share, s.wrongly_measured_share) == (0, 0.0, 0.0)
    wrong = score(truth([1_000_000, 1_000_000]), [gap], days, block(NOON, NOON + DAY_S, 1_400_000))
    assert wrong.classes["gap"].wrongly_measured == 500_000 * 3600


def test_a_block_that_a_virtual_point_counts_too_is_still_one():
    days = result([(600_000, DAY_S // 2, 0, DAY_S // 2), (500_000, DAY_S // 2, 0, DAY_S // 2)])
    own = block(NOON, NOON + DAY_S, 900_000).with_columns(via=POINT)
    twice = pl.concat([own, own.with_columns(via=POINT + 1)])
    assert score(truth([1_000_000, 1_000_000]), [], days, twice).wrongly_measured_share == 0.0


def test_an_estimate_may_be_off_without_being_called_measured():
    s = score(truth([1_000_000]), [], result([(990_000, DAY_S - 3600, 3600, 0)]), NONE)
    assert s.wrongly_measured_share == 0.0
    assert s.classes[UNEXPLAINED].estimated_off == 10_000 * 3600


def test_a_monthly_figure_is_compared_over_its_month():
    t = truth([0, 3_000_000, 0], kind="amount", first_of_period=DAY)
    s = score(t, [], result([FULL] * 3), NONE)
    assert s.wrongly_measured_share == 0.0


def test_a_class_is_scored_by_kind_of_point_too():
    stuck = record(Fault.STUCK, NOON, NOON + 3600, 40_000)
    for kind in ("register", "amount"):
        s = score(truth([1_000_000], kind=kind), [stuck], result([(1_500_000, DAY_S, 0, 0)]), NONE)
        assert set(s.kinds) == {f"stuck/{kind}"}
        assert s.kinds[f"stuck/{kind}"] == s.classes["stuck"]
        assert s.kinds[f"stuck/{kind}"].unnoticed == 1


def test_a_tank_that_was_filled_is_negative_use_and_missing_if_nobody_says_so():
    t = truth([-1_000_000, 200_000], kind="stock")
    right = score(t, [], result([(-1_000_000, DAY_S, 0, 0), (200_000, DAY_S, 0, 0)]), NONE)
    assert (right.total, right.wrongly_measured_share) == (1_200_000 * 3600, 0.0)
    lacking = score(t, [], result([(None, 0, 0, DAY_S), (200_000, DAY_S, 0, 0)]), NONE)
    assert lacking.wrongly_missing_share == 1_000_000 / 1_200_000
    assert lacking.wrongly_measured_share == 0.0


def test_a_score_of_a_whole_fleet_is_plain_data_with_every_class():
    fleet = Fleet(3, days=90, per_message=96)
    t = fleet.truth()
    full = pl.DataFrame({"measured_s": [DAY_S], "estimated_s": [0], "missing_s": [0], "pending_s": [0]})
    perfect = t.join(full, how="cross")
    report = score(t, fleet.fault_records, perfect, NONE).to_dict()
    assert set(report["classes"]) == set(Fault)
    assert {name.split("/")[0] for name in report["kinds"]} == set(Fault)
    assert report["kinds"]["correction/stock"]["records"] == 1
    assert report["wrongly_missing"] == report["wrongly_measured"] == 0.0
    assert json.loads(json.dumps(report)) == report
    doubled = score(t, fleet.fault_records, perfect.with_columns(pl.col("amount") * 2), NONE).to_dict()
    assert doubled["wrongly_measured"] == pytest.approx(1.0)
