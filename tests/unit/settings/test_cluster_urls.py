"""One URL for a Redis Cluster: what it may say, and what else must be said beside it."""

from __future__ import annotations

import pytest

from worker.errors import SettingsError
from worker.settings.redis_urls import is_cluster, node_urls
from worker.settings.settings import Settings
from worker.settings.values import broker_url, redis_url, store_url

URL = "cluster://us%3Aer:pass%40word@a.internal,b.internal:7001"
REQUIRED = {"CALLSHEET_REDIS_URL": URL, "CALLSHEET_BUCKET": "bucket", "EVOLINK_API_KEY": "key"}
OF_CELERY = {"CALLSHEET_BROKER_URL": "amqps://rabbit", "CALLSHEET_RESULT_BACKEND": "redis://results/0"}


def test_each_node_is_named_as_redis_knows_it() -> None:
    secret = "us%3Aer:pass%40word"

    assert node_urls(URL) == [f"redis://{secret}@a.internal/0", f"redis://{secret}@b.internal:7001/0"]
    assert node_urls("clusters://a?ssl_ca_certs=/ca.pem") == ["rediss://a/0?ssl_ca_certs=/ca.pem"]
    assert [is_cluster(url) for url in (URL, "clusters://a", "redis://a", "sentinel://a/m")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "url",
    [
        "cluster://",
        "cluster://canary@",
        "cluster://canary@a,",
        "cluster://canary@a:port",
        "cluster://canary@a:99999",
        "cluster://canary@a/1",
        "cluster://canary@a#b",
        "cluster://canary@[a",
        "cluster://canary@a b",
    ],
)
def test_any_other_form_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="cluster://") as refused:
        store_url(url)

    assert "canary" not in str(refused.value)


def test_an_option_that_redis_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="option"):
        store_url("cluster://a?socket_timeout=soon")


@pytest.mark.parametrize("read", [broker_url, redis_url])
def test_celery_is_given_no_cluster(read: object) -> None:
    assert callable(read)
    with pytest.raises(ValueError, match="must be a redis://"):
        read(URL)


def test_messages_and_results_need_a_place_of_their_own() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(REQUIRED)

    assert [problem.split(":")[0] for problem in refused.value.problems] == [f"{name} is not set" for name in OF_CELERY]
    assert all("Celery cannot use a cluster" in problem for problem in refused.value.problems)


def test_with_them_it_is_a_configuration() -> None:
    settings = Settings.from_env({**REQUIRED, **OF_CELERY, "CALLSHEET_SHARDS": "16"})

    assert (settings.redis_url, settings.shards) == (URL, 16)
    assert (settings.broker_url, settings.result_backend) == tuple(OF_CELERY.values())


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5"])
def test_the_number_of_shards_is_a_whole_one(number: str) -> None:
    with pytest.raises(SettingsError, match="CALLSHEET_SHARDS must be a whole number of shards"):
        Settings.from_env({**REQUIRED, **OF_CELERY, "CALLSHEET_SHARDS": number})


def test_a_limit_of_which_a_shard_would_keep_nothing_is_refused() -> None:
    limits = {"CALLSHEET_SHARDS": "8", "EVOLINK_MAX_CONCURRENT": "7", "EVOLINK_REQUESTS_PER_MINUTE": "15"}
    enough = {"EVOLINK_MAX_CONCURRENT": "8", "EVOLINK_REQUESTS_PER_MINUTE": "16"}

    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**REQUIRED, **OF_CELERY, **limits})
    settings = Settings.from_env({**REQUIRED, **OF_CELERY, **limits, **enough})

    assert refused.value.problems == (
        "EVOLINK_MAX_CONCURRENT must be 8 or more with that CALLSHEET_SHARDS",
        "EVOLINK_REQUESTS_PER_MINUTE must be 16 or more with that CALLSHEET_SHARDS",
    )
    assert settings.limits("evolink").given(settings.shards)["max_concurrent"] == 1
