"""Explanations: any figure opened into a tree of what it was made of. Pure; one form for all (`nodes`).

A total opens into points, amounts, factors, long gaps and what is missing (`totals`), a region's into its key
units (`regions`); progress into what was used and what was due (`targets`); an intensity into energy and
statistics (`intensities`); data quality into days and meters (`quality`). `alerts` freezes what fired.
"""

from __future__ import annotations

from analytics.explanation.alerts import explain_measure
from analytics.explanation.explainer import Explainer, days_needed
from analytics.explanation.nodes import UNCONFIRMED_LABEL

__all__ = ["UNCONFIRMED_LABEL", "Explainer", "days_needed", "explain_measure"]
