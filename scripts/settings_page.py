"""Write the table of training settings in docs/guide/training.md from the fields of TrainConfig.

python scripts/settings_page.py
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_type_hints

from portavoz.config_reader import meaning, wanted
from portavoz.train.config import TrainConfig

PAGE = Path(__file__).resolve().parent.parent / "docs" / "guide" / "training.md"
BEGIN, END = "<!-- settings: begin (scripts/settings_page.py) -->", "<!-- settings: end -->"


def main() -> None:
    """Replace the table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before.rstrip()}\n\n{BEGIN}\n\n{table()}\n\n{END}\n\n{after.lstrip()}", encoding="utf-8")


def table() -> str:
    """One row for each setting: its default, its values, its meaning."""
    lines = ["| setting | default | value | meaning |", "| --- | --- | --- | --- |"]
    hints = get_type_hints(TrainConfig, include_extras=True)
    for f in dataclasses.fields(TrainConfig):
        hint = hints[f.name]
        lines.append(f"| `{f.name}` | {_default(f)} | {wanted(hint)} | {meaning(hint)} |")
    return "\n".join(lines)


def _default(f: dataclasses.Field[object]) -> str:
    if f.default is f.default_factory is dataclasses.MISSING:
        return "required"
    value = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
    if value in ("", (), {}):
        return "none"
    return f"`{value}`" if not isinstance(value, bool) else f"`{str(value).lower()}`"


if __name__ == "__main__":
    main()
