"""Joined answers of listening tests: means and preferences, with intervals over listeners and sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..config_reader import read_object
from ..errors import InputError
from .intervals import DRAWS, Interval, crossed_weights, difference, figure
from .listening import ANCHOR, REFERENCE, TESTS

FORMAT, VERSION = "portavoz-listening-result", 1
SCALES = {"mos": (1, 5), "mushra": (0, 100)}
# BS.1534-3, section 4.1.2 excludes listeners who rate the hidden reference below 90 in more than 15 % of the trials.
SEEN, MISSED = 90, 0.15
MOST = 100  # systems of one test; every pair of them is compared
LARGEST = 40_000_000  # numbers in the draws of a group: 320 MB; a larger group has fewer draws
MOST_PAIRS = MOST * (MOST - 1) // 2
CHOICES = ("first", "none", "second")


@dataclass(frozen=True, slots=True)
class Rating:
    """One score of one system; of a preference 1 for the system, 0 for `against`, ½ for neither."""

    listener: str
    sentence: str
    system: str
    score: float
    against: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """The ratings of one kind of test, and the excluded listeners with the reason."""

    test: str
    ratings: list[Rating]
    excluded: dict[str, str]

    def report(self) -> dict[str, Any]:
        """Plain values for JSON."""
        listeners = len({r.listener for r in self.ratings})
        about = {"test": self.test, "listeners": listeners, "excluded": self.excluded}
        weights = _Weights()
        if self.test == "ab":
            pairs = _grouped(self.ratings, lambda r: (r.system, r.against))
            return {
                **about,
                "preferences": [_preference(first, second, own, weights) for (first, second), own in pairs.items()],
            }
        systems = _grouped(self.ratings, lambda r: r.system)
        means = {name: figure([(r.score, 1.0) for r in own], weights=weights(own)) for name, own in systems.items()}
        return {
            **{**about, "means": {name: one._asdict() for name, one in means.items()}},
            "differences": [
                {"first": a, "second": b, **found._asdict()}
                for a, b in combinations([s for s in systems if s not in (REFERENCE, ANCHOR)], 2)
                if (found := _difference(systems[a], systems[b], weights))
            ],
        }


def join(paths: Sequence[str | Path]) -> Joined:
    """The result files of one kind of test, from one page or several.

    Raises InputError for a file of another kind or test, and for two files of one listener and page.
    """
    files = [(Path(path), _read(Path(path))) for path in paths]
    first, test = files[0][0], files[0][1]["test"]
    for path, found in files:
        if found["test"] != test:
            raise InputError(f"{path}: test {found['test']}, but that of {first} is {test}; join one kind")
    seen: dict[tuple[str, str], Path] = {}
    for path, found in files:
        who = (found["page"], found["listener"])
        if who in seen:
            raise InputError(f"{path}: {found['listener']} answered this page in {seen[who]} too; leave one out")
        seen[who] = path
    ratings = [rating for path, found in files for rating in _ratings(path, found)]
    excluded = _excluded(ratings) if test == "mushra" else {}
    kept = [r for r in ratings if r.listener not in excluded]
    _check_systems(test, kept)
    if not kept:
        raise InputError(f"{len(files)} files: no listener identified the hidden reference; the test is invalid")
    return Joined(test, kept, excluded)


def _check_systems(test: str, ratings: Sequence[Rating]) -> None:
    """Raises InputError for more systems, or pairs, than can be compared each with each in bearable time."""
    systems, pairs = len({r.system for r in ratings}), len({(r.system, r.against) for r in ratings})
    if test == "ab" and pairs > MOST_PAIRS:
        raise InputError(f"{pairs} pairs of systems, wanted at most {MOST_PAIRS}; join the answers of fewer pages")
    if test != "ab" and systems > MOST:
        raise InputError(f"{systems} systems, wanted at most {MOST}; join the answers of fewer pages")


def _read(path: Path) -> dict[str, Any]:
    found = read_object(path, "give the answers of a listening page")
    if found.get("format") != FORMAT:
        raise InputError(f"{path}: not the answers of a listening page; download them at its end")
    if found.get("version") != VERSION:
        raise InputError(
            f"{path}: version {found.get('version')!r}, this portavoz reads {VERSION}; install a newer one"
        )
    named = all(isinstance(found.get(key), str) and found[key] for key in ("page", "listener"))
    if not named or found.get("test") not in TESTS or not isinstance(found.get("answers"), list):
        raise InputError(f"{path}: page, listener, test or answers missing; download the answers again")
    return found


def _ratings(path: Path, found: dict[str, Any]) -> list[Rating]:
    rows = []
    for number, row in enumerate(found["answers"], 1):
        rating = _rating(found, row) if isinstance(row, dict) else None
        if rating is None:
            raise InputError(
                f"{path}: answer {number} is {str(row)[:60]!r}, not the answer of a page; download it again"
            )
        rows.append(rating)
    return rows


def _rating(found: dict[str, Any], row: dict[str, Any]) -> Rating | None:
    """One answer, or None for what is none."""
    # The same id on another page is another sentence.
    sentence = f"{found['page']}/{row.get('sentence')}"
    if found["test"] == "ab":
        system, against, choice = row.get("first"), row.get("second"), row.get("preferred")
        if choice not in CHOICES or not isinstance(system, str) or not isinstance(against, str):
            return None
        score = 1 - CHOICES.index(choice) / 2
        # A pair is the same pair in both orders.
        if against < system:
            system, against, score = against, system, 1 - score
        return Rating(found["listener"], sentence, system, score, against)
    low, high = SCALES[found["test"]]
    score, system = row.get("score"), row.get("system")
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not isinstance(system, str):
        return None
    return Rating(found["listener"], sentence, system, float(score)) if low <= score <= high else None


def _excluded(ratings: Sequence[Rating]) -> dict[str, str]:
    found = {}
    for listener in dict.fromkeys(r.listener for r in ratings):
        own = [r.score for r in ratings if r.listener == listener and r.system == REFERENCE]
        missed = sum(score < SEEN for score in own)
        if missed > MISSED * len(own):
            found[listener] = f"graded the hidden reference below {SEEN} in {missed} of {len(own)} trials (BS.1534-3)"
    return found


def _grouped(ratings: Sequence[Rating], key: Callable[[Rating], Any]) -> dict[Any, list[Rating]]:
    """The ratings by a key, both in the order in which they came."""
    out: dict[Any, list[Rating]] = {}
    for rating in ratings:
        out.setdefault(key(rating), []).append(rating)
    return out


class _Weights:
    """The draws of a group of ratings; those of the last design are kept, since most systems have the same."""

    def __init__(self) -> None:
        self._key, self._held = b"", np.zeros((0, 0))

    def __call__(self, ratings: Sequence[Rating]) -> np.ndarray:
        listeners, sentences = (_numbers([getattr(r, name) for r in ratings]) for name in ("listener", "sentence"))
        key = listeners.tobytes() + b"/" + sentences.tobytes()
        if key != self._key:
            draws = max(200, min(DRAWS, LARGEST // len(ratings)))
            self._key, self._held = key, crossed_weights(listeners, sentences, draws=draws)
        return self._held


def _numbers(names: Sequence[str]) -> np.ndarray:
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names])


def _difference(first: Sequence[Rating], second: Sequence[Rating], weights: _Weights) -> Interval | None:
    """Second − first where a listener graded both for a sentence."""
    scores = {(r.listener, r.sentence): r.score for r in second}
    own = [r for r in first if (r.listener, r.sentence) in scores]
    if not own:
        return None
    parts = [(r.score, 1.0) for r in own], [(scores[r.listener, r.sentence], 1.0) for r in own]
    return difference(*parts, weights=weights(own))


def _preference(first: str, second: str, own: Sequence[Rating], weights: _Weights) -> dict[str, Any]:
    """How often the first was preferred to the second ("no preference" counts half), and the sign test's p.

    The sign test is two-sided and exact, without ties. It takes answers as independent, which those of one listener
    are not; the interval does not.
    """
    wins, losses = sum(r.score == 1 for r in own), sum(r.score == 0 for r in own)
    tail = sum(math.comb(wins + losses, k) for k in range(max(wins, losses), wins + losses + 1))
    chance = min(1.0, 2 * tail / 2 ** (wins + losses))
    return {
        **{"first": first, "second": second, **figure([(r.score, 1.0) for r in own], weights=weights(own))._asdict()},
        **{"prefer_first": wins, "prefer_second": losses, "no_preference": len(own) - wins - losses},
        "sign_test": chance,
    }
