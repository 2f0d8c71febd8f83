"""Submit: what each answer of a provider means, and that nothing that may be paid is ever sent twice."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from deploy.local.ports import free_port
from tests.integration.steps.conftest import API_KEY, HOUR, JOB, Scene
from worker import providers as provider_adapters
from worker.jobs.job import JobError
from worker.jobs.spec import parse_spec
from worker.jobs.states import JobState
from worker.operations import retry
from worker.providers.apimart import ApiMart
from worker.providers.http import Api, trust
from worker.services import Services
from worker.steps import Step, submit

S = JobState
PROVIDERS = ("gmicloud", "evolink", "apimart")

MAYBE_TAKEN: dict[str, dict[str, Any]] = {
    "reset": {"cut": True},
    "half an answer": {"half": True},
    "500": {"status": 500},
    "502 of a proxy": {"html": True, "status": 502},
    "503 without a time": {"status": 503},
    "504": {"status": 504},
    "408": {"status": 408},
    "200 of a proxy": {"html": True, "status": 200},
    "200 without an id": {"body": {"status": "queued"}},
    "200 that is no object": {"body": [1]},
    "redirect": {"redirect_to": "https://127.0.0.1:9/elsewhere", "status": 307},
}
"""An answer of unknown outcome -> the rule that makes it."""


def elsewhere(scene: Scene, provider: str, base_url: str) -> Services:
    """The services with *provider* at another address."""
    settings = scene.services.settings
    moved = {**settings.providers, provider: replace(settings.providers[provider], base_url=base_url)}
    moved_settings = replace(settings, providers=moved)
    return scene.but(settings=moved_settings, providers=provider_adapters.build(moved_settings))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_post_that_is_taken_makes_the_job_submitted_and_is_sent_once(scene: Scene, provider: str) -> None:
    scene.accepted(provider)

    next_step = scene.run(Step.SUBMIT)

    assert next_step is None
    assert scene.job().state is S.SUBMITTED
    assert scene.created() == [scene.job().request_id]
    assert scene.posts() == 1


def test_a_job_that_is_taken_is_shown_as_started(scene: Scene) -> None:
    job = scene.submitted()

    assert [(shown.id, shown.state, shown.ver) for shown in scene.told.started_jobs] == [(JOB, S.SUBMITTED, job.ver)]


def test_what_a_provider_bills_is_kept_with_its_answer(scene: Scene) -> None:
    job = scene.submitted("evolink")

    assert job.usage["billing_rule"] == "per_second"
    assert job.cost["basis"] == "list_price"


def test_an_answer_that_is_terminal_already_is_looked_at_at_once(scene: Scene) -> None:
    scene.rule("generation", seconds=0)
    twin = scene.strangers("gmicloud")
    outcome = {"media_urls": [{"id": "0", "url": twin.links[0].url}]}
    scene.rule("submit", body={"request_id": twin.request_id, "status": "success", "outcome": outcome})
    scene.accepted()

    next_step = scene.run(Step.SUBMIT)

    assert next_step is Step.POLL
    assert scene.is_due()
    assert scene.follow(step=Step.POLL).state is S.ARCHIVED


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_a_refusal_fails_the_job_and_is_not_tried_again(scene: Scene, status: int) -> None:
    scene.rule("submit", status=status)
    scene.accepted("apimart")

    next_step = scene.run(Step.SUBMIT)

    job = scene.job()
    assert next_step is Step.DELIVER
    assert job.state is S.FAILED
    assert job.error is not None
    assert job.error.stage == "submit"
    assert scene.follow().closed_at is not None
    assert scene.told.states == ["failed"]
    assert scene.posts() == 1


def test_an_error_shape_that_an_adapter_declares_is_a_refusal(scene: Scene) -> None:
    scene.rule("submit", status=500, body={"error": "Backend error (400): prompt is sensitive"})
    scene.accepted("gmicloud")

    scene.run(Step.SUBMIT)

    assert scene.moves()[-1] == "failed(submit)"


@pytest.mark.parametrize("status", [429, 503])
def test_not_taken_keeps_the_retry_after_and_then_posts_again(scene: Scene, status: int) -> None:
    scene.rule("submit", status=status, retry_after=37)
    scene.accepted()

    next_step = scene.run(Step.SUBMIT)

    assert next_step is None
    assert scene.job().state is S.ACCEPTED
    assert scene.due_in() >= 37
    scene.look_when_due()
    assert scene.job().state is S.SUBMITTED
    assert (scene.posts(), len(scene.created())) == (2, 1)


def test_a_429_without_a_time_backs_off_further_with_each_try(scene: Scene) -> None:
    scene.rule("submit", status=429, times=5)
    scene.accepted()
    scene.run(Step.SUBMIT)
    waits = [scene.due_in()]

    for _ in range(4):
        scene.look_when_due()
        waits.append(scene.due_in())

    assert all(later > 1.5 * sooner for sooner, later in pairwise(waits))
    assert scene.job().try_no == 5


def test_a_provider_that_cannot_be_reached_has_not_taken_it(scene: Scene) -> None:
    unreachable = elsewhere(scene, "gmicloud", f"https://127.0.0.1:{free_port()}/gmicloud")
    scene.accepted()

    scene.run(Step.SUBMIT, services=unreachable)

    job = scene.job()
    assert job.state is S.ACCEPTED
    assert "unreachable" in job.waiting_for
    scene.look_when_due()
    assert scene.job().state is S.SUBMITTED


def test_a_certificate_that_is_not_trusted_has_not_taken_it(scene: Scene) -> None:
    distrustful = replace(scene.services.settings, ca_file=None)
    scene.accepted()

    scene.run(Step.SUBMIT, services=scene.but(providers=provider_adapters.build(distrustful)))

    assert scene.moves() == ["accepted", "submitting", "accepted"]
    assert scene.posts() == 0


@pytest.mark.parametrize("was_created", [True, False], ids=["taken", "not taken"])
@pytest.mark.parametrize("trouble", MAYBE_TAKEN)
def test_an_answer_that_leaves_it_open_is_unconfirmed_and_never_posted_again(
    scene: Scene, trouble: str, was_created: bool
) -> None:
    scene.rule("submit", created=was_created, **MAYBE_TAKEN[trouble])
    scene.accepted("apimart")

    next_step = scene.run(Step.SUBMIT)
    scene.run(Step.SUBMIT)
    scene.look()
    scene.look_when_due()

    assert next_step is Step.POLL
    assert scene.moves() == ["accepted", "submitting", "unconfirmed", "failed(confirm)"]
    assert (scene.posts(), len(scene.created())) == (1, int(was_created))


def test_an_answer_that_takes_too_long_is_unconfirmed(scene: Scene) -> None:
    settings = scene.services.settings
    base_url = settings.providers["apimart"].base_url
    assert base_url is not None
    api = Api("apimart", base_url, API_KEY, trust(settings.ca_file), post_seconds=(5.0, 0.05))
    scene.rule("submit", slow_seconds=0.15)
    scene.accepted("apimart")

    scene.run(Step.SUBMIT, services=scene.but(providers={"apimart": ApiMart(api)}))

    assert scene.job().state is S.UNCONFIRMED
    assert len(scene.created()) == 1


def test_a_redirect_is_not_followed_so_our_key_stays_here(scene: Scene) -> None:
    other_host = scene.services.settings.providers["evolink"].base_url
    scene.rule("submit", redirect_to=f"{other_host}/v1/videos/generations", status=307)
    scene.accepted("apimart")

    scene.run(Step.SUBMIT)

    assert [call["path"] for call in scene.calls("POST")] == ["/apimart/v1/videos/generations"]


def test_an_adapter_that_breaks_may_have_sent_it(scene: Scene) -> None:
    def break_down(_: object) -> None:
        raise ZeroDivisionError

    scene.accepted("apimart")

    next_step = scene.run(Step.SUBMIT, services=scene.meddled("apimart", after_submit=break_down))

    assert next_step is Step.POLL
    assert scene.job().state is S.UNCONFIRMED


def test_the_request_id_of_another_job_is_not_taken_over(scene: Scene) -> None:
    first = scene.submitted("apimart", "job-1")
    data = [{"status": "submitted", "task_id": first.request_id}]
    scene.rule("submit", body={"code": 200, "data": data}, created=True)
    scene.accepted("apimart", "job-2")

    scene.run(Step.SUBMIT, "job-2")

    assert scene.job("job-2").state is S.UNCONFIRMED
    assert scene.job("job-2").request_id is None
    assert scene.job("job-1") == first
    assert scene.counter("request_ids_taken") == 1


def test_two_deliveries_of_one_message_at_once_post_once(scene: Scene) -> None:
    scene.accepted()
    together = threading.Barrier(8)

    def deliver() -> None:
        together.wait()
        submit.run(JOB, scene.services)

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert scene.posts() == 1
    assert scene.job().state is S.SUBMITTED


def test_a_message_redelivered_while_the_post_is_in_flight_does_nothing(scene: Scene) -> None:
    second: list[Step | None] = []
    busy = scene.meddled("gmicloud", before_submit=lambda: second.append(scene.run(Step.SUBMIT)))
    scene.accepted()

    scene.run(Step.SUBMIT, services=busy)

    assert second == [None]
    assert scene.posts() == 1


def test_an_old_message_does_not_post_before_the_retry_after_is_over(scene: Scene) -> None:
    scene.rule("submit", status=429, retry_after=60)
    scene.accepted()
    scene.run(Step.SUBMIT)

    scene.advance(59)
    scene.run(Step.SUBMIT)

    assert scene.posts() == 1


def test_a_doubled_message_does_not_try_again_before_its_time(scene: Scene) -> None:
    unreachable = elsewhere(scene, "gmicloud", f"https://127.0.0.1:{free_port()}/gmicloud")
    scene.accepted()

    for _ in range(3):
        scene.run(Step.SUBMIT, services=unreachable)

    assert scene.job().try_no == 1


def test_a_job_that_moved_on_is_not_submitted_again(scene: Scene) -> None:
    scene.submitted()

    assert scene.run(Step.SUBMIT) is None
    assert scene.posts() == 1


def test_a_job_that_no_provider_takes_in_time_fails(scene: Scene) -> None:
    scene.rule("submit", status=429, times=None)
    scene.accepted()
    scene.run(Step.SUBMIT)

    scene.advance(6 * HOUR + 1)
    next_step = scene.run(Step.SUBMIT)

    assert next_step is Step.DELIVER
    assert scene.job().error == JobError(
        "submit",
        "submit_deadline",
        "no provider took it in time; gmicloud to take it (rate_limited: answered 429: too many requests)",
    )
    assert scene.posts() == 1


def test_a_new_attempt_has_the_whole_deadline_for_itself(scene: Scene) -> None:
    scene.rule("submit", status=400)
    scene.accepted()
    scene.follow()
    scene.advance(7 * HOUR)
    assert retry.run(JOB, scene.services).applied
    scene.rule("submit", status=429, retry_after=5)

    scene.run(Step.SUBMIT)
    scene.look_when_due()

    assert scene.job().state is S.SUBMITTED
    assert scene.job().attempt == 2


def test_a_provider_that_is_not_configured_any_more_is_waited_for_in_words(scene: Scene) -> None:
    others = {name: adapter for name, adapter in scene.services.providers.items() if name != "gmicloud"}
    scene.accepted()

    scene.run(Step.SUBMIT, services=scene.but(providers=others))

    job = scene.job()
    assert job.state is S.ACCEPTED
    assert job.waiting_for == "provider gmicloud to be configured: GMICLOUD_API_KEY"
    assert scene.due_in() > 1
    scene.look_when_due()
    assert scene.job().state is S.SUBMITTED


def test_a_provider_that_never_comes_back_does_not_keep_a_job_for_ever(scene: Scene) -> None:
    nobody = scene.but(providers={})
    scene.accepted()
    scene.run(Step.SUBMIT, services=nobody)

    scene.advance(6 * HOUR + 1)
    scene.run(Step.SUBMIT, services=nobody)

    assert scene.moves()[-1] == "failed(submit)"
    assert "GMICLOUD_API_KEY" in scene.job().error.message  # type: ignore[union-attr]


def test_the_callback_url_is_told_only_to_a_provider_that_calls_back(scene: Scene) -> None:
    for provider in PROVIDERS:
        scene.submitted(provider, f"job-{provider}")

    bodies = {call["provider"]: call["body"] for call in scene.calls("POST")}
    assert bodies["evolink"]["callback_url"].startswith("https://127.0.0.1:9/callbacks/evolink/job-evolink/1/")
    assert bodies["apimart"]["webhook"].startswith("https://127.0.0.1:9/callbacks/apimart/job-apimart/1/")
    assert "callback" not in str(bodies["gmicloud"])


def test_without_a_public_url_no_provider_is_told_to_call_back(scene: Scene) -> None:
    hidden = scene.but(settings=replace(scene.services.settings, public_url=None))
    scene.accepted("evolink")

    scene.run(Step.SUBMIT, services=hidden)

    assert "callback_url" not in scene.calls("POST")[0]["body"]
    assert scene.due_in() < 40, "it is polled like any other"


@pytest.mark.parametrize(("provider", "seconds"), [("gmicloud", 300), ("apimart", 300), ("evolink", 300)])
def test_the_first_poll_waits_in_proportion_to_the_estimate(scene: Scene, provider: str, seconds: int) -> None:
    scene.rule("generation", seconds=seconds)
    estimate = scene.services.providers[provider].estimate_seconds(parse_spec(scene.spec(provider)))

    scene.submitted(provider)

    if provider == "evolink":
        assert scene.due_in() > seconds, "its own estimate; its callback comes first"
    elif provider == "apimart":
        assert scene.due_in() > estimate, "its callback comes first"
    else:
        assert 0.3 * estimate < scene.due_in() < estimate


def test_no_secret_prompt_or_link_gets_into_log_or_record(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "worker")
    scene.accepted("evolink", prompt="a secret wish for job-1.")
    scene.rule("submit", status=400, body={"error": {"code": "x", "message": "no: a secret wish for job-1."}})

    scene.run(Step.SUBMIT)

    written = (
        str([vars(record) for record in caplog.records]) + str(scene.job()) + str(scene.store.history.timeline(JOB))
    )
    assert "secret wish" not in written
    assert API_KEY not in written
