"""The closed list of error codes: the word that says why a job has no video, the same for all providers.

A provider's own code stands beside ours (`JobError.provider_code`), its own words in the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

TERMS = "by the provider's terms; mostly no"
ASK = "ask the provider, with the request id"
COPY = "`callsheet retry` copies it while the provider still has it"
LINK = f"{COPY}; else ask the provider"
WAY = f"{COPY}; if it stays so, look at the way to the host"
KEPT = "look at the message: the file may be kept under `unverified/`"
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
    GAVE_UP = "gave_up"
    OVER_MAX_COST = "over_max_cost"
    SUBMIT_DEADLINE = "submit_deadline"
    OUTCOME_UNKNOWN = "outcome_unknown"
    EXPIRED = "expired"
    # the generation
    GENERATION_FAILED = "generation_failed"
    TIMED_OUT = "timed_out"
    CANCELLED_THERE = "cancelled_there"
    NO_VIDEO = "no_video"
    BAD_LINK = "bad_link"
    # the copy: the link
    DEAD = "dead"
    NO_LINK = "no_link"
    URL = "url"
    REDIRECTS = "redirects"
    HOST = "host"
    PORT = "port"
    ADDRESS = "address"
    # the copy: the way
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    BUSY = "busy"
    STATUS = "status"
    HEADERS = "headers"
    PROTOCOL = "protocol"
    ENCODING = "encoding"
    SLOW = "slow"
    SLOW_HERE = "slow_here"
    STALLED = "stalled"
    TIMEOUT = "timeout"
    CUT = "cut"
    CHANGED = "changed"
    TOO_LARGE = "too_large"
    # the copy: the film
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    NOT_VIDEO = "not_video"
    PICTURE = "picture"
    PAGE = "page"
    UNCHECKED = "unchecked"
    # the copy: the bucket
    TAKEN = "taken"
    CONFLICT = "conflict"
    CREDENTIALS = "credentials"
    DENIED = "denied"
    MISSING = "missing"
    DAMAGED = "damaged"
    UNREACHABLE = "unreachable"


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
        C.REFUSED: ("the provider refused the request, or S3 the object, for another reason", "no; of S3: yes", WORDS),
        C.RATE_LIMITED: (
            "the provider took the request and gave it up for its rate limits",
            TERMS,
            "`callsheet retry` later; lower `<PROVIDER>_REQUESTS_PER_MINUTE` or `<PROVIDER>_MAX_CONCURRENT`",
        ),
        C.UNAVAILABLE: ("the provider had no capacity or was broken", TERMS, "`callsheet retry` later"),
        C.GAVE_UP: ("the time that `give_up_after` of its spec allows was over first", "no", "`callsheet retry`"),
        C.OVER_MAX_COST: (
            "its price has risen above `max_cost` of its spec, or is no longer known",
            "no",
            "send it anew with a greater `max_cost`",
        ),
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
        C.DEAD: ("the link is gone (403, 404, 410)", "yes", LINK),
        C.NO_LINK: ("no link is known any more", "yes", LINK),
        C.URL: ("the link is no https URL that can be asked for", "yes", LINK),
        C.REDIRECTS: ("the link leads on and on", "yes", LINK),
        C.HOST: ("the link's host is not among `CALLSHEET_MEDIA_HOSTS`", "yes", f"allow it; then {COPY}"),
        C.PORT: ("the link names a port other than 443", "yes", LINK),
        C.ADDRESS: ("the link's host is no public address", "yes", f"see `CALLSHEET_ALLOW_NETWORKS`; then {COPY}"),
        C.RESOLVE: ("the link's host has no address", "yes", WAY),
        C.CONNECT: ("the link's host takes no connection", "yes", WAY),
        C.TLS: ("the link's host has no certificate that is trusted here", "yes", f"see `CALLSHEET_CA_FILE`; {COPY}"),
        C.BUSY: ("the link's host, or S3, was busy or broken (429, 5xx)", "yes", WAY),
        C.STATUS: ("the link's host answered with an unexpected status", "yes", WAY),
        C.HEADERS: ("the head of the host's answer is too long or contradicts itself", "yes", WAY),
        C.PROTOCOL: ("the link's host does not speak HTTP", "yes", WAY),
        C.ENCODING: ("the body is encoded in a way that cannot be read", "yes", WAY),
        C.SLOW: ("the download was below the least rate", "yes", WAY),
        C.SLOW_HERE: ("the download was cut to make room for others", "yes", COPY),
        C.STALLED: ("the host fell silent", "yes", WAY),
        C.TIMEOUT: ("the download did not end in time", "yes", WAY),
        C.CUT: ("the connection was lost in the body", "yes", WAY),
        C.CHANGED: ("the file changed between two parts of its download", "yes", WAY),
        C.TOO_LARGE: ("the file is larger than is downloaded, or than it said", "yes", ASK),
        C.TRUNCATED: ("the film is cut", "yes", LINK),
        C.CORRUPT: ("the film contradicts itself", "yes", LINK),
        C.NOT_VIDEO: ("no link leads to a film", "yes", KEPT),
        C.PICTURE: ("the link leads to a still picture", "yes", ASK),
        C.PAGE: ("the link leads to a page or text", "yes", LINK),
        C.UNCHECKED: ("the file is of a kind that is not checked here", "yes", KEPT),
        C.TAKEN: ("the video's key in the bucket holds other bytes", "yes", f"move them away; then {COPY}"),
        C.CONFLICT: ("another writer was storing the same key", "yes", COPY),
        C.CREDENTIALS: ("S3 does not take our credentials", "yes", f"set `AWS_*`; then {COPY}"),
        C.DENIED: ("S3 denies access", "yes", f"grant the rights of SECURITY.md; then {COPY}"),
        C.MISSING: ("S3 has no such bucket or object", "yes", f"see `CALLSHEET_BUCKET`; then {COPY}"),
        C.DAMAGED: ("S3 received or gives other bytes than were sent", "yes", COPY),
        C.UNREACHABLE: ("S3 does not answer", "yes", COPY),
    }.items()
}
