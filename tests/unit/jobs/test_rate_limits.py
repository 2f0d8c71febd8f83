"""Limits and prices as they are configured, and how a wait is put into words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from worker.errors import SettingsError
from worker.jobs.caps import Caps
from worker.jobs.money import from_millionths, millionths
from worker.jobs.rate_limits import REASONS, Limits, Refusal, in_words
from worker.jobs.spec import JobSpec
from worker.providers import build
from worker.providers.catalogue.files import shipped
from worker.providers.model import priced
from worker.settings.settings import Settings

NEEDED = {"CALLSHEET_REDIS_URL": "redis://127.0.0.1/0", "CALLSHEET_BUCKET": "videos", "GMICLOUD_API_KEY": "key"}
T2V = "kling-3.0-turbo-t2v"


def problems(**env: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**NEEDED, **env})
    return caught.value.problems


def test_limits_are_read_for_each_provider_and_the_budget_for_all() -> None:
    env = {"GMICLOUD_MAX_CONCURRENT": "5", "GMICLOUD_REQUESTS_PER_MINUTE": "60", "CALLSHEET_DAILY_BUDGET": "12.50"}

    settings = Settings.from_env({**NEEDED, **env})

    assert settings.limits("gmicloud") == Limits("gmicloud", 5, 60, Caps(Decimal("12.50")))
    assert settings.limits("evolink") == Limits("evolink")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "1000000", "٥"])
def test_a_cap_that_is_no_number_of_jobs_is_refused_by_name(text: str) -> None:
    assert problems(GMICLOUD_MAX_CONCURRENT=text) == (
        "GMICLOUD_MAX_CONCURRENT must be a whole number of jobs from 1 to 999999",
    )


def test_one_request_a_minute_is_too_few_to_submit_and_poll() -> None:
    assert "from 2 to 999999" in problems(GMICLOUD_REQUESTS_PER_MINUTE="1")[0]


@pytest.mark.parametrize("text", ["0", "0.00", "-1", "1e3", "NaN", "Infinity", "1,50", "$5", "0.0000001"])
def test_a_budget_that_is_no_amount_is_refused_by_name(text: str) -> None:
    assert problems(CALLSHEET_DAILY_BUDGET=text)[0].startswith(
        "CALLSHEET_DAILY_BUDGET must be an amount of USD above 0"
    )


@pytest.mark.parametrize("text", ["0.1", "m=", "m=a", "m=0.1=2", "m@=1", "m=0.1,m=0.2", "m@720p=-1", "=0.1"])
def test_prices_that_cannot_be_read_are_refused_by_name(text: str) -> None:
    assert problems(GMICLOUD_PRICES=text)[0].startswith("GMICLOUD_PRICES must be prices in USD per second")


@pytest.mark.parametrize("text", ["no-such-model=0.1", f"{T2V}@8k=0.1"])
def test_a_price_for_what_the_provider_has_not_is_refused_by_name(text: str) -> None:
    settings = Settings.from_env({**NEEDED, "GMICLOUD_PRICES": text})

    with pytest.raises(SettingsError, match=r"GMICLOUD_PRICES names .*, which it has not"):
        build(settings)


def test_a_configured_price_goes_before_the_list_price_for_its_resolution_only() -> None:
    rules = priced(shipped()["gmicloud"].models, {(T2V, "720p"): Decimal("0.1")})[T2V]

    small = rules.cost(JobSpec(model=T2V, prompt="p", duration=5, resolution="720p"))
    large = rules.cost(JobSpec(model=T2V, prompt="p", duration=5, resolution="1080p"))

    assert small == {"amount": "0.5", "currency": "USD", "basis": "configured_price"}
    assert large == {"amount": "0.70", "currency": "USD", "basis": "list_price"}


def test_a_price_without_a_resolution_is_for_all_that_have_none_of_their_own() -> None:
    rules = priced(shipped()["gmicloud"].models, {(T2V, ""): Decimal("0.1"), (T2V, "1080p"): Decimal("0.2")})[T2V]

    costs = [rules.cost(JobSpec(model=T2V, prompt="p", duration=5, resolution=size)) for size in ("720p", "1080p")]

    assert [cost and cost["amount"] for cost in costs] == ["0.5", "1.0"]


def test_configured_prices_leave_the_adapters_own_data_alone() -> None:
    build(Settings.from_env({**NEEDED, "GMICLOUD_PRICES": f"{T2V}=9"}))

    assert shipped()["gmicloud"].models[T2V].configured_prices == {}


@pytest.mark.parametrize(("amount", "count"), [("0.336", 336_000), ("0.0000001", 1), ("25", 25_000_000), ("0", 0)])
def test_money_is_counted_in_millionths_rounded_up(amount: str, count: int) -> None:
    assert millionths(Decimal(amount)) == count
    assert from_millionths(count) >= Decimal(amount)


def test_shards_share_the_limits_but_for_money() -> None:
    given = Limits("evolink", 10, 100, Caps(Decimal("9"))).given(shards=3)

    assert given == {"provider": "evolink", "max_concurrent": 3, "per_minute": 33}


def test_what_is_not_limited_is_not_given() -> None:
    assert Limits("evolink").given() == {"provider": "evolink"}


@pytest.mark.parametrize("why", REASONS)
def test_every_reason_is_a_sentence_without_holes(why: str) -> None:
    words = in_words(Refusal(why, 1_795_000_000_000, 3), Limits("evolink", 5, 60, Caps(Decimal("50"))))

    assert "{" not in words
    assert "None" not in words
    assert words.endswith("; 3 before it")


def test_a_wait_says_until_when_where_that_is_known() -> None:
    words = in_words(Refusal("budget", 1_795_046_400_000), Limits("evolink", caps=Caps(Decimal("50"))))

    assert words == (
        "the next UTC day: CALLSHEET_DAILY_BUDGET of 50 USD would be passed, until 2026-11-19 00:00:00 UTC"
    )
