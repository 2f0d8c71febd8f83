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
    DELIVER = "deliver"
    NOTIFY = "notify"
    REVISIT = "revisit"
    BULK = "bulk"
    RETELL = "retell"


_STEP = {
    JobState.ACCEPTED: Step.SUBMIT,
    JobState.SUBMITTING: Step.SUBMIT,
    JobState.UNCONFIRMED: Step.POLL,
    JobState.SUBMITTED: Step.POLL,
    JobState.GENERATED: Step.ARCHIVE,
}


NAMELESS = frozenset({Step.ARCHIVE, Step.BULK, Step.RETELL})
"""Steps whose messages name no job: the step itself knows whose turn it is."""

OF_ARCHIVER = frozenset({Step.CONFIRM, Step.ARCHIVE, Step.REVISIT})
"""Steps that the archiver takes, as they copy videos or tell that there is one; the worker takes all others."""


def step_for(
    state: JobState, *, was_called: bool = False, is_delivered: bool = False, is_for_notification: bool = False
) -> Step:
    """The step that a due job in *state* needs; *was_called*: a callback came that nobody has looked at.

    Of a final job: *is_delivered*, its result and manifest are; *is_for_notification*, a try at its notification is
    due.
    """
    if state in FINAL:
        if is_for_notification:
            return Step.NOTIFY
        return Step.REVISIT if is_delivered else Step.DELIVER
    step = _STEP[state]
    return Step.CONFIRM if was_called and step is Step.POLL else step
