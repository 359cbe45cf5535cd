"""T5 as the package `transformers` has it: the reference that `docs/porting.md` ports.

A reference is a folder's, or a fresh one of a configuration, its random weights sensitised (see `sensitise`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...families.reference import package, sensitise

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

# Sizes of which no two are equal, so that no axis can be taken for another; v1.0 and v1.1 are T5's two spellings.
CONFIGS: dict[str, dict[str, Any]] = {
    "v1.0": {
        "vocab_size": 61, "d_model": 48, "num_heads": 4, "d_kv": 16, "d_ff": 80, "num_layers": 3,
        "num_decoder_layers": 2, "feed_forward_proj": "relu",
    },
    "v1.1": {
        "vocab_size": 61, "d_model": 48, "num_heads": 5, "d_kv": 8, "d_ff": 80, "num_layers": 2,
        "num_decoder_layers": 2, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
    },
    "odd": {
        "vocab_size": 53, "d_model": 33, "num_heads": 3, "d_kv": 7, "d_ff": 45, "num_layers": 3,
        "num_decoder_layers": 3, "feed_forward_proj": "gated-silu", "layer_norm_epsilon": 1e-5,
        "relative_attention_num_buckets": 14, "relative_attention_max_distance": 37,
    },
}  # fmt: skip


class T5Reference:
    """`transformers`' T5ForConditionalGeneration, NumPy in and out. Raises MissingExtra where it is not installed."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval()

    @classmethod
    def fresh(cls, config: Mapping[str, Any], seed: int = 0) -> T5Reference:
        """A model with these values of the reference's T5Config and random weights."""
        t = package("transformers")
        given = {"decoder_start_token_id": 0, **config}
        model = t.T5ForConditionalGeneration(t.T5Config(**given, attn_implementation="eager"))
        if config.get("tie_word_embeddings") is False:
            # The published v1.1 files have an output matrix of their own; a new model shares the input's.
            head = model.lm_head.weight
            model.lm_head.weight = type(head)(head.detach().clone())
        return cls(sensitise(model, seed))

    @classmethod
    def load(cls, folder: str | Path) -> T5Reference:
        """A model from a folder that `save_pretrained` wrote."""
        load = package("transformers").T5ForConditionalGeneration.from_pretrained
        return cls(load(str(folder), local_files_only=True, attn_implementation="eager"))

    @property
    def config(self) -> Any:
        """The reference's own configuration object."""
        return self.model.config

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Key → array of the whole state, as the reference names it."""
        return {key: value.numpy() for key, value in self.model.state_dict().items()}

    def encode(self, ids: Ints, mask: NDArray[np.bool_] | None = None) -> Floats:
        """ids [B, S], mask [B, S] True on real tokens → memory [B, S, C]."""
        with _no_gradients():
            return self.model.encoder(_tensor(ids), attention_mask=_long(mask)).last_hidden_state.numpy()

    def decode(self, ids: Ints, memory: Floats, mask: NDArray[np.bool_] | None = None) -> Floats:
        """All steps at once: ids [B, T], memory [B, S, C], mask [B, S] → logits [B, T, vocabulary]."""
        given = {
            "encoder_outputs": (_tensor(memory),),
            "attention_mask": _long(mask),
            "decoder_input_ids": _tensor(ids),
        }
        with _no_gradients():
            return self.model(**given, use_cache=False).logits.numpy()

    def generate(self, ids: Ints, mask: NDArray[np.bool_] | None = None, *, steps: int) -> Ints:
        """Greedy tokens [B, up to 1 + steps], the first the start token; a row that has ended is padded."""
        named = {"attention_mask": _long(mask), "max_new_tokens": steps, "do_sample": False, "num_beams": 1}
        with _no_gradients():
            return self.model.generate(_tensor(ids), **named).numpy()

    def record(self, ids: Ints, mask: NDArray[np.bool_] | None, said: Ints) -> dict[str, Recorded]:
        """Each module's arguments and output in one run of the whole model, by the module's name."""
        seen: dict[str, Recorded] = {}
        hooks = [
            module.register_forward_hook(_keep(seen, name), with_kwargs=True)
            for name, module in self.model.named_modules()
        ]
        try:
            with _no_gradients():
                self.model(_tensor(ids), attention_mask=_long(mask), decoder_input_ids=_tensor(said), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return seen


class Recorded(tuple[list[Any], dict[str, Any], Any]):
    """What one call of a module was given in order and by name, and what it gave back; tensors as arrays."""

    @property
    def x(self) -> Floats:
        """The first thing that it was given."""
        args, named, _ = self
        return args[0] if args else named["hidden_states"]

    @property
    def y(self) -> Floats:
        """What it gave back, the first of several."""
        out = self[2]
        return out[0] if isinstance(out, tuple) else out


def _no_gradients() -> Any:
    import torch

    return torch.no_grad()


def _tensor(a: NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(a))


def _long(mask: NDArray[np.bool_] | None) -> Any:
    return None if mask is None else _tensor(mask.astype(np.int64))


def _array(value: Any) -> Any:
    return value.detach().numpy().copy() if hasattr(value, "detach") else value


def _keep(seen: dict[str, Recorded], name: str) -> Any:
    def hook(_: Any, args: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
        given = [_array(a) for a in args], {key: _array(value) for key, value in named.items()}
        back = tuple(_array(o) for o in out) if isinstance(out, tuple) else _array(out)
        seen[name] = Recorded((*given, back))

    return hook
