"""SpeechT5 beside its reference: each component on the reference's own frames, then both loops running freely."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from portavoz import ops
from portavoz.families.speecht5.config import SpeechT5Config
from portavoz.families.speecht5.loop import Eager, SpeechT5, StoppingCriteria, eager
from portavoz.lab.instrument.ops import leaves
from portavoz.lab.metrics import Distance, distance
from portavoz.ops.wrapper import OpsWrapper, Unit

Floats = NDArray[np.float32]
COMPONENT, WAVE = 1e-5, 1e-4  # limits of the relative L2 in float32
# Path in the checkpoint → what a reader calls it.
NAMES = [
    (r"speecht5\.encoder\.prenet", "text pre-net"),
    (r"speecht5\.encoder\.wrapped_encoder\.layers\.(\d+)", r"encoder layer \1"),
    (r"speecht5\.encoder", "encoder"),
    (r"speecht5\.decoder\.prenet", "speech pre-net"),
    (r"speecht5\.decoder\.wrapped_decoder\.layers\.(\d+)\.self_attn", r"decoder layer \1, self-attention"),
    (r"speecht5\.decoder\.wrapped_decoder\.layers\.(\d+)\.encoder_attn", r"decoder layer \1, cross-attention"),
    (r"speecht5\.decoder\.wrapped_decoder\.layers\.(\d+)", r"decoder layer \1"),
    (r"speech_decoder_postnet\.feat_out", "frames"),
    (r"speech_decoder_postnet\.prob_out", "stop logits"),
    (r"speech_decoder_postnet\.layers\.(\d+)", r"post-net layer \1"),
    (r"upsampler\.(\d+)", r"vocoder upsampling \1"),
    (r"resblocks\.(\d+)", r"vocoder block \1"),
]


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison: what, how far apart, and the relative L2 from which it fails."""

    name: str
    distance: Distance
    limit: float

    @property
    def passed(self) -> bool:
        """Within the limit."""
        return self.distance.l2 <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; a distance that is infinite is None."""
        numbers = {k: v if np.isfinite(v) else None for k, v in self.distance.to_dict().items()}
        return {"component": self.name, **numbers, "limit": self.limit, "pass": self.passed}


class Outputs(OpsWrapper):
    """Keeps what the blocks and layers with a name above gave back, by ``path#call``."""

    def clear(self) -> None:
        """Forget everything and count calls from 0 again."""
        super().clear()
        self.entries: dict[str, Floats] = {}

    def see(self, unit: Unit, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        out = run(*args, **named)
        if (unit.kind == "block" or unit.layer is not None) and label(unit.path):
            first = next(value for _, value in leaves("out", out))
            self.entries[unit.key] = np.array(self.inner.numpy(first), copy=True)
        return out


def label(path: str) -> str | None:
    """A reader's name of a path, None for what has none."""
    for pattern, name in NAMES:
        found = re.fullmatch(pattern, path)
        if found:
            return found.expand(name)
    return None


def rows(c: SpeechT5Config, lengths: Iterable[int], seed: int) -> list[NDArray[np.int64]]:
    """Random texts of these lengths, each with its eos; never longer than the model holds."""
    draw, special = np.random.default_rng(seed), {c.bos_token_id, c.pad_token_id, c.eos_token_id}
    letters = [n for n in range(c.vocab_size) if n not in special]
    cut = [min(length, c.max_text_positions) for length in lengths]
    return [np.array([*draw.choice(letters, length - 1), c.eos_token_id], np.int64) for length in cut]


def speaker(c: SpeechT5Config, seed: int) -> Floats:
    """A random speaker embedding [X]."""
    return np.random.default_rng([seed, 1]).standard_normal(c.speaker_embedding_dim).astype(np.float32)


def ours(reference: Any, back: ops.Ops) -> SpeechT5:
    """Our model with the reference's weights."""
    model, vocoder = reference.tensors()
    return SpeechT5(eager(model, vocoder, reference.config, back), reference.config)


def components(reference: Any, model: SpeechT5, texts: list[NDArray[np.int64]], *, seed: int, steps: int) -> list[Line]:
    """Every component over a padded batch of texts and so many steps, ours always on the reference's frames.

    `model` was built by `ours` under an `Outputs`.
    """
    c, watch = reference.config, cast(Outputs, cast(Eager, model.stages).ops)
    watch.clear()
    ids = np.full((len(texts), max(map(len, texts))), c.pad_token_id, np.int64)
    for row, text in zip(ids, texts):
        row[: len(text)] = text
    mask, voices = ids != c.pad_token_id, np.stack([speaker(c, seed + n) for n in range(len(texts))])
    kept, frame = model.masks(seed, steps), np.zeros((len(texts), 1, c.num_mel_bins), np.float32)
    with reference.traced() as theirs:
        state, own = reference.encode(ids, mask, voices), model.stages.encode(ids, mask, voices, steps)
        before: list[Floats] = []
        for step in range(steps):
            masks = kept[:, step]
            feat, _, state = reference.decode_step(frame, state, masks)
            _, _, own = model.stages.step(frame, own, np.repeat(masks[:, None], len(texts), 1))
            before.append(feat)
            frame = feat[:, -1:]
        mel = np.concatenate(before, 1)
        after = reference.postnet(mel)
        ends = {
            "post-net": (model.stages.postnet(mel), after),
            "vocoder": (model.stages.vocode(after), reference.vocode(after)),
        }
    lines = [Line(name, d, COMPONENT) for name, d in grouped(watch.entries, theirs).items()]
    return lines + [Line(name, distance(*pair), COMPONENT) for name, pair in ends.items()]


def grouped(mine: Mapping[str, Floats], theirs: Mapping[str, Floats]) -> dict[str, Distance]:
    """The distance of each named component over all of its calls; what only one side has is infinitely far."""
    keys: dict[str, list[str]] = {}
    for key in {**theirs, **mine}:
        name = label(key.rpartition("#")[0])
        if name is not None:
            keys.setdefault(name, []).append(key)
    found: dict[str, Distance] = {}
    for name, calls in keys.items():
        if any(key not in mine or key not in theirs for key in calls):
            found[name] = distance(np.zeros(1), np.zeros(2))
            continue
        pairs = [(mine[key], _view(theirs[key], mine[key])) for key in calls]
        found[name] = distance(*(np.concatenate([a.ravel() for a in side]) for side in zip(*pairs)))
    return found


def _view(theirs: Floats, mine: Floats) -> Floats:
    """The reference's pre-net reads its whole history again, the last frame is the step; its heads see no time axis."""
    return theirs[:, -mine.shape[1] :] if theirs.ndim == mine.ndim else theirs[:, None]


def whole(reference: Any, model: SpeechT5, text: NDArray[np.int64], *, seed: int, stop: StoppingCriteria) -> list[Line]:
    """Both loops running freely over one text with the same masks: when they stop, what they say."""
    voice, most = speaker(reference.config, seed), stop.bounds(len(text), reference.config)[1]
    masks = model.masks(seed, most)
    theirs = reference.generate(text, voice, masks=masks, stop=stop)
    mine = model.generate([text], voice, masks=[masks], stop=stop)[0]
    pairs = {
        "number of steps": (np.array([len(mine.stops)]), np.array([len(theirs.stops)])),
        "stop decisions": (fires(mine.stops, stop), fires(theirs.stops, stop)),
        "stop probabilities": (mine.stops, theirs.stops),
        "mel before the post-net": (mine.before, theirs.before),
        "mel": (mine.mel.values[0], theirs.mel),
        "wave": (mine.wave, theirs.wave),
    }
    limits = {"number of steps": 0.0, "stop decisions": 0.0, "stop probabilities": COMPONENT}
    return [Line(name, distance(*pair), limits.get(name, WAVE)) for name, pair in pairs.items()]


def fires(stops: Floats, stop: StoppingCriteria) -> NDArray[np.float64]:
    """At which steps the sum of the stop probabilities reaches the threshold: 1 or 0."""
    return (stops.sum(-1) >= np.float32(stop.threshold)).astype(np.float64)


def furthest(runs: Iterable[list[Line]]) -> list[Line]:
    """Of several runs, for each component the line that is furthest off."""
    worst: dict[str, Line] = {}
    for line in (line for run in runs for line in run):
        if line.name not in worst or line.distance.l2 > worst[line.name].distance.l2:
            worst[line.name] = line
    return list(worst.values())
