"""`submit --file`: many specs, that may be sent again after any end; and `quote`."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.conftest import WaitUntil
from tests.integration.cli.conftest import Run, Start, is_one_clear_line
from worker.operations.order_lines import order_lines
from worker.store import Store

SPEC = {"model": "kling-3.0-turbo", "prompt": "A corgi", "duration": 5}


def write(path: Path, *lines: object) -> str:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(path)


def accepted(store: Store) -> set[str]:
    return {job.id for job in store.records.scan()}


def test_each_line_is_ordered_or_refused_and_sent_again_orders_nothing_twice(
    callsheet_process: Run, store: Store, tmp_path: Path
) -> None:
    twice = {**SPEC, "prompt": "Two of these"}
    file = write(
        tmp_path / "specs.jsonl",
        SPEC,
        twice,
        "",
        twice,
        {**SPEC, "job_id": "mine"},
        "no json",
        {**SPEC, "duration": 99},
    )

    first = callsheet_process("submit", "--file", file, "--json")
    ids = accepted(store)
    again = callsheet_process("submit", "--file", file, "--json")

    told = [json.loads(line) for line in first.stdout.splitlines()]
    assert [(one["line"], one["accepted"], one["known"]) for one in told] == [
        (1, True, False),
        (2, True, False),
        (4, True, False),
        (5, True, False),
        (6, False, False),
        (7, False, False),
    ]
    assert (first.returncode, again.returncode) == (3, 3)
    assert {one["job_id"] for one in told if one["accepted"]} == ids
    assert (len(ids), "mine" in ids) == (4, True)
    assert "4 jobs ordered, 2 lines refused" in first.stderr
    assert "0 jobs ordered, 4 were there before, 2 lines refused" in again.stderr
    assert accepted(store) == ids


def test_a_file_that_was_cut_off_by_ctrl_c_goes_on_where_it_was(
    callsheet_process: Run, start_callsheet: Start, store: Store, tmp_path: Path, wait_until: WaitUntil
) -> None:
    count = 600
    file = write(tmp_path / "specs.jsonl", *({**SPEC, "prompt": f"Corgi {n}"} for n in range(count)))
    cut = start_callsheet("submit", "--file", file)

    wait_until(lambda: len(accepted(store)) >= 5, 60)
    cut.send_signal(signal.SIGINT)
    _, told = cut.communicate(timeout=60)
    before = accepted(store)
    done = callsheet_process("submit", "--file", file)

    assert cut.returncode == 130
    assert "the same command goes on" in told
    assert 5 <= len(before) < count
    assert done.returncode == 0
    assert before < accepted(store)
    assert len(accepted(store)) == len(done.stdout.split()) == count


@pytest.mark.parametrize("more", [("--model", "m"), ("--id", "x"), ("--wait",)])
def test_a_file_stands_alone(callsheet: Run, tmp_path: Path, more: tuple[str, ...]) -> None:
    done = callsheet("submit", "--file", write(tmp_path / "specs.jsonl", SPEC), *more)

    assert is_one_clear_line(done, 2)


def test_the_order_of_fields_makes_no_other_job(store: Store) -> None:
    taken: list[str] = []
    lines = [b'{"model": "m", "prompt": "p"}', b'{"prompt": "p", "model": "m"}']

    for line in lines:
        list(order_lines([line], lambda _spec, job_id: taken.append(job_id), store))

    assert len(set(taken)) == 1


def test_a_quote_is_told_and_orders_nothing(callsheet: Run, store: Store) -> None:
    told = callsheet("quote", "--model", "kling-3.0-turbo", "--prompt", "A corgi", "--duration", "5")
    refused = callsheet("quote", "--model", "kling-3.0-turbo", "--prompt", "A corgi", "--duration", "99", "--json")

    assert told.returncode == 0
    assert "USD by the list price" in told.stdout
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["problems"][0].startswith("duration")
    assert accepted(store) == set()
