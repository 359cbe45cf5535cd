"""SpeechT5's sound as it is made: streams, windows of the vocoder, masks and seeds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import components as lab
import numpy as np
import pytest
from speecht5_models import ALL, CONFIGS, NARROW, TWO, model

from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
from portavoz.families.speecht5.vocoder import EARLY, Edges, Windows
from portavoz.lab.metrics import distance


@TWO
def test_a_stream_is_the_whole_in_pieces(name: str) -> None:
    c, m = CONFIGS[name], model(name)
    (text,) = lab.rows(c, (30,), 0)
    voice, stop = lab.speaker(c, 0), StoppingCriteria(9.0 * c.reduction_factor, 0, 10)
    (said,) = m.generate([text], voice, stop=stop)
    first, again = (m.synthesize(text, voice, stop=stop) for _ in range(2))
    pieces, whole = list(first.waves), np.concatenate(list(again.waves))
    assert np.array_equal(np.concatenate(pieces), whole)
    assert len(whole) == len(said.wave) == said.mel.values.shape[1] * c.hop
    assert [len(piece) for piece in pieces[:2]] == [16 * c.hop, 48 * c.hop]
    assert distance(whole, said.wave).l2 < 2e-6
    assert first.warnings == list(said.warnings) != []


def test_sound_comes_while_the_loop_goes_on() -> None:
    m, c = model("narrow"), NARROW
    made: list[int] = []
    stages: Any = m.stages
    counting = SimpleNamespace(
        encode=stages.encode, select=stages.select, postnet=stages.postnet, vocode=stages.vocode,
        step=lambda *given: (made.append(1), stages.step(*given))[1],
    )  # fmt: skip
    said = SpeechT5(counting, c).synthesize(
        lab.rows(c, (20,), 0)[0], lab.speaker(c, 0), stop=StoppingCriteria(9.0, 0, 20)
    )
    assert made == []
    next(said.waves)
    assert len(made) == -(-(16 + c.vocoder.reach() + c.postnet_reach) // c.reduction_factor) < 200


@ALL
@pytest.mark.parametrize("cuts", [True, False])
@pytest.mark.parametrize("frames", [1, 15, 16, 40, 230])
def test_windows_give_the_same_frames_however_a_mel_arrives(name: str, frames: int, cuts: bool) -> None:
    c, m = CONFIGS[name], model(name)
    mel = np.random.default_rng(frames).standard_normal((frames, c.num_mel_bins)).astype(np.float32)

    def run(sizes: list[int]) -> np.ndarray:
        run = m.stages.vocode_window if cuts else m.stages.vocode
        far, mels = c.vocoder.reach(), c.num_mel_bins
        window = Windows.start(run, reach=far, hop=c.hop, late=0, mels=mels, cuts=cuts)
        out, at = [], 0
        while at < frames:
            size = sizes[len(out) % len(sizes)]
            pieces, window = window.push(mel[at : at + size], final=at + size >= frames)
            out.append(np.concatenate([np.zeros(0, np.float32), *pieces]))
            at += size
        return np.concatenate(out)

    whole = run([frames])
    assert np.array_equal(run([1]), whole) and np.array_equal(run([7, 50, 3]), whole)
    assert distance(whole, m.stages.vocode(mel[None])[0]).l2 < 2e-6
    post = Windows.start(m.stages.postnet, reach=c.postnet_reach, hop=1, late=5, mels=c.num_mel_bins)
    pieces, _ = post.push(mel, final=True)
    assert distance(np.concatenate(pieces), m.stages.postnet(mel[None])[0]).l2 < 2e-6


def test_edges_are_fixed() -> None:
    assert [EARLY.after(done) for done in (0, 15, 16, 63, 64, 191, 192, 500)] == [16, 16, 64, 64, 192, 192, 320, 576]
    assert [Edges((), 100).after(done) for done in (0, 99, 100, 250)] == [100, 100, 200, 300]


@ALL
def test_the_vocoder_reaches_no_further_than_it_says(name: str) -> None:
    c, m = CONFIGS[name], model(name)
    far = c.vocoder.reach()
    mel = np.zeros((1, 2 * far + 21, c.num_mel_bins), np.float32)
    other = mel.copy()
    other[0, far + 10] += 3
    touched = np.flatnonzero((m.stages.vocode(other) != m.stages.vocode(mel))[0].reshape(mel.shape[1], -1).any(1))
    assert far + 10 - far <= touched[0] and touched[-1] <= far + 10 + far
    assert touched[-1] - far - 10 >= far // 2


def test_masks_are_named_noise() -> None:
    m = model("odd")
    masks = m.masks(5, 400)
    assert masks.shape == (3, 400, 17) and np.array_equal(m.masks(5, 50), masks[:, :50])
    assert set(np.unique(masks)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((masks > 0).mean() - 0.3) < 0.02  # the reference keeps with the probability that is called dropout
    assert not np.array_equal(masks[0], masks[1]) and not np.array_equal(m.masks(6, 400), masks)


def test_a_seed_is_a_sound() -> None:
    m, stop = model("tiny"), StoppingCriteria(9.0, 0, 3)
    (text,) = lab.rows(TINY, (10,), 0)
    a, b, other = (m.generate([text], lab.speaker(TINY, 0), seed=s, stop=stop)[0].wave for s in (1, 1, 2))
    assert np.array_equal(a, b) and distance(a, other).l2 > 0.01
