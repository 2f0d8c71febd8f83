"""A misspelt variable is named, with the one that is meant; what is not meant for us is left alone."""

from __future__ import annotations

import pytest

from worker.errors import SettingsError
from worker.settings.settings import Settings

ENV = {"CALLSHEET_REDIS_URL": "redis://h", "CALLSHEET_BUCKET": "bucket", "EVOLINK_API_KEY": "k"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CALLSHEET_DAILY_BUGDET", "CALLSHEET_DAILY_BUDGET"),
        ("CALLSHEET_DAILYBUDGET", "CALLSHEET_DAILY_BUDGET"),
        ("CALLSHEET_BUCKET_PREFX", "CALLSHEET_BUCKET_PREFIX"),
        ("CALSHEET_DAILY_BUDGET", "CALLSHEET_DAILY_BUDGET"),
        ("EVOLINK_MAX_CONCURENT", "EVOLINK_MAX_CONCURRENT"),
        ("EVOLINK_PRICE", "EVOLINK_PRICES"),
        ("EVOLNK_PRICES", "EVOLINK_PRICES"),
        ("GMI_CLOUD_API_KEY", "GMICLOUD_API_KEY"),
        ("APIMART_BASEURL", "APIMART_BASE_URL"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_right_one(name: str, meant: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**ENV, name: "1"})

    [problem] = caught.value.problems
    assert problem.startswith(f"{name} is no variable of ")
    assert problem.endswith(f"is {meant} meant?")


def test_a_variable_of_ours_that_is_like_no_other_is_refused_too() -> None:
    with pytest.raises(SettingsError, match="CALLSHEET_XYZ is no variable of this version: unset it"):
        Settings.from_env({**ENV, "CALLSHEET_XYZ": "1"})


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "CALLSHEET_XYZ", "RUNWAY_API_KEY", "BUCKET", "PATH", "evolink_price"]
)
def test_what_is_empty_or_not_ours_is_left_alone(name: str) -> None:
    env = {**ENV, name: "" if name.startswith("CALLSHEET") else "1"}

    assert Settings.from_env(env).bucket == "bucket"


@pytest.mark.parametrize(
    "name",
    ["CALLSHEET_SERVICE_HOST", "CALLSHEET_SERVICE_PORT_HTTP", "CALLSHEET_PORT", "CALLSHEET_PORT_8000_TCP_ADDR"],
)
def test_what_kubernetes_adds_for_a_service_of_our_name_is_left_alone(name: str) -> None:
    assert Settings.from_env({**ENV, name: "tcp://10.0.0.1:8000"}).bucket == "bucket"
