"""The picture's size that an H.264 stream has for itself, whatever its container says.

FFmpeg takes it from the stream's sequence parameter sets (ITU-T H.264, 7.3.2.1.1), and asks for
room when it opens the file: a gigabyte for 14 kB.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator

Size = tuple[int, int]

MAX_SET_BYTES = 1000
MAX_SETS = 1000
"""Different ones: encoders repeat theirs before every key frame."""
HIGH = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
"""Profiles whose sets say more of the colours before the size."""
_CODECS = re.compile(rb"(?i)[hxqv]264|avc[1-4]|dva[1v]|davc|vssh|gavc|umsv|tshd|inmc|smv2")
"""What containers call it."""
_START = re.compile(rb"\0\0\x01[\x27\x47\x67]")
_MARKED = re.compile(rb"\0\0([\0-\3].)[\x27\x47\x67]", re.DOTALL)
_CONFIGURATION = re.compile(rb"avcC\x01.{4}(.)", re.DOTALL)


def is_named(header: bytes) -> bool:
    """Whether the head of an AVI, or the index of an mp4, has H.264 among its codecs."""
    return _CODECS.search(header) is not None


def sizes(content: bytes | mmap.mmap) -> list[Size]:
    """Of every different parameter set. Raises ValueError if there are over MAX_SETS of them."""
    seen: dict[bytes, None] = {}
    for body in _sets(content):
        seen[body] = None
        if len(seen) > MAX_SETS:
            raise ValueError(f"over {MAX_SETS} H.264 parameter sets")
    return [size for body in seen for size in _size(body)]


def _sets(content: bytes | mmap.mmap) -> Iterator[bytes]:
    """Behind a start code (Annex B), behind a length in four bytes, as in an mp4's frames, or in
    its index, without their first byte. Within frames, H.264 keeps its data from looking so."""
    for found in _START.finditer(content):
        yield content[found.end() : found.end() + MAX_SET_BYTES].partition(b"\0\0\1")[0]
    for found in _MARKED.finditer(content):
        n_bytes = int.from_bytes(found[1], "big") - 1
        yield content[found.end() : found.end() + max(0, n_bytes)]
    for found in _CONFIGURATION.finditer(content):
        at = found.end()
        for _ in range(found[1][0] & 31):
            n_bytes = int.from_bytes(content[at : at + 2], "big")
            yield content[at + 3 : at + 2 + n_bytes]
            at += 2 + n_bytes


class _Bits:
    """Raises IndexError beyond the end."""

    def __init__(self, content: bytes) -> None:
        self.bits = "".join(f"{byte:08b}" for byte in content.replace(b"\0\0\3", b"\0\0"))
        self.at = 0

    def u(self, n_bits: int) -> int:
        self.at += n_bits
        if self.at > len(self.bits):
            raise IndexError
        return int(self.bits[self.at - n_bits : self.at] or "0", 2)

    def ue(self) -> int:
        n_zeros = 0
        while not self.u(1):
            n_zeros += 1
            if n_zeros > 32:
                raise IndexError
        return (1 << n_zeros) - 1 + self.u(n_zeros)


def _size(body: bytes) -> list[Size]:
    """Of a parameter set without its first byte; nothing if it is none."""
    try:
        bits = _Bits(body)
        profile = bits.u(8)
        bits.u(16)
        if bits.ue() > 31:
            return []
        if profile in HIGH:
            _skip_colours(bits)
        bits.ue()
        order = bits.ue()
        if order == 0:
            bits.ue()
        elif order == 1:
            bits.u(1), bits.ue(), bits.ue()
            for _ in range(bits.ue()):
                bits.ue()
        elif order > 2:
            return []
        bits.ue(), bits.u(1)
        width, height = bits.ue() + 1, bits.ue() + 1
        return [(16 * width, 16 * height * (2 - bits.u(1)))]
    except IndexError:
        return []


def _skip_colours(bits: _Bits) -> None:
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    bits.ue(), bits.ue(), bits.u(1)
    if not bits.u(1):
        return
    for i in range(12 if chroma == 3 else 8):
        if bits.u(1):
            last = following = 8
            for _ in range(16 if i < 6 else 64):
                if following:
                    code = bits.ue()
                    change = (code + 1) // 2 if code % 2 else -(code // 2)
                    following = (last + change) % 256
                last = following or last
