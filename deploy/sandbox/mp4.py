"""Real, playable MP4 files in pure Python: H.264 Constrained Baseline, one colour per second.

A second begins with an IDR picture. Its first macroblock is I_PCM and carries
the colour; all others predict from it without residual, one byte each. The
pictures between skip every macroblock. So a clip costs about 20 KB and, with
the pictures cached, far less than a millisecond. Numbers in brackets are
sections of ITU-T H.264 and of ISO/IEC 14496-12 (file) and -15 (avcC).
"""

from __future__ import annotations

import struct
from functools import lru_cache

MACROBLOCK = 16
PALETTE = 24
"""Number of colours; few, so that their pictures stay in the cache."""

MARK_ID = bytes.fromhex("63616c6c736865657473616e64626f78")
"""The UUID under which the seed stands in the stream, as unregistered user data [H.264 D.1.7]."""

SLICE_NON_IDR, SLICE_IDR, SEI, SPS, PPS = 0x41, 0x65, 0x06, 0x67, 0x68
"""NAL unit headers [7.3.1]: reference importance and type."""

MATRIX = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
MOVIE_TIMESCALE = 1000


def make(width: int, height: int, seconds: float, fps: int = 24, seed: int = 0) -> bytes:
    """An MP4 of *width* x *height* pixels (even, 32 to 4096) that lasts *seconds*.

    Files of different *seed* (0 to 2**64 - 1) differ in bytes, and mostly in colours; the same
    arguments give the same bytes.
    """
    if width % 2 or height % 2 or not (32 <= width <= 4096 and 32 <= height <= 4096):
        raise ValueError(f"width and height must be even and within 32..4096, got {width}x{height}")
    pictures = [_picture(width, height, fps, seed, index) for index in range(max(1, round(seconds * fps)))]
    pictures[0] = _length_prefixed(_mark(seed)) + pictures[0]
    header = _header(width, height, fps, tuple(map(len, pictures)))
    return b"".join((header, struct.pack(">I4s", 8 + sum(map(len, pictures)), b"mdat"), *pictures))


# --- H.264 -------------------------------------------------------------------------------------------------


class _Bits:
    """A row of bits, written from the left."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def u(self, value: int, width: int) -> _Bits:
        """A number of fixed width."""
        self._bits.append(format(value, f"0{width}b"))
        return self

    def ue(self, *values: int) -> _Bits:
        """Exp-Golomb numbers [9.1]."""
        for value in values:
            code = format(value + 1, "b")
            self._bits.append("0" * (len(code) - 1) + code)
        return self

    def raw(self, bits: str) -> _Bits:
        self._bits.append(bits)
        return self

    def align(self) -> _Bits:
        return self.raw("0" * (-sum(map(len, self._bits)) % 8))

    def nal(self, header: int) -> bytes:
        """The NAL unit: stop bit, padding and emulation prevention added [7.3.1, 7.3.2.11]."""
        bits = "".join((*self._bits, "1"))
        bits += "0" * (-len(bits) % 8)
        return bytes([header]) + _without_start_codes(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _without_start_codes(payload: bytes) -> bytes:
    """Break up every 00 00 0x (x <= 3) with a 03, so that no start code shows [7.4.1]."""
    out = bytearray()
    zeros = 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def _macroblocks(pixels: int) -> int:
    return -(-pixels // MACROBLOCK)


def _level(width: int, height: int) -> int:
    """The lowest usual level whose picture size fits [table A-1]."""
    size = _macroblocks(width) * _macroblocks(height)
    return 31 if size <= 3600 else 40 if size <= 8192 else 51 if size <= 36864 else 62


@lru_cache(maxsize=64)
def _sequence_parameters(width: int, height: int) -> bytes:
    across, down = _macroblocks(width), _macroblocks(height)
    bits = _Bits().u(66, 8).u(0b11000000, 8).u(_level(width, height), 8)
    bits.ue(0, 0, 2, 1).raw("0")  # id 0; 4-bit frame_num; output in decoding order; one reference; no gaps
    bits.ue(across - 1, down - 1).raw("11")  # whole frames; direct 8x8
    right, bottom = (across * MACROBLOCK - width) // 2, (down * MACROBLOCK - height) // 2
    if right or bottom:
        bits.raw("1").ue(0, right, 0, bottom)
    else:
        bits.raw("0")
    return bits.raw("0").nal(SPS)  # no usability information


@lru_cache(maxsize=1)
def _picture_parameters() -> bytes:
    bits = _Bits().ue(0, 0).raw("00").ue(0, 0, 0).raw("0").raw("00")  # CAVLC, one slice group, no weights
    return bits.raw("111").raw("100").nal(PPS)  # three zero QP offsets; deblocking switch in the slice


@lru_cache(maxsize=256)
def _intra_picture(width: int, height: int, colour: tuple[int, int, int], idr_id: int) -> bytes:
    """An IDR picture of one colour (Y, Cb, Cr). Two in a row need different *idr_id* (0 or 1) [7.4.3]."""
    across, down = _macroblocks(width), _macroblocks(height)
    bits = _Bits().ue(0, 7, 0).u(0, 4).ue(idr_id).raw("00").raw("1").ue(1)  # I slice, QP +0, no deblocking
    bits.ue(25).align()  # I_PCM [table 7-11]
    luma, blue, red = colour
    bits.u(luma, 8).raw(format(luma, "08b") * 255).raw(format(blue, "08b") * 64).raw(format(red, "08b") * 64)
    bare = "00100" + "1" + "1"  # Intra16x16, DC prediction, no residual; chroma DC; QP +0
    flat = [bare + "1"] * (across * down - 1)  # coeff_token of no coefficients, quiet neighbours [table 9-5]
    flat[0] = flat[across - 1] = bare + "000011"  # the same beside and below I_PCM, which counts as 16
    return _length_prefixed(bits.raw("".join(flat)).nal(SLICE_IDR))


@lru_cache(maxsize=1024)
def _skipped_picture(width: int, height: int, frame_number: int) -> bytes:
    """A P picture that repeats the one before."""
    bits = _Bits().ue(0, 5, 0).u(frame_number, 4).raw("000").raw("1").ue(1)
    return _length_prefixed(bits.ue(_macroblocks(width) * _macroblocks(height)).nal(SLICE_NON_IDR))


def _picture(width: int, height: int, fps: int, seed: int, index: int) -> bytes:
    second, frame = divmod(index, fps)
    if frame:
        return _skipped_picture(width, height, frame % 16)
    return _intra_picture(width, height, _colour((seed * 7 + second * 5) % PALETTE), second % 2)


def _colour(index: int) -> tuple[int, int, int]:
    """One of the palette, as Y, Cb, Cr within video range; never a byte that needs escaping."""
    return 60 + index * 37 % 150, 64 + index * 53 % 128, 64 + index * 29 % 128


def _mark(seed: int) -> bytes:
    """An SEI message that carries the seed; decoders pass over it."""
    payload = MARK_ID + struct.pack(">Q", seed)
    bits = _Bits().u(5, 8).u(len(payload), 8)
    return bits.raw("".join(format(byte, "08b") for byte in payload)).nal(SEI)


def _length_prefixed(nal: bytes) -> bytes:
    return struct.pack(">I", len(nal)) + nal


# --- the file ----------------------------------------------------------------------------------------------


def _box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)


def _full_box(kind: bytes, layout: str, *values: int | bytes, flags: int = 0, tail: bytes = b"") -> bytes:
    """A box with version 0 and flags before its fields."""
    return _box(kind, struct.pack(">I" + layout, flags, *values), tail)


@lru_cache(maxsize=512)
def _header(width: int, height: int, fps: int, sizes: tuple[int, ...]) -> bytes:
    """`ftyp` and `moov` of a file whose pictures have *sizes* and follow in one `mdat`."""
    ftyp = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    without_offset = _movie(width, height, fps, sizes, 0)
    return ftyp + _movie(width, height, fps, sizes, len(ftyp) + len(without_offset) + 8)


def _movie(width: int, height: int, fps: int, sizes: tuple[int, ...], offset: int) -> bytes:
    duration = len(sizes) * MOVIE_TIMESCALE // fps
    mvhd = _full_box(
        b"mvhd",
        "IIIIIH10x",
        *(0, 0, MOVIE_TIMESCALE, duration, 0x10000, 0x100),
        tail=MATRIX + bytes(24) + struct.pack(">I", 2),
    )
    tkhd = _full_box(
        b"tkhd",
        "IIIIIQHHHH",
        *(0, 0, 1, 0, duration, 0, 0, 0, 0, 0),
        flags=3,
        tail=MATRIX + struct.pack(">II", width << 16, height << 16),
    )
    mdhd = _full_box(b"mdhd", "IIIIHH", 0, 0, fps, len(sizes), 0x55C4, 0)
    hdlr = _full_box(b"hdlr", "I4s12x", 0, b"vide", tail=b"video\0")
    mdia = _box(b"mdia", mdhd, hdlr, _media(width, height, fps, sizes, offset))
    return _box(b"moov", mvhd, _box(b"trak", tkhd, mdia))


def _media(width: int, height: int, fps: int, sizes: tuple[int, ...], offset: int) -> bytes:
    """`minf`: one chunk at *offset* with every picture; each second begins with a key picture."""
    count = len(sizes)
    keys = range(1, count + 1, fps)
    table = _box(
        b"stbl",
        _full_box(b"stsd", "I", 1, tail=_sample_entry(width, height)),
        _full_box(b"stts", "III", 1, count, 1),
        _full_box(b"stss", f"I{len(keys)}I", len(keys), *keys),
        _full_box(b"stsc", "IIII", 1, 1, count, 1),
        _full_box(b"stsz", f"II{count}I", 0, count, *sizes),
        _full_box(b"stco", "II", 1, offset),
    )
    itself = _full_box(b"dref", "I", 1, tail=_full_box(b"url ", "", flags=1))
    return _box(b"minf", _full_box(b"vmhd", "HHHH", 0, 0, 0, 0, flags=1), _box(b"dinf", itself), table)


def _sample_entry(width: int, height: int) -> bytes:
    sps, pps = _sequence_parameters(width, height), _picture_parameters()
    configuration = _box(
        b"avcC",
        bytes([1, *sps[1:4], 0xFF, 0xE1]),  # 4-byte lengths; one SPS
        struct.pack(">H", len(sps)) + sps + b"\x01" + struct.pack(">H", len(pps)) + pps,
    )
    fields = struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 72 << 16, 72 << 16, 0, 1, 24, -1)
    return _box(b"avc1", fields, configuration)
