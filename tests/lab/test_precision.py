"""Which layer cannot do with less precision: one that was made sensitive, and does the same in float32, is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import probes
import pytest
from probes import PROBE, clamp_durations, parity_weights

from portavoz import ops
from portavoz.errors import InputError
from portavoz.families.compact.loop import Compact, Eager
from portavoz.families.compact.pipeline import pipeline as compact
from portavoz.families.compact.pipeline import symbols
from portavoz.families.speecht5 import stages
from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.pipeline import probe
from portavoz.lab.pipeline.pipeline_loader import Request
from portavoz.lab.pipeline.precision import Row, Sensitivity, lines, sensitivity
from portavoz.ops.rounding import Rounding
from portavoz.weights.cursor import Weights

HUGE = np.float32(4096)


def looked(change: Any = None) -> Sensitivity:
    """The compact probe on torch, its weights changed."""
    arrays = clamp_durations(parity_weights(lambda w: Eager(w, PROBE), 0))
    if change is not None:
        change(arrays)
    watch = Rounding(ops.open("torch"))
    model = Compact(Eager(Weights(arrays, watch), PROBE), PROBE)
    return Sensitivity(compact(model, lambda: symbols("One lab.")), watch)


def first(rows: Any) -> Row:
    return max(rows, key=lambda row: row.harm)


def far_out(arrays: Any) -> None:
    """The decoder's last layer works far from zero, and what carries it back takes that off again."""
    arrays["acoustic.decoder.out.bias"] += HUGE
    arrays["acoustic.decoder.mean"] -= HUGE * arrays["acoustic.decoder.scale"]


def one_column(arrays: Any) -> None:
    """One channel of a layer's input is tiny and its column huge: the same product, but no row fits into 255 steps."""
    name = "acoustic.decoder.stack.layers.1.attention"
    for kind in ("weight", "bias"):
        arrays[f"{name}.v.{kind}"][5] /= HUGE
    arrays[f"{name}.out.weight"][:, 5] *= HUGE


@pytest.mark.parametrize(
    ("change", "glob", "layer", "kind"),
    [
        (far_out, "acoustic.decoder.[op]*", "acoustic.decoder.out", "bfloat16"),
        (one_column, "acoustic.decoder.stack.layers.1.*", "acoustic.decoder.stack.layers.1.attention.out", "int8"),
    ],
)
def test_the_layer_that_was_made_sensitive_is_first(change: Any, glob: str, layer: str, kind: str) -> None:
    before, after = looked(), looked(change)
    # In float32 it is the same voice.
    mels = [one.values[3]["mel"] for one in (before, after)]
    assert np.linalg.norm(mels[0] - mels[1]) / np.linalg.norm(mels[0]) < 1e-3
    worst = first(after.layers([kind], glob))
    assert worst.unit == layer
    assert worst.mel > 20 * first(before.layers([kind], layer)).mel
    assert first(after.stages([kind])).stage == "decode"


def test_too_large_for_sixteen_bits_is_an_overflow() -> None:
    def change(arrays: Any) -> None:
        arrays["acoustic.decoder.out.bias"] += 1e5
        arrays["acoustic.decoder.mean"] -= np.float32(1e5) * arrays["acoustic.decoder.scale"]

    rows = list(looked(change).layers(["float16", "bfloat16"], "acoustic.decoder.out"))
    assert [np.isinf(row.wave) for row in rows] == [True, False]
    assert rows[0].to_dict()["wave_l2"] is None
    assert lines("compact", rows)[0] == "acoustic.decoder.out is the most sensitive: in float16 it overflows"


def test_speecht5_too() -> None:
    def observed(change: Any = None) -> Sensitivity:
        subject, arrays = probes.reference()
        del subject
        model = {k: np.array(a) for k, a in arrays.items() if not k.startswith("vocoder.")}
        vocoder = {k.removeprefix("vocoder."): a for k, a in arrays.items() if k.startswith("vocoder.")}
        if change is not None:
            change(model)
        watch = Rounding(ops.open("torch"))
        return Sensitivity(probe(stages.eager(model, vocoder, TINY, watch), Request(), ""), watch)

    def norm(model: Any) -> None:
        """A batch norm takes off what the convolution before it has nothing of."""
        here = "speech_decoder_postnet.layers.1.batch_norm"
        model[f"{here}.running_mean"] += HUGE
        model[f"{here}.bias"] += (
            HUGE * model[f"{here}.weight"] / np.sqrt(model[f"{here}.running_var"] + np.float32(1e-5))
        )

    rows = list(observed(norm).layers(["bfloat16"], "speech_decoder_postnet.layers.*"))
    assert first(rows).unit == "speech_decoder_postnet.layers.1.batch_norm"
    assert {row.stage for row in rows} == {"postnet"}


def test_every_stage_in_every_kind_and_none_of_the_text() -> None:
    rows = sensitivity("compact", Request("One lab."), backend="numpy")
    assert {(row.stage, row.kind) for row in rows} == {
        (stage, kind) for stage in ("encode", "decode", "vocode") for kind in ("bfloat16", "float16", "int8")
    }
    assert [row.harm for row in rows] == sorted((row.harm for row in rows), reverse=True)
    assert all(row.wave > 0 and row.decibels > 0 for row in rows)
    assert all((row.mel > 0) == (row.stage != "vocode") for row in rows)
    half = {row.stage: row.wave for row in rows if row.kind == "float16"}
    assert all(row.wave > half[row.stage] for row in rows if row.kind == "bfloat16")


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="there is no precision int4: choose among bfloat16, float16, int8"):
        sensitivity("compact", kinds=["int4"])
    with pytest.raises(InputError, match=r"no layer of compact matches 'nothing': a path is such as acoustic\.encoder"):
        sensitivity("compact", Request("One lab."), layers=True, only="nothing", backend="numpy")
