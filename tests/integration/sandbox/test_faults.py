"""Scripted trouble: what a rule does, to whom, and how often."""

from __future__ import annotations

import gzip
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from deploy.local.tls import LocalTls
from deploy.sandbox.client import ControlError

GMI = "/gmicloud/api/v1/ie/requestqueue/apikey/requests"
APIMART = "/apimart/v1/videos/generations"
KEY = {"Authorization": "Bearer k"}
BODY = {"model": "kling-3.0-turbo", "prompt": "a corgi"}
GMI_BODY = {"model": "kling-3.0-turbo-t2v", "payload": {"prompt": "a corgi"}}


# --- submits


def test_429_tells_when_to_come_back_and_no_job_exists(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "status": 429, "retry_after": 7})

    reply = caller.post(APIMART, BODY)
    second = caller.post(APIMART, BODY)

    assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
    assert reply.json()["error"]["type"] == "rate_limit_exceeded"
    assert second.status == 200
    assert len(control.requests()) == 1


@pytest.mark.parametrize("created", [True, False])
def test_a_5xx_may_hide_a_job_that_was_created(caller: Any, control: Any, created: bool) -> None:
    control.script({"on": "submit", "status": 500, "created": created})

    reply = caller.post(GMI, GMI_BODY)

    assert (reply.status, reply.json()) == (500, {"error": "internal error"})
    assert len(control.requests()) == created
    assert (control.history()[0]["request_id"] is not None) == created


def test_a_proxys_html_page_is_no_json(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "html": True}, {"on": "submit", "html": True, "status": 200})

    bad_gateway, ok = caller.post(GMI, GMI_BODY), caller.post(GMI, GMI_BODY)

    assert (bad_gateway.status, ok.status) == (502, 200)
    assert bad_gateway.headers["Content-Type"] == "text/html"
    assert bad_gateway.content.startswith(b"<!DOCTYPE html>")


def test_a_submit_can_be_redirected(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "redirect_to": "https://elsewhere.example.com/", "status": 307})

    reply = caller.post(GMI, GMI_BODY)

    assert (reply.status, reply.headers["Location"]) == (307, "https://elsewhere.example.com/")


def test_an_answer_can_be_any_json(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "body": {"code": 500, "data": None}, "created": True})

    reply = caller.post(APIMART, BODY)

    assert (reply.status, reply.json()) == (200, {"code": 500, "data": None})
    assert len(control.requests()) == 1


@pytest.mark.parametrize(
    ("rule", "jobs"), [({"cut": True}, 0), ({"cut": True, "created": True}, 1), ({"half": True}, 1)]
)
def test_a_connection_is_cut_before_or_after_the_job_exists(
    caller: Any, control: Any, rule: dict[str, Any], jobs: int
) -> None:
    control.script({"on": "submit", **rule})

    with pytest.raises(urllib3.exceptions.HTTPError):
        caller.post(APIMART, BODY)

    assert len(control.requests()) == jobs
    assert control.history()[0]["sent"] == ("part" if "half" in rule else "cut")
    assert caller.post(APIMART, BODY).status == 200


def test_a_slow_answer_is_late_but_the_job_exists_at_once(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "slow_seconds": 20})

    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        caller.pool.request("POST", caller.url + APIMART, json=BODY, headers=KEY, timeout=0.5)

    assert len(control.requests()) == 1
    assert control.history()[0]["answer"] == 200


# --- generations


def test_a_generation_takes_as_long_as_scripted(caller: Any, control: Any) -> None:
    control.script({"on": "generation", "seconds": 5})
    quick, usual = caller.submit_gmi(), caller.submit_gmi()

    control.advance(5)

    assert [caller.gmi(item)["status"] for item in (quick, usual)] == ["success", "queued"]


@pytest.mark.parametrize("videos", [0, 3])
def test_a_generation_may_have_any_number_of_videos(caller: Any, control: Any, videos: int) -> None:
    rule = {"on": "generation", "seconds": 0, "videos": videos, "times": 3}
    control.script(rule)

    gmi = caller.gmi(caller.submit_gmi())
    evolink = caller.evolink(caller.submit_evolink())
    apimart = caller.apimart(caller.submit_apimart())

    links = [item["url"] for item in gmi["outcome"]["media_urls"]]
    assert len({caller.get(link).content for link in links}) == videos
    assert len(evolink["results"]) == len(apimart["result"]["videos"]) == videos


# --- polls


def test_a_new_id_may_be_unknown_for_a_while(caller: Any, control: Any) -> None:
    control.script({"on": "poll", "not_found_seconds": 30, "times": None})
    request_id = caller.submit_gmi()
    first = caller.get(f"{GMI}/{request_id}").status

    control.advance(30)

    assert (first, caller.get(f"{GMI}/{request_id}").status) == (404, 200)


def test_a_poll_may_fail_for_now(caller: Any, control: Any) -> None:
    request_id = caller.submit_evolink()
    control.script({"on": "poll", "retry_after": 3, "times": 2}, {"on": "poll", "status": 503})

    replies = [caller.get(f"/evolink/v1/tasks/{request_id}") for _ in range(4)]

    assert [reply.status for reply in replies] == [429, 429, 503, 200]
    assert [reply.headers.get("Retry-After") for reply in replies] == ["3", "3", None, None]


@pytest.mark.parametrize("word", ["throttled", "cancelled"])
def test_a_poll_may_use_a_word_nobody_knows(caller: Any, control: Any, word: str) -> None:
    control.script({"on": "poll", "status_word": word, "times": 3})

    words = [
        caller.gmi(caller.submit_gmi())["status"],
        caller.evolink(caller.submit_evolink())["status"],
        caller.apimart(caller.submit_apimart())["status"],
    ]

    assert words == [word] * 3


def test_the_list_may_fail_too(caller: Any, control: Any) -> None:
    control.script({"on": "list", "status": 500})

    assert [caller.get(GMI).status, caller.get(GMI).status] == [500, 200]


# --- downloads


@pytest.fixture
def link(caller: Any, control: Any) -> str:
    """The link of a finished video."""
    control.script({"on": "generation", "seconds": 0})
    return str(caller.gmi(caller.submit_gmi())["outcome"]["media_urls"][0]["url"])


def test_a_download_breaks_off_while_more_was_declared(caller: Any, control: Any, link: str) -> None:
    whole = caller.get(link).content
    control.script({"on": "download", "truncated": "connection"})

    with pytest.raises(urllib3.exceptions.HTTPError):
        caller.get(link)

    download = control.history(kind="download")[-1]
    assert (download["sent"], download["sent_bytes"]) == ("part", len(whole) // 2)


def test_a_file_may_be_short_while_http_looks_whole(caller: Any, control: Any, link: str) -> None:
    whole = caller.get(link).content
    control.script({"on": "download", "truncated": "file"})

    reply = caller.get(link)

    assert (reply.status, reply.content) == (200, whole[: len(whole) // 2])


def test_an_endless_download_ends_only_with_the_client(caller: Any, control: Any, link: str, wait_until: Any) -> None:
    size = len(caller.get(link).content)
    control.script({"on": "download", "endless": True})

    response = caller.pool.request("GET", link, preload_content=False)
    read = len(response.read(10 * size))
    declared = response.headers.get("Content-Length")
    response.close()

    assert (read, declared) == (10 * size, None)
    assert wait_until(lambda: control.history(kind="download")[-1].get("sent_bytes", 0) >= 10 * size)


def test_a_slow_download_keeps_its_rate(caller: Any, control: Any, link: str) -> None:
    whole = caller.get(link).content
    control.script({"on": "download", "bytes_per_second": 1000})

    response = caller.pool.request("GET", link, preload_content=False)
    first = response.read(150)

    assert first == whole[:150]
    assert "sent" not in control.history(kind="download")[-1]  # 20 s to go
    response.close()


def test_a_slow_download_arrives_whole(caller: Any, control: Any, link: str) -> None:
    whole = caller.get(link).content
    control.script({"on": "download", "bytes_per_second": len(whole) * 5})

    assert caller.get(link).content == whole


@pytest.mark.parametrize("is_told", [True, False], ids=["close_notify", "no close_notify"])
@pytest.mark.parametrize("without_length", [True, False], ids=["no length", "a length"])
def test_the_end_of_the_connection_is_told_by_tls_unless_a_rule_says_otherwise(
    caller: Any, control: Any, link: str, tls: LocalTls, without_length: bool, is_told: bool
) -> None:
    whole = caller.get(link).content
    control.script({"on": "download", "without_length": without_length, "without_close_notify": not is_told})

    answer, was_told = read_to_the_end(link, tls)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == whole
    assert (b"Content-Length" in head) != without_length
    assert was_told == is_told


def read_to_the_end(link: str, tls: LocalTls) -> tuple[bytes, bool]:
    """All that comes, and whether TLS told that no more will."""
    parts = urlsplit(link)
    with (
        socket.create_connection((str(parts.hostname), parts.port or 443), timeout=10) as plain,
        tls.context().wrap_socket(plain, server_hostname=parts.hostname, suppress_ragged_eofs=False) as connection,
    ):
        connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        try:
            while received := connection.recv(65536):
                answer += received
        except ssl.SSLEOFError:
            return answer, False
        return answer, True


@pytest.mark.parametrize(("rule", "status"), [({}, 403), ({"status": 404}, 404)])
def test_a_dead_link_may_work_the_next_time(
    caller: Any, control: Any, link: str, rule: dict[str, int], status: int
) -> None:
    control.script({"on": "download", "dead": True, **rule})

    assert [caller.get(link).status, caller.get(link).status] == [status, 200]


def test_a_page_may_come_instead_of_the_video(caller: Any, control: Any, link: str) -> None:
    control.script({"on": "download", "html": True})

    reply = caller.get(link)

    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html")


def test_a_download_may_be_redirected(caller: Any, control: Any, link: str) -> None:
    control.script({"on": "download", "redirect_to": "http://169.254.169.254/latest"})

    reply = caller.get(link)

    assert (reply.status, reply.headers["Location"]) == (302, "http://169.254.169.254/latest")


def test_a_download_may_be_compressed_unasked(caller: Any, control: Any, link: str) -> None:
    whole = caller.get(link).content
    control.script({"on": "download", "gzip": True})

    reply = caller.get(link)

    assert reply.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(reply.content) == whole


# --- whom a rule hits


def test_a_rule_hits_only_whom_it_names(caller: Any, control: Any) -> None:
    control.script(
        {"on": "generation", "seconds": 0, "match": {"provider": "apimart", "contains": "marker-7"}, "times": None}
    )

    marked = caller.submit_apimart(prompt="a corgi, marker-7")
    plain = caller.submit_apimart(prompt="a corgi")
    elsewhere = caller.submit_gmi(prompt="a corgi, marker-7")

    assert [caller.apimart(item)["status"] for item in (marked, plain)] == ["completed", "pending"]
    assert caller.gmi(elsewhere)["status"] == "queued"


def test_a_marker_may_stand_in_any_language_and_any_field(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "status": 503, "match": {"contains": "犬"}})
    control.script({"on": "submit", "status": 502, "match": {"contains": "/job-9/", "model": GMI_BODY["model"]}})

    assert caller.post(APIMART, {"model": "kling-3.0-turbo", "prompt": "一只犬"}).status == 503
    assert caller.post(GMI, {**GMI_BODY, "payload": {"prompt": "see /job-9/"}}).status == 502


def test_a_marker_is_looked_for_in_the_words_themselves(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "status": 503, "match": {"contains": 'says "hi"\n'}})

    assert caller.post(GMI, {**GMI_BODY, "payload": {"prompt": 'she says "hi"\n'}}).status == 503


def test_one_request_can_be_singled_out(caller: Any, control: Any) -> None:
    one, other = caller.submit_gmi(), caller.submit_gmi()
    control.script({"on": "poll", "status": 500, "match": {"request_id": one}, "times": None})

    statuses = [caller.get(f"{GMI}/{item}").status for item in (one, other, one)]

    assert statuses == [500, 200, 500]


def test_rules_are_used_up_in_the_order_they_came(caller: Any, control: Any) -> None:
    numbers = control.script({"on": "submit", "status": 500, "times": 2}, {"on": "submit", "status": 503})
    caller.post(APIMART, BODY)

    left = [(rule["rule"], rule["left"]) for rule in control.rules()]
    statuses = [caller.post(APIMART, BODY).status for _ in range(3)]

    assert left == [(numbers[0], 1), (numbers[1], 1)]
    assert statuses == [500, 503, 200]
    assert control.rules() == []


def test_a_wrong_key_uses_no_rule_up(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "status": 500})

    assert [caller.post(APIMART, BODY, key=None).status, caller.post(APIMART, BODY).status] == [401, 500]


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ({"on": "submit", "statsu": 500}, "statsu"),
        ({"on": "moon"}, "moon"),
        ({}, "on"),
        ({"on": "submit", "status": "500"}, "status"),
        ({"on": "submit", "status": 99}, "status"),
        ({"on": "submit", "times": 0}, "times"),
        ({"on": "generation", "outcome": "maybe"}, "outcome"),
        ({"on": "callback", "forged": ["nicely"]}, "forged"),
        ({"on": "submit", "match": {"provider": "acme"}}, "provider"),
        ({"on": "poll", "bytes_per_second": 5}, "bytes_per_second"),
    ],
)
def test_a_rule_with_a_mistake_is_refused_and_named(control: Any, rule: dict[str, Any], word: str) -> None:
    with pytest.raises(ControlError, match=word):
        control.script({"on": "submit", "status": 500}, rule)

    assert control.rules() == []
