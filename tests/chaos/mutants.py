"""The mutants of `reliability.md` 3.2 and of the design's model check, each with the test that catches it.

A mutant is one promise taken out of the code by a small replacement of text. It is tried in a
copy of the tree: the named test must pass on the sound copy and fail on the mutant.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.sandbox_process import SOURCE

PARTS = ("worker", "webhook", "deploy", "tests", "celeryconfig.py", "Procfile", "pyproject.toml")
LUA = "worker/store/lua"
STORE = "tests/integration/store"
STEPS = "tests/integration/steps"


@dataclass(frozen=True)
class Mutant:
    """`old` (once in `file`) becomes `new`; `test` must notice."""

    name: str
    file: str
    old: str
    new: str
    test: str
    is_quick: bool = False


def _m(name: str, file: str, old: str, new: str, test: str, quick: bool = False) -> Mutant:
    return Mutant(name, file, old, new, test, quick)


MUTANTS = (
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
        "    if begun is not None:",
        "    if False:",
        f"{STEPS}/test_rollback.py::test_a_job_whose_record_was_lost_with_it_is_not_paid_again_when_it_is_sent_again",
    ),
    _m(
        "a POST is written down in the bucket over an older one",
        "worker/begun.py",
        "condition = ONLY_IF_ABSENT if is_guarded else {}",
        "condition: dict[str, str] = {}",
        "tests/integration/test_begun.py::test_a_try_is_begun_once_and_the_next_asker_is_told_when",
    ),
    _m(
        "cancelled is told of a job whose POST Redis has lost",
        "worker/steps/cancel.py",
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
        "worker/store/arguments.py",
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
        "worker/steps/confirm.py",
        "if self._provider.can_list:",
        "if False:",
        f"{STEPS}/test_confirm.py::test_a_request_that_the_list_shows_with_our_payload_is_bound",
    ),
    # --- callbacks
    _m(
        "200 before the store has it",
        "webhook/errors.py",
        "return _error(503)",
        'return answer(200, outcome="stored")',
        "tests/integration/receiver/test_receiver_faults.py"
        "::test_a_store_that_is_not_there_is_answered_503_until_it_is_back",
    ),
    _m(
        "token without attempt",
        "worker/callbacks.py",
        "(PURPOSE, provider, job_id, str(attempt))",
        "(PURPOSE, provider, job_id)",
        "tests/unit/test_callbacks.py",
        True,
    ),
    _m(
        "unsigned callback believed",
        "worker/steps/poll.py",
        "if heard and not services.settings.confirm_callbacks:",
        "if heard:",
        f"{STEPS}/test_poll.py::test_a_forged_callback_moves_nothing",
    ),
    _m(
        "candidate believed unread",
        "worker/steps/confirm.py",
        "return self._provider.fits(self._spec, event, begun_at=_begun_at(self._job))",
        "return True",
        f"{STEPS}/test_confirm.py::test_a_candidate_of_another_time_is_refused",
    ),
    _m(
        "one slot for candidates",
        f"{LUA}/arrive.lua",
        'redis.call("HSETNX", CANDIDATES',
        'redis.call("DEL", CANDIDATES) redis.call("HSETNX", CANDIDATES',
        f"{STORE}/test_store_callbacks.py::test_a_forged_early_callback_cannot_push_out_the_true_one",
    ),
    _m(
        "a full set of candidates swallows the callback",
        f"{LUA}/arrive.lua",
        'given.max_candidates then return answer("full") end',
        'given.max_candidates then return answer("stored") end',
        f"{STORE}/test_store_callbacks.py::test_a_full_candidate_set_says_so_instead_of_swallowing_the_callback",
    ),
    _m(
        "other candidates not discarded by the submit answer",
        f"{LUA}/move.lua",
        'redis.call("DEL", CANDIDATES)',
        "",
        f"{STORE}/test_store_binding.py",
    ),
    _m(
        "job closed while a candidate waits",
        f"{LUA}/settle.lua",
        'if job.call or redis.call("HLEN", CANDIDATES) > 0 then',
        "if false then",
        f"{STORE}/test_store_callbacks.py::test_a_job_with_a_waiting_candidate_is_not_closed",
    ),
    _m(
        "an index entry is void while its job is still binding",
        "worker/store/index.py",
        "return None not in known and request_id not in known",
        "return request_id not in known",
        f"{STORE}/test_store_binding.py::test_an_entry_whose_job_is_still_binding_is_not_void",
    ),
    # --- late truth
    _m(
        "no late truth for failed(outcome_unknown)",
        "worker/states.py",
        'S.UNCONFIRMED, "failed(confirm)"})',
        "S.UNCONFIRMED})",
        f"{STEPS}/test_late_truth.py::test_a_callback_revives_a_job_whose_outcome_was_unknown",
    ),
    _m(
        "no late truth for expired",
        "worker/states.py",
        'frozenset({S.SUBMITTED, S.EXPIRED, "failed(archive)"})',
        'frozenset({S.SUBMITTED, "failed(archive)"})',
        f"{STEPS}/test_late_truth.py::test_an_expired_jobs_video_is_archived_when_it_comes_after_all",
    ),
    _m(
        "no late truth for failed(archive)",
        "worker/states.py",
        'S.ARCHIVED: frozenset({S.GENERATED, "failed(archive)"})',
        "S.ARCHIVED: frozenset({S.GENERATED})",
        f"{STEPS}/test_late_truth.py::test_an_archive_that_failed_is_made_good_by_a_working_link",
    ),
    # --- the archive
    _m(
        "key without attempt",
        "worker/bucket.py",
        "/{int(attempt)}-{int(n)}.mp4",
        "/1-{int(n)}.mp4",
        "tests/integration/test_bucket.py::test_a_key_is_dated_by_acceptance_and_told_apart_by_attempt",
    ),
    _m(
        "no conditional put",
        "worker/bucket.py",
        "make_visible(**(ONLY_IF_ABSENT if is_guarded else {}))",
        "make_visible()",
        "tests/integration/test_bucket.py::test_other_bytes_never_replace_a_video",
    ),
    _m(
        "unconditional put without a look first",
        "worker/bucket.py",
        "found = None if is_guarded else self.find(key)",
        "found = None",
        "tests/integration/test_bucket_faults.py::test_without_conditions_other_bytes_still_replace_nothing",
    ),
    _m(
        "archive verdict at once",
        "worker/steps/archive.py",
        "if claim.now > services.timing.archive_verdict_at(job):",
        "if True:",
        f"{STEPS}/test_archive_verdict.py::test_a_job_is_not_given_up_before_its_link_has_ended",
    ),
    _m(
        "archive verdict without a look whether the object is there",
        "worker/steps/archive.py",
        "videos = find_all(job, max(1, len(services.store.links(job.id))), services)",
        "videos = ()",
        f"{STEPS}/test_archive_verdict.py::test_objects_that_are_there_after_all_turn_the_verdict",
    ),
    # --- telling
    _m(
        "result not owed",
        f"{LUA}/settle.lua",
        'if int("told_ver") < given.ver or',
        "if false or",
        f"{STORE}/test_store_settle.py::test_the_manifest_may_be_paid_before_the_result",
    ),
    _m(
        "told is marked though the record has moved on",
        f"{LUA}/settle.lua",
        'given.ver ~= int("ver") or not',
        "not",
        f"{STORE}/test_store_settle.py::test_told_does_not_count_when_the_record_has_moved_on",
        True,
    ),
    _m(
        "manifest not owed",
        f"{LUA}/settle.lua",
        '(job.manifest_ver and int("manifest_ver") < given.ver)',
        "false",
        f"{STORE}/test_store_settle.py::test_an_archived_job_stays_open_until_its_manifest_is_written",
    ),
    _m(
        "result write without version",
        "worker/result.lua",
        "if held_ver >= ver then",
        "if false then",
        "tests/integration/results/test_result_versions.py::test_an_old_failure_told_late_does_not_replace_the_success",
    ),
)


class Workshop:
    """A copy of the tree in *directory* in which mutants are tried, one at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for part in PARTS:
            source, target = SOURCE / part, directory / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        file = self.directory / mutant.file
        sound = file.read_text()
        assert mutant.old in sound, f"the mutant '{mutant.name}' no longer fits {mutant.file}: write it anew"
        file.write_text(sound.replace(mutant.old, mutant.new, 1))
        try:
            yield
        finally:
            file.write_text(sound)

    def fails(self, test: str) -> bool:
        """Whether *test* fails in the copy; an error of pytest itself is none."""
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--timeout=60", "-p", "no:cacheprovider", test],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert run.returncode in (0, 1), f"{test}: {run.stdout[-2000:]}{run.stderr[-2000:]}"
        return run.returncode == 1
