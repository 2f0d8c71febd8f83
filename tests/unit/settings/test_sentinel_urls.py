"""One URL for a Redis behind Sentinel: what it may say, and what Celery is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from worker.settings.redis_urls import Sentinels, in_celerys_words
from worker.settings.values import broker_url, redis_url
from worker.store import connect

URL = "sentinel://us%3Aer:pass%40word@a.internal,b.internal:26380/callsheet/3"


def test_hosts_master_database_and_password_are_read() -> None:
    found = Sentinels.of(URL)

    assert found.hosts == (("a.internal", 26379), ("b.internal", 26380))
    assert (found.master, found.database, found.user, found.password) == ("callsheet", 3, "us:er", "pass@word")


def test_the_password_shows_in_no_text_of_it() -> None:
    assert "pass" not in repr(Sentinels.of(URL))


def test_celery_is_told_in_its_own_words() -> None:
    url, options = in_celerys_words(URL)

    secret = "us%3Aer:pass%40word"
    assert url == f"sentinel://{secret}@a.internal:26379/3;sentinel://{secret}@b.internal:26380/3"
    assert options["master_name"] == "callsheet"
    assert in_celerys_words("redis://host/0") == ("redis://host/0", {})


@pytest.mark.parametrize("read", [redis_url, broker_url])
@pytest.mark.parametrize(
    "url",
    [
        "sentinel://host:26379",
        "sentinel://host/",
        "sentinel:///callsheet",
        "sentinel://host:port/callsheet",
        "sentinel://host:99999/callsheet",
        "sentinel://host/callsheet/x",
        "sentinel://host/callsheet/0/1",
        "sentinel://host/callsheet?db=1",
        "sentinel://host,/callsheet",
        "sentinel://canary@[host/callsheet",
        "sentinel://canary:x@host/call sheet",
    ],
)
def test_any_other_form_is_refused_and_not_quoted(read: object, url: str) -> None:
    assert callable(read)
    with pytest.raises(ValueError, match="name of the master") as refused:
        read(url)

    assert "canary" not in str(refused.value)


def test_a_form_that_is_right_is_kept() -> None:
    assert (redis_url(URL), broker_url(URL)) == (URL, URL)


def test_a_sentinel_that_is_silent_is_given_up_soon() -> None:
    url = "sentinel://one,two/main"

    _, options = Sentinels.of(url).for_celery()
    pool: Any = connect(url).connection_pool
    waits = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]

    for wait in (options["sentinel_kwargs"], *waits):
        assert wait["socket_timeout"] <= 1.0
        assert wait["socket_connect_timeout"] <= 1.0
