"""The server's log: one JSON value a line on standard error, with the request's id. Texts are left out."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def logger(level: str) -> Any:
    """A logger without global state. It has debug, info, warning and error."""
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
    )
