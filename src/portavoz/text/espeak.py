"""Phonemes of any language by the program `espeak-ng`, where it is installed.

espeak-ng is under the GPL: it is called as a program, and is neither linked nor a part of this package.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..errors import BackendError, InputError
from .chunks import AFTER_PARAGRAPH, AFTER_SENTENCE, TextChunk
from .normalize import Spoken
from .split import Sentence, sentences

PROGRAMS = ("espeak-ng", "espeak")
SECONDS = 20  # for one clause; it takes some milliseconds
MARKS = ",;:.!?¡¿…—"
_TOKEN = re.compile(r"\S+")
_CLAUSE = re.compile(r"[,;:.!?…—]+(?=[\"'”’»)\]}]*(?:\s|$))")
_SWITCH = re.compile(r"\([a-z-]+\)")  # espeak marks the words that it reads in another language


def program(language: str) -> str:
    """The path of the installed program. Raises BackendError where there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise BackendError(
            f"language {language!r}: its phonemes come from the program espeak-ng, which is not installed here; "
            "install it (Debian: apt install espeak-ng), or choose an English voice"
        )
    return found


@lru_cache(maxsize=20_000)
def phonemes(text: str, language: str) -> str:
    """A clause in IPA, words separated by blanks. Raises BackendError, and InputError for an unknown language."""
    command = [program(language), "-q", "--ipa", "-v", language, "--stdin"]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BackendError(f"espeak-ng did not answer for {text[:40]!r} ({problem}); install it again") from problem
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise InputError(f"language {language!r}: espeak-ng refused it ({reason[0][:120]}); choose another voice")
    said = _SWITCH.sub("", done.stdout.decode("utf-8", errors="replace"))
    return unicodedata.normalize("NFD", " ".join(said.split()))


def split_text(text: str | Iterable[str], language: str, *, limit: int) -> Iterator[TextChunk]:
    """`text` in pieces of at most `limit` letters of IPA, lazily; `symbols` are those letters, marks as written.

    A sentence that is longer is cut at its marks, else between words.
    """
    for sentence in sentences(text):
        pieces = list(_pieces(sentence, language, limit))
        for number, units in enumerate(pieces, 1):
            last = number == len(pieces)
            silence = AFTER_PARAGRAPH if sentence.paragraph_end else AFTER_SENTENCE
            yield _chunk(units, "." if last else ",", silence if last else 0.0)


Unit = tuple[Spoken, str]  # a written token and its IPA


def _pieces(sentence: Sentence, language: str, limit: int) -> Iterator[list[Unit]]:
    held: list[Unit] = []
    size = 0
    for clause in _clauses(sentence):
        for unit in _units(clause, language):
            if held and size + len(unit[1]) + 2 > limit:
                yield held
                held, size = [], 0
            held.append(unit)
            size += len(unit[1]) + 2
    if held:
        yield held


def _clauses(sentence: Sentence) -> Iterator[list[Spoken]]:
    """Written tokens up to each mark."""
    clause: list[Spoken] = []
    for found in _TOKEN.finditer(sentence.text):
        mark = _CLAUSE.search(found.group())
        sign = "" if mark is None else mark.group()[-1]
        sign = {"…": ".", "—": ","}.get(sign, sign)
        start = sentence.start + found.start()
        clause.append(Spoken(found.group(), start, start + len(found.group()), (found.group(),), sign))
        if mark:
            yield clause
            clause = []
    if clause:
        yield clause


def _units(clause: list[Spoken], language: str) -> list[Unit]:
    """Each token with its IPA; where espeak joins words, the clause's letters are shared out by the words' own."""
    whole = phonemes(" ".join(token.source for token in clause).rstrip(MARKS), language).split(" ")
    if len(whole) == len(clause):
        return list(zip(clause, whole))
    alone = [phonemes(token.source.rstrip(MARKS), language) for token in clause]
    wanted = [len(one) for one in alone]
    if " ".join(alone).replace(" ", "") == "".join(whole) or not sum(wanted):
        return list(zip(clause, alone))
    letters, out, taken = " ".join(whole), list[Unit](), 0
    for n, token in enumerate(clause, 1):
        end = len(letters) if n == len(clause) else round(len(letters) * sum(wanted[:n]) / sum(wanted))
        # To the nearest gap between groups, so that a group is one word's.
        gap = letters.find(" ", end) if end < len(letters) else len(letters)
        end = len(letters) if gap < 0 else gap
        out.append((token, letters[taken:end].strip()))
        taken = max(taken, end)
    return out


def _chunk(units: list[Unit], mark: str, pause: float) -> TextChunk:
    symbols, owner = ["^"], [-1]
    for index, (token, ipa) in enumerate(units):
        last = index + 1 == len(units)
        sign = token.mark or (mark if last else "")
        symbols += [*ipa, *sign] + ([] if last else [" "])
        owner += [index] * len(ipa) + [-1] * (len(sign) + (not last))
    return TextChunk(tuple(symbols), tuple(owner), tuple(token for token, _ in units), (), (), pause)
