"""The command line's manners: one line for what a user can cause, and never a traceback."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from worker.cli import COMMANDS, Callsheet, main
from worker.errors import LocalError, SettingsError

ERRORS = {
    "busy": LocalError("port 8440 is in use:\n  stop what listens there"),
    "unset": SettingsError(["CALLSHEET_BUCKET is not set", "CALLSHEET_REDIS_URL is not set"]),
    "interrupted": KeyboardInterrupt(),
}


class Failing(Callsheet):
    """A command line whose commands fail as ERRORS says."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        def fail() -> None:
            raise ERRORS[cmd_name]

        return click.Command(cmd_name, callback=fail)


def test_our_own_errors_are_one_line_on_stderr_and_exit_1() -> None:
    result = CliRunner().invoke(Failing(), ["busy"])

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Error: port 8440 is in use:")
    assert result.stdout == ""


def test_every_bad_variable_is_named_at_once() -> None:
    result = CliRunner().invoke(Failing(), ["unset"])

    assert result.stderr.startswith("Error: settings: CALLSHEET_BUCKET is not set; CALLSHEET_REDIS_URL is not set; ")
    assert "deploy/env.example explains each" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_ctrl_c_ends_without_a_traceback() -> None:
    result = CliRunner().invoke(Failing(), ["interrupted"])

    assert result.exit_code == 1
    assert result.stderr.strip() == "Aborted!"


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["up", "--port", "1"]])
def test_wrong_usage_exits_2_and_says_how_in_one_line(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments, prog_name="callsheet")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: No such ")
    assert result.stderr.endswith("--help)\n")
    assert len(result.stderr.splitlines()) == 1


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])

    assert result.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in result.stdout] == []
