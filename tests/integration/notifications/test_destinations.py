"""A notification goes where it may and nowhere else, whatever its URL, its DNS or its receiver says."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from deploy.local.tls import LocalTls
from tests.integration.guard.conftest import Recorder
from tests.integration.hosts import Host, Talk, chunked, ok, serve
from tests.integration.notifications.conftest import Notified, with_notifications
from tests.integration.notifications.receiver import SECRET, Receiver, receiving
from tests.integration.steps.conftest import JOB, Scene
from worker.errors import SpecConflict, SpecError
from worker.guard.addresses import Address
from worker.guard.destinations import Destination
from worker.guard.post import Poster
from worker.notifications.delivery import Delivery, Notifications
from worker.steps import Step, accept

SECONDS = 2.0
URL = "https://backend.example.com/hook?token=canary-5f1e"


def notifications(**options: Any) -> Notifications:
    return Notifications(secrets=(SECRET,), default_url=None, poster=Poster(total_seconds=SECONDS, **options))


def resolving_to(*rounds: str) -> Any:
    """A DNS that answers with the next of *rounds* each time, and with the last from then on."""
    left = list(rounds)

    def resolve(_host: str, _port: int) -> Sequence[Address]:
        return [ipaddress.ip_address(left.pop(0) if len(left) > 1 else left[0])]

    return resolve


def told(delivery: Delivery) -> str:
    """Why nothing was sent; the URL's token never stands in it."""
    assert delivery.status is None
    assert "canary" not in delivery.error
    return delivery.error


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "0.0.0.0"])
def test_no_connection_is_made_to_an_address_that_is_not_public(address: str) -> None:
    dialled = Recorder()

    delivery = notifications(resolve=resolving_to(address), dial=dialled).send_test(URL)

    assert dialled.dialled == []
    assert "backend.example.com at" in told(delivery)


def test_a_name_that_is_public_at_first_is_looked_at_anew_each_time_and_pinned() -> None:
    """DNS rebinding: the connection goes to the address that was checked, and each try checks its own."""
    dialled = Recorder()
    sender = notifications(resolve=resolving_to("93.184.216.34", "127.0.0.1"), dial=dialled)

    first, second = sender.send_test(URL), sender.send_test(URL)

    assert dialled.dialled == ["93.184.216.34"]
    assert "does not take a connection" in told(first)
    assert "at 127.0.0.1, not a public address" in told(second)


def test_metadata_is_not_reached_through_a_listed_name() -> None:
    dialled = Recorder()
    listed = [Destination.parse("http://metadata.internal"), Destination.parse(".internal")]

    for url in ("http://metadata.internal/latest/meta-data/", "https://metadata.internal/"):
        sender = notifications(resolve=resolving_to("169.254.169.254"), dial=dialled, listed=listed)
        assert "never sent to" in told(sender.send_test(url))

    assert dialled.dialled == []


def test_a_listed_host_is_reached_by_plain_http(notified: Notified) -> None:
    with receiving(None) as plain:
        scene = with_notifications(notified.scene, plain)
        scene.archived(notify_url=plain.url())

        scene.follow()

        assert plain.received[0].verified()["type"] == "job.archived"


def test_a_certificate_for_another_name_is_refused(tls: LocalTls, receiver: Receiver) -> None:
    listed = [Destination.parse(f"other.internal:{receiver.port}")]
    sender = notifications(resolve=resolving_to("127.0.0.1"), listed=listed, ca_file=str(tls.ca_file))

    delivery = sender.send_test(f"https://other.internal:{receiver.port}/")

    assert "no trusted TLS connection" in told(delivery)
    assert receiver.received == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://backend.example.com/", "notify_url: is plain HTTP"),
        ("https://backend.example.com:8443/", "notify_url: names port 8443"),
        ("https://169.254.169.254/latest", "notify_url: leads to 169.254.169.254, which is never sent to"),
        ("https://10.0.0.1/", "notify_url: leads to 10.0.0.1, not a public address"),
        ("https://localhost/", "notify_url: names a private host"),
        ("https://2130706433/", "notify_url: leads to 127.0.0.1"),
    ],
)
def test_what_could_never_be_sent_is_refused_at_acceptance(notified: Notified, url: str, words: str) -> None:
    scene = notified.scene

    with pytest.raises(SpecError) as refused:
        accept.run(JOB, scene.spec("gmicloud", notify_url=url), scene.services)

    assert [problem for problem in refused.value.problems if problem.startswith(words)]
    assert scene.store.jobs.get(JOB) is None


def test_without_secrets_a_notify_url_is_refused_with_what_to_set(scene: Scene) -> None:
    with pytest.raises(SpecError, match="CALLSHEET_NOTIFY_SECRETS is not set"):
        accept.run(JOB, scene.spec("gmicloud", notify_url="https://backend.example.com/"), scene.services)


def test_a_public_host_is_accepted_whatever_its_name_resolves_to_now(notified: Notified) -> None:
    job = notified.scene.accepted(notify_url="https://backend.example.com/hook")

    assert job.notified_ver == 0


def test_another_notify_url_is_another_spec(notified: Notified) -> None:
    notified.scene.accepted(notify_url="https://backend.example.com/a")

    with pytest.raises(SpecConflict):
        notified.scene.accepted(notify_url="https://backend.example.com/b")


def test_a_job_without_a_url_is_told_where_all_are(notified: Notified) -> None:
    scene = with_notifications(notified.scene, notified.receiver, notify_url=notified.receiver.url("/all"))
    scene.archived()

    scene.follow()

    assert [one.path for one in notified.receiver.received] == ["/all"]


def test_a_host_that_is_listed_no_more_is_tried_in_vain_and_says_so(notified: Notified) -> None:
    notified.final()
    scene = with_notifications(notified.scene, notified.receiver, notify_hosts=())

    scene.run(Step.NOTIFY)

    (tried,) = scene.store.notifications.deliveries(JOB)
    assert "CALLSHEET_NOTIFY_HOSTS" in tried["error"]
    assert notified.receiver.received == []
    assert scene.job().is_open


def _answered(tls: LocalTls, answer: Any) -> Delivery:
    with serve(tls) as host:
        host.answer(answer, "/hook")
        return _sent(host, tls)


def _sent(host: Host, tls: LocalTls) -> Delivery:
    listed = [Destination.parse(f"localhost:{host.port}")]
    return notifications(listed=listed, ca_file=str(tls.ca_file)).send_test(host.url("/hook"))


def test_an_endless_answer_is_a_success_of_which_the_beginning_is_kept(tls: LocalTls) -> None:
    def endless(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\n\r\n")
        talk.repeat(b"taken ")

    delivery = _answered(tls, endless)

    assert delivery.is_delivered
    assert delivery.words == ("taken " * 40)[:200]


def test_a_body_that_never_comes_does_not_undo_the_success(tls: LocalTls) -> None:
    delivery = _answered(tls, ok(b"take", length=1000))

    assert delivery.is_delivered
    assert delivery.words in ("", "take")


def test_a_receiver_that_never_answers_is_given_up(tls: LocalTls) -> None:
    delivery = _answered(tls, lambda talk: talk.closing.wait(10))

    assert delivery.status is None
    assert not delivery.is_host_up
    assert 1000 <= delivery.milliseconds < 60_000


def test_a_receiver_that_drips_its_head_is_given_up(tls: LocalTls) -> None:
    def drip(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not talk.closing.wait(0.05):
            talk.say(b"a")

    delivery = _answered(tls, drip)

    assert delivery.status is None
    assert not delivery.is_delivered


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 2xx\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000]
)
def test_what_is_no_http_is_a_failure_in_words(tls: LocalTls, answer: bytes) -> None:
    delivery = _answered(tls, answer)

    assert delivery.status is None
    assert delivery.error


def test_an_answer_in_chunks_is_read(tls: LocalTls) -> None:
    delivery = _answered(tls, chunked(b"tak", b"en"))

    assert (delivery.status, delivery.words) == (200, "taken")


def test_what_a_receiver_says_is_kept_as_one_printable_line_without_links(tls: LocalTls) -> None:
    said = b"\x1b[31mno\r\n\x00 see https://backend.example.com/?token=1 \xff"

    delivery = _answered(tls, ok(said))

    assert delivery.words.isprintable()
    assert "https" not in delivery.words
    assert delivery.words.startswith("no")


def test_nothing_of_the_url_but_its_host_is_kept_or_logged(
    notified: Notified, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    scene = notified.scene
    scene.archived(notify_url=f"{notified.receiver.url()}?token=canary-5f1e")
    scene.services = replace(scene.services)

    scene.follow()

    assert notified.receiver.received[0].path == "/hook?token=canary-5f1e"
    assert "canary" not in json.dumps(scene.store.notifications.deliveries(JOB))
    assert all("canary" not in str(record.__dict__) for record in caplog.records)
