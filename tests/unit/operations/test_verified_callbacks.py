"""The doctor says where callbacks that are signed are not verified."""

from __future__ import annotations

import pytest

from worker.operations.doctor.dependency_checks import signatures
from worker.settings.settings import Settings

ENV = {
    "CALLSHEET_REDIS_URL": "redis://h",
    "CALLSHEET_BUCKET": "bucket",
    "CALLSHEET_PUBLIC_URL": "https://callsheet.example.com",
    "CALLSHEET_CALLBACK_SECRETS": "0123456789abcdef0123456789abcdef",
    "KLING_API_KEY": "k",
    "REPLICATE_API_TOKEN": "k",
    "FAL_KEY": "k",
    "EVOLINK_API_KEY": "k",
}
SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="


def told(**more: str) -> list[str]:
    return [f"{finding.mark} {finding.advice}" for finding in signatures(Settings.from_env({**ENV, **more}))]


def test_each_provider_whose_secret_is_not_set_is_named() -> None:
    assert [line.split(",")[0] for line in told()] == [
        "warn set KLING_WEBHOOK_SECRETS",
        "warn set REPLICATE_WEBHOOK_SECRETS",
    ]


def test_a_secret_that_is_set_is_no_finding() -> None:
    assert len(told(KLING_WEBHOOK_SECRETS=SECRET)) == 1
    assert told(KLING_WEBHOOK_SECRETS=SECRET, REPLICATE_WEBHOOK_SECRETS=f"{SECRET},{SECRET}") == []


@pytest.mark.parametrize("url", [""])
def test_where_nothing_calls_back_nothing_need_be_verified(url: str) -> None:
    assert told(CALLSHEET_PUBLIC_URL=url) == []
