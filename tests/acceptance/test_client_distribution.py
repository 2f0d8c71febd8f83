"""The client as a backend installs it: from its wheel, into an environment that holds nothing else of ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

from tests.acceptance import readme
from tests.acceptance.backend import new_id
from tests.acceptance.system import System

ROOT = Path(__file__).parents[2]
BACKEND = """
import hashlib, importlib.util, sys
from callsheet_client import Callsheet, OrderRefused, Spec

url, token, ca_file, job_id, film = sys.argv[1:]
assert all(importlib.util.find_spec(name) is None for name in ("worker", "webhook", "deploy", "celery"))
with Callsheet(url, token, ca_file=ca_file) as callsheet:
    spec = Spec(model="kling-3.0-turbo", provider="apimart", prompt=f"A corgi, {job_id}", duration=3)
    first, again = (callsheet.order(spec, job_id=job_id).document["accepted_at"] for _ in range(2))
    assert first == again
    result = callsheet.wait(job_id, timeout_seconds=90)
    path = callsheet.fetch(job_id, film)
    print(result.state, result.videos[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest())
    try:
        callsheet.order(Spec(model="no-such-model"))
    except OrderRefused as refused:
        print(refused.problems)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the client's wheel and its dependencies at our locked versions."""
    home = tmp_path_factory.mktemp("backend")
    wheel: list[str | Path] = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        home,
    ]
    _run(sys.executable, *wheel, ROOT / "deploy" / "client")
    venv.create(home / "venv", with_pip=True)
    inside = home / "venv" / "bin" / "python"
    locked = home / "requirements.txt"
    locked.write_text(_locked_with_hashes("requests"))
    _run(inside, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", locked)
    _run(inside, "-m", "pip", "install", "--quiet", "--no-deps", *home.glob("*.whl"))
    _run(inside, "-m", "pip", "check")
    return inside


def test_a_backend_orders_waits_and_fetches_with_the_client_alone(python: Path, system: System, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{system.env['CALLSHEET_CONSOLE_PORT']}"
    ca_file = system.env["AWS_CA_BUNDLE"]

    said = _run(python, "-I", "-c", BACKEND, url, _token(system), ca_file, new_id("client"), tmp_path / "corgi.mp4")

    ended, refused = said.splitlines()
    assert ended == "archived True"
    assert refused.startswith("('model: ")


def test_the_readmes_example_for_backends_makes_a_video(python: Path, system: System) -> None:
    example = readme.block("python", holding="callsheet_client import Callsheet, Spec")

    said = _run(python, "-I", "-c", f"token = {_token(system)!r}\n{_here(example, system)}")

    assert said.startswith("s3://")


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_readmes_example_for_node_waits_for_the_end(system: System) -> None:
    example = _here(readme.block("js", holding="fetch("), system)

    said = _run(
        "node", "--input-type=module", "-e", f"const token = {_token(system)!r};\n{example}console.log(job.state)"
    )

    assert said == "archived\n"


def _here(example: str, system: System) -> str:
    return example.replace("http://127.0.0.1:8001", f"http://127.0.0.1:{system.env['CALLSHEET_CONSOLE_PORT']}")


def _token(system: System) -> str:
    return system.env["CALLSHEET_API_TOKENS"].rpartition(":")[2]


def _run(*line: str | Path) -> str:
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _locked_with_hashes(name: str) -> str:
    """*name* and all that it needs, as `constraints.txt` locks them."""
    wanted, lines = {name}, (ROOT / "constraints.txt").read_text()
    for _ in range(5):  # as deep as it goes
        wanted |= {
            re.split(r"[^A-Za-z0-9_-]", needed, maxsplit=1)[0].lower().replace("_", "-")
            for known in wanted
            for needed in metadata.requires(known) or ()
            if "extra ==" not in needed
        }
    entries = re.findall(r"^[a-z].*?(?=^[a-z]|\Z)", lines, re.MULTILINE | re.DOTALL)
    return "".join(entry for entry in entries if entry.partition("==")[0] in wanted)
