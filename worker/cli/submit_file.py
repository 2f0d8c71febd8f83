"""`callsheet submit --file`: many specs, a JSON object a line, with progress; safe to send again after any end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

import click

from worker.cli.board import Board, Line, is_live
from worker.cli.output import emit_json
from worker.cli.spec_options import SPEC_BYTES
from worker.client import enqueue
from worker.errors import StoreError
from worker.guard.text import printable
from worker.operations.order_lines import Ordered, order_lines
from worker.services import Services

REFUSED = 3
SHOWN_EVERY = 20


def submit_lines(file: BinaryIO, services: Services, *, as_json: bool) -> None:
    """Order each line; exits with 3 where one was refused, with 130 after Ctrl-C: then the same command goes on."""
    board = Board(sys.stderr, live=is_live(sys.stderr))
    ordered = known = refused = 0
    try:
        for one in order_lines(_lines(file), partial(enqueue, services=services), services.store):
            ordered += not one.problems and not one.is_known
            known += one.is_known and not one.problems
            refused += bool(one.problems)
            _tell(one, as_json=as_json)
            if not as_json and (ordered + known + refused) % SHOWN_EVERY == 0:
                board.show([Line(_sum(ordered, known, refused))])
    except KeyboardInterrupt:
        click.echo(f"{_sum(ordered, known, refused)}; not all lines were read: the same command goes on", err=True)
        sys.exit(130)
    except StoreError as err:
        click.echo(f"{_sum(ordered, known, refused)}; then: {err}; the same command goes on", err=True)
        sys.exit(1)
    click.echo(_sum(ordered, known, refused), err=True)
    sys.exit(REFUSED if refused else 0)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of *file*; of one that is too long, as much as shows that."""
    while line := file.readline(SPEC_BYTES + 1):
        yield line
        while len(line) > SPEC_BYTES and not line.endswith(b"\n"):
            line = file.readline(SPEC_BYTES + 1)


def _tell(one: Ordered, *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {"line": one.line, "job_id": one.job_id, "accepted": not one.problems}
        emit_json({**told, "known": one.is_known, **({"problems": list(one.problems)} if one.problems else {})})
    elif one.problems:
        click.echo(printable(f"line {one.line}: {'; '.join(one.problems)}"), err=True)
    else:
        click.echo(one.job_id)


def _sum(ordered: int, known: int, refused: int) -> str:
    parts = [f"{ordered} jobs ordered", *([f"{known} were there before"] if known else [])]
    return ", ".join([*parts, *([f"{refused} lines refused"] if refused else [])])
