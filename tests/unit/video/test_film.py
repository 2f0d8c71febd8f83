"""Files that are certainly no film are named, by their first bytes."""

from __future__ import annotations

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import box, full_box, in_pieces, refusal, replaced, walk
from worker.errors import NotAVideoError
from worker.video.film import FilmWalk

CLIP = make(640, 360, 3)

OTHERS = [
    (b"<!DOCTYPE html><html><body>Not here</body></html>", "page", "HTML"),
    (b"\r\n  <html></html>" + bytes(100), "page", "HTML"),
    (b"\xef\xbb\xbf<html></html>" + bytes(100), "page", "HTML"),
    (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "page", "HTML or XML"),
    (b'{"error": "not found"}', "page", "JSON"),
    (b'[{"error": "not found"}]', "page", "JSON"),
    (b"#EXTM3U\n#EXT-X-VERSION:3\n", "page", "playlist"),
    (b"Not Found: the video", "page", "text"),
    (b"%PDF-1.7\n" + bytes(20), "page", "PDF"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), "picture", "PNG"),
    (b"\xff\xd8\xff\xe0" + bytes(100), "picture", "JPEG"),
    (b"RIFF\0\0\0\0WEBPVP8 ", "picture", "WebP"),
    (b"BM" + bytes(100), "picture", "BMP"),
    (b"II*\0" + bytes(100), "picture", "TIFF"),
    (b"GIF89a" + bytes(100), "unchecked", "GIF"),
    (b"RIFF\0\0\0\0AVI LIST", "unchecked", "AVI"),
    (b"OggS" + bytes(100), "unchecked", "Ogg"),
    (b"FLV\1" + bytes(100), "unchecked", "Flash"),
    (b"\0\0\1\xba" + bytes(100), "unchecked", "program stream"),
    (b"\x1f\x8b\x08" + bytes(100), "unchecked", "gzip"),
    (b"ID3\4" + bytes(100), "no_video", "MP3"),
    (b"RIFF\0\0\0\0WAVEfmt ", "no_video", "WAV"),
    (CLIP[4:], "unchecked", "something else"),
]


@pytest.mark.parametrize(("content", "reason", "looks"), OTHERS)
def test_what_is_no_film_is_refused_at_its_first_bytes(content: bytes, reason: str, looks: str) -> None:
    walked = FilmWalk()

    with pytest.raises(NotAVideoError, match=looks) as caught:
        walked.feed(content[:16])

    assert caught.value.reason == reason


TS_PACKET = b"\x47\x40\x11\x10" + bytes(184)


@pytest.mark.parametrize("content", [TS_PACKET * 4, (bytes(4) + TS_PACKET) * 4], ids=["TS", "M2TS"])
@pytest.mark.parametrize("size", [1, 16, 1000])
def test_a_transport_stream_is_told_by_its_second_packet(content: bytes, size: int) -> None:
    with pytest.raises(NotAVideoError, match="MPEG transport stream") as caught:
        walk(*in_pieces(content, size))

    assert caught.value.reason == "unchecked"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b" " * 600, "page"),
        (b"G", "page"),
        (b"\x89PNG", "picture"),
        (b"\xff\xd8\xff", "picture"),
        (b"{}", "page"),
        (b"\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7", "unchecked"),
    ],
)
def test_a_few_bytes_are_judged_at_their_end(content: bytes, reason: str) -> None:
    assert refusal(content) == reason


@pytest.mark.parametrize("brand", [b"heic", b"avif", b"mif1"])
def test_a_still_in_the_boxes_of_a_film_is_a_picture(brand: bytes) -> None:
    image = box(b"ftyp", brand, bytes(4)) + box(b"meta", bytes(40)) + box(b"mdat", bytes(100))

    assert refusal(image) == "picture"


def test_a_film_of_sound_only_is_no_video() -> None:
    sound = replaced(CLIP, "moov/trak/mdia/hdlr", full_box(b"", ">I4s12s", 0, b"soun", b"")[8:])

    assert refusal(sound) == "no_video"


@pytest.mark.parametrize("content", [CLIP[:32], CLIP[:500], CLIP[:-1], CLIP[:7], CLIP[:1], box(b"ftyp", b"isom")])
def test_what_could_be_a_film_is_cut(content: bytes) -> None:
    assert refusal(content) == "truncated"
