"""`make fuzz`: each target for some time, steered by atheris where it is installed, else drawn by Hypothesis."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds

LONGEST_INPUT = 64 * 1024


def main() -> int:
    """Fuzz what the command line names; 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=300, help="for each target (300)")
    parser.add_argument("--steered", action="store_true", help=argparse.SUPPRESS)  # what a child is started with
    asked = parser.parse_args()
    if asked.steered:
        return _steered(asked.targets[0], asked.seconds)
    broken = []
    for name in asked.targets or TARGETS:
        print(f"{name}: {asked.seconds} s", flush=True)  # noqa: T201  a command line
        if not _is_sound(name, asked.seconds):
            broken.append(name)
    print(f"broken: {', '.join(broken)}" if broken else "nothing found")  # noqa: T201
    return 1 if broken else 0


def _is_sound(name: str, seconds: int) -> bool:
    if find_spec("atheris") is None:
        print("atheris is not installed: inputs are drawn by Hypothesis, which does not see the code")  # noqa: T201
        return _drawn(name, seconds)
    command = [sys.executable, "-m", "tests.fuzz", name, "--steered", "--seconds", str(seconds)]
    return subprocess.run(command, check=False).returncode == 0


def _steered(name: str, seconds: int) -> int:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    with tempfile.TemporaryDirectory() as found:
        for number, seed in enumerate(seeds(name)):
            (Path(found) / str(number)).write_bytes(seed)
        target = _instrumented(atheris, name)
        arguments = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", "-timeout=10", "-verbosity=0", found]
        atheris.Setup([sys.argv[0], *arguments], target)
        atheris.Fuzz()  # ends the process
    return 0


def _instrumented(atheris: Any, name: str) -> Callable[[bytes], None]:
    """The target *name*, imported once more with all of ours that it calls, so that atheris sees the branches."""
    for module in [module for module in sys.modules if module.partition(".")[0] in ("worker", "webhook", "tests")]:
        del sys.modules[module]
    with atheris.instrument_imports(include=["worker", "webhook", "json"]):
        target: Callable[[bytes], None] = import_module("tests.fuzz.targets").TARGETS[name]
    return target


def _drawn(name: str, seconds: int) -> bool:
    end = time.monotonic() + seconds

    @settings(
        max_examples=2000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(inputs(name))
    def run(data: bytes) -> None:
        if time.monotonic() < end:
            TARGETS[name](data)

    while time.monotonic() < end:
        try:
            run()
        except Exception as err:  # noqa: BLE001  whatever it is, it is what we look for
            print(f"{name}: {type(err).__name__}: {err}")  # noqa: T201
            return False
    return True


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Bytes by chance, and seeds with some of their bytes changed."""
    whole = st.sampled_from(list(seeds(name)))
    change = st.tuples(st.integers(0, LONGEST_INPUT), st.binary(max_size=6), st.integers(0, 12))
    return st.binary(max_size=300) | st.builds(_changed, whole, st.lists(change, max_size=4))


def _changed(seed: bytes, changes: list[tuple[int, bytes, int]]) -> bytes:
    for at, put, cut in changes:
        place = at % (len(seed) + 1)
        seed = seed[:place] + put + seed[place + cut :]
    return seed


if __name__ == "__main__":
    sys.exit(main())
