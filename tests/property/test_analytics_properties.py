"""What holds for every series: nothing lost, nothing doubled, any order, any window."""

from __future__ import annotations

import random
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.assessment import Results, assess
from analytics.cycle import Cycle
from analytics.findings import events_of, segments_of
from analytics.intervals import Interval, use_per_interval
from analytics.law import load_law
from analytics.lifecycle import advance
from analytics.registers import checked_reads, register_findings
from analytics.rulebook_loader import load_rulebook
from analytics.sifting import days_sifted, plain_segments, sifted_reads
from analytics.specs import point_duties
from nengshao.clock import SteppedClock
from nengshao.domain.alerts import Alert, AlertState
from nengshao.domain.rules import Judgement, Verdict
from nengshao.domain.time import accounting_day
from nengshao.frames import SEGMENTS
from nengshao.ports import DIRTY_SCHEMA, Booking
from nengshao.registry import Registry
from nengshao.stores.memory import MemoryReadingStore, MemoryResultStore
from nengshao.stores.state import open_state
from tests.support import faulty
from tests.support import metering as m

D = 86_400
QUICK = settings(max_examples=60, deadline=None)

rises = st.lists(st.integers(0, 250_000_000), min_size=1, max_size=60)  # 10⁻⁶ kWh, up to capacity
gaps = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def series(rise: list[int], gap: list[int]) -> list[tuple[int, int]]:
    ts, value, pairs = m.T0, 123, [(m.T0, 123)]
    for up, step in zip(rise, gap, strict=False):
        ts, value = ts + step * m.QUARTER, value + up
        pairs.append((ts, value))
    return pairs


def deltas(frame: pl.DataFrame) -> pl.DataFrame:
    registry = m.registry(m.points(m.point(1)))
    reads = sifted_reads(frame.lazy(), registry.points, registry.meter_changes, registry.enterprises)
    return segments_of_registers(reads, registry).collect(engine="streaming").sort("start")


def segments_of_registers(reads: pl.LazyFrame, registry: Registry) -> pl.LazyFrame:
    checked = checked_reads(reads, registry.points, registry.meter_changes)
    return pl.concat([plain_segments(reads), segments_of(register_findings(checked))])


@QUICK
@given(rises, gaps)
def test_deltas_add_up_to_the_last_less_the_first_read(rise: list[int], gap: list[int]) -> None:
    pairs = series(rise, gap)
    found = deltas(m.readings(1, pairs))
    first, last = pairs[0][1], pairs[-1][1]
    assert found["amount"].sum() == round(last / 1000) - round(first / 1000)
    assert (found["end"] - found["start"]).sum() == pairs[-1][0] - pairs[0][0]


@QUICK
@given(rises, gaps, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter_and_duplicates_do_no_harm(
    rise: list[int], gap: list[int], rng: random.Random
) -> None:
    frame = m.readings(1, series(rise, gap))
    shuffled = pl.concat([frame, frame]).sample(fraction=1, shuffle=True, seed=rng.randint(0, 99))
    store = MemoryReadingStore()
    store.write(shuffled)
    assert deltas(store.scan([1], m.T0, m.T0 + 99 * D).collect()).equals(deltas(frame))


segments = st.tuples(st.integers(0, 3 * D), st.integers(1, 40 * D), st.integers(0, 10**15))


@QUICK
@given(segments, st.integers(1, 60 * D))
def test_parts_add_up_and_cutting_a_window_in_two_adds_up(segment: tuple[int, int, int], cut: int) -> None:
    start, length, amount = segment
    frame = pl.LazyFrame(
        [(1, m.T0 + start, m.T0 + start + length, amount, "measured")],
        schema=dict(SEGMENTS.schema),
        orient="row",
    )
    duties = point_duties(m.points(m.point(1)), m.enterprises(), as_of=m.T0)

    def total(first: int, end: int) -> int:
        return int(use_per_interval(frame, duties, "hour", first, end).collect()["amount"].sum())

    assert total(m.T0, m.T0 + 60 * D) == amount
    assert total(m.T0, m.T0 + cut) + total(m.T0 + cut, m.T0 + 60 * D) == amount


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 500))
def test_what_sifting_leaves_out_would_have_said_nothing_else(seed: int, count: int) -> None:
    world = faulty.registers(random.Random(seed), count)
    registry = world.registry
    points, changes = registry.points, registry.meter_changes
    duties = point_duties(points, registry.enterprises, as_of=m.T0 + 99 * D)
    sifted = sifted_reads(world.readings.lazy(), points, changes, registry.enterprises)
    sifted = sifted.collect().lazy()
    every = world.readings.lazy().filter("valid").select("point", "ts", "value", is_plain=pl.lit(value=False))

    def events(reads: pl.LazyFrame) -> pl.DataFrame:
        found = events_of(register_findings(checked_reads(reads, points, changes)))
        return found.collect().sort(pl.all())

    def use(reads: pl.LazyFrame, interval: Interval) -> pl.DataFrame:
        segments = segments_of_registers(reads, registry)
        return use_per_interval(segments, duties, interval, m.T0, m.T0 + 99 * D).collect()

    def left_over(reads: pl.LazyFrame) -> pl.DataFrame:
        segments = segments_of_registers(reads, registry).collect().sort("point", "start")
        return segments.filter(pl.col("quality").is_in(["block", "missing"]))

    assert events(sifted).equals(events(every))
    assert use(sifted, "hour").equals(use(every, "hour"))
    assert use(days_sifted(sifted), "day").equals(use(every, "day"))
    assert left_over(sifted).equals(left_over(every))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 11))
def test_a_window_that_is_cut_in_two_adds_up(seed: int, cut: int) -> None:
    world = faulty.everything(random.Random(seed))

    def run(first: int, end: int) -> Results:
        window = (m.DAY + first, m.DAY + end)
        reads = world.readings.lazy()
        return assess(reads, world.registry, m.FACTORS, window=window, as_of=m.T0 + 9 * D).collect()

    whole, parts = run(0, 12), [run(0, cut), run(cut, 12)]
    for name in ("point_days", "enterprise_days", "scope_days", "load", "events", "blocks"):
        frame: pl.DataFrame = getattr(whole, name)
        halves = pl.concat([getattr(part, name) for part in parts]).unique()  # a block may lie in both
        assert frame.sort(pl.all()).equals(halves.sort(pl.all())), name


@QUICK
@given(rises, gaps, st.integers(0, 40 * D))
def test_the_four_shares_sum_to_the_day_at_any_time(rise: list[int], gap: list[int], now: int) -> None:
    frame = m.readings(1, series(rise, gap))
    days = assess(
        frame.lazy(), m.registry(m.points(m.point(1))), m.FACTORS,
        window=(m.DAY, m.DAY + 20), as_of=m.T0 + now,
    ).collect().point_days  # fmt: skip
    shares = [days[f"{share}_s"] for share in ("measured", "estimated", "missing", "pending")]
    assert all(share.min() >= 0 for share in shares)  # type: ignore[operator]  # Int64 columns
    assert (shares[0] + shares[1] + shares[2] + shares[3]).to_list() == [D] * 20
    assert days.filter(pl.col("amount").is_null()).equals(
        days.filter(pl.col("measured_s") + pl.col("estimated_s") == 0)
    )


RULE = next(rule for rule in load_rulebook() if rule.name == "total-energy-ahead-of-pace")


@QUICK
@given(
    st.lists(st.tuples(st.sampled_from(list(Verdict)), st.integers(0, D)), max_size=30), st.integers(0, 3 * D)
)
def test_no_alert_fires_before_its_hold_and_missing_data_forget_nothing(
    story: list[tuple[Verdict, int]], hold: int
) -> None:
    rules = {RULE.name: replace(RULE, hold_s=hold)}
    at, breached, previous = 0, 0, None
    alerts: list[Alert] = []
    for verdict, step in story:
        at += step
        breached += step if verdict is Verdict.BREACH is previous else 0
        was = {alert.alert_id: alert for alert in alerts if alert.is_open}
        judged = Judgement(RULE.name, "E", "s", verdict, at, 1.0, 1.0, 1.0, 1.0, is_confirmed=True)
        alerts, steps = advance([a for a in alerts if a.is_open], [judged], rules, at)
        if verdict is Verdict.INSUFFICIENT:
            assert not steps
            assert {a.alert_id: (a.state, a.breached_s, a.since) for a in alerts} == {
                key: (a.state, a.breached_s, a.since) for key, a in was.items()
            }
        for taken in steps:
            if taken.alert.state is AlertState.FIRING:
                assert breached >= hold
        previous = verdict
        breached = 0 if verdict is Verdict.OK else breached


def _dirty(batch: pl.DataFrame, watermark: int | None) -> pl.DataFrame:
    """Dirty days as ingest marks them: in order since the watermark, else the day of the read, late."""
    rows = []
    for ts in batch.sort("ts")["ts"]:
        late = watermark is not None and ts <= watermark
        since = ts if late or watermark is None else watermark
        rows += [(m.ENTERPRISE, day, late) for day in range(accounting_day(since), accounting_day(ts) + 1)]
        watermark = ts if watermark is None else max(ts, watermark)
    frame = pl.DataFrame(rows, schema=dict(DIRTY_SCHEMA), orient="row")
    return frame.group_by("enterprise", "day").agg(pl.col("late").any()).sort("day")


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_any_order_and_batching_with_cycles_in_between_gives_the_results_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("state"), random.Random(seed)
    values = [float(i) for i in range(0, 9 * 8 * 3)]  # a read every three hours, 27 days
    for _ in range(rng.randint(0, 8)):  # spikes, dips, and a fall
        values[rng.randrange(len(values))] += rng.choice([5000.0, -20.0, 1.0, -1.0])
    spec = m.registered_point(1, cadence_s=3 * 3600, max_estimate_s=9 * 3600, grace_s=3600, capacity=2_000)
    pairs = [p for p in m.kwh(*(max(0.0, v) for v in values), step=3 * 3600) if rng.random() > 0.2]
    frame = m.readings(spec["point"], pairs)
    registry = m.registry(m.points(spec), quotas=m.quota(1))
    state = open_state(f"sqlite:///{folder / 's.db'}", partitions=1)
    try:
        state.migrate()
        state.save_registry(registry, at=m.T0)
        store, clock = MemoryReadingStore(), SteppedClock(m.T0 + 30 * D)
        cycle = Cycle(
            state,
            store,
            MemoryResultStore(),
            clock,
            replace(load_law(), factors=m.FACTORS),
            span_days=rng.randint(3, 31),
        )
        lease, ingest = (state.acquire_lease(kind, 0, "t", 600.0) for kind in ("assess", "ingest"))
        assert lease is not None
        assert ingest is not None
        order = list(range(frame.height))
        if rng.random() < 0.8:
            for _ in range(rng.randint(1, 40)):  # mostly in order, as it is in life
                i, j = rng.randrange(len(order)), rng.randrange(len(order))
                order[i], order[j] = order[j], order[i]
        watermark: int | None = None
        while order:
            size = rng.randint(1, 60)
            batch, order = frame[order[:size]], order[size:]
            store.write(batch)
            state.book(ingest, Booking(at=clock.now(), dirty=_dirty(batch, watermark)))
            watermark = max(watermark or 0, *batch["ts"])
            cycle.run_once(lease)
        whole = assess(
            frame.lazy(), registry, m.FACTORS,
            window=(m.DAY, m.DAY + 31), as_of=clock.now(),
        ).collect()  # fmt: skip
        assert state.point_days([m.ENTERPRISE], m.DAY, m.DAY + 31).equals(whole.point_days)
        assert state.enterprise_days([m.ENTERPRISE], m.DAY, m.DAY + 31).equals(whole.enterprise_days)
        assert state.blocks([m.ENTERPRISE], m.T0, m.T0 + 31 * D).equals(whole.blocks)
        told = state.meter_events([m.ENTERPRISE], m.T0, m.T0 + 31 * D)
        assert sorted((e["ts"], e["event"]) for e in told) == whole.events.select("ts", "event").rows()
    finally:
        state.close()
