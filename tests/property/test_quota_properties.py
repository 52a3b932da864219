"""What holds for every year: any order of rows, any cut, nothing known of days to come."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.usage import used_to_date
from nengshao.domain.factors import Basis
from nengshao.domain.units import Scope
from tests.support import metering as m
from tests.support import quotas as q

D = 86_400
YEAR = q.number(2025)
QUICK = settings(max_examples=20, deadline=None)

figures = st.lists(st.integers(0, 5000), min_size=1, max_size=60)


def world(values: list[int], seed: int | None = None) -> dict[str, Any]:
    """Two years of it, with scopes, blocks and three quotas; `seed`: in another order."""
    last = [values[i % len(values)] + 500 for i in range(365)]
    rows = q.days(q.number(2024), [*last, 500]) + q.days(YEAR, values, calorific_gap_high=9)
    scopes = [row | {"scope": "net", "calorific_g": row["calorific_g"] // 2} for row in rows]
    blocks = [q.block(m.T0 - 40 * D, m.T0 - 30 * D, 999), q.block(m.T0 + 100, m.T0 + D + 7, 501)]
    quotas = [
        q.quota(999_999, profile="last_year"),
        q.quota(777_777, level="incentive"),
        q.quota(888_888, scope="net", profile="plan"),
    ]
    plans = q.plan(range(1, 13), scope="net")
    if seed is not None:
        for table in (rows, scopes, blocks, quotas, plans):
            random.Random(seed).shuffle(table)
    return {"rows": rows, "scopes": scopes, "blocks": blocks, "quotas": quotas, "plans": plans}


@QUICK
@given(figures, st.integers(0, 1000))
def test_any_order_of_rows_gives_the_same_bytes(values: list[int], seed: int) -> None:
    one, other = q.progress_rows(**world(values)), q.progress_rows(**world(values, seed))
    assert one.write_ipc(None).getvalue() == other.write_ipc(None).getvalue()


@QUICK
@given(figures, st.integers(0, 59))
def test_progress_until_a_day_is_that_of_a_world_without_later_days(values: list[int], at: int) -> None:
    cut = YEAR + min(at, len(values) - 1)
    known = world(values)
    earlier = known | {name: [row for row in known[name] if row["day"] <= cut] for name in ("rows", "scopes")}
    assert q.progress_rows(**known, until=cut).equals(q.progress_rows(**earlier))


@QUICK
@given(st.lists(st.integers(-500, 1000) | st.none(), min_size=2, max_size=12), st.integers(1, 11))
def test_cutting_a_span_in_two_adds_up(figures: list[int | None], at: int) -> None:
    rows = q.days(YEAR, figures, calorific_gap_low=-3, calorific_gap_high=8)
    cut, end = YEAR + min(at, len(figures) - 1), YEAR + len(figures)

    def sums(first: int, end: int) -> list[int]:
        frame = used_to_date(
            *q.frames(rows, [], []),
            basis=Basis.CALORIFIC, scope=Scope.TOTAL, first_day=first, end_day=end,
        ).collect()  # fmt: skip
        return [int(frame[name].sum()) for name in ("used_g", "low_g", "high_g")]

    whole, left, right = sums(YEAR, end), sums(YEAR, cut), sums(cut, end)
    assert whole == [a + b for a, b in zip(left, right, strict=True)]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 10**12), min_size=12, max_size=12), st.integers(0, 10**15))
def test_by_every_profile_more_is_due_from_day_to_day_and_all_of_it_at_the_end(
    planned: list[int], quota: int
) -> None:
    last = [planned[i % 12] for i in range(366)]
    rows = q.days(q.number(2024), last) + q.days(YEAR, [1] * 365)
    quotas = [
        q.quota(quota),
        q.quota(quota, basis="equivalent", profile="last_year"),
        q.quota(quota, basis="carbon", profile="plan"),
    ]
    plans = q.plan(planned, basis="carbon")
    due = [
        q.progress_rows(rows, quotas, plans=plans, until=YEAR + day)["due_g"].to_list()
        for day in (0, 30, 31, 59, 200, 364)
    ]
    assert due[-1] == [quota] * 3
    for of_profile in zip(*due, strict=True):
        assert list(of_profile) == sorted(of_profile)
