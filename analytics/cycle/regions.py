"""The assessment of regions: sums of their key units, judged against the regions' own targets."""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.cycle.facts import Facts
from analytics.regions import members_of, region_scope_totals, region_totals
from analytics.revisions import changed_days, published_pairs
from nengshao.frames import BLOCKS, POINT_DAYS
from nengshao.ports import AssessmentCommit, Lease, Revision, StateStore

_PAIR: Final = ["enterprise", "day"]
_SPANS: Final = {"enterprise": pl.String, "start": pl.Int64, "end": pl.Int64}
_SPAN_DAYS: Final = 31  # of the members' rows read at once: a month of 17 000 enterprises fits in memory


class RegionDays:
    """Sums up the dirty days of regions: those on which a published figure of a member has changed."""

    def __init__(self, state: StateStore, *, partition: int, batch_days: int) -> None:
        self._state, self._partition, self._batch_days = state, partition, batch_days

    def assess_due(self, lease: Lease, facts: Facts) -> tuple[int, int]:
        """Every dirty region × day up to today: (days, revisions)."""
        members = members_of(facts.registry.regions, facts.everyone)
        days = revisions = 0
        while True:
            claimed = self._state.claim_dirty(self._partition, self._batch_days)
            claimed = claimed.filter(pl.col("day") <= facts.today)
            if claimed.is_empty():
                return days, revisions
            for (_,), portion in claimed.group_by(pl.col("day") // _SPAN_DAYS, maintain_order=True):
                revisions += self._assess(lease, facts, portion, members)
                days += portion.height

    def _assess(self, lease: Lease, facts: Facts, claimed: pl.DataFrame, members: pl.DataFrame) -> int:
        asked = claimed.select(_PAIR)
        mine = members.join(asked, left_on="region", right_on="enterprise", how="semi")
        names = mine["enterprise"].unique().sort().to_list()
        first, end = int(asked["day"].min()), int(asked["day"].max()) + 1  # type: ignore[arg-type]  # an Int32 column's least and greatest
        days = self._state.enterprise_days(names, first, end)
        totals = region_totals(days, mine, facts.everyone, asked)
        scopes = region_scope_totals(self._state.scope_days(names, first, end), days, mine, asked)
        regions = asked["enterprise"].unique().sort().to_list()
        before = self._state.enterprise_days(regions, first, end).join(asked, on=_PAIR, how="semi")
        changes = _revisions(before, totals)
        commit = AssessmentCommit(
            at=facts.as_of,
            claimed=claimed.select(*_PAIR, "generation"),
            point_days=POINT_DAYS.empty(),
            enterprise_days=totals,
            blocks=BLOCKS.empty(),
            block_spans=pl.DataFrame(schema=_SPANS),
            revisions=changes,
            scope_days=scopes,
        )
        self._state.commit_assessment(lease, commit)
        return len(changes)


def _revisions(before: pl.DataFrame, after: pl.DataFrame) -> list[Revision]:
    """What was published of the regions' days and is now different: because of a member, never by itself."""
    published = published_pairs(before)
    none = POINT_DAYS.empty(), BLOCKS.empty()
    was, now = (frame.join(published, on=_PAIR, how="semi") for frame in (before, after))
    return [
        Revision(region, day, "member", old, new)
        for region, day, old, new in changed_days((was, *none), (now, *none))
    ]
