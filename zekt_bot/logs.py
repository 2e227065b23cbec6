"""Structured logs: one wide line a step, as JSON or for a person's eyes."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import orjson
import structlog

if TYPE_CHECKING:
    from typing import Literal, TextIO


# orjson alone would write each field of a dataclass, also those that its repr hides.
_BY_REPR = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def _json(line: Any, **options: Any) -> str:
    """As fast as can be; what orjson does not take or would not escape is ASCII all the same."""
    try:
        made = orjson.dumps(line, default=options.get("default"), option=_BY_REPR)
    except TypeError:  # half a character, or a number of more than 64 bits
        return json.dumps(line, **options)
    return made.decode() if made.isascii() else json.dumps(line, **options)


def configure(level: str, style: Literal["console", "json"], stream: TextIO | None = None) -> None:
    """Send this process's logs to `stream` (default: standard error)."""
    out = stream or sys.stderr
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(_json)
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    # Libraries speak through logging; only what an operator must hear passes, in the same style.
    handler = logging.StreamHandler(out)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors, processors=[remove, renderer]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
