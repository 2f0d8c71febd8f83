"""A command that reads records starts at once and loads nothing that only moves videos; a worker loads it once."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["listing", "show", "watch"])
def test_a_command_that_looks_at_jobs_loads_no_s3_client(command: str) -> None:
    code = f"import sys, worker.cli.{command}; sys.exit('boto3' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)

    assert done.returncode == 0


def test_a_worker_s_children_share_what_it_has_loaded() -> None:
    """Modules that are loaded after the fork are copies: some 19 MB for each child."""
    code = (
        "import gc, sys, worker.celery as c; c._share_memory(); "
        "sys.exit('boto3' not in sys.modules or gc.get_freeze_count() < 10_000)"
    )
    env = {"CALLSHEET_REDIS_URL": "redis://h", "CALLSHEET_BUCKET": "bucket", "EVOLINK_API_KEY": "key"}

    done = subprocess.run([sys.executable, "-c", code], env=env, timeout=60, check=False)

    assert done.returncode == 0
