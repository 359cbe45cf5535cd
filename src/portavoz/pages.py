"""HTML pages from Jinja2 templates. Every value is escaped, and a page is one file that loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def render(folder: Path, template: str, **values: Any) -> str:
    """The template `template` of a folder with these values.

    ``inline("page.css")`` in a template is the text of a file beside it, unescaped.
    """
    # Late: a command that writes no page does not pay for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["inline"] = lambda name: Markup((folder / name).read_text(encoding="utf-8"))
    return environment.get_template(template).render(values)
