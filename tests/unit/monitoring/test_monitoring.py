"""Rules and dashboard ask only for what the collector tells, and each alert leads to a heading of the runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.core import Metric

from worker.operations.metrics import RedisCollector
from worker.settings.settings import Settings
from worker.store import Store

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
NAME = re.compile(r"callsheet_[a-z_]+")
ENV = {
    "CALLSHEET_REDIS_URL": "redis://h",
    "CALLSHEET_BUCKET": "bucket",
    "EVOLINK_API_KEY": "k",
    "CALLSHEET_DAILY_BUDGET": "50",
}
PROMTOOL = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here: apt install prometheus")


def told() -> set[str]:
    """Every name of a sample that the collector can tell."""
    store = Store(fakeredis.FakeRedis(decode_responses=True), retention_ms=1)
    store.due.begin_sweep()
    return {name for metric in RedisCollector(Settings.from_env(ENV), store).collect() for name in _names(metric)}


def _names(metric: Metric) -> Iterator[str]:
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
    yield from (metric.name + end for end in ends)


def test_rules_ask_only_for_what_is_told() -> None:
    assert {name for rule in RULES for name in NAME.findall(rule["expr"])} - told() == set()


def test_the_dashboard_asks_only_for_what_is_told() -> None:
    asked = {name for panel in PANELS for target in panel["targets"] for name in NAME.findall(target["expr"])}

    assert asked - told() == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_each_alert_leads_to_a_heading_of_the_runbook(rule: dict[str, Any]) -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "deploy" / "runbook.md").read_text(), re.MULTILINE)

    assert rule["annotations"]["runbook"] in headings
    assert rule["labels"]["severity"] in {"page", "warn"}


def test_each_alert_is_tried_both_ways() -> None:
    tests = yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    tried = [(case["alertname"], bool(case["exp_alerts"])) for test in tests for case in test["alert_rule_test"]]

    assert sorted(tried) == sorted((rule["alert"], fires) for rule in RULES for fires in (True, False))


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    corners = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS]

    assert len(set(corners)) == len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


@PROMTOOL
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["check", "rules", "--lint=all", "--lint-fatal", "rules.yml"], id="rules"),
        pytest.param(["check", "config", "--syntax-only", "prometheus.yml"], id="scrape configuration"),
        pytest.param(["test", "rules", "rules_test.yml"], id="when the rules fire"),
    ],
)
def test_prometheus_own_tool_passes(command: list[str]) -> None:
    judged = subprocess.run(
        ["promtool", *command], cwd=MONITORING, capture_output=True, text=True, check=False, timeout=60
    )

    assert judged.returncode == 0, judged.stdout + judged.stderr
