"""`python -m tests.benchmarks`: every benchmark, one after the other, and the report in `RESULTS.md`.

Each runs in a process group of its own and is ended after its time, so that one which hangs costs its own figures only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.sandbox_process import SOURCE
from tests.benchmarks.figures import Section, machine, met, table
from tests.benchmarks.system import tell

RESULTS = Path(__file__).with_name("RESULTS.md")
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
    began = time.monotonic()
    where, date = machine(), datetime.now(UTC)
    sections, failures = [], []
    for name, limit_seconds in LIMITS.items():
        tell(f"{name} ...")
        section = run_one(name, limit_seconds)
        if section is None:
            failures.append(name)
        else:
            sections.append(section)
    minutes = (time.monotonic() - began) / 60
    RESULTS.write_text(report(where, date, minutes, sections, failures))
    tell(f"{RESULTS} is written, after {minutes:.1f} min")
    sys.exit(bool(failures))


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


def report(where: str, date: datetime, minutes: float, sections: list[Section], failures: list[str]) -> str:
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    rows = [(v.target, v.what, v.goal, v.now, met(v.is_met)) for v in sorted(verdicts, key=lambda v: _order(v.target))]
    parts = [
        "# Results of `make bench`",
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
