"""characters → ids: the checkpoint's own SentencePiece model, and the tokens that were added to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ...config_reader import read_object
from ...errors import InputError, needed
from ...input_files import TEXT, is_file, read_bytes

MODEL = "spm_char.model"
# Files beside the model that say which tokens were added to it, and how.
BESIDE = ("added_tokens.json", "tokenizer_config.json", "special_tokens_map.json")
SPECIAL = ("<s>", "</s>", "<unk>", "<pad>")
LARGEST = 1 << 24  # a number of a token beyond this is a mistake
# Where a mark is not in the vocabulary, the one that is nearest to it.
NEAREST = {"!": ".", "?": ".", ";": ",", ":": ","}


class Added(NamedTuple):
    """A token beyond the SentencePiece model's own; it swallows blanks on its left or right, or is only a word."""

    number: int
    left: bool = False
    right: bool = False
    alone: bool = False


class Tokenizer:
    """Characters to numbers, the same ones as the reference's SpeechT5Tokenizer without its `normalize`."""

    def __init__(self, model: Any, added: Mapping[str, Added], *, eos: str = "</s>") -> None:
        self.model, self.added = model, dict(added)
        self.size = max([model.get_piece_size(), *(token.number + 1 for token in added.values())])
        self.unknown: int = model.unk_id()
        self.eos: int = added[eos].number if eos in added else model.piece_to_id(eos)
        longest = sorted((token for token in added if token), key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(map(re.escape, longest))})") if longest else None
        self.knows = lru_cache(8192)(self._knows)

    @classmethod
    def open(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a checkpoint folder: spm_char.model, and the tokens that were added to it.

        Raises InputError where there is none, or one that cannot be read, and MissingExtra without sentencepiece.
        """
        path = folder / MODEL
        if not is_file(path):
            raise InputError(
                f"{folder}: there is no {MODEL}, so text cannot be tokenized; copy the checkpoint's tokenizer there"
            )
        with needed("sentencepiece", "hub", "a SpeechT5 tokenizer"):
            from sentencepiece import SentencePieceProcessor
        model: Any = SentencePieceProcessor()
        try:
            model.LoadFromSerializedProto(read_bytes(path, TEXT))
        except (RuntimeError, OSError) as problem:
            raise InputError(f"{path}: not a SentencePiece model that can be read; fetch it again") from problem
        found = {name: _json(folder / name) for name in BESIDE}
        return cls(model, _added(model, found), eos=_name(found["tokenizer_config.json"].get("eos_token")) or "</s>")

    def ids(self, text: str) -> list[int]:
        """The numbers of `text` as it stands, with eos behind them; unknown characters are <unk>, see `spelled`."""
        out: list[int] = []
        for part in self._parts(text):
            out += [self.added[part].number] if part in self.added else self.model.encode(part)
        return [*out, self.eos]

    def _parts(self, text: str) -> list[str]:
        """The text cut at added tokens, with the blanks that they swallow gone."""
        if self._split is None:
            return [text] if text else []
        parts = self._split.split(text)
        for at in range(1, len(parts), 2):
            token, left, right = self.added[parts[at]], parts[at - 1], parts[at + 1]
            if token.alone and ((left and left[-1] != " ") or (right and right[0] != " ")):
                side = at - 1 if left and left[-1] != " " else at + 1
                parts[side] = left + parts[at] if side < at else parts[at] + right
                parts[at] = ""
                continue
            parts[at - 1] = left.rstrip() if token.left else left
            parts[at + 1] = right.lstrip() if token.right else right
        return [part for part in parts if part]

    def _knows(self, character: str) -> bool:
        return self.unknown not in self.model.encode(character)

    def spelled(self, text: str) -> tuple[str, tuple[str, ...]]:
        """`text` in characters that the tokenizer knows, and those that had to be left out.

        A letter that is known only in its other case is written in that, a mark as the nearest one that is known.
        """
        out: list[str] = []
        lost: dict[str, None] = {}
        for c in text:
            for twin in (c, c.lower(), c.upper(), NEAREST.get(c, "")):
                if twin and self.knows(twin):
                    out.append(twin)
                    break
            else:
                lost[c] = None
        return "".join(out), tuple(lost)


def _json(path: Path) -> dict[str, Any]:
    """A JSON file's object; {} where there is none. Raises InputError for one that is damaged."""
    return read_object(path, "fetch it again") if is_file(path) else {}


def _name(token: Any) -> str:
    """A special token's text, written as a string or as an object with `content`."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _added(model: Any, found: Mapping[str, dict[str, Any]]) -> dict[str, Added]:
    """The added tokens in the files that old and new releases of the reference write; raises InputError.

    The model's own special tokens count as added: where their text stands in a text, they are meant.
    """
    config = found["tokenizer_config.json"]
    special = {**found["special_tokens_map.json"], **config}
    how = {_name(v): v for k, v in special.items() if k.endswith("_token") and _name(v)}
    numbers = {name: model.piece_to_id(name) for name in {**dict.fromkeys(SPECIAL), **how}}
    numbers = {name: n for name, n in numbers.items() if model.id_to_piece(n) == name}
    numbers.update(found["added_tokens.json"])
    listed = config.get("added_tokens_decoder", {})
    for number, token in listed.items() if isinstance(listed, dict) else ():
        if _name(token) and str(number).isdecimal():
            numbers[_name(token)], how[_name(token)] = int(number), token
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < LARGEST:
            raise InputError(f"the tokenizer's added token {name!r} has the number {number!r}: fetch its files again")
    return {name: _token(number, how.get(name)) for name, number in numbers.items()}


def _token(number: int, how: Any) -> Added:
    facts = how if isinstance(how, dict) else {}
    return Added(number, *(facts.get(key) is True for key in ("lstrip", "rstrip", "single_word")))
