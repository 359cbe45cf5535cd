"""The page of a kit: what to do first, second, …"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ...ops.layouts import AXES
from .subject import KitSubject

PAGE = """# A kit to port by: {name}

Everything here is small, and made so that no fault can hide: no bias is 0, no scale 1, rows are padded, some kernels
are square. Activations are `[batch, time, channels]`. Work from the top down; each step needs only what stands above
it.

| file | what |
| --- | --- |
| `kit.json` | the configuration; of every tensor its shape, role and checksum; the stages in order |
| `weights.safetensors` | the weights, in the layout `{layout}`; names are paths, and the paths are the traces' |
| `inputs.safetensors` | what one run is given: {inputs} |
{goldens}
| `expected.json` | decisions, which must be equal and not close |

## 1. Read the weights

A safetensors file is eight bytes with the length of a JSON header (little-endian), the header, the numbers. Check
each tensor of `kit.json`: its shape, and `check`, the sum over the file's numbers of x[i] · (1 + i mod 251) in
float64. A tensor whose axes lie another way has another sum.

Axes in this file: {layouts}. A linear layer's weight is `[out, in]`, an embedding's `[entries, channels]`.

## 2. Say every word

`goldens/0-words.trace` has each word by itself, on its edges: one step, batch 1, odd lengths, strides, dilations,
groups, masks, numbers that overflow a careless exponential. Its metadata's entry `portavoz.trace` is a JSON object;
in `units` each

    {{"key": "words.conv1d.strided#0", "op": "conv1d", "path": "words.conv1d.strided",
     "facts": {{"stride": 2, "padding": 2, "dilation": 1, "groups": 1, "inputs": ["x"]}}}}

has its tensors beside it: `words.conv1d.strided#0:in0`, … in the order of `inputs`, and `:out` (`:out.1` …). Its
weights are in `weights.safetensors` below its path. `floors` says what float32 costs the reference there; stay within
16 times that (relative L2, at least 2⁻²⁴).

Write down what you made under the same names, and have it judged:

    portavoz lab check mine.trace
    portavoz lab compare {folder} mine.trace --stage words

## 3. Bring up the stages, one after the other

{stages}

Each golden has what every layer took and gave, in the order in which they ran; start a stage from the golden's own
values (the last `gives` of the stage before), so that it does not wait for the others.

{notes}

## 4. Compare the decisions

`expected.json`: {expected}

## 5. Hand in a trace

Write one file with what your program made: for each layer `path#call:in0` and `path#call:out`, and the values that
cross a border under their names. The names above pair by themselves; with names of your own, write each layer's
weights too (`path:weight`, in PyTorch's order), and they are paired by their numbers. The format is one page, with
writers in C, C++ and Swift: docs/porting.md of portavoz.

    portavoz lab compare {folder} mine.trace
    portavoz lab compare {folder} mine.trace --stage {first}

The first line names the first wrong layer and what it looks like; the lines below say how far you are.
"""


def page(about: dict[str, Any], kind: KitSubject, inputs: dict[str, NDArray[Any]]) -> str:
    """README.md, from what kit.json says."""
    given = ", ".join(f"`{name}` {list(a.shape)}" for name, a in inputs.items())
    goldens = "\n".join(
        f"| `{s['file']}` | {'every word by itself' if s['name'] == 'words' else 'the stage ' + s['name']}: "
        f"{s['units']} units |"
        for s in about["stages"]
    )
    layouts = ", ".join(f"{role} `[{axes.replace(' ', ', ')}]`" for role, axes in AXES[about["layout"]].items())
    rows = [
        f"{n}. **{s['name']}** (`{s['file']}`, {s['units']} units)"
        + (f", gives {', '.join(f'`{key}`' for key in s['gives'])}" if s["gives"] else "")
        for n, s in enumerate(about["stages"])
        if n
    ]
    return PAGE.format(
        name=about["name"],
        layout=about["layout"],
        inputs=given,
        goldens=goldens,
        layouts=layouts,
        stages="\n".join(rows),
        notes=kind.probe.notes(kind.config).strip(),
        expected=", ".join(f"`{name}`" for name in about["expected"]) + ".",
        folder="KIT",
        first=about["stages"][1]["name"],
    )
