"""Show what a voice or a family is made of: stages, layers, parameters, and where a voice came from.

A family has named configurations; a voice has one of them, with weights, speakers and a card.

Examples:
  portavoz show heart
  portavoz show FAMILY
  portavoz show my-voice --json
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ...errors import WeightError
from ..options import json_option, print_json

if TYPE_CHECKING:
    from ...families.spec import Checkpoint


def options(parser: argparse.ArgumentParser) -> None:
    """What `show` takes."""
    parser.add_argument(
        "what",
        metavar="VOICE|FAMILY",
        help="a voice's name or folder, a checkpoint's folder, or a family's name",
    )
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Show it. Raises PortavozError."""
    from ... import families

    about = _family(args.what) if args.what in families.names() else _voice(args.what)
    if args.json:
        print_json(about)
    else:
        _print(about)
    return 0


def _voice(name: str) -> dict[str, Any]:
    from ...folder import verify
    from ...inspect import model_summary
    from ...loading import open_checkpoint

    folder, family, found = open_checkpoint(name)
    about = found.about()
    if "files" in about:
        verify(folder, about)
    kept = {
        key: about[key] for key in ("name", "family", "language", "rate", "speakers", "config", "card") if key in about
    }
    graphs = found.graphs()
    tensors = _tensors(found) if family.parts else None
    if tensors is None:
        return {**kept, "folder": str(folder), "bytes": about["bytes"], "stages": model_summary.compiled(graphs)}
    files = {family.part(part).prefix: held for part, held in tensors.items()}
    layers = model_summary.layers(family, found.config, files)
    stages = model_summary.compiled(graphs) if graphs else [dict(stage) for stage in family.shown]
    return {**kept, "folder": str(folder), **_size(family, layers), "stages": stages, "layers": layers}


def _tensors(found: Checkpoint) -> dict[str, Any] | None:
    """Each part's tensors; None for a voice that is one graph whose weights have no names of layers."""
    try:
        return found.tensors()
    except WeightError:
        if "bytes" not in found.about():
            raise
        return None


def _family(name: str) -> dict[str, Any]:
    from ... import families
    from ...inspect import model_summary

    family, found = families.get(name), dict[str, Any]()
    if not family.parts:
        return {"family": name, "stages": [dict(stage) for stage in family.shown], "needs": family.needs}
    size, parts = "", dict[str, Any]()
    for size, config in family.configs.items():
        parts = model_summary.visited(family, config)
        found[size] = {**_size(family, model_summary.layers_of(parts)), "config": config.to_dict()}
    shown = {"configuration": size, "rows": model_summary.tree_of(parts)}
    stages = [dict(stage) for stage in family.shown]
    return {"family": name, "configurations": found, "stages": stages, "tree": shown}


def _size(family: Any, layers: list[dict[str, Any]]) -> dict[str, Any]:
    from ...inspect import model_summary

    return {
        "parameters": model_summary.total(layers),
        "multiply_adds": model_summary.total(layers, "multiply_adds"),
        "counted_for": dict(family.lengths),
    }


def _print(about: dict[str, Any]) -> None:
    from ...inspect import model_summary

    for key in ("name", "family", "language", "rate", "speakers", "folder"):
        if key in about:
            print(f"{key:<11} {_plain(about[key])}")
    for key, value in about.get("card", {}).items():
        if key not in ("figures", "parameters"):  # figures have a table of their own, parameters are counted below
            print(f"{key:<11} {_plain(value)}")
    width = max((len(stage["name"]) for stage in about["stages"]), default=0)
    for stage in about["stages"]:
        print(f"stage {stage['name']:<{width}} {'; '.join(stage['inputs'])}  →  {'; '.join(stage['outputs'])}")
    if "layers" not in about and "configurations" not in about:
        print(f"needs       {about['needs']}" if "needs" in about else f"bytes       {about['bytes']:,}")
        return
    rows = [{"path": name, **found} for name, found in about.get("configurations", {}).items()]
    rows = rows or model_summary.twins(about["layers"])
    whole = about if "parameters" in about else rows[0]
    length = ", ".join(f"{n} {what}" for what, n in whole["counted_for"].items())
    wide = max(len(row["path"]) for row in rows)
    print(f"\n{'':<{wide + 16}} parameters   multiply–adds for {length}")
    for row in rows:
        kind = row.get("kind", "")
        print(f"{row['path']:<{wide}} {kind:<15} {row['parameters']:>10,} {row['multiply_adds']:>15,}")
    if "parameters" in about:
        print(f"{'all':<{wide + 15}} {about['parameters']:>11,} {about['multiply_adds']:>15,}")
    if "tree" in about:
        _print_tree(**about["tree"])


def _print_tree(configuration: str, rows: list[dict[str, Any]]) -> None:
    from ...inspect import model_summary

    names = [(row["path"] or "(the model)") + (f" ×{row['twins']}" if row["twins"] > 1 else "") for row in rows]
    wide = max(map(len, names))
    print(f"\n{configuration + ', block by block':<{wide}} {'parameters':>12} {'multiply–adds':>15}")
    for name, row in zip(names, rows):
        print(f"{name:<{wide}} {row['parameters']:>12,} {row['multiply_adds']:>15,}")
        print(f"    {model_summary.brief(row['takes'])}  →  {model_summary.brief(row['makes'])}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(part)}" for key, part in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)
