"""Blind listening tests as one page: systems are shuffled and hidden, and the answers are a file to download.

`mos`     each sound by itself, 1 (bad) to 5 (excellent): absolute category rating, ITU-T P.800
`ab`      two sounds of the same sentence: which one is better, or neither
`mushra`  all sounds of a sentence against an open reference, 0 to 100, with a hidden reference and an anchor
          low-passed at 3.5 kHz: ITU-R BS.1534-3
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic
from ..audio.files import read
from ..audio.resample import resample
from ..errors import InputError
from ..flow import Wave
from ..input_files import is_file, is_folder
from ..pages import render
from ..train.data.layouts import SOUNDS
from . import embed
from .sentences import LONGEST, Sentence
from .speaking import Subject, synthesize

FORMAT, VERSION = "portavoz-listening", 1
TESTS = ("mos", "ab", "mushra")
REFERENCE, ANCHOR = "reference", "anchor"
ANCHOR_RATE = 7000  # Hz: low-passes at 3.5 kHz
MOST = 12  # sounds on one MUSHRA screen, BS.1534-3 section 5.1

Sounds = dict[str, Wave]  # by the sentence's id


def is_sound_folder(name: str) -> bool:
    """Whether a name is a folder of sound files rather than a voice."""
    folder = Path(name)
    if not is_folder(folder) or is_file(folder / "voice.json") or is_file(folder / "config.json"):
        return False
    return any(path.suffix.lower() in SOUNDS for path in folder.iterdir())


def read_sound_folder(folder: str | Path) -> Sounds:
    """Every sound file of a folder, by its name without ending. Raises InputError."""
    paths = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in SOUNDS)
    if len({p.stem for p in paths}) < len(paths):
        raise InputError(f"{folder}: two sound files of one name with different endings; keep one of each")
    return {path.stem: read(path, max_seconds=LONGEST) for path in paths}


def gather(
    systems: Sequence[Subject], sentences: Sequence[Sentence], count: int
) -> tuple[list[Sounds], list[Sentence]]:
    """Each system's sounds, and the sentences (at most `count`) that all of them have.

    A system is a voice, or a folder of sound files named after the sentences' ids. With folders alone the sentences
    are their common files. Raises PortavozError.
    """
    folders = {s.voice: read_sound_folder(s.voice) for s in systems if s.voice and is_sound_folder(s.voice)}
    known = {s.id: s for s in sentences}
    if all(s.voice in folders for s in systems):
        ids = set.intersection(*(set(sounds) for sounds in folders.values()))
        chosen = [known.get(id, Sentence(id, "")) for id in sorted(ids)]
    else:
        chosen = [s for s in sentences if all(s.id in sounds for sounds in folders.values())]
    if not chosen:
        raise InputError(
            f"{' and '.join(s.name for s in systems)}: no common sentence; name the files of a folder "
            "like the others' or like the ids of --corpus"
        )
    steps = np.linspace(0, len(chosen), min(count, len(chosen)), endpoint=False)
    chosen = [chosen[int(i)] for i in steps]
    return [_sounds(system, chosen, folders) for system in systems], chosen


def _sounds(system: Subject, chosen: Sequence[Sentence], folders: Mapping[str, Sounds]) -> Sounds:
    if system.voice and system.voice in folders:
        return {s.id: folders[system.voice][s.id] for s in chosen}
    return {s.id: wave for s, wave in zip(chosen, synthesize(system, [s.text for s in chosen]).waves)}


def design(
    test: str,
    names: Sequence[str],
    sounds: Sequence[Sounds],
    *,
    sentences: Sequence[Sentence],
    reference: Sounds | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """A test as plain values, which the page holds. Raises InputError for systems that the test does not allow."""
    check(test, names)
    lacking = [s.id for s in sentences if s.id not in (reference or {})]
    if test == "mushra" and lacking:
        raise InputError(
            f"mushra: no reference for the sentence {lacking[0]}; give --reference FOLDER, or --corpus with recordings"
        )
    trials: list[dict[str, Any]] = []
    for s in sentences:
        clips = [{"system": name, "sound": _sound(of[s.id])} for name, of in zip(names, sounds)]
        about = {"sentence": s.id, "text": s.text}
        if test == "mos":
            trials += [{**about, "clips": [clip]} for clip in clips]
        elif test == "ab":
            trials += [{**about, "clips": list(pair)} for pair in combinations(clips, 2)]
        else:
            assert reference is not None
            shown = _sound(reference[s.id])
            hidden = [{"system": REFERENCE, "sound": shown}, {"system": ANCHOR, "sound": _anchor(reference[s.id])}]
            trials.append({**about, "reference": shown, "clips": clips + hidden})
    body = {"format": FORMAT, "version": VERSION, "test": test, "seed": seed, "systems": list(names), "trials": trials}
    return {"page": hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16], **body}


def write(made: dict[str, Any], path: str | Path, *, title: str = "Listening test") -> None:
    """The page as a file. Raises InputError when it cannot be written."""
    with atomic(path, "w") as out:
        out.write(html(made, title=title))


def html(made: dict[str, Any], *, title: str) -> str:
    """The whole page. Its data is encoded so that the source does not show the systems at a glance; it is no secret."""
    data = base64.b64encode(json.dumps(made).encode()).decode()
    return render(Path(__file__).with_name("templates"), "listening.html.j2", title=title, data=data)


def check(test: str, names: Sequence[str]) -> None:
    """Raise InputError for systems that the test does not allow."""
    if test not in TESTS:
        raise InputError(f"test {test!r}: choose one of {', '.join(TESTS)}")
    if len(set(names)) < len(names) or {REFERENCE, ANCHOR} & set(names):
        raise InputError(f"{', '.join(names)}: two of one name, or one called {REFERENCE} or {ANCHOR}; rename a folder")
    if test == "ab" and len(names) < 2:
        raise InputError(f"{names[0]}: a comparison needs two systems; name another one")
    if test == "mushra" and len(names) > MOST - 2:
        raise InputError(f"{len(names)} systems: a MUSHRA screen holds at most {MOST - 2} besides reference and anchor")


def _sound(wave: Wave) -> str:
    return embed.sound(embed.level(wave))


def _anchor(wave: Wave) -> str:
    low = resample(resample(wave.samples, wave.rate, ANCHOR_RATE), ANCHOR_RATE, wave.rate)
    return _sound(Wave(low, wave.rate))
