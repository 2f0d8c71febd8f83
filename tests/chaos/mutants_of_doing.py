"""Mutants of what jobs do by themselves: paying once, and being looked at again."""

from __future__ import annotations

from tests.chaos.workshop import LUA, STEPS, STORE
from tests.chaos.workshop import mutant as _m

DOING = (
    # --- paying
    _m(
        "POST again on redelivery: an intent is written whatever the state",
        f"{LUA}/move.lua",
        "listed(given.sources, source) and",
        "true and",
        f"{STORE}/test_store_moves.py::test_only_listed_moves_happen",
        True,
    ),
    _m(
        "POST again on time-out: an unconfirmed request counts as not taken",
        "worker/providers/http.py",
        "if not body.begun:",
        "if True:",
        "tests/integration/providers/test_transport.py::test_an_answer_that_never_comes_is_unconfirmed",
    ),
    _m(
        "no durable intent: not synced before it is acted on",
        "worker/store/scripts.py",
        "if synced[0] < 1:",
        "if False:",
        f"{STORE}/test_store_durability.py::test_a_write_that_does_not_reach_the_disk_is_not_told",
    ),
    _m(
        "POST without a lease check",
        f"{LUA}/move.lua",
        "if not is_legal or is_lease_lost or",
        "if not is_legal or",
        f"{STORE}/test_store_moves.py::test_no_post_begins_under_a_lapsed_lease",
        True,
    ),
    _m(
        "POST though a callback tells of one that is not on record",
        f"{LUA}/move.lua",
        ' or redis.call("HLEN", CANDIDATES) > 0',
        "",
        f"{STORE}/test_store_moves.py::test_no_post_begins_while_a_callback_tells_of_one_that_is_not_on_record",
    ),
    _m(
        "tries not numbered: an older try's not taken counts",
        f"{LUA}/move.lua",
        '(given.try_no or int("try_no")) == int("try_no")',
        "true",
        f"{STORE}/test_store_moves.py::test_not_taken_of_an_earlier_try_never_sends_a_taken_one_back",
    ),
    _m(
        "facts of a lapsed lease discarded",
        f"{LUA}/rest.lua",
        "local news = keep(given.attempt, given.facts)",
        "local news = job.lease == given.lease and keep(given.attempt, given.facts)",
        f"{STORE}/test_store_claims.py::test_a_step_that_lost_its_lease_reports_facts_but_reschedules_nothing",
    ),
    _m(
        "the bucket is not asked before a POST: a Redis set back pays twice",
        "worker/steps/submit.py",
        "    if begun is not None:\n        return report.insist(",
        "    if False:\n        return report.insist(",
        f"{STEPS}/test_rollback.py::test_a_job_whose_record_was_lost_with_it_is_not_paid_again_when_it_is_sent_again",
    ),
    _m(
        "a try whose process was lost is made again though the bucket knows of it",
        "worker/steps/submit.py",
        "    if begun is not None:\n        return report.unconfirmed(",
        "    if False:\n        return report.unconfirmed(",
        f"{STEPS}/test_submit_crashes.py::test_a_kill_after_the_post_is_found_in_the_providers_list",
    ),
    _m(
        "a try whose process was lost is looked for in another place than it was written down in",
        "worker/steps/submit.py",
        "job.kept_in != services.bucket.place",
        "False",
        f"{STEPS}/test_submit_crashes.py"
        "::test_a_worker_that_is_told_elsewhere_of_the_bucket_believes_in_no_post_that_was_not_sent",
    ),
    _m(
        "a try that was taken over is begun by the paused one as well",
        "worker/bucket/intents.py",
        "return None if found.by == by else found",
        "return None",
        f"{STEPS}/test_submit_crashes.py"
        "::test_a_worker_paused_before_the_bucket_is_told_finds_its_try_taken_and_sends_nothing",
    ),
    _m(
        "a POST is written down in the bucket over an older one",
        "worker/bucket/intents.py",
        "condition = ONLY_IF_ABSENT if is_guarded else {}",
        "condition: dict[str, str] = {}",
        "tests/integration/bucket/test_intents.py::test_a_try_is_begun_once_and_the_next_asker_is_told_when",
    ),
    _m(
        "cancelled is told of a job whose POST Redis has lost",
        "worker/operations/cancel.py",
        "(begun := intents.begun_already(job, services))",
        "(begun := None)",
        f"{STEPS}/test_rollback.py::test_a_job_that_was_sent_is_not_told_as_cancelled",
    ),
    _m(
        "intents that go backwards are not noticed",
        f"{LUA}/_intents.lua",
        "if intents.count < seen then",
        "if false then",
        f"{STEPS}/test_rollback.py::test_the_sweep_notices_so_that_a_worker_without_memory_sends_nothing",
    ),
    _m(
        "a late refusal fails a job that a callback has bound",
        "worker/store/move_arguments.py",
        "return FAILS[error.stage]",
        "return SOURCES[to]",
        f"{STORE}/test_store_moves.py::test_a_job_fails_only_at_the_stage_that_it_has_reached",
    ),
    # --- the clock
    _m(
        "no due entry at acceptance",
        f"{LUA}/accept.lua",
        "due_at = now + given.due_in_ms",
        "",
        f"{STORE}/test_store_accept.py::test_an_accepted_job_is_recorded_and_due_at_once",
        True,
    ),
    _m(
        "claim that does not move due",
        f"{LUA}/claim.lua",
        "due_at = now + given.lease_ms",
        "local unused = now + given.lease_ms",
        f"{STORE}/test_store_claims.py::test_a_claim_moves_due_to_the_leases_end",
    ),
    _m(
        "sweep that takes leases",
        f"{LUA}/nudge.lua",
        'redis.call("HINCRBY", KEYS[i], "nudges", 1)',
        'redis.call("HSET", KEYS[i], "lease", "x", "lease_until", "9999999999999")',
        f"{STORE}/test_store_claims.py::test_a_nudge_takes_no_lease",
    ),
    _m(
        "nudges that double without limit",
        f"{LUA}/nudge.lua",
        "math.min(tonumber(ARGV[3]), ",
        "math.max(0, ",
        f"{STORE}/test_store_claims.py::test_nudges_double_up_to_five_minutes",
    ),
    _m(
        "no sweep",
        "worker/steps/sweep.py",
        "if len(due) < BATCH:",
        "if True or len(due) < BATCH:",
        f"{STEPS}/test_sweep.py::test_a_backlog_is_nudged_whole_in_one_tick",
    ),
    _m(
        "no sweep of accepted jobs",
        "worker/steps/sweep.py",
        "for start in range(0, len(job_ids), size):",
        "for start in range(0, len(job_ids) if step is not Step.SUBMIT else 0, size):",
        f"{STEPS}/test_sweep.py::test_a_due_job_is_nudged_to_the_step_it_needs",
    ),
    _m(
        "no poll: a job with callbacks is only waited for",
        "worker/steps/poll.py",
        "POLLED = (JobState.SUBMITTED, JobState.UNCONFIRMED)",
        "POLLED = (JobState.UNCONFIRMED,)",
        f"{STEPS}/test_poll.py::test_progress_is_told_as_it_grows_and_never_falls",
    ),
    _m(
        "no reconciliation of an unconfirmed submit",
        "worker/steps/reconcile.py",
        "if self._provider.can_list:",
        "if False:",
        f"{STEPS}/test_confirm.py::test_a_request_that_the_list_shows_with_our_payload_is_bound",
    ),
    _m(
        "jobs of a newer layout stand before all others",
        "worker/steps/sweep.py",
        "store.due(limit=BATCH + len(left))",
        "store.due(limit=BATCH)",
        f"{STEPS}/test_sweep.py::test_jobs_of_a_newer_callsheet_are_left_due_and_hold_up_no_other",
    ),
)
