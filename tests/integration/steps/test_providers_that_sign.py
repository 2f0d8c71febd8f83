"""Whole jobs at the providers that sign: by callback, by poll, after a lost answer to the POST, cancelled there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.integration.steps.conftest import HOUR, JOB, MINUTE, SECRET, Scene
from webhook.callbacks import Address, Receiver
from worker.errors import ForgedCallbackError
from worker.jobs.spec import parse_spec
from worker.jobs.states import JobState
from worker.operations import cancel
from worker.providers import build
from worker.providers.base import CallbackTrust
from worker.settings.settings import SECRET_NAMES
from worker.steps import Step, deliver

S = JobState
PROVIDERS = ("kling", "fal", "replicate")
LISTING = ("kling", "fal", "replicate")
CANCELLING = ("fal", "replicate")

every = pytest.mark.parametrize("provider", PROVIDERS)


class Sent:
    """Takes what the sandbox sends for a job into the real receiver, with the headers and bytes as they came."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def take(self, request_id: str, **order: Any) -> str:
        """Order one delivery at the sandbox, which nobody takes, and hand its bytes to the receiver."""
        delivery = self._scene.control.callback(request_id, url="https://127.0.0.1:9/nobody", **order)[0]
        return self.hand_over(delivery)

    def hand_over(self, delivery: dict[str, Any]) -> str:
        services = self._scene.services
        provider = services.providers[self._scene.job().provider]
        receiver = Receiver(services.providers, (SECRET,), self._scene.store, nudge=lambda _: None)
        address = Address(provider, JOB, self._scene.job().attempt)
        return receiver.take(address, delivery["sent"].encode(), headers=delivery["headers"])


@pytest.fixture
def sent(scene: Scene) -> Sent:
    return Sent(scene)


def creates(scene: Scene) -> int:
    """The requests that providers have made for all jobs."""
    return len(scene.control.requests())


@every
def test_a_job_is_made_by_its_signed_callback_alone(scene: Scene, sent: Sent, provider: str) -> None:
    job = scene.submitted(provider)
    scene.finish()

    assert sent.take(str(job.request_id)) == "stored"
    scene.follow(step=Step.CONFIRM)

    assert scene.job().state is S.ARCHIVED
    assert (scene.job().generated_by, scene.gets()) == ("callback", 0)
    assert (len(scene.videos()), creates(scene)) == (1, 1)


@every
def test_a_job_whose_callback_never_comes_is_made_by_polls(scene: Scene, provider: str) -> None:
    scene.submitted(provider)
    scene.finish()

    scene.look_when_due()
    scene.follow()

    assert scene.job().state is S.ARCHIVED
    assert (scene.job().generated_by, len(scene.videos()), creates(scene)) == ("poll", 1, 1)


@every
def test_a_signed_failure_ends_a_job_with_the_providers_own_reason(scene: Scene, sent: Sent, provider: str) -> None:
    scene.rule("generation", outcome="failed", code="content_policy_violation", message="the prompt was flagged")
    job = scene.submitted(provider)
    scene.finish()

    sent.take(str(job.request_id))
    scene.run(Step.CONFIRM)

    error = scene.job().error
    assert error is not None
    assert (error.code, scene.gets()) == ("moderation", 0)
    assert "the prompt was flagged" in error.message


@every
@pytest.mark.parametrize("signature", ["wrong", "stale", "unsigned"])
def test_a_callback_that_is_not_signed_well_moves_nothing(
    scene: Scene, sent: Sent, provider: str, signature: str
) -> None:
    job = scene.submitted(provider)
    scene.finish()

    with pytest.raises(ForgedCallbackError):
        sent.take(str(job.request_id), signature=signature)

    assert (scene.job().state, scene.store.callbacks.events(JOB)) == (S.SUBMITTED, ())
    assert scene.counter("callbacks_forged") == 1
    scene.follow()
    assert scene.job().state is S.ARCHIVED, "the poll stays the safety net"


@every
def test_a_replayed_callback_takes_no_effect_twice(scene: Scene, sent: Sent, provider: str) -> None:
    job = scene.submitted(provider)
    scene.finish()
    delivery = scene.control.callback(str(job.request_id), url="https://127.0.0.1:9/nobody")[0]
    first = sent.hand_over(delivery)
    scene.follow(step=Step.CONFIRM)
    moves = scene.moves()

    again = sent.hand_over(delivery)

    assert (first, again) == ("stored", "repeat")
    assert scene.moves() == moves
    scene.advance(6 * MINUTE)
    with pytest.raises(ForgedCallbackError):
        sent.hand_over(delivery)


@every
def test_keys_that_are_rotated_are_followed(scene: Scene, sent: Sent, provider: str) -> None:
    job = scene.submitted(provider)
    scene.finish()
    scene.control.sign(provider, rotate="standard")

    assert sent.take(str(job.request_id)) == "stored"


@pytest.mark.parametrize("provider", LISTING)
@pytest.mark.parametrize("created", [True, False])
def test_a_cut_post_ends_with_one_create_at_most(scene: Scene, provider: str, created: bool) -> None:
    scene.unconfirmed(provider, created=created)

    scene.look_when_due()
    scene.finish()

    if created:
        scene.look_when_due()
        scene.follow()
        assert scene.job().state is S.ARCHIVED
        assert len(scene.videos()) == 1
    else:
        scene.advance(2 * HOUR)
        scene.look()
        assert scene.job().held == "failed(confirm)"
    assert (scene.posts(), creates(scene)) == (1, int(created))


@every
def test_a_cut_post_is_settled_by_its_signed_callback(scene: Scene, sent: Sent, provider: str) -> None:
    scene.unconfirmed(provider)
    (request_id,) = [request["request_id"] for request in scene.control.requests()]
    scene.finish()

    sent.take(request_id)
    scene.follow(step=Step.CONFIRM)

    assert (scene.job().state, scene.job().request_id) == (S.ARCHIVED, request_id)
    assert (len(scene.videos()), creates(scene)) == (1, 1)


@pytest.mark.parametrize("provider", CANCELLING)
def test_a_cancel_is_asked_for_there_and_believed_by_its_answer(scene: Scene, provider: str) -> None:
    scene.submitted(provider)

    outcome = cancel.cancel(JOB, scene.services)
    scene.look()

    assert (outcome.code, outcome.is_done) == ("asked", False)
    error = scene.job().error
    assert error is not None
    assert error.code == "cancelled_there"


@pytest.mark.parametrize("provider", CANCELLING)
def test_a_cancel_that_comes_too_late_says_so_and_the_video_is_archived(scene: Scene, provider: str) -> None:
    scene.submitted(provider)
    scene.finish()

    outcome = cancel.cancel(JOB, scene.services)
    scene.follow()

    assert (outcome.code, outcome.is_done) == ("too_late", False)
    assert scene.job().state is S.ARCHIVED


@pytest.mark.parametrize("provider", CANCELLING)
@pytest.mark.parametrize("trouble", [{"status": 500}, {"cut": True}, {"status": 200, "html": True}], ids=str)
def test_a_cancel_without_an_answer_is_unknown(scene: Scene, provider: str, trouble: dict[str, Any]) -> None:
    scene.submitted(provider)
    scene.rule("cancel", **trouble)

    outcome = cancel.cancel(JOB, scene.services)

    assert outcome.code in ("unknown", "asked")
    assert "did not tell" in outcome.words or trouble.get("html")


@pytest.mark.parametrize("provider", CANCELLING)
def test_a_preview_of_a_cancel_asks_nobody(scene: Scene, provider: str) -> None:
    scene.submitted(provider)

    outcome = cancel.cancel(JOB, scene.services, preview=True)

    assert (outcome.code, outcome.is_preview) == ("asked", True)
    assert [request["state"] for request in scene.control.requests()] == ["waiting"]


def test_replicates_links_are_known_to_live_an_hour(scene: Scene) -> None:
    job = scene.generated("replicate")

    finished = scene.control.requests()[0]["finishes_at"]
    assert job.link_expires_at == round((finished + HOUR) * 1000)


@pytest.mark.parametrize("provider", SECRET_NAMES)
def test_without_a_secret_callbacks_only_say_when_to_ask(scene: Scene, provider: str) -> None:
    settings = scene.services.settings
    unset = {name: replace(options, webhook_secrets=()) for name, options in settings.providers.items()}
    built = build(replace(settings, providers=unset))[provider]

    assert (built.trust, built.verifier) == (CallbackTrust.HINT, None)
    assert scene.services.providers[provider].trust is CallbackTrust.VERIFIED


def test_a_signed_job_is_told(scene: Scene, sent: Sent) -> None:
    job = scene.submitted("replicate")
    scene.finish()
    sent.take(str(job.request_id))
    scene.follow(step=Step.CONFIRM)

    deliver.run(JOB, scene.services)

    assert scene.told.states == ["archived"]


def test_kling_finds_a_lost_post_by_our_name_alone(scene: Scene) -> None:
    scene.unconfirmed("kling")
    other = scene.strangers("kling")

    scene.look_when_due()

    (ours,) = [item["request_id"] for item in scene.control.requests() if item["request_id"] != other.request_id]
    assert scene.job().request_id == ours
    assert [entry["query"] for entry in scene.calls("GET")][-1] == {"external_task_ids": "job-1-1"}


def test_a_name_that_kling_has_already_is_no_refusal_but_our_own_earlier_try(scene: Scene) -> None:
    spec = parse_spec(scene.spec("kling"))
    earlier = scene.services.providers["kling"].submit(spec, images={}, callback_url=None, reference="job-1-1")
    scene.accepted("kling")

    scene.run(Step.SUBMIT)
    held = scene.job().state
    scene.look_when_due()

    assert (held, scene.job().request_id) == (S.UNCONFIRMED, earlier.request_id)
    assert creates(scene) == 1


def test_no_room_at_kling_waits_and_no_money_there_opens_the_breaker(scene: Scene) -> None:
    full = {"code": 1303, "message": "parallel task over resource pack limit", "request_id": "r"}
    empty = {"code": 1102, "message": "Resource pack exhausted or expired", "request_id": "r"}
    scene.rule("submit", status=429, body=full)
    scene.accepted("kling")
    scene.run(Step.SUBMIT)
    waiting = scene.job().state
    scene.rule("submit", status=429, body=empty)
    scene.accepted("kling", "job-2")
    scene.advance(HOUR)

    scene.run(Step.SUBMIT, "job-2")

    assert waiting is S.ACCEPTED
    assert scene.counter("providers_locked_out") == 1
