"""Videos from the provider's link into the bucket: throughput, CPU and memory, beside what one would run instead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.sandbox_process import SOURCE
from deploy.local.tls import LocalTls
from deploy.sandbox import mp4
from tests.benchmarks.figures import Section, Spread, main
from tests.benchmarks.sink import Sink
from tests.benchmarks.system import BenchmarkError, tell
from tests.benchmarks.ways import Cost

MB = 1_000_000
LIMIT_SECONDS = 60.0
TOOLS = {"curl to aws": "aws", "rclone copyurl": "rclone"}
LARGE = 500
GOES = ((8, 1, 3), (60, 1, 3), (60, 8, 1), (LARGE, 1, 3))
"""Megabytes, how many at once, rounds."""


def run() -> Section:
    """8, 60 and 500 MB into a byte sink, beside `upload_fileobj` and `curl | aws s3 cp -`."""
    section = Section(
        "Archive",
        "Real MP4s, filled up by a `free` box, from a TLS source into a byte sink; source, sink and client "
        "on the same cores, each way in a process of its own. What a Python process does once, such as reading "
        "the certificates that it trusts, is done before the clock starts; rclone, curl and aws are started for each "
        "video, and their start counts. Callsheet: address policy, pinned TLS, box walk, SHA-256 of the whole and "
        "of each part, HEAD before, conditional put. The others verify nothing.",
        ("way", "MB", "at once", "to an S3 over", "MB/s", "CPU s/GB", "peak RSS MB"),
    )
    found: dict[tuple[str, int, int, str], list[Cost]] = {}
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home:
        tls = LocalTls(Path(home, "tls")).ensure()
        for megabytes, at_once, rounds in GOES:
            source = Path(home, "video.mp4")
            make(source, megabytes * MB)
            kinds = {"TLS": tls, "HTTP": None} if megabytes == LARGE else {"TLS": tls}
            with Sink(Path(home), tls=tls, source=source) as origin:
                for over, sink_tls in kinds.items():
                    with Sink(Path(home), tls=sink_tls) as sink:
                        for _ in range(rounds):
                            for way in ways(megabytes):
                                cost = measured(way, origin, sink, tls, megabytes, at_once)
                                found.setdefault((way, megabytes, at_once, over), []).append(cost)
            tell(f"archive: {megabytes} MB, {at_once} at once")
    for (way, megabytes, at_once, over), costs in found.items():
        rate, cpu = figures(costs, megabytes * at_once)
        section.add(way, megabytes, at_once, over, rate, cpu, Spread.of([cost.peak_mb for cost in costs]))
    judge(section, found)
    return section


def figures(costs: Sequence[Cost], megabytes: int) -> tuple[Spread, Spread]:
    """MB/s and CPU seconds per GB."""
    rate = Spread.of([megabytes / cost.seconds for cost in costs])
    return rate, Spread.of([cost.cpu_seconds * 1000 / megabytes for cost in costs])


def judge(section: Section, found: Mapping[tuple[str, int, int, str], Sequence[Cost]]) -> None:
    peer = next(way for way in ("rclone copyurl", "curl to aws", "upload_fileobj") if (way, LARGE, 1, "TLS") in found)
    for over, least, most_cpu in (("HTTP", 1.0, 0.75), ("TLS", 1.0, 0.75)):
        ours, theirs = (figures(found[way, LARGE, 1, over], LARGE) for way in ("Callsheet", peer))
        rate, cpu = ours[0].median / theirs[0].median, ours[1].median / theirs[1].median
        section.judge(
            "T10",
            f"{LARGE} MB to an S3 over {over} against {peer}: throughput; CPU",
            f"{least}x; <= {most_cpu}x (against rclone)",
            f"{rate:.2f}x; {cpu:.2f}x",
            rate >= least and cpu <= most_cpu,
        )
    peaks = {n: _peak_mb(found, n) for n in (1, 8)}
    section.judge(
        "T11",
        "peak RSS, any size; 8 at once",
        "<= 110 MB; <= 200 MB",
        f"{peaks[1]:.0f} MB; {peaks[8]:.0f} MB",
        peaks[1] <= 110 and peaks[8] <= 200,
    )


def _peak_mb(found: Mapping[tuple[str, int, int, str], Sequence[Cost]], at_once: int) -> float:
    ours = (costs for (way, _, count, _), costs in found.items() if way == "Callsheet" and count == at_once)
    return max(cost.peak_mb for costs in ours for cost in costs)


def ways(megabytes: int) -> Sequence[str]:
    """The compared tools: those that start a process each only where that does not drown the rest."""
    others = [name for name, tool in TOOLS.items() if megabytes == LARGE and shutil.which(tool)]
    return ["Callsheet", "upload_fileobj", *others]


def make(file: Path, size: int) -> None:
    """A playable film of *size* bytes: what is missing is a `free` box."""
    film = mp4.make(640, 360, 3)
    left = size - len(film)
    with file.open("wb") as out:
        out.write(film + left.to_bytes(4, "big") + b"free")
        piece = os.urandom(MB)
        for start in range(8, left, MB):
            out.write(piece[: min(MB, left - start)])


def measured(way: str, origin: Sink, sink: Sink, tls: LocalTls, megabytes: int, at_once: int) -> Cost:
    env = {
        **sink.env,
        "AWS_CA_BUNDLE": str(tls.ca_file),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCE),
        "HOME": str(tls.directory),
    }
    if (versions := os.environ.get("PYENV_ROOT")) is not None:
        env["PYENV_ROOT"] = versions
    order = {"way": way, "url": origin.url + "/source", "ca_file": str(tls.ca_file), "at_once": at_once}
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.ways", json.dumps(order)],
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"{way}, {megabytes} MB: {done.stderr[-500:]}")
    return Cost(**json.loads(done.stdout))


if __name__ == "__main__":
    main(run)
