"""One more POST under the same key settles a lost answer, only where the operator vouches for the provider's keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.integration.steps.conftest import HOUR, JOB, Scene
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step

S = JobState


def trusting(scene: Scene) -> Services:
    """The services of an operator who has set APIMART_TRUST_IDEMPOTENCY."""
    settings = scene.services.settings
    options = replace(settings.providers["apimart"], trusts_keys=True)
    return scene.but(settings=replace(settings, providers={**settings.providers, "apimart": options}))


def sent(scene: Scene) -> list[tuple[str, Any]]:
    """Each POST that came to APIMart: its key and its body."""
    calls = [call for call in scene.control.history(kind="call") if call["method"] == "POST"]
    return [(call["headers"].get("idempotency-key", ""), call["body"]) for call in calls]


@pytest.mark.parametrize("created", [True, False])
def test_one_more_post_of_the_same_bytes_under_the_same_key_settles_it(scene: Scene, created: bool) -> None:
    scene.unconfirmed("apimart", created=created)
    scene.rule("submit", honours_key=True, times=None)

    next_step = scene.run(Step.POLL, services=trusting(scene))

    assert (next_step, scene.job().state) == (Step.POLL, S.SUBMITTED)
    assert [scene.job().request_id] == scene.created()
    first, again = sent(scene)
    assert first == again
    assert first[0] == f"{JOB}-1"


def test_without_the_operators_word_it_is_never_sent_again(scene: Scene) -> None:
    scene.unconfirmed("apimart")

    for _ in range(3):
        scene.run(Step.POLL)

    assert (scene.job().state, len(sent(scene))) == (S.UNCONFIRMED, 1)


def test_it_is_sent_once_more_and_never_again(scene: Scene) -> None:
    scene.unconfirmed("apimart")
    scene.rule("submit", honours_key=True, cut=True, created=True)

    for _ in range(3):
        scene.run(Step.POLL, services=trusting(scene))

    assert (scene.job().state, len(sent(scene)), len(scene.created())) == (S.UNCONFIRMED, 2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 503, "retry_after": 7},
        {"status": 429, "retry_after": 7},
        {"status": 409, "retry_after": 7, "body": {"error": {"code": "idempotency_in_progress", "message": "wait"}}},
    ],
    ids=lambda answer: str(answer["status"]),
)
def test_an_answer_that_asks_to_wait_is_followed_by_one_more_try(scene: Scene, answer: dict[str, Any]) -> None:
    scene.unconfirmed("apimart")
    scene.rule("submit", **answer)
    scene.rule("submit", honours_key=True)

    scene.run(Step.POLL, services=trusting(scene))
    waits = scene.due_in()
    scene.advance(60)
    scene.run(Step.POLL, services=trusting(scene))

    assert 0 < waits <= 60
    assert (scene.job().state, len(scene.created())) == (S.SUBMITTED, 1)


@pytest.mark.parametrize("code", ["idempotency_key_reused", "idempotency_result_indeterminate"])
def test_a_key_that_the_provider_cannot_tell_of_ends_it(scene: Scene, code: str) -> None:
    scene.unconfirmed("apimart")
    scene.rule("submit", status=409, body={"error": {"code": code, "message": "no"}})

    for _ in range(2):
        scene.run(Step.POLL, services=trusting(scene))

    assert (scene.job().state, len(sent(scene))) == (S.UNCONFIRMED, 2)


def test_a_refusal_says_nothing_of_the_first_post(scene: Scene) -> None:
    scene.unconfirmed("apimart")
    scene.rule("submit", status=402)

    scene.run(Step.POLL, services=trusting(scene))

    assert scene.job().state is S.UNCONFIRMED


def test_an_old_key_is_not_relied_on(scene: Scene) -> None:
    scene.unconfirmed("apimart")
    scene.advance(HOUR + 1)

    scene.run(Step.POLL, services=trusting(scene))

    assert len(sent(scene)) == 1
