"""Scopes: in which of an enterprise's totals a point counts, and with which sign."""

from __future__ import annotations

import polars as pl

from nengshao.domain.units import Scope, Use


def scope_sign(scope: Scope) -> pl.Expr:
    """+1, −1 or 0 (Int8): how a point counts in `scope`, from its columns `sign` and `use`.

    A certificate (绿证) says that so much of what came in was non-fossil: whatever its own sign, it is
    nothing in the total and is deducted where the non-fossil part is.
    """
    sign, use = pl.col("sign").cast(pl.Int8), pl.col("use")
    nothing = pl.lit(0, pl.Int8)
    is_certificate = use == Use.CERTIFICATE
    total = pl.when(is_certificate).then(nothing).otherwise(sign)
    feedstock = pl.when(use == Use.FEEDSTOCK).then(sign).otherwise(nothing)
    non_fossil = (
        pl.when(is_certificate)
        .then(pl.lit(1, pl.Int8))
        .when(use == Use.NON_FOSSIL)
        .then(sign)
        .otherwise(nothing)
    )
    return {
        Scope.TOTAL: total,
        Scope.FEEDSTOCK: feedstock,
        Scope.NON_FOSSIL: non_fossil,
        Scope.EXCLUDING_FEEDSTOCK: total - feedstock,
        Scope.EXCLUDING_NON_FOSSIL: total - non_fossil,
        Scope.NET: total - feedstock - non_fossil,
    }[scope]
