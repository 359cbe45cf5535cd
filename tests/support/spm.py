"""SentencePiece character models for tests, trained in the test, and the reference's tokenizer over them."""

from __future__ import annotations

import io
import string
from pathlib import Path
from typing import Any

LETTERS = string.ascii_letters + " ,.'-?!\";:()"


def train(path: Path, characters: str = LETTERS) -> Path:
    """A model of these characters, with the special tokens where the published one has them."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([characters, "".join(reversed(characters)).strip()]),
        model_writer=out,
        model_type="char",
        vocab_size=len(characters) + 8,
        hard_vocab_limit=False,
        character_coverage=1.0,
        bos_id=0,
        pad_id=1,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    path.write_bytes(out.getvalue())
    return path


def reference(model: Path, *, added: bool = True, **options: Any) -> Any:
    """The reference's tokenizer over a model, with the tokens that its conversion script adds."""
    from transformers import AddedToken, SpeechT5Tokenizer

    tokenizer = SpeechT5Tokenizer(str(model), **options)
    if added:
        mask = AddedToken("<mask>", lstrip=True, rstrip=False)
        tokenizer.mask_token = mask
        tokenizer.add_special_tokens({"mask_token": mask})
        tokenizer.add_tokens(["<ctc_blank>"])
    return tokenizer
