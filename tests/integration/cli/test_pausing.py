"""`callsheet pause` and `callsheet resume`."""

from __future__ import annotations

import json

from tests.integration.cli.conftest import Lives, Run, is_one_clear_line
from worker.store import Store


def test_a_provider_is_paused_and_resumed(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1", "evolink")
    lives.accept("j2", "gmicloud")

    paused = callsheet("pause", "evolink")

    assert "evolink is paused since 20" in paused.stdout
    assert "accepted jobs that wait until it is resumed: 1" in paused.stdout
    assert list(store.pauses.paused()) == ["evolink"]

    assert callsheet("resume", "evolink").stdout == "evolink is resumed; 1 accepted jobs are due now\n"
    assert store.pauses.paused() == {}


def test_resuming_what_is_not_paused_says_so(callsheet: Run) -> None:
    done = callsheet("resume", "evolink")

    assert (done.returncode, done.stdout) == (0, "evolink was not paused\n")


def test_both_verbs_speak_json(callsheet: Run) -> None:
    paused = json.loads(callsheet("pause", "apimart", "--json").stdout)
    resumed = json.loads(callsheet("resume", "apimart", "--json").stdout)

    assert (paused["provider"], paused["paused"], paused["waiting"]) == ("apimart", True, 0)
    assert resumed == {"provider": "apimart", "paused": False, "was_paused": True, "waiting": 0}


def test_an_unknown_provider_is_one_clear_line(callsheet: Run) -> None:
    assert is_one_clear_line(callsheet("pause", "nobody"), 2)


def test_the_doctor_tells_of_a_paused_provider(callsheet: Run) -> None:
    callsheet("pause", "evolink")

    assert "evolink since 20" in callsheet("doctor").stdout
