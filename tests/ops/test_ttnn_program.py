"""What a program is on the card: a trace that can be replayed, its cost, and what each layer loses by itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from traces import TracedRecording

from portavoz import families, ops
from portavoz.blocks.attention import Cache
from portavoz.cli.main import main
from portavoz.families.speecht5 import probe as speecht5
from portavoz.families.speecht5.runtime import Sessions, runner
from portavoz.graph.eager import Function
from portavoz.lab.pipeline.card_precision import audited
from portavoz.ops.ttnn.audit import Audit
from portavoz.ops.ttnn.backend import TtnnOps
from portavoz.ops.ttnn.cost import cost
from portavoz.ops.ttnn.golden import Golden
from portavoz.ops.ttnn.paged import Paged
from portavoz.ops.ttnn.recording import Recording
from portavoz.ops.ttnn.schedule import read
from portavoz.weights.cursor import Weights

C = speecht5.TINY


def sessions(back: Any) -> Sessions:
    """The stages of SpeechT5's tiny configuration on a back end, with one function for each."""
    family, arrays = families.get("speecht5"), speecht5.weights(C)
    parts = {
        "model": {name: a for name, a in arrays.items() if not name.startswith("vocoder.")},
        "vocoder": {name[8:]: a for name, a in arrays.items() if name.startswith("vocoder.")},
    }
    tensors = family.prepare(parts, C)
    made = {
        spec.name: Function(spec.build(Weights(tensors[spec.part], back), C), back, spec)
        for spec in family.stages(C)
        if spec.part == "model"
    }
    return runner(made, tensors["host"], C)


def test_every_step_within_a_bucket_replays_the_first_and_the_next_bucket_is_refused() -> None:
    recording = TracedRecording(Golden())
    model = sessions(TtnnOps(schedule="bfloat16", executor=recording))
    given = speecht5.inputs(C, 0, 10)
    state = model.encode(given["ids"], given["mask"], given["speaker"], 70)
    frame, masks = np.zeros((2, 1, C.num_mel_bins), np.float32), given["masks"]
    for step in range(9):
        how = recording.capture if step == 0 else recording.replay
        with how("step"):
            frames, _, state = model.step(frame, state, np.repeat(masks[:, step, None], 2, 1))
        frame = frames[:, -1:]
    state.length = state.own.shape[4]  # as if the bucket were full: the next step needs a longer one
    said = r"trace 'step': operation \d+ is .*captured was .*: a trace cannot allocate; keep the shapes"
    with pytest.raises(AssertionError, match=said), recording.replay("step"):
        model.step(frame, state, np.repeat(masks[:, 9, None], 2, 1))


def test_a_cache_that_grows_is_no_trace() -> None:
    """The eager cache reads as many rows as were written: another shape in each step."""
    recording = TracedRecording(Golden())
    back = TtnnOps(executor=recording)
    cache = Cache.empty(back, 1, 8, 4)
    row = back.tensor(np.ones((1, 1, 4), np.float32))

    def step(cache: Any) -> Any:
        cache = cache.extend(back, row, row)
        back.matmul(row, back.swap(cache.read()[0]))
        return cache

    with recording.capture("grow"):
        cache = step(cache)
    with pytest.raises(AssertionError, match="trace 'grow': operation"), recording.replay("grow"):
        step(cache)


def test_the_cost_of_a_linear_layer_worked_out_by_hand() -> None:
    recording = Recording(Golden())
    schedule = read({"rule": [{"match": "a.weight", "dtype": "bfloat8_b", "fidelity": "hifi2"}]}, "s")
    back = TtnnOps(schedule=schedule, executor=recording)
    layer = Weights({"a.weight": np.ones((64, 32), np.float32)}, back).linear("a", 32, 64, bias=False)
    assert sum(recording.parameters.values()) == 64 * 32 * 1.0625
    x = back.tensor(np.ones((1, 10, 32), np.float32))
    recording.clear()
    back.tanh(layer(x))
    found = cost(recording.entries)
    assert (found.dispatches, found.products) == (2, 10 * 32 * 64)
    assert found.parameters == 64 * 32 * 1.0625
    assert found.arithmetic == pytest.approx(2 * 10 * 32 * 64 * 2 / 262e12)
    assert "not measured on a card" in str(found)


@pytest.mark.parametrize("word", ["conv1d", "conv_transpose1d", "matmul"])
def test_multiply_adds_are_the_profilers(word: str) -> None:
    from portavoz.ops.profiler import Profiler

    def run(back: Any) -> None:
        w = Weights.fresh(back)
        if word == "matmul":
            back.matmul(back.tensor(np.ones((2, 3, 5), np.float32)), back.tensor(np.ones((2, 5, 7), np.float32)))
        elif word == "conv1d":
            w.conv1d("c", 6, 4, 3, groups=2)(back.tensor(np.ones((2, 9, 6), np.float32)))
        else:
            w.conv_transpose1d("c", 6, 4, 8, stride=4, padding=2)(back.tensor(np.ones((2, 9, 6), np.float32)))

    counted, recording = Profiler(ops.open("numpy")), Recording(Golden())
    run(counted)
    run(TtnnOps(executor=recording))
    assert sum(e.products for e in recording.entries) == counted.total.multiply_adds


def test_the_audit_names_the_layer_that_loses_and_the_line_that_mends_it(tmp_path: Any) -> None:
    layer = "speecht5.decoder.prenet.layers.1.weight"
    about = {"defaults": {"dtype": "float32", "output": "float32"}, "rule": [{"match": layer, "fidelity": "lofi"}]}
    path = tmp_path / "one.toml"
    path.write_text(
        f'[defaults]\ndtype = "float32"\noutput = "float32"\n[[rule]]\nmatch = "{layer}"\nfidelity = "lofi"\n'
    )
    assert read(about, "one.toml").rule(layer).fidelity == "lofi"
    rows, found = audited(families.get("speecht5"), str(path))
    assert rows[0].owner == layer and rows[0].answer == "LOSS"
    assert rows[0].error > 5e-3 and rows[0].slope < 0.99 and rows[0].pcc > 0.99
    assert f'[[rule]] match = "{layer}"; fidelity = "hifi' in rows[0].remedy
    assert all(row.error < 1e-5 for row in rows[1:])
    assert {drift.name for drift in found} >= {"frames", "stops", "mel", "wave"}


def test_where_bfloat16_cannot_tell_it_says_so() -> None:
    rows, found = audited(families.get("compact"), "bfloat16")
    assert {row.answer for row in rows} >= {"UNDECIDABLE"}
    assert all(row.pcc > 0.99 for row in rows)
    # A duration that rounding decides may differ, and then all that follows has another length.
    assert next(drift for drift in found if drift.name == "log_durations").pcc > 0.99


def test_what_mends_decode_attention_is_a_line_that_its_cache_has() -> None:
    about = {"defaults": {"output": "float32"}, "cache": {"dtype": "bfloat8_b", "fidelity": "lofi"}}
    audit = Audit()
    back, draw = TtnnOps(schedule=read(about, "lofi.toml"), executor=audit), np.random.default_rng(0)
    cache = Paged.empty(back, 1, 40, 64, 2)
    for _ in range(5):
        q, k, v = (back.tensor(draw.normal(size=(1, 1, 64)).astype(np.float32)) for _ in range(3))
        cache = cache.extend(back, k, v)
        cache.decode(q, 0.2)
    (row,) = audit.rows()
    assert (row.operation, row.calls, row.answer) == ("sdpa_decode", 5, "LOSS")
    assert row.remedy == '[cache]; fidelity = "hifi2"'
    # The result has the defaults' dtype, not the cache's, so the loss is the fidelity's alone.
    assert row.floor < 1e-6 < 5e-3 < row.error and row.slope < 0.99


def test_the_audits_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "precision", "compact", "--schedule", "fast", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schedule"] == "fast" and said["layers"][0]["error"] >= said["layers"][-1]["error"]
    assert all("; " in row["remedy"] for row in said["layers"] if row["remedy"])
    assert not any("fidelity" in row["remedy"] for row in said["layers"] if row["operation"] == "layer_norm")
    assert {"durations", "mel", "wave"} <= {row["name"] for row in said["free_run"]}
    assert main(["lab", "precision", "compact", "--schedule", "fast", "--layers"]) == 2
    assert "leave --layers" in capsys.readouterr().err
    assert main(["lab", "precision", "compact", "--steps", "3"]) == 2
    assert "give a whole number from 1 up, with --schedule" in capsys.readouterr().err
