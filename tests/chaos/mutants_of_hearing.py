"""Mutants of what jobs hear and leave behind: callbacks, late truth, the archive, the told result."""

from __future__ import annotations

from tests.chaos.workshop import LUA, STEPS, STORE
from tests.chaos.workshop import mutant as _m

HEARING = (
    # --- callbacks
    _m(
        "200 before the store has it",
        "webhook/errors.py",
        '"reason": str(err)})\n    return _error(503)',
        '"reason": str(err)})\n    return answer(200, outcome="stored")',
        "tests/integration/webhook/test_receiver_faults.py"
        "::test_a_store_that_is_not_there_is_answered_503_until_it_is_back",
    ),
    _m(
        "token without attempt",
        "worker/jobs/callback_token.py",
        "(PURPOSE, provider, job_id, str(attempt))",
        "(PURPOSE, provider, job_id)",
        "tests/unit/jobs/test_callback_token.py",
        True,
    ),
    _m(
        "unsigned callback believed",
        "worker/steps/poll.py",
        "(event for event in heard if event.is_verified or not services.settings.confirm_callbacks)",
        "iter(heard)",
        f"{STEPS}/test_forged_callbacks.py::test_a_forged_callback_moves_nothing",
    ),
    _m(
        "signature not looked at",
        "webhook/callbacks.py",
        "event_id = provider.verifier.verify(headers, body)",
        'event_id = ""',
        "tests/integration/webhook/test_receiver_signatures.py::test_a_signature_that_does_not_hold_is_refused_and_counted",
    ),
    _m(
        "candidate believed unread",
        "worker/steps/reconcile.py",
        "return any(self._provider.fits(form, event, begun_at=at) for form in forms for at in possible)",
        "return True",
        f"{STEPS}/test_candidates.py::test_a_candidate_of_another_time_is_refused",
    ),
    _m(
        "one slot for candidates",
        f"{LUA}/_events.lua",
        'redis.call("HSET", CANDIDATES, request_id, text(now))',
        'redis.call("DEL", CANDIDATES) redis.call("HSET", CANDIDATES, request_id, text(now))',
        f"{STORE}/test_store_callbacks.py::test_a_forged_early_callback_cannot_push_out_the_true_one",
    ),
    _m(
        "a full set of candidates swallows the callback",
        f"{LUA}/arrive.lua",
        'given.max_candidates) then return answer("full") end',
        'given.max_candidates) then return answer("stored") end',
        f"{STORE}/test_store_callbacks.py::test_a_full_candidate_set_says_so_instead_of_swallowing_the_callback",
    ),
    _m(
        "each callback of a flood costs a GET",
        f"{LUA}/_record.lua",
        "if woken_at + WAKE_MS <= now then",
        "if true then",
        f"{STORE}/test_store_wakes.py::test_of_callbacks_that_tell_nothing_new_each_job_has_one_look_a_minute",
    ),
    _m(
        "a look that a callback was promised is put off",
        f"{LUA}/_record.lua",
        "and not leased() then due_at = woken_at end",
        "and false then due_at = woken_at end",
        f"{STORE}/test_store_wakes.py::test_a_callback_that_comes_during_a_look_is_looked_at_after_the_minute_too",
    ),
    _m(
        "nobody looks for a callback that cannot be read",
        f"{LUA}/arrive.lua",
        'return answer_nothing_new(is_listening and "unread" or "late")',
        'return answer(is_listening and "unread" or "late")',
        "tests/integration/webhook/test_receiver_bodies.py"
        "::test_a_delivery_that_cannot_be_read_makes_its_job_due_at_once",
    ),
    _m(
        "a body is read before its token",
        "webhook/callbacks.py",
        "        address = receiver.check(provider, job_id, attempt, token)\n        body, fault = _body(request)\n",
        "        body, fault = _body(request)\n        address = receiver.check(provider, job_id, attempt, token)\n",
        "tests/integration/webhook/test_receiver_bodies.py::test_without_a_token_the_body_is_not_even_read",
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
        f"{LUA}/delivered.lua",
        'if job.call or redis.call("HLEN", CANDIDATES) > 0 then',
        "if false then",
        f"{STORE}/test_store_callbacks.py::test_a_job_with_a_waiting_candidate_is_not_closed",
    ),
    _m(
        "an index entry is void while its job is still binding",
        "worker/store/request_ids.py",
        "return None not in known and request_id not in known",
        "return request_id not in known",
        f"{STORE}/test_store_binding.py::test_an_entry_whose_job_is_still_binding_is_not_void",
    ),
    # --- late truth
    _m(
        "no late truth for failed(outcome_unknown)",
        "worker/jobs/states.py",
        'S.UNCONFIRMED, "failed(confirm)"})',
        "S.UNCONFIRMED})",
        f"{STEPS}/test_late_truth.py::test_a_callback_revives_a_job_whose_outcome_was_unknown",
    ),
    _m(
        "no late truth for expired",
        "worker/jobs/states.py",
        'frozenset({S.SUBMITTED, S.EXPIRED, "failed(generate)", "failed(archive)"})',
        'frozenset({S.SUBMITTED, "failed(generate)", "failed(archive)"})',
        f"{STEPS}/test_late_truth.py::test_an_expired_jobs_video_is_archived_when_it_comes_after_all",
    ),
    _m(
        "no late truth for failed(archive)",
        "worker/jobs/states.py",
        'S.ARCHIVED: frozenset({S.GENERATED, "failed(archive)"})',
        "S.ARCHIVED: frozenset({S.GENERATED})",
        f"{STEPS}/test_late_truth.py::test_an_archive_that_failed_is_made_good_by_a_working_link",
    ),
    # --- the archive
    _m(
        "key without attempt",
        "worker/bucket/videos.py",
        "/{int(attempt)}-{int(n)}.{",
        "/1-{int(n)}.{",
        "tests/integration/bucket/test_bucket.py::test_a_key_is_dated_by_acceptance_and_told_apart_by_attempt",
    ),
    _m(
        "no conditional put",
        "worker/bucket/videos.py",
        "make_visible(**(ONLY_IF_ABSENT if is_guarded else {}))",
        "make_visible()",
        "tests/integration/bucket/test_bucket.py::test_other_bytes_never_replace_a_video",
    ),
    _m(
        "bytes that no digest protects are believed",
        "worker/bucket/videos.py",
        "return video if known.are_exact else",
        "return video if is_guarded else",
        "tests/integration/bucket/test_extensions.py::test_bytes_that_no_digest_protects_are_read_back",
    ),
    _m(
        "a digest that is taken unread counts",
        "worker/bucket/capabilities.py",
        "return Extensions(way.digest, keeps_conditions) if is_checked else None",
        "return Extensions(way.digest, keeps_conditions)",
        "tests/integration/bucket/test_extensions.py::test_bytes_that_no_digest_protects_are_read_back",
    ),
    _m(
        "unconditional put without a look first",
        "worker/bucket/videos.py",
        "found = None if is_guarded else self.find(key, progress=progress)",
        "found = None",
        "tests/integration/bucket/test_bucket_faults.py::test_without_conditions_other_bytes_still_replace_nothing",
    ),
    _m(
        "a body that just ends is whole",
        "worker/guard/response.py",
        "BodyEnd.CLOSED if self._connection.ended_in_order else BodyEnd.UNKNOWN",
        "BodyEnd.CLOSED",
        "tests/integration/guard/test_download.py::test_a_body_without_a_length_or_an_end_in_order_has_no_certain_end",
    ),
    _m(
        "a download that was cut goes on with another file",
        "worker/guard/download.py",
        "and answer.head.first(name) in (None, value)",
        "",
        "tests/integration/guard/test_resume.py::test_only_the_rest_of_the_very_file_is_taken",
    ),
    _m(
        "any trusted certificate is for a name with an underscore",
        "worker/guard/client.py",
        "if has_underscore and not _certifies(tls.getpeercert() or {}, url.host):",
        "if False:",
        "tests/integration/guard/test_client.py"
        "::test_a_wildcard_certifies_a_name_with_an_underscore_as_it_does_in_browsers",
    ),
    _m(
        "archive verdict at once",
        "worker/steps/archive.py",
        "if _has_ended(claim, err, failing_since, services):",
        "if True:",
        f"{STEPS}/test_archive_verdict.py::test_a_job_is_not_given_up_before_its_link_has_ended",
    ),
    _m(
        "archive verdict without a look whether the object is there",
        "worker/steps/archive.py",
        "copied = find_copied(job, services, why=str(err))",
        "copied = Copied(())",
        f"{STEPS}/test_archive_verdict.py::test_objects_that_are_there_after_all_turn_the_verdict",
    ),
    _m(
        "archived in the order the messages came",
        "worker/steps/archive.py",
        "in services.store.perishing.most_urgent(untried_only=is_express):",
        "in sorted(services.store.perishing.most_urgent(untried_only=is_express)):",
        f"{STEPS}/test_archive.py::test_after_an_outage_each_turn_goes_to_the_video_whose_link_dies_first",
    ),
    # --- telling
    _m(
        "result not owed",
        f"{LUA}/_close.lua",
        'return int("told_ver") < int("ver")',
        "return false",
        f"{STORE}/test_store_delivered.py::test_the_manifest_may_be_delivered_before_the_result",
    ),
    _m(
        "told is marked though the record has moved on",
        f"{LUA}/delivered.lua",
        'given.ver ~= int("ver") or not',
        "not",
        f"{STORE}/test_store_delivered.py::test_told_does_not_count_when_the_record_has_moved_on",
        True,
    ),
    _m(
        "manifest not owed",
        f"{LUA}/_close.lua",
        'return job.manifest_ver ~= nil and int("manifest_ver") < int("ver")',
        "return false",
        f"{STORE}/test_store_delivered.py::test_an_archived_job_stays_open_until_its_manifest_is_written",
    ),
    _m(
        "result write without version",
        "worker/messaging/result.lua",
        "if held_at > at or (held_at == at and held_ver > ver) then",
        "if false then",
        "tests/integration/results/test_result_versions.py::test_an_old_failure_told_late_does_not_replace_the_success",
    ),
    _m(
        "results ordered by version alone",
        "worker/messaging/result.lua",
        "if held_at > at or (held_at == at and held_ver > ver) then",
        "if held_ver > ver then",
        "tests/integration/results/test_result_versions.py::test_a_record_lost_whole_and_sent_again_is_told",
    ),
)
