"""The grammar of URLs that come from outside."""

from __future__ import annotations

import string
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import DownloadError
from worker.guard.urls import HttpsUrl

READ = [
    ("https://cdn.example.com/a.mp4", "cdn.example.com", 443, "/a.mp4"),
    ("https://cdn.example.com", "cdn.example.com", 443, "/"),
    ("https://cdn.example.com:443/a", "cdn.example.com", 443, "/a"),
    ("https://cdn.example.com?x=1", "cdn.example.com", 443, "/?x=1"),
    ("https://cdn.example.com/a?X-Sig=a%2Fb&k=v?/|[1]", "cdn.example.com", 443, "/a?X-Sig=a%2Fb&k=v?/|[1]"),
    ("https://xn--bcher-kva.example/%C3%BC", "xn--bcher-kva.example", 443, "/%C3%BC"),
    ("https://localhost:8443/v", "localhost", 8443, "/v"),
    ("https://93.184.216.34/v", "93.184.216.34", 443, "/v"),
    ("https://[2606:4700::1111]:8443/v", "2606:4700::1111", 8443, "/v"),
    ("https://[0:0::00ff:1]/v", "::ff:1", 443, "/v"),
]

REFUSED = {
    "other schemes": [
        "http://cdn.example.com/a",
        "HTTPS://cdn.example.com/a",
        "file:///etc/passwd",
        "ftp://cdn.example.com/a",
        "dict://127.0.0.1:11211/",
        "gopher://127.0.0.1/",
        "data:video/mp4;base64,AAAA",
        "javascript:alert(1)",
        "//cdn.example.com/a",
        "cdn.example.com/a",
        "http:127.0.0.1/",
        "https:cdn.example.com/",
        "https:/cdn.example.com/",
        "https:///cdn.example.com/",
        "https:\\\\cdn.example.com\\",
    ],
    "users and strange authorities": [
        "https://user@cdn.example.com/",
        "https://user:secret@cdn.example.com/",
        "https://evil\\@cdn.example.com/",
        "https://evil.com\\.cdn.example.com/",
        "https://cdn.example.com#@evil.com/",
        "https://cdn.example.com:443:444/",
        "https://cdn.example.com%2eevil.com/",
        "https://cdn.example.com;evil.com/",
        "https://cdn_x.example.com/",
        "https:///a",
        "https://",
        "https://:443/",
        "https://?x",
    ],
    "host names": [
        "https://cdn.example.com./",
        "https://cdn..example.com/",
        "https://.example.com/",
        "https://-cdn.example.com/",
        "https://cdn-.example.com/",
        "https://CDN.example.com/",
        "https://cdn\u3002example\u3002com/",
        "https://cdn\uff0eexample.com/",
        "https://\u0441dn.example.com/",
        "https://b\u00fccher.example/",
        "https://*.example.com/",
        f"https://{'a' * 64}.example.com/",
        f"https://{'a.' * 130}com/",
    ],
    "numbers in disguise": [
        "https://127.1/",
        "https://127.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0x7f.0.0.0x1/",
        "https://0177.0.0.1/",
        "https://127.0.0.01/",
        "https://256.0.0.1/",
        "https://1.2.3.4.5/",
        "https://a.1/",
        "https://1.2.3.0x4/",
        "https://127.0.0.1./",
    ],
    "addresses": [
        "https://[::1/",
        "https://::1/",
        "https://[::1%25eth0]/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[v1.x]/",
        "https://[127.0.0.1]/",
        "https://[1::2::3]/",
        "https://[::FFFF:127.0.0.1]/",
        "https://[]/",
    ],
    "ports": [
        "https://cdn.example.com:/",
        "https://cdn.example.com:0/",
        "https://cdn.example.com:0443/",
        "https://cdn.example.com:65536/",
        "https://cdn.example.com:99999/",
        "https://cdn.example.com:-1/",
        "https://cdn.example.com:4 43/",
        "https://cdn.example.com:\u0664\u0664\u0663/",
    ],
    "characters": [
        " https://cdn.example.com/",
        "https://cdn.example.com/ ",
        "https://cdn.example.com/a b",
        "https://cdn.example.com/a\tb",
        "https://cdn.example.com/a\nb",
        "https://cdn.example.com/\r\nX-Injected: 1",
        "https://cdn.example.com/a\x00b",
        "https://cdn.example.com/\x7f",
        "https://cdn.exa\tmple.com/",
        "https://cdn.exa\u00admple.com/",
        "https://cdn.example.com/\u00fc",
        "https://cdn.example.com/%zz",
        "https://cdn.example.com/%",
        "https://cdn.example.com/a\\b",
        "https://cdn.example.com/a#fragment",
        "https://cdn.example.com/\ud800",
        "",
    ],
    "length": [f"https://cdn.example.com/{'a' * 8192}"],
}


@pytest.mark.parametrize(("text", "host", "port", "target"), READ)
def test_a_plain_url_is_read_into_its_parts(text: str, host: str, port: int, target: str) -> None:
    url = HttpsUrl.parse(text)

    assert (url.host, url.port, url.target) == (host, port, target)


@pytest.mark.parametrize("text", [text for texts in REFUSED.values() for text in texts])
def test_what_parsers_may_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(DownloadError) as caught:
        HttpsUrl.parse(text)

    assert caught.value.reason == "url"


@given(st.text(alphabet=string.ascii_letters + string.digits + ".:/@?#[]\\%-_ \t\u3002", max_size=40))
def test_what_passes_has_the_host_that_other_parsers_see(tail: str) -> None:
    try:
        url = HttpsUrl.parse(f"https://{tail}")
    except DownloadError:
        return
    other = urlsplit(url.text)

    assert other.hostname == url.host
    assert (other.port or 443) == url.port
    assert other.username is None


@given(st.from_regex(r"https://[a-z]{1,9}(\.[a-z]{1,9}){1,2}(:[1-9][0-9]{0,3})?(/[a-z%0-9?&=]{0,20})?", fullmatch=True))
def test_what_is_put_together_again_reads_the_same(text: str) -> None:
    try:
        url = HttpsUrl.parse(text)
    except DownloadError:
        return

    assert HttpsUrl.parse(url.text) == url


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/other", "https://cdn.example.com:8443/other"),
        ("next?sig=2", "https://cdn.example.com:8443/a/next?sig=2"),
        ("?sig=2", "https://cdn.example.com:8443/a/b?sig=2"),
        ("../up", "https://cdn.example.com:8443/up"),
        ("https://other.example/x", "https://other.example/x"),
        ("//other.example/x", "https://other.example/x"),
    ],
)
def test_a_redirect_is_followed_as_written(location: str, expected: str) -> None:
    url = HttpsUrl.parse("https://cdn.example.com:8443/a/b?sig=1")

    assert url.redirected(location) == HttpsUrl.parse(expected)


@pytest.mark.parametrize(
    "location",
    [
        "http://cdn.example.com/",
        "http:127.0.0.1/",
        "file:///etc/passwd",
        "//user@other.example/",
        "https://127.1/",
        "https://[::1",
        "\\\\other.example\\x",
        "/\\other.example",
        "/a b",
        f"/{'a' * 9000}",
    ],
)
def test_a_redirect_leaves_the_grammar_for_nobody(location: str) -> None:
    url = HttpsUrl.parse("https://cdn.example.com/a")

    with pytest.raises(DownloadError) as caught:
        url.redirected(location)

    assert caught.value.reason == "url"


def test_a_signature_shows_in_no_text_but_the_one_that_says_so() -> None:
    url = HttpsUrl.parse("https://cdn.example.com/secret-path?sig=secret")

    assert "secret" not in f"{url} {url!r}"
    assert "secret" in url.text
