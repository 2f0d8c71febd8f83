"""`callsheet replay`: have a callback that was kept looked at again."""

from __future__ import annotations

import os
from typing import Any

import click

from worker.cli.output import emit_json, table, terminal_width
from worker.cli.verdict import TOO_LATE, Verdict, checked_id, found, give
from worker.errors import CallsheetError
from worker.jobs.durations import iso
from worker.operations import replay as step
from worker.providers import event_json
from worker.services import Services
from worker.settings.settings import Settings
from worker.store import Store, StoredEvent

EXAMPLES = """\b
Examples:
  callsheet replay order-1007
  callsheet replay order-1007 --list
  callsheet replay order-1007 --event 2
  callsheet replay --list
  callsheet replay --stray 1
"""
EVENT_HEAD = ("n", "at", "attempt", "request id", "says")
STRAY_HEAD = ("n", "at", "provider", "job", "attempt", "why it was kept")

STRAY_WORDS = {
    "stored": "it is kept and its job is due now",
    "repeat": "it was kept before",
    "noted": "it is no end, and changes nothing",
    "late": "its job needs no callback any more",
    "missing": "there is still no record of its job: callsheet restore brings records back from the bucket",
    "mismatch": "the request id is still not the job's",
    "full": "its job has no room for another candidate now: try again in a minute",
}
USEFUL = ("stored", "repeat", "noted", "late")


@click.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="JOB", required=False)
@click.option("--event", "event_no", type=click.IntRange(min=1), metavar="N", help="Which, as --list counts.")
@click.option("--stray", "stray_no", type=click.IntRange(min=1), metavar="N", help="One that belonged to no job.")
@click.option("--list", "only_list", is_flag=True, help="Show what is kept: of JOB, or the strays.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(job_id: str | None, event_no: int | None, stray_no: int | None, only_list: bool, as_json: bool) -> None:
    """Have a stored callback looked at again: the latest of JOB that tells an end, unless told which.

    It says when to ask, never what is true: the provider is asked as always.
    Exits with 3 when the callback can change nothing.
    """
    if (job_id is None) == (stray_no is None) and not (only_list and job_id is None and stray_no is None):
        raise click.UsageError("give a JOB, or --stray N, or --list")
    if event_no is not None and job_id is None:
        raise click.UsageError("--event needs a JOB")
    services = Services.from_settings(Settings.from_env(os.environ))
    if job_id is not None:
        _of_job(checked_id(job_id), event_no, services, only_list=only_list, as_json=as_json)
    elif stray_no is not None:
        _stray(stray_no, services, as_json=as_json)
    else:
        _list_strays(services.store, as_json=as_json)


def _of_job(job_id: str, event_no: int | None, services: Services, *, only_list: bool, as_json: bool) -> None:
    job = found(services.store.get(job_id), job_id)
    events = services.store.events(job_id)
    if only_list:
        _list_events(events, as_json=as_json)
        return
    event = _chosen(job_id, events, event_no)
    word = step.run(job_id, event.fingerprint, services).word
    if word == "applied":
        give(Verdict("replayed", f"{job_id} is due now and looks at what {event.request_id} is said to be"), job_id,
             as_json=as_json)  # fmt: skip
    why = {
        "late": f"a callback of attempt {event.attempt} can change nothing: {job_id} is {job.held} in its attempt "
        f"{job.attempt}",
        "full": f"{job_id} has no room for another candidate now: try again in a minute",
    }.get(word, f"the callback is no longer kept for {job_id}")
    give(Verdict(word, why, TOO_LATE), job_id, as_json=as_json)


def _chosen(job_id: str, events: tuple[StoredEvent, ...], event_no: int | None) -> StoredEvent:
    if event_no is not None:
        if event_no > len(events):
            raise CallsheetError(f"{job_id} has {len(events)} callbacks kept: callsheet replay {job_id} --list")
        return events[event_no - 1]
    ends = [event for event in events if event.is_terminal]
    if not ends:
        raise CallsheetError(f"no callback that tells an end is kept for {job_id}: it is polled all the same")
    return ends[-1]


def _list_events(events: tuple[StoredEvent, ...], *, as_json: bool) -> None:
    rows = [
        {
            "n": n,
            "at": iso(event.at),
            "attempt": event.attempt,
            "request_id": event.request_id,
            "says": event_json.load(event.text).status,
        }
        for n, event in enumerate(events, 1)
    ]
    _show(EVENT_HEAD, rows, "no callback is kept", as_json=as_json)


def _list_strays(store: Store, *, as_json: bool) -> None:
    rows = [
        {
            "n": n,
            "at": iso(int(stray["at"])),
            "provider": stray["provider"],
            "job_id": stray["job_id"],
            "attempt": stray["attempt"],
            "reason": stray["reason"],
        }
        for n, stray in enumerate(store.strays(), 1)
    ]
    _show(STRAY_HEAD, rows, "no stray is kept", as_json=as_json)


def _show(head: tuple[str, ...], rows: list[dict[str, Any]], nothing: str, *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            emit_json(row)
    elif rows:
        click.echo(table(head, [[str(value) for value in row.values()] for row in rows], width=terminal_width()))
    else:
        click.echo(nothing, err=True)


def _stray(stray_no: int, services: Services, *, as_json: bool) -> None:
    strays = services.store.strays()
    if stray_no > len(strays):
        raise CallsheetError(f"there are {len(strays)} strays: callsheet replay --list")
    stray = strays[stray_no - 1]
    word = step.run_stray(stray, services).word
    words = f"stray {stray_no}, for {stray['job_id']}: {STRAY_WORDS[word]}"
    give(Verdict(word, words, 0 if word in USEFUL else TOO_LATE), str(stray["job_id"]), as_json=as_json)
