"""Mutants of notifications: told at least once, under one id, to nobody but the receiver, at nobody's cost."""

from __future__ import annotations

from tests.chaos.workshop import LUA, STEPS, STORE
from tests.chaos.workshop import mutant as _m

NOTIFIED = "tests/integration/notifications"

TELLING = (
    _m(
        "a caller waits for a retry that Redis has lost",
        "worker/steps/retell.py",
        "reply = services.store.rollbacks.retell(job, at=told.state_at, detail=LOST)",
        "return",
        f"{STEPS}/test_retell.py::test_a_retry_that_was_lost_unpaid_leaves_no_caller_waiting",
    ),
    _m(
        "a lost retry that was paid is told as its failed predecessor",
        "worker/steps/retell.py",
        "if begun is None or begun.is_unpaid:",
        "if begun is None or begun:",
        f"{STEPS}/test_retell.py::test_a_retry_that_was_lost_and_paid_goes_on_and_is_not_paid_again",
    ),
    _m(
        "a lost retry can be sent after its end was told",
        "worker/steps/retell.py",
        'begun = rollback_guard.rule_out(retried, services, "")',
        "begun = services.bucket.intents.last_begun(job.id, retried.attempt, 1)",
        f"{STEPS}/test_retell.py::test_a_worker_that_still_holds_the_lost_retry_sends_nothing_once_its_end_was_told",
    ),
    _m(
        "a failover is no reason to look at what callers were told",
        "worker/store/rollbacks.py",
        'if servers and held.get("servers") != servers:',
        "if False:",
        f"{STEPS}/test_retell.py::test_a_retry_that_was_lost_unpaid_leaves_no_caller_waiting",
    ),
    _m(
        "another webhook-id at each try",
        "worker/notifications/signature.py",
        'return f"{job_id}.{ver}"',
        'return f"{job_id}.{ver}.{datetime.now(UTC)}"',
        f"{NOTIFIED}/test_notify.py::test_tries_follow_the_schedule_for_three_days_under_one_id",
    ),
    _m(
        "a redirect counts as told",
        "worker/notifications/delivery.py",
        "<= self.status < HTTPStatus.MULTIPLE_CHOICES",
        "<= self.status < HTTPStatus.BAD_REQUEST",
        f"{NOTIFIED}/test_notify.py::test_a_redirect_is_a_failure_and_is_not_followed",
    ),
    _m(
        "SSRF: addresses of metadata are reached through a listed name",
        "worker/guard/destinations.py",
        "if not _is_enterable(address):",
        "if False:",
        "tests/unit/guard/test_destinations.py::test_metadata_is_never_sent_to_though_its_name_is_listed",
        True,
    ),
    _m(
        "SSRF: a public name may lead to a private address",
        "worker/guard/destinations.py",
        "            if not is_listed:",
        "            if False:",
        f"{NOTIFIED}/test_destinations.py::test_a_name_that_is_public_at_first_is_looked_at_anew_each_time_and_pinned",
    ),
    _m(
        "a slow receiver takes every thread",
        "worker/notifications/hosts.py",
        "host.active >= AT_ONCE or",
        "",
        "tests/unit/notifications/test_hosts.py::test_one_host_has_only_so_many_at_once",
        True,
    ),
    _m(
        "a try at an older version counts for the newer",
        f"{LUA}/notified.lua",
        'given.ver == int("ver") and job.final_at',
        "job.final_at",
        f"{STORE}/test_store_notifications.py::test_a_try_at_an_older_version_changes_no_plan_of_the_newer",
    ),
    _m(
        "who lost the lease says when to look again",
        f"{LUA}/notified.lua",
        "job.final_at and is_ours then",
        "job.final_at then",
        f"{STORE}/test_store_notifications.py::test_who_lost_the_lease_keeps_the_try_and_puts_off_nobody",
    ),
    _m(
        "due farther ahead than the sweep believes",
        f"{LUA}/_close.lua",
        "look_at or try_at, now + LONGEST_REST_MS)",
        "look_at or try_at)",
        f"{STORE}/test_store_notifications.py::"
        "test_a_planned_try_is_not_nudged_before_and_the_look_meanwhile_is_for_the_rest",
    ),
)
