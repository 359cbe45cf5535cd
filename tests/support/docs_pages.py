"""What a page of docs/ writes into a file: its blocks with one title, joined."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def titled(page: str, title: str) -> str:
    """The blocks ``python title=TITLE`` of a page, as tests/test_docs.py writes them."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(rf"```python title={re.escape(title)}\n(.*?)```", text, re.DOTALL)
    assert found, f"docs/{page} has no block titled {title}"
    return "\n\n".join(found)


def installed(folder: Path, page: str, title: str, entry_points: str) -> Path:
    """Write the file and its entry points into a folder that is to stand on Python's path."""
    (folder / title).write_text(titled(page, title), encoding="utf-8")
    (folder / "added-1.0.dist-info").mkdir()
    (folder / "added-1.0.dist-info" / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    return folder
