"""`callsheet doctor --fix`: open <=> due is made true again, and every repair is told."""

from __future__ import annotations

import pytest

from tests.integration.cli.conftest import Lives, Run
from worker.store import Store

DUE = "callsheet:{0}:due"


@pytest.fixture
def broken(store: Store, lives: Lives) -> Store:
    """Each way in which the index and the records can differ, beside a sound job."""
    for job_id in ("sound", "never-due", "closed"):
        lives.accept(job_id)
        lives.submit(job_id)
    lives.close(lives.archive("closed"))
    client = store.scripts.client
    client.zrem(DUE, "never-due")
    client.zadd(DUE, {"closed": 1, "no-record": 2, "no job: at all": 3})
    return store


def test_every_breach_is_mended_and_told(callsheet: Run, broken: Store) -> None:
    before = broken.due.at("sound")

    done = callsheet("doctor", "--fix")

    told = [line.split(None, 4)[4] for line in done.stdout.splitlines() if line.startswith("done")]
    assert told == [
        "closed was due but not open: its entry is removed",
        "never-due was open but never due: it is due now",
        "'no job: at all' was due but not open: its entry is removed",
        "no-record was due but not open: its entry is removed",
    ]
    assert broken.audit.breaches() == []
    assert broken.due.at("sound") == before
    assert "ok    open <=> due" in done.stdout


def test_without_fix_nothing_is_changed_and_the_way_out_is_named(callsheet: Run, broken: Store) -> None:
    done = callsheet("doctor")

    assert done.returncode == 1
    assert "never-due is open (submitted) but never due; a fault: keep the logs, report it; callsheet doctor --fix" in (
        done.stdout
    )
    assert len(broken.audit.breaches()) == 4


def test_a_sound_system_is_left_alone(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("sound")

    assert "done" not in callsheet("doctor", "--fix").stdout
    assert store.audit.mend() == []


def test_a_mended_job_goes_on_and_garbage_does_not_stop_the_sweep(broken: Store) -> None:
    nudged = {nudge.job_id for nudge in broken.due.nudge(broken.due.ids())}
    broken.audit.mend()

    assert nudged == set()
    assert [nudge.job_id for nudge in broken.due.nudge(broken.due.ids())] == ["never-due"]
