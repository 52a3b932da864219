"""What an alert rests on, frozen when it fires: the rule, the figure with its bounds, the tree below it."""

from __future__ import annotations

from typing import Any

from analytics.explanation.nodes import UNCONFIRMED_LABEL, Node
from nengshao.domain.factors import Confidence
from nengshao.domain.rules import Judgement, Rule
from nengshao.domain.time import iso_text


def explain_measure(judgement: Judgement, rule: Rule, *, tree: Node | None = None) -> dict[str, Any]:
    """JSON-able: the rule with its bands, the figure judged, and its tree (None: there is none to open).

    An alert rests on the figure and on the rule: `because` lists what of both nobody has confirmed.
    """
    doubts = [] if tree is None else list(tree["because"])
    if not Confidence(rule.confidence).is_confirmed:
        doubts.append(f"规则 / rule {rule.name}: {rule.confidence}")
    return {
        "enterprise": judgement.enterprise,
        "subject": judgement.subject,
        "as_of": iso_text(judgement.at),
        "value": judgement.value,
        "low": judgement.low,
        "high": judgement.high,
        "unit": rule.measure.unit,
        "coverage": judgement.coverage,
        "rule": rule_facts(rule),
        "band": judgement.band,
        "is_confirmed": judgement.is_confirmed,
        "label": None if judgement.is_confirmed else UNCONFIRMED_LABEL,
        "because": doubts,
        "tree": tree,
    }


def rule_facts(rule: Rule) -> dict[str, Any]:
    """The rule as it was when it was judged by."""
    return {
        "name": rule.name,
        "measure": rule.measure.value,
        "op": rule.op.value,
        "threshold": rule.threshold,
        "bands": [
            {
                "op": (band.op or rule.op).value,
                "threshold": band.threshold,
                "severity": band.severity.value,
                "level": band.level,
            }
            for band in rule.bands
        ],
        "hold_s": rule.hold_s,
        "min_coverage": rule.min_coverage,
        "severity": rule.severity.value,
        "months": list(rule.months),
        "regions": list(rule.regions),
        "subjects": rule.subjects,
        "legal_basis": rule.legal_basis,
        "confidence": rule.confidence,
        "summary_zh": rule.summary_zh,
        "summary_en": rule.summary_en,
    }
