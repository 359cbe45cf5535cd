"""SpeechT5 in `transformers` (extra `reference`), by the names of our stages: encode, decode_step, postnet, vocode.

The reference draws the pre-net's dropout by itself, for its whole history at every step. Here its masks are given:
for the time of a call, the draw takes them instead, and all the rest is the reference's own arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from ....errors import InputError
from ...reference import package, sensitise
from ...spec import ReferenceRun
from .. import probe
from ..checkpoint import Checkpoint
from ..config import TINY, SpeechT5Config
from ..stages import Pairs, Whole
from ..validation import StoppingCriteria

Floats = NDArray[np.floating[Any]]  # float32; float64 where a noise floor is measured
CHANNELS_FIRST = {
    "Conv1d", "ConvTranspose1d", "BatchNorm1d", "SpeechT5BatchNormConvLayer", "HifiGanResidualBlock",
}  # fmt: skip


class Injected(TorchFunctionMode):
    """Gives the pre-net's masks [layers, steps, units] wherever the reference draws them."""

    def __init__(self, masks: Floats) -> None:
        super().__init__()
        self.kept, self.calls = torch.from_numpy(np.asarray(masks) > 0), 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.bernoulli:
            return func(*args, **(kwargs or {}))
        layer, steps = self.calls % len(self.kept), args[0].shape[0]
        self.calls += 1
        if steps > self.kept.shape[1]:
            raise InputError(f"the reference is at step {steps}, but the masks end at {self.kept.shape[1]}")
        return self.kept[layer, :steps].to(args[0].dtype)


class State(NamedTuple):
    """The reference's state: the whole history of frames and masks, because it reads them again each step."""

    memory: Any
    mask: Any
    speaker: Any
    frames: Any
    masks: Floats
    past: Any


class ReferenceOutput(NamedTuple):
    """The reference's output: mel [F, mels], the mel before its post-net, stop probabilities [steps, r], wave."""

    mel: Floats
    before: Floats
    stops: Floats
    wave: Floats


class Reference:
    """`transformers`' model and vocoder, in float32, in evaluation mode. Raises MissingExtra without the package."""

    def __init__(self, model: Any, vocoder: Any) -> None:
        self.model, self.vocoder = model.eval(), vocoder.eval()
        self.config = SpeechT5Config.from_dict(model.config.to_dict(), vocoder.config.to_dict())

    @classmethod
    def fresh(cls, config: SpeechT5Config, seed: int = 0) -> Reference:
        """A model of this configuration with random weights that show faults (see sensitise)."""
        t = package("transformers")
        model = t.SpeechT5ForTextToSpeech(t.SpeechT5Config(**config.to_dict()))
        vocoder = t.SpeechT5HifiGan(t.SpeechT5HifiGanConfig(**config.vocoder_dict()))
        return cls(sensitise(model, seed), sensitise(vocoder, seed))

    @classmethod
    def open(cls, model: str | Path, vocoder: str | Path) -> Reference:
        """The model and the vocoder of two folders that `save_pretrained` wrote. Raises InputError for another one."""
        t = package("transformers")
        kinds = (t.SpeechT5ForTextToSpeech, t.SpeechT5HifiGan)
        try:
            opened = [k.from_pretrained(str(f), local_files_only=True) for k, f in zip(kinds, (model, vocoder))]
        except (OSError, ValueError) as problem:
            reason = str(problem).splitlines()[0]
            raise InputError(f"{model}, {vocoder}: transformers cannot open these ({reason}); check them") from problem
        return cls(*opened)

    def tensors(self) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """The model's and the vocoder's tensors by name, as their files hold them."""
        model, vocoder = (
            {k: v.detach().numpy() for k, v in m.state_dict().items()} for m in (self.model, self.vocoder)
        )
        return model, vocoder

    # The stages

    def encode(self, ids: NDArray[np.int64], mask: NDArray[np.bool_], speaker: Floats) -> State:
        """ids [B, S], mask [B, S] (True: real), speaker [B, X] → a state at the start of an utterance."""
        seen = torch.from_numpy(mask.astype(np.int64))
        with torch.no_grad():
            memory = self.model.speecht5.encoder(
                input_values=torch.from_numpy(ids), attention_mask=seen, return_dict=True
            ).last_hidden_state
        c = self.config
        none = np.zeros((c.speech_decoder_prenet_layers, 0, c.speech_decoder_prenet_units), np.float32)
        return State(memory, seen, torch.from_numpy(speaker), memory.new_zeros(len(ids), 0, c.num_mel_bins), none, None)

    def decode_step(self, frame: Floats, state: State, masks: Floats) -> tuple[Floats, Floats, State]:
        """frame [B, 1, mels], masks [layers, units] (the reference has one for all rows) → frames, stops, state."""
        frames = torch.cat([state.frames, torch.from_numpy(frame)], 1)
        kept, decoder, heads = np.concatenate([state.masks, masks[:, None]], 1), None, self.model.speech_decoder_postnet
        decoder = self.model.speecht5.decoder
        with torch.no_grad(), Injected(kept):
            hidden = decoder.prenet(frames, state.speaker)
            out = decoder.wrapped_decoder(
                hidden_states=hidden[:, -1:], encoder_hidden_states=state.memory, encoder_attention_mask=state.mask,
                past_key_values=state.past, use_cache=True, return_dict=True,
            )  # fmt: skip
            last = out.last_hidden_state.squeeze(1)
            feat = heads.feat_out(last).view(len(frame), self.config.reduction_factor, -1)
            stops = torch.sigmoid(heads.prob_out(last))
        return feat.numpy(), stops.numpy(), state._replace(frames=frames, masks=kept, past=out.past_key_values)

    def memory(self, state: State) -> list[tuple[Floats, Floats]]:
        """Each decoder layer's keys and values of the text, [B, S, C]."""
        layers = self.model.speecht5.decoder.wrapped_decoder.layers
        with torch.no_grad():
            pairs = [(x.encoder_attn.k_proj(state.memory), x.encoder_attn.v_proj(state.memory)) for x in layers]
        return [(k.numpy(), v.numpy()) for k, v in pairs]

    def remembering(self, state: State, heard: list[tuple[Floats, Floats]]) -> State:
        """The state with these keys and values of the text, as if its first step had made them."""
        t, heads = package("transformers"), self.config.decoder_attention_heads
        past = t.EncoderDecoderCache(t.DynamicCache(), t.DynamicCache())
        for layer, pair in enumerate(heard):
            k, v = (torch.from_numpy(np.array(x)).unflatten(-1, (heads, -1)).transpose(1, 2) for x in pair)
            past.cross_attention_cache.update(k, v, layer)
            past.is_updated[layer] = True
        return state._replace(past=past)

    def postnet(self, mel: Floats) -> Floats:
        """mel [B, F, mels] → mel [B, F, mels]."""
        with torch.no_grad():
            return self.model.speech_decoder_postnet.postnet(torch.from_numpy(mel)).numpy()

    def vocode(self, mel: Floats) -> Floats:
        """mel [B, F, mels] → wave [B, F · hop]."""
        with torch.no_grad():
            return self.vocoder(torch.from_numpy(mel)).numpy()

    def generate(
        self, ids: NDArray[np.int64], speaker: Floats, *, masks: Floats, stop: StoppingCriteria
    ) -> ReferenceOutput:
        """The reference's own loop over one row [S], with the given masks [layers, steps, units]."""
        heads, frames, stops = self.model.speech_decoder_postnet, [], []
        hooks = [
            heads.feat_out.register_forward_hook(lambda _, given, out: frames.append(out.clone())),
            heads.prob_out.register_forward_hook(lambda _, given, out: stops.append(torch.sigmoid(out))),
        ]
        try:
            with torch.no_grad(), Injected(masks):
                mel = self.model.generate_speech(
                    torch.from_numpy(ids)[None], torch.from_numpy(speaker)[None],
                    threshold=stop.threshold, minlenratio=stop.minlenratio, maxlenratio=stop.maxlenratio,
                )  # fmt: skip
        finally:
            for hook in hooks:
                hook.remove()
        before = torch.cat(frames).reshape(-1, self.config.num_mel_bins).numpy()
        return ReferenceOutput(mel.numpy(), before, torch.cat(stops).numpy(), self.vocode(mel.numpy()[None])[0])

    # Looking inside

    @contextmanager
    def traced(self) -> Iterator[dict[str, Floats]]:
        """What every module gives back while this lasts, by ``path#call``, as `[batch, time, channels]`."""
        entries: dict[str, Floats] = {}
        calls: dict[str, int] = {}
        hooks: list[Any] = []

        def follow(path: str, module: Any) -> None:
            turn = type(module).__name__ in CHANNELS_FIRST

            def see(_: Any, given: Any, out: Any) -> None:
                value = out if isinstance(out, torch.Tensor) else out[0]
                call = calls[path] = calls.get(path, -1) + 1
                entries[f"{path}#{call}"] = (value.transpose(1, 2) if turn else value).clone().numpy()

            hooks.append(module.register_forward_hook(see))

        for root in (self.model, self.vocoder):
            for path, module in root.named_modules():
                follow(path, module) if path else None
        try:
            yield entries
        finally:
            for hook in hooks:
                hook.remove()


class ReferenceStages:
    """The reference behind the names of our stages. It has one set of pre-net masks for all rows."""

    def __init__(self, reference: Reference) -> None:
        self.reference, self.postnet, self.vocode = reference, reference.postnet, reference.vocode

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> State:
        return self.reference.encode(ids, mask, speaker)

    def step(self, frame: Floats, state: State, masks: Floats) -> tuple[Floats, Floats, State]:
        return self.reference.decode_step(frame, state, masks[:, 0])

    def select(self, state: State, rows: Whole) -> State:
        return state

    def memory(self, state: State, symbols: int) -> Pairs:
        return self.reference.memory(state)

    def with_memory(self, state: State, pairs: Pairs) -> State:
        return self.reference.remembering(state, pairs)


def stages(checkpoint: Checkpoint | None) -> ReferenceStages:
    """A checkpoint's stages in the reference; the probe's for None."""
    if checkpoint is None:
        return ReferenceStages(Reference.fresh(TINY, 0))
    return ReferenceStages(Reference.open(checkpoint.folder, checkpoint.vocoder))


def probe_run(source: SpeechT5Config | Checkpoint, seed: int = 0, steps: int | None = None) -> ReferenceRun:
    """The probe in the reference, with sensitised weights or a checkpoint's, and its tensors for ours."""
    if isinstance(source, Checkpoint):
        model, config = Reference.open(source.folder, source.vocoder), source.config
    else:
        model, config = Reference.fresh(source, 0), source
    given = probe.inputs(config, seed, steps)
    tensors, vocoder = model.tensors()
    return ReferenceRun(
        lambda: probe.run(ReferenceStages(model), given, config),
        {"": model.model, probe.VOCODER: model.vocoder},
        {**tensors, **{f"{probe.VOCODER}.{k}": v for k, v in vocoder.items()}},
    )
