"""The layout of a job's keys: every field of a record, and how the values of the other keys are written.

It has one number, `SCHEMA_VERSION`, which each record bears as `v`. Another layout
is another number: a record of a number that this version does not know is left alone.
`tests/unit/store/test_layout.py` keeps the shape under its number.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, TypedDict, get_type_hints


class OwnFields(TypedDict, total=False):
    """The fields that only the scripts write."""

    v: Annotated[str, "number of the layout of all the job's keys"]
    ver: Annotated[str, "version of the record: grows with everything that is told"]
    state: Annotated[str, "where the job stands"]
    state_at: Annotated[str, "since when; never before the last move, whatever the clock was set to"]
    path: Annotated[str, "how the state came: submit, callback, poll, sweep, operator"]
    attempt: Annotated[str, "number of the current attempt, from 1"]
    try_no: Annotated[str, "POSTs begun in the attempt"]
    accepted_at: Annotated[str, "when the job was recorded"]
    submitted_at: Annotated[str, "since when the attempt's request id is known"]
    error_stage: Annotated[str, "what the job failed at"]
    error_code: Annotated[str, "why, in a word"]
    error_message: Annotated[str, "why, in a sentence"]
    lease: Annotated[str, "who may act: a nonce of the claim"]
    error_provider_code: Annotated[str, "why, in the provider's own word"]
    lease_until: Annotated[str, "until when"]
    leased_at: Annotated[str, "and since when, however often it was renewed"]
    nudges: Annotated[str, "nudges since the job was last serviced"]
    place: Annotated[str, "where it stands in a line of its provider: <op>:<since>"]
    call: Annotated[str, "a callback that nobody has looked at: new, or seen by the step that holds the lease"]
    woken_at: Annotated[str, "when a callback last made the job due; may lie ahead: a look that is promised"]
    woken_from: Annotated[
        str, "when it was due before callbacks of an older attempt for which there was no room made it due"
    ]
    contradictions: Annotated[str, "callbacks that the provider's own answer denied"]
    final_at: Annotated[str, "told from here on"]
    look_until: Annotated[str, "a final job is looked at again until then"]
    closed_at: Annotated[str, "nothing more to do"]
    told_ver: Annotated[str, "which version was told"]
    manifest_ver: Annotated[str, "which version was written to job.json; absent: no manifest is wanted"]
    notified_ver: Annotated[str, "which version was taken by the receiver of notifications; absent: none is wanted"]
    notify_tries: Annotated[str, "<ver>:<tries that failed>:<first try at>:<next one at>"]
    notify_dead: Annotated[str, "the version whose notification was given up"]
    tombstone: Annotated[str, "1 in a tombstone, which keeps some of these fields as JSON"]


class Fields(TypedDict, total=False):
    """The fields that callers hand to the scripts, as facts or as notes."""

    begun_at: Annotated[str, "when the last of them was"]
    kept_in: Annotated[str, "which bucket is told of it"]
    unsent_by: Annotated[str, "by which name the bucket may have been told of a POST that was not sent"]
    provider: Annotated[str, "who makes the video"]
    model: Annotated[str, "the provider's own name of the model"]
    spec_sha256: Annotated[str, "digest of the spec in its canonical form"]
    tenant: Annotated[str, "for whom, as the spec says"]
    batch: Annotated[str, "the batch that it was ordered in"]
    kind: Annotated[str, "seconds and resolution that are made and billed: 5/720p"]
    not_before: Annotated[str, "the instant before which nothing is submitted, as the spec says"]
    give_up_after: Annotated[str, "seconds from acceptance after which nothing is submitted any more, as the spec says"]
    cost: Annotated[str, "JSON: by the price known when it was accepted"]
    usage: Annotated[str, "JSON: as the provider billed the attempt"]
    progress: Annotated[str, "0..100, as the provider told"]
    generated_by: Annotated[str, "how the video was learned of: callback or poll"]
    link_expires_at: Annotated[str, "when the first of the video's links ends"]
    videos: Annotated[str, "JSON: the videos in the bucket"]
    ignored: Annotated[str, "JSON: links of the result that led to no video"]
    differs: Annotated[str, "JSON: what the videos have otherwise than was asked for"]
    failing_since: Annotated[str, "when the first try past the link's end failed"]
    videos_attempt: Annotated[str, "whose they are, where that is an older attempt"]
    polls: Annotated[str, "GETs since the attempt was submitted"]
    failures: Annotated[str, "tries in a row that the present step could not finish"]
    waiting_for: Annotated[str, "in words: what the last step left the job waiting for"]
    waits: Annotated[str, "the code of that, where the state does not tell it (`wait_codes.py`)"]
    resent: Annotated[str, "the attempt whose POST was sent once more, under its idempotency key"]
    refused_at: Annotated[
        str, "when its provider last refused it as it refuses everybody: it then stands behind all others"
    ]
    unusable: Annotated[
        str, "the code of a success that cannot be used, while the provider says so: no_video, bad_link"
    ]
    unusable_at: Annotated[str, "since when it says so"]
    waited_until: Annotated[str, "when the POST it waited for was begun"]
    told: Annotated[str, "the word whose callbacks were sent, and for which Celery requests: success 1f3a -"]


OWN_FIELDS = frozenset(OwnFields.__annotations__)
FIELDS = {
    name: str(hint.__metadata__[0])
    for table in (OwnFields, Fields)
    for name, hint in get_type_hints(table, include_extras=True).items()
}
"""Every field of a record and what it is; all are text, instants are Unix ms by the server's clock."""

OF_ATTEMPTS = {
    "request_id": "the provider's id of the attempt's request",
    "ended": "what an older attempt ended as: failed(confirm)",
    "begun_at": "when an older attempt's last POST was begun",
    "submitted_at": "since when an older attempt's request id was known",
    "usage": "JSON: as the provider billed an older attempt",
    "money": "<standing> <millionths of USD> <UTC day of the POST> <ms of video> <basis>",
}
"""Fields that end in ".<attempt>"."""

VALUES = {
    "history": "list: spec JSON, or \\1 and that deflated; Celery requests, a line of JSON each; moves, see `move`",
    "move": "<at> <from> <to> <path>[:<who>] <attempt> <detail>[\\t<why>]",
    "links": "JSON list of url, expires_at",
    "events": "hash: fingerprint -> <terminal> <attempt> <stored at> <request id as JSON>[ denied]\\n<event JSON>",
    "candidates": "hash: request id -> <first seen>[ denied]",
    "tombstone": "JSON of fields",
    "deliveries": "list: tries at notifications, JSON of at, ver, status, ms, error, words, path",
    "line": "<provider>:<op>:<since, 15 digits>:<job id>",
    "occupied": "<provider>:<job id>",
    "listed": "<rank of the state, 1 to 9> * 10^13 + <accepted_at>: the score of the job id",
    "closed": "when the record ends: the score of the job id",
    "ledger": "hash: <UTC day>|<provider>|<model>|<tenant>|<standing> -> <jobs> <ms> <millionths> <unpriced>; since",
    "ledger_index": "the same names, and unknown:<UTC day>|<job id>|<attempt>",
    "budget": "hash of a month: month, <UTC day>, <UTC day> <tenant> -> millionths",
    "reserved": "hash of a month: <job id>:<attempt> -> <millionths> <ver> <claim granted at> <UTC day> <tenant>",
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
