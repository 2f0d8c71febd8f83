"""The layout of a job's keys: every field of a record, and how the values of the other keys are written.

It has one number, `SCHEMA_VERSION`, which each record bears as `v`. Another layout
is another number: a record of a number that this version does not know is left alone.
`tests/unit/store/test_layout.py` keeps the shape under its number.
"""

from __future__ import annotations

from hashlib import sha256

FIELDS = {
    "v": "number of the layout of all the job's keys",
    "ver": "version of the record: grows with everything that is told",
    "state": "where the job stands",
    "state_at": "since when; never before the last move, whatever the clock was set to",
    "path": "how the state came: submit, callback, poll, sweep, operator",
    "attempt": "number of the current attempt, from 1",
    "try_no": "POSTs begun in the attempt",
    "begun_at": "when the last of them was",
    "kept_in": "which bucket is told of it",
    "unsent_by": "by which name the bucket may have been told of a POST that was not sent",
    "provider": "who makes the video",
    "model": "the provider's own name of the model",
    "spec_sha256": "digest of the spec in its canonical form",
    "accepted_at": "when the job was recorded",
    "tenant": "for whom, as the spec says",
    "batch": "the batch that it was ordered in",
    "kind": "seconds and resolution that are made and billed: 5/720p",
    "not_before": "the instant before which nothing is submitted, as the spec says",
    "give_up_after": "seconds from acceptance after which nothing is submitted any more, as the spec says",
    "cost": "JSON: by the price known when it was accepted",
    "submitted_at": "since when the attempt's request id is known",
    "usage": "JSON: as the provider billed the attempt",
    "progress": "0..100, as the provider told",
    "generated_by": "how the video was learned of: callback or poll",
    "link_expires_at": "when the first of the video's links ends",
    "videos": "JSON: the videos in the bucket",
    "ignored": "JSON: links of the result that led to no video",
    "differs": "JSON: what the videos have otherwise than was asked for",
    "failing_since": "when the first try past the link's end failed",
    "videos_attempt": "whose they are, where that is an older attempt",
    "error_stage": "what the job failed at",
    "error_code": "why, in a word",
    "error_message": "why, in a sentence",
    "lease": "who may act: a nonce of the claim",
    "error_provider_code": "why, in the provider's own word",
    "lease_until": "until when",
    "leased_at": "and since when, however often it was renewed",
    "nudges": "nudges since the job was last serviced",
    "polls": "GETs since the attempt was submitted",
    "failures": "tries in a row that the present step could not finish",
    "waiting_for": "in words: what the last step left the job waiting for",
    "waits": "the code of that, where the state does not tell it (`wait_codes.py`)",
    "refused_at": "when its provider last refused it as it refuses everybody: it then stands behind all others",
    "unusable": "the code of a success that cannot be used, while the provider says so: no_video, bad_link",
    "unusable_at": "since when it says so",
    "place": "where it stands in a line of its provider: <op>:<since>",
    "waited_until": "when the POST it waited for was begun",
    "reserved": "what its last POST reserved of the budget, millionths of USD",
    "reserved_on": "of which UTC day",
    "call": "a callback that nobody has looked at: new, or seen by the step that holds the lease",
    "woken_at": "when a callback last made the job due; may lie ahead: a look that is promised",
    "contradictions": "callbacks that the provider's own answer denied",
    "final_at": "told from here on",
    "look_until": "a final job is looked at again until then",
    "closed_at": "nothing more to do",
    "told_ver": "which version was told",
    "manifest_ver": "which version was written to job.json; absent: no manifest is wanted",
    "notified_ver": "which version was taken by the receiver of notifications; absent: none is wanted",
    "notify_tries": "<ver>:<tries that failed>:<first try at>:<next one at>",
    "notify_dead": "the version whose notification was given up",
    "told": "the word whose callbacks were sent, and for which Celery requests: success 1f3a -",
    "tombstone": "1 in a tombstone, which keeps some of these fields as JSON",
}
"""Every field of a record and what it is; all are text, instants are Unix ms by the server's clock."""

OF_ATTEMPTS = {
    "request_id": "the provider's id of the attempt's request",
    "ended": "what an older attempt ended as: failed(confirm)",
    "begun_at": "when an older attempt's last POST was begun",
    "submitted_at": "since when an older attempt's request id was known",
    "usage": "JSON: as the provider billed an older attempt",
}
"""Fields that end in ".<attempt>"."""

VALUES = {
    "history": "list: spec JSON, or \\1 and that deflated; Celery requests, a line of JSON each; moves, see `move`",
    "move": "<at> <from> <to> <path>[:<who>] <attempt> <detail>[\\t<why>]",
    "links": "JSON list of url, expires_at",
    "events": "hash: fingerprint -> <terminal> <attempt> <stored at> <request id as JSON>\\n<event JSON>",
    "candidates": "hash: request id -> <first seen>[ denied]",
    "tombstone": "JSON of fields",
    "deliveries": "list: tries at notifications, JSON of at, ver, status, ms, error, words, path",
    "line": "<provider>:<op>:<since, 15 digits>:<job id>",
    "occupied": "<provider>:<job id>",
    "listed": "<rank of the state, 1 to 9> * 10^13 + <accepted_at>: the score of the job id",
    "closed": "when the record ends: the score of the job id",
    "reserved": "hash of a UTC day: <job id>:<attempt>:<try> -> millionths of USD",
}
"""The form of the values of the job's other keys, and of its entries in shared ones."""


def is_field(name: str) -> bool:
    """Whether a record has a field of that name."""
    of_attempt, _, attempt = name.rpartition(".")
    return name in FIELDS or (attempt.isdecimal() and of_attempt in OF_ATTEMPTS)


def shape() -> str:
    """Digest of the names and forms: it changes exactly when the layout does."""
    forms = [*sorted(FIELDS), "", *sorted(OF_ATTEMPTS), "", *(f"{key} {form}" for key, form in sorted(VALUES.items()))]
    return sha256("\n".join(forms).encode()).hexdigest()[:16]
