"""Train the letter-to-sound model that reads unknown words: src/portavoz/text/data/letters.npz and letters.json.

    python recipes/letters.py --work runs/letters        # 15 minutes of one core; goes on from its checkpoint

A convolution and two bidirectional GRUs over the letters, three symbols (or blanks) out per letter, CTC loss
(Graves et al. 2006): no alignment of letters and sounds is needed, and decoding is one greedy pass. It learns
from the packed dictionary. One word in twenty is held out, by a hash of the word; held-out words that share
their stem with a training word ("walks", "walk") are easy and are scored apart.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from portavoz.text import letter_to_sound
from portavoz.text.alphabet import PHONEMES
from portavoz.text.lexicon import Dictionary, Phonemes, dictionary

DATA = Path(__file__).parent.parent / "src" / "portavoz" / "text" / "data"
EMBEDDING, HIDDEN, BATCH, RATE = 64, 128, 192, 3e-3
ENDINGS = re.compile(r"(ations?|ings?|ers?|ed|es|s|ly|ness|ment|ments|able|less|y|e|n|d|r)$")
Pair = tuple[str, Phonemes]


class Letters(nn.Module):
    """Letters int64 `[batch, letters]` → log-probabilities `[batch, letters * OUT, blank + phonemes]`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(letter_to_sound.LETTERS) + 1, EMBEDDING)
        self.conv = nn.Conv1d(EMBEDDING, HIDDEN, letter_to_sound.KERNEL, padding=letter_to_sound.KERNEL // 2)
        self.gru = nn.GRU(HIDDEN, HIDDEN, num_layers=2, bidirectional=True, batch_first=True, dropout=0.1)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(2 * HIDDEN, letter_to_sound.OUT * (1 + len(PHONEMES)))

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(self.embed(letters).transpose(1, 2)).transpose(1, 2))
        x, _ = self.gru(self.drop(x))
        x = self.head(self.drop(x))
        return x.reshape(len(letters), -1, 1 + len(PHONEMES)).log_softmax(-1)


def held_out(word: str) -> bool:
    return hashlib.sha256(word.encode()).digest()[0] * 20 < 256


def stem(word: str) -> str:
    """A rough stem: endings are cut as long as four letters are left."""
    while len(shorter := ENDINGS.sub("", word)) >= 4 and shorter != word:
        word = shorter
    return word


def words(source: Dictionary) -> tuple[list[Pair], list[str], list[str]]:
    """(training pairs, held-out words, held-out words with a stem in training)."""
    plain = [word for word in source if re.fullmatch("[a-z]{2,24}", word)]
    train = [(word, source.get(word)[0]) for word in plain if not held_out(word)]
    train = [(word, sounds) for word, sounds in train if len(sounds) <= letter_to_sound.OUT * len(word)]
    stems = {stem(word) for word, _ in train}
    out = [word for word in plain if held_out(word)]
    return train, [w for w in out if stem(w) not in stems], [w for w in out if stem(w) in stems]


def batches(pairs: Sequence[Pair], rng: np.random.Generator) -> Iterator[tuple[torch.Tensor, list[list[int]]]]:
    """Words of one length together: nothing is padded, so that no mask can be wrong."""
    index = {phoneme: i + 1 for i, phoneme in enumerate(PHONEMES)}
    groups: dict[int, list[Pair]] = defaultdict(list)
    for i in rng.permutation(len(pairs)):
        groups[len(pairs[i][0])].append(pairs[i])
    chunks = [group[i : i + BATCH] for group in groups.values() for i in range(0, len(group), BATCH)]
    for i in rng.permutation(len(chunks)):
        letters = torch.tensor([letter_to_sound.letters(word) for word, _ in chunks[i]])
        yield letters, [[index[p] for p in phonemes] for _, phonemes in chunks[i]]


def step(model: Letters, letters: torch.Tensor, targets: list[list[int]]) -> torch.Tensor:
    out = model(letters).transpose(0, 1)
    lengths = torch.full((out.shape[1],), out.shape[0])
    flat = torch.tensor([t for row in targets for t in row])
    sizes = torch.tensor([len(row) for row in targets])
    return nn.functional.ctc_loss(out, flat, lengths, sizes, zero_infinity=True)


def tensors(model: Letters) -> dict[str, np.ndarray]:
    """Weights by name as letter_to_sound.py reads them: matrices int8 with one scale per row, vectors float16."""
    packed: dict[str, np.ndarray] = {}
    for name, value in model.state_dict().items():
        array = value.detach().numpy()
        if array.ndim == 1:
            packed[name] = array.astype(np.float16)
            continue
        rows = array.reshape(len(array), -1)
        scale = np.maximum(np.abs(rows).max(1) / 127, 1e-8).astype(np.float32)
        packed[name] = np.round(array / scale.reshape(-1, *[1] * (array.ndim - 1))).astype(np.int8)
        packed[name + ".scale"] = scale
    return packed


def edits(a: Sequence[str], b: Sequence[str]) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def score(reader: letter_to_sound.Reader, out: Sequence[str], source: Dictionary) -> dict[str, float]:
    """Phoneme error rate and word accuracy in per cent, against the nearest pronunciation of each word."""
    plain = lambda sounds: tuple(p.rstrip("012") for p in sounds)  # noqa: E731
    wrong, wrong_stressed, total, right, right_stressed = 0, 0, 0, 0, 0
    for word in out:
        said, known = reader.read(word), source.get(word)
        errors = min((edits(plain(said), plain(k)), len(k)) for k in known)
        stressed = min(edits(said, k) for k in known)
        wrong, total, wrong_stressed = wrong + errors[0], total + errors[1], wrong_stressed + stressed
        right, right_stressed = right + (errors[0] == 0), right_stressed + (stressed == 0)
    return {
        "words": len(out),
        "phoneme error rate": round(100 * wrong / total, 2),
        "phoneme error rate with stress": round(100 * wrong_stressed / total, 2),
        "word accuracy": round(100 * right / len(out), 2),
        "word accuracy with stress": round(100 * right_stressed / len(out), 2),
    }


def train(model: Letters, pairs: Sequence[Pair], *, steps: int, work: Path, seed: int) -> None:
    """Adam with a warm start and a cosine down to zero over `steps`: the same weights on a fast or a busy machine."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    done, epoch, checkpoint = 0, 0, work / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        done, epoch = saved["steps"], saved["epoch"]
    while done < steps:
        total, count, rng = 0.0, 0, np.random.default_rng([seed, epoch])
        torch.manual_seed(seed + epoch)
        for letters, targets in itertools.islice(batches(pairs, rng), steps - done):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (done + 1) / 200) * 0.5 * (1 + math.cos(math.pi * done / steps))
            loss = step(model, letters, targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total, count, done = total + loss.item(), count + 1, done + 1
        epoch += 1
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "steps": done, "epoch": epoch}
        torch.save(state, work / "checkpoint.part")
        (work / "checkpoint.part").replace(checkpoint)
        print(f"epoch {epoch}: {done} steps, {time.process_time():.0f} s of CPU, loss {total / count:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--work", type=Path, default=Path("runs/letters"))
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    source = dictionary()
    pairs, unseen, related = words(source)
    model = Letters()
    print(f"{len(pairs)} words to learn from, {len(unseen)} + {len(related)} held out", flush=True)
    train(model, pairs, steps=arguments.steps, work=arguments.work, seed=arguments.seed)
    packed: dict[str, Any] = {**tensors(model.eval())}
    np.savez_compressed(arguments.out / "letters.npz", **packed)
    reader = letter_to_sound.Reader(arguments.out / "letters.npz")
    result = {
        "model": f"conv {letter_to_sound.KERNEL} + 2 x bidirectional GRU {HIDDEN}, CTC, "
        f"{letter_to_sound.OUT} symbols a letter",
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": (arguments.out / "letters.npz").stat().st_size,
        "steps": arguments.steps,
        "schedule": "cosine over the steps",
        "seed": arguments.seed,
        "trained on words": len(pairs),
        "held out": score(reader, unseen, source),
        "held out, stem known": score(reader, related, source),
    }
    (arguments.out / "letters.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
