"""The picture sizes in an H.264 stream itself. They may differ from what its container says.

FFmpeg reads the size from the stream's sequence parameter sets (ITU-T H.264, 7.3.2.1.1) and
allocates memory for it when it opens the file. A file of 14 kB can make it allocate a gigabyte.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator

Size = tuple[int, int]

MAX_SET_BYTES = 1000
MAX_SETS = 1000
"""Most different parameter sets. Encoders repeat the same ones before every key frame."""
HIGH = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
"""Profiles whose parameter sets have further fields about colour before the size."""
_CODECS = re.compile(rb"(?i)[hxqv]264|avc[1-4]|dva[1v]|davc|vssh|gavc|umsv|tshd|inmc|smv2")
"""The names of H.264 in containers."""
_START = re.compile(rb"\0\0\x01[\x27\x47\x67]")
_MARKED = re.compile(rb"\0\0([\0-\3].)[\x27\x47\x67]", re.DOTALL)
_CONFIGURATION = re.compile(rb"avcC\x01.{4}(.)", re.DOTALL)


def is_named(header: bytes) -> bool:
    """Whether the head of an avi, or the index of an mp4, names H.264 among its codecs."""
    return _CODECS.search(header) is not None


def sizes(content: bytes | mmap.mmap) -> list[Size]:
    """Width and height of every different parameter set. Raises ValueError for over MAX_SETS."""
    seen: dict[bytes, None] = {}
    for body in _sets(content):
        seen[body] = None
        if len(seen) > MAX_SETS:
            raise ValueError(f"over {MAX_SETS} H.264 parameter sets")
    return [size for body in seen for size in _size(body)]


def _sets(content: bytes | mmap.mmap) -> Iterator[bytes]:
    """Yield every parameter set of the content, without its first byte.

    A set follows a start code (Annex B), follows a length of four bytes as in an mp4's frames, or
    stands in an mp4's index. H.264 makes sure that data within frames does not look like a set.
    """
    for match in _START.finditer(content):
        yield content[match.end() : match.end() + MAX_SET_BYTES].partition(b"\0\0\1")[0]
    for match in _MARKED.finditer(content):
        n_bytes = int.from_bytes(match[1], "big") - 1
        yield content[match.end() : match.end() + max(0, n_bytes)]
    for match in _CONFIGURATION.finditer(content):
        at = match.end()
        for _ in range(match[1][0] & 31):
            n_bytes = int.from_bytes(content[at : at + 2], "big")
            yield content[at + 3 : at + 2 + n_bytes]
            at += 2 + n_bytes


class _Bits:
    """A reader of bits: fixed-length (u) and Exp-Golomb (ue) numbers.

    It raises IndexError beyond the end.
    """

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
    """The size in a parameter set without its first byte, or nothing if it cannot be parsed."""
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
