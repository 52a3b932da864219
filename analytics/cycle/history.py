"""What the books hold of subjects, gathered for `analytics.standing`, and how they stood in the past."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analytics.balance import first_day_of_balance
from analytics.law import Law
from analytics.quota import year_days
from analytics.regions import members_of, region_blocks
from analytics.standing import Figures, asked_years, first_year_of, measures_on
from nengshao.domain.alerts import Alert
from nengshao.domain.codes import is_region_code
from nengshao.domain.rules import Measure
from nengshao.domain.time import day_start
from nengshao.domain.units import Carrier
from nengshao.frames import BLOCKS
from nengshao.ports import StateStore
from nengshao.registry import Registry


def figures_of(
    state: StateStore,
    registry: Registry,
    names: Sequence[str],
    *,
    today: int,
    recent_from: int,
    since: int | None = None,
    alerts: Sequence[Alert] = (),
) -> Figures:
    """The figures in force of these enterprises and regions. `registry`: their rows of it; `since`: the first
    day that is looked at, `today` unless said otherwise; `alerts`: those that are open."""
    asked = asked_years(registry, alerts)
    regions = [name for name in names if is_region_code(name)]
    enterprises = [name for name in names if not is_region_code(name)]
    first = year_days(first_year_of(registry, asked, today=today if since is None else since))[0]
    end = today + 1
    span = day_start(first), day_start(end)
    blocks = [state.blocks(enterprises, *span), blocks_of_regions(state, regions, span)]
    return Figures(
        enterprise_days=state.enterprise_days(names, first, end),
        scope_days=state.scope_days(names, first, end),
        blocks=pl.concat(blocks),
        point_days=_point_days(state, registry, enterprises, (first, recent_from, end)),
        statistics=state.statistics(names, first, end),
        recent_from=recent_from,
        asked=asked,
    )


class History:
    """How the registry's subjects stood on days of the past, by the figures in force now."""

    def __init__(self, state: StateStore, registry: Registry, law: Law, *, first: int, last: int) -> None:
        """Reads everything that the days [first, last] need, once."""
        self._registry, self._law = registry, law
        named = [registry.enterprises["enterprise"], registry.quotas["enterprise"]]
        names = sorted({*pl.concat([*named, registry.intensity_targets["enterprise"]])})
        self._figures = figures_of(
            state, registry, names, today=last, recent_from=first_day_of_balance(first), since=first
        )

    def measures_on(self, day: int, measure: Measure) -> pl.DataFrame:
        """MEASURES of one measure at the end of an accounting day."""
        return measures_on(self._figures, self._registry, self._law, measure, today=day)


def blocks_of_regions(state: StateStore, regions: Sequence[str], span: tuple[int, int]) -> pl.DataFrame:
    """BLOCKS of members in every partition, as their regions'."""
    if not regions:
        return BLOCKS.empty()
    registry = state.registry()
    members = members_of(registry.regions, registry.enterprises).filter(pl.col("region").is_in(regions))
    names = members["enterprise"].unique().sort().to_list()
    return region_blocks(state.blocks(names, *span), members, regions)


def _point_days(
    state: StateStore, registry: Registry, enterprises: Sequence[str], days: tuple[int, int, int]
) -> pl.DataFrame:
    """Every point's recent days, and the earlier ones of points that products are charged with."""
    first, recent_from, end = days
    recent = state.point_days(enterprises, recent_from, end)
    charged = _charged_points(registry)
    makers = registry.points.join(charged, on="point", how="semi")["enterprise"].unique().sort().to_list()
    if not makers or first >= recent_from:
        return recent
    earlier = state.point_days(makers, first, recent_from).join(charged, on="point", how="semi")
    return pl.concat([earlier, recent])


def _charged_points(registry: Registry) -> pl.DataFrame:
    """point: those that products are charged with; of a product without shares that a norm may limit in kWh,
    its enterprise's electricity."""
    shared = registry.product_shares.select("point")
    limited = registry.products.filter(pl.col("norm") != "").join(
        registry.product_shares, on=["enterprise", "product"], how="anti"
    )
    electricity = registry.points.filter(pl.col("carrier") == Carrier.ELECTRICITY)
    return pl.concat(
        [shared, electricity.join(limited, on="enterprise", how="semi").select("point")]
    ).unique()
