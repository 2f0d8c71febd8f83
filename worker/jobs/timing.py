"""Timeouts, leases, retry and poll intervals: every policy number, in one place.

Delays handed to the store are milliseconds; everything here is seconds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from worker.jobs.job import Job, Link
from worker.jobs.wait_codes import WaitCode

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LONGEST_FIRST_WAIT = 10 * MINUTE
"""Most generations end sooner; one whose callback is lost must not wait for an estimate of hours."""

ARCHIVING = "@archive"
"""Stands for a model in what is kept of durations (`Durations.learn`): from the end of a generation to its copy."""

DOUBT_SECONDS = DAY
"""The time for which a generation that its provider calls failed is looked at: some are completed after all."""

LEAST_HISTORY = 8
"""Generations of a model that must be known before they, and not its provider's estimate, time the first poll."""


@dataclass(frozen=True)
class Timing:
    """The policy; tests and benchmarks build their own."""

    submit_lease_seconds: float = 120.0  # presigning, then a POST of at most 65 s, then the report
    post_room_seconds: float = (
        82.0  # least lease left for a POST to be written down, twice (worker/steps/rollback_guard.py)
    )
    post_seconds: float = 66.0  # least lease left for it to be sent: it takes at most 65 s
    poll_lease_seconds: float = 45.0  # a GET takes at most 25 s
    archive_lease_seconds: float = 30.0  # renewed while bytes flow: a killed archiver costs this much
    archive_renew_seconds: float = 10.0
    archive_stall_seconds: float = (
        240.0  # S3 may be silent for 195 s (three tries), a host for 20 s: then nothing moves
    )
    archive_express_seconds: float = 120.0  # a copy that takes longer makes room for those that nobody has tried
    archive_longest_seconds: float = 20 * HOUR  # 2 GiB at the least rate take 18.2 h (worker/guard/connection.py)
    deliver_lease_seconds: float = 30.0
    revisit_lease_seconds: float = 45.0  # a GET takes at most 25 s; renewed while a video is copied
    notify_lease_seconds: float = 60.0  # a POST takes at most 15 s, after its host was resolved

    bulk_lease_seconds: float = 60.0  # renewed while a bulk act goes on: a killed process costs this much

    submit_deadline_seconds: float = 6 * HOUR  # accepted, and no provider would take it
    line_deadline_seconds: float = 7 * DAY  # accepted, and it was never its turn: also a paused provider's job ends
    longest_rest_seconds: float = 2 * HOUR  # no job's next look is farther ahead (`due_index.FARTHEST_MS`)
    unconfirmed_deadline_seconds: float = 2 * HOUR  # a generation ends long before, with its callback
    generate_deadline_seconds: float = 6 * HOUR
    unusable_seconds: float = 30 * MINUTE  # a provider that says "done" may so long name no video that can be fetched
    link_life_seconds: float = 24 * HOUR  # where the provider names no end
    unknown_link_end_seconds: float = 7 * DAY  # re-reads without a working link before the verdict
    past_link_end_seconds: float = 30 * MINUTE  # a link is tried so long past its end, unless its host says it is gone
    show_after_seconds: float = 10 * MINUTE  # providers show new request ids late
    in_line_seconds: float = 30 * MINUTE  # a job that waits for its turn at a provider is called, not looked at
    look_again_seconds: float = HOUR  # slow looks at final jobs
    doubt_seconds: float = DOUBT_SECONDS

    def first_poll_seconds(self, estimate_seconds: float, *, calls_back: bool, rng: random.Random) -> float:
        """When a job just submitted is first worth a GET, whatever a provider's own estimate says.

        A provider that calls back is asked only when its callback is late.
        """
        seconds = 1.25 * estimate_seconds + 15 if calls_back else max(2.0, 0.4 * estimate_seconds)
        return _jittered(min(LONGEST_FIRST_WAIT, seconds), rng)

    def learned_first_poll_seconds(
        self, took_seconds: Sequence[float], *, calls_back: bool, rng: random.Random
    ) -> float | None:
        """The same by how long the model's last generations took (`Durations.took`); None while too few are known.

        A GET before the quickest could have ended tells nothing; one a tenth after that is as late as the
        intervals that follow.
        """
        if len(took_seconds) < LEAST_HISTORY:
            return None
        ordered = sorted(took_seconds)
        if calls_back:
            seconds = 1.25 * ordered[-1 - len(ordered) // 32] + 15
        else:
            seconds = max(1.0, _just_after_the_quickest(took_seconds))
        return _jittered(min(LONGEST_FIRST_WAIT, seconds), rng)

    def took_seconds(
        self, waited_seconds: float, known_seconds: Sequence[float], *, was_called: bool, is_first_look: bool
    ) -> float:
        """Estimate the duration of a generation that was found finished after *waited_seconds*.

        A poll finds it late. One that never found anything else may have come far too late: only by taking it for
        that does the timing ever learn that a model has become quicker, or that its own polls wait behind others.
        """
        if was_called:
            return waited_seconds
        if not is_first_look:
            return 0.95 * waited_seconds
        if len(known_seconds) < LEAST_HISTORY:
            return 0.7 * waited_seconds
        return 0.7 * min(waited_seconds, _just_after_the_quickest(known_seconds))

    def next_poll_seconds(self, waited_seconds: float, *, calls_back: bool, rng: random.Random) -> float:
        """The time until the next GET: in proportion to the wait so far, so that an answer is
        found within about a tenth of the generation's own time, at few GETs."""
        if calls_back:
            return _jittered(min(5 * MINUTE, max(15.0, 0.25 * waited_seconds)), rng)
        return _jittered(min(5 * MINUTE, max(2.0, 0.1 * waited_seconds + 1)), rng)

    def retry_seconds(self, failures: int, rng: random.Random, retry_after: float | None = None) -> float:
        """The back-off until a step that failed for now is tried again; a named Retry-After is kept."""
        if retry_after is not None:
            return retry_after + rng.uniform(0, 1 + 0.1 * retry_after)
        return _jittered(min(5 * MINUTE, 2.0 * 2 ** min(failures, 10)), rng)

    def archive_retry_seconds(self, job: Job, now: int, rng: random.Random) -> float:
        """As `retry_seconds`, but never sleeping through the last hour of a link."""
        delay = self.retry_seconds(job.failures, rng)
        left = (self.link_end(job) - now) / 1000
        return min(delay, 30.0) if 0 < left < HOUR else delay

    def rest_ms(self, now: int, until: int) -> int:
        """The rest of a job that waits until an instant; instants are Unix ms."""
        return max(0, min(until - now, int(self.longest_rest_seconds * 1000)))

    def wait_ms(self, job: Job, now: int, seconds: float) -> int:
        """The rest of a job that waits to be submitted: *seconds*, or until its spec has it given up, if that is
        sooner. *now* is Unix ms."""
        rest = ms(seconds)
        if job.give_up_at is None or job.attempt > 1:
            return rest
        return min(rest, max(0, job.give_up_at + 1 - now))

    def submit_until(self, job: Job, since: int) -> int:
        """When an attempt begun at *since* is given up that waits to be submitted; instants are Unix ms.

        Waiting for its turn, or for money, is nobody's fault and has a long deadline; what comes after it, and after
        `not_before`, has one of its own.
        """
        is_in_line = job.place or job.waits == WaitCode.BUDGET
        longest = self.line_deadline_seconds if is_in_line else self.submit_deadline_seconds
        return max(since, job.waited_until or 0, job.not_before or 0) + int(longest * 1000)

    def link_end(self, job: Job) -> int:
        """When the video's link is taken to be dead, Unix ms."""
        return job.link_expires_at or job.state_at + int(self.link_life_seconds * 1000)

    def download_seconds(self, link: Link, now: int) -> float | None:
        """The longest download of *link* begun at *now*, Unix ms; None where no end of the link is known.

        A transfer that runs is not cut at the end itself: the provider's clock alone ends nothing.
        """
        if link.expires_at is None:
            return None
        return max(0, link.expires_at - now) / 1000 + self.past_link_end_seconds

    def archive_verdict_at(self, job: Job) -> int:
        """The instant after which a job that could not be archived may be given up, Unix ms: once its link's host says
        that the link is gone, or `failing_since` lies `past_link_end_seconds` back."""
        if job.link_expires_at is not None:
            return job.link_expires_at
        return job.state_at + int(self.unknown_link_end_seconds * 1000)


def _just_after_the_quickest(took_seconds: Sequence[float]) -> float:
    return 1.1 * sorted(took_seconds)[len(took_seconds) // 32]


def _jittered(seconds: float, rng: random.Random) -> float:
    """Spread by a tenth each way, so that jobs of one burst do not stay one burst."""
    return seconds * rng.uniform(0.9, 1.1)


def ms(seconds: float) -> int:
    """Seconds as the whole milliseconds that the store takes."""
    return int(seconds * 1000)
