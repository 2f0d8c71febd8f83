"""The whole system on this machine, from one directory: start, look, break, stop."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from deploy.local.datadir import DataDirectory
from deploy.local.environment import Ports, process_environment, real_providers
from deploy.local.externals import check_bucket, check_redis, refuse_jobs_of_others
from deploy.local.health import http_answers, log_says
from deploy.local.leftovers import end_leftovers
from deploy.local.ports import LOOPBACK, alone, free_port, is_free
from deploy.local.processes import Process, never
from deploy.local.procfile import read_procfile
from deploy.local.s3 import S3Server
from deploy.local.sandbox_process import SOURCE, SandboxProcess
from deploy.local.supervisor import Supervisor
from deploy.local.tls import LocalTls
from deploy.local.valkey import Valkey
from worker.errors import LocalError
from worker.settings.settings import PROVIDER_NAMES, Settings

USUAL_PORTS = {"receiver": 8440, "Flower": 5555, "console": 8001, "Valkey": 6380, "S3": 9000, "sandbox": 8441}
PORT_VARIABLES = {"receiver": "PORT", "Flower": "FLOWER_PORT", "console": "CALLSHEET_CONSOLE_PORT"}
READY_SECONDS = 60
STOP_SECONDS = 40.0
"""Longer than Celery's soft shutdown (`worker_soft_shutdown_timeout`), which gives messages back."""


class Stack:
    """Valkey, S3, TLS, sandbox and the processes of the Procfile, on free ports of the loopback.

    *env* is the environment of whoever starts it: what is set there is used
    instead of the embedded parts. *tell* hears one line about anything worth
    knowing. *usual_ports* are taken where they are free. A stack starts once.
    """

    def __init__(
        self,
        directory: Path,
        *,
        env: Mapping[str, str],
        tell: Callable[[str], None] = lambda _: None,
        usual_ports: Mapping[str, int] = MappingProxyType({}),
        generation_seconds: float | None = None,
        procfile: Path = SOURCE / "Procfile",
        cancelled: Callable[[], bool] = never,
        hurried: Callable[[], bool] = never,
    ) -> None:
        self.data = DataDirectory(directory)
        self.env: dict[str, str] = {}
        self.valkey: Valkey | None = None  # None: somebody's own Redis
        self.s3: S3Server | None = None  # None: somebody's own S3
        self._user = env
        self._tell = tell
        self._usual_ports = usual_ports
        self._generation_seconds = generation_seconds
        self._procfile = procfile
        self._promised_ports: set[int] = set()
        self._cancelled = cancelled
        self._supervisor = Supervisor(tell, cancelled=cancelled, hurried=hurried)

    @property
    def processes(self) -> dict[str, Process]:
        """Every running part by name: `valkey`, `s3`, `sandbox`, and those of the Procfile."""
        return self._supervisor.processes

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.env)

    def start(self) -> None:
        """Start everything in order; after a failure nothing is left running."""
        self.data.claim()
        try:
            with alone(self._cancelled):
                self._start()
        except BaseException:  # Ctrl-C too: whatever came, nothing stays behind
            self.stop()
            raise
        self._supervisor.watch()

    def stop(self) -> None:
        """Stop everything in reverse order; workers give back what they hold."""
        self._supervisor.stop()
        self.data.release()

    def kill(self, name: str) -> None:
        """SIGKILL the part *name* with all it started; it is restarted."""
        self.processes[name].kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        for ended in end_leftovers(self.data.logs):
            self._tell(f"{ended} was left running by an earlier system and has been ended")
        lines = read_procfile(self._procfile)
        secrets = self.data.secrets()
        tls = LocalTls(self.data.path / "tls").ensure()
        ports = Ports(web=self._port("receiver"), flower=self._port("Flower"), console=self._port("console"))
        self._prepare(secrets, tls, ports)
        self._check_externals()
        self._start_servers()
        self._start_processes(lines, tls, ports)
        self.data.write_env(self.env)

    def _check_externals(self) -> None:
        if url := self._user.get("CALLSHEET_REDIS_URL"):
            check_redis(url)
            sandboxed = set(PROVIDER_NAMES) - real_providers(self.env, self.sandbox).keys()
            refuse_jobs_of_others(Settings.from_env(self.env), sandboxed)
        if self._user.get("AWS_ENDPOINT_URL_S3"):
            check_bucket(self._user)

    def _prepare(self, secrets: Mapping[str, str], tls: LocalTls, ports: Ports) -> None:
        """Draw every server and the environment up, so that what is wrong shows before anything runs."""
        data, logs = self.data.path, self.data.logs
        if not self._user.get("CALLSHEET_REDIS_URL"):
            self.valkey = Valkey(data / "valkey", secrets["redis_password"], port=self._port("Valkey"), logs=logs)
        if not self._user.get("AWS_ENDPOINT_URL_S3"):
            keys = {"access_key": secrets["s3_access_key"], "secret_key": secrets["s3_secret_key"]}
            self.s3 = S3Server(data / "s3", port=self._port("S3"), tls=tls, logs=logs, **keys)
        self.sandbox = SandboxProcess(
            data, tls, port=self._port("sandbox"), logs=logs, generation_seconds=self._generation_seconds
        )
        self.env = process_environment(
            self._user,
            redis_url=self.valkey.url if self.valkey else self._user["CALLSHEET_REDIS_URL"],
            s3_env=self.s3.env if self.s3 else {},
            sandbox=self.sandbox,
            tls=tls,
            ports=ports,
            secrets=secrets,
        )
        Settings.from_env(self.env)

    def _start_servers(self) -> None:
        if self.valkey:
            self._supervisor.start(self.valkey.process)
        if self.s3:
            self._supervisor.start(self.s3.process)
            self.s3.create_bucket(self.env["CALLSHEET_BUCKET"])
        self._supervisor.start(self.sandbox.process)

    def _start_processes(self, lines: Mapping[str, str], tls: LocalTls, ports: Ports) -> None:
        """The receiver first, so that it is also the last to go; then the rest together."""
        signs = {
            "web": http_answers(f"https://{LOOPBACK}:{ports.web}/ready", context=self._receiver_context(tls)),
            "flower": http_answers(f"http://{LOOPBACK}:{ports.flower}/healthcheck"),
            "console": http_answers(f"http://{LOOPBACK}:{ports.console}/live"),
            "beat": log_says(r"beat: Starting"),
        }
        processes = [
            Process(
                name,
                ["/bin/sh", "-c", line],
                directory=SOURCE,
                logs=self.data.logs,
                env=self.env,
                is_ready=signs.get(name, log_says(r"\bready\.")),
                ready_seconds=READY_SECONDS,
                stop_seconds=STOP_SECONDS,
            )
            for name, line in lines.items()
        ]
        self._supervisor.start(*(process for process in processes if process.name == "web"))
        self._supervisor.start(*(process for process in processes if process.name != "web"))

    def _receiver_context(self, tls: LocalTls) -> ssl.SSLContext:
        """Trust in the receiver's certificate; one that somebody brought along need not name the loopback."""
        context = tls.context()
        if self.env["CALLSHEET_TLS_CERT"] != str(tls.cert_file):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def _port(self, name: str) -> int:
        """The port for *name*: what its variable says, else the usual one, else any free one."""
        variable, usual = PORT_VARIABLES.get(name, ""), self._usual_ports.get(name)
        if wanted := self._user.get(variable):
            port = _wanted_port(variable, wanted)
        else:
            port = free_port(usual, promised=self._promised_ports)
            if usual and port != usual:
                self._tell(f"port {usual} is in use: {name} is on {port} this time")
        self._promised_ports.add(port)
        return port


def _wanted_port(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise LocalError(f"{name} must be a port from 1 to 65535, got {text!r}")
    if not is_free(int(text)):
        raise LocalError(
            f"port {text} ({name}) is in use or not allowed: stop what listens there, or set another {name}"
        )
    return int(text)
