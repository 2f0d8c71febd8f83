"""An image field is a URL, an object of ours or the picture itself, and is checked before money is spent."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.jobs.images import INLINE_BYTES, is_same_image, normal_image, read_picture, split_s3

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 20


def data_uri(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


LONGEST = "https://example.com/" + "a" * 2028


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/a.png",
        "https://example.com:8443/a%20b.png?X-Amz-Signature=1&b=c%2Fd",
        "https://[2606:4700::1111]/a.png",
        "https://93.184.216.34/a.png",
        LONGEST,
        "s3://my-bucket/frames/a b é.png",
        data_uri(PNG),
        data_uri(JPEG, "jpeg"),
        data_uri(PNG + b"\x00" * (INLINE_BYTES - len(PNG))),
    ],
    ids=lambda value: value[:40],
)
def test_the_three_forms_are_taken_as_they_are(text: str) -> None:
    assert normal_image(text) == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("HTTPS://Example.com/A.png", "https://example.com/A.png"),
        (" https://example.com/a b.png\n", "https://example.com/a%20b.png"),
        ("https://example.com/é.png?{`}", "https://example.com/%C3%A9.png?{`}"),
        ("https://example.com:443/a.png#top", "https://example.com/a.png"),
        ("https://example.com./a.png", "https://example.com/a.png"),
        ("https://my_bucket.example.com/a.png", "https://my_bucket.example.com/a.png"),
        ("https://evil.com\\@example.com/", "https://evil.com/@example.com/"),
        ("https://0x5db8d822/a.png", "https://93.184.216.34/a.png"),
    ],
)
def test_a_url_is_recorded_and_sent_as_a_browser_would_ask_for_it(text: str, normal: str) -> None:
    assert normal_image(text) == normal
    assert normal_image(normal) == normal


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "100.100.100.200",
        "168.63.129.16",
        "255.255.255.255",
        "[::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[2001:db8::1]",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "printer.local",
        "metadata.google.internal",
        "127.0.0.1:8443",
    ],
)
def test_a_host_in_a_private_network_is_refused_before_money_is_spent(host: str) -> None:
    with pytest.raises(ValueError) as caught:
        normal_image(f"https://{host}/a.png")

    assert "must be a URL with a public host" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be an https:// URL, s3://bucket/key, or data:image/png"),
        ("http://example.com/a.png", "must be an https:// URL"),
        ("//example.com/a.png", "must be an https:// URL"),
        ("file:///etc/passwd", "must be an https:// URL"),
        ("https://", "not a URL that a browser would open"),
        ("https://exa mple.com/", "not a URL that a browser would open"),
        ("https://example.com:x/", "not a URL that a browser would open"),
        ("https://[::1/", "not a URL that a browser would open"),
        ("https://ex<am>ple.com/", "not a URL that a browser would open"),
        ("https://1.2.3.256/", "not a URL that a browser would open"),
        ("https://user:pass@example.com/", "carries a user or a password"),
        ("https://*.example.com/", "neither a plain name nor an address"),
        (LONGEST + "a", "has 2049 characters once percent-encoded; a URL may have 2048"),
        ("https://example.com/" + "é" * 400, "has 2420 characters once percent-encoded; a URL may have 2048"),
        ("s3://", "must be s3://bucket/key"),
        ("s3://bucket", "must be s3://bucket/key"),
        ("s3://buc..ket/key", "must be s3://bucket/key"),
        ("s3://192.168.1.1/key", "must be s3://bucket/key"),
        ("s3://bucket:80/key", "must be s3://bucket/key"),
        ("s3://user@bucket/key", "must be s3://bucket/key"),
        ("s3://arn:aws:s3:::bucket/key", "must be s3://bucket/key"),
        (data_uri(PNG) + "====", "does not decode"),
        (data_uri(PNG).replace("base64,", "base64, "), "does not decode"),
        (data_uri(PNG) + "\n", "does not decode"),
        (data_uri(PNG).replace("image", "IMAGE"), "must start with data:image/png"),
        (data_uri(PNG).replace("data", "DATA"), "must be an https:// URL"),
        (data_uri(PNG).replace(";base64", ";charset=x;base64"), "must start with data:image/png"),
        ("s3://bucket/", "must be s3://bucket/key"),
        ("s3://Bucket/key", "must be s3://bucket/key"),
        ("s3://b/key", "must be s3://bucket/key"),
        ("s3://bucket/" + "a" * 1025, "limit of 1024 bytes"),
        ("s3://bucket/" + "é" * 600, "limit of 1024 bytes"),
        ("s3://bucket/a/../b", "'', '.' or '..'"),
        ("s3://bucket//a", "'', '.' or '..'"),
        ("s3://bucket/a\nb", "control characters"),
        ("data:image/gif;base64,R0lGOD", "must start with data:image/png;base64"),
        ("data:image/png,abc", "must start with data:image/png;base64"),
        ("data:text/html;base64,PGI+", "must start with data:image/png;base64"),
        ("data:image/png;base64,", "its bytes are not"),
        ("data:image/png;base64,a", "base64 that does not decode"),
        ("data:image/png;base64,iVBO Rw0K", "base64 that does not decode"),
        ("data:image/png;base64,iVBO-_8=", "base64 that does not decode"),
        (data_uri(JPEG, "png"), "says image/png, but its bytes are not"),
        (data_uri(PNG, "jpeg"), "says image/jpeg, but its bytes are not"),
        (data_uri(PNG + b"\x00" * INLINE_BYTES), "over 2 MiB; put it in S3"),
        (data_uri(PNG + b"\x00" * (INLINE_BYTES - len(PNG) + 1)), "over 2 MiB; put it in S3"),
    ],
    ids=lambda value: ascii(value[:40]),
)
def test_anything_else_is_refused_in_words(text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        normal_image(text)

    assert told in str(caught.value)


def test_a_picture_inside_a_spec_can_be_taken_out() -> None:
    picture = read_picture(data_uri(JPEG, "jpeg"))

    assert (picture.content_type, picture.content) == ("image/jpeg", JPEG)


def test_an_object_of_ours_is_split_into_bucket_and_key() -> None:
    assert split_s3("s3://my.bucket-1/a/b c.png") == ("my.bucket-1", "a/b c.png")


@given(st.text(st.characters(), max_size=200) | st.binary(max_size=50).map(data_uri))
@example("https://[::ffff:1.2.3.4%eth0]/")
@example("https://\u2100.com/")
@example("s3://bucket/\ud800")
def test_any_text_has_one_normal_form_or_is_refused_in_words(text: str) -> None:
    try:
        normal = normal_image(text)
    except ValueError as err:
        told = str(err)
    else:
        told = ""
        assert normal_image(normal) == normal

    assert told == "" or told.isprintable()


@pytest.mark.parametrize(
    ("asked", "echoed", "same"),
    [
        (None, None, True),
        (None, "", True),
        (None, "https://example.com/a.png", False),
        ("https://example.com/a.png", "https://example.com/a.png", True),
        ("https://example.com/a.png", "https://example.com/b.png", False),
        ("https://example.com/a.png", None, False),
        ("https://example.com/a.png", ["https://example.com/a.png"], False),
        ("s3://bucket/dir/a b.png", "https://bucket.s3.example.com/dir/a%20b.png?X-Amz-Signature=1", True),
        ("s3://bucket/dir/a.png", "https://s3.example.com/bucket/dir/a.png?X-Amz-Signature=1", True),
        ("s3://bucket/dir/a.png", "https://s3.example.com/bucket/dir/b.png", False),
        ("s3://bucket/a.png", "https://[", False),
        (data_uri(PNG), data_uri(PNG), True),
        (data_uri(PNG), data_uri(JPEG, "jpeg"), False),
    ],
)
def test_an_echoed_image_is_known_again(asked: str | None, echoed: object, same: bool) -> None:
    assert is_same_image(asked, echoed) is same
