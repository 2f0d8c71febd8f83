"""What looks at records starts at once: it loads nothing that only moves videos."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["listing", "show", "watch"])
def test_a_command_that_looks_at_jobs_loads_no_s3_client(command: str) -> None:
    code = f"import sys, worker.cli.{command}; sys.exit('boto3' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)

    assert done.returncode == 0
