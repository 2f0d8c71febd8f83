"""Mutants of notifications: told at least once, under one id, to nobody but the receiver, at nobody's cost."""

from __future__ import annotations

from tests.chaos.workshop import LUA, STORE
from tests.chaos.workshop import mutant as _m

NOTIFIED = "tests/integration/notifications"

TELLING = (
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
