"""The layout of a job's keys: its shape stands under its number, and the code knows no field beside it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import cast

import pytest

from worker.jobs.job import SCHEMA_VERSION
from worker.store.layout import FIELDS, OF_ATTEMPTS, OWN_FIELDS, Fields, is_field, shape
from worker.store.move_arguments import open_fields

SHAPES = {1: "dcb45a023d9be064"}
"""Number of a layout -> its shape. That of a number that was released never changes: another layout is a new line here
and a new `SCHEMA_VERSION`."""


def test_the_layout_is_that_of_its_number() -> None:
    assert SHAPES[SCHEMA_VERSION] == shape(), "fields have changed: give the layout the next number"


def test_another_field_is_another_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    before = shape()
    monkeypatch.setitem(FIELDS, "mood", "how the job feels")

    assert shape() != before


@pytest.mark.parametrize("name", ["ver", "waiting_for", "request_id.1", "begun_at.12"])
def test_what_stands_in_the_table_is_a_field(name: str) -> None:
    assert is_field(name)


@pytest.mark.parametrize("name", ["wating_for", "", "request_id", "request_id.", "request_id.x", "ver.1", ".1"])
def test_a_misspelt_name_is_none_and_no_script_is_asked_to_write_it(name: str) -> None:
    assert not is_field(name)
    with pytest.raises(ValueError, match="no fields of the layout"):
        open_fields(cast("Fields", {name: "told"}))


def test_only_fields_are_kept_from_callers() -> None:
    assert set(FIELDS) >= OWN_FIELDS


def test_every_field_that_a_script_names_stands_in_the_table() -> None:
    folder = files("worker.store").joinpath("lua")
    text = "".join(entry.read_text() for entry in folder.iterdir())

    named = set(re.findall(r"\bjob\.([a-z_]+)|\b(?:put|int)\(\"([a-z_]+)\"[,)]", text))
    dropped = {name for call in re.findall(r"\bdrop\(([^)]*)\)", text) for name in re.findall(r'"([a-z_]+)"', call)}
    read = re.findall(r'"HM?GET", (?:JOB|KEYS\[i\])((?:, "[a-z_]+")+)', text)
    alone = {name for call in read for name in re.findall(r'"([a-z_]+)"', call)}

    assert {"state", "lease_until", "call"} <= alone | {name for pair in named for name in pair}
    assert {name for pair in named for name in pair if name} | dropped | alone <= set(FIELDS)


def test_a_field_of_attempts_has_a_name_of_its_own() -> None:
    assert set(OF_ATTEMPTS) & set(FIELDS) == {"begun_at", "submitted_at", "usage"}
