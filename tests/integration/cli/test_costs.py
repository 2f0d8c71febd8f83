"""`callsheet costs`: sums by what is asked for, as a table, JSON or CSV, with one total."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from tests.integration.store.conftest import RETENTION, Lives
from tests.integration.store.test_store_ledger import accepted, begun, moved, submitted
from worker.cli import main
from worker.jobs.states import JobState
from worker.operations import costs
from worker.store import Store, connect

Run = Callable[..., Result]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def store(client: redis.Redis) -> Store:
    return Store(client, retention_ms=RETENTION)


@pytest.fixture
def lives(store: Store) -> Lives:
    """Three jobs: acme's spent, zeta's unknown, and one without a tenant returned."""
    lives = Lives(store)
    submitted(lives, "job-1", tenant="acme")
    moved(lives, JobState.GENERATED, "job-1")
    accepted(lives, "job-2", tenant="zeta")
    begun(lives, "job-2")
    moved(lives, JobState.UNCONFIRMED, "job-2")
    accepted(lives, "job-3")
    begun(lives, "job-3")
    moved(lives, JobState.ACCEPTED, "job-3", try_no=1)
    return lives


@pytest.fixture
def callsheet(redis_url: str, lives: Lives) -> Run:
    env = {
        "CALLSHEET_REDIS_URL": redis_url,
        "CALLSHEET_BUCKET": "bucket",
        "EVOLINK_API_KEY": "k",
        "CALLSHEET_DAILY_BUDGET": "2",
        "CALLSHEET_TENANT_DAILY_BUDGET": "acme=1",
    }
    return lambda *args: CliRunner().invoke(main, ["costs", *args], env=env)


def test_rows_are_by_what_is_asked_for_and_add_up(callsheet: Run) -> None:
    told: dict[str, Any] = json.loads(callsheet("--by", "tenant,provider", "--json").output)

    assert [(row["tenant"], row["provider"], row["total"]["usd"]) for row in told["rows"]] == [
        ("", "evolink", "0.000000"),
        ("acme", "evolink", "0.560000"),
        ("zeta", "evolink", "0.560000"),
    ]
    for name in (*costs.STANDINGS, "total"):
        rows = sum((Decimal(row[name]["usd"]) for row in told["rows"]), Decimal(0))
        assert Decimal(told["total"][name]["usd"]) == rows
    assert told["total"]["total"] == {"jobs": 2, "seconds": 10.0, "usd": "1.120000", "unpriced": 0}
    assert told["total"]["returned"]["usd"] == "0.560000"


def test_caps_are_told_with_them(callsheet: Run) -> None:
    told = json.loads(callsheet("--json").output)["caps"]

    assert [(row["cap"], row["tenant"], row["limit"], row["used"], row["percent"]) for row in told] == [
        ("daily", None, "2", "1.120000", 56.0),
        ("monthly", None, None, "1.120000", None),
        ("tenant", "acme", "1", "0.560000", 56.0),
    ]


def test_csv_has_a_line_for_each_row_and_the_total_last(callsheet: Run) -> None:
    lines = list(csv.DictReader(io.StringIO(callsheet("--by", "day", "--csv").output)))

    today = datetime.now(UTC).date().isoformat()
    assert [(line["day"], line["spent_usd"], line["unknown_usd"], line["total_usd"]) for line in lines] == [
        (today, "0.560000", "0.560000", "1.120000"),
        ("total", "0.560000", "0.560000", "1.120000"),
    ]


def test_the_table_ends_with_the_total_and_the_caps(callsheet: Run) -> None:
    printed = callsheet("--by", "tenant").output

    assert "total" in printed
    assert "1.120000" in printed
    assert "daily cap: 1.120000 of 2 USD, 56.0 %" in printed
    assert "tenant cap of acme: 0.560000 of 1 USD" in printed


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--by", "mood"), "by: knows no mood; it takes day, month, provider, model, tenant"),
        (("--by", "day,day"), "by: names one of them twice"),
        (("--since", "soon"), "since: must be a UTC day such as 2026-11-01, or a span such as 30d"),
        (("--since", "500d"), "since: sums are kept 400 days"),
        (("--until", "30d"), "until: must be a UTC day such as 2026-11-01"),
        (("--csv", "--json"), "give one of them"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(callsheet: Run, args: tuple[str, ...], words: str) -> None:
    result = callsheet(*args)

    assert result.exit_code != 0
    assert words in result.output
    assert "Traceback" not in result.output


def test_the_unknown_is_told_with_its_jobs(store: Store, lives: Lives) -> None:
    told = costs.exposure(store)

    assert (told["usd"], told["jobs"], told["more"]) == ("0.560000", 1, False)
    assert [(row["job_id"], row["state"], row["usd"], row["tenant"]) for row in told["rows"]] == [
        ("job-2", "unconfirmed", "0.560000", "zeta")
    ]
