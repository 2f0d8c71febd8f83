"""Jobs over HTTP: looked at, listed, waited for and acted on."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client

from tests.integration.console.conftest import ALL, SECRETS, Lives, bearer
from worker.jobs.job import JobError
from worker.jobs.states import JobState


def ask(client: Client, path: str, secret: str = ALL, **headers: str) -> Any:
    return client.get(path, headers={**bearer(secret), **headers})


def act(client: Client, path: str, **body: Any) -> Any:
    return client.post(path, json=body, headers=bearer())


def test_a_job_is_told_with_its_version(client: Client, lives: Lives) -> None:
    lives.accept("j1")

    answer = ask(client, "/v1/jobs/j1")

    assert (answer.json["job_id"], answer.json["state"], answer.json["spec"]) == ("j1", "accepted", {})
    assert answer.headers["ETag"] == f'"{answer.json["ver"]}"'
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_spec_is_for_tokens_that_may_see_prompts(client: Client, lives: Lives) -> None:
    lives.accept("j1")

    assert "spec" not in ask(client, "/v1/jobs/j1", SECRETS["read"]).json


@pytest.mark.parametrize("path", ["j1", "j1/timeline", "j1/arrivals", "j1/notifications", "j1/videos/1", "a%20b"])
def test_a_job_that_is_not_there_is_a_404(client: Client, path: str) -> None:
    answer = ask(client, f"/v1/jobs/{path}")

    assert (answer.status_code, answer.json["type"]) == (404, "urn:callsheet:problem:no_such_job")


def test_a_version_that_is_known_is_not_sent_again(client: Client, lives: Lives) -> None:
    lives.accept("j1")
    etag = ask(client, "/v1/jobs/j1").headers["ETag"]

    again = ask(client, "/v1/jobs/j1?wait=1", **{"If-None-Match": etag})

    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)


def test_one_that_waits_is_woken_by_the_change(app: Flask, client: Client, lives: Lives) -> None:
    lives.accept("j1")
    etag = ask(client, "/v1/jobs/j1").headers["ETag"]
    answers: list[Any] = []
    waiting = threading.Thread(
        target=lambda: answers.append(ask(app.test_client(), "/v1/jobs/j1?wait=60", **{"If-None-Match": etag}))
    )
    waiting.start()

    lives.submit("j1")
    waiting.join(30)

    assert answers[0].status_code == 200
    assert answers[0].json["state"] in ("submitting", "submitted")


def test_lists_are_filtered_and_paged(client: Client, lives: Lives) -> None:
    for n in range(3):
        lives.accept(f"j{n}")
    lives.accept("other", provider="apimart")

    first = ask(client, "/v1/jobs?provider=evolink&state=accepted&limit=2").json
    second = ask(client, f"/v1/jobs?provider=evolink&state=accepted&limit=2&cursor={first['next']}").json

    assert sorted(job["job_id"] for job in first["jobs"] + second["jobs"]) == ["j0", "j1", "j2"]
    assert (len(first["jobs"]), second["next"]) == (2, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("nonsense=1", "nonsense"),
        ("state=gone", "state"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("cursor=zzz", "cursor"),
        ("since=yesterday", "since"),
        ("until=2026-12-01T08:00:00", "until"),
        ("open=maybe", "open"),
        ("waits_for=godot", "waits_for"),
        ("tenant=a&tenant=b", "tenant"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused_by_name(client: Client, query: str, field: str) -> None:
    answer = ask(client, f"/v1/jobs?{query}")

    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (400, [field])


def test_acts_are_done_by_the_token(client: Client, lives: Lives) -> None:
    lives.accept("j1")

    cancelled = act(client, "/v1/jobs/j1/cancel", reason="a wrong prompt").json
    again = act(client, "/v1/jobs/j1/retry").json
    moves = ask(client, "/v1/jobs/j1/timeline").json["timeline"]

    assert (cancelled["outcome"], cancelled["done"], again["outcome"]) == ("cancelled", True, "new_attempt")
    assert [(move["actor"], move["reason"]) for move in moves if move["target"] == "cancelled"] == [
        ("all", "a wrong prompt")
    ]
    assert lives.store.jobs.get("j1").state is JobState.ACCEPTED  # type: ignore[union-attr]


def test_what_is_too_late_to_cancel_is_told_honestly(client: Client, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")

    told = act(client, "/v1/jobs/j1/cancel").json

    assert (told["outcome"], told["done"]) == ("too_late", False)


def test_a_failed_job_says_why(client: Client, lives: Lives) -> None:
    lives.accept("bad")
    lives.fail("bad", JobError("submit", "moderated", "the prompt was refused"))

    [listed] = ask(client, "/v1/jobs?error_code=moderated").json["jobs"]

    assert listed["error"] == {"stage": "submit", "code": "moderated", "message": "the prompt was refused"}


@pytest.mark.parametrize(
    ("act_on", "body", "field"),
    [
        ("cancel", {"why": "x"}, "why"),
        ("cancel", {"reason": 1}, "reason"),
        ("retry", {"pay_again": "yes"}, "pay_again"),
        ("replay", {"event": True}, "event"),
        ("replay", {"event": 0}, "event"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_by_name(
    client: Client, lives: Lives, act_on: str, body: dict[str, Any], field: str
) -> None:
    lives.accept("j1")

    answer = client.post(f"/v1/jobs/j1/{act_on}", json=body, headers=bearer())

    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (400, [field])  # type: ignore[index]


def test_a_preview_is_told_and_not_done(client: Client, lives: Lives) -> None:
    lives.accept("j1")

    told = act(client, "/v1/jobs/j1/cancel?preview=1").json
    stands = lives.store.jobs.get("j1")
    done = act(client, "/v1/jobs/j1/cancel?preview=0").json

    assert (told["outcome"], told["done"], told["preview"], told["pays"]) == ("cancelled", True, True, "nothing")
    assert stands is not None
    assert stands.state is JobState.ACCEPTED
    assert (done["outcome"], done["done"], done["preview"]) == ("cancelled", True, False)


@pytest.mark.parametrize("name", ["cancel", "retry", "replay", "renotify", "ask"])
def test_a_preview_that_is_misspelt_does_nothing(client: Client, lives: Lives, name: str) -> None:
    lives.accept("j1")
    entries = lives.store.history.entries("j1")

    answers = [act(client, f"/v1/jobs/j1/{name}?{query}") for query in ("preview=yes", "prevew=1")]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert lives.store.history.entries("j1") == entries


def test_a_provider_is_asked_now_where_there_is_something_to_ask(client: Client, lives: Lives) -> None:
    lives.accept("j1")
    nothing = act(client, "/v1/jobs/j1/ask").json
    lives.submit("j1", due_in_ms=600_000)

    asked = act(client, "/v1/jobs/j1/ask", reason="support wants to know").json
    [entry] = [line for line in ask(client, "/v1/jobs/j1/timeline").json["timeline"] if line["kind"] == "act"]

    assert (nothing["outcome"], nothing["done"]) == ("nothing_to_ask", False)
    assert (asked["outcome"], asked["done"]) == ("asked", True)
    assert lives.store.due.ids() == ["j1"]
    assert (entry["actor"], entry["reason"]) == ("all", "support wants to know")


def test_a_video_is_fetched_by_a_link_of_the_bucket(client: Client, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    lives.archive("j1")

    answer, none = ask(client, "/v1/jobs/j1/videos/1"), ask(client, "/v1/jobs/j1/videos/2")

    assert (answer.status_code, none.status_code) == (302, 404)
    assert "/bucket/j1/1-1.mp4?" in answer.headers["Location"]


def test_providers_are_told_paused_and_resumed(client: Client) -> None:
    paused = act(client, "/v1/providers/evolink/pause", reason="they refuse all").json
    told = {found["provider"]: found["paused"] for found in ask(client, "/v1/providers").json["providers"]}
    resumed = act(client, "/v1/providers/evolink/resume").json

    assert (paused["paused"], resumed["paused"], resumed["was_paused"]) == (True, False, True)
    assert (told["evolink"]["by"], told["evolink"]["reason"], told["apimart"]) == ("all", "they refuse all", None)


def test_models_and_findings_are_told(client: Client) -> None:
    models, doctor = ask(client, "/v1/models").json, ask(client, "/v1/doctor").json

    assert {model["provider"] for model in models["models"]} == {"gmicloud", "evolink", "apimart"}
    assert doctor["verdict"] == "warn", "no process gives a sign here"
    assert {"configuration"} <= {finding["what"] for finding in doctor["findings"]}
