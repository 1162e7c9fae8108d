"""Compressed bitmaps of git, in which a split index lists positions (gitformat-bitmap(5), appendix A).

64-bit words: after a marker with the number of words that are all zeros or all ones, and a number of literal words,
follow the literal words. The compression is that of Lemire, Kaser and Aouiche: Sorting improves word-aligned bitmap
indexes (2010).
"""

import struct

MAX_POSITIONS = 1 << 24


class MalformedBitmap(Exception):
    """Raised for a bitmap that is truncated, or has positions beyond its size or MAX_POSITIONS."""


def decode_bitmap(data: bytes, at: int) -> tuple[list[int], int]:
    """The positions of the ones in the bitmap at an offset, from 0, and the offset of its end.

    Raises MalformedBitmap, or struct.error if the data end before the bitmap does.
    """
    num_bits, num_words = struct.unpack_from(">II", data, at)
    words = struct.unpack_from(f">{num_words}Q", data, at + 8)
    if num_bits > MAX_POSITIONS:
        raise MalformedBitmap
    positions: list[int] = []
    word, base = 0, 0
    while word < num_words:
        marker = words[word]
        run, literals = (marker >> 1) & 0xFFFFFFFF, marker >> 33
        if base + 64 * (run + literals) > num_bits + 63:
            raise MalformedBitmap
        if marker & 1:
            positions.extend(range(base, base + 64 * run))
        base += 64 * run
        for literal in words[word + 1 : word + 1 + literals]:
            positions.extend(base + bit for bit in range(64) if literal >> bit & 1)
            base += 64
        word += 1 + literals
    return positions, at + 12 + 8 * num_words
