import datetime as dt
import itertools
import json
from collections import Counter, defaultdict

import polars as pl
import pytest

from nengshao.domain.codes import is_credit_code
from nengshao.domain.readings import Reason
from nengshao.domain.time import DAY_S, instant_of, parse_instant
from nengshao.domain.units import MILLI, Unit, to_canonical
from nengshao.frames import STATISTICS
from nengshao.registry_tables import loose_ends, registry_of
from nengshao.stores.state.registry_problems import registry_problems
from nengshao.wire import Form, Limits, Message, decode
from simulators.codes import fictitious_credit_code, organisation_check_character
from simulators.faults import MANGLINGS, Fault, mangled
from simulators.fleet import Fleet
from simulators.loads import Run
from simulators.plants import PLANTS
from simulators.replay import ENTERPRISE, RealPlant, read_usage

START = dt.date(2025, 1, 1)


@pytest.fixture(scope="module")
def faulty() -> Fleet:
    return Fleet(11, per_message=96)


@pytest.fixture(scope="module")
def clean() -> Fleet:
    return Fleet(11, days=90, per_message=96, faulty=False)


def items_of(payload):
    """The items of a payload that can be read; none of a mangled one."""
    try:
        items = json.loads(payload)["data"]
    except ValueError:
        return []
    return [item for item in items if "statDate" in item and not isinstance(item["dataValue"], str)]


def readings(fleet):
    """(enterprise, dataCode, meter) → {instant: value as sent}."""
    winners = defaultdict(dict)
    for message in fleet.messages(0, fleet.end + DAY_S):
        for item in items_of(message.payload):
            key = (message.enterprise, item["dataCode"].replace("-", ""), item["meter"])
            winners[key][parse_instant(item["statDate"])] = item["dataValue"]
    return winners


def test_a_fictitious_code_passes_every_check_but_its_division_does_not_exist():
    codes = [fictitious_credit_code(number) for number in range(200)]
    assert all(is_credit_code(code) for code in codes)
    assert {code[2:8] for code in codes} == {"990101"}
    assert len(set(codes)) == 200
    # 91350100M000100Y43 is the example of GB 32100-2015 that public validators test with.
    assert organisation_check_character("M000100Y") == "4"


def test_a_clean_fleet_sends_exactly_the_truth(clean):
    winners = readings(clean)
    rows = clean.registry_tables()["points"]
    points = {(row["enterprise"], row["data_code"], row["meter"]): row for row in rows}
    truth = clean.truth().group_by("enterprise", "tag", "kind").agg(pl.col("amount").sum())
    start = instant_of(START)
    checked = 0
    for enterprise, tag, kind, amount in truth.iter_rows():
        data_code, stat_type, meter = tag.split(".")
        row = points[enterprise, data_code, meter]
        series = winners[enterprise, data_code, meter]
        scale = {"kWh": 1000, "m3": 1000, "GJ": 1_000_000, "kg": 1000, "t": 1_000_000}[row["unit"]]
        if stat_type == "2":
            assert not series  # typed by hand, never on the wire
            continue
        if kind == "register":
            used = series[clean.end] - series[start]
        elif kind == "power":
            used = sum(series.values()) * int(row["cadence_s"]) / 3600
        else:
            used = sum(series.values())
        scale *= int(row["ratio"])
        difference = round(used * scale) - amount
        assert difference % (int(row["register_size"] or 10**9) * scale) == 0
        checked += 1
    assert checked == 16


def test_sub_meters_measure_a_part_of_what_the_boundary_measures(clean):
    electric = clean.truth().filter(pl.col("carrier") == "electricity")
    days = electric.group_by("enterprise", "day").agg(
        boundary=pl.col("amount").filter(pl.col("role") == "input").sum(),
        inside=pl.col("amount").filter(pl.col("role") == "sub").sum(),
    )
    assert days.height == 3 * 90
    rounding = 200_000  # Wh: what the last digits of all meters come to
    assert days.filter(pl.col("inside") > pl.col("boundary") + rounding).is_empty()


def test_what_its_parts_measure_is_what_a_virtual_total_adds_up(clean):
    """The kiln line's parts are what its incomers bring, but for what each of six meters rounds."""
    cement = clean.truth().filter(pl.col("enterprise") == fictitious_credit_code(1))
    parents = (
        registry_of(clean.registry_tables()).points.select("point", "parent", "meter", "data_code").unique()
    )
    named = cement.join(parents, on="point")
    below = named.filter(pl.col("parent").is_not_null()).group_by("parent").agg(pl.col("amount").sum())
    incomers = named.filter(pl.col("meter").is_in(["01", "02"]))["amount"].sum()
    assert below.height == 1
    assert below["amount"].item() == pytest.approx(incomers, abs=200_000)


def test_what_a_person_enters_is_the_months_truth(clean):
    uploads = list(clean.uploads(0, clean.end + 30 * DAY_S))
    assert len(uploads) == 3  # January to March
    lines = [line.split(",") for u in uploads for line in u.content.decode().splitlines()[1:]]
    entered = sum(float(line[5]) for line in lines if line[1] == "0000000001040011")
    true = clean.truth().filter(pl.col("carrier") == "bituminous_coal")["amount"].sum()
    assert round(entered * 1e6) == true
    assert all(line[4].endswith("-01 00:00:00") for line in lines)


def test_a_stock_and_what_was_bought_give_what_was_used(clean):
    lines = [
        line.split(",")
        for upload in clean.uploads(0, clean.end + 30 * DAY_S)
        for line in upload.content.decode().splitlines()[1:]
    ]
    diesel = [line for line in lines if line[1] == "0000000002210011"]
    bought = sum(float(line[5]) for line in diesel if line[3] == "IN")
    stock = [(parse_instant(line[4]), float(line[5])) for line in diesel if line[3] == "STOCK"]
    assert [(at, level) for at, level in stock[1:-1:2]] == stock[2::2]  # 期末 = the next month's 期初
    assert (stock[0], stock[-1][0]) == ((instant_of(START), 40.0), clean.end)
    trucks = Run("11/cement", START, 90)
    flows = PLANTS["cement"].loads(trucks)
    assert bought == sum(flows["diesel_in"]) / 1e6 == 25 * (bought // 25)
    used = sum(flows["diesel_in"]) + sum(flows["diesel_stock"])
    assert bought + stock[0][1] - stock[-1][1] == pytest.approx(used / 1e6, abs=0.001)
    assert min(level for _, level in stock) > 0
    truth = clean.truth().filter(pl.col("carrier") == "diesel", pl.col("tag").str.contains("2210011.2"))
    assert truth["amount"].sum() == pytest.approx(used, abs=2000)


def test_the_sun_shines_by_day_and_more_in_summer():
    winter, summer = (
        PLANTS["cement"].loads(Run("any", dt.date(2025, month, 1), 30))["pv"] for month in (1, 7)
    )
    assert sum(summer) > 1.3 * sum(winter) > 0
    assert all(energy == 0 for n, energy in enumerate(summer) if not 26 <= n % 96 < 72)


def test_a_month_is_entered_late_and_another_is_corrected_in_a_faulty_year(faulty):
    uploads = list(faulty.uploads(0, faulty.end + 30 * DAY_S))
    months = Counter(u.name[:7] for u in uploads)
    assert max(months.values()) == 2
    assert len(uploads) == 13
    by_hand = {r.fault for r in faulty.fault_records if r.device == "cement-desk"}
    assert by_hand == {Fault.LATE, Fault.CORRECTION}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_no_point_carries_more_than_its_rated_capacity(plant):
    flows = plant.loads(Run("any", dt.date(2025, 7, 1), 60))  # midsummer: cooling and grinding at their most
    for spec in plant.points:
        hours = spec.cadence_s / 3600
        per_hour = spec.capacity_per_hour * to_canonical(spec.unit) * MILLI
        flow = flows[spec.load]
        most = max(sum(flow[i : i + spec.step]) for i in range(0, len(flow), spec.step))
        assert 0 < most <= per_hour * hours, spec.name


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    window = (instant_of(START) + 20 * DAY_S, instant_of(START) + 21 * DAY_S)
    runs = [[m.payload for m in Fleet(seed, days=40).messages(*window)] for seed in (3, 3, 4)]
    assert runs[0]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("per_message", [1, 7, 24])  # 7 does not divide a day: the last message is short
def test_the_same_bytes_however_the_run_is_cut_into_windows(per_message):
    fleet = Fleet(7, days=45, per_message=per_message)
    begin, end = instant_of(START) - 5, fleet.end + DAY_S
    whole = list(fleet.messages(begin, end))
    cuts = [begin, begin + 6, *range(begin + 1234, end, 98_765), end]
    assert [m for a, b in itertools.pairwise(cuts) for m in fleet.messages(a, b)] == whole
    assert [m.at for m in whole] == sorted(m.at for m in whole)
    for start, stop in itertools.pairwise(cuts):
        assert all(start <= m.at < stop for m in fleet.messages(start, stop))
    tables = list(fleet.uploads(begin, end))
    assert [u for a, b in itertools.pairwise(cuts) for u in fleet.uploads(a, b)] == tables


def test_a_number_names_one_message_of_a_device(faulty):
    payloads = {}
    for message in faulty.messages(0, faulty.end + DAY_S):
        payloads.setdefault((message.enterprise, message.device, message.seq), set()).add(message.payload)
    assert all(len(versions) == 1 for versions in payloads.values())


def test_the_truth_does_not_depend_on_how_it_is_told(clean):
    assert Fleet(11, days=90).truth().equals(clean.truth())
    assert not clean.fault_records


def test_every_fault_class_happens_in_a_year_and_has_its_record(faulty):
    assert {r.fault for r in faulty.fault_records} == set(Fault)


@pytest.mark.parametrize(("seed", "per_message"), [(1, 1), (2, 96), (99, 4)])
def test_every_fault_class_happens_in_a_quarter_of_a_year_too(seed, per_message):
    fleet = Fleet(seed, days=90, per_message=per_message)
    assert {r.fault for r in fleet.fault_records} == set(Fault)


def test_a_record_adds_up_and_lies_within_the_run(faulty):
    truth = {row[:2]: row[2] for row in faulty.truth().select("point", "day", "amount").iter_rows()}
    for record in faulty.fault_records:
        assert instant_of(START) <= record.start < record.end <= faulty.end
        assert sum(amount for _, amount in record.by_day) == record.true_amount
        for day, amount in record.by_day:
            assert abs(amount) <= abs(truth[record.point, day])


def test_lost_amounts_are_those_that_no_correct_reading_tells(faulty):
    lost = [r for r in faulty.fault_records if r.is_amount_lost]
    assert {r.fault for r in lost} >= {Fault.GAP, Fault.SPIKE}
    kinds = dict(faulty.truth().select("point", "kind").unique().iter_rows())
    assert all(kinds[r.point] != "register" and r.reached_at is None for r in lost)


def test_gaps_are_never_sent_and_late_readings_all_arrive_late(faulty):
    arrivals = defaultdict(dict)
    for message in faulty.messages(0, faulty.end + DAY_S):
        for item in items_of(message.payload):
            key = (message.enterprise, item["dataCode"].replace("-", ""), item["meter"])
            arrivals[key].setdefault(parse_instant(item["statDate"]), message.at)
    kinds = dict(faulty.truth().select("point", "kind").unique().iter_rows())
    seen = Counter()
    for record in faulty.fault_records:
        data_code, stat_type, meter = record.tag.split(".")
        if record.fault not in (Fault.GAP, Fault.LATE) or stat_type != "0":
            continue
        first = record.start + (kinds[record.point] == "register")
        series = arrivals[record.enterprise, data_code, meter]
        arrived = [at for ts, at in series.items() if first <= ts < record.end]
        if record.fault is Fault.GAP:
            assert arrived == []
        else:
            assert min(arrived) >= record.reached_at > record.end
        seen[record.fault] += 1
    assert min(seen[Fault.GAP], seen[Fault.LATE]) > 3


def test_a_faulty_run_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="more days"):
        Fleet(1, days=20)


def test_one_plant_is_ahead_of_its_quota_one_near_and_one_below(faulty):
    power, own = "electricity", "own_non_fossil_electricity"
    fuels = {"natural_gas": 1.33, "bituminous_coal": 0.7143, "diesel": 1.4571, "heat": 0.0341}
    kg = {
        "calorific": fuels | {power: 0.1229, own: 0.1229},
        "equivalent": fuels | {power: 0.3, own: 0.3},
        "carbon": {own: 0, "natural_gas": 2.16, "bituminous_coal": 1.98, "diesel": 3.1, "heat": 0.11},
    }
    sign = {"input": 1, "output": -1, "sub": 0}
    points = registry_of(faulty.registry_tables()).points.select("point", "use").unique()
    truth = faulty.truth().join(points, on="point").group_by("enterprise", "carrier", "role", "use")
    rows = truth.agg(pl.col("amount").sum()).rows()

    grid = {enterprise: 0.5 for enterprise in faulty.truth()["enterprise"].unique()}
    grid[fictitious_credit_code(PLANTS["datacentre"].number)] = 0.62

    def pace(quota):
        used = sum(
            sign[role] * kg[quota["basis"]].get(carrier, grid[enterprise]) * amount / 1e6
            for enterprise, carrier, role, use, amount in rows
            if enterprise == quota["enterprise"] and (quota["scope"] == "total" or use == "energy")
        )
        return used / float(quota["quota_t"])

    quotas = faulty.registry_tables()["quotas"]
    paces = [pace(quota) for quota in quotas if quota["level"] == "base"]
    looser = [1.008, 1.008, 0.891, 0.81]
    assert paces == pytest.approx([1.12, *looser[:2], 0.99, looser[2], 0.90, looser[3]], abs=0.005)
    stricter = [pace(quota) for quota in quotas if quota["level"] == "incentive"]
    assert stricter == pytest.approx([1.12 / 0.97, 0.99 / 0.97, 0.90 / 0.97], abs=0.005)


def test_the_registry_tables_are_sound(faulty):
    registry = registry_of(faulty.registry_tables())
    assert registry_problems(registry) == []
    assert loose_ends(registry) == []
    assert registry.points.height == 23  # 19 that send, two of them in two rows, and 2 virtual ones
    assert registry.meter_changes.height == 5
    assert registry.quotas.group_by("enterprise").len()["len"].sort().to_list() == [3, 3, 4]
    assert registry.devices.filter(pl.col("cadence_s").is_null()).height == 1
    assert set(registry.points["use"]) == {"energy", "non_fossil"}
    assert set(registry.enterprises["region"]) < set(registry.regions["code"])


@pytest.mark.parametrize(
    ("name", "facts"),
    [("制氧站用电", ("kWh", "kWh", 2000, 4000)), ("生料制备用电", ("kWh", "MWh", 1000, 1000))],
)
def test_a_register_whose_ratio_or_unit_changes_tells_the_truth_in_both(faulty, name, facts):
    registry = registry_of(faulty.registry_tables())
    old, new = registry.points.filter(pl.col("name") == name).sort("valid_from").rows(named=True)
    assert (old["unit"], new["unit"], old["ratio_num"], new["ratio_num"]) == facts
    assert old["valid_to"] == new["valid_from"]
    (change,) = registry.meter_changes.filter(pl.col("point") == old["point"]).rows(named=True)
    (record,) = [r for r in faulty.fault_records if r.point == old["point"] and "change" in r.fault.value]
    assert record.start < change["at"] < record.end

    def micro(row):  # one unit of the display in 10⁻⁶ kWh
        return row["ratio_num"] * int(to_canonical(Unit(row["unit"]))) * 10**6

    code, meter = old["data_code"], old["meter"]
    sent = readings(faulty)[old["enterprise"], code, meter]
    before, after = round(sent[record.start] * micro(old)), round(sent[record.end] * micro(new))
    assert change["closing"] - before + after - change["opening"] == record.true_amount * 1000
    assert 0 < change["closing"] - before < record.true_amount * 1000


def test_what_a_plant_states_fits_its_energy_and_the_correction_stands(faulty):
    stated = faulty.statistics()
    assert stated.equals(stated.sort("version", *STATISTICS.key))
    assert stated.select(STATISTICS.key).is_duplicated().sum() == 0
    output = stated.filter(pl.col("indicator") == "output").sort("version")
    standing = output.unique(["subject", "item", "first_day"], keep="last")
    assert (output.height, standing.height) == (3 * 13, 3 * 12)
    made = dict(standing.group_by("item").agg(pl.col("value").sum() / 1000).iter_rows())
    truth = faulty.truth()
    coal = truth.filter(pl.col("carrier") == "bituminous_coal")["amount"].sum() / 1e6
    assert coal / made["clinker"] == pytest.approx(0.147, rel=0.03)  # t of coal a tonne
    furnace = truth.filter(pl.col("tag").str.starts_with("0101"))["amount"].sum() / 1e6
    assert furnace / made["eaf_steel"] == pytest.approx(0.486, rel=0.03)  # MWh a tonne


def test_regions_state_last_year_and_the_quarters_that_are_over(clean):
    stated = clean.statistics().filter(pl.col("subject").str.len_chars() == 6)
    gdp = stated.filter(pl.col("indicator") == "gdp_comparable")
    assert dict(gdp.group_by("state").len().iter_rows()) == {"final": 2 * 4, "preliminary": 2 * 1}
    last_year, this = (gdp.filter(pl.col("state") == s)["value"] for s in ("final", "preliminary"))
    assert set(last_year) == {650_000_000, 300_000_000}
    assert set(this) == {650_000 * 1052, 300_000 * 1048}  # 10⁻³ of 10⁴ CNY, grown by 5.2 % and 4.8 %
    assert Fleet(1, days=3, plants=("steel",), faulty=False).statistics().height == 8


@pytest.mark.parametrize("how", MANGLINGS)
def test_a_mangled_payload_is_another_payload(how):
    payload = b'{"deviceId":"a","data":[{"dataValue":-1.5,"statDate":"2025-01-01 00:00:00","scope":1}]}'
    assert mangled(payload, how) != payload


def test_the_real_plants_check_figures():
    usage = read_usage()
    assert len(usage) == 35_040
    assert sum(usage) == 95_963_671
    plant = RealPlant()
    assert sum(1 for _ in plant.messages(0, plant.end + DAY_S)) == 35_040
    assert plant.truth()["amount"].sum() == 959_636_710
    assert plant.truth().height == 365
    registry = registry_of(plant.registry_tables())
    assert registry.enterprises["enterprise"].to_list() == [ENTERPRISE]
    assert registry_problems(registry) == loose_ends(registry) == []
    assert plant.statistics().equals(STATISTICS.empty())


def test_a_file_of_another_order_is_refused(tmp_path):
    file = tmp_path / "year.csv"
    file.write_text("date,Usage_kWh\n01/01/2018 00:30,1\n")
    with pytest.raises(ValueError, match="row 2"):
        read_usage(file)


@pytest.mark.parametrize("form", [Form.COMPACT, Form.GZIP, Form.COMPACT_GZIP])
def test_a_fleet_tells_the_same_in_every_form_its_garbled_messages_included(form: Form):
    def told(form: Form):
        fleet = Fleet(11, days=70, per_message=96, form=form)
        sent = [Message(m.topic, m.payload) for m in fleet.messages(0, fleet.end + DAY_S)]
        decoded = decode(sent, Limits())
        return (
            decoded.readings,
            [(r.message, r.index, r.reason) for r in decoded.rejections],
            decoded.sequences,
        )

    (readings, refused, numbers), plain = told(form), told(Form.PLAIN)
    assert readings.equals(plain[0])
    assert (refused, numbers) == plain[1:]
    assert {reason for _, _, reason in refused} >= {Reason.NOT_JSON, Reason.BAD_SHAPE}
