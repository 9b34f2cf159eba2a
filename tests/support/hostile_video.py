"""H.264 in AVI, written bit by bit: the stream has a size of its own beside the container's."""

from __future__ import annotations

import struct
from collections.abc import Sequence


class Bits:
    def __init__(self) -> None:
        self.text = ""

    def u(self, n_bits: int, value: int) -> Bits:
        self.text += f"{value:0{n_bits}b}"
        return self

    def ue(self, *values: int) -> Bits:
        """Exp-Golomb codes."""
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def aligned(self) -> Bits:
        self.text += "0" * (-len(self.text) % 8)
        return self

    def bytes(self) -> bytes:
        return int(self.text, 2).to_bytes(len(self.text) // 8, "big")


def unit(header: int, bits: Bits, tail: bytes = b"") -> bytes:
    """A NAL unit of Annex B, its own bytes kept from looking like a start code."""
    body = bits.u(1, 1).aligned().bytes() if not tail else bits.aligned().bytes() + tail + b"\x80"
    escaped, zeros = bytearray(), 0
    for byte in body:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = 0 if byte else zeros + 1
    return b"\0\0\0\1" + bytes([header]) + bytes(escaped)


def sequence_set(width: int, height: int) -> bytes:
    """Says the picture's size, in macroblocks of 16 pixels."""
    bits = Bits().u(8, 66).u(8, 0).u(8, 62).ue(0, 0, 2, 0).u(1, 0)
    return unit(0x67, bits.ue(width // 16 - 1, height // 16 - 1).u(4, 0b1000))


def picture_set() -> bytes:
    return unit(0x68, Bits().ue(0, 0).u(2, 0).ue(0, 0, 0).u(3, 0).ue(0, 0, 0).u(3, 0))


def picture(number: int, n_blocks: int) -> bytes:
    """A key frame whose macroblocks are plain pixels."""
    bits, tail = Bits().ue(0, 7, 0).u(4, 0).ue(number % 2).u(2, 0).ue(0), b""
    bits.ue(25).aligned()
    block = bytes([90 + number]) * 384
    tail = block
    for _ in range(n_blocks - 1):  # ue(25) and the bits to the next byte
        tail += bytes([0b00001101, 0b00000000]) + block
    return unit(0x65, bits, tail)


def avi(frames: Sequence[bytes], width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)

    main = struct.pack(
        "<14I", 40_000, 10**6, 0, 0, len(frames), 0, 1, 10**6, width, height, *[0] * 4
    )
    head = b"vidsH264" + struct.pack("<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, 25, 0, len(frames), 10**6,
                                     0, 0, 0, 0, width, height)  # fmt: skip
    form = struct.pack("<IiiHH4sIIIII", 40, width, height, 1, 24, b"H264", 0, 0, 0, 0, 0)
    stream = chunk(b"LIST", b"strl" + chunk(b"strh", head) + chunk(b"strf", form))
    parts = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + stream)
    movie = chunk(b"LIST", b"movi" + b"".join(chunk(b"00dc", frame) for frame in frames))
    return chunk(b"RIFF", b"AVI " + parts + movie)


def h264(width: int, height: int, *, n_frames: int = 3, changes_at: int = 0) -> bytes:
    """A film whose container says 64 x 48, and its stream from frame `changes_at` on the rest."""
    sets = [sequence_set(*((width, height) if i >= changes_at else (64, 48))) + picture_set()
            for i in range(n_frames)]  # fmt: skip
    return avi([sets[i] + picture(i, 12) for i in range(n_frames)], 64, 48)
