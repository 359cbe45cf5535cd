"""Word errors: what a speech recogniser hears, in figures, always beside a teacher on the same sentences.

The judge is pocketsphinx with the English model that its wheel carries, in two modes: `free` (its general language
model) and `matrix` (a closed grammar). Its absolute rates say little about a voice; the paired difference between two
voices is what counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..audio.resample import resample
from ..errors import InputError, needed
from .intervals import difference, sentence_weights

if TYPE_CHECKING:
    from pocketsphinx import Decoder

RATE = 16_000  # Hz, the recogniser's
PEAK = 0.7
EDGE_SECONDS = 0.1
# Digital zeros confuse the recogniser's noise estimate; this is about what 16 bits dithered would hold.
HUSH = 3e-4
DICTIONARY = "cmudict-en-us.dict"


class WordErrors(NamedTuple):
    """How far what was heard is from what was said, in words."""

    substitutions: int
    insertions: int
    deletions: int
    words: int

    @property
    def total(self) -> int:
        """All errors together."""
        return self.substitutions + self.insertions + self.deletions


class Comparison(NamedTuple):
    """Word error rates (0.05 is 5 %) of two voices on the same sentences, and their difference second − first.

    `low` and `high` bound the difference's 95 % confidence interval.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float


def words_of(text: str) -> list[str]:
    """A text's words, lower case, without marks and without the recogniser's ``(2)`` and ``<sil>``."""
    plain = re.sub(r"\(\d+\)|<[^>]*>|\[[^\]]*\]", " ", text.lower().replace("’", "'"))
    return [word for part in re.findall(r"[a-z']+", plain) if (word := part.strip("'"))]


def word_errors(reference: str | Sequence[str], heard: str | Sequence[str]) -> WordErrors:
    """Substitutions, insertions and deletions of the shortest edit from `reference` to `heard` (Levenshtein).

    Of equally short edits the one with most substitutions is counted, as NIST's sclite tends to.
    """
    said = words_of(reference) if isinstance(reference, str) else list(reference)
    got = words_of(heard) if isinstance(heard, str) else list(heard)
    # Each cell is (all, insertions, deletions) of the best edit; tuples compare in just that order.
    row = [(i, i, 0) for i in range(len(got) + 1)]
    for count, word in enumerate(said, 1):
        above, row = row, [(count, 0, count)]
        for i, other in enumerate(got, 1):
            total, insertions, deletions = above[i - 1]
            replaced = (total + (word != other), insertions, deletions)
            inserted = (row[i - 1][0] + 1, row[i - 1][1] + 1, row[i - 1][2])
            deleted = (above[i][0] + 1, above[i][1], above[i][2] + 1)
            row.append(min(replaced, inserted, deleted))
    total, insertions, deletions = row[-1]
    return WordErrors(total - insertions - deletions, insertions, deletions, len(said))


def rate_of(errors: Sequence[WordErrors]) -> float:
    """The word error rate of many sentences: all errors ÷ all words. Raises InputError without any word."""
    words = sum(e.words for e in errors)
    if not words:
        raise InputError("word error rate: there are no reference words; give at least one sentence that has some")
    return sum(e.total for e in errors) / words


def compare(
    first: Sequence[WordErrors], second: Sequence[WordErrors], *, draws: int = 10_000, seed: int = 0
) -> Comparison:
    """Rates of two voices on the same sentences, and the bootstrap interval of their difference.

    Sentences are drawn with replacement, both voices' errors together (Bisani and Ney 2004): the noise that both
    share cancels. Raises InputError unless both lists are of the same sentences.
    """
    if len(first) != len(second) or any(a.words != b.words for a, b in zip(first, second)):
        raise InputError(
            f"compare: {len(first)} and {len(second)} sentences that are not the same by their word counts; "
            "judge both voices on the same ones"
        )
    parts = [[(e.total, e.words) for e in errors] for errors in (first, second)]
    between = difference(*parts, weights=sentence_weights(len(first), draws=draws, seed=seed))
    return Comparison(rate_of(first), rate_of(second), between.value, between.low, between.high)


def heard_form(samples: NDArray[np.floating], rate: int) -> NDArray[np.int16]:
    """A wave `[samples]` at `rate` Hz as the recogniser gets it: 16 kHz, peak 0.7, faint noise at both ends."""
    wave = resample(np.asarray(samples, dtype=np.float32), rate, RATE)
    wave = wave * (PEAK / max(float(np.abs(wave).max(initial=0.0)), 1e-6))
    edge = np.random.default_rng(0).normal(0, HUSH, (2, round(EDGE_SECONDS * RATE)))
    return np.round(np.concatenate([edge[0], wave, edge[1]]) * 32767).astype(np.int16)


class Judge:
    """A recogniser in one mode. What it hears of a wave does not depend on what it heard before."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def hear(self, samples: NDArray[np.floating], rate: int) -> str:
        """The words heard in a wave `[samples]` at `rate` Hz; empty for none."""
        self.decoder.start_utt()
        # As a whole utterance: the cepstral mean is this wave's own, not a running one over earlier waves.
        self.decoder.process_raw(heard_form(samples, rate).tobytes(), no_search=False, full_utt=True)
        self.decoder.end_utt()
        hypothesis = self.decoder.hyp()
        return " ".join(words_of(hypothesis.hypstr)) if hypothesis else ""

    def errors(self, text: str, samples: NDArray[np.floating], rate: int) -> WordErrors:
        """Word errors of a wave that should say `text`."""
        return word_errors(text, self.hear(samples, rate))

    def unknown(self, words: Iterable[str]) -> list[str]:
        """Those words that the recogniser's dictionary lacks: it can never hear them."""
        return sorted(word for word in set(words) if self.decoder.lookup_word(word) is None)


def _model() -> Path:
    """The folder of the English model in the recogniser's wheel."""
    with needed("pocketsphinx", "evaluate", "the word error judge"):
        import pocketsphinx
    return Path(pocketsphinx.get_model_path()) / "en-us"


def _decoder(language: Path | None) -> Decoder:
    from pocketsphinx import Config, Decoder

    lm, acoustic = str(language) if language else None, str(_model() / "en-us")
    return Decoder(Config(hmm=acoustic, dict=str(_model() / DICTIONARY), lm=lm, loglevel="FATAL", samprate=RATE))


def free() -> Judge:
    """The judge with the general English language model of its wheel. Raises MissingExtra."""
    return Judge(_decoder(_model() / "en-us.lm.bin"))


def matrix(slots: Sequence[Sequence[str]]) -> Judge:
    """The judge with a closed grammar: one word of each slot, in order. Raises MissingExtra."""
    decoder = _decoder(None)
    decoder.add_jsgf_string("matrix", jsgf(slots).encode())
    decoder.activate_search("matrix")
    return Judge(decoder)


def jsgf(slots: Sequence[Sequence[str]]) -> str:
    """A JSGF grammar of one word from each slot, in order. Raises InputError for an empty slot."""
    if not slots or not all(slots):
        raise InputError("matrix grammar: a slot is empty; give every slot at least one word")
    body = " ".join(f"({' | '.join(slot)})" for slot in slots)
    return f"#JSGF V1.0;\ngrammar matrix;\npublic <sentence> = {body};\n"
