"""Text → ids: the reference's clean-up, and the tokenizer in the checkpoint's own file."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config_reader import read_object
from ...errors import InputError, needed
from ...input_files import is_file, read_text
from .config import TokensConfig

START, STOP, UNKNOWN, SPACE = "[START]", "[STOP]", "[UNK]", "[SPACE]"
REPLACED = (
    ("...", ", "), ("…", ", "), (":", ","), (" - ", ", "), (";", ", "), ("—", "-"), ("–", "-"), (" ,", ","),
    ("“", '"'), ("”", '"'), ("‘", "'"), ("’", "'"),
)  # fmt: skip
TURBO_KEEPS = ("...", " - ", ";")
VOCAB, MERGES, TOKENIZER_CONFIG, ADDED = "vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json"
ENDS = (".", "!", "?", "-", ",")
MORE_ENDS = ("、", "，", "。", "？", "！")
LANGUAGES = "ar da de el en es fi fr he hi it ja ko ms nl no pl pt ru sv sw tr zh".split()
FETCH = "fetch the checkpoint's tokenizer again"
# What the reference reads with packages of its own (pykakasi, spacy-pkuseg, dicta-onnx, russian-text-stresser).
NEED_MORE = {"ja": "kanji as kana", "zh": "characters as Cangjie codes", "he": "vowel points", "ru": "stress marks"}


def punctuated(text: str, variant: str = "english") -> str:
    """Spaces, quotes and dashes made plain, a capital in front, an end mark behind (the reference's `punc_norm`).

    Raises InputError for a text without a word.
    """
    text = " ".join(text.split())
    if not any(c.isalnum() for c in text):
        raise InputError(f"there is nothing to say in {text[:40]!r}: give a text with at least one word")
    if text[0].islower():
        text = text[0].upper() + text[1:]
    for old, new in REPLACED:
        if variant != "turbo" or old not in TURBO_KEEPS:
            text = text.replace(old, new)
    text = text.rstrip(" ")
    ends = ENDS + MORE_ENDS if variant == "multilingual" else ENDS
    return text if text.endswith(ends) else text + "."


class Tokenizer:
    """Text in pieces that T3 knows by number.

    English: the file's merges, spaces as ``[SPACE]``; multilingual: lower case, decomposed, the language in front;
    turbo: GPT-2's bytes, and tags such as ``[laugh]``.
    """

    def __init__(self, path: Path, config: TokensConfig, variant: str = "english") -> None:
        """Raises InputError for a file that is no tokenizer of this variant, MissingExtra without `tokenizers`."""
        with needed("tokenizers", "hub", "reading a Chatterbox tokenizer"):
            import tokenizers
        try:
            self.table: Any = (
                _gpt2(tokenizers, path.parent)
                if path.name == VOCAB
                else tokenizers.Tokenizer.from_str(read_text(path, remedy=FETCH))
            )
        except InputError:
            raise
        except Exception as problem:  # the package raises no narrower kind
            raise InputError(f"{path}: not a tokenizer ({problem}); {FETCH}") from problem
        self.path, self.c, self.variant = path, config, variant
        known = self.table.get_vocab()
        missing = [] if variant == "turbo" else [name for name in (START, STOP) if name not in known]
        if missing:
            raise InputError(f"{path}: has no {' and no '.join(missing)}; this is another model's tokenizer")
        if known and max(known.values()) >= config.text_vocab:
            raise InputError(
                f"{path}: {max(known.values()) + 1} entries, the model has {config.text_vocab}; another variant's?"
            )

    def ids(self, text: str, language: str | None = None) -> NDArray[np.int64]:
        """Ids [1, symbols] of a text that `punctuated` has seen, between the start and the stop symbol.

        Raises InputError for a text in letters that the tokenizer does not know, or one too long for the model.
        """
        return self.read(text, language)[0]

    def read(self, text: str, language: str | None = None) -> tuple[NDArray[np.int64], str]:
        """As `ids`, and the characters that the tokenizer does not know, which the model cannot read; "" for none."""
        unknown = ""
        if self.variant == "turbo":
            ids = list(self.table.encode(text).ids)
        else:
            given = _multilingual(text, language) if self.variant == "multilingual" else text
            given = given.replace(" ", SPACE)
            found = self.table.encode(given)
            number = self.table.token_to_id(UNKNOWN)
            strange = [given[a:b] for known, (a, b) in zip(found.ids, found.offsets) if known == number]
            if strange and 2 * len(strange) >= len(found.ids):
                raise InputError(f"{text[:40]!r}: written in letters that this model does not know; {self._remedy}")
            unknown = "".join(dict.fromkeys(strange))
            ids = [self.c.start_text, *found.ids, self.c.stop_text]
        if len(ids) > self.c.max_text:
            raise InputError(f"{len(ids)} symbols at once, the model has {self.c.max_text} places: give shorter pieces")
        return np.array([ids], np.int64), unknown

    @property
    def _remedy(self) -> str:
        return "use the multilingual model" if self.variant == "english" else "spell it in those of a language it has"


def _gpt2(tokenizers: Any, folder: Path) -> Any:
    """GPT-2's tokenizer as its library saves it, in several files. Raises InputError, or what the package raises."""
    lines = read_text(folder / MERGES, remedy=FETCH).splitlines()
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    vocabulary = read_object(folder / VOCAB, FETCH)
    table = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    table.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for number, facts in sorted(_added(folder).items()):
        token = tokenizers.AddedToken(**facts)
        (table.add_special_tokens if facts.get("special") else table.add_tokens)([token])
        if table.token_to_id(token.content) != number:
            raise InputError(f"{folder}: the token {token.content!r} cannot be number {number}; {FETCH}")
    return table


def _added(folder: Path) -> dict[int, dict[str, Any]]:
    """Tokens beside the vocabulary by their numbers, each with its facts as the package takes them."""
    if is_file(folder / TOKENIZER_CONFIG):
        found = read_object(folder / TOKENIZER_CONFIG, FETCH).get("added_tokens_decoder")
        if isinstance(found, dict):
            return {int(number): facts for number, facts in found.items()}
    if not is_file(folder / ADDED):
        return {}
    return {number: {"content": token} for token, number in read_object(folder / ADDED, FETCH).items()}


def _multilingual(text: str, language: str | None) -> str:
    text = unicodedata.normalize("NFKD", text.lower())
    if language is None:
        return text
    if language not in LANGUAGES:
        raise InputError(f"language {language!r}: this model speaks {', '.join(LANGUAGES)}")
    if language in NEED_MORE:
        raise InputError(f"language {language!r} needs {NEED_MORE[language]}, which portavoz does not make yet")
    if language == "ko":  # the letters of each syllable
        text = unicodedata.normalize("NFD", text).strip()
    return f"[{language}]{text}"


def tokenizer_file(folder: Path, variant: str) -> Path:
    """Where a folder has the variant's tokenizer. Raises InputError when it has none."""
    names = {
        "english": ("tokenizer.json",),
        "multilingual": ("grapheme_mtl_merged_expanded_v1.json", "mtl_tokenizer.json", "tokenizer.json"),
        "turbo": ("tokenizer.json",),
    }[variant]
    for name in names:
        if is_file(folder / name):
            return folder / name
    if variant == "turbo":
        if is_file(folder / VOCAB) and is_file(folder / MERGES):
            return folder / VOCAB
        names = (f"{VOCAB} with {MERGES}", *names)
    raise InputError(f"{folder}: there is no {' or '.join(names)}; fetch the checkpoint's tokenizer too")
