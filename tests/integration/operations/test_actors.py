"""Every act of an operator is on record with who did it and why."""

from __future__ import annotations

import json

from tests.integration.cli.conftest import Lives, Run, callsheet, environment, lives, store
from worker.jobs.actor import Actor
from worker.jobs.states import JobState
from worker.operations import pause
from worker.providers import event_json
from worker.providers.base import EventKind, ProviderEvent
from worker.store import Store

__all__ = ["callsheet", "environment", "lives", "store"]  # fixtures

ADA = {"USER": "ada", "LOGNAME": "ada", "LNAME": "ada", "USERNAME": "ada"}


def acts(callsheet: Run, job_id: str) -> list[tuple[str, str, str]]:
    shown = json.loads(callsheet("show", job_id, "--json").stdout)
    return [(line["kind"], line["actor"], line["reason"]) for line in shown["timeline"] if line["actor"]]


def test_a_cancel_and_a_retry_say_who_and_why(callsheet: Run, lives: Lives) -> None:
    lives.accept("j1")

    callsheet("cancel", "j1", "--reason", "the customer\twithdrew\x1b[2J", env=ADA)
    callsheet("retry", "j1", env=ADA)

    assert acts(callsheet, "j1") == [("move", "ada", "the customer withdrew\\x1b[2J"), ("move", "ada", "")]
    assert (
        "cancelled, by operator ada: cancelled by the caller (the customer withdrew" in callsheet("show", "j1").stdout
    )


def test_a_replay_moves_nothing_and_is_told(callsheet: Run, lives: Lives, store: Store) -> None:
    lives.accept("j1")
    lives.submit("j1")
    event = ProviderEvent("r-j1", EventKind.FAILED, "failed")
    store.callbacks.arrive(
        "j1", attempt=1, request_id="r-j1", fingerprint="f", is_terminal=True, event_json=event_json.dump(event)
    )
    moves = store.history.timeline("j1")

    callsheet("replay", "j1", "--reason", "asked by support", env=ADA)

    assert acts(callsheet, "j1") == [("act", "ada", "asked by support")]
    assert store.history.timeline("j1") == moves
    assert "callback for r-j1 says failed: yet to be looked at" in callsheet("show", "j1").stdout


def test_a_pause_is_kept_with_who_and_why_until_it_is_resumed(store: Store) -> None:
    pause.pause(store, "evolink", Actor("Ada Lovelace", "the bill"))

    kept = store.pauses.all()["evolink"]
    assert (kept["by"], kept["reason"], kept["since"]) == ("Ada_Lovelace", "the bill", store.pauses.paused()["evolink"])
    assert pause.resume(store, "evolink").was_paused
    assert store.pauses.all() == {}


def test_a_move_of_a_worker_has_no_actor(store: Store, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")

    assert {entry.actor for entry in store.history.entries("j1")} == {""}
    assert store.jobs.get("j1").state is JobState.SUBMITTED  # type: ignore[union-attr]
