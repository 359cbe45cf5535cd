"""Renaming by rules: every key obeys exactly one, and the way back is the inverse."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.errors import WeightError
from portavoz.weights.names import Names

T5 = Names(
    "encoder.block.{i}.layer.0.SelfAttention.{p}.weight <-> encoder.{i}.attn.{p}.weight",
    "encoder.block.{i}.layer.{j}.layer_norm.weight      <-> encoder.{i}.norm{j}.weight",
    "decoder.{rest*}                                    <-> mel.{rest*}",
    drop=[r"shared\.weight", r".*\.num_batches_tracked"],
)
THEIRS = {
    "encoder.block.3.layer.0.SelfAttention.q.weight": "encoder.3.attn.q.weight",
    "encoder.block.11.layer.1.layer_norm.weight": "encoder.11.norm1.weight",
    "decoder.final.norm.bias": "mel.final.norm.bias",
}


def test_names_go_forward_and_back() -> None:
    tensors = {key: i for i, key in enumerate(THEIRS)}
    ours = T5.forward({**tensors, "shared.weight": 9, "bn.num_batches_tracked": 8})
    assert ours == {THEIRS[key]: i for key, i in tensors.items()}
    assert T5.backward(ours) == tensors


def test_a_key_without_a_rule_and_a_key_with_two_are_errors() -> None:
    with pytest.raises(WeightError, match=r"^encoder.x: obeys 0 rules, must be 1; fix the table of names"):
        T5.forward({"encoder.x": 0})
    both = Names("a.{i}.w <-> b.{i}.w", "a.{i}.{p} <-> c.{i}.{p}")
    with pytest.raises(WeightError, match=r"a.1.w: obeys 2 rules, must be 1; a.{i}.w <-> b.{i}.w; a.{i}.{p} <-> "):
        both.forward({"a.1.w": 0})
    with pytest.raises(WeightError, match="obeys 2 rules"):
        Names("a.{i} <-> b.{i}", drop=[r"a\.1"]).forward({"a.1": 0})


def test_two_keys_with_one_name_are_an_error() -> None:
    table = Names("a.{i} <-> x.{i}", "b.{i} <-> x.{i}")
    with pytest.raises(WeightError, match=r"b.1 and a.1 both become x.1|b.1: "):
        table.forward({"a.1": 0, "b.1": 1})


def test_a_field_is_one_step_of_a_path() -> None:
    with pytest.raises(WeightError, match="obeys 0 rules"):
        Names("a.{i} <-> b.{i}").forward({"a.1.2": 0})
    assert Names("a.{i*} <-> b.{i*}").forward({"a.1.2": 0}) == {"b.1.2": 0}
    assert Names("a+(b).{i} <-> c.{i}").forward({"a+(b).1": 0}) == {"c.1": 0}  # the text of a rule is no pattern


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("a.{i} -> b.{i}", "has no two sides"),
        ("a <-> b <-> c", "has no two sides"),
        ("a.{i} <-> b.{j}", "both sides need the same, once"),
        ("a.{i}.{i} <-> b.{i}.{i}", "both sides need the same, once"),
        ("a.{i} <-> b", "both sides need the same, once"),
        ("a.{i}{j} <-> b.{i}.{j}", "two fields without a letter between, so it is ambiguous"),
    ],
)
def test_a_rule_without_an_inverse_is_refused(rule: str, complaint: str) -> None:
    with pytest.raises(WeightError, match=complaint):
        Names(rule)


def test_a_name_that_would_not_lead_back_is_refused() -> None:
    table = Names("{a}.{b} <-> {b}_{a}")
    assert table.forward({"x.y": 0}) == {"y_x": 0}
    with pytest.raises(WeightError, match=r"x.y_z: becomes y_z_x, which does not map back"):
        table.forward({"x.y_z": 0})


step = st.from_regex(re.compile(r"[a-z0-9]{1,3}"), fullmatch=True)
key = st.one_of(
    st.tuples(step, step).map(lambda s: f"encoder.block.{s[0]}.layer.0.SelfAttention.{s[1]}.weight"),
    st.tuples(step, step).map(lambda s: f"encoder.block.{s[0]}.layer.{s[1]}.layer_norm.weight"),
    st.lists(step, min_size=1, max_size=4).map(lambda s: "decoder." + ".".join(s)),
)


@settings(max_examples=30, deadline=None, database=None)
@given(st.sets(key, max_size=20))
def test_there_and_back_is_nothing(keys: set[str]) -> None:
    tensors = {k: k for k in keys}
    ours = T5.forward(tensors)
    assert len(ours) == len(keys)
    assert T5.backward(ours) == tensors
