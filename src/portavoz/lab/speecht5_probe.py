"""SpeechT5 as a subject of the lab: the reference in `transformers`, ours on any back end, on one probe.

Both are driven by the same few lines, teacher-forced: what crosses a stage's border is named, so the next step hears
the reference's frame whatever the port said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..blocks.hifigan import HifiGan
from ..families.speecht5.config import TINY, SpeechT5Config
from ..families.speecht5.decoder import Acoustic
from ..families.speecht5.encoder import allowed
from ..flow import Noise
from ..ops.tap import tap
from ..weights.cursor import Weights
from .instrument.ops import OpsProgram

VOCODER = "vocoder"


class Probe(NamedTuple):
    """What is said: ids [2, S] (the second row shorter), speakers [2, X], pre-net masks [layers, steps, units]."""

    ids: NDArray[np.int64]
    mask: NDArray[np.bool_]
    speaker: NDArray[np.float32]
    masks: NDArray[np.float32]

    @classmethod
    def of(cls, c: SpeechT5Config, seed: int = 0, *, steps: int = 6) -> Probe:
        """One probe a seed, 11 to 14 symbols long."""
        draw, noise = np.random.default_rng(seed), Noise(seed)
        symbols = int(draw.integers(11, 15))
        ids = draw.integers(4, c.vocab_size, (2, symbols))
        ids[:, -1] = c.eos_token_id
        ids[1, -5], ids[1, -4:] = c.eos_token_id, c.pad_token_id
        shape, p = (steps, c.speech_decoder_prenet_units), c.speech_decoder_prenet_dropout
        kept = [noise.keep(f"prenet.{i}", shape, p) > 0 for i in range(c.speech_decoder_prenet_layers)]
        masks = (np.stack(kept) / (1 - p)).astype(np.float32)
        speaker = draw.standard_normal((2, c.speaker_embedding_dim)).astype(np.float32)
        return cls(ids, ids != c.pad_token_id, speaker, masks)


# A vocoder that is wider than this hears so many rows and frames: at the published size it makes three quarters of a
# trace's numbers.
WIDE, HEARD = 128, (1, 8)


def drive(stages: Any, probe: Probe, c: SpeechT5Config) -> None:
    """The loop: `stages` has encode, step, postnet and vocode."""
    state, said = stages.encode(probe), []
    frame = np.zeros((len(probe.ids), 1, c.num_mel_bins), np.float32)
    for step in range(probe.masks.shape[1]):
        frames, stops, state = stages.step(frame, state, probe.masks[:, step])
        frames = tap("frames", frames)
        tap("stops", stops)
        said.append(frames)
        frame = frames[:, -1:]
    mel = tap("mel", stages.postnet(np.concatenate(said, 1)))
    rows, frames = HEARD if c.vocoder.upsample_initial_channel > WIDE else (None, None)
    tap("wave", stages.vocode(mel[:rows, :frames]))


class Ours:
    """Our blocks behind the probe's stages."""

    def __init__(self, acoustic: Acoustic, vocoder: HifiGan) -> None:
        self.acoustic, self.vocoder, self.ops = acoustic, vocoder, acoustic.ops

    def encode(self, probe: Probe) -> Any:
        t, hidden = self.ops.tensor, allowed(probe.mask)
        mask = None if hidden is None else t(hidden)
        return self.acoustic.start(t(probe.ids), mask, t(probe.speaker), probe.masks.shape[1] + 1)

    def step(self, frame: Any, state: Any, masks: Any) -> tuple[Any, Any, Any]:
        whole = np.repeat(masks[:, None, None], len(frame), 1)
        frames, stops, state = self.acoustic.step(self.ops.tensor(frame), state, self.ops.tensor(whole))
        return self.ops.numpy(frames), self.ops.numpy(stops)[:, 0], state

    def postnet(self, mel: Any) -> Any:
        return self.ops.numpy(self.acoustic.postnet(self.ops.tensor(mel)))

    def vocode(self, mel: Any) -> Any:
        return self.ops.numpy(self.vocoder(self.ops.tensor(mel)))


def parts(w: Weights, config: SpeechT5Config) -> tuple[Acoustic, HifiGan]:
    """The model, and the vocoder below it."""
    return Acoustic(w, config), HifiGan(w / VOCODER, config.vocoder)


def ours(
    config: SpeechT5Config,
    arrays: Mapping[str, NDArray[Any]],
    *,
    seed: int = 0,
    ops: Any = "torch",
    edit: Callable[[Acoustic, HifiGan], None] | None = None,
    steps: int = 6,
    probe: Probe | None = None,
) -> OpsProgram:
    """Our SpeechT5; `arrays` has the model's tensors by name and the vocoder's below ``vocoder.``.

    Says the `probe`, or else that of the `seed` with so many `steps`.
    """
    said = Probe.of(config, seed, steps=steps) if probe is None else probe

    def build(w: Weights) -> Callable[[], Any]:
        acoustic, vocoder = parts(w, config)
        if edit is not None:
            edit(acoustic, vocoder)
        return lambda: drive(Ours(acoustic, vocoder), said, config)

    return OpsProgram(build, arrays, ops=ops, name=f"speecht5 on {ops}" if isinstance(ops, str) else "speecht5")


class Theirs:
    """`transformers` behind the probe's stages."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference

    def encode(self, probe: Probe) -> Any:
        return self.reference.encode(probe.ids, probe.mask, probe.speaker)

    def step(self, frame: Any, state: Any, masks: Any) -> tuple[Any, Any, Any]:
        return self.reference.decode_step(frame, state, masks)

    def postnet(self, mel: Any) -> Any:
        return self.reference.postnet(mel)

    def vocode(self, mel: Any) -> Any:
        return self.reference.vocode(mel)


def reference(seed: int = 0, config: SpeechT5Config = TINY, *, steps: int = 6) -> tuple[Any, dict[str, NDArray[Any]]]:
    """`transformers`' SpeechT5 with sensitised weights as a subject, and its tensors for `ours`.

    Raises MissingExtra without the extra `reference`.
    """
    from .instrument.torch import TorchProgram
    from .references.transformers import Reference

    model = Reference.fresh(config, 0)
    probe = Probe.of(config, seed, steps=steps)
    subject = TorchProgram(
        lambda: drive(Theirs(model), probe, config),
        modules={"": model.model, VOCODER: model.vocoder},
        name="speecht5 in transformers",
    )
    tensors, vocoder = model.tensors()
    return subject, {**tensors, **{f"{VOCODER}.{k}": v for k, v in vocoder.items()}}
