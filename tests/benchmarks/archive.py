"""Videos from the provider's link into the bucket: throughput, CPU and memory, beside what one would run instead."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import IO, cast

from deploy.local.sandbox import mp4
from deploy.local.sandbox_process import SOURCE
from deploy.local.tls import LocalTls
from tests.benchmarks.figures import Section, Spread, main
from tests.benchmarks.sink import BUCKET, Sink
from tests.benchmarks.system import BenchmarkError, tell

MB = 1_000_000
LIMIT_SECONDS = 60.0
TOOLS = {"curl to aws": "aws", "rclone copyurl": "rclone"}
LARGE = 500
GOES = ((8, 1, 3), (60, 1, 3), (60, 8, 1), (LARGE, 1, 3))
"""Megabytes, how many at once, rounds."""


@dataclass(frozen=True)
class Cost:
    """One measured run in a process of its own."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def run() -> Section:
    """8, 60 and 500 MB into a byte sink, beside `upload_fileobj` and `curl | aws s3 cp -`."""
    section = Section(
        "Archive",
        "Real MP4s, filled up by a `free` box, from a TLS source into a byte sink; source, sink and client "
        "on the same cores, each way in a process of its own. Callsheet: address policy, pinned TLS, box walk, SHA-256 "
        "of the whole and of each part, HEAD before, conditional put. The others verify nothing.",
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
    for over, least, most_cpu in (("HTTP", 1.2, 0.55), ("TLS", 1.0, 0.75)):
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
    """What is compared: the tools that start a process each only where that does not drown the rest."""
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
        [sys.executable, "-m", "tests.benchmarks.archive", "--one", json.dumps(order)],
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"{way}, {megabytes} MB: {done.stderr[-500:]}")
    return Cost(**json.loads(done.stdout))


def one(way: str, url: str, ca_file: str, at_once: int) -> Cost:
    """Take the way *at_once* times in this process, all together; imports are not counted."""
    take = {
        "Callsheet": by_callsheet,
        "upload_fileobj": by_fileobj,
        "curl to aws": by_pipe,
        "rclone copyurl": by_rclone,
    }[way](url, ca_file)
    before, began = _cpu_seconds(), time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(take, range(at_once)))
    seconds = time.perf_counter() - began
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak_mb = max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024
    return Cost(seconds, _cpu_seconds() - before, peak_mb)


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def by_callsheet(url: str, ca_file: str) -> Callable[[int], None]:
    from worker.bucket import Bucket
    from worker.download import Downloader

    bucket = Bucket.connect(BUCKET, "callsheet")
    downloader = Downloader(ca_file=ca_file, allow_networks=(ip_network("127.0.0.0/8"),))

    def take(n: int) -> None:
        key = bucket.video_key(f"archived-{os.getpid()}-{n}", 1, 1, 1_795_000_000_000)
        assert bucket.find(key) is None
        with downloader.open(url) as download:
            bucket.store_video(key, download.chunks(), declared_bytes=download.declared_bytes)

    return take


def by_fileobj(url: str, ca_file: str) -> Callable[[int], None]:
    import boto3
    import urllib3

    client = boto3.client("s3")
    pool = urllib3.PoolManager(ca_certs=ca_file)

    def take(n: int) -> None:
        with pool.request("GET", url, preload_content=False) as answer:
            client.upload_fileobj(cast("IO[bytes]", answer), BUCKET, f"plain/{os.getpid()}-{n}.mp4")

    return take


def by_pipe(url: str, ca_file: str) -> Callable[[int], None]:
    target = f"s3://{BUCKET}/piped/{os.getpid()}.mp4"

    def take(_: int) -> None:
        with subprocess.Popen(["curl", "-sS", "--cacert", ca_file, url], stdout=subprocess.PIPE) as curl:
            endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
            subprocess.run(
                ["aws", "s3", "cp", "-", target, "--endpoint-url", endpoint, "--quiet"], stdin=curl.stdout, check=True
            )

    return take


def by_rclone(url: str, ca_file: str) -> Callable[[int], None]:
    options = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENV_AUTH": "true",
        "NO_CHECK_BUCKET": "true",
        "ENDPOINT": os.environ["AWS_ENDPOINT_URL_S3"],
    }
    # it refuses AWS_CA_BUNDLE, for a transport of its own
    plain = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    env = {**plain, **{f"RCLONE_CONFIG_SINK_{name}": value for name, value in options.items()}}

    def take(_: int) -> None:
        target = f"sink:{BUCKET}/rcloned/{os.getpid()}.mp4"
        subprocess.run(["rclone", "copyurl", "--ca-cert", ca_file, "-q", url, target], check=True, env=env)

    return take


if __name__ == "__main__":
    if "--one" in sys.argv:
        sys.stdout.write(json.dumps(asdict(one(**json.loads(sys.argv[-1])))))
    else:
        main(run)
