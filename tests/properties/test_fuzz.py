"""The fuzz targets, for a moment each; `make fuzz` gives them more."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import inputs
from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_input_breaks_a_target(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(inputs(name)))


@pytest.mark.parametrize("name", TARGETS)
def test_no_seed_breaks_a_target(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)
