"""The pages without a browser: who is let in, what each scope may see, and which headers guard them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from tests.integration.console.conftest import ALL, SECRETS, Lives
from worker.settings.tokens import SCOPES

PAGES = {
    ("GET", "/"): "read",
    ("GET", "/jobs/j1"): "read",
    ("GET", "/jobs/j1/videos/1"): "prompts",
    ("GET", "/jobs/j1/act"): "operate",
    ("POST", "/jobs/j1/act"): "operate",
    ("GET", "/bulk/new"): "operate",
    ("POST", "/bulk"): "operate",
    ("POST", "/bulk/start"): "operate",
    ("GET", "/bulk/j1"): "read",
    ("POST", "/bulk/j1/stop"): "operate",
    ("GET", "/gallery"): "prompts",
    ("GET", "/attention"): "read",
    ("POST", "/attention/seen"): "operate",
    ("GET", "/failures"): "read",
    ("GET", "/providers"): "read",
    ("POST", "/providers/j1/pause"): "operate",
    ("GET", "/money"): "read",
    ("GET", "/money.csv"): "read",
    ("GET", "/system"): "read",
    ("GET", "/system/doctor"): "read",
    ("GET", "/runbook"): "read",
}
OPEN = {("GET", "/login"), ("POST", "/login"), ("GET", "/static/j1/j1")}
OF_ANY_TOKEN = {("POST", "/logout")}
HERE = {"Sec-Fetch-Site": "same-origin"}


def sign_in(client: Client, secret: str = ALL) -> Client:
    answer = client.post("/login", data={"token": secret, "next": "/"}, headers=HERE)
    assert answer.status_code == 303
    return client


def form_key(client: Client) -> str:
    found = re.search(r'name="form_key" value="(\w+)"', client.get("/nowhere", headers=HTML).text)
    assert found is not None
    return found[1]


HTML = {"Accept": "text/html"}


def test_the_table_has_every_page(app: Flask) -> None:
    served = {
        (method, re.sub(r"<(?:int:)?n>", "1", named(rule.rule)))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if hasattr(app.view_functions[rule.endpoint], "is_page")
    }

    assert served == {*PAGES, *OPEN, *OF_ANY_TOKEN}


def named(rule: str) -> str:
    """A rule with names in its places."""
    rule = re.sub(r"<any\(pause,resume\):act>", "pause", rule)
    return re.sub(r"<(?!int)\w+>", "j1", re.sub(r"<any\([\w,]+\):act>", "act", rule))


@pytest.mark.parametrize("scope", SCOPES)
def test_a_session_of_one_scope_sees_and_does_only_its_own(client: Client, scope: str) -> None:
    sign_in(client, SECRETS[scope])
    key = form_key(client)

    for (method, name), wanted in PAGES.items():
        path = name.replace("/act", "/retry")
        answer = client.open(path, method=method, headers=HERE, data={"form_key": key} if method == "POST" else None)
        if scope == wanted:
            assert answer.status_code not in (401, 403, 303), path
        else:
            assert answer.status_code == 403, path
            assert wanted in answer.text


def test_without_a_session_every_page_leads_to_the_login(client: Client) -> None:
    for method, path in [*PAGES, *OF_ANY_TOKEN]:
        answer = client.open(path.replace("/act", "/retry"), method=method, headers=HERE)
        assert answer.status_code == 303, path
        assert answer.headers["Location"].startswith("/login?next="), path


def test_a_session_opens_no_call_of_the_api_and_a_bearer_token_no_page(client: Client) -> None:
    assert client.get("/", headers={"Authorization": f"Bearer {ALL}"}).status_code == 303
    sign_in(client)

    assert client.get("/v1/jobs").status_code == 401


def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_text(client: Client) -> None:
    plain = client.post("/login", data={"token": ALL}, headers=HERE).headers["Set-Cookie"]
    behind_tls = client.post("/login", data={"token": ALL}, headers={**HERE, "X-Forwarded-Proto": "https"})

    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(plain.split("; "))
    assert behind_tls.headers["Set-Cookie"].startswith("__Host-callsheet=")
    assert "Secure" in behind_tls.headers["Set-Cookie"].split("; ")
    assert ALL not in plain


def test_logging_out_ends_the_session_of_this_browser(client: Client) -> None:
    sign_in(client)

    client.post("/logout", data={"form_key": form_key(client)}, headers=HERE)

    assert client.get("/", headers=HERE).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_an_act_from_another_site_is_refused(client: Client, headers: Mapping[str, str]) -> None:
    sign_in(client)

    answer = client.post("/logout", data={"form_key": form_key(client)}, headers=headers)

    assert answer.status_code == 403
    assert client.get("/", headers=HERE).status_code == 200


@pytest.mark.parametrize("key", ["", "0" * 64])
def test_an_act_without_its_sessions_form_key_is_refused(client: Client, key: str) -> None:
    sign_in(client)

    assert client.post("/logout", data={"form_key": key}, headers=HERE).status_code == 403


def test_a_login_from_another_site_is_refused(client: Client) -> None:
    answer = client.post("/login", data={"token": ALL}, headers={"Sec-Fetch-Site": "cross-site"})

    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", ""])
def test_a_login_leads_to_no_other_place(client: Client, target: str) -> None:
    answer = client.post("/login", data={"token": ALL, "next": target}, headers=HERE)

    assert answer.headers["Location"] == "/"


def test_a_link_on_another_site_asks_once_more_as_our_own(client: Client) -> None:
    # SameSite=Strict: the browser sends no cookie along
    answer = client.get("/?q=state:failed", headers={"Sec-Fetch-Site": "cross-site"})

    assert (answer.status_code, 'http-equiv="refresh"' in answer.text) == (200, True)


def test_every_page_lets_in_no_foreign_script_frame_or_style(client: Client) -> None:
    sign_in(client)
    answers = [client.get(path, headers=HTML) for path in ("/", "/login", "/jobs/none", "/nowhere")]

    for answer in answers:
        policy = rules_of(answer)
        assert policy["default-src"] == ["'none'"]
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == ["'self'"]
        assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"


def test_videos_come_from_the_bucket_alone(client: Client, api_environment: Mapping[str, str]) -> None:
    sign_in(client)

    sources = rules_of(client.get("/", headers=HTML))["media-src"]

    assert sources == ["'self'", api_environment["AWS_ENDPOINT_URL_S3"]]


def test_prompts_and_videos_are_hidden_without_their_scope(client: Client, lives: Lives) -> None:
    spec = '{"prompt":"a corgi in a secret place"}'
    lives.store.jobs.accept("j9", spec_json=spec, spec_sha256="0" * 64, provider="evolink", model="m", request=None)
    lives.submit("j9")
    lives.archive("j9")

    sign_in(client, SECRETS["read"])
    hidden = client.get("/jobs/j9").text
    sign_in(client)
    shown = client.get("/jobs/j9").text

    assert "secret place" in shown
    assert "<video" in shown
    assert "secret place" not in hidden
    assert "<video" not in hidden


def test_our_files_are_kept_by_the_browser_and_change_their_address_with_their_content(client: Client) -> None:
    found = re.findall(r'"(/static/\w+/[\w.]+)"', client.get("/login").text)

    answers = [client.get(path) for path in found]

    assert {answer.status_code for answer in answers} == {200}
    assert all("immutable" in answer.headers["Cache-Control"] for answer in answers)
    assert client.get("/static/0123/console.js").status_code == 404
    assert client.get(found[0].replace("icons.svg", "..%2Fapp.py")).status_code != 200


def rules_of(answer: TestResponse) -> dict[str, list[str]]:
    rules = answer.headers["Content-Security-Policy"].split("; ")
    return {name: values for name, *values in (rule.split() for rule in rules)}
