"""Parts of speech of the words of a sentence: a linear model over words and their neighbours, read greedily.

An averaged perceptron (Collins 2002; Daumé's averaging) with hashed features, so that the model is one table of small
numbers and needs no list of words: `recipes/tagger.py` trains it. What a word adds to the score of each tag at its own
place and at its neighbours' is summed once and cached, so that a sentence costs a few vector sums.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The Penn Treebank's tags, without what no rule asks for: one tag for the adjective's and the adverb's three degrees,
# one for all question words, one for what is no word of English. "," is a mark.
TAGS = (
    "NN NNS NNP VB VBP VBZ VBD VBN VBG JJ RB IN RP DT PRP PRP$ WH MD TO CC CD POS X ,"
).split()  # fmt: skip
NUMBER = {tag: index for index, tag in enumerate(TAGS)}
ROWS = 1 << 16  # of the hashed table
EDGE = "|"  # stands before and after a sentence, twice
ROLES = 5  # places that a word speaks for: its own, the next, the last, the next but one, the last but one


def features(token: str) -> tuple[tuple[str, ...], ...]:
    """What a token adds at each of the places `ROLES`; "^" before a token says that it is written with a capital."""
    word = token.lstrip("^")
    own = (f"w{word}", f"s{word[-3:]}", f"t{word[-2:]}", f"p{word[:2]}", f"c{token[0] == '^'}{len(word) < 4}")
    return own, (f"l{word}", f"m{word[-3:]}"), (f"n{word}", f"o{word[-3:]}"), (f"k{word}",), (f"q{word}",)


def row(feature: str) -> int:
    """The row of a feature in the hashed table."""
    return zlib.crc32(feature.encode()) % ROWS


def pairs(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """The rows of (last, this) and (this, next) for each token."""
    bare = [EDGE, *(token.lstrip("^") for token in tokens), EDGE]
    rows = [row(f"+{one} {other}") for one, other in zip(bare, bare[1:])]
    after = [row(f"-{one} {other}") for one, other in zip(bare[1:], bare[2:])]
    return list(zip(rows, after))


class Tagger:
    """The model of a ``.npz`` file: int8 scores `[ROWS, tags]` and `[tags, tags, tags]` of what came before."""

    def __init__(self, path: str | Path) -> None:
        import numpy as np

        with np.load(path, allow_pickle=False) as packed:
            self._table = packed["table"]
            self._follow = packed["follow"].astype(np.int16)
        self._parts = lru_cache(maxsize=8192)(self._sum)

    def _sum(self, token: str) -> NDArray[np.int16]:
        """What a token adds at each place `[ROLES, tags]`."""
        import numpy as np

        rows = [[row(feature) for feature in place] for place in features(token)]
        return np.stack([self._table[place].sum(0, dtype=np.int16) for place in rows])

    def tag(self, tokens: Sequence[str]) -> list[str]:
        """The tag of each token: lower-case words ("^" before a capital that does not begin the sentence), marks."""
        import numpy as np

        if not tokens:
            return []
        parts = np.stack([self._parts(token) for token in (EDGE, EDGE, *tokens, EDGE, EDGE)])
        n = len(tokens)
        scores = (
            parts[2 : n + 2, 0] + parts[1 : n + 1, 1] + parts[3 : n + 3, 2] + parts[:n, 3] + parts[4 : n + 4, 4]
            + self._table[pairs(tokens)].sum(1, dtype=np.int16)
        )  # fmt: skip
        mark = NUMBER[","]
        last, before, out = mark, mark, list[str]()
        for score in scores:
            last, before = int((score + self._follow[before, last]).argmax()), last
            out.append(TAGS[last])
        return out


@cache
def tagger() -> Tagger:
    """The tagger that comes with portavoz, opened once and when first asked for."""
    with as_file(files("portavoz.text") / "data" / "tagger.npz") as path:
        return Tagger(path)
