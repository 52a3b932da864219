"""Codes of enterprises and regions that cannot belong to anyone, yet pass every check a real one passes."""

from __future__ import annotations

from typing import Final

from nengshao.domain.codes import credit_code_check_character

# The first two digits of a division code (GB/T 2260) are the province's: 11–15, 21–23, 31–37, 41–46, 50–54,
# 61–65, 71, 81, 82. There is no 99, so no real enterprise can ever be registered in one of these divisions.
PROVINCE: Final = "990000"
CITY: Final = "990100"
COUNTY: Final = "990101"

REGIONS: Final[tuple[dict[str, str], ...]] = (
    {"code": PROVINCE, "name": "示例省（虚构）", "parent": ""},
    {"code": CITY, "name": "示例市（虚构）", "parent": PROVINCE},
    {"code": COUNTY, "name": "示例县（虚构）", "parent": CITY},
)
"""Registry rows of divisions that do not exist, in a province that does not either."""

HUNAN_COUNTY: Final = "439901"
SHANDONG_COUNTY: Final = "379901"

PROVINCIAL_REGIONS: Final[tuple[dict[str, str], ...]] = (
    {"code": "370000", "name": "山东省", "parent": ""},
    {"code": "379900", "name": "示例市（虚构，山东）", "parent": "370000"},
    {"code": SHANDONG_COUNTY, "name": "示例县（虚构，山东）", "parent": "379900"},
    {"code": "430000", "name": "湖南省", "parent": ""},
    {"code": "439900", "name": "示例市（虚构，湖南）", "parent": "430000"},
    {"code": HUNAN_COUNTY, "name": "示例县（虚构，湖南）", "parent": "439900"},
)
"""Fictitious cities and counties of real provinces, so that the provinces' factors apply: no city of them is
numbered 99."""

# An organisation code (GB 11714-1997, as remembered): eight characters, then 11 − Σ(value × weight) mod 11,
# where 10 is written X and 11 is written 0.
_ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
_ORGANISATION_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def organisation_check_character(body: str) -> str:
    """Check character for the eight characters of an organisation code.

    >>> organisation_check_character("M000100Y")
    '4'
    """
    values = [_ORGANISATION_ALPHABET.index(c) for c in body]
    total = sum(value * weight for value, weight in zip(values, _ORGANISATION_WEIGHTS, strict=True))
    return "0123456789X0"[11 - total % 11]


def fictitious_credit_code(number: int) -> str:
    """The 18-character code of the simulated enterprise with this number (0 to 9 999 999).

    "91": an enterprise registered with the market regulator; then the division that does not exist.
    """
    organisation = f"M{number:07d}"
    body = f"91{COUNTY}{organisation}{organisation_check_character(organisation)}"
    return body + credit_code_check_character(body)
