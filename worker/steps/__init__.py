"""The steps: plain functions that move jobs on. They know no Celery.

A step is safe to run twice, late, or beside itself: it claims the job first and
the store decides. It returns the step that is worth starting at once, or None;
whatever it returns, the due index already says when somebody must look again.
"""

from __future__ import annotations

from enum import StrEnum

from worker.jobs.states import FINAL, JobState


class Step(StrEnum):
    """The steps that a message can name; each is a Celery task of the same name."""

    SUBMIT = "submit"
    CONFIRM = "confirm"
    POLL = "poll"
    ARCHIVE = "archive"
    SETTLE = "settle"
    NOTIFY = "notify"


_STEP = {
    JobState.ACCEPTED: Step.SUBMIT,
    JobState.SUBMITTING: Step.SUBMIT,
    JobState.UNCONFIRMED: Step.POLL,
    JobState.SUBMITTED: Step.POLL,
    JobState.GENERATED: Step.ARCHIVE,
}


NAMELESS = frozenset({Step.ARCHIVE})
"""Steps whose messages name no job: the step itself knows whose turn it is."""


def step_for(state: JobState, *, was_called: bool = False, is_for_notification: bool = False) -> Step:
    """The step that a due job in *state* needs; *was_called*: a callback came that nobody has looked at.

    *is_for_notification*: nothing but the notification of its end is pending.
    """
    if state in FINAL:
        return Step.NOTIFY if is_for_notification else Step.SETTLE
    step = _STEP[state]
    return Step.CONFIRM if was_called and step is Step.POLL else step
