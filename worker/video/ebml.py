"""Reading EBML, the elements that Matroska is made of [RFC 8794]."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from worker.errors import NotAVideoError
from worker.video.bounds import Budget

LONGEST_ID, LONGEST_SIZE = 4, 8
LONGEST_HEADER = LONGEST_ID + LONGEST_SIZE


def read_header(data: bytes | memoryview) -> tuple[int, int | None, int] | None:
    """Id, size and length of the header that begins *data*; None where more bytes are needed.

    The size is None where the element does not tell it. Raises `ValueError` where no element begins.
    """
    if not data:
        return None
    id_length = _length(data[0], LONGEST_ID)
    if len(data) <= id_length:
        return None
    size_length = _length(data[id_length], LONGEST_SIZE)
    end = id_length + size_length
    if len(data) < end:
        return None
    unknown = (1 << 7 * size_length) - 1
    size = int.from_bytes(data[id_length:end], "big") & unknown
    return int.from_bytes(data[:id_length], "big"), None if size == unknown else size, end


def read_number(data: bytes | bytearray) -> tuple[int, int]:
    """The number of variable length that begins *data*, and its length; raises `ValueError` where there is none."""
    length = _length(data[0], LONGEST_SIZE) if data else 1
    if len(data) < length:
        raise ValueError
    return int.from_bytes(data[:length], "big") & ((1 << 7 * length) - 1), length


def children(parent: memoryview, budget: Budget) -> Iterator[tuple[int, memoryview]]:
    """Id and body of each element in *parent*."""
    at = 0
    while at < len(parent):
        budget.take_box()
        try:
            header = read_header(parent[at : at + LONGEST_HEADER])
        except ValueError:
            header = None
        if header is None or header[1] is None or at + header[2] + header[1] > len(parent):
            raise NotAVideoError("corrupt", "an element does not fit in the one around it")
        begin = at + header[2]
        at = begin + header[1]
        yield header[0], parent[begin:at]


def unsigned(body: bytes | bytearray | memoryview) -> int:
    """The value of an unsigned element."""
    return int.from_bytes(body[:8], "big")


def real(body: memoryview) -> float:
    """The value of a floating-point element; 0.0 for one that has none."""
    forms = {4: ">f", 8: ">d"}
    (value,) = struct.unpack(forms[len(body)], body) if len(body) in forms else (0.0,)
    return float(value)


def _length(first: int, longest: int) -> int:
    """The number of bytes of a number that begins with this one."""
    length = 9 - first.bit_length()
    if length > longest:
        raise ValueError
    return length
