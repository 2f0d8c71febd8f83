"""Providers that refuse or fail everybody: the others wait, and a probe tells when to go on."""

from __future__ import annotations

import pytest

from tests.integration.steps.conftest import GENERATION_SECONDS, JOB, Scene
from tests.integration.steps.limited import MORE, accepted, states, tick
from tests.integration.steps.meddling import Meddler
from worker.errors import ProviderError
from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.steps import Step

S = JobState


def test_a_refused_prompt_locks_nobody_out_and_is_never_sent_again(scene: Scene) -> None:
    flagged = {"error": {"code": "content_policy_violation", "message": "the prompt was flagged"}}
    scene.rule("submit", status=403, body=flagged)
    accepted(scene, JOB, *MORE)
    scene.run(Step.SUBMIT)
    for _ in range(20):
        tick(scene)

    assert states(scene, JOB, *MORE) == ["failed", "submitted", "submitted", "submitted"]
    assert scene.job().error == JobError(
        "submit",
        "moderation",
        "answered 403 (content_policy_violation): the prompt was flagged",
        "content_policy_violation",
    )
    assert scene.posts() == 1
    assert scene.counter("providers_locked_out") == 0


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_lock_out_fails_one_job_and_the_others_wait_unpaid(scene: Scene, status: int) -> None:
    scene.rule("submit", status=status, times=None)
    accepted(scene, JOB, *MORE)
    scene.run(Step.SUBMIT)

    for _ in range(65):
        tick(scene)

    assert states(scene, JOB, *MORE) == ["failed", "accepted", "accepted", "accepted"]
    assert scene.counter("providers_locked_out") == 1
    assert len(scene.calls("POST")) <= 1 + 6, "one probe in ten seconds"
    assert [scene.created(job_id) for job_id in (JOB, *MORE)] == [[], [], [], []]


def test_after_a_lock_out_all_that_waited_go_once_the_key_is_taken_again(scene: Scene) -> None:
    scene.rule("submit", status=401, times=2)
    accepted(scene, JOB, *MORE)
    scene.run(Step.SUBMIT)

    for _ in range(60):
        tick(scene)

    assert states(scene, *MORE) == ["submitted"] * 3
    assert [scene.posts(job_id) for job_id in MORE] == [2, 1, 1], "the probe that was refused went again"


def test_a_probe_that_was_refused_lets_all_others_go_before_it(scene: Scene) -> None:
    scene.rule("submit", status=402, times=4)
    accepted(scene, JOB, *MORE)
    scene.run(Step.SUBMIT)

    for _ in range(90):
        tick(scene)

    assert states(scene, *MORE) == ["submitted"] * 3
    assert [scene.posts(job_id) for job_id in MORE] == [2, 2, 2], "each was the probe once, and none twice in a row"


class ClosedAccount(Meddler):
    """A provider whose account page says that nothing is left."""

    def check_key(self) -> None:
        raise ProviderError("gmicloud", ErrorCode.NO_CREDIT, "its account page says that nothing is left")


def test_no_probe_is_sent_while_the_account_is_closed(scene: Scene) -> None:
    opened = scene.services
    scene.rule("submit", status=402)
    accepted(scene, JOB, MORE[0])
    scene.run(Step.SUBMIT)
    scene.services = scene.but(providers={"gmicloud": ClosedAccount(opened.providers["gmicloud"])})
    for _ in range(30):
        tick(scene)
    during = scene.posts(MORE[0])
    words = scene.job(MORE[0]).waiting_for

    scene.services = opened
    for _ in range(60):
        tick(scene)

    assert during == 0
    assert "gmicloud" in words
    assert scene.job(MORE[0]).state is S.SUBMITTED
    assert scene.posts(MORE[0]) == 1


def test_a_lock_out_of_one_provider_leaves_the_others_alone(scene: Scene) -> None:
    scene.rule("submit", status=401)
    scene.accepted()
    scene.run(Step.SUBMIT)

    scene.submitted("apimart", "job-2")
    scene.submitted("evolink", "job-3")


def test_a_request_that_a_provider_refuses_on_its_own_merits_does_not_hold_up_the_line(scene: Scene) -> None:
    """A 403 to one job's content only: as a probe it goes back, and with the breaker closed it fails."""
    scene.rule("submit", status=401)
    scene.rule("submit", status=403, times=None, match={"contains": "for job-2."})
    accepted(scene, JOB, *MORE)
    scene.run(Step.SUBMIT)

    for _ in range(60):
        tick(scene)

    assert states(scene, JOB, *MORE) == ["failed", "failed", "submitted", "submitted"]


def test_a_provider_that_answers_5xx_for_an_hour_is_hardly_asked_and_no_job_fails(scene: Scene) -> None:
    jobs = [f"job-{n}" for n in range(25)]
    for job_id in jobs:
        scene.submitted(job_id=job_id)
    scene.submitted("apimart", "other")
    scene.rule("poll", status=502, times=None, match={"provider": "gmicloud"})
    scene.advance(GENERATION_SECONDS)

    for _ in range(120):
        tick(scene, 30)
    gets = sum(scene.gets(job_id) for job_id in jobs)
    assert set(states(scene, *jobs)) == {"submitted"}
    assert gets <= 25 + 4 + 120, "about one probe a tick, once the breaker is open"
    assert scene.counter("breakers_opened") == 1
    assert scene.job("other").state is S.ARCHIVED


def test_gets_go_on_for_all_once_one_is_answered_well_again(scene: Scene) -> None:
    for job_id in (JOB, *MORE):
        scene.submitted(job_id=job_id)
    scene.rule("poll", status=401)
    scene.finish()
    scene.look()
    scene.look("job-2")
    assert scene.gets("job-2") == 0

    for _ in range(15):
        tick(scene)

    assert scene.store.limits.standing(scene.services.limits("gmicloud")).poll.open_why == ""
    assert states(scene, JOB, *MORE) == ["archived"] * 4
