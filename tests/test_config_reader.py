"""Configurations are read strictly: keys, kinds and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import pytest

from portavoz.config_reader import Count, Range, Reader, Share
from portavoz.errors import SpecError

READER = Reader("the toy configuration")


@dataclass(frozen=True)
class Inner:
    rates: Sequence[Count] = (8, 8)
    scale: Literal["slaney", "htk"] = "slaney"


@dataclass(frozen=True)
class Outer:
    name: str
    hidden: Annotated[Count, "Channels."] = 4
    share: Share = 0.5
    drop: Annotated[float, Range(above=0, below=1)] = 0.1
    bias: bool = True
    model: str | Mapping[str, Any] = ""
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        READER.check(self)


def test_values_become_an_instance_with_tuples_and_parts() -> None:
    made = READER.read(Outer, {"name": "a", "inner": {"rates": [4, 2]}, "model": {"x": 1}})
    assert made == Outer("a", inner=Inner((4, 2)), model={"x": 1})
    assert READER.read(Outer, {"name": "a", "inner": made.inner}).inner is made.inner
    assert Reader("a file", others=()).fields(Inner, {"rates": [1], "license": "x"}) == {"rates": (1,)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "content is [1]: wanted name, hidden, share"),
        ({}, "the toy configuration: name is missing"),
        ({"nam": "a"}, "the toy configuration has no nam: did you mean name?"),
        ({"zzz": 1}, "has no zzz: known are name, hidden, share, drop, bias, model, inner"),
        ({"hidden": "4"}, "configuration's hidden is '4': wanted a whole number from 1 up"),
        ({"hidden": True}, "hidden is True: wanted a whole number from 1 up"),
        ({"hidden": 0}, "hidden is 0: wanted a whole number from 1 up"),
        ({"share": 1.5}, "share is 1.5: wanted a number from 0 to 1"),
        ({"share": float("nan")}, "share is nan: wanted"),
        ({"drop": 1}, "drop is 1: wanted a number above 0 and below 1"),
        ({"bias": 1}, "bias is 1: wanted true or false"),
        ({"model": 3}, "model is 3: wanted a text or a mapping"),
        ({"inner": 3}, "configuration's inner is 3: wanted rates, scale"),
        ({"inner": {"rate": 3}}, "has no inner.rate: did you mean inner.rates?"),
        ({"inner": {"rates": [2, "2"]}}, "inner.rates is [2, '2']: wanted a list of whole numbers from 1 up"),
        ({"inner": {"scale": "mel"}}, "inner.scale is 'mel': wanted one of 'slaney', 'htk'"),
    ],
)
def test_what_cannot_be_is_named(values: Any, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        READER.read(Outer, values)
    assert message in str(refused.value)


def test_a_changed_instance_is_checked_too() -> None:
    with pytest.raises(SpecError, match="hidden is -1: wanted a whole number from 1 up"):
        replace(Outer("a"), hidden=-1)


def test_files_of_other_programs_may_hold_more_but_no_misspelled_key() -> None:
    with pytest.raises(SpecError, match="did you mean scale"):
        Reader("a file", others=()).fields(Inner, {"scalee": "htk"})
    assert Reader("a file", others=("scalee",)).fields(Inner, {"scalee": "htk"}) == {}


def test_what_is_missing_is_that_of_a_base() -> None:
    base = Outer("base", hidden=7, inner=Inner((3,), "htk"))
    assert READER.read(Outer, {"inner": {"rates": [5]}}, base=base) == replace(base, inner=Inner((5,), "htk"))


@dataclass(frozen=True)
class Plain:
    width: int = 1
    kernels: Sequence[Sequence[int]] = ((1,),)


def test_whole_numbers_may_have_one_bound() -> None:
    reader = Reader("a file", least=1)
    assert reader.read(Plain, {"kernels": [[1, 2]]}) == Plain(kernels=((1, 2),))
    with pytest.raises(SpecError, match="width is 0: wanted a whole number from 1 up"):
        reader.read(Plain, {"width": 0})
    with pytest.raises(SpecError, match=r"kernels is \[\[0\]\]: wanted a list of lists of whole numbers from 1 up"):
        reader.read(Plain, {"kernels": [[0]]})


@dataclass(frozen=True)
class Mixed:
    pair: tuple[int, float] = (1, 2.0)
    blocks: tuple[tuple[int, tuple[int, ...]], ...] = ()
    names: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, "tuple[int, ...]"])


def test_tuples_of_several_kinds_and_mappings_are_checked_inside() -> None:
    reader = Reader("the mixed configuration")
    found = reader.read(Mixed, {"pair": [1, 2], "blocks": [[3, [1, 2]]], "names": {"a": [4]}})
    assert found == Mixed((1, 2), ((3, (1, 2)),), {"a": (4,)})
    for values, sentence in (
        ({"pair": [1]}, r"pair is \[1\]: wanted a list of a whole number and a number"),
        ({"blocks": [[3, 4]]}, r"blocks is \[\[3, 4\]\]: wanted a list of lists of a whole number and a list of whole"),
        ({"names": {"a": ["x"]}}, r"names is .*: wanted a mapping"),
        ({"names": {"a": [1 << 40]}}, r"names is .*: wanted at most 65536"),
        ({"names": {str(n): [] for n in range(5000)}}, r"names is .*: wanted a list of at most 4096"),
    ):
        with pytest.raises(SpecError, match=sentence):
            reader.read(Mixed, values)
