"""A bad variable is refused by its name, in a line that quotes no secret, before anything starts."""

from __future__ import annotations

import pytest

from worker import providers
from worker.errors import SettingsError
from worker.settings.settings import Settings

CANARY = "s3cr3t-that-nobody-may-read"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEEDED = {
    "CALLSHEET_REDIS_URL": "redis://localhost",
    "CALLSHEET_BUCKET": "videos",
    "EVOLINK_API_KEY": "key",
    "CALLSHEET_CALLBACK_SECRETS": "c" * 32,
}
REFUSED = {
    "CALLSHEET_REDIS_URL": [
        "x",
        f"http://u:{CANARY}@h",
        f"redis://u:{CANARY}@h:port",
        f"redis://u:{CANARY}@[::1",
        f"redis://u:{CANARY}@h\u2100",
        f"redis://u:{CANARY}/x@h:1",
        f"redis://:{CANARY}#x@h:1/0",
        f"redis://u:{CANARY}@h/x",
        f"redis://u:{CANARY}@h?db={CANARY}",
        f"redis://u:{CANARY}@h?socket_timeout=soon",
        f"redis://u:{CANARY}@h?socket_timeout=5",
        f"redis://u:{CANARY}@h?ssl_ca_certs=/ca.pem",
        f"redis://u:{CANARY}@h?max_connections=5",
        f"redis://u:{CANARY}@h?{CANARY}",
        f"rediss://u:{CANARY}@h?ssl_cert_reqs=none",
        f"rediss://u:{CANARY}@h?ssl_cert_reqs=CERT_OPTIONAL",
        f"rediss://u:{CANARY}@h?ssl_check_hostname=false",
        f"rediss://u:{CANARY}@h?ssl_min_version=771",
        "redis://:123?45@h:6379/0",
        "redis://:123/45@h:6379/0",
        "redis://:123#45@h:6379/0",
        "redis://:6379/0",
        "cluster://h?ssl_ca_certs=/ca.pem",
        "unix:///run/redis.sock",
        "redis://h:99999",
        "redis://h:-1",
        "REDIS://h",
        "sentinel://",
        "sentinel://a:1;b:2",
    ],
    "CALLSHEET_BROKER_URL": [
        f"kafka://{CANARY}",
        "memory://",
        f"sqs://{CANARY}@",
        "filesystem://",
        "redis+socket://x",
        "pyamqp://h",
        f"amqp://u:{CANARY}@h:x",
        "amqp://u:12/34@h/vhost",
        "amqp://u:12?34@h/vhost",
        f"rediss://u:{CANARY}@h?ssl_check_hostname=false",
    ],
    "CALLSHEET_RESULT_BACKEND": [
        f"db+sqlite:///{CANARY}",
        f"redis://u:{CANARY}@h:x",
        "cache+memory://",
        "unix:///run/x",
    ],
    "CALLSHEET_PUBLIC_URL": [
        "http://h",
        "https://",
        "https://u@h",
        f"https://:{CANARY}@h",
        f"https://h/?{CANARY}",
        "https://h/#a",
        "https://h?",
        "https://h#",
        "https://h/ x",
        "https://h\\x",
        "https://h\tx/",
        "https://[::1",
        "https://h:0x50",
        "https://h:99999",
        "https://h/\u00e9",
        "https://h/<x>",
        "//h",
    ],
    "EVOLINK_BASE_URL": ["http://h", f"https://u:{CANARY}@h", "https://", "x"],
    "CALLSHEET_CALLBACK_SECRETS": [CANARY, ",", f"{'x' * 32},{CANARY}"],
    "CALLSHEET_BUCKET": ["B", "a", "a_b", "b" * 64, "a/b", "s3://bucket", "a..b", "192.168.0.1", "a\nb", "-a-"],
    "CALLSHEET_BUCKET_PREFIX": ["/", "a//b", "../x", "a/../b", "a b", "x" * 201, "\u00e9", "a\nb", ".", "a/./b"],
    "CALLSHEET_PROVIDERS": ["x", "evolink,x", "EVOLINK", ";", "gmicloud"],
    "EVOLINK_API_KEY": [f"{CANARY} x", f"{CANARY}\r\nX: 1", f"\u00e9{CANARY}", f"{CANARY}\x00"],
    "EVOLINK_MAX_CONCURRENT": ["0", "-1", "1.5", "x", "\uff11", "9999999", "1e3", "+5", "\u0663"],
    "EVOLINK_REQUESTS_PER_MINUTE": ["1", "0", "nan"],
    "EVOLINK_PRICES": ["x", "a=b", "a=-1", "a=1,a=2", "a@=1", "nan=nan", "a=1e9", "a=99999", "no-such-model=1"],
    "EVOLINK_FIELD_NAMES": ["x", "a=b=c", "a= b", "__class__=x", "nosuch=x", "first_frame="],
    "CALLSHEET_DAILY_BUDGET": ["0", "-1", "nan", "inf", "1e5", "1,5", "99999999", "0.0000001", "\u0661"],
    "CALLSHEET_RETENTION_DAYS": ["0", "3651", "-1", "1.5", "x", "\u0663", "\u00b2", "1" * 5000],
    "CALLSHEET_ALLOW_NETWORKS": ["x", "127.0.0.1/33", "127.0.0.1/8", "127.0.0.0/8;x"],
    "CALLSHEET_MEDIA_HOSTS": ["*", "*.x.com", "x", "http://x.com", "x.com:443", "x.com/", "\u00e9.com", ".com", "a..b"],
    "CALLSHEET_CA_FILE": ["/nope", "/"],
    "CALLSHEET_S3_SSE": ["yes", "aes256", "aws:kms:", f"aws:kms:{CANARY} x", "aws:kms:a\nb", "aws:kms:dsse:x y"],
    "CALLSHEET_CONFIRM_CALLBACKS": ["yes", "1", CANARY],
    "CALLSHEET_NOTIFY_SECRETS": [
        *("x", CANARY, "whsec_", f"whsec_{CANARY}", "whsec_" + "A" * 28, "whsec_" + "A" * 92, ","),
        f"{WEBHOOK_SECRET},{CANARY}",
    ],
    "CALLSHEET_NOTIFY_HOSTS": [
        *("ftp://h", "h/path", f"u:{CANARY}@h", "*.h", "h:x", "169.254.169.254", "http://[fd00:ec2::254]", "a,,b c"),
    ],
    "CALLSHEET_NOTIFY_URL": ["x", "http://backend.example.com/", "https://10.0.0.1/", f"https://u:{CANARY}@h.de/"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts], ids=lambda value: value[:40]
)
def test_what_a_variable_may_not_be_is_told_by_its_name_alone(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        providers.build(Settings.from_env({**NEEDED, name: text}))

    assert any(name in problem or name.partition("_")[0] in problem for problem in caught.value.problems)
    assert CANARY not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p%23ss@h:6379/1",
        "rediss://u:p@h/0?ssl_ca_certs=/ca.pem",
        "redis://h/",
    ],
)
def test_what_redis_itself_understands_is_taken(url: str) -> None:
    assert Settings.from_env({**NEEDED, "CALLSHEET_REDIS_URL": url}).redis_url == url


def test_a_socket_is_taken_for_the_records_alone() -> None:
    url = "unix:///run/redis.sock?db=1"
    of_celery = {"CALLSHEET_BROKER_URL": "redis://h/1", "CALLSHEET_RESULT_BACKEND": "redis://h/2"}

    assert Settings.from_env({**NEEDED, **of_celery, "CALLSHEET_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("words", ["required", "CERT_REQUIRED"])
@pytest.mark.parametrize("name", ["CALLSHEET_REDIS_URL", "CALLSHEET_BROKER_URL", "CALLSHEET_RESULT_BACKEND"])
def test_the_wish_for_a_certificate_is_taken_in_each_readers_spelling(name: str, words: str) -> None:
    url = f"rediss://u:p@h/0?ssl_cert_reqs={words}&ssl_ca_certs=/ca.pem"

    settings = Settings.from_env({**NEEDED, name: url})

    urls = {settings.redis_url, settings.broker_url, settings.result_backend}
    assert "rediss://u:p@h/0?ssl_ca_certs=/ca.pem" in urls
    assert not any("cert_reqs" in url for url in urls)


def test_a_url_for_notifications_needs_a_secret_and_a_place_that_may_be_sent_to() -> None:
    private = {"CALLSHEET_NOTIFY_URL": "http://backend.internal:8080/hook"}
    listed = {**private, "CALLSHEET_NOTIFY_HOSTS": "other.example.com,http://backend.internal:8080"}

    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**NEEDED, **private})
    settings = Settings.from_env({**NEEDED, **listed, "CALLSHEET_NOTIFY_SECRETS": WEBHOOK_SECRET})

    assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
        "CALLSHEET_NOTIFY_SECRETS",
        "CALLSHEET_NOTIFY_URL",
    ]
    assert "adds http://backend.internal:8080 to CALLSHEET_NOTIFY_HOSTS" in str(caught.value)
    assert settings.notify_url == private["CALLSHEET_NOTIFY_URL"]
    assert WEBHOOK_SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("AES256", {"ServerSideEncryption": "AES256"}),
        ("aws:kms", {"ServerSideEncryption": "aws:kms"}),
        ("aws:kms:alias/a", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/a"}),
    ],
)
def test_encryption_is_asked_for_in_the_words_of_s3(text: str, asked: dict[str, str]) -> None:
    assert Settings.from_env({**NEEDED, "CALLSHEET_S3_SSE": text}).encryption == asked
