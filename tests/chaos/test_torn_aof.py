"""Row D3: power lost in the middle of a write. Whatever is left of the file, each job is as before or as after it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.local.valkey import Valkey, server_binary
from worker.jobs.job import Link, Video, videos_json
from worker.jobs.states import JobState
from worker.store import Fields, Store, connect

pytestmark = [pytest.mark.timeout(900)]

S = JobState
PASSWORD = "torn"
EVERY_BYTE = os.environ.get("SEEDS") is not None
"""`make chaos` cuts at every byte; the subset at every 97th, at the ends of each write and beside them."""
JOBS_IN_A_SECOND = 1
"""Each writes about 4,500 bytes by the same scripts, and every byte costs a start of the server."""
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Written:
    """A second's worth of writes: the whole file, and after each script its length and what the server held."""

    server: Valkey
    file: Path
    whole: bytes
    held: dict[int, str]  # length of the file -> digest of the whole dataset


def digest(client: Any) -> str:
    """One number for every key and value of the server; redis-py gives the command no type."""
    return str(client.execute_command("DEBUG", "DIGEST"))


def started_on(written: Written, cut: int) -> str:
    """The content of a server that was started on the first *cut* bytes of the file, after a power loss."""
    written.server.kill()
    written.file.write_bytes(written.whole[:cut])
    written.server.process.spawn()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not written.server.is_answering():
        assert time.monotonic() < deadline, f"no start on {cut} bytes: {written.server.process.last_words()}"
        time.sleep(0.001)
    with redis.Redis.from_url(written.server.url, decode_responses=True) as client:
        return digest(client)


def live(store: Store) -> None:
    """Bring jobs from their record to their close."""
    video = Video("s3://bucket/1-1.mp4", 1000, "ab" * 32, 3.0, 640, 640)
    for number in range(JOBS_IN_A_SECOND):
        job_id = f"job-{number}"
        store.jobs.accept(job_id, spec_json="{}", spec_sha256="x" * 64, provider="evolink", model="m")
        claim = store.due.claim(job_id, states=(S.ACCEPTED,), lease_ms=60_000)
        assert claim is not None
        assert store.attempts.begin(claim).applied
        store.attempts.bind(
            job_id, attempt=1, provider="evolink", request_id=f"r{number}", path="submit", due_in_ms=1000
        )
        store.callbacks.arrive(
            job_id, attempt=1, request_id=f"r{number}", fingerprint="f", is_terminal=True, event_json="{}"
        )
        links = (Link("https://x.example/1.mp4"),)
        store.jobs.move(job_id, S.GENERATED, attempt=1, path="callback", links=links)
        facts: Fields = {"videos": videos_json((video,))}
        reply = store.jobs.move(job_id, S.ARCHIVED, attempt=1, path="callback", facts=facts)
        assert reply.job is not None
        store.jobs.delivered(job_id, ver=reply.job.ver, outputs="result", rest_in_ms=0)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    server = Valkey(tmp_path / "whole", PASSWORD)
    server.process.command = (str(server_binary()), "-", "--enable-debug-command", "yes")
    with server, connect(server.url) as client:
        (file,) = (server.directory / "appendonlydir").glob("*.incr.aof")
        store = Store(client, retention_ms=3_600_000)
        assert store.server.durability == "always"
        held = {file.stat().st_size: digest(client)}
        run = store.scripts.run

        def noted(*args: Any, **options: Any) -> Any:
            answer = run(*args, **options)
            held[file.stat().st_size] = digest(client)
            assert store.audit.breaches() == []
            return answer

        monkeypatch.setattr(store.scripts, "run", noted)
        live(store)
        yield Written(server, file, file.read_bytes(), held)


def cuts(written: Written) -> list[int]:
    begin, end = min(written.held), len(written.whole)
    if EVERY_BYTE:
        return list(range(begin, end + 1))
    beside = {length + step for length in written.held for step in (-1, 0, 1)}
    return sorted({*range(begin, end, 97), *(cut for cut in beside if begin <= cut <= end)})


@pytest.mark.subset
def test_d3_a_second_of_writes_cut_at_any_byte_leaves_each_write_whole_or_undone(written: Written) -> None:
    for cut in cuts(written):
        last = max(length for length in written.held if length <= cut)
        assert started_on(written, cut) == written.held[last], f"cut at byte {cut} of {len(written.whole)}"


@pytest.mark.subset
@pytest.mark.parametrize("back", [0, 1, 200])
def test_d3_a_store_whose_file_was_cut_off_is_sound_and_goes_on(written: Written, back: int) -> None:
    started_on(written, len(written.whole) - back)

    with connect(written.server.url) as client:
        store = Store(client, retention_ms=3_600_000)
        assert store.jobs.accept("new", spec_json="{}", spec_sha256="x" * 64, provider="evolink", model="m").applied
        assert store.audit.breaches() == []
