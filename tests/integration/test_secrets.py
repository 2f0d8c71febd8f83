"""A run of the whole system among faults and liars, after which no secret stands where it should not.

Everything that is secret is known by name: every key and password of the
environment, the prompt, the signatures of pictures, presigned URLs, the tokens
in the callback URLs, the links of the videos.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import redis
import requests
from botocore.config import Config
from celery import Celery

from deploy.local.procfile import read_procfile
from deploy.local.stack import Stack
from deploy.sandbox.client import SandboxControl
from tests.conftest import WaitUntil

PROMPT = "a corgi that nobody may hear of, 7f3e9a"
SIGNATURE = "f00dcafe5ca1ab1e77"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nX-Injected: 1 <script>alert(1)</script> %s{0}${jndi:ldap://x/}"
PROCESSES = tuple(read_procfile(Path(__file__).parents[2] / "Procfile"))
SECRET_NAMES = re.compile(r".*(_API_KEY|_API_TOKEN|FAL_KEY|_SECRETS|SECRET_ACCESS_KEY|BASIC_AUTH)")
PATIENCE_SECONDS = 120
FAILING = ("failed", "refused", "misspelt", "as-a-name", "as-a-name-within", "by-position", "in-a-header")

pytestmark = pytest.mark.timeout(400)  # a whole system is started first

Rules = tuple[Mapping[str, Any], ...]


def liar(said: str) -> dict[str, Any]:
    """An answer that repeats all it was told, and more."""
    return {"error": {"code": HOSTILE, "message": f"{HOSTILE} {said}", "type": f"{said}"}, "message": said}


class Run:
    """The system while it makes its videos, and all that can be read of it afterwards."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.control = SandboxControl(stack.sandbox.url, stack.sandbox.ca_file)
        self.app = Celery("backend", broker=self.redis_url, backend=self.redis_url, set_as_current=False)
        self.redis = redis.Redis.from_url(self.redis_url)
        self.commands: list[str] = []
        self.asked: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def s3(self) -> Any:
        """A client of the system's own bucket."""
        env = self.stack.env
        return boto3.client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=env.get("AWS_DEFAULT_REGION", "us-east-1"),
            verify=env.get("AWS_CA_BUNDLE"),
            config=Config(retries={"total_max_attempts": 2}),
        )

    @property
    def redis_url(self) -> str:
        return self.stack.env["CALLSHEET_REDIS_URL"]

    @property
    def key(self) -> str:
        return self.stack.env["EVOLINK_API_KEY"]

    def _listen(self) -> None:
        """Everything that is said to Redis."""
        with redis.Redis.from_url(self.redis_url).monitor() as monitor:  # type: ignore[no-untyped-call]
            try:
                for command in monitor.listen():
                    self.commands.append(command["command"])
            except (redis.RedisError, OSError, ValueError):
                return  # Valkey has been stopped

    def ask(self, name: str, *rules: Mapping[str, Any], **fields: Any) -> None:
        """Enqueue the job *name*, which meets *rules*."""
        self.control.script(*({**rule, "match": {"contains": f"take {name}."}} for rule in rules))
        frame = f"https://pictures.example.com/{name}/frame-640x640.png?Signature={SIGNATURE}"
        spec = {"provider": "evolink", "model": "kling-v3-turbo-image-to-video", "duration": 3, "first_frame": frame}
        spec |= {
            "prompt": f"{PROMPT}, take {name}.",
            "metadata": {"for": HOSTILE.replace("\x1b", "").replace("\x07", "")},
        }
        self.app.send_task("callsheet.generate", kwargs={**spec, **fields}, task_id=name, queue="callsheet")
        self.asked.append(name)

    def state(self, name: str) -> str:
        """Celery's result of the job *name*."""
        return str(json.loads(self.redis.get(f"celery-task-meta-{name}") or '{"status": "PENDING"}')["status"])

    def secrets(self) -> dict[str, str]:
        """Every secret by its name."""
        found = {name: value.split(":")[-1] for name, value in self.stack.env.items() if SECRET_NAMES.fullmatch(name)}
        found["password of Redis"] = str(urlsplit(self.redis_url).password)
        found |= {"prompt": PROMPT[:24], "picture's signature": SIGNATURE}
        for number, call in enumerate(self.control.history(kind="call")):
            sent = call["body"] if isinstance(call["body"], dict) else {}
            if url := sent.get("callback_url"):
                found[f"token {number}"] = url.rpartition("/")[2]
            if "X-Amz-Signature=" in (picture := str(sent.get("image_start"))):
                found[f"presigned picture {number}"] = picture.partition("X-Amz-Signature=")[2][:64]
        for request in self.control.requests():
            found |= {f"link {link[-12:]}": link.rpartition("/")[2] for link in request["links"]}
        return found

    def leaks(self, texts: Mapping[str, str], *, allowed: tuple[str, ...] = ()) -> list[str]:
        """Which secret stands where."""
        secrets = {name: secret for name, secret in self.secrets().items() if name not in allowed}
        assert len([name for name in secrets if name.startswith("token")]) >= 3
        assert [name for name in secrets if name.startswith("presigned")]
        assert all(len(secret) >= 8 for secret in secrets.values())
        return [
            f"{name} in {place}" for place, text in texts.items() for name, secret in secrets.items() if secret in text
        ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil) -> Iterator[Run]:
    home = tmp_path_factory.mktemp("secrets")
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    with Stack(home / "data", env=env, generation_seconds=0.5) as stack:
        run = Run(stack)
        _play(run, wait_until)
        yield run
        run.redis.close()
        run.app.close()


def _play(run: Run, wait_until: WaitUntil) -> None:
    said = f"Bearer {run.key} {PROMPT} https://cdn.example.com/v.mp4?sig={SIGNATURE}"
    run.ask("plain")
    run.s3().put_object(Bucket="callsheet-local", Key="pictures/frame-640x640.png", Body=b"a picture")
    run.ask("presigned", first_frame="s3://callsheet-local/pictures/frame-640x640.png")
    run.ask("failed", {"on": "generation", "outcome": "failed", "code": HOSTILE, "message": f"{HOSTILE} {said}"})
    run.ask("refused", {"on": "submit", "status": 400, "body": liar(said)})
    run.ask("unsettled", {"on": "poll", "status": 500, "body": liar(said)})
    run.ask("worded", {"on": "poll", "status_word": f"{HOSTILE} {run.key}"}, {"on": "callback", "lost": True})
    run.ask("dead", {"on": "download", "dead": True}, {"on": "callback", "duplicates": 1})
    forged = {"on": "callback", "forged": ["wrong_token", "contradiction"]}
    run.ask("sent-elsewhere", {"on": "download", "redirect_to": f"https://169.254.169.254/{SIGNATURE}"}, forged)
    run.ask("misspelt", duratoin=5, prompt=f"{PROMPT}, take misspelt.")
    run.ask("as-a-name", **{f"{PROMPT}, take as-a-name.": 5})
    run.ask("as-a-name-within", shots=[{"seconds": 3, f"{PROMPT}, take as-a-name-within.": "x"}])
    _ask_in_other_words(run)
    run.app.send_task("callsheet.genrate", kwargs={"prompt": PROMPT}, task_id="unknown", queue="callsheet")
    run.redis.lpush("callsheet", f"{PROMPT}{HOSTILE}")
    run.app.send_task(
        "callsheet.generate", kwargs={"prompt": PROMPT}, task_id="later", queue="callsheet", countdown=400
    )
    wait_until(
        lambda: any("take plain." in str(call["body"]) for call in run.control.history(kind="call")), PATIENCE_SECONDS
    )
    _lie_to_the_receiver(run)
    run.stack.kill("web")  # a worker would be waited for until its leases end
    wanted = {name: "FAILURE" if name in FAILING else "SUCCESS" for name in run.asked}
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := {name: run.state(name) for name in run.asked}) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    assert found == wanted


def _ask_in_other_words(run: Run) -> None:
    """The prompt where Celery's own senders put what they show of a message: its arguments, described."""
    told: dict[str, Any] = {"argsrepr": f"({PROMPT!r},)", "kwargsrepr": f"{{{PROMPT!r}: 5}}"}
    send = partial(run.app.send_task, "callsheet.generate", queue="callsheet")
    send(args=[PROMPT], task_id="by-position", **told)
    send(kwargs={PROMPT: PROMPT}, task_id="in-a-header", shadow=PROMPT, headers={PROMPT: PROMPT}, **told)
    run.asked += ["by-position", "in-a-header"]


def _lie_to_the_receiver(run: Run) -> None:
    [url] = [c["body"]["callback_url"] for c in run.control.history(kind="call") if "take plain." in str(c["body"])]
    trust = str(run.stack.sandbox.ca_file)
    bodies = (b"{", b"\xff" * 100, f'{{"id": "{run.key}", "status": "{PROMPT}"}}'.encode(), b" " * 70_000)
    sent = [("POST", url, body) for body in bodies]
    sent += [
        (method, path, b"{}")
        for method, path in (("GET", url), ("POST", f"{url}/x"), ("POST", url[:-1]), ("BREW", url))
    ]
    for method, path, body in sent:
        with suppress(requests.RequestException):  # what is too large is cut off while it is still being sent
            requests.request(
                method, path, data=body, headers={"Content-Type": "application/json"}, verify=trust, timeout=10
            )


def test_no_log_holds_a_secret_or_steers_a_terminal(run: Run) -> None:
    logs = {name: run.stack.processes[name].log.read_text(errors="surrogateescape") for name in PROCESSES}

    assert "job.delivered" in logs["worker"]
    assert run.leaks(logs) == []
    printed = {name: {char for char in text if not char.isprintable()} for name, text in logs.items()}
    assert {name: chars - {"\n"} for name, chars in printed.items() if chars - {"\n"}} == {}


def test_no_message_event_or_result_holds_a_secret(run: Run) -> None:
    ours = [command for command in run.commands if _tells_others(command)]

    said = {str(number): _unfolded(command) for number, command in enumerate(ours)}
    kept = {key.decode(): str(run.redis.get(key)) for key in run.redis.scan_iter("celery-task-meta-*")}

    assert [text for text in said.values() if "callsheet.poll" in text]
    assert [text for text in said.values() if "task-succeeded" in text]
    assert run.leaks({**said, **kept}) == []


def _tells_others(command: str) -> bool:
    """Whether *command* sends a message or an event, but for the callers' own asking."""
    verb = command.partition(" ")[0].upper()
    is_asking = "callsheet.gen" in command or PROMPT + "\\" in command
    return verb == "PUBLISH" or (verb == "LPUSH" and not is_asking)


def _unfolded(command: str) -> str:
    """*command* with the body of its message as text."""
    found = re.search(r'\\?"body\\?": \\?"([A-Za-z0-9+/=]+)\\?"', command)
    return command + (base64.b64decode(found[1]).decode(errors="replace") if found else "")


def test_no_page_of_flower_holds_a_secret_or_runs_a_script(run: Run) -> None:
    url = f"http://127.0.0.1:{run.stack.env['FLOWER_PORT']}"
    user, _, password = run.stack.env["FLOWER_BASIC_AUTH"].partition(":")
    session = requests.Session()
    session.trust_env, session.auth = False, (user, password)
    workers = list(session.get(f"{url}/api/workers", params={"refresh": "1"}, timeout=30).json())
    pages = [
        *("/workers", "/tasks", "/broker", "/metrics", "/api/workers", "/api/tasks", "/api/queues/length"),
        *(f"/worker/{name}" for name in workers),
        *(f"{path}/{name}" for path in ("/task", "/api/task/info", "/api/task/result") for name in run.asked),
    ]

    told = {page: session.get(url + page, timeout=30) for page in pages}

    assert "later" in "".join(answer.text for page, answer in told.items() if page.startswith("/worker/"))
    assert run.leaks({page: answer.text for page, answer in told.items()}) == []
    shown = [page for page, answer in told.items() if "html" in answer.headers["Content-Type"]]
    assert [page for page in shown if "<script>alert" in told[page].text] == []


def test_no_object_in_the_bucket_holds_a_secret(run: Run) -> None:
    env, s3 = run.stack.env, run.s3()
    found = [one["Key"] for one in s3.list_objects_v2(Bucket=env["CALLSHEET_BUCKET"])["Contents"]]
    keys = [key for key in found if not key.startswith("pictures/")]  # the caller's own

    objects = {key: s3.get_object(Bucket=env["CALLSHEET_BUCKET"], Key=key) for key in keys}

    texts = {
        key: f"{found['Body'].read()!r} {found['Metadata']} {found['ContentType']}" for key, found in objects.items()
    }
    assert len([key for key in keys if key.endswith(".mp4")]) >= 5
    assert run.leaks({**texts, "keys": " ".join(keys)}, allowed=("prompt",)) == []
    assert [key for key in keys if not re.fullmatch(r"callsheet/[A-Za-z0-9_./-]+", key)] == []
    assert {found["ContentType"] for key, found in objects.items() if key.endswith(".mp4")} == {"video/mp4"}


def test_no_process_shows_a_secret_in_its_arguments(run: Run) -> None:
    arguments = {
        str(file): file.read_text(errors="replace") for file in Path("/proc").glob("[0-9]*/cmdline") if _is_ours(file)
    }

    assert any("celery" in text for text in arguments.values())
    assert run.leaks(arguments) == []


def _is_ours(file: Path) -> bool:
    try:
        return bool(file.read_bytes())
    except OSError:
        return False
