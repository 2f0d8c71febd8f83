"""Row D3: power lost in the middle of a write. Whatever is left of the file, a record is as before or as after."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.local.valkey import Valkey
from worker.states import JobState
from worker.store import Store, connect

pytestmark = [pytest.mark.timeout(600)]

JOB = "job-torn"
PASSWORD = "torn"
EVERY_BYTE = os.environ.get("SEEDS") is not None
"""`make chaos` cuts at every byte; the subset at every 97th and at the ends."""


def everything(url: str) -> dict[str, Any]:
    """Every key of the store with what it holds."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        readers = {
            "hash": client.hgetall,
            "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            "list": lambda key: client.lrange(key, 0, -1),
            "string": client.get,
        }
        keys: Any = client.keys("callsheet:*")
        return {key: readers[str(client.type(key))](key) for key in sorted(keys)}


def tail_of(directory: Path) -> Path:
    """The file that writes are appended to."""
    (file,) = (directory / "appendonlydir").glob("*.incr.aof")
    return file


@pytest.fixture
def torn(tmp_path: Path) -> tuple[Path, dict[str, Any], dict[str, Any], int]:
    """A data directory at rest: what it held before its last script, what after, and where that script begins."""
    directory = tmp_path / "whole"
    with Valkey(directory, PASSWORD) as server, connect(server.url) as client:
        store = Store(client, retention_ms=3_600_000)
        store.accept(JOB, spec_json="{}", spec_sha256="x" * 64, provider="gmicloud", model="m")
        claim = store.claim(JOB, states=(JobState.ACCEPTED,), lease_ms=60_000)
        assert claim is not None
        before, start = everything(server.url), tail_of(directory).stat().st_size
        assert store.begin(claim).applied
        after = everything(server.url)
        server.kill()
    return directory, before, after, start


@pytest.mark.subset
def test_d3_an_intent_cut_at_any_byte_is_there_whole_or_not_at_all(
    torn: tuple[Path, dict[str, Any], dict[str, Any], int], tmp_path: Path
) -> None:
    directory, before, after, start = torn
    end = tail_of(directory).stat().st_size
    cuts = range(start, end + 1) if EVERY_BYTE else sorted({*range(start, end, 97), start + 1, end - 1, end})

    for cut in cuts:
        copy = tmp_path / f"cut-{cut}"
        shutil.copytree(directory, copy)
        with tail_of(copy).open("ab") as file:
            file.truncate(cut)
        with Valkey(copy, PASSWORD) as server:
            found = everything(server.url)
        assert found == (after if cut == end else before), f"cut at byte {cut - start} of {end - start}"
        shutil.rmtree(copy)
