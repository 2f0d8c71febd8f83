"""Rows R: the receiver. A callback is thanked for only when it cannot be lost, and none is needed to finish a job."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.chaos import operations as do
from tests.chaos.rig import KILL
from tests.chaos.system import System
from worker.steps import Step

pytestmark = pytest.mark.timeout(240)

CALLS = "evolink"
Fault = Callable[[System], AbstractContextManager[None]]


def statuses(system: System, job_id: str) -> list[int | None]:
    return [entry.get("status") for entry in system.callbacks(job_id)]


def waiting(system: System) -> str:
    """A submitted job whose generation ends at `end_of`, and for which no callback comes of itself."""
    job_id = system.start_job(CALLS, {"on": "callback", "lost": True}, {"on": "generation", "seconds": LONG})
    system.reaches(job_id, "submitted")
    return job_id


APIMART_RETRY_SECONDS = 10.0
"""The time after which APIMart calls again, once."""

LONG = 30.0
"""Longer than a test takes until it moves the clock on. The sandbox's clock stays ahead: all tests together must stay
below the ten minutes that a provider's clock is granted, or no unconfirmed request is ever taken for ours."""


def end_of_generations(system: System) -> None:
    system.control.advance(LONG)


def test_r1_a_receiver_killed_before_it_reads_is_called_again_and_the_poll_finds_the_rest(system: System) -> None:
    job_id = system.start_job(CALLS, {"on": "generation", "seconds": 1})
    system.reaches(job_id, "submitted")

    do.kill(system, "web")

    assert system.settled(job_id).state == "archived"


@pytest.mark.subset
def test_r2_a_callback_stored_by_a_receiver_that_died_is_a_repeat_when_it_comes_again(system: System) -> None:
    job_id = system.record(CALLS, {"on": "generation", "seconds": 1})
    system.rig.arm("after store.callbacks.arrive", job_id, KILL)
    with system.outage("receiver"):
        system.nudge(Step.SUBMIT, [job_id])
        system.sprung(job_id, "after store.callbacks.arrive")

        system.wait(lambda: 200 in statuses(system, job_id), "the callback to be thanked for")

    assert statuses(system, job_id)[0] != 200
    assert len(system.store.callbacks.events(job_id)) == 1
    assert system.settled(job_id).state == "archived"


@pytest.mark.subset
def test_r3_what_was_thanked_for_is_there_after_redis_was_killed_among_the_callbacks(system: System) -> None:
    job_ids = [waiting(system) for _ in range(6)]
    requests = {job_id: system.job(job_id).request_id for job_id in job_ids}
    end_of_generations(system)

    thanked = []
    with system.outage("store"):
        for number, job_id in enumerate(job_ids):
            if number == 3:
                system.redis.kill()
            answer = system.control.callback(str(requests[job_id]))[0]
            if answer.get("status") == 200:
                thanked.append(job_id)
        system.redis.start()

    assert set(job_ids[:3]) <= set(thanked)
    for job_id in thanked:
        assert system.store.callbacks.events(job_id) or "generated" in system.moves(job_id), f"{job_id} was thanked for"
    for job_id in job_ids:
        assert system.settled(job_id).state == "archived"


@pytest.mark.parametrize(
    "fault",
    [do.redis_refused, do.redis_paused, do.redis_silent, do.out_of_memory, do.redis_loading, do.read_only],
    ids=["r4-refused", "r5-stopped", "r5-silent-line", "r6-out-of-memory", "r7-loading", "r8-read-only"],
)
def test_r4_to_r8_while_the_store_cannot_write_a_callback_is_answered_503_in_time(system: System, fault: Fault) -> None:
    job_id = waiting(system)
    request_id = str(system.job(job_id).request_id)

    with fault(system):
        end_of_generations(system)
        answer = system.control.callback(request_id)[0]
        assert answer["status"] == 503
        assert answer["seconds"] <= 2

    assert system.settled(job_id).state == "archived"


def test_r9_a_callback_before_the_answer_to_its_post_counts(system: System) -> None:
    job_id = system.start_job(CALLS, {"on": "callback", "early": True}, {"on": "submit", "slow_seconds": 1})

    assert system.settled(job_id).state == "archived"
    assert len(system.posts(job_id)) == 1


@pytest.mark.subset
def test_r10_four_equal_callbacks_at_once_are_thanked_and_archive_one_video(system: System) -> None:
    job_id = system.start_job(CALLS, {"on": "callback", "concurrent": 4})

    assert system.settled(job_id).state == "archived"
    system.wait(lambda: statuses(system, job_id) == [200] * 4, "four answers")
    assert len([call for call in system.gate.of(job_id) if call.is_put and call.key.endswith(".mp4")]) == 1


@pytest.mark.parametrize("status", ["failed", "processing"], ids=["r11-failed", "r12-processing"])
def test_r11_r12_older_news_after_the_end_change_nothing(system: System, status: str) -> None:
    job_id = system.start_job(CALLS)
    job = system.settled(job_id)

    answer = system.control.callback(str(job.request_id), status=status)[0]

    assert answer["status"] == 200
    assert system.job(job_id).ver == job.ver


def test_r13_r14_with_no_receiver_at_all_every_job_is_finished_by_the_poll(system: System) -> None:
    with do.paused(system, "web"):
        job_ids = [system.start_job(CALLS) for _ in range(3)]

        for job_id in job_ids:
            assert system.settled(job_id).generated_by == "poll"


def test_r16_a_rolling_restart_of_the_receiver_under_load_loses_nothing(system: System) -> None:
    job_ids = []
    for _ in range(3):
        job_ids += [system.start_job(CALLS) for _ in range(3)]
        do.end_in_order(system, "web")
        system.wait(lambda: system.stack.processes["web"].is_running, "the receiver to be back")

    for job_id in job_ids:
        assert system.settled(job_id).state == "archived"


@pytest.mark.subset
def test_r19_a_provider_that_never_comes_again_after_a_4xx_is_told_503_while_the_store_is_away(system: System) -> None:
    job_id = system.start_job("apimart", {"on": "generation", "seconds": LONG})
    system.reaches(job_id, "submitted")

    with do.redis_refused(system):
        end_of_generations(system)
        system.wait(lambda: statuses(system, job_id) and statuses(system, job_id)[0] is not None, "the first answer")
    system.control.advance(APIMART_RETRY_SECONDS)
    system.wait(lambda: 200 in statuses(system, job_id), "the callback to come again")

    assert statuses(system, job_id)[0] == 503
    assert not [status for status in statuses(system, job_id) if 400 <= (status or 0) < 500]
    assert system.settled(job_id).state == "archived"


def test_r20_a_callback_to_our_address_with_a_suffix_of_the_providers_is_ours(system: System) -> None:
    job_id = system.start_job("apimart", {"on": "generation", "seconds": 1})

    job = system.settled(job_id)

    (told,) = system.callbacks(job_id)
    assert told["url"].endswith("/callback")
    assert (told["status"], job.state, job.generated_by) == (200, "archived", "callback")
