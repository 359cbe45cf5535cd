"""A teacher's labels into the alphabet's symbols, and its wave into the corpus' shape. Every teacher of CMU's family
labels alike: phone, end in seconds, the syllable's stress, the word's number and name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sentences import bare

from portavoz.text.alphabet import CONSONANTS, VOWELS

SILENCE = 0.1  # seconds kept before the first and after the last phone
KNEE = 0.8
HUSH = 1e-4  # the level of the first teacher's own pauses, for a pause that is too short and gets filled up

# The phones of festival's "radio" set that are not among the 39: reduced vowels, taps, syllabic consonants.
RADIO = {
    "ax": ("AH0",), "axr": ("ER0",), "ix": ("IH0",), "ux": ("UW0",), "dx": ("T",), "nx": ("N",), "hv": ("HH",),
    "el": ("AH0", "L"), "em": ("AH0", "M"), "en": ("AH0", "N"), "wh": ("W",),
}  # fmt: skip


class Phone(NamedTuple):
    """One line of the teacher's labels: phone, end in seconds, the syllable's stress, the word's number and name."""

    name: str
    end: float
    stress: str
    word: str
    spelt: str


class LabelError(ValueError):
    """The teacher read something else than the text: the utterance is left out."""


@dataclass(slots=True)
class Labels:
    """Symbols and their end times in seconds, growing together."""

    symbols: list[str]
    ends: list[float]

    def add(self, symbol: str, end: float) -> None:
        self.symbols.append(symbol)
        self.ends.append(end)


def symbols_of(phone: Phone) -> tuple[str, ...]:
    """A phone in the alphabet's symbols. Raises LabelError for one that has none."""
    if phone.name in RADIO:
        return RADIO[phone.name]
    name = phone.name.upper()
    if name in VOWELS:
        return (name + ("1" if phone.stress == "1" else "0"),)
    if name in CONSONANTS:
        return (name,)
    raise LabelError(f"phone {phone.name!r} of {phone.spelt!r} has no symbol")


def parse_labels(text: str) -> list[Phone]:
    """The teacher's label lines."""
    rows = [row.split() for row in text.splitlines() if row.strip()]
    return [Phone(row[0], float(row[1]), row[2], row[3], row[4]) for row in rows]


def grouped(phones: Sequence[Phone]) -> list[list[Phone]]:
    """Phones by word; a split-off ``'s`` or ``'ve`` belongs to the word before it; pauses are groups of their own."""
    groups: list[list[Phone]] = []
    for phone in phones:
        same = groups and groups[-1][-1].word == phone.word
        split_off = groups and phone.spelt.startswith("'") and groups[-1][-1].name != "pau"
        if same or split_off:
            groups[-1].append(phone)
        else:
            groups.append([phone])
    return groups


def spelt(group: Sequence[Phone]) -> str:
    """How the words of a group are written together."""
    return "".join({phone.word: phone.spelt for phone in group}.values())


def label(text: str, phones: Sequence[Phone]) -> Labels:
    """Symbols and end times of a text from the teacher's phones. Raises LabelError where words disagree.

    `text` is normalised; a word is followed by its mark or, where there is none, by a blank, and the
    pause found there (often none) is that gap's time.
    """
    words = re.findall(r"([a-z']+)([,.?!]?)", text)
    result, gap, index = Labels(["^"], [0.0]), 0.0, 0
    for group in grouped(phones):
        gap = group[-1].end
        if group[0].name == "pau":
            result.ends[-1] = gap  # "^" at the start, else the gap after the word before
            continue
        if index == len(words) or bare(words[index][0]) != bare(spelt(group)):
            raise LabelError(f"{text!r} was read with {spelt(group)!r} as word {index + 1}")
        add_word(result, group)
        result.add(words[index][1] or " ", gap)
        index += 1
    if index != len(words):
        raise LabelError(f"{text!r} was read with {index} words instead of {len(words)}")
    if result.symbols[-1] == " ":
        result.symbols[-1] = "."
    return result


def add_word(result: Labels, group: Iterable[Phone]) -> None:
    """A word's phones; one that stands for two symbols shares its time between them."""
    for phone in group:
        names, start = symbols_of(phone), result.ends[-1]
        for part, name in enumerate(names, 1):
            result.add(name, start + (phone.end - start) * part / len(names))


def cut(samples: NDArray[np.float64], rate: int, labels: Labels) -> tuple[NDArray[np.float64], list[float]]:
    """The wave with exactly `SILENCE` seconds before the first and after the last phone, and the moved ends.

    A longer pause is cut (faded over 5 ms), a shorter one filled up with noise as faint as the teacher's pauses.
    """
    first, last = round(labels.ends[0] * rate), round(labels.ends[-2] * rate)
    keep, ramp = round(SILENCE * rate), round(0.005 * rate)
    start, stop = max(first - keep, 0), min(last + keep, len(samples))
    body = samples[start:stop].copy()
    body[:ramp] *= np.linspace(0, 1, ramp)
    body[-ramp:] *= np.linspace(1, 0, ramp)
    whole = np.random.default_rng(len(samples)).normal(0, HUSH, last - first + 2 * keep)
    offset = start - (first - keep)
    whole[offset : offset + len(body)] = body
    shift = SILENCE - labels.ends[0]
    ends = [SILENCE, *(end + shift for end in labels.ends[1:-1]), labels.ends[-2] + shift + SILENCE]
    return whole, ends


def limited(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    """Samples beyond ±`KNEE` bent softly so that none reaches ±0.99; all others stay as they are."""
    over, room = np.abs(wave) - KNEE, 0.99 - KNEE
    return np.where(over > 0, np.sign(wave) * (KNEE + room * np.tanh(np.maximum(over, 0) / room)), wave)


def widened(wave: NDArray[np.float64], rate: int, *, top: float, at: float, slope: float) -> NDArray[np.float64]:
    """A wave that ends at `top` Hz with the band above it filled by the one below, mirrored.

    `at` dB is the copy's level at `top`, and `slope` dB what it loses in every kHz above. A vocoder that serves
    several speakers then finds each of them in all bands, instead of having to tell by ear whose are empty.
    """
    spectrum, bin_hz = np.fft.rfft(wave), rate / len(wave)
    first = round(top / bin_hz)
    new = np.arange(first, min(len(spectrum), 2 * first))
    gain = 10 ** ((at - slope * (new * bin_hz - top) / 1000) / 20)
    spectrum[new] += gain * np.conj(spectrum[2 * first - new])
    return np.fft.irfft(spectrum, len(wave))
