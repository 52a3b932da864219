"""Law as data, loaded: factors, norms, calendar and rules, shipped and overlaid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from analytics.calendar_library import Calendar, load_calendar
from analytics.factor_library import load_factors
from analytics.norm_library import load_norms
from analytics.rulebook_loader import load_rulebook
from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import FactorTable
from nengshao.domain.norms import NormTable
from nengshao.domain.rules import Rule

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Law:
    """Everything that is law as data; the rules by name."""

    factors: FactorTable
    norms: NormTable
    calendar: Calendar
    rules: Mapping[str, Rule]


def load_law(
    *,
    factor_dirs: Sequence[Path] = (),
    norm_dirs: Sequence[Path] = (),
    calendar_dirs: Sequence[Path] = (),
    rulebook_dirs: Sequence[Path] = (),
) -> Law:
    """What ships, with a county's directories laid over it, later ones over earlier.

    Raises: ConfigError with every problem of every library at once.
    """
    problems: list[str] = []

    def loaded(load: Callable[[Sequence[Path]], T], directories: Sequence[Path]) -> T | None:
        try:
            return load(directories)
        except ConfigError as exc:
            problems.extend(exc.problems)
            return None

    factors = loaded(load_factors, factor_dirs)
    norms = loaded(load_norms, norm_dirs)
    calendar = loaded(load_calendar, calendar_dirs)
    rules = loaded(load_rulebook, rulebook_dirs)
    if factors is None or norms is None or calendar is None or rules is None:
        raise ConfigError(problems)
    return Law(factors, norms, calendar, {rule.name: rule for rule in rules})
