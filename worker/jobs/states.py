"""The states a job moves through, and the only moves allowed.

The table is handed to the store's script as an argument, so Lua knows no state
names and the two cannot disagree (design section 3).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

MovePath = Literal["submit", "callback", "poll", "sweep", "operator", ""]
"""The way in which a move came about; empty: a record does not tell."""


class JobState(StrEnum):
    """The states of a job. A provider's word is its *status*, never a state."""

    ACCEPTED = "accepted"  # recorded; no provider has heard of this attempt
    SUBMITTING = "submitting"  # this attempt's POST is in flight, its intent durable
    UNCONFIRMED = "unconfirmed"  # the POST may or may not have been taken: never POST again
    SUBMITTED = "submitted"  # the provider gave us a request id
    GENERATED = "generated"  # the provider has the video; its link will die
    ARCHIVED = "archived"  # verified in our bucket
    FAILED = "failed"  # see error.stage, error.code, error.message
    EXPIRED = "expired"  # we gave up waiting; still asked slowly
    CANCELLED = "cancelled"  # cancelled before any provider heard of this attempt


S = JobState

FINAL = frozenset({S.ARCHIVED, S.FAILED, S.EXPIRED, S.CANCELLED})
"""States that are told to the caller. A final job may still be open: see `jobs.Job.is_open`."""

STAGES = ("accept", "submit", "confirm", "generate", "archive")
"""The stages at which a job fails. `accept`: the caller's own time to begin is over. `confirm`: whether the POST was
taken never became known (code `outcome_unknown`); it, `generate` and `archive` may still turn out well (late truth)."""

FAILS: dict[str, frozenset[str]] = {
    "accept": frozenset({S.ACCEPTED}),
    "submit": frozenset({S.ACCEPTED, S.SUBMITTING, S.UNCONFIRMED}),
    "confirm": frozenset({S.UNCONFIRMED}),
    "generate": frozenset({S.SUBMITTED, S.EXPIRED}),
    "archive": frozenset({S.GENERATED}),
}
"""Stage -> what a job may hold to fail at it: a refusal that comes late fails no job that a callback has bound."""

SOURCES: dict[JobState, frozenset[str]] = {
    # back to accepted: only "not taken", a POST that the provider surely did not take, however late that is known
    S.ACCEPTED: frozenset({S.SUBMITTING, S.UNCONFIRMED}),
    S.SUBMITTING: frozenset({S.ACCEPTED}),
    # from accepted: a callback proves a POST that Redis forgot (it lost its last second)
    S.UNCONFIRMED: frozenset({S.SUBMITTING, S.ACCEPTED}),
    S.SUBMITTED: frozenset({S.SUBMITTING, S.ACCEPTED, S.UNCONFIRMED, "failed(confirm)"}),
    S.GENERATED: frozenset({S.SUBMITTED, S.EXPIRED, "failed(generate)", "failed(archive)"}),
    S.ARCHIVED: frozenset({S.GENERATED, "failed(archive)"}),
    S.FAILED: frozenset().union(*FAILS.values()),
    S.EXPIRED: frozenset({S.SUBMITTED}),
    S.CANCELLED: frozenset({S.ACCEPTED}),
}
"""Target -> what a job may hold for the move to be legal: a state, or `failed(<stage>)`.
A failed job's plain word "failed" is in no set: a provider's own "failed" is undone only by its own later success."""

RETRIES: dict[JobState, frozenset[str]] = {
    S.ACCEPTED: frozenset(
        {"failed(accept)", "failed(submit)", "failed(confirm)", "failed(generate)", "failed(archive)"}
        | {S.EXPIRED, S.CANCELLED}
    ),  # only as a new attempt
    S.SUBMITTED: frozenset({S.EXPIRED}),
    S.GENERATED: frozenset({"failed(archive)"}),
}
"""The same for an operator's `retry`."""

UNPAID = frozenset({"failed(accept)", "failed(submit)", S.CANCELLED})
"""The ends of an attempt that no provider has taken: another attempt pays nothing twice."""

REVISITED = frozenset({"failed(confirm)", "failed(archive)", S.EXPIRED})
"""The ends of an earlier attempt that may have a video: it is asked once the current one ends without."""

DOUBTED = frozenset({"failed(generate)"})
"""The end of an earlier attempt that its provider may undo: it is asked, too, but only for `timing.DOUBT_SECONDS`."""

ADOPTS = frozenset(
    {S.ACCEPTED, S.UNCONFIRMED, S.EXPIRED, S.CANCELLED}
    | {"failed(accept)", "failed(submit)", "failed(confirm)", "failed(generate)", "failed(archive)"}
)
"""The states that a manifest in the bucket may end, as it proves the video: no request of the job is known to run."""

RUNS = frozenset({S.SUBMITTED, S.GENERATED})
"""The states of a job whose request is known."""

MISSED = RETRIES[S.ACCEPTED]
"""The ends of the current attempt after which the video of an earlier one may be archived in its stead."""
