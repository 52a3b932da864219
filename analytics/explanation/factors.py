"""A factor as a leaf: with its edition, source, confidence, and what it was made of."""

from __future__ import annotations

from analytics.explanation.nodes import Node, node
from nengshao.domain.factors import Basis, Factor


def factor_leaf(factor: Factor) -> Node:
    """A factor row. Units: kg of standard coal, or of CO2, per canonical unit of its carrier."""
    mass = "kgCO2" if factor.basis is Basis.CARBON else "kgce"
    return node(
        "factor", factor.factor_id, float(factor.per_unit), f"{mass}/{factor.carrier.unit}",
        because=doubts_of(factor),
        source=factor.source, edition=factor.edition, confidence=factor.confidence.value,
        facts={
            "fraction": str(factor.per_unit), "carrier": factor.carrier.value, "basis": factor.basis.value,
            "region": factor.region, "note": factor.note,
            "valid_from": factor.valid_from.isoformat(),
            "valid_to": None if factor.valid_to is None else factor.valid_to.isoformat(),
            "parts": dict(factor.parts),
        },
    )  # fmt: skip


def gone_factor_leaf(factor_id: str) -> Node:
    """A factor that figures at rest were made by and the library no longer has: they will be restated."""
    doubt = f"系数已不在库，待重算 / factor no longer in the library: {factor_id}"
    return node("factor", factor_id, None, "", because=[doubt])


def doubts_of(factor: Factor) -> list[str]:
    """Why nobody may rest a case on the factor; empty if one may."""
    if factor.confidence.is_confirmed:
        return []
    return [f"系数 / factor {factor.factor_id}: {factor.confidence.value}"]
