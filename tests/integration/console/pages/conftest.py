"""The console in a real Chromium, over a day of jobs with real videos; what it logs or asks of others is a failure."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from deploy.local.s3 import S3Server
from deploy.local.sandbox_process import SandboxProcess
from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.cli.conftest import complete_environment
from tests.integration.console.conftest import ALL, SECRETS, serving, with_tokens
from tests.integration.console.scene import Scene, play
from worker.services import Services
from worker.settings.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
ARGUMENTS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
)
CAPS = {"CALLSHEET_DAILY_BUDGET": "40", "CALLSHEET_TENANT_DAILY_BUDGET": "acme=16,zeta=20"}
THEMES = ("light", "dark")
WIDTHS = (360, 768, 1280)


class Browser:
    """A Chromium that is looked into: what it shows, what it asks for, and what it complains about."""

    def __init__(self, driver: webdriver.Chrome, url: str, wait_until: WaitUntil) -> None:
        self.driver, self.url, self.wait_until = driver, url, wait_until
        self._seen: list[dict[str, Any]] = []

    def open(self, path: str) -> None:
        self.driver.get(self.url + path)

    def login(self, secret: str = ALL) -> None:
        """Sign in by the link that `callsheet up` prints."""
        self.open(f"/login#token={secret}")
        self.wait_until(lambda: "/login" not in self.driver.current_url, 30)

    def look(self, width: int, theme: str, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait_for(self, selector: str) -> WebElement:
        self.wait_until(lambda: self.all(selector), 30)
        return self.find(selector)

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def tree(self) -> list[tuple[str, str]]:
        """The tree that a screen reader is told: role and name of each node."""
        nodes = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        return [
            (str(node.get("role", {}).get("value", "")), str(node.get("name", {}).get("value", "")))
            for node in nodes
            if not node.get("ignored")
        ]

    def asked(self) -> list[str]:
        """The address of each request so far, of whatever page."""
        for entry in cast("list[dict[str, str]]", self.driver.get_log("performance")):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._seen.append(message["params"])
        return [str(params["request"]["url"]) for params in self._seen]

    def complaints(self) -> list[str]:
        """The errors and warnings of the console so far: broken scripts, refused styles, missing files."""
        entries = cast("list[dict[str, str]]", self.driver.get_log("browser"))  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


@dataclass(frozen=True)
class Stage:
    """A console of its own, behind gunicorn, over a day of jobs."""

    url: str
    env: dict[str, str]
    scene: Scene

    @property
    def services(self) -> Services:
        return Services.from_settings(Settings.from_env(self.env))


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, s3: S3Server, sandbox: SandboxProcess, wait_until: WaitUntil
) -> Iterator[Stage]:
    """One for all tests of a module: each acts on jobs that are its own."""
    with on_stage(tmp_path_factory.mktemp("stage"), s3, sandbox, wait_until) as staged:
        yield staged


@contextmanager
def on_stage(home: Path, s3: S3Server, sandbox: SandboxProcess, wait_until: WaitUntil) -> Iterator[Stage]:
    """A Valkey, a bucket, a day of jobs, and the console over them; all in *home*."""
    with Valkey(home / "valkey", secrets.token_urlsafe(16)) as valkey:
        bucket_name = f"stage-{secrets.token_hex(8)}"
        s3.create_bucket(bucket_name)
        env = with_tokens({**complete_environment(valkey.url, bucket_name, s3, sandbox), **CAPS})
        settings = Settings.from_env(env)
        scene = play(settings, Services.from_settings(settings).bucket)
        with serving(env, home / "console.log", wait_until) as server:
            yield Stage(server.url, env, scene)


@pytest.fixture
def scene(stage: Stage) -> Scene:
    stage.scene.clock.at = stage.scene.now = stage.services.store.clock.now()
    return stage.scene


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no Chromium here: apt install chromium chromium-driver")
    with chromium() as chrome:
        yield chrome


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A Chromium with a profile of its own."""
    options = Options()
    options.binary_location = str(CHROMIUM)
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # not among what the tests leave: a browser keeps the links that it was sent to
    with tempfile.TemporaryDirectory(prefix="callsheet-chromium-", ignore_cleanup_errors=True) as profile:
        for argument in (*ARGUMENTS, *root, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        chrome = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        try:
            yield chrome
        finally:
            chrome.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome, stage: Stage, wait_until: WaitUntil) -> Iterator[Browser]:
    """The browser, signed in to nothing; afterwards it must have been content, and asked nobody else."""
    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    opened = Browser(driver, stage.url, wait_until)
    opened.asked()
    opened.complaints()
    opened._seen.clear()
    opened.look(1280, "light")
    yield opened
    complaints, asked = opened.complaints(), opened.asked()
    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    assert complaints == []
    bucket = os.environ["AWS_ENDPOINT_URL_S3"]
    known = {urlsplit(stage.url).netloc, urlsplit(bucket).netloc}
    others = {url for url in asked if url.startswith(("http", "ws")) and urlsplit(url).netloc not in known}
    assert others == set()


@pytest.fixture
def only(browser: Browser) -> Callable[[str], Browser]:
    """`only("read")`: the browser, signed in with a token of that scope alone."""

    def sign_in(scope: str) -> Browser:
        browser.login(SECRETS[scope])
        return browser

    return sign_in
