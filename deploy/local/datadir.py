"""The one directory in which a local system keeps everything, used by one system at a time."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from worker.errors import LocalError

DEFAULT = Path(".callsheet")
OTHERS = 0o077
"""The rights of group and others."""
OWNER_SECONDS = 1.0
SECRETS = (
    *("redis_password", "s3_access_key", "s3_secret_key", "callback_secret", "flower_password", "provider_key"),
    "notify_secret",
    "api_token",
)


class DataDirectory:
    """The directory of a local system's data, logs and secrets; readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.env_file = self.path / "env"
        self._lock: BinaryIO | None = None

    def claim(self) -> None:
        """Make the directory if need be and take it; the kernel gives it back when this process ends."""
        try:
            _make_private(self.path)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            lock = (self.path / "lock").open("a+b")
        except OSError as err:
            raise LocalError(f"{self.path} cannot be used for the local system: {err.strerror}") from err
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            owner = _owner(lock)
            lock.close()
            raise LocalError(
                f"{self.path} is in use by {owner}: stop that one, or name another directory with --data"
            ) from err
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Give the directory back; nothing happens unless this object has it."""
        if self._lock is not None:
            self.env_file.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def secrets(self) -> dict[str, str]:
        """The passwords and keys of this system, made once and kept."""
        file = self.path / "secrets.json"
        try:
            kept = json.loads(file.read_text())
            known = {name: str(kept[name]) for name in SECRETS if kept.get(name)}
        except FileNotFoundError:
            known = {}
        except (ValueError, AttributeError) as err:
            raise LocalError(f"{file} is damaged: move {self.path} away and start again") from err
        if len(known) < len(SECRETS):
            known = {name: secrets.token_hex(24) for name in SECRETS} | known
            _write_private(file, json.dumps(known, indent=2) + "\n")
        return known

    def write_env(self, env: Mapping[str, str]) -> None:
        """Write *env* for a shell of the owner: `set -a; . .callsheet/env`."""
        _write_private(self.env_file, "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(env.items())))


def _make_private(path: Path) -> None:
    """Make *path*, and what of the default directory is above it, for its owner alone; tighten what others may enter.

    Raises `LocalError` for a directory of somebody else.
    """
    mine = [folder for folder in (path, *path.parents) if folder == path or folder.name == DEFAULT.name]
    for folder in reversed(mine):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.getuid():
            raise LocalError(f"{folder} belongs to another user: name a directory of your own with --data")
        if stat.S_IMODE(found.st_mode) & OTHERS:
            folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)


def _owner(lock: BinaryIO) -> str:
    """The process that holds *lock*, in words; one that has just taken it says so in a moment."""
    deadline = time.monotonic() + OWNER_SECONDS
    while time.monotonic() < deadline:
        lock.seek(0)
        if pid := lock.read().decode():
            return f"the local system with pid {pid}"
        time.sleep(0.02)
    return "a local system that is just starting"


def _write_private(file: Path, text: str) -> None:
    """Replace *file* whole, never readable by others."""
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)
