"""The grammar of URLs that come from outside."""

from __future__ import annotations

import ipaddress
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

MENDED = {
    "capitals": ("HTTPS://CDN.Example.COM/A.mp4", "cdn.example.com", "/A.mp4"),
    "blanks around": (" \t\nhttps://cdn.example.com/a\r\n ", "cdn.example.com", "/a"),
    "tab and newline inside": ("https://cdn.exa\tmple.com/a\r\nX-Injected:\t1", "cdn.example.com", "/aX-Injected:1"),
    "spaces": ("https://cdn.example.com/a b?c d", "cdn.example.com", "/a%20b?c%20d"),
    "non-ASCII path": ("https://cdn.example.com/\u00fc/\u5f71.mp4", "cdn.example.com", "/%C3%BC/%E5%BD%B1.mp4"),
    "quotes": ("https://cdn.example.com/\"'?a=\"b'", "cdn.example.com", "/%22'?a=%22b%27"),
    "braces and backtick in the path": ("https://cdn.example.com/{`}", "cdn.example.com", "/%7B%60%7D"),
    "braces and backtick in the query": ("https://cdn.example.com/?{`}", "cdn.example.com", "/?{`}"),
    "angle brackets": ("https://cdn.example.com/<a>?<b>", "cdn.example.com", "/%3Ca%3E?%3Cb%3E"),
    "lone percent signs": ("https://cdn.example.com/%?100%&%zz", "cdn.example.com", "/%?100%&%zz"),
    "a control character": ("https://cdn.example.com/a\x00b\x7f", "cdn.example.com", "/a%00b%7F"),
    "fragment": ("https://cdn.example.com/a?b#t=1", "cdn.example.com", "/a?b"),
    "fragment that looks like a user": ("https://cdn.example.com#@evil.com/", "cdn.example.com", "/"),
    "trailing dot": ("https://cdn.example.com./a", "cdn.example.com", "/a"),
    "underscore": ("https://my_cdn.example.com/a", "my_cdn.example.com", "/a"),
    "hyphens at the edges": ("https://-cdn-.example.com/a", "-cdn-.example.com", "/a"),
    "non-ASCII host": ("https://B\u00dccher.example/", "xn--bcher-kva.example", "/"),
    "ideographic full stop": ("https://cdn\u3002example\uff0ecom/", "cdn.example.com", "/"),
    "soft hyphen": ("https://cdn.exa\u00admple.com/", "cdn.example.com", "/"),
    "percent-encoded host": ("https://cdn%2eexample.com/", "cdn.example.com", "/"),
    "dots in the path": ("https://cdn.example.com/a/../b/%2e/./c", "cdn.example.com", "/b/c"),
    "backslashes": ("https:\\\\cdn.example.com\\a\\b?\\", "cdn.example.com", "/a/b?\\"),
    "a backslash before the @": ("https://evil.example\\@cdn.example.com/", "evil.example", "/@cdn.example.com/"),
    "one slash": ("https:/cdn.example.com/a", "cdn.example.com", "/a"),
    "no slash": ("https:cdn.example.com/a", "cdn.example.com", "/a"),
    "three slashes": ("https:///cdn.example.com/a", "cdn.example.com", "/a"),
    "empty port": ("https://cdn.example.com:/a", "cdn.example.com", "/a"),
    "port with a zero before it": ("https://cdn.example.com:0443/a", "cdn.example.com", "/a"),
    "empty user": ("https://@cdn.example.com/a", "cdn.example.com", "/a"),
}
"""URLs that browsers mend: each as a browser asks for it."""

DISGUISED = {
    "https://127.1/": "127.0.0.1",
    "https://127.0.1/": "127.0.0.1",
    "https://2130706433/": "127.0.0.1",
    "https://0x7f000001/": "127.0.0.1",
    "https://0x7f.1/": "127.0.0.1",
    "https://0X7F.0.0.0x1/": "127.0.0.1",
    "https://0177.0.0.1/": "127.0.0.1",
    "https://127.0.0.01/": "127.0.0.1",
    "https://127.0.0.1./": "127.0.0.1",
    "https://1.2.3.0x4/": "1.2.3.4",
    "https://%31%32%37.1/": "127.0.0.1",
    "https://\uff11\uff12\uff17.1/": "127.0.0.1",
    "https://\u2460\u2461\u2466.1/": "127.0.0.1",
    "https://0xa9fea9fe/": "169.254.169.254",
    "https://[::FFFF:127.0.0.1]/": "::ffff:127.0.0.1",
    "https://[0:0::00ff:1]/": "::ff:1",
}
"""Addresses as a browser would connect to them."""

REFUSED = {
    "other schemes": [
        "http://cdn.example.com/a",
        "HTTP://cdn.example.com/a",
        "h\nttp://cdn.example.com/a",
        "file:///etc/passwd",
        "ftp://cdn.example.com/a",
        "dict://127.0.0.1:11211/",
        "gopher://127.0.0.1/",
        "data:video/mp4;base64,AAAA",
        "javascript:alert(1)",
        "blob:https://cdn.example.com/1",
        "view-source:https://cdn.example.com/",
        "//cdn.example.com/a",
        "cdn.example.com/a",
        "http:127.0.0.1/",
    ],
    "users and strange authorities": [
        "https://user@cdn.example.com/",
        "https://user:secret@cdn.example.com/",
        "https://:secret@cdn.example.com/",
        "https://a@b@cdn.example.com/",
        "https://cdn.example.com:443:444/",
        "https://cdn.example.com;evil.com/",
        "https://",
        "https:///",
        "https://:443/",
        "https://?x",
        "https://#x",
    ],
    "host names": [
        "https://cdn..example.com/",
        "https://.example.com/",
        "https://cdn.example.com../",
        "https://*.example.com/",
        "https://cdn example.com/",
        "https://cdn%20example.com/",
        "https://cdn%00.example.com/",
        f"https://{'a' * 64}.example.com/",
        f"https://{'a.' * 130}com/",
    ],
    "numbers that are no address": ["https://256.0.0.1/", "https://1.2.3.4.5/", "https://a.1/", "https://1.2.3.09/"],
    "addresses": [
        "https://[::1/",
        "https://::1/",
        "https://[::1%25eth0]/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[v1.x]/",
        "https://[127.0.0.1]/",
        "https://[1::2::3]/",
        "https://[]/",
    ],
    "ports": [
        "https://cdn.example.com:0/",
        "https://cdn.example.com:65536/",
        "https://cdn.example.com:99999/",
        "https://cdn.example.com:-1/",
        "https://cdn.example.com:4 43/",
        "https://cdn.example.com:\u0664\u0664\u0663/",
    ],
    "no text": ["", " ", "https://cdn.example.com/\ud800"],
    "length": [f"https://cdn.example.com/{'a' * 8192}", "https://cdn.example.com/" + "\u5f71" * 1000],
}


@pytest.mark.parametrize(("text", "host", "port", "target"), READ)
def test_a_plain_url_is_read_into_its_parts(text: str, host: str, port: int, target: str) -> None:
    url = HttpsUrl.parse(text)

    assert (url.host, url.port, url.target) == (host, port, target)


@pytest.mark.parametrize(("text", "host", "target"), MENDED.values(), ids=MENDED)
def test_a_link_is_mended_as_browsers_mend_it(text: str, host: str, target: str) -> None:
    url = HttpsUrl.parse(text)

    assert (url.host, url.port, url.target) == (host, 443, target)


@pytest.mark.parametrize(("text", "address"), DISGUISED.items())
def test_a_number_in_disguise_is_the_address_that_a_browser_connects_to(text: str, address: str) -> None:
    url = HttpsUrl.parse(text)

    assert url.address == ipaddress.ip_address(address)
    assert url.host == str(url.address)


@pytest.mark.parametrize("text", [text for texts in REFUSED.values() for text in texts])
def test_all_but_https_with_a_plain_host_is_refused(text: str) -> None:
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
        ("HTTPS://Other.Example/x", "https://other.example/x"),
        ('/a b"{}`%', "https://cdn.example.com:8443/a%20b%22%7B%7D%60%"),
        ("/f\u00c3\u00bcr", "https://cdn.example.com:8443/f%C3%BCr"),
        ("/f\u00fcr?\u00fc", "https://cdn.example.com:8443/f%FCr?%FC"),
        (" /x ", "https://cdn.example.com:8443/x"),
        ("/x#t=1", "https://cdn.example.com:8443/x"),
        ("#t=1", "https://cdn.example.com:8443/a/b?sig=1"),
        ("\\\\other.example\\x", "https://other.example/x"),
        ("/\\other.example", "https://other.example/"),
        ("https:next", "https://cdn.example.com:8443/a/next"),
        ("https://127.1/", "https://127.0.0.1/"),
    ],
)
def test_a_redirect_leads_where_a_browser_would_go(location: str, expected: str) -> None:
    url = HttpsUrl.parse("https://cdn.example.com:8443/a/b?sig=1")

    assert url.redirected(location) == HttpsUrl.parse(expected)


@pytest.mark.parametrize(
    "location",
    [
        "http://cdn.example.com/",
        "http:127.0.0.1/",
        "file:///etc/passwd",
        "//user@other.example/",
        "https://256.1.1.1/",
        "https://[::1",
        "javascript:alert(1)",
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
