"""Progress: redrawn in a terminal, said once per change in a pipe."""

from __future__ import annotations

import io

from worker.cli.board import Board, Line


def test_a_pipe_hears_each_change_once() -> None:
    stream = io.StringIO()
    board = Board(stream, live=False)

    board.show([Line("a submitted", "1 s"), Line("b accepted", "1 s")])
    board.show([Line("a submitted", "2 s"), Line("b submitted", "2 s")])
    board.show([Line("a submitted", "3 s"), Line("b submitted", "3 s")])

    assert stream.getvalue().splitlines() == ["a submitted", "b accepted", "b submitted"]


def test_a_pipe_gets_no_escape_codes() -> None:
    stream = io.StringIO()
    board = Board(stream, live=False)

    board.note("web\x1b[2J died")
    board.show([Line("a\x1b[31m")])

    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().splitlines() == ["web\\x1b[2J died", "a\\x1b[31m"]


def test_a_terminal_sees_the_lines_redrawn_with_what_ticks() -> None:
    stream = io.StringIO()
    board = Board(stream, live=True)

    board.show([Line("a", "1 s"), Line("b", "1 s")])
    board.show([Line("a", "2 s"), Line("b", "2 s")])

    assert stream.getvalue() == "a  1 s\nb  1 s\n\x1b[2A\x1b[Ja  2 s\nb  2 s\n"


def test_a_note_stands_above_the_lines() -> None:
    stream = io.StringIO()
    board = Board(stream, live=True)

    board.show([Line("a")])
    board.note("worker died; starting it again")
    board.show([Line("a")])

    assert stream.getvalue() == "a\n\x1b[1A\x1b[Jworker died; starting it again\na\n"
