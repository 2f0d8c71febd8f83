"""Printed text cannot steer a terminal, and fits its place."""

from __future__ import annotations

import json

import pytest

from worker.cli.output import cut, emit_json, fields, table
from worker.guard.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("one\r\ntwo\ttab", "one\\r\\ntwo\\ttab"),
        ("right\u202eto left", "right\\u202eto left"),
        ("\x9b31m", "\\x9b31m"),
        ("ein Corgi läuft 走る", "ein Corgi läuft 走る"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_control_and_format_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_is_one_ascii_line(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"prompt": "a\nb\x1b \u202e"})

    printed = capsys.readouterr().out
    assert printed.isascii()
    assert printed.count("\n") == 1
    assert json.loads(printed) == {"prompt": "a\nb\x1b \u202e"}


def test_columns_are_as_wide_as_their_content() -> None:
    shown = table(("job", "state"), [("a-long-id", "failed"), ("b", "x\ny")])

    assert shown.splitlines() == ["job        state", "a-long-id  failed", "b          x\\ny"]


def test_a_table_is_cut_at_the_terminal_and_says_so() -> None:
    shown = table(("job", "waits for"), [("j1", "a very long reason")], width=12)

    assert shown.splitlines() == ["job  waits …", "j1   a very…"]


@pytest.mark.parametrize(("line", "shown"), [("12345", "12345"), ("123456", "1234…")])
def test_a_line_is_cut_only_when_it_does_not_fit(line: str, shown: str) -> None:
    assert cut(line, 5) == shown


def test_a_pipe_cuts_nothing() -> None:
    assert cut("x" * 500, None) == "x" * 500


def test_names_and_values_stand_in_two_columns() -> None:
    assert fields([("job", "j1"), ("spec", "model: m"), ("", "prompt: p")]) == (
        "job   j1\nspec  model: m\n      prompt: p"
    )
