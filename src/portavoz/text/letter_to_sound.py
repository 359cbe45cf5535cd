"""Letter-to-sound: how an unknown word is probably said. NumPy only; `recipes/letters.py` trains the weights.

A convolution and two bidirectional GRUs over the letters; each letter may sound as up to `OUT` phonemes, so
the work is linear in the word's length. Training is by CTC (Graves et al., "Connectionist Temporal
Classification", 2006), and reading takes the likeliest symbol everywhere, merges repeats and drops blanks.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from . import alphabet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

LETTERS = "abcdefghijklmnopqrstuvwxyz"
KERNEL = 5  # letters that the convolution sees at once
OUT = 3  # symbols that one letter can become: "x" is K S, a "u" may be Y UW1
LONGEST = 40  # letters read at once: longer ones are no words, and are read in parts
VOWEL_LETTERS = frozenset("aeiouy")


def letters(word: str) -> list[int]:
    """Numbers of the letters a–z of `word`; 0 stays free for what is before and after a word."""
    return [LETTERS.index(letter) + 1 for letter in word]


class Reader:
    """The trained model of a ``.npz`` file: int8 matrices with a float32 scale per row, float16 vectors."""

    def __init__(self, path: str | Path) -> None:
        import numpy as np

        with np.load(path, allow_pickle=False) as packed:
            self._p: dict[str, Array] = {
                name: self._tensor(packed, name) for name in packed if not name.endswith(".scale")
            }

    @staticmethod
    def _tensor(packed: np.lib.npyio.NpzFile, name: str) -> Array:
        value = packed[name].astype("float32")
        if name + ".scale" in packed:
            value *= packed[name + ".scale"].reshape(-1, *[1] * (value.ndim - 1))
        return value

    def read(self, word: str) -> tuple[str, ...]:
        """Phonemes of a word of the letters a–z; () where the model hears none, or no vowel though one is written."""
        phonemes: list[str] = []
        for at in range(0, len(word), LONGEST):
            phonemes += self._greedy(word[at : at + LONGEST])
        if VOWEL_LETTERS & set(word) and not any(alphabet.is_vowel(p) for p in phonemes):
            return ()
        return _one_primary(phonemes)

    def _greedy(self, word: str) -> list[str]:
        best = self.scores(letters(word)).argmax(-1).tolist()
        return [alphabet.PHONEMES[s - 1] for s, before in zip(best, [0, *best]) if s and s != before]

    def scores(self, numbers: list[int]) -> Array:
        """Unnormalised scores `[letters * OUT, blank + phonemes]` of one word."""
        import numpy as np

        p = self._p
        x = p["embed.weight"][numbers]
        x = np.pad(x, ((KERNEL // 2, KERNEL // 2), (0, 0)))
        windows = np.stack([x[i : i + len(numbers)] for i in range(KERNEL)], axis=-1)
        x = np.maximum(np.tensordot(windows, p["conv.weight"], ([1, 2], [1, 2])) + p["conv.bias"], 0)
        for layer in ("l0", "l1"):
            x = np.concatenate([self._gru(x, layer), self._gru(x[::-1], layer + "_reverse")[::-1]], axis=1)
        return (x @ p["head.weight"].T + p["head.bias"]).reshape(len(numbers) * OUT, -1)

    def _gru(self, x: Array, layer: str) -> Array:
        """One direction of a GRU with the reset gate inside (Cho et al. 2014, as cuDNN has it), from a zero state."""
        import numpy as np

        p = self._p
        inputs = x @ p[f"gru.weight_ih_{layer}"].T + p[f"gru.bias_ih_{layer}"]
        weight, bias = p[f"gru.weight_hh_{layer}"].T, p[f"gru.bias_hh_{layer}"]
        size = len(weight)
        state, states = np.zeros(size, np.float32), np.empty((len(x), size), np.float32)
        for i, given in enumerate(inputs):
            kept = state @ weight + bias
            gates = 0.5 * (1 + np.tanh(0.5 * (given[: 2 * size] + kept[: 2 * size])))
            new = np.tanh(given[2 * size :] + gates[:size] * kept[2 * size :])
            state = new + gates[size:] * (state - new)
            states[i] = state
        return states


def _one_primary(phonemes: list[str]) -> tuple[str, ...]:
    """Every word with a vowel has one primary stress: a second becomes secondary, a missing one is put first."""
    primary = [i for i, p in enumerate(phonemes) if p[-1] == "1"]
    if not primary:
        vowels = [i for i, p in enumerate(phonemes) if alphabet.is_vowel(p)]
        primary = [next((i for i in vowels if phonemes[i][-1] == "2"), vowels[0])] if vowels else []
    return tuple(
        p if not alphabet.is_vowel(p) else p[:-1] + ("1" if primary[0] == i else "2" if p[-1] == "1" else p[-1])
        for i, p in enumerate(phonemes)
    )


@cache
def reader() -> Reader:
    """The model that comes with portavoz, opened once and when first asked for."""
    with as_file(files("portavoz.text") / "data" / "letters.npz") as path:
        return Reader(path)


def read(word: str) -> tuple[str, ...]:
    """Phonemes of a word of the letters a–z by the model that comes with portavoz; () where it finds none."""
    return reader().read(word)
