"""Logs as the tests want them."""

from __future__ import annotations

import structlog


def configure() -> None:
    """Plain logs to standard output, whatever was set up before.

    structlog's default shows the locals of every frame of a traceback, a second for each.
    """
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[structlog.processors.add_log_level, plain],
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
