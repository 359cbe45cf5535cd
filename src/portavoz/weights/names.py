"""Names: a foreign checkpoint's keys into ours and back, as data. Every key obeys exactly one rule.

    NAMES = Names(
        "encoder.block.{i}.layer.0.SelfAttention.{p}.weight <-> encoder.{i}.attn.{p}.weight",
        "encoder.block.{i}.layer.{j}.layer_norm.weight      <-> encoder.{i}.norm{j}.weight",
        drop=[r"shared\\.weight"],
    )
    ours = NAMES.forward(tensors)
    theirs = NAMES.backward(ours)                 # what was dropped stays away

``{name}`` is one step of a path or a part of one (no dots), ``{name*}`` any number of steps. Both sides of a rule
hold the same fields, each once, so that it can be read in either direction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..errors import WeightError

T = TypeVar("T")
FIELD = re.compile(r"\{(\w+\*?)\}")


class Rule:
    """One line of a table: a pattern on either side of ``<->``."""

    def __init__(self, text: str) -> None:
        sides = [side.strip() for side in text.split("<->")]
        if len(sides) != 2 or not all(sides):
            raise WeightError(f"the rule {text!r} has no two sides: write 'theirs.{{i}}.x <-> ours.{{i}}.y'")
        self.text, self.sides = text, (sides[0], sides[1])
        fields = [sorted(FIELD.findall(side)) for side in sides]
        if fields[0] != fields[1] or len(set(fields[0])) != len(fields[0]):
            raise WeightError(
                f"the rule {text!r} has the fields {fields[0]} and {fields[1]}: both sides need the same, once"
            )
        for side in sides:
            if "}{" in side:
                raise WeightError(f"the rule {text!r} has two fields without a letter between, so it is ambiguous")
        self._patterns = tuple(re.compile(_pattern(side)) for side in sides)

    def apply(self, key: str, back: bool = False) -> str | None:
        """The key's other name, or None when the rule is not about it."""
        match = self._patterns[back].fullmatch(key)
        if match is None:
            return None
        return FIELD.sub(lambda m: match[_group(m[1])], self.sides[not back])


def _group(field: str) -> str:
    return f"many_{field[:-1]}" if field.endswith("*") else f"one_{field}"


def _pattern(side: str) -> str:
    parts = FIELD.split(side)  # text, field, text, field, … text
    # As few letters as fit, so that "{a}_{b}" parts at the first underscore.
    fields = [f"(?P<{_group(f)}>{'.+?' if f.endswith('*') else '[^.]+?'})" for f in parts[1::2]]
    return "".join(re.escape(text) + field for text, field in zip(parts[::2], [*fields, ""]))


class Names:
    """A table of rules, and regular expressions of keys to `drop`. Raises WeightError for a rule without inverse."""

    def __init__(self, *rules: str, drop: Sequence[str] = ()) -> None:
        self.rules = [Rule(rule) for rule in rules]
        self.drop = [re.compile(pattern) for pattern in drop]

    def name(self, key: str, back: bool = False) -> str | None:
        """One key's other name; None when it is dropped. Raises WeightError unless exactly one rule is about it."""
        dropped = [] if back else [p.pattern for p in self.drop if p.fullmatch(key)]
        found = [(rule, other) for rule in self.rules if (other := rule.apply(key, back)) is not None]
        count = len(dropped) + len(found)
        if count != 1:
            which = "".join(f"; {text}" for text in [*(rule.text for rule, _ in found), *dropped])
            raise WeightError(f"{key}: obeys {count} rules, must be 1{which}; fix the table of names")
        if dropped:
            return None
        rule, other = found[0]
        if rule.apply(other, not back) != key:
            raise WeightError(
                f"{key}: becomes {other}, which does not map back, by the rule {rule.text!r}; fix the rule"
            )
        return other

    def forward(self, tensors: Mapping[str, T]) -> dict[str, T]:
        """Their keys → ours. Raises WeightError for a key with no rule or several, and for two keys with one name."""
        return self._all(tensors, back=False)

    def backward(self, tensors: Mapping[str, T]) -> dict[str, T]:
        """Our keys → theirs, with the same errors."""
        return self._all(tensors, back=True)

    def _all(self, tensors: Mapping[str, T], back: bool) -> dict[str, T]:
        out: dict[str, T] = {}
        came: dict[str, str] = {}
        for key, tensor in tensors.items():
            other = self.name(key, back)
            if other is None:
                continue
            if other in out:
                raise WeightError(f"{key} and {came[other]} both become {other}: fix the table of names")
            out[other], came[other] = tensor, key
        return out
