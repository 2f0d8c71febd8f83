"""The whole local system, with a small Procfile in place of the project's own."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.local.datadir import DataDirectory
from deploy.local.ports import free_port
from deploy.local.s3 import S3Server
from deploy.local.stack import Stack
from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from worker.errors import LocalError, SettingsError
from worker.store import Store, connect

PROCFILE = """\
# what a deployment runs
worker: echo "celery@here ready."; exec sleep 600
archiver: env > "$CALLSHEET_BUCKET.env"; echo "celery@here ready."; exec sleep 600
"""
LISTENING = "0A"  # proc(5), /proc/net/tcp: TCP_LISTEN
LOOPBACKS = {"0100007F", "00000000000000000000000001000000"}

MakeStack = Callable[..., Stack]


@pytest.fixture
def procfile(tmp_path: Path) -> Path:
    file = tmp_path / "Procfile"
    file.write_text(PROCFILE.replace("$CALLSHEET_BUCKET.env", str(tmp_path / "worker.env")))
    return file


@pytest.fixture
def make_stack(tmp_path: Path, procfile: Path) -> Iterator[MakeStack]:
    made = []

    def make(name: str = "data", *, said: list[str] | None = None, usual_ports: Any = (), **env: str) -> Stack:
        heard: list[str] = [] if said is None else said
        made.append(
            Stack(tmp_path / name, env=env, tell=heard.append, procfile=procfile, usual_ports=dict(usual_ports))
        )
        return made[-1]

    yield make
    for stack in made:
        stack.stop()


def test_everything_starts_in_order_and_works(make_stack: MakeStack) -> None:
    stack = make_stack()
    stack.start()

    assert list(stack.processes) == ["valkey", "s3", "sandbox", "worker", "archiver"]
    with redis.Redis.from_url(stack.settings.redis_url) as client:
        assert client.ping()
    assert [provider.base_url for provider in stack.settings.providers.values()] == [
        stack.sandbox.base_url(name) for name in stack.settings.providers
    ]
    assert stat.S_IMODE(stack.data.env_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((stack.data.path / "secrets.json").stat().st_mode) == 0o600


def test_nothing_listens_beyond_the_loopback(make_stack: MakeStack) -> None:
    stack = make_stack()
    stack.start()

    addresses = _listening_addresses({process.pid for process in stack.processes.values()})

    assert len(addresses) >= 3
    assert set(addresses) <= LOOPBACKS


def test_a_process_of_the_procfile_sees_our_environment_and_nothing_else(make_stack: MakeStack, tmp_path: Path) -> None:
    make_stack(
        HOME="/home/somebody",
        REQUESTS_CA_BUNDLE="/etc/other.pem",
        HTTPS_PROXY="http://proxy.example:3128",
        AWS_PROFILE="production",
        AWS_SESSION_TOKEN="theirs",
        CALLSHEET_RETENTION_DAYS="7",
    ).start()

    seen = dict(line.split("=", 1) for line in (tmp_path / "worker.env").read_text().splitlines())

    assert seen["CALLSHEET_RETENTION_DAYS"] == "7"
    assert seen["HOME"] == "/home/somebody"
    assert not seen.keys() & {"REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "AWS_PROFILE", "AWS_SESSION_TOKEN"}


def test_stop_leaves_nothing_running_and_start_finds_the_data_again(make_stack: MakeStack) -> None:
    first = make_stack()
    first.start()
    with redis.Redis.from_url(first.settings.redis_url) as client:
        client.set("kept", "yes")
    processes = list(first.processes.values())

    first.stop()
    second = make_stack()
    second.start()

    assert not any(process.is_running for process in processes)
    with redis.Redis.from_url(second.settings.redis_url) as client:
        assert client.get("kept") == b"yes"
    assert second.settings.callback_secrets == first.settings.callback_secrets


def test_a_killed_valkey_comes_back_with_its_data(make_stack: MakeStack, wait_until: WaitUntil) -> None:
    stack = make_stack()
    stack.start()
    assert stack.valkey is not None
    with redis.Redis.from_url(stack.valkey.url) as client:
        client.set("kept", "yes")

        stack.kill("valkey")
        wait_until(stack.valkey.is_answering)

        assert client.get("kept") == b"yes"


def test_a_second_system_in_the_same_directory_is_refused_and_told_who_has_it(make_stack: MakeStack) -> None:
    first = make_stack()
    first.start()

    with pytest.raises(LocalError, match=f"is in use by the local system with pid {os.getpid()}: stop that one"):
        make_stack().start()

    assert first.data.env_file.exists()


def test_a_second_system_in_another_directory_takes_other_ports(make_stack: MakeStack) -> None:
    first, second = make_stack("one"), make_stack("two")

    first.start()
    second.start()

    assert first.sandbox.port != second.sandbox.port


def test_two_systems_that_start_at_the_same_second_take_different_ports(make_stack: MakeStack) -> None:
    ports = {"sandbox": free_port(), "Valkey": free_port(), "S3": free_port()}
    stacks = [make_stack(name, usual_ports=ports) for name in ("one", "two")]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Stack.start, stacks))

    assert [stack.processes["worker"].is_running for stack in stacks] == [True, True]
    assert stacks[0].sandbox.port != stacks[1].sandbox.port


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_directory_that_others_can_enter_is_tightened(make_stack: MakeStack, tmp_path: Path, mask: int) -> None:
    data = tmp_path / ".callsheet" / "demo"
    before = os.umask(mask)
    try:
        data.mkdir(parents=True)
        directory = DataDirectory(data)
        directory.claim()
        directory.release()
    finally:
        os.umask(before)

    kept = {path: stat.S_IMODE(path.stat().st_mode) for path in (data.parent, data, data / "logs")}
    assert {path: mode & 0o077 for path, mode in kept.items()} == dict.fromkeys(kept, 0)


def test_a_usual_port_in_use_is_said_and_another_one_taken(make_stack: MakeStack) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = make_stack(usual_ports={"sandbox": port}, said=said)

        stack.start()

        assert stack.sandbox.port != port
        assert f"port {port} is in use: sandbox is on {stack.sandbox.port} this time" in said


def test_a_port_asked_for_and_in_use_is_refused_before_anything_runs(make_stack: MakeStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = make_stack(PORT=str(port))

        with pytest.raises(LocalError, match=rf"port {port} \(PORT\) is in use or not allowed"):
            stack.start()

    assert stack.processes == {}


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(make_stack: MakeStack, port: str) -> None:
    with pytest.raises(LocalError, match="PORT must be a port from 1 to 65535"):
        make_stack(PORT=port).start()


def test_bad_settings_are_all_named_before_anything_runs(make_stack: MakeStack) -> None:
    stack = make_stack(CALLSHEET_RETENTION_DAYS="soon", CALLSHEET_PROVIDERS="vidu")

    with pytest.raises(SettingsError, match=r"CALLSHEET_PROVIDERS .*CALLSHEET_RETENTION_DAYS"):
        stack.start()

    assert stack.processes == {}


def test_a_redis_of_somebody_else_is_used_when_named(make_stack: MakeStack, redis_url: str) -> None:
    stack = make_stack(CALLSHEET_REDIS_URL=redis_url)
    stack.start()

    assert "valkey" not in stack.processes
    assert stack.settings.redis_url == redis_url


def test_open_jobs_of_a_real_provider_are_never_taken_to_the_sandbox(make_stack: MakeStack, redis_url: str) -> None:
    accept_elsewhere(redis_url)

    with pytest.raises(LocalError, match="has 1 open jobs of evolink, which would be taken to the sandbox: unset"):
        make_stack(CALLSHEET_REDIS_URL=redis_url).start()


@pytest.mark.parametrize("own", [{"EVOLINK_API_KEY": "k"}, {"EVOLINK_BASE_URL": "https://127.0.0.1:9/evolink"}])
def test_open_jobs_go_on_where_their_provider_is_somebodys_own(
    own: dict[str, str], make_stack: MakeStack, redis_url: str
) -> None:
    accept_elsewhere(redis_url)
    stack = make_stack(CALLSHEET_REDIS_URL=redis_url, **own)

    stack.start()

    assert "worker" in stack.processes


def accept_elsewhere(redis_url: str) -> None:
    store = Store(connect(redis_url), retention_ms=1000)
    store.jobs.accept("theirs", spec_json="{}", spec_sha256="0" * 64, provider="evolink", model="m", request=None)


def test_a_redis_that_does_not_answer_is_said_in_words_without_its_password(make_stack: MakeStack) -> None:
    with pytest.raises(
        LocalError, match=r"no Redis answers at 127.0.0.1:1 \(CALLSHEET_REDIS_URL\): start it, or unset"
    ) as caught:
        make_stack(CALLSHEET_REDIS_URL="redis://:hunter2@127.0.0.1:1/0").start()

    assert "hunter2" not in str(caught.value)


def test_a_redis_url_that_is_none_is_a_bad_setting(make_stack: MakeStack) -> None:
    with pytest.raises(SettingsError, match="CALLSHEET_REDIS_URL must be"):
        make_stack(CALLSHEET_REDIS_URL="http://127.0.0.1:6379").start()


def test_a_redis_that_refuses_the_password_is_said_in_words(make_stack: MakeStack, valkey: Valkey) -> None:
    with pytest.raises(LocalError, match="refuses the password of CALLSHEET_REDIS_URL"):
        make_stack(CALLSHEET_REDIS_URL=f"redis://:wrong@127.0.0.1:{valkey.port}/0").start()


def test_an_s3_of_somebody_else_is_used_when_named(make_stack: MakeStack, s3: S3Server, bucket_name: str) -> None:
    stack = make_stack(CALLSHEET_BUCKET=bucket_name, **s3.env)
    stack.start()

    assert "s3" not in stack.processes
    assert stack.env["AWS_ENDPOINT_URL_S3"] == s3.endpoint_url


def test_an_s3_that_does_not_answer_is_said_in_words(make_stack: MakeStack, s3: S3Server) -> None:
    env = {**s3.env, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}

    with pytest.raises(
        LocalError, match=r"no S3 answers at 127.0.0.1:1 \(AWS_ENDPOINT_URL_S3, EndpointConnectionError\)"
    ):
        make_stack(CALLSHEET_BUCKET="videos", **env).start()


def test_a_bucket_that_is_not_there_is_said_in_words(make_stack: MakeStack, s3: S3Server) -> None:
    with pytest.raises(LocalError, match=r"there is no bucket nobodys-bucket at 127.0.0.1"):
        make_stack(CALLSHEET_BUCKET="nobodys-bucket", **s3.env).start()


def test_a_bucket_that_is_not_ours_is_said_in_words(make_stack: MakeStack, s3: S3Server, bucket_name: str) -> None:
    env = {**s3.env, "AWS_ACCESS_KEY_ID": "somebodyelse"}

    with pytest.raises(LocalError, match=f"the bucket {bucket_name} at .* is not ours to use"):
        make_stack(CALLSHEET_BUCKET=bucket_name, **env).start()


def test_an_s3_without_a_named_bucket_is_refused(make_stack: MakeStack, s3: S3Server) -> None:
    with pytest.raises(LocalError, match="CALLSHEET_BUCKET must name the bucket"):
        make_stack(**s3.env).start()


def test_a_provider_with_a_key_of_ones_own_is_the_real_one(make_stack: MakeStack) -> None:
    stack = make_stack(EVOLINK_API_KEY="own-key")
    stack.start()

    assert stack.settings.providers["evolink"].base_url is None, "its own"
    assert stack.settings.providers["gmicloud"].base_url == stack.sandbox.base_url("gmicloud")


def test_what_ones_own_settings_trust_stays_trusted(make_stack: MakeStack, tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.write_text("their certificate\n")
    stack = make_stack(CALLSHEET_CA_FILE=str(own), CALLSHEET_ALLOW_NETWORKS="10.1.0.0/16")
    stack.start()

    assert "their certificate" in Path(stack.env["CALLSHEET_CA_FILE"]).read_text()
    assert "BEGIN CERTIFICATE" in Path(stack.env["CALLSHEET_CA_FILE"]).read_text()
    assert stack.env["CALLSHEET_ALLOW_NETWORKS"] == "10.1.0.0/16,127.0.0.0/8,::1/128"


def test_a_directory_that_cannot_be_used_is_said_in_words(make_stack: MakeStack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(LocalError, match="file/data cannot be used for the local system: Not a directory"):
        make_stack("file/data").start()


def test_damaged_secrets_are_said_in_words_and_not_replaced(make_stack: MakeStack, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secrets.json").write_text("{")

    with pytest.raises(LocalError, match=r"secrets.json is damaged"):
        make_stack().start()

    assert (tmp_path / "data" / "secrets.json").read_text() == "{"


@pytest.mark.parametrize("line", ["web gunicorn", "web:", "worker: one\nworker: two"])
def test_a_procfile_that_is_none_is_refused_with_its_line(make_stack: MakeStack, procfile: Path, line: str) -> None:
    procfile.write_text(line + "\n")

    with pytest.raises(LocalError, match=r"Procfile line \d is not a new `name: command`"):
        make_stack().start()


def _listening_addresses(leaders: set[int]) -> list[str]:
    """Local addresses, in the kernel's hex, on which any process of the *leaders*' groups listens."""
    inodes = {
        match[1]
        for pid in _pids_of_groups(leaders)
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if (match := re.fullmatch(r"socket:\[(\d+)]", str(descriptor.readlink())))
    }
    rows = [line.split() for file in ("tcp", "tcp6") for line in Path("/proc/net", file).read_text().splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == LISTENING and row[9] in inodes]


def _pids_of_groups(leaders: set[int]) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in pids if _group(pid) in leaders]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
