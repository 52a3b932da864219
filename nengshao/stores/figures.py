"""The frames of `ResultStore.write_figures`."""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.frames import ENTERPRISE_DAYS, INTENSITY, PROGRESS, Contract

ALERT_COUNTS: Final = Contract(
    "ALERT_COUNTS",
    {
        "enterprise": pl.String,
        "at": pl.Int64,
        "firing": pl.Int64,
        "insufficient": pl.Int64,
    },
    key=("enterprise", "at"),
)
"""How many alerts of an enterprise were firing, and how many lacked data, at an instant."""

FIGURES: Final = (ENTERPRISE_DAYS, PROGRESS, ALERT_COUNTS, INTENSITY)
"""The contracts of `ResultStore.write_figures`, in the order of its arguments."""
