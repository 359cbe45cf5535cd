"""The loop of Chatterbox, written once: it does not know what runs its stages (see stages.py).

prompt → voice; voice and ids → tokens, one at a time; tokens → mel by a few steps of the flow; mel → wave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...blocks.flow_matching import euler, guide, times
from ...blocks.harmonic_source import HarmonicSource, SourceSpec
from ...errors import InputError, WeightError
from ...flow import Mel, Noise
from . import features
from .codes import tokens as code_tokens
from .config import CODES, PROMPT_RATE, ChatterboxConfig
from .guard import AlignmentGuard
from .prompt import FLOW_SECONDS, SHORTEST, T3_SECONDS, Conditionals, checked, fitted
from .sampling import DEFAULTS, Sampling, check_number, guided, next_token
from .stages import Stages, Step

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

MOST_TOKENS = 1000  # 40 seconds
SILENCE = (4299, 4299, 4299)  # what turbo's mel ends with
FADE = 0.02  # seconds that are silent at the start, and as many that rise: what spills over from the prompt


@dataclass(frozen=True, slots=True)
class Generation:
    """How to say a text: sampling, the flow's steps and schedule (None: the model's own), and the most tokens."""

    sampling: Sampling
    most: int = MOST_TOKENS
    steps: int | None = None
    schedule: str | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_number("flow_steps", self.steps, 1, 1000, whole=True)
        if self.rate is not None:
            check_number("flow_guidance", self.rate, 0, 10)
        times(1, "linear" if self.schedule is None else self.schedule)


@dataclass(frozen=True, slots=True)
class Generated:
    """One utterance: its tokens [T], mel [1, 2 T, 80], wave [samples], and sentences for the listener."""

    tokens: Whole
    mel: Mel
    wave: Floats
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Utterance:
    """The warnings of the token loop, complete when it has ended."""

    warnings: list[str] = field(default_factory=list)


class Chatterbox:
    """Text ids and a voice → sound, on whatever runs the stages. Holds no state: many threads may call it."""

    def __init__(self, stages: Stages | None, c: ChatterboxConfig) -> None:
        """`stages` is None where nothing will be spoken, and settings are only checked."""
        self.stages, self.c, self.rate = cast("Stages", stages), c, c.spec.rate
        v, hop = c.vocoder, c.spec.hop
        self.source = SourceSpec(c.spec.rate, hop, v.harmonics, v.sine, v.noise, v.voiced)

    def generation(self, **values: Any) -> Generation:
        """The variant's own way to say it, with the values that are not None. Raises InputError for a bad one."""
        keys = ("most", "steps", "schedule", "rate")
        flow = {key: values.pop(key) for key in keys if values.get(key) is not None}
        sampling = DEFAULTS[self.c.variant].changed(**values)
        if not 1 <= flow.get("most", 1) <= self.c.tokens.max_speech - 4:
            raise InputError(f"{flow['most']} tokens at most: give 1 to {self.c.tokens.max_speech - 4}")
        return Generation(sampling, **flow)

    # prompt → voice

    def clone(self, samples: NDArray[Any], rate: int, channels: int = 1) -> Conditionals:
        """The voice of a prompt [samples] at `rate` Hz, mixed down from `channels`.

        Raises InputError for a prompt without a voice.
        """
        wave, notes = checked(samples, rate, SHORTEST[self.c.variant], channels)
        high = features.resampled(wave, rate, self.c.spec.rate)
        if self.c.variant == "turbo":
            high = features.levelled(high, self.c.spec.rate)
        low = features.resampled(high, self.c.spec.rate, PROMPT_RATE)
        shown = high[: int(FLOW_SECONDS * self.c.spec.rate)]
        shown_low = features.sinc_resampled(shown, self.c.spec.rate, PROMPT_RATE)
        mel = features.prompt_mel(shown)
        heard = low[: int(T3_SECONDS[self.c.variant] * PROMPT_RATE)]
        voice = Conditionals(
            speaker=self._speaker(low),
            t3_prompt=self._codes(heard, self.c.tokens.prompt_tokens),
            flow_prompt=fitted(self._codes(shown_low), len(mel)),
            mel=mel[None],
            x_vector=self.stages.x_vector(features.x_vector_bank(shown_low)[None]),
            notes=notes,
        )
        self.stages.close_prompt()
        return voice

    def _speaker(self, low: Floats) -> Floats:
        vectors = self.stages.voice(features.voice_mel(low, self.c.voice.mels))
        mean = vectors.mean(0)
        norm = float(np.linalg.norm(mean))
        if not norm > 0:
            raise InputError("prompt: no speech found in it; give a recording of speech")
        return (mean / norm).astype(np.float32)[None, None]

    def _codes(self, low: Floats, most: int | None = None) -> Whole:
        mel = features.codes_mel(low, self.c.codes.mels)
        return code_tokens(self.stages.codes((mel if most is None else mel[: 4 * most])[None]))

    # voice and ids → tokens

    def tokens(self, ids: Whole, voice: Conditionals, how: Generation, noise: Noise, said: Utterance) -> Iterator[int]:
        """Speech tokens as they are drawn, without start and stop. `said` gathers warnings."""
        c, s = self.c.tokens, how.sampling
        rows = 2 if c.guided and s.guidance > 0 else 1
        condition = self.stages.condition(voice.speaker, voice.t3_prompt, voice.emotion)
        step = self.stages.prefill(condition, ids, rows)
        seen, draws = [c.start_speech], noise.generator("tokens")
        guard = AlignmentGuard(ids.shape[1], c.stop_speech) if c.aligned_heads else None
        first = c.before_text(voice.t3_prompt.shape[1])
        # The tables of positions end somewhere.
        most = min(how.most, c.longest - first - ids.shape[1] - 2, c.max_speech - 2)
        for _ in range(most):
            logits = self._logits(step, s, guard, seen, first)
            token = next_token(logits, seen[1:] or seen if s.penalty_last else seen, s, draws.random())
            if token == c.stop_speech:
                self._ended(guard, said)
                return
            seen.append(token)
            if token < CODES:
                yield token
            step = self.stages.step(token, step.state)
        said.warnings.append(f"no stop token after {most} tokens ({most / 25:.0f} s); the speech was cut off")

    def _logits(self, step: Step, s: Sampling, guard: AlignmentGuard | None, seen: list[int], first: int) -> Floats:
        if not np.isfinite(step.logits).all():
            raise WeightError("tokens: a logit is not finite; fetch or convert the weights again")
        logits = guided(step.logits, s.guidance)
        if guard is None:
            return logits
        attention = np.mean(step.attention, 0)
        if guard.steps == 0:
            attention = attention[first + guard.symbols - attention.shape[1] :]
        return guard.step(logits, attention[:, first : first + guard.symbols], seen[-1])

    def _ended(self, guard: AlignmentGuard | None, said: Utterance) -> None:
        if guard is not None and guard.reason:
            said.warnings.append(f"the speech was ended early: {guard.reason}")

    # tokens → mel

    def mel(
        self, tokens: Sequence[int] | Whole, voice: Conditionals, how: Generation, start: Floats, *, final: bool = True,
        watch: Callable[[int, Floats], None] | None = None,
    ) -> Mel:  # fmt: skip
        """The tokens' mel. `start` [frames, 80]: noise for prompt and tokens, of which the first frames are taken.

        Not `final`: the last three tokens are only looked at, as more will come. `watch` sees the flow after each step.
        """
        given = np.concatenate([voice.flow_prompt[0], np.asarray(tokens, np.int64)])
        mu = self.stages.mu(given[None])
        if not final:
            mu = mu[:, : -2 * self.c.flow.lookahead]
        shown, frames = voice.mel.shape[1], mu.shape[1]
        if frames <= shown:
            raise InputError("there are no tokens to make a mel of")
        prompt = np.zeros_like(mu)
        prompt[:, :shown] = voice.mel
        x = self.flow(start[None, :frames], mu, self.stages.project(voice.x_vector), prompt, how, watch)
        if not np.isfinite(x).all():
            raise WeightError("the mel: holds NaN or infinity; fetch or convert the weights again")
        return Mel(x[:, shown:], self.c.spec)

    def flow(
        self, x: Floats, mu: Floats, speaker: Floats, prompt: Floats, how: Generation,
        watch: Callable[[int, Floats], None] | None = None,
    ) -> Floats:  # fmt: skip
        """From `x` to the mel [1, frames, mels] along the flow's steps; see `mel`."""
        f = self.c.flow
        rate = f.guidance if how.rate is None else how.rate
        pairs = [np.concatenate([a, np.zeros_like(a)]) for a in (mu, speaker, prompt)]

        def estimate(x: Floats, t: float, then: float) -> Floats:
            if f.meanflow or rate == 0:
                return self.stages.velocity(x, mu, speaker, prompt, (t, then))
            twice = np.concatenate([x, x])
            both = self.stages.velocity(twice, pairs[0], pairs[1], pairs[2], (t, then))
            return guide(both[:1], both[1:], rate)

        end = x
        for i, end in euler(estimate, x, times(how.steps or f.steps, how.schedule or f.schedule)):
            if watch is not None:
                watch(i, end)
        return end

    def start(self, noise: Noise, frames: int) -> Floats:
        """The noise that the flow of an utterance starts from, prompt's frames first: [frames, 80]."""
        return noise.draw("flow.start", (frames, self.c.spec.mels))

    # mel → wave

    def wave(self, mel: Mel, noise: Noise) -> Floats:
        """The mel's sound [frames · hop], its start faded in."""
        sines = HarmonicSource(self.source, noise).push(self.stages.pitch(mel.values)[0])
        wave = self.stages.vocode(mel.values, self.stages.excite(sines[None]))[0]
        if not np.isfinite(wave).all():
            raise WeightError("the wave: holds NaN or infinity; fetch or convert the weights again")
        return faded(wave, self.rate)

    def generate(
        self,
        ids: Whole,
        voice: Conditionals,
        how: Generation | None = None,
        *,
        seed: int = 0,
        noise: Noise | None = None,
    ) -> Generated:
        """Say ids [1, S] (start and stop included) with a voice: tokens, mel and wave, each of the whole text."""
        how, noise, said = how or self.generation(), noise or Noise(seed), Utterance()
        tokens = list(self.tokens(ids, voice, how, noise, said))
        if not tokens:
            said.warnings.append("the model said nothing")
        spoken = [*tokens, *SILENCE] if self.c.variant == "turbo" else tokens
        if not spoken:
            empty = Mel(np.zeros((1, 0, self.c.spec.mels), np.float32), self.c.spec)
            return Generated(np.zeros(0, np.int64), empty, np.zeros(0, np.float32), tuple(said.warnings))
        frames = 2 * (voice.flow_prompt.shape[1] + len(spoken))
        mel = self.mel(spoken, voice, how, self.start(noise, frames))
        return Generated(np.array(tokens, np.int64), mel, self.wave(mel, noise), tuple(said.warnings))


def faded(wave: Floats, rate: int) -> Floats:
    """20 ms of silence, then 20 ms of a raised cosine, at the start: what spills over from the prompt stays unheard."""
    trim = int(rate * FADE)
    rise = (np.cos(np.linspace(np.pi, 0, trim)) + 1) / 2
    fade = np.concatenate([np.zeros(trim), rise]).astype(np.float32)[: len(wave)]
    return np.concatenate([wave[: len(fade)] * fade, wave[len(fade) :]])
