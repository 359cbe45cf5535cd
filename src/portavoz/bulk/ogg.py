"""Ogg pages with a serial number of our choice. Encoders draw it at random, and two runs would differ.

RFC 3533: a page is "OggS", version, flags, granule (8 bytes), serial (4), page number (4), CRC (4), segment count and
sizes, then the segments. The CRC covers the page with its own field zero: polynomial 0x04c11db7, most significant bit
first, starting with 0.
"""

from __future__ import annotations

import zlib

HEADER = 27  # bytes before the segment sizes
# zlib has the same polynomial with the least significant bit first: reverse the bits of each byte, then of the result.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES = 0xFFFFFFFF


def with_serial(data: bytes, serial: int) -> bytes:
    """The same Ogg stream with another serial number on each page. Raises ValueError for bytes that are no pages."""
    pages, at = bytearray(data), 0
    while at < len(pages):
        count = pages[at + 26] if pages[at : at + 4] == b"OggS" and at + HEADER <= len(pages) else 0
        size = HEADER + count + sum(pages[at + HEADER : at + HEADER + count])
        if not count or at + size > len(pages):
            raise ValueError(f"no whole Ogg page at byte {at}")
        pages[at + 14 : at + 18] = serial.to_bytes(4, "little")
        pages[at + 22 : at + 26] = bytes(4)
        pages[at + 22 : at + 26] = crc(bytes(pages[at : at + size])).to_bytes(4, "little")
        at += size
    return bytes(pages)


def crc(page: bytes) -> int:
    """The checksum of a page whose own field is zero."""
    mirrored = zlib.crc32(page.translate(_REVERSED), _ONES) ^ _ONES
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED), "big")
