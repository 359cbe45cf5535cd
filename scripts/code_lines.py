"""Lines of code of each room of src/portavoz at one or more revisions: no blank lines, comments or docstrings.

Example: python scripts/code_lines.py e942d41 HEAD
"""

from __future__ import annotations

import ast
import collections
import io
import subprocess
import sys
import tarfile
import tokenize

BLANK = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(source: str) -> int:
    """The lines of a module that hold a token of code."""
    tree = ast.parse(source)
    docs: set[int] = set()
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and ast.get_docstring(node):
            docs.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in BLANK:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docs)


def room(path: str) -> str:
    """``families/NAME`` for a family, otherwise the folder below src/portavoz, "(top)" for a file there."""
    parts = path.split("/")[2:]
    if parts[0] == "families" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0] if len(parts) > 1 else "(top)"


def counted(revision: str) -> collections.Counter[str]:
    """Lines by room at a revision of git."""
    archive = subprocess.check_output(["git", "archive", revision, "src/portavoz"])
    found: collections.Counter[str] = collections.Counter()
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            content = files.extractfile(member) if member.name.endswith(".py") else None
            if content is not None:
                found[room(member.name)] += code_lines(content.read().decode())
    return found


def main() -> None:
    revisions = sys.argv[1:] or ["HEAD"]
    columns = [counted(revision) for revision in revisions]
    names = sorted(set().union(*columns))
    print(f"| room | {' | '.join(revisions)} |\n| --- |{' ---: |' * len(revisions)}")
    for name in names:
        print(f"| `{name}` | {' | '.join(f'{column[name]:,}' for column in columns)} |")
    print(f"| **all** | {' | '.join(f'{column.total():,}' for column in columns)} |")


if __name__ == "__main__":
    main()
