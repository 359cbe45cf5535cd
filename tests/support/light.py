"""A pytest plugin for an environment without extras (``-p light``): what asks for an absent package is set aside.

A test is set aside, and counted as skipped, only when it ended with an ImportError or a MissingExtra that names one of
`EXTRAS`; a file, when it imports one at its top. Any other failure stays one.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

EXTRAS = {"torch", "onnx", "onnxscript", "matplotlib", "pocketsphinx", "transformers", "mlx", "yaml"}
ABSENT = {name for name in EXTRAS if importlib.util.find_spec(name) is None}
# A file that needs one of these to be imported at all; portavoz.train and graph.export stand for torch.
TOP = re.compile(
    rf"^(import|from) ({'|'.join(sorted(EXTRAS))})\b|^from portavoz(\.train|\.graph\.export| import train)\b",
    re.MULTILINE,
)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out files that cannot be imported here, and the two that build environments of their own."""
    if collection_path.name in ("test_project.py", "test_docs.py"):
        return True
    if collection_path.suffix == ".py" and TOP.search(collection_path.read_text(encoding="utf-8")):
        return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Turn a failure for want of an extra into a skip that names it."""
    report = yield
    problem = call.excinfo.value if call.excinfo else None
    wanted = getattr(problem, "package", None) or (getattr(problem, "name", None) or "").split(".")[0]
    if report.failed and wanted in ABSENT:
        report.outcome, report.longrepr = "skipped", (str(report.location[0]), 0, f"Skipped: needs {wanted}")
    return report
