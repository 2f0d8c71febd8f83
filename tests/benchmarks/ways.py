"""The ways that the archive benchmark compares, each in a process that imports nothing else.

python -m tests.benchmarks.ways '{"way": "Callsheet", "url": ..., "ca_file": ..., "at_once": 1}'
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import IO, cast

BUCKET = "sink"
ACCEPTED_AT = 1_795_000_000_000


@dataclass(frozen=True)
class Cost:
    """One measured run in a process of its own."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def one(way: str, url: str, ca_file: str, at_once: int) -> Cost:
    """Take the way *at_once* times in this process, all together; what it does once is not counted."""
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
    return Cost(seconds, _cpu_seconds() - before, max(_own_peak_kb(), _peak_kb_of_children()) / 1024)


def _own_peak_kb() -> int:
    """Not `getrusage`: that remembers what the process was before it became this program, its parent's copy."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0])


def _peak_kb_of_children() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def by_callsheet(url: str, ca_file: str) -> Callable[[int], None]:
    from worker.bucket.bucket import Bucket
    from worker.guard.download import Downloader

    bucket = Bucket.connect(BUCKET, "callsheet")
    downloader = Downloader(ca_file=ca_file, allow_networks=(ip_network("127.0.0.0/8"),))
    bucket.manifests.put("probe", ACCEPTED_AT, {})
    with downloader.open(url):
        pass

    def take(n: int) -> None:
        key = bucket.videos.key(f"archived-{os.getpid()}-{n}", 1, 1, ACCEPTED_AT)
        assert bucket.videos.find(key) is None
        with downloader.open(url) as download:
            bucket.videos.store(key, download.chunks(), declared_bytes=download.declared_bytes)

    return take


def by_fileobj(url: str, ca_file: str) -> Callable[[int], None]:
    import boto3
    import urllib3

    client = boto3.client("s3")
    pool = urllib3.PoolManager(ca_certs=ca_file)
    client.upload_fileobj(io.BytesIO(b"probe"), BUCKET, "plain/probe")
    with pool.request("GET", url, preload_content=False) as answer:
        answer.close()

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
    sys.stdout.write(json.dumps(asdict(one(**json.loads(sys.argv[1])))))
