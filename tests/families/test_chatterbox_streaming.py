"""Sound in pieces: the same as the vocoder makes of the whole mel, early, and whatever is pulled when."""

from __future__ import annotations

from typing import Any

import chatterbox_models as models
import numpy as np
import pytest

from portavoz.families.chatterbox.loop import Chatterbox, Utterance
from portavoz.families.chatterbox.streaming import WaveStream, stream
from portavoz.flow import Mel, Noise


@pytest.fixture(scope="module")
def loop() -> Chatterbox:
    return Chatterbox(models.stages(), models.config())


@pytest.fixture(scope="module")
def voice(loop: Chatterbox) -> Any:
    return loop.clone(models.speech(1.5, 24_000), 24_000)


IDS = np.array([[255, 30, 31, 32, 33, 0]])


def test_pieces_of_a_mel_are_what_the_vocoder_makes_of_the_whole(loop: Chatterbox) -> None:
    mel = np.random.default_rng(2).standard_normal((1, 150, 80)).astype(np.float32)
    want = loop.wave(Mel(mel, loop.c.spec), Noise(5))
    waves = WaveStream(loop, Noise(5))
    pieces = [waves.push(mel[0, a:b], final=b == 150) for a, b in [(0, 31), (31, 40), (40, 110), (110, 150)]]
    got = np.concatenate(pieces)
    assert len(pieces[0]) == (31 - 22) * 480
    assert models.relative(got, want) <= 1e-5


def test_the_first_sound_comes_after_a_second_of_tokens(loop: Chatterbox, voice: Any) -> None:
    how, said, taken = loop.generation(most=90), Utterance(), []
    tokens = loop.tokens
    counted = Chatterbox(loop.stages, loop.c)
    counted.tokens = lambda *given: (taken.append(t) or t for t in tokens(*given))  # type: ignore[method-assign]
    pieces = stream(counted, IDS, voice, how, Noise(1), said)
    first = next(pieces)
    assert len(taken) == 25
    assert len(first) >= 0.4 * 24_000
    rest = list(pieces)
    assert len(np.concatenate([first, *rest])) == 480 * 2 * len(taken) - 480 * (voice.mel.shape[1] % 2)
    assert said.warnings == ["no stop token after 90 tokens (4 s); the speech was cut off"]


def test_streamed_sound_has_no_seams_and_is_the_same_each_time(loop: Chatterbox, voice: Any) -> None:
    how = loop.generation(most=80)
    once, again = ([*stream(loop, IDS, voice, how, Noise(7), Utterance())] for _ in range(2))
    for a, b in zip(once, again):
        np.testing.assert_array_equal(a, b)
    whole = np.concatenate(once)
    ends = np.cumsum([len(piece) for piece in once])[:-1]
    steps = np.abs(np.diff(whole))
    assert max(steps[end - 2 : end + 1].max() for end in ends) <= steps.max()
    assert np.isfinite(whole).all()


def test_text_after_text_has_its_own_draws_by_its_seed(loop: Chatterbox, voice: Any) -> None:
    how = loop.generation(most=30)
    a, b, c = (loop.generate(IDS, voice, how, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.wave, b.wave)
    assert a.tokens.tolist() != c.tokens.tolist()
