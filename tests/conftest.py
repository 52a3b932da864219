"""What tests share: their support modules say, too, what was found instead of what was wanted."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.support.site", "tests.support.traffic")
