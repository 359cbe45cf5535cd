"""The reference: chatterbox-tts's own classes in any size, with random weights that show faults.

Imported without the packages' own front doors, which pull in what nobody needs here (a watermarker, audio back
ends, Hugging Face's hub). The only file of the family that knows torch.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ....errors import MissingExtra
from ..config import ChatterboxConfig, CodesConfig, FlowConfig, TokensConfig, VocoderConfig, VoiceConfig, XVectorConfig


def package(name: str) -> types.ModuleType:
    """A package of which only the submodules are wanted: its own front door stays shut. Raises MissingExtra."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise MissingExtra(name, "reference", "comparing with chatterbox")
    module = types.ModuleType(name)
    module.__path__, module.__spec__ = list(spec.submodule_search_locations), spec
    sys.modules[name] = module
    return module


@contextmanager
def _torchaudio() -> Iterator[None]:
    """A place holder where torchaudio is not installed: the models need it for a prompt's filter bank alone."""
    names = ("torchaudio", "torchaudio.compliance", "torchaudio.compliance.kaldi", "torchaudio.transforms")
    if "torchaudio" in sys.modules or importlib.util.find_spec("torchaudio") is not None:
        yield
        return
    made = {name: types.ModuleType(name) for name in names}
    for name, module in made.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, module)
    sys.modules.update(made)
    try:
        yield
    finally:  # whoever asks later whether torchaudio is here must hear the truth
        for name in names:
            del sys.modules[name]


def models(name: str) -> Any:
    """A module of ``chatterbox.models`` by its dotted name. Raises MissingExtra."""
    for needed in ("torch", "transformers", "diffusers", "s3tokenizer"):
        if importlib.util.find_spec(needed) is None:
            raise MissingExtra(needed, "reference", "comparing with chatterbox")
    package("chatterbox")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("transformers")
        with _torchaudio():
            return importlib.import_module(f"chatterbox.models.{name}")


@contextmanager
def changed(module: Any, **names: Any) -> Iterator[None]:
    """Names of a module replaced for a while: sizes that the reference's constructors do not ask for."""
    old = {name: getattr(module, name) for name in names}
    try:
        for name, value in names.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in old.items():
            setattr(module, name, value)


def t3(c: TokensConfig) -> Any:
    """chatterbox.models.t3.T3 in these sizes."""
    settings, configs = models("t3.modules.t3_config"), models("t3.llama_configs").LLAMA_CONFIGS
    hp = settings.T3Config(c.text_vocab)
    llama = c.backbone == "llama"
    sizes = {"hidden_size": c.hidden, "num_hidden_layers": c.layers, "num_attention_heads": c.heads}
    if llama:
        base = configs["Llama_520M"]
        more = {"intermediate_size": c.inner, "num_key_value_heads": c.heads, "head_dim": c.hidden // c.heads}
    else:
        base = configs["GPT2_medium"]
        more = {"n_embd": c.hidden, "n_layer": c.layers, "n_head": c.heads, "n_inner": c.inner, "vocab_size": 16}
        more |= {"n_positions": c.longest, "n_ctx": c.longest, "bos_token_id": None, "eos_token_id": None}
    hp.llama_config_name = name = f"portavoz-{hash(c)}"
    hp.speech_tokens_dict_size, hp.speech_cond_prompt_len = c.speech_vocab, c.prompt_tokens
    hp.input_pos_emb = "learned" if c.positions else None
    hp.use_perceiver_resampler, hp.emotion_adv, hp.speaker_embed_size = c.perceiver, c.emotion, c.speaker
    hp.max_text_tokens, hp.max_speech_tokens = c.max_text - 2, c.max_speech - 4
    configs[name] = {**base, **sizes, **more}
    if c.aligned_heads:  # read when an utterance begins
        models("t3.inference.alignment_stream_analyzer").LLAMA_ALIGNED_HEADS = list(c.aligned_heads)
    conditioning = models("t3.modules.cond_enc")
    resampler = functools.partial(conditioning.Perceiver, c.queries, c.hidden, c.hidden, c.perceiver_heads)
    with changed(conditioning, Perceiver=resampler):
        return models("t3").T3(hp)


def voice_encoder(c: VoiceConfig) -> Any:
    """chatterbox.models.voice_encoder.VoiceEncoder in these sizes."""
    hp = models("voice_encoder").VoiceEncConfig()
    hp.num_mels, hp.ve_hidden_size, hp.speaker_embed_size = c.mels, c.hidden, c.size
    return models("voice_encoder").VoiceEncoder(hp)


def xvector(c: XVectorConfig) -> Any:
    """chatterbox.models.s3gen.xvector.CAMPPlus in these sizes."""
    module = models("s3gen.xvector")
    block, counts, _, bands = module.FCM.__init__.__defaults__
    with changed(module.FCM.__init__, __defaults__=(block, counts, c.planes, bands)):
        return module.CAMPPlus(
            c.mels, c.size, growth_rate=c.growth, bn_size=c.bottleneck, init_channels=c.channels, memory_efficient=False
        )


def codes(c: CodesConfig) -> Any:
    """chatterbox.models.s3tokenizer.S3Tokenizer in these sizes."""
    import torch

    ours, theirs = models("s3tokenizer.s3tokenizer"), importlib.import_module("s3tokenizer.model_v2")
    config = theirs.ModelConfig(
        n_mels=c.mels, n_audio_state=c.hidden, n_audio_head=c.heads, n_audio_layer=c.layers, n_codebook_size=3**8
    )
    kind = type("S3Tokenizer", (ours.S3Tokenizer,), {})
    new = kind.__new__(kind)
    torch.nn.Module.__init__(new)
    new.name, new.config, new.n_fft = "speech_tokenizer_v2_25hz", config, 400
    new.encoder = theirs.AudioEncoderV2(c.mels, c.hidden, c.heads, c.layers, 2, False)
    new.quantizer = theirs.FSQVectorQuantization(c.hidden, 3**8)
    bank = ours.librosa.filters.mel(sr=ours.S3_SR, n_fft=400, n_mels=c.mels)
    new.register_buffer("_mel_filters", torch.from_numpy(bank).float())
    new.register_buffer("window", torch.hann_window(400))
    return new


def flow(c: FlowConfig) -> Any:
    """CausalMaskedDiffWithXvec: chatterbox.models.s3gen's token encoder and flow-matching decoder in these sizes."""
    up = models("s3gen.transformer.upsample_encoder")
    encoder = up.UpsampleConformerEncoder(
        c.hidden, c.hidden, c.heads, c.inner, max(c.layers, c.up_layers), input_layer="linear"
    )
    encoder.pre_lookahead_layer = up.PreLookaheadLayer(c.hidden, c.lookahead)
    encoder.up_layer = up.Upsample1D(c.hidden, c.hidden, 2)
    encoder.encoders, encoder.up_encoders = encoder.encoders[: c.layers], encoder.up_encoders[: c.up_layers]
    with warnings.catch_warnings():  # parts of diffusers that say they will be gone one day
        warnings.simplefilter("ignore")
        estimator = models("s3gen.decoder").ConditionalDecoder(
            in_channels=4 * c.mels, out_channels=c.mels, causal=True, channels=[c.channels], dropout=0.0,
            attention_head_dim=c.head_size, n_blocks=c.blocks, num_mid_blocks=c.middle, num_heads=c.estimator_heads,
            act_fn="gelu", meanflow=c.meanflow,
        )  # fmt: skip
    decoder = models("s3gen.flow_matching").CausalConditionalCFM(spk_emb_dim=c.mels, estimator=estimator)
    return models("s3gen.flow").CausalMaskedDiffWithXvec(c.hidden, c.mels, c.speaker, encoder=encoder, decoder=decoder)


def vocoder(c: VocoderConfig, rate: int) -> Any:
    """chatterbox.models.s3gen.hifigan.HiFTGenerator in these sizes."""
    f0 = models("s3gen.f0_predictor").ConvRNNF0Predictor(in_channels=c.mels, cond_channels=c.f0_channels)
    return models("s3gen.hifigan").HiFTGenerator(
        c.mels, c.channels, c.harmonics, rate, c.sine, c.noise, c.voiced, list(c.rates), list(c.kernels),
        {"n_fft": c.fft, "hop_len": c.hop}, list(c.res_kernels), [list(c.dilations) for _ in c.res_kernels],
        list(c.source_kernels), [list(c.dilations) for _ in c.source_kernels], c.slope, c.limit, f0,
    )  # fmt: skip


def s3gen(c: ChatterboxConfig) -> Any:
    """chatterbox.models.s3gen.S3Gen in these sizes: tokenizer, speaker_encoder, flow, mel2wav."""
    import torch

    theirs = models("s3gen.s3gen")
    new = theirs.S3Token2Wav.__new__(theirs.S3Token2Wav)
    torch.nn.Module.__init__(new)
    new.tokenizer, new.speaker_encoder = codes(c.codes), xvector(c.xvector)
    new.flow, new.mel2wav = flow(c.flow), vocoder(c.vocoder, c.spec.rate)
    new.mel_extractor, new.meanflow, new.resamplers = theirs.mel_spectrogram, c.flow.meanflow, {}
    trim = theirs.S3GEN_SR // 50
    fade = torch.zeros(2 * trim)
    fade[trim:] = (torch.cos(torch.linspace(torch.pi, 0, trim)) + 1) / 2
    new.register_buffer("trim_fade", fade, persistent=False)
    new.estimator_dtype = "fp32"
    return new


def sensitised(part: str, c: ChatterboxConfig, sensitise: Any) -> Any:
    """A model of the reference, "t3", "voice" or "s3gen", with random weights by `sensitise` that show faults."""
    if part == "t3":
        return sensitise(t3(c.tokens))
    if part == "voice":
        return sensitise(voice_encoder(c.voice))
    whole = s3gen(c)
    tables = {name: getattr(whole.tokenizer, name).clone() for name in ("_mel_filters", "window")}
    sensitise(whole)
    for name, table in tables.items():
        getattr(whole.tokenizer, name).copy_(table)
    # A pitch of 100 to 300 Hz: at a random projection's own scale every frame would be unvoiced.
    pitch = whole.mel2wav.f0_predictor.classifier
    pitch.weight.data.mul_(40.0)
    pitch.bias.data.fill_(180.0)
    return whole


class Unmarked:
    """In place of the reference's watermarker: the sound as it is."""

    def apply_watermark(self, wave: Any, sample_rate: int) -> Any:
        return wave


@contextmanager
def _stand_in(name: str, **content: Any) -> Iterator[None]:
    """A module of this name while something that imports it is imported."""
    old, new = sys.modules.get(name), types.ModuleType(name)
    new.__dict__.update(content)
    sys.modules[name] = new
    try:
        yield
    finally:
        del sys.modules[name]
        if old is not None:
            sys.modules[name] = old


def pipeline(parts: dict[str, Any], tokenizer: str, variant: str) -> Any:
    """The reference's ChatterboxTTS (or its multilingual or turbo form) around models, unmarked.

    `parts`: "t3", "s3gen" and "voice"; `tokenizer`: a tokenizer file (GPT-2's vocab.json: with those beside it).
    """
    names = {"english": ("tts", "ChatterboxTTS"), "multilingual": ("mtl_tts", "ChatterboxMultilingualTTS")}
    module_name, kind = names.get(variant, ("tts_turbo", "ChatterboxTurboTTS"))
    models("t3")
    with _stand_in("perth", PerthImplicitWatermarker=Unmarked), _stand_in("pyloudnorm"):
        module = importlib.import_module(f"chatterbox.{module_name}")
    if variant == "english":
        table = module.EnTokenizer(tokenizer)
    elif variant == "multilingual":
        kinds = models("tokenizers.tokenizer")
        with changed(kinds, ChineseCangjieConverter=lambda folder: None):
            table = module.MTLTokenizer(tokenizer)
    else:
        end, path, library = "<|endoftext|>", Path(tokenizer), importlib.import_module("transformers")
        if path.name == "vocab.json":
            table = library.AutoTokenizer.from_pretrained(path.parent, pad_token=end, local_files_only=True)
        else:
            table = library.PreTrainedTokenizerFast(tokenizer_file=tokenizer, eos_token=end, pad_token=end)
    return getattr(module, kind)(parts["t3"], parts["s3gen"], parts["voice"], table, "cpu")
