"""The page's graph: every unit of the reference in its block, in the order of the run, coloured by its verdict."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from html import escape

from ..forcing.checks import Check
from .pictures import state
from .verdict import Verdict, call_of, unit_of

ORDER = ("unmet", "fused", "pass", "warn", "inherits", "fail")  # from best known to worst
TEXT = {
    "pass": "within 8 floors", "warn": "8 to 16 floors", "fail": "wrong", "inherits": "only inherits",
    "fused": "judged at the next edge", "unmet": "not met",
}  # fmt: skip
STRIP = 24  # calls drawn in a node


@dataclass(slots=True)
class Node:
    """One unit over all of its calls: the states of what arrives and of what it makes, and of each call."""

    name: str
    op: str
    given: int = 0
    edge: str = ""
    leaf: str = ""
    ratio: float = 0.0
    calls: dict[int, str] = field(default_factory=dict)

    @property
    def worst(self) -> str:
        """Of edge and leaf."""
        return worse(self.edge or "unmet", self.leaf or "unmet")


def worse(a: str, b: str) -> str:
    """The worse of two states."""
    return max(a, b, key=ORDER.index)


def nodes(verdict: Verdict) -> list[Node]:
    """The reference's units in order, each once."""
    out: dict[str, Node] = {}
    fused = {unit_of(key) for key in verdict.pairing.fused}
    for key, unit in verdict.file.units.items():
        name = unit_of(key)
        if unit.kind == "random" or name in out:
            continue
        node = Node(name, unit.op if unit.kind == "leaf" else "value")
        if name in fused:
            node.leaf = "fused"
        if "in0" in unit.shapes and unit.kind == "leaf":
            node.given = zlib.crc32(verdict.file.array(key, "in0").tobytes())
        out[name] = node
    for check in verdict.checks:
        node = out.get(unit_of(check.ref))
        if node is not None:
            _count(node, check)
    return list(out.values())


def _count(node: Node, check: Check) -> None:
    how = state(check)
    if check.place.startswith("in"):
        node.edge = worse(node.edge or "unmet", how)
    else:
        node.leaf = worse(node.leaf or "unmet", how)
    if check.place != "kernel":
        node.ratio = max(node.ratio, check.ratio)
    call = call_of(check.ref)
    node.calls[call] = worse(node.calls.get(call, "unmet"), how)


def block(name: str) -> str:
    """Which box a unit is in: its layer, or what is above it."""
    path, _, op = name.partition("/")
    found = re.match(r"(.*?\.\d+)(?=\.|$)", path)
    if found:
        return found[1]
    return path if op else path.rpartition(".")[0]


def graph(verdict: Verdict) -> str:
    """The boxes. One that is right throughout is closed; a click on a unit finds its rows in the table."""
    boxes: list[tuple[str, list[Node]]] = []
    for node in nodes(verdict):
        home = block(node.name)
        if not boxes or boxes[-1][0] != home:
            boxes.append((home, []))
        boxes[-1][1].append(node)
    parts = [_box(home, inside, open_all=len(boxes) < 8) for home, inside in boxes]
    key = "".join(f"<span class='key {how}'>{text}</span>" for how, text in TEXT.items())
    about = "left edge: what arrives; body: what the unit makes of the reference's input"
    return f"<p class=keys>{key}<small>{about}</small></p><div class=graph>{''.join(parts)}</div>"


def _box(home: str, inside: list[Node], *, open_all: bool) -> str:
    worst = "pass"
    for node in inside:
        worst = worse(worst, node.worst)
    unmet = any(node.worst == "unmet" for node in inside)
    shown = " open" if open_all or worst in ("fail", "warn", "inherits") or unmet else ""
    columns: list[list[Node]] = []
    for node in inside:
        if columns and node.given and node.given == columns[-1][0].given:
            columns[-1].append(node)  # what is given the same stands beside each other: q, k, v
        else:
            columns.append([node])
    body = "<i>→</i>".join(f"<div>{''.join(_node(n, home) for n in column)}</div>" for column in columns)
    n = len(inside)
    most = max((node.ratio for node in inside), default=0.0)
    said = TEXT[worst] if worst != "pass" else f"at most {most:.1f} floors"
    if unmet and worst == "pass":
        worst, said = "unmet", "not met"
    names = ", ".join(node.name[len(home) :].lstrip("./") or node.op for node in inside)
    plain = "values" if all(node.op == "value" for node in inside) else "the program"
    summary = names if n < 4 else f"{n} units"
    title = f"<b>{escape(home or plain)}</b> <small>{escape(summary)}: {said}</small>"
    return f"<details class='box {worst}'{shown}><summary>{title}</summary><div class=flow>{body}</div></details>"


def _node(node: Node, home: str) -> str:
    short = node.name[len(home) :].lstrip("./") if node.name.startswith(home) else node.name
    strip = ""
    if len(node.calls) > 1:
        chosen = sorted(node.calls)
        if len(chosen) > STRIP:  # the worst of each stretch stands for it
            cut = [chosen[i * len(chosen) // STRIP : (i + 1) * len(chosen) // STRIP] for i in range(STRIP)]
        else:
            cut = [[call] for call in chosen]
        states = [max((node.calls[c] for c in part), key=ORDER.index) for part in cut]
        strip = f"<s>{''.join(f'<u class={how}></u>' for how in states)}</s>"
    tip = f"{node.name}: {TEXT[node.worst]}, {node.ratio:.3g} floors"
    op = "" if short.startswith(node.op) else f"<small>{escape(node.op)}</small>"
    return (
        f"<a class='node {node.leaf or 'unmet'} from-{node.edge or 'none'}' title='{escape(tip, quote=True)}' "
        f"href='#{escape(node.name, quote=True)}'>{escape(short or node.name)}{op}{strip}</a>"
    )
