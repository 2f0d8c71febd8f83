"""The closed list of error codes: the word that says why a job has no video, the same for all providers.

A provider's own code stands beside ours (`JobError.provider_code`), its own words in the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

TERMS = "by the provider's terms; mostly no"
ASK = "ask the provider, with the request id"
WORDS = "see the message: it has the provider's own words"


class ErrorCode(StrEnum):
    """Why a job has no video. What each means for the job's owner stands in `MEANINGS`."""

    # the spec
    SPEC_REFUSED = "spec_refused"
    IMAGE_MISSING = "image_missing"
    # a provider's refusal, of the POST or of the generation
    NO_CREDIT = "no_credit"
    BAD_KEY = "bad_key"
    NO_ACCESS = "no_access"
    MODERATION = "moderation"
    INVALID_INPUT = "invalid_input"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    # the end of our own patience
    SUBMIT_DEADLINE = "submit_deadline"
    OUTCOME_UNKNOWN = "outcome_unknown"
    EXPIRED = "expired"
    # the generation
    GENERATION_FAILED = "generation_failed"
    TIMED_OUT = "timed_out"
    CANCELLED_THERE = "cancelled_there"
    NO_VIDEO = "no_video"
    BAD_LINK = "bad_link"


UNUSABLE: dict[str, str] = {
    ErrorCode.NO_VIDEO: "names no video",
    ErrorCode.BAD_LINK: "names no link that is an https URL",
}
"""The codes of a success that cannot be used, in words."""


@dataclass(frozen=True)
class Meaning:
    """One row of the list for people: what it means, whether money was spent, what to do."""

    means: str
    spent: str
    do: str


C = ErrorCode

MEANINGS: dict[ErrorCode, Meaning] = {
    code: Meaning(*row)
    for code, row in {
        C.SPEC_REFUSED: ("the spec cannot be made as it is", "no", "mend the fields that the message names"),
        C.IMAGE_MISSING: (
            "an image of the spec is not in S3, or not open to Callsheet's credentials",
            "no",
            "upload it, or grant s3:GetObject on it; then `callsheet retry`",
        ),
        C.NO_CREDIT: ("the provider says that the account has no money left", "no", "top up; then `callsheet retry`"),
        C.BAD_KEY: (
            "the provider does not take our key: wrong, expired, or not from this address",
            "no",
            "set `<PROVIDER>_API_KEY` and restart; then `callsheet retry`",
        ),
        C.NO_ACCESS: (
            "the key may not use this model, or the provider no longer has it",
            "no",
            "ask for access, or name another model",
        ),
        C.MODERATION: ("prompt, picture or film were refused as unwanted content", TERMS, "change prompt or picture"),
        C.INVALID_INPUT: ("the provider cannot use a field or a picture", TERMS, "mend what the message names"),
        C.REFUSED: ("the provider refused the request for another reason", "no", WORDS),
        C.RATE_LIMITED: (
            "the provider took the request and gave it up for its rate limits",
            TERMS,
            "`callsheet retry` later; lower `<PROVIDER>_REQUESTS_PER_MINUTE` or `<PROVIDER>_MAX_CONCURRENT`",
        ),
        C.UNAVAILABLE: ("the provider had no capacity or was broken", TERMS, "`callsheet retry` later"),
        C.SUBMIT_DEADLINE: ("no provider took it in time", "no", "end what the message names; then `callsheet retry`"),
        C.OUTCOME_UNKNOWN: (
            "whether the provider took the request could not be learned",
            "perhaps",
            "look at the provider's billing page before `callsheet retry`",
        ),
        C.EXPIRED: (
            "the provider did not finish in time; it is still asked",
            "perhaps",
            "wait, or " + ASK,
        ),
        C.GENERATION_FAILED: ("the generation failed over there", TERMS, WORDS),
        C.TIMED_OUT: ("the provider gave the generation up after a time of its own", TERMS, "`callsheet retry`"),
        C.CANCELLED_THERE: ("somebody cancelled the request at the provider", TERMS, "`callsheet retry`"),
        C.NO_VIDEO: ("done, says the provider, but there is no video in its answer or in its file", "yes", ASK),
        C.BAD_LINK: ("done, says the provider, but none of its links is an https URL", "yes", ASK),
    }.items()
}
