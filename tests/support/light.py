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

EXTRAS = {
    "torch", "onnx", "matplotlib", "pocketsphinx", "transformers", "mlx", "mlx_audio", "yaml", "openvino",
    "nncf", "pystoi", "sentencepiece", "huggingface_hub", "tensorboard", "ray", "pyarrow",
    "av", "fastapi", "httpx", "openai", "prometheus_client", "psutil", "pydantic", "pydantic_settings", "schemathesis",
    "selenium", "starlette", "structlog", "uvicorn", "websockets", "wyoming",
}  # fmt: skip
ABSENT = {name for name in EXTRAS if importlib.util.find_spec(name) is None}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the two files that build environments of their own."""
    return collection_path.name in ("test_project.py", "test_docs.py") or None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Set a file aside that cannot be imported for want of an extra."""
    report = yield
    missing = re.search(r"No module named '(\w+)|needs the package '(\w+)'", str(report.longrepr or ""))
    if report.failed and missing and (missing[1] or missing[2]) in ABSENT:
        report.outcome, report.longrepr = (
            "skipped",
            (str(collector.path), 0, f"Skipped: needs {missing[1] or missing[2]}"),
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Turn a failure for want of an extra into a skip that names it."""
    report = yield
    problem = call.excinfo.value if call.excinfo else None
    wanted = getattr(problem, "package", None) or (getattr(problem, "name", None) or "").split(".")[0]
    if report.failed and wanted in ABSENT:
        report.outcome, report.longrepr = "skipped", (str(report.location[0]), 0, f"Skipped: needs {wanted}")
    return report
