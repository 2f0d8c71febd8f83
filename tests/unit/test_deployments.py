"""The shipped deployments, as far as they can be judged without a cluster."""

from __future__ import annotations

import configparser
import ipaddress
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.local.procfile import read_procfile

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROCESSES = read_procfile(ROOT / "Procfile")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OBJECTS = [
    document
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text())
]
DEPLOYMENTS = {found["metadata"]["labels"]["process"]: found for found in OBJECTS if found["kind"] == "Deployment"}
POLICIES = {found["metadata"]["name"]: found["spec"] for found in OBJECTS if found["kind"] == "NetworkPolicy"}
UNIT = DEPLOY / "systemd" / "callsheet@.service"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def pod(process: str) -> dict[str, Any]:
    found: dict[str, Any] = DEPLOYMENTS[process]["spec"]["template"]["spec"]
    return found


def test_every_process_of_the_procfile_is_deployed() -> None:
    assert set(COMPOSE["services"]) - {"valkey"} == set(PROCESSES)
    assert [COMPOSE["services"][name]["command"] for name in PROCESSES] == [[name] for name in PROCESSES]
    assert set(DEPLOYMENTS) == set(PROCESSES)
    assert [pod(name)["containers"][0]["args"] for name in PROCESSES] == [[name] for name in PROCESSES]


@pytest.mark.parametrize("process", PROCESSES)
def test_image_and_unit_start_the_procfiles_own_line(process: str, tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("".join(f"{name}: echo started {name}\n" for name in PROCESSES))
    [entry] = re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE, re.MULTILINE)
    [line] = re.findall(r"^ExecStart=/bin/sh -ec '(.*)'$", UNIT.read_text(), re.MULTILINE)
    commands = [[*yaml.safe_load(entry), process], ["/bin/sh", "-ec", line.replace("%i", process)]]

    outputs = [subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout for command in commands]

    assert outputs == [f"started {process}\n"] * 2


def test_no_process_is_the_first_of_its_container_which_takes_no_sigterm_before_it_has_a_handler() -> None:
    assert {COMPOSE["services"][name]["init"] for name in PROCESSES} == {True}
    assert {pod(name)["shareProcessNamespace"] for name in PROCESSES} == {True}


@pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=COMPOSE["services"])
def test_a_composed_container_may_do_next_to_nothing(service: dict[str, Any]) -> None:
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert int(service["user"].partition(":")[0]) > 0
    assert "privileged" not in service
    assert [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("process", PROCESSES)
def test_a_pod_may_do_next_to_nothing(process: str) -> None:
    spec = pod(process)
    [container] = spec["containers"]

    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 10001)
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert [list(volume) for volume in spec["volumes"]] == [["name", "emptyDir"]]


def test_the_receiver_is_probed_where_it_answers() -> None:
    [container] = pod("web")["containers"]

    assert container["livenessProbe"]["httpGet"]["path"] == "/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_flower_wants_a_password_is_bounded_only_shows_and_is_seen_from_this_machine_only() -> None:
    line = PROCESSES["flower"]
    [container] = pod("flower")["containers"]

    assert line.startswith(': "${FLOWER_BASIC_AUTH:?')
    assert "--read_only" in line
    assert "--max_tasks=${FLOWER_MAX_TASKS:-2000}" in line, "its own limit of 100,000 rows is hundreds of megabytes"
    assert "--address=${FLOWER_ADDRESS:-127.0.0.1}" in line
    assert COMPOSE["services"]["flower"]["ports"] == ["127.0.0.1:5555:5555"]
    assert "env" not in container
    assert "ports" not in container
    assert [found for found in OBJECTS if found["kind"] in ("Service", "Ingress") and "flower" in str(found)] == []


def test_without_a_password_flower_does_not_start(tmp_path: Path) -> None:
    line = PROCESSES["flower"].replace("exec celery", "echo started")

    ended = subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, env={}, capture_output=True, text=True, check=False)

    assert ended.returncode != 0
    assert (ended.stdout, "FLOWER_BASIC_AUTH" in ended.stderr) == ("", True)


def test_who_is_not_named_may_not_speak_to_a_pod_nor_a_pod_to_them() -> None:
    nothing = POLICIES["callsheet-nothing"]

    assert nothing == {"podSelector": {"matchLabels": {"app": "callsheet"}}, "policyTypes": ["Ingress", "Egress"]}
    assert [name for name, policy in POLICIES.items() if "ingress" in policy] == ["callsheet-callbacks"]
    assert POLICIES["callsheet-callbacks"]["podSelector"]["matchLabels"]["process"] == "web"


@pytest.mark.parametrize(
    "inside", ["169.254.169.254", "10.0.0.1", "172.31.0.1", "192.168.1.1", "127.0.0.1", "100.100.100.200"]
)
def test_no_pod_reaches_the_inside_by_way_of_the_internet(inside: str) -> None:
    [rule] = POLICIES["callsheet-internet"]["egress"]
    blocks = [peer["ipBlock"] for peer in rule["to"]]

    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    address = ipaddress.ip_address(inside)
    assert not any(
        _holds(block["cidr"], address) and not any(_holds(e, address) for e in block["except"]) for block in blocks
    )


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address in ipaddress.ip_network(network)


def test_the_image_is_built_of_hashed_files_and_runs_as_nobody() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]

    assert "--require-hashes" in DOCKERFILE
    assert [line for line in DOCKERFILE.splitlines() if "pip install" in line and "--no-index" not in line] == []
    assert re.findall(r"^USER (.*)$", last_stage, re.MULTILINE) == ["10001:10001"]
    assert "ARG" not in DOCKERFILE, "what is given while building stays in the image's history"


def test_the_unit_gives_up_what_the_kernel_lets_it_give_up() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read(UNIT)
    service = dict(unit["Service"])

    assert (service["User"], service["NoNewPrivileges"], service["ProtectSystem"]) == ("callsheet", "yes", "strict")
    assert (service["CapabilityBoundingSet"], service["RestrictAddressFamilies"]) == ("", "AF_INET AF_INET6 AF_UNIX")
    assert "link-local" in service["IPAddressDeny"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_understands_the_unit_and_finds_little_exposure() -> None:
    env = {"PATH": os.environ["PATH"], "SYSTEMD_COLORS": "0"}

    verified, exposed = (
        subprocess.run(["systemd-analyze", *command, str(UNIT)], env=env, capture_output=True, text=True, timeout=60)
        for command in (["verify"], ["security", "--offline=true"])
    )

    assert (verified.returncode, verified.stderr) == (0, "")
    level = re.search(r"Overall exposure level .*: ([0-9.]+)", exposed.stdout)
    assert level is not None
    assert float(level[1]) < 2.0
