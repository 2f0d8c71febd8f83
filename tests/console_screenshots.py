"""Pictures of every page of the console, over a day of jobs: `python -m tests.console_screenshots`.

They are written to deploy/console/screenshots: each page at 1280 pixels in light and dark, and at 360. With names of
pages, those alone; with --to, to another directory, and at 768 as well.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.local.s3 import S3Server
from deploy.local.sandbox_process import SandboxProcess
from deploy.local.tls import LocalTls
from tests.integration.console.pages.conftest import CHROMIUM, DRIVER, Browser, chromium, on_stage
from tests.integration.console.scene import show_life
from worker.store import Store

PLACE = Path(__file__).parents[1] / "deploy" / "console" / "screenshots"
PAGES = {
    "jobs": "/",
    "job": "/jobs/take-1016",
    "failed-job": "/jobs/spot-1003",
    "retry": "/jobs/spot-1000/retry",
    "attention": "/attention",
    "failures": "/failures",
    "providers": "/providers",
    "money": "/money",
    "gallery": "/gallery",
    "system": "/system",
    "login": "/login",
}
LOOKS = ((1280, "light"), (1280, "dark"), (360, "light"))
MOST_BYTES = 200_000
SETTLED_SECONDS = 2.0
"""Frames of videos are there by then, and the first refresh is not."""
HEIGHTS = {360: 780, 768: 1024, 1280: 860}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", choices=[*PAGES, []], metavar="PAGE", help=", ".join(PAGES))
    parser.add_argument("--to", type=Path, default=PLACE)
    given = parser.parse_args(arguments)
    if CHROMIUM is None or DRIVER is None:
        sys.exit("no Chromium here: apt install chromium chromium-driver")
    looks = LOOKS if given.to == PLACE else (*LOOKS, (360, "dark"), (768, "light"), (768, "dark"))
    given.to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="callsheet-screenshots-") as home,
        _on_stage(Path(home)) as (browser, store),
    ):
        for name in given.pages or PAGES:
            for width, theme in looks:
                show_life(store)
                size = take(browser, PAGES[name], width, theme, given.to / f"{name}-{width}-{theme}.png")
                assert size < MOST_BYTES, f"{name}: {size} bytes"


@contextmanager
def _on_stage(home: Path) -> Iterator[tuple[Browser, Store]]:
    """A browser before a day of jobs."""
    tls = LocalTls(home / "tls").ensure()
    with S3Server(home / "s3") as s3, SandboxProcess(home / "sandbox", tls) as sandbox:
        os.environ.update(s3.env)
        with on_stage(home, s3, sandbox, _wait_until) as stage, chromium() as driver:
            yield Browser(driver, stage.url, _wait_until), stage.services.store


def _wait_until(predicate: Callable[[], Any], timeout_seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_seconds
    while not (value := predicate()):
        if time.monotonic() > deadline:
            sys.exit(f"nothing came within {timeout_seconds:g} s")
        time.sleep(0.05)
    return value


def take(browser: Browser, path: str, width: int, theme: str, file: Path) -> int:
    """Write one picture; returns its bytes."""
    browser.look(width, theme, HEIGHTS[width])
    if path == "/login":
        browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    elif not browser.driver.get_cookies():
        browser.login()
    browser.open(path)
    time.sleep(SETTLED_SECONDS)
    browser.driver.save_screenshot(str(file))
    return file.stat().st_size


if __name__ == "__main__":
    main(sys.argv[1:])
