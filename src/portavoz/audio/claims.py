"""What a sound file claims about its length, against what is there: a cut file must not be taken for a whole one.

libsndfile reads what is left of a cut file and says so in its log, or not at all (Ogg). So its log is read, and the
pages of an Ogg file and the first frame of an MP3 are looked at here, before anything is decoded.
"""

from __future__ import annotations

import io
import re
import struct
from typing import IO

UNKNOWN_LENGTH = 0x7FFFF000  # bytes; a WAV that was streamed claims this many or more
# A plain file of one of these says how much sound is in it. Others (IRCAM, PAF, AVR …) do not.
CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3")
# libsndfile's log: the size that a header claims, and the size that there is.
_CLAIM = re.compile(r"^\s*(data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_COUNT = re.compile(r"Calculated frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
_WIDE = ("riff", "Riff size")  # sizes of 64 bits
_PAGE = struct.Struct("<4sBBqIIIB")
_LAST = 4  # the flag of a stream's last page


def cut_by_log(log: str) -> bool:
    """Whether libsndfile's log of an opened file (`extra_info`) says that some of it is missing."""
    for kind, claimed, there in _CLAIM.findall(log):
        most = 1 << 62 if kind in _WIDE else UNKNOWN_LENGTH
        if int(there) < int(claimed) < most:
            return True
    counts = _COUNT.search(log)
    return (counts is not None and int(counts[1]) < int(counts[2])) or "end-of-stream" in log.lower()


def cut_by_content(file: IO[bytes]) -> bool:
    """Whether an Ogg file ends before its last page, a CAF inside a chunk, an MP3 before the bytes that it claims.

    Other files are not looked at. The file is at its start afterwards.
    """
    start = file.read(10)
    try:
        if start[:4] == b"OggS":
            return not _ends(file)
        if start[:4] == b"caff":
            return _cut_caf(file)
        if len(start) == 10 and (start[:3] == b"ID3" or start[:1] == b"\xff"):
            return _cut_mp3(file, start)
        return False
    finally:
        file.seek(0)


def _ends(file: IO[bytes]) -> bool:
    """Whether the pages of an Ogg file follow each other up to one that is its stream's last, whole."""
    size, at, last = file.seek(0, io.SEEK_END), 0, False
    while at + _PAGE.size <= size:
        file.seek(at)
        mark, _, flags, _, _, _, _, count = _PAGE.unpack(file.read(_PAGE.size))
        lacing = file.read(count)
        if mark != b"OggS" or len(lacing) < count:
            return last  # something else behind the last page, such as a tag
        at += _PAGE.size + count + sum(lacing)
        if at > size:
            return False
        last = bool(flags & _LAST)
    return last and at <= size


def _cut_caf(file: IO[bytes]) -> bool:
    """Whether a chunk of a CAF reaches beyond its end. A size of −1, for "up to the end", reaches there."""
    size, at = file.seek(0, io.SEEK_END), 8
    while at < size:
        file.seek(at)
        header = file.read(12)
        length = int.from_bytes(header[4:], "big", signed=True)
        if len(header) < 12 or at + 12 + length > size:
            return True
        if length < 0:
            return False
        at += 12 + length
    return at > size


def _cut_mp3(file: IO[bytes], start: bytes) -> bool:
    """Whether an MP3 with a Xing, Info or VBRI header has fewer bytes than that claims."""
    size, at = file.seek(0, io.SEEK_END), 0
    if start[:3] == b"ID3":
        high, upper, lower, low = start[6:10]
        at = 10 + ((high & 127) << 21 | (upper & 127) << 14 | (lower & 127) << 7 | low & 127)
    file.seek(at)
    head = file.read(256)
    for mark, place in ((b"Xing", 8), (b"Info", 8)):
        found = head.find(mark)
        if found >= 0 and len(head) >= found + place + 8:
            flags = int.from_bytes(head[found + 4 : found + 8], "big")
            # Frames (flag 1) come before bytes (flag 2).
            claim = found + place + (4 if flags & 1 else 0)
            return bool(flags & 2) and size - at < int.from_bytes(head[claim : claim + 4], "big")
    found = head.find(b"VBRI")
    return found >= 0 and size - at < int.from_bytes(head[found + 10 : found + 14], "big")
