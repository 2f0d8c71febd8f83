"""The guard that keeps every test on this machine."""

from __future__ import annotations

import os
import socket

import pytest


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("203.0.113.9", 443)])
def test_no_test_leaves_this_machine(address: tuple[str, int]) -> None:
    with socket.socket() as client, pytest.raises(OSError, match="may not leave this machine"):
        client.connect(address)


def test_no_setting_of_whoever_runs_the_tests_is_seen() -> None:
    seen = [name for name in os.environ if name.startswith("CALLSHEET_") or name.endswith("_API_KEY")]

    assert seen == []
