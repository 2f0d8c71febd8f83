"""Providers' limits: who finds no room waits, says so, is called in its turn, and neither fails nor pays for it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.integration.steps.conftest import DAY, GENERATION_SECONDS, HOUR, JOB, Scene
from tests.integration.steps.limited import MORE, accepted, limited, states, tick
from worker.errors import SpecError
from worker.jobs.rate_limits import Operation
from worker.jobs.states import JobState
from worker.operations import retry
from worker.steps import Step, accept

S = JobState


def test_a_job_that_finds_its_provider_full_says_so_and_sends_nothing(scene: Scene) -> None:
    limited(scene, max_concurrent=1)
    scene.submitted()
    scene.accepted(job_id="job-2")

    scene.run(Step.SUBMIT, "job-2")

    job = scene.job("job-2")
    assert (job.state, job.try_no, scene.posts("job-2")) == (S.ACCEPTED, 0, 0)
    assert job.waiting_for == "room at gmicloud: it has 1 jobs, as many as GMICLOUD_MAX_CONCURRENT allows"
    assert job.lease == ""


def test_jobs_go_in_the_order_they_came_one_for_each_that_ends(scene: Scene) -> None:
    limited(scene, max_concurrent=1)
    accepted(scene, JOB, *MORE)
    order: list[str] = []

    for _ in range(12):
        nudged = [job_id for step, job_id in tick(scene, GENERATION_SECONDS / 2) if step is Step.SUBMIT]
        order += [job_id for job_id in nudged if scene.job(job_id).state is S.SUBMITTED]
        assert scene.store.limits.standing(scene.services.limits("gmicloud")).occupied <= 1
        for job_id in (JOB, *MORE):
            if scene.job(job_id).state is S.SUBMITTED and not scene.is_due(job_id):
                scene.advance(max(0.0, scene.due_in(job_id)))

    assert order == [JOB, *MORE]


def test_a_429_holds_back_every_post_to_that_provider_as_long_as_it_said(scene: Scene) -> None:
    scene.rule("submit", status=429, retry_after=7)
    accepted(scene, JOB, "job-2")
    scene.run(Step.SUBMIT)
    held_at = scene.clock.now

    scene.run(Step.SUBMIT, "job-2")
    scene.submitted("apimart", "job-3")
    while "submitted" not in states(scene, JOB) or "submitted" not in states(scene, "job-2"):
        tick(scene)

    assert scene.clock.now - held_at >= 7
    assert scene.posts(JOB) == 2
    assert scene.posts("job-2") == 1


def test_a_job_held_back_by_anothers_429_says_until_when(scene: Scene) -> None:
    scene.rule("submit", status=429, retry_after=7)
    accepted(scene, JOB, "job-2")
    scene.run(Step.SUBMIT)

    scene.run(Step.SUBMIT, "job-2")

    assert scene.job("job-2").waiting_for.startswith("gmicloud to be asked again: it asked for a pause, until 20")
    for _ in range(6):
        assert tick(scene) == []
    assert scene.posts("job-2") == 0


def test_a_429_to_a_get_holds_back_gets_and_no_post(scene: Scene) -> None:
    scene.submitted()
    scene.submitted(job_id="job-2")
    scene.rule("poll", status=429, retry_after=30)
    scene.finish()
    scene.look()

    scene.look("job-2")
    scene.submitted(job_id="job-3")

    assert scene.gets("job-2") == 0
    assert scene.job("job-2").place.startswith("poll:")
    assert scene.job("job-2").failures == 0


def test_a_retry_after_of_a_day_for_one_job_holds_the_others_for_a_minute(scene: Scene) -> None:
    scene.rule("submit", status=429, retry_after=86_400)
    accepted(scene, JOB, "job-2")
    scene.run(Step.SUBMIT)
    held_at = scene.clock.now

    while scene.job("job-2").state is not S.SUBMITTED and scene.clock.now - held_at < 300:
        tick(scene)

    assert 59 <= scene.clock.now - held_at <= 70
    assert scene.job().state is S.ACCEPTED
    assert 900 - 70 <= scene.due_in() <= 1000


def test_a_poll_waits_for_its_turn_and_fails_and_expires_nothing(scene: Scene) -> None:
    limited(scene, requests_per_minute=2)
    scene.submitted()
    scene.submitted(job_id="job-2")
    scene.advance(59)

    scene.look()

    job = scene.job()
    assert (job.state, job.failures, job.polls, scene.gets()) == (S.SUBMITTED, 0, 0, 0)
    assert job.waiting_for == "its turn at gmicloud: GMICLOUD_REQUESTS_PER_MINUTE is used up"
    tick(scene, 5)
    assert scene.gets() == 1


def test_no_minute_at_the_provider_holds_more_requests_than_it_allows(scene: Scene) -> None:
    limited(scene, requests_per_minute=6)
    jobs = [f"job-{n}" for n in range(8)]
    accepted(scene, *jobs)

    for _ in range(150):
        tick(scene, 5)

    at = sorted(entry["at"] for entry in scene.calls("POST") + scene.calls("GET"))
    assert states(scene, *jobs) == ["archived"] * 8
    assert max(sum(begin <= other < begin + 60 for other in at) for begin in at) <= 6


def test_waiting_for_room_never_counts_against_the_submit_deadline(scene: Scene) -> None:
    limited(scene, max_concurrent=1)
    scene.rule("generation", seconds=5 * HOUR)
    scene.submitted()
    accepted(scene, "job-2")
    scene.run(Step.SUBMIT, "job-2")

    for _ in range(22):
        tick(scene, 20 * 60)

    assert states(scene, JOB, "job-2") == ["archived", "archived"]


def test_a_job_whose_turn_never_comes_is_given_up_after_a_week(scene: Scene) -> None:
    scene.store.pauses.pause("gmicloud")
    scene.accepted()
    scene.run(Step.SUBMIT)

    for _ in range(8):
        tick(scene, 24 * HOUR)

    error = scene.job().error
    assert error is not None
    assert error.code == "submit_deadline"
    assert "paused by an operator" in error.message
    assert scene.posts() == 0


def test_a_paused_providers_jobs_outlive_the_submit_deadline(scene: Scene) -> None:
    scene.store.pauses.pause("gmicloud")
    scene.accepted()
    scene.run(Step.SUBMIT)

    for _ in range(40):
        tick(scene, 20 * 60)
    assert states(scene, JOB) == ["accepted"]
    scene.store.pauses.resume("gmicloud")
    tick(scene)

    assert states(scene, JOB) == ["submitted"]
    assert scene.posts() == 1


def test_nobody_is_called_to_a_paused_provider(scene: Scene) -> None:
    scene.store.pauses.pause("gmicloud")
    scene.accepted()
    scene.run(Step.SUBMIT)

    assert [tick(scene) for _ in range(5)] == [[]] * 5


def test_an_unconfirmed_job_is_not_given_up_while_we_keep_from_asking(scene: Scene) -> None:
    limited(scene, requests_per_minute=2)
    scene.unconfirmed()
    scene.advance(3 * HOUR)
    limits = scene.services.limits("gmicloud")
    for _ in range(2):
        scene.store.limits.ask(limits, Operation.POLL, prober="x")

    scene.look()

    assert scene.job().state is S.UNCONFIRMED
    scene.advance(61)
    scene.look()
    assert scene.job().state is S.SUBMITTED


def test_an_earlier_attempt_is_not_asked_about_while_its_provider_is_to_be_left_alone(scene: Scene) -> None:
    scene.rule("list", status=500)
    scene.outcome_unknown("gmicloud")
    scene.rule("generation", outcome="failed", code="nsfw", message="no")
    retry.run(JOB, scene.services, pay_again=True)
    scene.follow()
    scene.finish()
    scene.look_when_due()
    scene.look()
    assert scene.moves()[-1] == "failed(generate)"
    asked = len(scene.calls("GET"))
    scene.advance(max(0.0, scene.due_in()) + 0.001)
    limits = scene.services.limits("gmicloud")
    scene.store.limits.report(limits, Operation.POLL, prober="x", outcome="answered", hold_ms=60_000)

    scene.look()

    assert len(scene.calls("GET")) == asked
    assert scene.job().is_open
    scene.look_when_due()
    assert scene.follow().state is S.ARCHIVED


def test_a_budget_blocks_before_it_is_passed_and_the_next_day_goes_on(scene: Scene) -> None:
    limited(scene, daily_budget="1.00")
    accepted(scene, JOB, *MORE)  # 0.336 USD each

    for _ in range(3):
        tick(scene)

    assert states(scene, JOB, *MORE) == ["submitted", "submitted", "accepted", "accepted"]
    assert "CALLSHEET_DAILY_BUDGET of 1.00 USD would be passed" in scene.job("job-3").waiting_for
    scene.advance(DAY)
    tick(scene)
    assert states(scene, *MORE)[1:] == ["submitted", "submitted"]


def test_a_refused_job_gives_its_money_back_to_the_next(scene: Scene) -> None:
    limited(scene, daily_budget="0.40")
    scene.rule("submit", status=400)
    accepted(scene, JOB, "job-2")

    tick(scene)

    assert states(scene, JOB, "job-2") == ["failed", "submitted"]


@pytest.mark.parametrize(
    ("generation", "next_one"), [({"outcome": "failed", "seconds": 5}, "submitted"), ({"videos": 0}, "accepted")]
)
def test_a_failure_that_is_not_charged_gives_its_money_back_and_a_success_without_a_video_does_not(
    scene: Scene, generation: dict[str, Any], next_one: str
) -> None:
    limited(scene, daily_budget="0.40")
    scene.rule("generation", **generation)
    accepted(scene, JOB)
    tick(scene)
    accepted(scene, "job-2")
    while not scene.job().is_final:
        tick(scene, 60)
    tick(scene)
    tick(scene)

    assert states(scene, JOB, "job-2") == ["failed", next_one]


def test_an_unconfirmed_post_keeps_its_money(scene: Scene) -> None:
    limited(scene, daily_budget="0.40")
    scene.unconfirmed(created=False)
    accepted(scene, "job-2")

    tick(scene)

    assert states(scene, "job-2") == ["accepted"]


def test_with_a_budget_a_model_without_a_price_is_refused_in_words(scene: Scene) -> None:
    limited(scene, daily_budget="10")

    with pytest.raises(SpecError, match=r"price of apimart kling-3.0-turbo is unknown.*set APIMART_PRICES"):
        accept.run(JOB, scene.spec("apimart"), scene.services)

    assert scene.store.jobs.get(JOB) is None


def test_a_job_dearer_than_the_whole_budget_is_refused_in_words(scene: Scene) -> None:
    limited(scene, daily_budget="0.10")

    with pytest.raises(SpecError, match=r"costs 0.336 USD at gmicloud, and CALLSHEET_DAILY_BUDGET is 0.10"):
        accept.run(JOB, scene.spec("gmicloud"), scene.services)


def test_a_job_accepted_before_there_was_a_budget_waits_for_its_price(scene: Scene) -> None:
    scene.accepted("apimart")
    limited(scene, "apimart", daily_budget="10")

    scene.run(Step.SUBMIT)
    assert "set APIMART_PRICES" in scene.job().waiting_for
    limited(scene, "apimart", daily_budget="10", prices={("kling-3.0-turbo", ""): Decimal("0.09")})
    scene.look_when_due()

    assert scene.job().state is S.SUBMITTED
    assert scene.store.limits.standing(scene.services.limits("apimart")).spent == Decimal("0.27")


def test_a_configured_price_is_what_the_result_tells(scene: Scene) -> None:
    limited(scene, "apimart", prices={("kling-3.0-turbo", ""): Decimal("0.09")})

    job = scene.accepted("apimart")

    assert job.cost == {"amount": "0.27", "currency": "USD", "basis": "configured_price"}


@pytest.mark.parametrize(("provider", "spent"), [("gmicloud", "0"), ("apimart", "0"), ("evolink", "0.318")])
def test_a_failed_generation_gives_its_money_back_where_the_provider_charges_none(
    scene: Scene, provider: str, spent: str
) -> None:
    prices = {("kling-3.0-turbo", ""): Decimal("0.09")} if provider == "apimart" else {}
    limited(scene, provider, daily_budget="10", prices=prices)
    scene.rule("generation", outcome="failed")
    scene.submitted(provider)
    limits = scene.services.limits(provider)
    assert scene.store.limits.standing(limits).spent > 0
    scene.finish()

    scene.look_when_due()
    for _ in range(3):
        scene.follow()

    assert scene.job().held == "failed(generate)"
    assert scene.store.limits.standing(limits).spent == Decimal(spent)
