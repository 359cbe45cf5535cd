"""Speaks texts with a voice of flite, and writes beside each wave what festival would write of its own: the labels.

    python recipes/voice/flite.py rms TEXTS FOLDER      TEXTS has lines "name<TAB>text"

`flite -psdur` prints phones and their ends. The library knows the words and the stress too, so it is asked itself
(Debian's libflite1); a process of its own, since it stops when something goes wrong.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

NEEDED = ("libflite_usenglish.so.1", "libflite_cmulex.so.1")
POINTER, TEXT = ctypes.c_void_p, ctypes.c_char_p
FUNCTIONS = {
    "flite_synth_text": (POINTER, [TEXT, POINTER]), "delete_utterance": (None, [POINTER]),
    "utt_relation": (POINTER, [POINTER, TEXT]), "relation_head": (POINTER, [POINTER]),
    "item_next": (POINTER, [POINTER]), "item_parent": (POINTER, [POINTER]), "item_as": (POINTER, [POINTER, TEXT]),
    "item_feat_string": (TEXT, [POINTER, TEXT]), "item_feat_float": (ctypes.c_float, [POINTER, TEXT]),
    "utt_wave": (POINTER, [POINTER]), "cst_wave_save_riff": (ctypes.c_int, [POINTER, TEXT]),
}  # fmt: skip


class Flite:
    """One voice, such as "rms"."""

    def __init__(self, name: str) -> None:
        self.library = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        for needed in NEEDED:
            ctypes.CDLL(needed, mode=ctypes.RTLD_GLOBAL)
        for function, (result, arguments) in FUNCTIONS.items():
            found = getattr(self.library, function)
            found.restype, found.argtypes = result, arguments
        register = getattr(ctypes.CDLL(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
        register.restype, register.argtypes = POINTER, [TEXT]
        self.library.flite_init()
        self.voice = register(None)

    def speak(self, text: str, stem: Path) -> None:
        """Write ``stem.wav`` and ``stem.lab``."""
        utterance = self.library.flite_synth_text(text.encode(), self.voice)
        self.library.cst_wave_save_riff(self.library.utt_wave(utterance), str(stem.with_suffix(".wav")).encode())
        stem.with_suffix(".lab").write_text("".join(f"{line}\n" for line in self._labels(utterance)))
        self.library.delete_utterance(utterance)

    def _labels(self, utterance: int) -> Iterator[str]:
        of = self.library
        numbers: dict[int, int] = {}
        phone = of.relation_head(of.utt_relation(utterance, b"Segment"))
        while phone:
            inside = of.item_as(phone, b"SylStructure")
            syllable = of.item_parent(inside) if inside else None
            stress, number, word = "0", 0, "0"
            if syllable:
                stress = of.item_feat_string(syllable, b"stress").decode()
                at = of.item_parent(syllable)
                # The same word may stand there twice, so it is known by its place.
                number, word = numbers.setdefault(at, len(numbers) + 1), of.item_feat_string(at, b"name").decode()
            name, end = of.item_feat_string(phone, b"name").decode(), of.item_feat_float(phone, b"end")
            yield f"{name} {end:.5f} {stress} {number} {word}"
            phone = of.item_next(phone)


def main() -> None:
    voice, texts, folder = Flite(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    for line in texts.read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition("\t")
        voice.speak(text, folder / name)


if __name__ == "__main__":
    main()
