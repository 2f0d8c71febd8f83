"""`python -m tests.benchmarks`: every benchmark, one after the other, and the report in `RESULTS.md`.

Each runs in a process group of its own and is ended after its time, so that one which hangs costs its own figures only.
One that takes longer than all the others runs when it is named, `python -m tests.benchmarks memory`, and has a report
of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.sandbox_process import SOURCE
from tests.benchmarks.figures import Section, machine, met, table
from tests.benchmarks.system import tell

RESULTS = Path(__file__).with_name("RESULTS.md")
APART = {"memory": 900, "lists": 120, "api": 180, "pages": 300}
"""Benchmarks that run only when named, and the seconds after which each is ended; the report is `<NAME>.md`."""
LIMITS = {
    "end_to_end": 120,
    "delay": 75,
    "polling": 50,
    "recovery": 200,
    "waiting": 60,
    "receiver": 100,
    "enqueue": 30,
    "archive": 90,
    "polls": 30,
    "pressure": 70,
}
"""Every benchmark, and the seconds after which it is ended; a quiet machine takes about two thirds, and longer where a
round of `recovery` kills a worker in a POST: its lease is two minutes."""


def main() -> None:
    names = sys.argv[1:]
    if unknown := set(names) - APART.keys():
        sys.exit(f"only these run apart: {', '.join(APART)}; not {', '.join(sorted(unknown))}")
    if names:
        apart = {name: Path(__file__).with_name(f"{name.upper()}.md") for name in names}
        done = [write(to, f"python -m tests.benchmarks {name}", {name: APART[name]}) for name, to in apart.items()]
    else:
        done = [write(RESULTS, "make bench", LIMITS)]
    sys.exit(not all(done))


def write(to: Path, command: str, limits: Mapping[str, float]) -> bool:
    """Run the benchmarks of *limits*, as *command* does, and write their report; whether all came to an end."""
    began = time.monotonic()
    where, date = machine(), datetime.now(UTC)
    sections, failures = [], []
    for name, limit_seconds in limits.items():
        tell(f"{name} ...")
        section = run_one(name, limit_seconds)
        if section is None:
            failures.append(name)
        else:
            sections.append(section)
    minutes = (time.monotonic() - began) / 60
    to.write_text(report(command, where, date, minutes, sections, failures))
    tell(f"{to} is written, after {minutes:.1f} min")
    return not failures


def run_one(name: str, limit_seconds: float) -> Section | None:
    """The section that the benchmark *name* writes; None when it failed or took too long."""
    with tempfile.TemporaryDirectory() as home:
        out = Path(home, "section.json")
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--json", str(out)]
        with subprocess.Popen(command, cwd=SOURCE, start_new_session=True) as child:
            try:
                child.wait(limit_seconds)
            except subprocess.TimeoutExpired:
                tell(f"{name} took over {limit_seconds:g} s and is ended")
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGINT)  # its `with` blocks stop what it started
                with suppress(subprocess.TimeoutExpired):
                    child.wait(30)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
        return Section.from_json(out.read_text()) if out.exists() else None


def report(
    command: str, where: str, date: datetime, minutes: float, sections: list[Section], failures: list[str]
) -> str:
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    rows = [(v.target, v.what, v.goal, v.now, met(v.is_met)) for v in sorted(verdicts, key=lambda v: _order(v.target))]
    parts = [
        f"# Results of `{command}`",
        f"{date:%Y-%m-%d %H:%M} UTC, {minutes:.1f} minutes. {where}.",
        "Medians, with the lowest and highest round in brackets. Load generators, servers, Redis and S3 share the "
        "cores, so only ratios taken inside one run carry over to another machine; fsync is cheap on this one. The "
        "targets are those of the design's performance notes.",
        *([f"**No figures from: {', '.join(failures)}** (failed or took too long)."] if failures else []),
        "## Targets",
        table(("target", "what", "goal", "now", ""), rows),
    ]
    return "\n\n".join([*parts, *(section.markdown() for section in sections)])


def _order(target: str) -> tuple[int, str]:
    """By number; what has none comes last."""
    return int("".join(c for c in target.partition(" ")[0] if c.isdecimal()) or 99), target


if __name__ == "__main__":
    main()
