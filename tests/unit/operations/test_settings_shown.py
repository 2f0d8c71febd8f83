"""Settings are shown without secrets: whatever is in the environment, no secret and no password is in what is told."""

from __future__ import annotations

from worker.operations.settings_shown import shown
from worker.settings.settings import Settings

SECRETS = {
    "CALLSHEET_REDIS_URL": "redis://user:red-is-the-password@cache.internal:6380/0",
    "CALLSHEET_BROKER_URL": "amqp://rabbit:burrow-password@mq.internal:5671//",
    "CALLSHEET_RESULT_BACKEND": "redis://:backend-password@cache.internal:6379/1",
    "CALLSHEET_BUCKET": "films",
    "CALLSHEET_PUBLIC_URL": "https://callsheet.example.com",
    "CALLSHEET_CALLBACK_SECRETS": "callback-secret-of-32-characters-or-more,callback-secret-two-of-32-characters-too",
    "CALLSHEET_MESSAGE_SECRETS": "message-secret-of-32-characters-or-more",
    "CALLSHEET_NOTIFY_SECRETS": "whsec_bm90aWZ5LXNlY3JldC1vZi0yNC1ieXRlcw==",
    "CALLSHEET_NOTIFY_URL": "https://backend.example.com/hook/path-secret?key=query-secret",
    "CALLSHEET_API_TOKENS": f"maya:read+pay:{'m' * 32},desk:read:{'d' * 32}",
    "EVOLINK_API_KEY": "evolink-key-secret",
    "EVOLINK_MAX_CONCURRENT": "7",
    "CALLSHEET_DAILY_BUDGET": "50",
}


def test_values_are_told_and_secrets_counted() -> None:
    told = shown(Settings.from_env(SECRETS))

    assert told["redis_url"] == "redis://cache.internal:6380"
    assert told["broker_url"] == "amqp://mq.internal:5671"
    assert told["bucket"] == "films"
    assert told["callback_secrets"] == "set (2)"
    assert told["notify_url"] == "https://backend.example.com"
    assert told["api_tokens"] == "maya (pay + read), desk (read)"
    assert told["evolink.api_key"] == "set"
    assert told["evolink.max_concurrent"] == "7"
    assert (told["caps.daily"], told["caps.monthly"]) == ("50", "not set")
    assert told["confirm_callbacks"] == "yes"


def test_no_secret_and_no_password_is_told() -> None:
    told = " ".join(shown(Settings.from_env(SECRETS)).values())

    hidden = ("password", "secret", "whsec", "bm90aWZ5", "mmmm", "dddd", "evolink-key")
    assert [word for word in hidden if word in told] == []


def test_every_setting_is_told() -> None:
    told = shown(Settings.from_env(SECRETS))

    assert {name for name in vars(Settings.from_env(SECRETS)) if name != "providers"} <= {
        name.partition(".")[0] for name in told
    }
