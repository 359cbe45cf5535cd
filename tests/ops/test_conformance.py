"""One body for every word on every back end: equal to the NumPy bodies in float64, over shapes that hypothesis picks.

Tolerance: relative L2 of 2e-6 in float32 (about 32 roundings of 2⁻²⁴), 1e-12 in float64. Relative to the answer,
or to a root mean square of one where the answer is smaller: its terms are of that size, and may cancel.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from word_cases import CASES, Draw
from written import Written

from portavoz import ops
from portavoz.ops.base import COMPOSITE_OPS, HOST_OPS, LEAF_OPS, STRUCTURAL_OPS, Ops
from portavoz.weights.layout import relayout

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WORDS = [*LEAF_OPS, *STRUCTURAL_OPS, *COMPOSITE_OPS]
TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
BACKENDS = [
    (name, precision)
    for name in sorted(ops.BACKENDS)
    for precision in TOLERANCE
    if precision == "float32" or ops.backend(name).float64
]
MOST_WORDS = 45


def opened(name: str, precision: str) -> Ops:
    """The back end in this precision."""
    if name == "torch" and precision == "float64":
        import torch

        return ops.open(name, dtype=torch.float64)
    return ops.open(name)


def on(back: Ops, value: Any, precision: str) -> Any:
    """Arguments made of float64 NumPy arrays, as this back end's tensors."""
    if isinstance(value, np.ndarray):
        # Rounded first: what is measured is the arithmetic, not the input.
        return back.tensor(value.astype(np.float32).astype(precision) if value.dtype.kind == "f" else value)
    if isinstance(value, SimpleNamespace):
        make = getattr(back, "weight", back.tensor)  # a graph has its layers' tensors inside, others are its inputs
        moved = {k: on(SimpleNamespace(tensor=make), v, precision) for k, v in vars(value).items()}
        if value.op:
            weight = relayout(value.weight, value.op, "torch", back.layout)
            moved["weight"] = on(SimpleNamespace(tensor=make), np.ascontiguousarray(weight), precision)
        return SimpleNamespace(**moved)
    if isinstance(value, (list, tuple)):
        return type(value)(on(back, v, precision) for v in value)
    return {k: on(back, v, precision) for k, v in value.items()} if isinstance(value, dict) else value


def flat(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in flat(part)] if isinstance(value, (list, tuple)) else [value]


def said(back: Ops, word: str, call: Any, precision: str) -> list[np.ndarray]:
    """What a back end answers, as float64 arrays."""
    args, named = call if len(call) == 2 and isinstance(call[1], dict) else (call, {})
    out = getattr(back, word)(*on(back, args, precision), **on(back, named, precision))
    return [np.asarray(back.numpy(x), np.float64) for x in flat(out)]


def gaps() -> dict[str, dict[str, str]]:
    return tomllib.loads((Path(ops.__file__).parent / "gaps.toml").read_text(encoding="utf-8"))


def conforms(back: Ops, word: str, call: Any, precision: str) -> None:
    """Equal shapes, equal numbers within the tolerance. Raises AssertionError otherwise."""
    want, got = said(Ops(), word, call, "float64"), said(back, word, call, precision)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert a.shape == b.shape
        assert (np.isfinite(a) == np.isfinite(b)).all()
        a, b = (np.where(np.isfinite(v), v, 0) for v in (a, b))
        assert np.linalg.norm(a - b) <= TOLERANCE[precision] * max(np.linalg.norm(a), np.sqrt(a.size))


def examples(back: Ops, word: str, precision: str) -> None:
    """The word conforms on inputs that hypothesis picks."""

    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def each(data: st.DataObject) -> None:
        conforms(back, word, CASES[word](Draw(data)), precision)

    each()


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("name", "precision"), BACKENDS)
def test_a_word_is_what_numpy_says_in_float64(name: str, word: str, precision: str) -> None:
    back, missing = opened(name, precision), word in gaps().get(name, {})
    if not missing:
        return examples(back, word, precision)
    with pytest.raises((AssertionError, NotImplementedError, RuntimeError)):
        examples(back, word, precision)  # listed in gaps.toml: when this passes, strike it there
    return None


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_is_written_as_a_graph_is_what_numpy_says(word: str) -> None:
    """On ONNX Runtime, its rows and steps as axes that vary, and as fixed ones."""

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data(), st.booleans())
    def each(data: st.DataObject, varies: bool) -> None:
        conforms(Written(varies=varies), word, CASES[word](Draw(data)), "float32")

    each()


@pytest.mark.parametrize("word", ["conv1d", "conv_transpose1d"])
@pytest.mark.parametrize("convolutions", ["native", "matmul"])
def test_both_convolutions_of_mlx_conform_whatever_the_device_would_choose(convolutions: str, word: str) -> None:
    examples(ops.open("mlx", convolutions=convolutions), word, "float32")


@pytest.mark.slow  # MLX compiles C++ here; on Metal, where it is the default, it does not
@pytest.mark.parametrize("word", ["gelu", "silu", "mish", "elu", "leaky_relu", "snake", "batch_norm", "rope", "lstm"])
def test_compiled_chains_of_mlx_conform(word: str) -> None:
    examples(ops.open("mlx", compiled=True), word, "float32")


def test_every_back_end_and_every_word_is_in_the_test_above(request: pytest.FixtureRequest) -> None:
    items = [
        item
        for item in request.session.items
        if item.originalname == test_a_word_is_what_numpy_says_in_float64.__name__
    ]
    collected = {(item.callspec.params["name"], item.callspec.params["word"]) for item in items}
    alone = not collected  # this test was asked for by its own name
    assert alone or collected == {(name, word) for name in ops.BACKENDS for word in WORDS}
    assert set(CASES) == set(WORDS)


def test_a_gap_that_starts_to_pass_fails_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "gaps", lambda: {"numpy": {"relu": "there was no kernel for it"}})
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_word_is_what_numpy_says_in_float64("numpy", "relu", "float32")


def test_a_gap_is_expected_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "gaps", lambda: {"numpy": {"relu": "there is no kernel for it"}})
    monkeypatch.setattr(Ops, "relu", lambda self, x: x if x.dtype == np.float32 else np.maximum(x, 0))
    test_a_word_is_what_numpy_says_in_float64("numpy", "relu", "float32")


def test_gaps_name_back_ends_and_words_that_exist_and_say_why() -> None:
    for name, missing in gaps().items():
        assert name in ops.BACKENDS
        for word, why in missing.items():
            assert word in WORDS
            assert len(why.split()) > 3
    assert set(gaps()) == set(ops.BACKENDS)


def test_the_classes_list_exactly_the_public_words() -> None:
    listed = [*LEAF_OPS, *STRUCTURAL_OPS, *COMPOSITE_OPS, *HOST_OPS]
    public = [n for n, v in vars(Ops).items() if not n.startswith("_") and callable(v)]
    assert sorted(listed) == sorted(public)
    assert len(listed) == len(set(listed)) and len(WORDS) <= MOST_WORDS
    assert all(getattr(Ops, word).__doc__ for word in listed)


def signature(method: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize("name", sorted(ops.BACKENDS))
def test_a_back_end_adds_no_word_and_changes_no_signature(name: str) -> None:
    kind = type(ops.open(name))
    words = [n for n, v in inspect.getmembers(kind, callable) if not n.startswith("_")]
    assert [w for w in words if not hasattr(Ops, w)] == []
    assert [w for w in words if signature(getattr(kind, w)) != signature(getattr(Ops, w))] == []


class Extended(Ops):
    """What the test above must refuse."""

    def erf(self, x: Any) -> Any:
        return x

    def leaky_relu(self, x: Any, slope: float = 0.1) -> Any:
        return x


def test_an_added_word_or_a_changed_default_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "open", lambda name: Extended())
    with pytest.raises(AssertionError, match="erf"):
        test_a_back_end_adds_no_word_and_changes_no_signature("numpy")
    monkeypatch.delattr(Extended, "erf")
    with pytest.raises(AssertionError, match="leaky_relu"):
        test_a_back_end_adds_no_word_and_changes_no_signature("numpy")


def test_a_wrong_word_would_be_seen() -> None:
    class Wrong(Ops):
        def gelu(self, x: Any, approximate: bool = False) -> Any:
            return super().gelu(x, True)

    call = (np.linspace(-3, 3, 24).reshape(1, 4, 6), False)
    with pytest.raises(AssertionError):
        conforms(Wrong(), "gelu", call, "float32")
