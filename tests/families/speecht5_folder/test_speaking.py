"""From a folder that the reference wrote to sound: sentences, pages, streams, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
from speecht5_folders import SPEAKER, TEXTS, close, expected, refused

import portavoz
from portavoz.errors import InputError
from portavoz.families.speecht5.loop import SpeechT5
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.validation import StoppingCriteria


def test_a_folder_says_what_the_reference_says(reference: tuple[Path, Reference]) -> None:
    voice = portavoz.load(reference[0])
    assert (voice.rate, voice.name, voice.runtime, voice.speakers) == (16000, "tiny", "eager", ())
    assert voice.describe()["family"] == "speecht5"
    lengths = set()
    for text in TEXTS:
        for seed in (0, 7):
            speech = voice.speak(text, speaker=SPEAKER, seed=seed)
            assert close(speech.samples, expected(voice, reference[1], text, seed=seed))
            assert all("speech is missing" in warning for warning in speech.warnings)
            lengths.add(len(speech.samples))
    assert len(lengths) > 3  # it is the stop flag that ends them


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_every_back_end_says_the_same(reference: tuple[Path, Reference], backend: str) -> None:
    """The blocks as they are written; without `backend` they are fused."""
    voice = portavoz.load(reference[0], backend=backend)
    assert close(voice.speak(TEXTS[0], speaker=SPEAKER).samples, expected(voice, reference[1], TEXTS[0]))


def test_stream_is_speak_and_the_seed_decides(folder: Path) -> None:
    voice = portavoz.load(folder)
    text = " ".join(TEXTS)
    pieces = [piece.samples for piece in voice.stream(text, speaker=SPEAKER)]
    whole = voice.speak(text, speaker=SPEAKER, batch=1).samples
    assert len(pieces) >= 3 and np.array_equal(np.concatenate(pieces), whole)
    assert not np.array_equal(voice.speak(text, speaker=SPEAKER, seed=1).samples[:400], whole[:400])


PAGE = "Hello there. I don’t know “why”. Yes! Dr. Smith paid $3.50, and left.\n\nAnd a second paragraph 日本. No?"


def test_a_page_is_said_in_batches_and_each_sentence_as_it_is_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(model: SpeechT5, ids: Any, *rest: Any, **named: Any) -> Any:
        sizes.append(len(ids))
        return genuine(model, ids, *rest, **named)

    genuine = SpeechT5.synthesize_batch
    monkeypatch.setattr(SpeechT5, "synthesize_batch", counted)
    voice = portavoz.load(folder)
    assert voice.batch == 8
    in_turn = voice.speak(PAGE, speaker=SPEAKER, batch=1)
    assert sizes == [1] * 6
    whole = in_turn
    for batch, wanted in ((None, [6]), (4, [4, 2]), (5, [5, 1])):
        sizes.clear()
        whole = voice.speak(PAGE, speaker=SPEAKER, batch=batch)
        assert sizes == wanted
        assert whole.samples.shape == in_turn.samples.shape
        assert np.linalg.norm(whole.samples - in_turn.samples) <= 1e-4 * np.linalg.norm(in_turn.samples)
        assert whole.warnings == in_turn.warnings and any("日本" in warning for warning in whole.warnings)
    pieces = list(voice.stream(PAGE, speaker=SPEAKER, batch=5))
    assert np.array_equal(np.concatenate([piece.samples for piece in pieces]), whole.samples)


def test_rows_of_other_speakers_and_seeds_are_said_as_alone(folder: Path) -> None:
    """As a server batches the sentences of several requests."""
    voice = portavoz.load(folder)
    model: Any = voice.model
    manners = [
        portavoz.families.synthesis.SynthesisOptions(speaker=checkpoints.voice(n), seed=n) for n in range(len(TEXTS))
    ]
    chunks = [next(model.split_text(text, manner)) for text, manner in zip(TEXTS, manners)]
    together = [np.concatenate(list(row.waves)) for row in model.synthesize_batch(chunks, manners)]
    for text, manner, samples in zip(TEXTS, manners, together):
        alone = voice.speak(text, speaker=manner.speaker, seed=manner.seed, batch=1).samples
        assert close(alone, samples)


def test_a_stream_says_one_sentence_after_the_other(folder: Path) -> None:
    """So that the first is heard soon: no more is read than it takes to know where a sentence ends."""
    asked = []

    def lines():
        for number in range(30):
            asked.append(number)
            yield f"This is number {number}. "

    stream = portavoz.load(folder).stream(lines(), speaker=SPEAKER)
    next(stream)
    assert len(asked) < 12  # the splitter looks a little ahead
    stream.close()


@pytest.mark.parametrize("batch", [0, -1, 257, 2.0, True, "8"])
def test_batches_that_cannot_be(folder: Path, batch: Any) -> None:
    said = refused(InputError, lambda: portavoz.load(folder).speak("Hi.", speaker=SPEAKER, batch=batch))
    assert said == f"batch is {batch!r}: give a whole number from 1 to 256"


def test_many_threads_may_speak_at_once(folder: Path) -> None:
    voice = portavoz.load(folder)
    alone = [voice.speak(text, speaker=SPEAKER).samples for text in TEXTS]
    with ThreadPoolExecutor(6) as pool:
        at_once = list(pool.map(lambda text: voice.speak(text, speaker=SPEAKER).samples, TEXTS * 4))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 4, at_once))


def test_long_text_is_cut_below_the_limits_and_each_part_is_the_references(reference: tuple[Path, Reference]) -> None:
    voice = portavoz.load(reference[0])
    text = "Once upon a time there was a little voice, and it spoke without an end, and nobody knew why it did. " * 2
    text = text.replace(". Once", ", because once")
    manner = portavoz.families.synthesis.SynthesisOptions(speaker=SPEAKER)
    chunks = list(voice.model.split_text(text, manner))
    model: Any = voice.model
    said = [model.tokenizer.ids("".join(chunk.symbols)) for chunk in chunks]
    assert len(said) >= 3
    assert 60 < max(map(len, said)) <= 90  # 900 steps, ten of them a symbol
    masks = model.model.masks(0, 900)
    parts = [reference[1].generate(np.array(ids), SPEAKER, masks=masks, stop=StoppingCriteria()).wave for ids in said]
    assert [r.pause for r in chunks] == [0.0] * (len(said) - 1) + [0.6]
    assert close(voice.speak(text, speaker=SPEAKER).samples, np.concatenate(parts))
