"""The terms of a spec, kept: not before, not after, not dearer, and for whom."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.steps.conftest import DAY, HOUR, JOB, Scene
from worker import providers
from worker.errors import SpecError
from worker.jobs.states import JobState
from worker.operations import retry
from worker.steps import Step, accept
from worker.store.lists import Sieve

S = JobState


def priced(scene: Scene, amount: str) -> None:
    """Have the services know another price of APIMart's model."""
    settings = scene.services.settings
    apimart = replace(settings.providers["apimart"], prices={("kling-3.0-turbo", ""): Decimal(amount)})
    changed = replace(settings, providers={**settings.providers, "apimart": apimart})
    scene.services = scene.but(settings=changed, providers=providers.build(changed))


@pytest.mark.parametrize("ahead", [1.0, 3 * HOUR, 29 * DAY])
def test_nothing_is_sent_before_its_time_and_it_is_sent_then(scene: Scene, ahead: float) -> None:
    scene.accepted(not_before=scene.clock.now + ahead)
    assert scene.due_in() <= 2 * HOUR, "a due time farther ahead would be taken for a fault of the clock"

    scene.run(Step.SUBMIT)
    scene.store.due.hasten([JOB])
    scene.run(Step.SUBMIT)
    assert (scene.job().state, scene.posts()) == (S.ACCEPTED, 0)
    scene.advance(ahead)
    scene.run(Step.SUBMIT)

    assert scene.job().state is S.SUBMITTED


def test_the_submit_deadline_counts_from_its_time(scene: Scene) -> None:
    scene.accepted(not_before=scene.clock.now + 10 * HOUR)
    scene.store.pauses.pause("gmicloud")

    scene.advance(15 * HOUR)
    scene.run(Step.SUBMIT)

    assert scene.job().state is S.ACCEPTED


def test_more_than_thirty_days_ahead_is_refused_in_words(scene: Scene) -> None:
    with pytest.raises(SpecError, match="not_before: lies more than 30 days ahead"):
        scene.accepted(not_before=scene.clock.now + 30 * DAY + 1)

    assert scene.store.jobs.get(JOB) is None


def test_a_time_that_has_passed_is_now(scene: Scene) -> None:
    scene.submitted(not_before="2020-01-01T00:00:00Z")


def test_a_job_is_not_submitted_any_more_after_its_time(scene: Scene) -> None:
    scene.accepted(give_up_after=60)
    scene.store.pauses.pause("gmicloud")
    scene.run(Step.SUBMIT)

    scene.look_when_due()

    assert scene.clock.now_ms - scene.job().accepted_at < 61_000, "it is looked at when its time is over"

    error = scene.job().error
    assert error is not None
    assert (error.stage, error.code) == ("accept", "gave_up")
    assert error.message.startswith("give_up_after of its spec, 60 s, is over; gmicloud to be resumed")
    assert (scene.posts(), scene.moves()) == (0, ["accepted", "failed(accept)"])


def test_what_was_given_up_can_be_retried_and_costs_nothing_twice(scene: Scene) -> None:
    scene.accepted(give_up_after=60)
    scene.advance(61)
    scene.run(Step.SUBMIT)

    outcome = retry.retry(JOB, scene.services)
    scene.follow(step=Step.SUBMIT)

    assert outcome.code == "new_attempt"
    assert scene.job().state is S.SUBMITTED
    assert scene.posts() == 1


def test_a_job_that_was_submitted_in_time_goes_on_after_it(scene: Scene) -> None:
    scene.submitted(give_up_after=60)
    scene.advance(3600)

    scene.follow(step=Step.POLL)

    assert scene.job().state is not S.FAILED


@pytest.mark.parametrize("provider", ["gmicloud", "apimart"])
def test_a_job_dearer_than_its_max_cost_is_refused_before_anything_is_recorded(scene: Scene, provider: str) -> None:
    words = {
        "gmicloud": r"costs 0.336 USD at gmicloud, and max_cost is 0.3",
        "apimart": r"price of apimart kling-3.0-turbo is unknown, and max_cost is set: set APIMART_PRICES",
    }
    with pytest.raises(SpecError, match=words[provider]):
        scene.accepted(provider, max_cost=0.3)

    assert scene.store.jobs.get(JOB) is None


def test_a_job_at_its_max_cost_is_made(scene: Scene) -> None:
    scene.submitted(max_cost="0.336")


@pytest.mark.parametrize("risen", ["1.00", None])
def test_a_price_that_has_risen_since_is_met_before_the_post(scene: Scene, risen: str | None) -> None:
    before = scene.services
    priced(scene, "0.10")
    scene.accepted("apimart", max_cost=0.4)
    scene.services = before
    if risen:
        priced(scene, risen)

    scene.run(Step.SUBMIT)

    error = scene.job().error
    assert error is not None
    assert (error.stage, error.code, scene.posts()) == ("submit", "over_max_cost", 0)
    told = "it costs 3.00 USD" if risen else "its price is unknown"
    assert error.message == f"{told}, and max_cost is 0.4 USD"


def test_the_tenant_and_what_is_made_are_in_the_record(scene: Scene) -> None:
    terms: dict[str, Any] = {"tenant": "acme.eu", "give_up_after": 3600, "resolution": "1080p"}
    job = scene.accepted(**terms)

    assert (job.tenant, job.give_up_after, job.kind) == ("acme.eu", 3600, "3/1080p")
    assert scene.store.lists.sift([JOB], Sieve(equal=(("tenant", "acme.eu"),))) == [JOB]


def test_the_same_terms_told_otherwise_are_the_same_spec(scene: Scene) -> None:
    scene.accepted(max_cost=0.5, not_before="2026-01-01T01:00:00+01:00")

    reply = accept.run(JOB, scene.spec("gmicloud", max_cost="0.50", not_before=1_767_225_600), scene.services)

    assert reply.word == "repeat"
