"""The media behind the links: real videos, one per request, for 24 hours."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.sandbox import mp4

DAY = 24 * 3600


def boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The boxes of a file, containers opened; fails when they do not fill it exactly."""
    position = 0
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + length]
        assert len(body) == length - 8
        yield kind.decode(), body
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            yield from boxes(body)
        position += length


def facts(data: bytes) -> tuple[float, int, int]:
    """Seconds, width and height as the file's headers tell them."""
    found = dict(boxes(data))
    scale, duration = struct.unpack_from(">II", found["mvhd"], 12)
    width, height = struct.unpack_from(">II", found["tkhd"], 76)
    return duration / scale, width >> 16, height >> 16


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt": "x"}, (5, 1280, 720)),
        ({"prompt": "x", "duration": 15, "resolution": "1080p"}, (15, 1920, 1080)),
        ({"prompt": "x", "duration": 3, "aspect_ratio": "9:16"}, (3, 720, 1280)),
        ({"prompt": "x", "aspect_ratio": "1:1", "resolution": "1080p"}, (5, 1080, 1080)),
        ({"first_frame_image": "https://example.com/a.png"}, (5, 1280, 720)),
        ({"first_frame_image": "https://example.com/f-720x1280.png", "aspect_ratio": "16:9"}, (5, 720, 1280)),
        ({"first_frame_image": "https://example.com/600x300.png?X-Sig=1"}, (5, 1440, 720)),
        ({"first_frame_image": "https://example.com/portrait-frame.png", "resolution": "1080p"}, (5, 1080, 1920)),
        ({"first_frame_image": "https://example.com/4000x100.png"}, (5, 1800, 720)),
        ({"first_frame_image": "https://example.com/00x00.png"}, (5, 1280, 720)),
    ],
)
def test_a_video_has_the_duration_and_the_shape_that_was_asked_for(
    caller: Any, control: Any, fields: dict[str, Any], expected: tuple[float, int, int]
) -> None:
    control.script({"on": "generation", "seconds": 0})
    task = caller.apimart(caller.submit_apimart(**fields))

    reply = caller.get(task["result"]["videos"][0]["url"][0], key=None)

    assert (reply.status, reply.headers["Content-Type"]) == (200, "video/mp4")
    assert facts(reply.content) == expected


def test_no_two_requests_share_a_link_or_a_byte_for_byte_video(caller: Any, control: Any) -> None:
    control.script({"on": "generation", "seconds": 0, "times": None})
    links = [caller.evolink(caller.submit_evolink())["results"][0] for _ in range(40)]

    videos = {caller.get(link).content for link in links}

    assert len(set(links)) == len(videos) == 40
    assert len({len(link.rpartition("/")[2]) >= 32 for link in links}) == 1


def test_a_link_gives_the_same_bytes_every_time(caller: Any, control: Any) -> None:
    control.script({"on": "generation", "seconds": 0})
    link = caller.evolink(caller.submit_evolink())["results"][0]

    assert caller.get(link).content == caller.get(link).content


def test_a_link_dies_24_hours_after_the_end_of_the_generation(caller: Any, control: Any) -> None:
    request_id = caller.submit_evolink()
    control.advance(60)
    link = caller.evolink(request_id)["results"][0]
    control.advance(DAY - 30)
    before = caller.get(link).status

    control.advance(30)

    assert (before, caller.get(link).status) == (200, 403)
    assert caller.evolink(request_id)["results"] == [link]


def test_a_video_cannot_be_had_before_it_is_finished(caller: Any, control: Any) -> None:
    caller.submit_evolink()
    (request,) = control.requests()

    assert caller.get(request["links"][0]).status == 404


def test_a_guessed_link_is_404(caller: Any) -> None:
    assert [caller.get(f"/media/{name}").status for name in ("x.mp4", "../x.mp4", "")] == [404] * 3


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=0-99999999", 206, slice(None)),
        ("bytes=99999999-", 416, slice(0, 0)),
        ("bytes=-5", 200, slice(None)),
    ],
)
def test_a_part_of_a_video_can_be_asked_for(caller: Any, control: Any, asked: str, status: int, part: slice) -> None:
    control.script({"on": "generation", "seconds": 0})
    link = caller.evolink(caller.submit_evolink())["results"][0]
    whole = caller.get(link).content

    reply = caller.get(link, headers={"Range": asked})

    assert (reply.status, reply.content) == (status, whole[part])


def test_a_part_is_sent_only_of_the_very_file_that_it_was_begun_with(caller: Any, control: Any) -> None:
    control.script({"on": "generation", "seconds": 0})
    link = caller.evolink(caller.submit_evolink())["results"][0]
    whole = caller.get(link)

    same = caller.get(link, headers={"Range": "bytes=100-", "If-Range": whole.headers["ETag"]})
    other = caller.get(link, headers={"Range": "bytes=100-", "If-Range": '"another"'})

    assert (same.status, same.content) == (206, whole.content[100:])
    assert (other.status, other.content) == (200, whole.content)


def test_head_tells_the_size_without_the_video(caller: Any, control: Any) -> None:
    control.script({"on": "generation", "seconds": 0})
    link = caller.evolink(caller.submit_evolink())["results"][0]

    reply = caller.call("HEAD", link)

    assert reply.content == b""
    assert int(reply.headers["Content-Length"]) == len(caller.get(link).content)


def test_every_download_is_in_the_history(caller: Any, control: Any, wait_until: Any) -> None:
    control.script({"on": "generation", "seconds": 0})
    request_id = caller.submit_evolink()
    link = caller.evolink(request_id)["results"][0]

    video = caller.get(link).content

    (entry,) = wait_until(lambda: [item for item in control.history(kind="download") if "sent" in item])
    assert (entry["request_id"], entry["answer"], entry["sent"]) == (request_id, 200, "whole")
    assert entry["sent_bytes"] == len(video)


@pytest.mark.parametrize("name", ["start-frame.png", "end-frame.png", "portrait-frame.png", "square-frame.png"])
def test_the_images_are_real_pngs_of_300_pixels_or_more(caller: Any, name: str) -> None:
    reply = caller.get(f"/images/{name}", key=None)

    width, height = struct.unpack(">II", reply.content[16:24])
    size = struct.unpack(">I", reply.content[33:37])[0]
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
    assert min(width, height) >= 300
    assert len(zlib.decompress(reply.content[41 : 41 + size])) == height * (1 + 3 * width)


def test_an_image_that_is_not_there_is_404(caller: Any) -> None:
    assert caller.get("/images/cat.png").status == 404


# --- the writer


@pytest.mark.parametrize(
    ("width", "height", "seconds", "sha256"),
    [
        (1280, 720, 5, "6e47f8ea24804a5cd0b1a58785e8599c8fc569e0835da0957b83d90fa21ff651"),
        (1920, 1080, 15, "9e35ebf76f1a12637e83be7230f6ecefe8fbc94891bf635a96fb3cea839ca951"),
        (720, 1280, 3, "03da1297e50cc9a7ae318a78a3b0b5504a15586a4c3d515fc9a996980bb44c7d"),
        (1080, 1920, 8, "ec7f97800b19ebf34de52a7fdcd5d1a58ee8e285456ea01c38477c8b5397bef4"),
        (720, 720, 4, "115eea8e98d3ed331b9a4494e9a780f8c1512467a7aad7230eac697e93fd5771"),
        (1080, 1080, 10, "c5456ac796f3bb87c8329b6773a5458f5f55fa74620838805e02465ca80f7f7c"),
        (1800, 720, 3, "9978b60f385ae4e1b9adbe1831db99a5381cd76698292a3899cfff2ac7ff068a"),
        (854, 480, 5, "d2c0aa8473f2cc9282a7882a6d2e6774bf364e84ec696c5c92fc24a8f171eb52"),
    ],
)
def test_the_bytes_are_those_that_ffmpeg_decoded(width: int, height: int, seconds: int, sha256: str) -> None:
    """These very files were decoded with FFmpeg (PyAV 18.1): every frame, none corrupt, Constrained Baseline."""
    assert hashlib.sha256(mp4.make(width, height, seconds, seed=7)).hexdigest() == sha256


@pytest.mark.parametrize("seed", [0, 1, 24, 2**64 - 1])
def test_seeds_differ_and_repeat(seed: int) -> None:
    video = mp4.make(640, 360, 3, seed=seed)

    assert video == mp4.make(640, 360, 3, seed=seed)
    assert video != mp4.make(640, 360, 3, seed=seed ^ 2)
    assert facts(video) == (3, 640, 360)


def test_every_sample_lies_where_the_tables_say(caller: Any) -> None:
    video = mp4.make(720, 1280, 4, fps=10, seed=3)

    found = dict(boxes(video))
    (offset,) = struct.unpack_from(">I", found["stco"], 8)
    count = struct.unpack_from(">I", found["stsz"], 8)[0]
    sizes = struct.unpack_from(f">{count}I", found["stsz"], 12)
    keys = struct.unpack_from(">4I", found["stss"], 8)
    starts = [offset + sum(sizes[:index]) for index in range(count)]
    kinds = [video[start + 4] & 0x1F for start in starts]
    assert (count, keys, offset + sum(sizes)) == (40, (1, 11, 21, 31), len(video))
    assert kinds[0] == 6  # the seed, before the first picture
    assert [index for index, kind in enumerate(kinds) if kind == 5] == [10, 20, 30]
    assert set(kinds[1:10]) == {1}


@pytest.mark.parametrize(("width", "height"), [(0, 720), (1281, 720), (30, 30), (5000, 720)])
def test_a_size_that_cannot_be_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError):
        mp4.make(width, height, 5)
