"""The policy numbers: what they promise together, whatever each of them is."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from worker.jobs.job import Job, Link
from worker.jobs.states import JobState
from worker.jobs.timing import DAY, HOUR, MINUTE, Timing, ms
from worker.providers.http import GET_SECONDS, POST_SECONDS

NOW = 1_800_000_000_000
TIMING = Timing()


class Middling(random.Random):
    """Chance that always strikes the middle, so that figures can be compared."""

    def random(self) -> float:
        return 0.5


def generated(*, link_expires_at: int | None = None, failures: int = 0) -> Job:
    return Job("job-1", JobState.GENERATED, 1, state_at=NOW, link_expires_at=link_expires_at, failures=failures)


@pytest.mark.parametrize(
    ("expires_at", "seconds"), [(None, None), (NOW + 3_600_000, 5400), (NOW, 1800), (NOW - DAY * 1000, 1800)]
)
def test_a_download_may_last_until_half_an_hour_past_its_links_end(
    expires_at: int | None, seconds: float | None
) -> None:
    assert TIMING.download_seconds(Link("https://cdn.example/1.mp4", expires_at), NOW) == seconds


def test_a_post_that_may_begin_ends_within_its_lease() -> None:
    assert sum(POST_SECONDS) <= TIMING.post_seconds < TIMING.post_room_seconds < TIMING.submit_lease_seconds


def test_a_get_ends_within_the_lease_of_every_step_that_makes_one() -> None:
    leases = (TIMING.poll_lease_seconds, TIMING.archive_lease_seconds, TIMING.deliver_lease_seconds)

    assert sum(GET_SECONDS) < min(leases)


def test_a_lease_outlives_two_heartbeats() -> None:
    assert 2 * TIMING.archive_renew_seconds < TIMING.archive_lease_seconds


def test_every_wait_of_a_job_ends_before_its_links_life() -> None:
    assert TIMING.unconfirmed_deadline_seconds < TIMING.link_life_seconds
    assert TIMING.generate_deadline_seconds < TIMING.link_life_seconds


@pytest.mark.parametrize("calls_back", [True, False])
@pytest.mark.parametrize("estimate", [0, 1, 30, 300, 86_400])
def test_the_first_poll_comes_after_two_seconds_and_before_eleven_minutes(estimate: float, calls_back: bool) -> None:
    rng = random.Random(1)

    waits = [TIMING.first_poll_seconds(estimate, calls_back=calls_back, rng=rng) for _ in range(100)]

    assert min(waits) >= 1.8
    assert max(waits) <= 11 * MINUTE


def test_a_provider_that_calls_back_is_given_longer_than_its_estimate() -> None:
    rng = random.Random(1)

    called = [TIMING.first_poll_seconds(60, calls_back=True, rng=rng) for _ in range(100)]
    polled = [TIMING.first_poll_seconds(60, calls_back=False, rng=rng) for _ in range(100)]

    assert min(called) > 60 > max(polled)


def test_few_known_generations_time_no_poll() -> None:
    assert TIMING.learned_first_poll_seconds([60.0] * 7, calls_back=False, rng=Middling()) is None


def test_the_first_poll_comes_a_tenth_after_the_models_quickest_generations() -> None:
    took = [float(seconds) for seconds in range(60, 124)]

    first = TIMING.learned_first_poll_seconds(took, calls_back=False, rng=Middling())

    assert first == pytest.approx(1.1 * 62)


def test_a_late_callback_is_asked_after_behind_the_models_slowest_generations() -> None:
    took = [float(seconds) for seconds in range(60, 124)]

    first = TIMING.learned_first_poll_seconds(took, calls_back=True, rng=Middling())

    assert first is not None
    assert first > 123


@pytest.mark.parametrize("overload", [0.0, 60.0])
def test_a_model_that_has_become_quicker_is_learned_though_every_first_poll_finds_it_finished(overload: float) -> None:
    took = [100.0] * 64
    waits = []
    for _ in range(40):
        waits.append(TIMING.learned_first_poll_seconds(took, calls_back=False, rng=Middling()) or 0.0)
        late = TIMING.took_seconds(waits[-1] + overload, took, was_called=False, is_first_look=True)
        took = [late, *took[:63]]

    assert waits[0] > 100
    assert waits[-1] < 10


@pytest.mark.parametrize("calls_back", [True, False])
def test_intervals_grow_with_the_wait_up_to_five_minutes(calls_back: bool) -> None:
    waits = [
        TIMING.next_poll_seconds(waited, calls_back=calls_back, rng=Middling())
        for waited in (0, 10, 60, 300, 1800, 7200, 86_400)
    ]

    assert all(sooner <= later for sooner, later in pairwise(waits))
    assert waits[0] < 20
    assert waits[-1] == pytest.approx(5 * MINUTE)


def test_a_finished_generation_is_noticed_within_about_a_tenth_of_its_own_time() -> None:
    for generation in (20.0, 60.0, 240.0, 900.0):
        rng = random.Random(int(generation))
        waited = TIMING.first_poll_seconds(generation, calls_back=False, rng=rng)
        gets = 1
        while waited < generation:
            waited += TIMING.next_poll_seconds(waited, calls_back=False, rng=rng)
            gets += 1

        assert waited - generation < 0.12 * generation + 3
        assert gets < 30


def test_equal_jobs_are_spread_by_a_tenth_each_way() -> None:
    rng = random.Random(1)

    waits = [TIMING.next_poll_seconds(600, calls_back=False, rng=rng) for _ in range(1000)]

    assert 61 * 0.9 <= min(waits) < 61 * 0.92
    assert 61 * 1.08 < max(waits) <= 61 * 1.1


def test_back_off_doubles_up_to_five_minutes() -> None:
    waits = [TIMING.retry_seconds(failures, Middling()) for failures in range(12)]

    assert waits[:8] == pytest.approx([2, 4, 8, 16, 32, 64, 128, 256])
    assert waits[8:] == pytest.approx([300] * 4)


@pytest.mark.parametrize("failures", [0, 10**6])
def test_a_named_retry_after_is_kept_and_spread_upwards_only(failures: int) -> None:
    rng = random.Random(1)

    waits = [TIMING.retry_seconds(failures, rng, 60.0) for _ in range(200)]

    assert min(waits) >= 60
    assert max(waits) <= 67


def test_the_last_hour_of_a_link_is_not_slept_through() -> None:
    job = generated(link_expires_at=NOW + ms(DAY), failures=20)

    early = TIMING.archive_retry_seconds(job, NOW, Middling())
    late = TIMING.archive_retry_seconds(job, NOW + ms(23.5 * HOUR), Middling())
    after = TIMING.archive_retry_seconds(job, NOW + ms(25 * HOUR), Middling())

    assert [early, late, after] == pytest.approx([300, 30, 300])


def test_a_link_without_a_known_end_is_as_urgent_as_a_day_and_given_up_after_seven() -> None:
    unknown, known = generated(), generated(link_expires_at=NOW + ms(HOUR))

    assert TIMING.link_end(unknown) == NOW + ms(DAY)
    assert TIMING.archive_verdict_at(unknown) == NOW + ms(7 * DAY)
    assert TIMING.link_end(known) == TIMING.archive_verdict_at(known) == NOW + ms(HOUR)


def test_the_store_takes_whole_milliseconds() -> None:
    assert ms(1.2345) == 1234
    assert isinstance(ms(1e-9), int)
