"""From T5 to SpeechT5: the keys that name the same thing, and what differs although the keys can be renamed.

SpeechT5 took T5's name and its shape, encoder, decoder, cross-attention, and wav2vec 2.0's layers. A port that renames
keys and stops there loads three quarters of a T5 and computes something else.
"""

from __future__ import annotations

from dataclasses import dataclass

from portavoz.weights.names import Names

ENCODER, DECODER = "speecht5.encoder.wrapped_encoder", "speecht5.decoder.wrapped_decoder"


def keys(*, gated: bool = False) -> Names:
    """T5's keys ↔ SpeechT5's; `gated` for v1.1's feed-forward of three matrices.

    Text leaves a T5 at its end and sound a SpeechT5, so the output matrix has no counterpart. What has a place in T5
    alone gets a name beside its neighbours, where an audit finds that nobody takes it.
    """
    wide = {"wi_0": "intermediate_dense", "wi_1": "gate_dense"} if gated else {"wi": "intermediate_dense"}
    return Names(
        "shared.weight <-> speecht5.encoder.prenet.embed_tokens.weight",
        f"encoder.final_layer_norm.weight <-> {ENCODER}.layer_norm.weight",
        f"decoder.final_layer_norm.weight <-> {DECODER}.layer_norm.weight",
        *_table("encoder", f"{ENCODER}.embed_positions.pe_k.weight"),
        *_table("decoder", f"{DECODER}.embed_positions.pe_k.weight"),
        *_attention("encoder", "0.SelfAttention", f"{ENCODER}.layers.{{i}}.attention"),
        *_attention("decoder", "0.SelfAttention", f"{DECODER}.layers.{{i}}.self_attn"),
        *_attention("decoder", "1.EncDecAttention", f"{DECODER}.layers.{{i}}.encoder_attn"),
        *_feed_forward("encoder", "1", f"{ENCODER}.layers.{{i}}", wide),
        *_feed_forward("decoder", "2", f"{DECODER}.layers.{{i}}", wide),
        f"encoder.block.{{i}}.layer.0.layer_norm.weight <-> {ENCODER}.layers.{{i}}.layer_norm.weight",
        f"decoder.block.{{i}}.layer.0.layer_norm.weight <-> {DECODER}.layers.{{i}}.self_attn_layer_norm.weight",
        f"decoder.block.{{i}}.layer.1.layer_norm.weight <-> {DECODER}.layers.{{i}}.encoder_attn_layer_norm.weight",
        drop=[r"(encoder|decoder)\.embed_tokens\.weight", r"lm_head\.weight"],
    )


def _table(side: str, ours: str) -> tuple[str, ...]:
    return (f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight <-> {ours}",)


def _attention(side: str, part: str, ours: str) -> list[str]:
    names = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
    return [f"{side}.block.{{i}}.layer.{part}.{a}.weight <-> {ours}.{b}.weight" for a, b in names.items()]


def _feed_forward(side: str, part: str, ours: str, wide: dict[str, str]) -> list[str]:
    names = {**wide, "wo": "output_dense"}
    rules = [
        f"{side}.block.{{i}}.layer.{part}.DenseReluDense.{a}.weight <-> {ours}.feed_forward.{b}.weight"
        for a, b in names.items()
    ]
    return [*rules, f"{side}.block.{{i}}.layer.{part}.layer_norm.weight <-> {ours}.final_layer_norm.weight"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that T5 and SpeechT5 do in two ways.

    `paths` is a regular expression of what an audit of the renamed tensors complains about because of it; `shows` are
    the parts that give other numbers than T5's when they get T5's inputs. At least one of the two is there; a bias
    that a new model starts with zeros shows nowhere.
    """

    name: str
    t5: str
    speecht5: str
    paths: str = ""
    shows: tuple[str, ...] = ()


DIFFERENCES = (
    Difference(
        "scale", "scores are not scaled", "queries × 1/√width of a head, after the bias",
        shows=("self-attention", "cross-attention"),
    ),
    Difference(
        "biases", "projections and matrices have none", "each has one", paths=r".*(_proj|_dense)\.bias",
    ),
    Difference(
        "norm", "root mean square, eps 1e-6, weight only", "LayerNorm, eps 1e-5, weight and bias",
        paths=r".*layer_norm\.bias", shows=("norm",),
    ),
    Difference(
        "order", "the norm stands before its part (pre-norm)", "after the sum (post-norm)", shows=("order",),
    ),
    Difference(
        "end norm", "one more after the last layer, in encoder and decoder",
        "one before the encoder's first layer, none in the decoder",
        paths=rf"{DECODER}\.layer_norm\.weight", shows=("entry",),
    ),
    Difference(
        "relative positions", "a bias for each bucket of distances and head, in encoder and decoder",
        "a key for each distance, for all heads, in the encoder",
        paths=r".*embed_positions\.pe_k\.weight", shows=("self-attention",),
    ),
    Difference(
        "absolute positions", "none", "sines × a learned alpha, at both ends",
        paths=r".*encode_positions\.alpha", shows=("entry",),
    ),
    Difference(
        "activation", "ReLU (v1.0), GELU by tanh (v1.1)", "GELU by erf", shows=("feed-forward",),
    ),
    Difference(
        "gate", "v1.1: a third matrix multiplies the activation", "two matrices",
        paths=r".*gate_dense\.weight", shows=("feed-forward",),
    ),
)  # fmt: skip
