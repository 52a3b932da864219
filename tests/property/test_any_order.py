"""Any order, any batching, any repetition: the same winners, and books that balance."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ingest.outcomes import TAIL_SCHEMA, merged_watermarks, outcomes_of
from nengshao.frames import READINGS
from nengshao.stores.memory import MemoryReadingStore

ROWS = st.tuples(
    st.sampled_from([1, 2]),  # point
    st.integers(0, 3).map(lambda n: n * 900),  # ts
    st.integers(10_000, 10_003),  # version
    st.integers(0, 2),  # value
    st.booleans(),  # valid
)


def booked_through(
    batches: list[list[tuple[int, int, int, int, bool]]],
) -> tuple[pl.DataFrame, Counter[str], int]:
    """Winners, ledger and distinct readings after these batches have gone through the books."""
    store, ledger = MemoryReadingStore(), Counter[str]()
    watermarks = pl.DataFrame(schema=TAIL_SCHEMA)
    for batch in batches:
        frame = pl.DataFrame([(*row, 4) for row in batch], schema=dict(READINGS.schema), orient="row")
        accepted = frame.with_columns(pl.lit("E").alias("enterprise"), pl.lit("register").alias("kind"))
        keys = accepted.join(watermarks, on="point").filter(pl.col("ts") <= pl.col("watermark"))
        booked = store.versions(keys.select("point", "ts").unique())
        outcomes = outcomes_of(accepted, booked, watermarks)
        store.write(outcomes.to_write)
        ledger.update(outcomes.rows["outcome"].to_list())
        watermarks = merged_watermarks(watermarks, outcomes.tails)
    return store.scan([1, 2], 0, 10_000).collect(), ledger, store.count()


@settings(max_examples=100, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=14), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_batching_do_not_matter(rows: list, random: object, size: int) -> None:
    expected, ledger, distinct = booked_through([rows])
    shuffled = [*rows, *rows]  # everything twice, as a device without a receipt would send it
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random of hypothesis
    batches = [shuffled[n : n + size] for n in range(0, len(shuffled), size)]
    winners, ledger_again, distinct_again = booked_through(batches)
    assert winners.equals(expected)
    assert ledger["stored"] == ledger_again["stored"] == distinct == distinct_again
    assert ledger.total() == len(rows)
    assert ledger_again.total() == len(shuffled)


MOSTLY = st.sampled_from([True] * 9 + [False])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(-20, 200).map(lambda n: n * 3600), MOSTLY),
        min_size=1, max_size=12,
    ),
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.integers(-60, 0).map(lambda n: n * 3600),
            st.sampled_from([True, True, None, False]),
        ),
        unique_by=lambda row: row[0],
    ),
    st.sets(st.integers(1, 4)),
)  # fmt: skip
def test_a_batch_in_order_is_judged_as_any_other(
    rows: list[tuple[int, int, bool]], marks: list[tuple[int, int, bool | None]], registers: set[int]
) -> None:
    """Rows of (point, ts, valid); the books hold nothing of them, and so nothing has to be looked up."""
    kinds = {point: "register" if point in registers else "amount" for point in range(1, 5)}
    frame = pl.DataFrame(
        [(point, ts, 10_000_000, ts, valid, 4) for point, ts, valid in rows],
        schema=dict(READINGS.schema),
        orient="row",
    )
    accepted = frame.with_columns(
        pl.format("E{}", pl.col("point") % 2).alias("enterprise"),
        pl.col("point").replace_strict(kinds, return_dtype=pl.String).alias("kind"),
    )
    watermarks = pl.DataFrame(marks, schema=TAIL_SCHEMA, orient="row")
    keys = accepted.join(watermarks, on="point").filter(pl.col("ts") <= pl.col("watermark"))
    assume(keys.is_empty())
    elsewhere = pl.DataFrame([(99, 0, 0, 0, True, 4)], schema=dict(READINGS.schema), orient="row")
    fast, slow = (outcomes_of(accepted, booked, watermarks) for booked in (READINGS.empty(), elsewhere))
    assert fast.rows["outcome"].to_list() == slow.rows["outcome"].to_list()
    assert fast.to_write.sort(pl.all()).equals(slow.to_write.sort(pl.all()))
    assert fast.dirty.equals(slow.dirty)
    assert (
        fast.tails.sort("point")
        .select(list(TAIL_SCHEMA))
        .equals(slow.tails.sort("point").select(list(TAIL_SCHEMA)))
    )
    assert fast.corrections.equals(slow.corrections)
