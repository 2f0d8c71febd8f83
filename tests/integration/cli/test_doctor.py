"""`callsheet doctor`: every fault it is there for is found, said in a line with what to do, and never a traceback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
import trustme

from deploy.local.sandbox_process import SandboxProcess
from deploy.local.tls import LocalTls
from deploy.sandbox.client import SandboxControl
from tests.integration.cli.conftest import Lives, Run
from tests.integration.hosts import serve
from worker import providers
from worker.bucket.bucket import Bucket
from worker.errors import BucketError, StoreError
from worker.jobs.states import JobState
from worker.operations.doctor import dependency_checks, store_checks
from worker.operations.doctor.findings import Finding, Mark
from worker.providers.base import Provider
from worker.services import open_store
from worker.settings.settings import Settings
from worker.store import Store
from worker.store.counters import Counter


@pytest.fixture
def control(sandbox: SandboxProcess) -> Iterator[SandboxControl]:
    plane = SandboxControl(sandbox.url, sandbox.ca_file)
    yield plane
    plane.reset()


@pytest.fixture
def gmicloud(environment: dict[str, str]) -> Provider:
    return providers.build(Settings.from_env(environment))["gmicloud"]


def bad(findings: Iterator[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.mark is not Mark.OK]


@pytest.mark.usefixtures("living")
def test_a_sound_system_is_ok_in_every_line(callsheet_process: Run) -> None:
    done = callsheet_process("doctor")

    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split("  ")[0] for line in done.stdout.splitlines()} == {"ok"}
    for part in (
        "configuration", "Redis", "durability", "eviction", "processes", "clock", "open <=> due", "counters",
        "networks", "messages", "broker", "results", "bucket", "records",
        "gmicloud", "evolink", "apimart", "clocks", "public URL",
    ):  # fmt: skip
        assert f"\nok    {part} " in f"\n{done.stdout}"


def test_json_is_a_finding_a_line(callsheet: Run) -> None:
    done = callsheet("doctor", "--json", env={"CALLSHEET_BUCKET": "NO", "CALLSHEET_REDIS_URL": None})

    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert {finding["mark"] for finding in findings} == {"FAIL"}


def test_every_bad_variable_is_a_failure_of_its_own(callsheet: Run) -> None:
    done = callsheet("doctor", env={"CALLSHEET_BUCKET": "NO", "CALLSHEET_REDIS_URL": None, "EVOLINK_API_KEY": "a b"})

    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert [line.split()[:3] for line in lines] == [
        ["FAIL", "configuration", name] for name in ("CALLSHEET_REDIS_URL", "CALLSHEET_BUCKET", "EVOLINK_API_KEY")
    ]


def test_an_unreachable_redis_fails_once_and_the_rest_is_still_looked_at(callsheet_process: Run) -> None:
    done = callsheet_process("doctor", env={"CALLSHEET_REDIS_URL": "redis://:secret-word@127.0.0.1:1/0"})

    failures = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert done.returncode == 1
    assert failures == ["Redis", "broker", "results"]
    assert "check CALLSHEET_REDIS_URL" in done.stdout
    assert "ok    bucket" in done.stdout
    assert "secret-word" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_wrong_password_is_a_failure(environment: dict[str, str]) -> None:
    url = environment["CALLSHEET_REDIS_URL"].replace("redis://:", "redis://:wrong")
    wrong = open_store(Settings.from_env({**environment, "CALLSHEET_REDIS_URL": url}))

    with pytest.raises(StoreError, match="Authentication"):
        list(store_checks.redis(wrong))


@pytest.fixture
def without_aof(redis_client: redis.Redis) -> Iterator[None]:
    redis_client.config_set("appendonly", "no")
    yield
    redis_client.config_set("appendonly", "yes")


@pytest.mark.usefixtures("without_aof")
def test_a_redis_that_can_lose_writes_is_a_loud_failure(store: Store) -> None:
    (finding,) = bad(store_checks.redis(store))

    assert finding.mark is Mark.FAIL
    assert "PAID FOR TWICE" in finding.seen
    assert "appendfsync always" in finding.advice


def test_a_redis_that_evicts_is_a_failure(store: Store, redis_client: redis.Redis) -> None:
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    redis_client.config_set("maxmemory", 10**9)
    try:
        (finding,) = bad(store_checks.redis(store))
    finally:
        redis_client.config_set("maxmemory", 0)
        redis_client.config_set("maxmemory-policy", "noeviction")

    assert finding.mark is Mark.FAIL
    assert "allkeys-lru" in finding.seen


def test_an_open_job_that_is_never_due_is_a_failure(store: Store, lives: Lives, redis_client: redis.Redis) -> None:
    lives.accept("lost")
    redis_client.zrem("callsheet:{0}:due", "lost")

    (finding,) = bad(store_checks.open_is_due(store))

    assert finding.mark is Mark.FAIL
    assert finding.seen.startswith("lost is open")


def test_a_due_entry_without_a_job_is_a_failure(store: Store, redis_client: redis.Redis) -> None:
    redis_client.zadd("callsheet:{0}:due", {"ghost": 1})

    (finding,) = bad(store_checks.open_is_due(store))

    assert finding.mark is Mark.FAIL


def test_many_breaches_are_told_in_few_lines(store: Store, redis_client: redis.Redis) -> None:
    redis_client.zadd("callsheet:{0}:due", {f"ghost-{n}": 1 for n in range(100)})

    findings = bad(store_checks.open_is_due(store))

    assert len(findings) == store_checks.SHOWN_BREACHES + 1
    assert findings[-1].seen == "and 95 more"


def test_a_step_that_holds_its_job_for_long_is_a_warning(store: Store, lives: Lives, redis_client: redis.Redis) -> None:
    lives.accept("held")
    assert store.due.claim("held", states=tuple(JobState), lease_ms=60_000) is not None
    before = bad(store_checks.clock(store))
    redis_client.hset(store.scripts.keys.of("held")[0], "leased_at", store.clock.now() - 20 * 60_000)

    (finding,) = bad(store_checks.clock(store))

    assert before == []
    assert "one step has held its job for 20 min" in finding.seen


def test_a_clock_that_stands_still_is_a_warning(store: Store, lives: Lives, redis_client: redis.Redis) -> None:
    lives.accept("waiting")
    redis_client.zadd("callsheet:{0}:due", {"waiting": store.clock.now() - 10 * 60_000})

    (finding,) = bad(store_checks.clock(store))

    assert finding.mark is Mark.WARN
    assert "1 have been due to be submitted for long, the oldest for 10 min" in finding.seen
    assert "beat and sweeper" in finding.advice


def test_counters_worth_alarm_are_warnings(store: Store) -> None:
    store.counters.add(Counter.CALLBACKS_ORPHANED)
    store.counters.add(Counter.SPEC_CONFLICTS, 3)

    findings = bad(store_checks.counters(store))

    assert [(finding.mark, finding.seen.partition(", last")[0]) for finding in findings] == [
        (Mark.WARN, "callbacks_orphaned is 1"),
        (Mark.WARN, "spec_conflicts is 3"),
    ]


@pytest.mark.parametrize("counter", [counter for counter in Counter if counter.is_grave])
def test_a_grave_counter_is_alarmed(store: Store, counter: Counter) -> None:
    store.counters.add(counter)

    (finding,) = bad(store_checks.counters(store))

    assert finding.mark is Mark.WARN
    assert finding.seen.startswith(f"{counter} is 1, last ")


def test_a_counter_that_nothing_was_added_to_for_a_week_is_no_warning_any_more(store: Store) -> None:
    store.counters.add(Counter.SPEC_CONFLICTS)
    store.scripts.client.hset("callsheet:{0}:counters", "spec_conflicts@", store.clock.now() - 8 * 24 * 3600_000)

    (finding,) = store_checks.counters(store)

    assert finding.mark is Mark.OK
    assert finding.seen.startswith("spec_conflicts is 1, last 8 d")


@pytest.mark.usefixtures("living")
def test_the_exit_status_tells_sound_from_warned_from_broken(callsheet: Run, store: Store) -> None:
    sound = callsheet("doctor").returncode
    store.counters.add(Counter.SPEC_CONFLICTS)
    warned, strict = callsheet("doctor").returncode, callsheet("doctor", "--strict").returncode
    store.scripts.client.zadd("callsheet:{0}:due", {"ghost": 1})
    broken = callsheet("doctor").returncode

    assert (sound, warned, strict, broken) == (0, 3, 1, 1)


@pytest.mark.usefixtures("living")
@pytest.mark.parametrize("kind", ["worker", "archiver", "sweeper", "beat"])
def test_each_kind_of_process_that_is_dead_is_seen(callsheet: Run, store: Store, kind: str) -> None:
    store.heartbeats.end([kind], host="here", pid=1)

    done, listed = callsheet("doctor"), callsheet("list", "--stuck")

    assert done.returncode == 3
    assert [line.split()[:4] for line in done.stdout.splitlines() if line.startswith("warn")] == [
        ["warn", kind, "no", kind]
    ]
    assert f"no {kind} is alive" in listed.stderr


@pytest.mark.usefixtures("living")
def test_a_redis_that_was_emptied_is_seen_by_the_jobs_that_the_bucket_has(
    callsheet: Run, environment: dict[str, str], store: Store
) -> None:
    bucket = Bucket.connect(environment["CALLSHEET_BUCKET"], "callsheet")
    bucket.manifests.put("archived", store.clock.now(), {"job_id": "archived"})
    bucket.intents.begin("in-flight", 1, 1, by="1:1", at=store.clock.now())

    done, listed = callsheet("doctor"), callsheet("list", "--stuck")

    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "Redis knows nothing of 2 of 2 jobs that the bucket has of today and yesterday, such as archived" in line
    assert "Redis knows nothing of 2 of 2 jobs" in listed.stderr


@pytest.fixture
def limited_store(environment: dict[str, str], redis_client: redis.Redis) -> Iterator[Store]:
    """A user of Redis who may ask nothing dangerous, INFO and CONFIG among it."""
    rights = ("on", ">word", "~*", "&*", "+@all", "-@dangerous")
    redis_client.execute_command("ACL", "SETUSER", "limited", *rights)  # type: ignore[no-untyped-call]
    address = f"redis://limited:word@{environment['CALLSHEET_REDIS_URL'].rpartition('@')[2]}"
    yield open_store(Settings.from_env({**environment, "CALLSHEET_REDIS_URL": address}))
    redis_client.execute_command("ACL", "DELUSER", "limited")  # type: ignore[no-untyped-call]


def test_what_our_user_may_not_ask_hides_nothing_else_and_fix_mends_all_the_same(
    environment: dict[str, str], limited_store: Store, lives: Lives, redis_client: redis.Redis
) -> None:
    lives.accept("lost")
    redis_client.zrem("callsheet:{0}:due", "lost")

    found = list(store_checks.records(Settings.from_env(environment), limited_store, fix=True))

    assert [finding.seen for finding in found if finding.mark is Mark.DONE] == [
        "lost was open but never due: it is due now"
    ]
    assert [finding.seen for finding in found if finding.mark is Mark.FAIL] == []
    assert "open <=> due" in {finding.what for finding in found}


def test_a_bucket_that_is_not_there_says_so(environment: dict[str, str]) -> None:
    with pytest.raises(BucketError, match="no such bucket here"):
        list(dependency_checks.archive(Bucket.connect("no-such-bucket", "callsheet")))


def test_a_bucket_that_is_not_ours_is_one_failure(callsheet_process: Run) -> None:
    done = callsheet_process("doctor", env={"AWS_ACCESS_KEY_ID": "somebody-else"})

    failures = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert done.returncode == 1
    assert len(failures) == 1
    assert failures[0].startswith("FAIL  bucket ")
    assert "S3 does not know our access key; check CALLSHEET_BUCKET, the AWS_ variables" in failures[0]


@pytest.mark.parametrize(
    ("status", "mark", "words"),
    [
        (401, Mark.FAIL, "does not take our key"),
        (403, Mark.FAIL, "does not take our key"),
        (404, Mark.WARN, "its key could not be checked"),
        (503, Mark.WARN, "its key could not be checked"),
    ],
)
def test_a_key_that_is_not_taken_is_told_from_one_that_could_not_be_checked(
    status: int, mark: Mark, words: str, gmicloud: Provider, control: SandboxControl
) -> None:
    control.script({"on": "list", "match": {"provider": "gmicloud"}, "status": status})

    (finding,) = bad(dependency_checks.key(gmicloud))

    assert finding.mark is mark
    assert words in finding.seen
    assert "key-of-a-test" not in finding.seen + finding.advice


def test_a_provider_that_cannot_be_reached_is_a_failure(environment: dict[str, str]) -> None:
    settings = Settings.from_env({**environment, "GMICLOUD_BASE_URL": "https://127.0.0.1:1"})

    (finding,) = bad(dependency_checks.key(providers.build(settings)["gmicloud"]))

    assert finding.mark is Mark.FAIL
    assert "cannot be reached" in finding.seen
    assert "GMICLOUD_BASE_URL" in finding.advice


def test_a_public_url_that_does_not_answer_is_a_warning(environment: dict[str, str]) -> None:
    public = {"CALLSHEET_PUBLIC_URL": "https://127.0.0.1:1", "CALLSHEET_CALLBACK_SECRETS": "s" * 32}

    (finding,) = bad(dependency_checks.public_url(Settings.from_env({**environment, **public})))

    assert finding.mark is Mark.WARN
    assert "does not answer from here" in finding.seen


def test_a_public_url_that_is_somebody_else_s_is_a_warning(environment: dict[str, str]) -> None:
    public = {"CALLSHEET_PUBLIC_URL": environment["EVOLINK_BASE_URL"], "CALLSHEET_CALLBACK_SECRETS": "s" * 32}

    (finding,) = bad(dependency_checks.public_url(Settings.from_env({**environment, **public})))

    assert finding.seen.endswith("/live answers 401")


@pytest.mark.parametrize(
    ("url", "marks"),
    [
        ("https://callsheet.example.com:8443", [Mark.FAIL]),
        ("https://callsheet.example.com", []),
        ("https://127.0.0.1:8443", []),
    ],
)
def test_a_port_that_a_provider_drops_is_broken(environment: dict[str, str], url: str, marks: list[Mark]) -> None:
    public = {"CALLSHEET_PUBLIC_URL": url, "CALLSHEET_CALLBACK_SECRETS": "s" * 32}
    settings = Settings.from_env({**environment, **public})

    found = list(dependency_checks.callback_ports(settings, providers.build(settings).values()))

    assert [finding.mark for finding in found] == marks
    assert all("apimart drops addresses of port 8443" in finding.seen for finding in found)


@pytest.mark.parametrize(
    ("days", "mark", "words"), [(20.5, Mark.WARN, "ends in 20 days"), (22.5, Mark.OK, "lasts for 22 days")]
)
def test_a_certificate_that_ends_soon_is_a_warning(tmp_path: Path, days: float, mark: Mark, words: str) -> None:
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=days))
    files = LocalTls(tmp_path)
    ca.cert_pem.write_to_path(str(files.ca_file))
    leaf.private_key_pem.write_to_path(str(files.key_file))
    leaf.cert_chain_pems[0].write_to_path(str(files.cert_file))

    with serve(files) as host:
        (finding,) = dependency_checks.certificate(f"https://127.0.0.1:{host.port}", files.context())

    assert finding.mark is mark
    assert words in finding.seen


@pytest.mark.parametrize(("off", "says"), [(600.0, "behind"), (-600.0, "ahead")])
def test_a_machine_whose_clock_is_another_than_that_of_redis_is_told(
    store: Store, gmicloud: Provider, off: float, says: str
) -> None:
    found = bad(dependency_checks.clocks(store, [], now=lambda: time.time() + off))

    assert [finding.what for finding in found] == ["clocks"]
    assert says in found[0].seen
    assert "NTP" in found[0].advice


def test_a_provider_whose_clock_is_another_than_that_of_redis_is_told(
    store: Store, gmicloud: Provider, control: SandboxControl
) -> None:
    control.advance(600)

    found = bad(dependency_checks.clocks(store, [gmicloud]))

    [seen] = [finding.seen for finding in found]
    assert seen.startswith("Redis and gmicloud differ: Redis is ")
    assert seen.endswith(" behind")


def test_equal_clocks_are_one_good_line(store: Store, gmicloud: Provider) -> None:
    [finding] = dependency_checks.clocks(store, [gmicloud])

    assert finding.mark is Mark.OK
    assert "gmicloud" in finding.seen


def test_another_callsheet_in_another_database_of_the_same_redis_is_seen(store: Store) -> None:
    client: redis.Redis = store.scripts.client
    options = client.connection_pool.connection_kwargs
    with redis.Redis(connection_pool=redis.ConnectionPool(**{**options, "db": 9})) as neighbour:
        before = dependency_checks.neighbours(client)
        neighbour.set("callsheet:{0}:shards", "1")

        assert (before, dependency_checks.neighbours(client)) == ([], [9])

        neighbour.flushdb()


def test_records_of_a_layout_that_is_not_known_are_told(store: Store) -> None:
    for job_id in ("known", "foreign"):
        store.jobs.accept(job_id, spec_json="{}", spec_sha256="a", provider="gmicloud", model="m")
    assert bad(store_checks.layouts(store)) == []
    record = store.scripts.keys.of("foreign")[0]
    store.scripts.client.hset(record, "v", "99")

    [finding] = bad(store_checks.layouts(store))

    assert finding.seen.startswith("1 records are of a layout that this Callsheet does not know")
    store.scripts.client.hset(record, "v", "1")
