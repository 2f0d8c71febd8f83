"""Under which names a record's fields are kept: every one comes back, and none is looked for where it is not."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from worker.store.record_fields import NUMBERED, kept_as, named


@pytest.mark.parametrize("name", [*NUMBERED, "v", "state", "request_id.2", "a_field_of_tomorrow"])
def test_every_field_comes_back(name: str) -> None:
    assert named({kept_as(name): "told"}) == {name: "told"}


def test_what_was_kept_long_ago_is_read_for_ever() -> None:
    kept = {"v": "1", "state": "submitted", **{str(number): f"value {number}" for number in range(1, 19)}}

    record = named(kept)

    assert (record["v"], record["state"]) == ("1", "submitted")
    assert [name for name in record if record[name].startswith("value")] == [
        *("ver", "attempt", "spec_sha256", "model", "cost", "path", "accepted_at", "fence", "try_no", "intent_no"),
        *("begun_at", "submitted_at", "request_id.1", "usage", "polls", "failures", "progress", "waiting_for"),
    ]


def test_no_script_reads_a_field_by_a_name_that_it_is_not_kept_by() -> None:
    folder = files("worker.store").joinpath("lua")
    text = "".join(entry.read_text() for entry in folder.iterdir())

    calls = re.findall(r'"H(?:GET|MGET|SET|SETNX|INCRBY|DEL|EXISTS)", (?:JOB|KEYS\[i\])[^)]*', text)
    alone = {name for call in calls for name in re.findall(r'"([a-z_.0-9]+)"', call)}

    assert {"state", "provider", "nudges", "closed_at", "v"} <= alone
    assert alone.isdisjoint(NUMBERED)
