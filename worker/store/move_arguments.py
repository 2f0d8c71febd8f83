"""The scripts' arguments, and the reading of their answers.

The scripts know no state by name: what a state means to them is said here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from worker.jobs.job import Job, JobError, Link
from worker.jobs.money import Basis, Standing
from worker.jobs.rate_limits import Refusal
from worker.jobs.record import job_of
from worker.jobs.states import DOUBTED, FAILS, FINAL, MISSED, RETRIES, REVISITED, SOURCES, JobState
from worker.jobs.timing import DOUBT_SECONDS, ms
from worker.store.layout import OWN_FIELDS, Fields, is_field
from worker.store.lists import RANKS
from worker.store.replies import Reply
from worker.store.scripts import to_json

ROOM = {"max_candidates": 8, "max_events": 16, "max_old_events": 8, "max_contradictions": 3}
MAX_DETAIL = 200
LINK_LIFE_MS = 24 * 60 * 60 * 1000
"""A video whose link's end is unknown is as urgent as if it lived so long."""

BINDING = ("accepted", "submitting", "unconfirmed", "failed(confirm)")
"""Held words of a job whose request id a callback may tell."""

REVIVING = ("expired", "failed(generate)", "failed(archive)")
"""Held words of a final job whose video may still come."""

OCCUPYING = (JobState.SUBMITTING, JobState.UNCONFIRMED, JobState.SUBMITTED)
"""States of a job that its provider may be busy with."""

ASKING = ("accepted", "submitting", "unconfirmed", "submitted", *sorted(MISSED))
"""Held words of a job of which an older attempt may still be asked; it has no video."""

LISTENING = (*BINDING, *REVIVING, "submitted")


@dataclass(frozen=True)
class MoneyFacts:
    """More facts about an attempt's money when its job moves."""

    charged: bool | None = None  # whether a failed generation is paid for; None: nobody knows
    paid: int | None = None  # what the provider itself says that it cost, millionths; kept whatever becomes of the move
    attempt: int | None = None  # whose money it is, where it is not that of the attempt that moves
    proven: Mapping[int, str] = field(default_factory=dict)  # attempt -> its money, by a manifest
    proven_at: int = 0  # when the manifest's job had ended


NOTHING_OF_MONEY = MoneyFacts()


STANDINGS: Mapping[str, Standing] = {
    "accepted": Standing.RETURNED,  # not taken
    "failed(submit)": Standing.RETURNED,
    "submitted": Standing.RESERVED,
    "unconfirmed": Standing.UNKNOWN,
    "failed(confirm)": Standing.UNKNOWN,
    "expired": Standing.UNKNOWN,
    "generated": Standing.SPENT,
    "archived": Standing.SPENT,
    "failed(archive)": Standing.SPENT,
}
"""Held word -> the standing of the money of the attempt that moves there. A failed generation's goes by its provider's
rule; what is cancelled, or given up before its POST, has none."""


def move_given(
    to: JobState,
    *,
    look_back_ms: int,
    error: JobError | None = None,
    links: Sequence[Link] | None = None,
    facts: Fields | None = None,
    notes: Fields | None = None,
    detail: str = "",
    due_in_ms: int = 0,
    lease: str | None = None,
    look_until: int | None = None,
    sources: Collection[str] | None = None,
    request_ids: Mapping[int, str] | None = None,
    money: MoneyFacts = NOTHING_OF_MONEY,
    **rest: Any,
) -> dict[str, Any]:
    """The arguments of `move.lua`; what is None is left out. Without *sources*, those of the tables count.

    *look_back_ms*: so long an earlier attempt that may have a video is asked, one whose provider says that it has
    failed for `DOUBT_SECONDS`. *known_ms*: so long a closed job is known by its record or tombstone.
    """
    if to is JobState.SUBMITTING:
        raise ValueError("a POST is begun by `Attempts.begin`, under a lease")
    if (to is JobState.FAILED) != (error is not None):
        raise ValueError("a failed job says why, and no other does")
    given = {
        **rest,
        "to": to,
        "rank": RANKS[to],
        "sources": ",".join(sources or _sources(to, error, by_operator=rest.get("path") == "operator")),
        "look_back_ms": dict.fromkeys(REVISITED, look_back_ms) | dict.fromkeys(DOUBTED, ms(DOUBT_SECONDS)),
        "marks": ",".join(_marks(to, error, is_verdict=lease is not None)),
        "facts": open_fields(facts) | {f"request_id.{number}": found for number, found in (request_ids or {}).items()},
        "notes": open_fields(notes),
        "detail": detail[:MAX_DETAIL],
        "due_in_ms": due_in_ms,
        "link_life_ms": LINK_LIFE_MS,
        "lease": lease,
        "look_until": None if look_until is None else str(look_until),
        "error": error and asdict(error),
        "money_attempt": rest.get("attempt") if money.attempt is None else money.attempt,
        "standing": None if money.proven else _standing(to, error, money.charged),
        **({} if money.paid is None else {"amount": money.paid, "basis": Basis.PROVIDER}),
        **({"ledger": {str(n): line for n, line in money.proven.items()}} if money.proven else {}),
        "ledger_at": money.proven_at,
    }
    if links is not None:
        ends = [link.expires_at for link in links if link.expires_at is not None]
        given["links"] = to_json([asdict(link) for link in links])
        given["link_expires_at"] = str(min(ends)) if ends else None
        given["facts"] = {name: value for name, value in given["facts"].items() if name != "link_expires_at"}
    return {name: value for name, value in given.items() if value is not None and value is not False}


def _sources(to: JobState, error: JobError | None, *, by_operator: bool) -> Collection[str]:
    """The sources of a move; back to accepted, an operator's way is a new attempt, and that is no move."""
    if error:
        return FAILS[error.stage]
    return SOURCES[to] | RETRIES.get(to, frozenset()) if by_operator and to is not JobState.ACCEPTED else SOURCES[to]


def failure_standing(charged: bool | None) -> Standing:
    """The standing of a failed generation's money; None: nobody knows whether it is charged."""
    return {None: Standing.UNKNOWN, True: Standing.SPENT, False: Standing.RETURNED}[charged]


def _standing(to: JobState, error: JobError | None, charged: bool | None) -> Standing | None:
    """The standing of an attempt's money when its job moves so; None: the move says nothing of it."""
    if error is not None and error.stage == "generate":
        return failure_standing(charged)
    return STANDINGS.get(f"{to}({error.stage})" if error else str(to))


def _marks(to: JobState, error: JobError | None, *, is_verdict: bool) -> list[str]:
    """Translate *to* for the script, which knows no state by name; a verdict is ours, and no fact of a provider's."""
    word = f"{to}({error.stage})" if error else str(to)
    marks = {
        "binds": to is JobState.SUBMITTED,
        "holds": to in OCCUPYING,
        "listens": word in BINDING or word in REVIVING,
        "final": to in FINAL,
        "misses": to in (JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED),
        "unpaid": to is JobState.CANCELLED or (word in ("failed(accept)", "failed(submit)") and is_verdict),
        "perishes": to is JobState.GENERATED,
    }
    return [mark for mark, is_so in marks.items() if is_so]


def open_fields(fields: Fields | None) -> dict[str, str]:
    """*fields*, all of the layout, none of which the scripts keep themselves."""
    if not fields:
        return {}
    if unknown := [name for name in fields if not is_field(name)]:
        raise ValueError(f"no fields of the layout: {', '.join(unknown)}")
    if not OWN_FIELDS.isdisjoint(fields):
        raise ValueError(f"only the store writes {', '.join(sorted(OWN_FIELDS.intersection(fields)))}")
    return cast("dict[str, str]", dict(fields))


def read_reply(job_id: str, answer: Sequence[Any]) -> Reply:
    word, *rest = answer
    job = read_job(job_id, rest[0]) if rest else None
    if word == "busy":
        return Reply(word, job, refusal=read_refusal(*rest[2]))
    return Reply(word, job, due_now=rest[1:2] == [1], is_probe=rest[2:] == [1], has_money_moved=rest[3:] == [1])


def read_refusal(why: str, until: str, ahead: int) -> Refusal:
    return Refusal(why, int(until) or None, int(ahead))


def read_job(job_id: str, record: str) -> Job:
    return job_of(job_id, json.loads(record))
