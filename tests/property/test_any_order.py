"""Any order, any batching, any repetition: the same winners, and books that balance."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.outcomes import TAIL_SCHEMA, advanced_watermarks, merged_watermarks, outcomes_of
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
        watermarks = merged_watermarks(watermarks, advanced_watermarks(outcomes.rows))
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
