"""Structured logs: one wide line a step, as JSON or for a person's eyes."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
from datetime import UTC, date, datetime, time
from threading import Lock
from typing import TYPE_CHECKING

import orjson
import structlog

if TYPE_CHECKING:
    from typing import Literal, TextIO

    from structlog.typing import EventDict, Processor

# orjson alone would write each field of a dataclass, also those that its repr hides.
_BY_REPR = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_UTC_Z


def _json(logger: object, level: str, line: EventDict) -> str:
    """As fast as can be; what orjson does not take or would not escape is ASCII all the same."""
    if "exc_info" in line:
        line = structlog.processors.format_exc_info(logger, level, line)
    line["level"] = level
    line["timestamp"] = datetime.now(UTC)  # orjson writes it; isoformat costs as much as the rest
    try:
        made = orjson.dumps(line, default=_shown, option=_BY_REPR)
    except TypeError:  # half a character, or a number of more than 64 bits
        return json.dumps(line, default=_shown)
    return made.decode() if made.isascii() else json.dumps(line, default=_shown)


def _shown(value: object) -> str:
    """A time as orjson writes it, anything else as Python shows it."""
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat().replace("+00:00", "Z")
    return repr(value)


class _Lines:
    """Writes a line; in an event loop, all that a turn says at once, and a warning right away.

    To write and flush each one costs as much as to make it.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._said: list[str] = []
        self._promised: asyncio.AbstractEventLoop | None = None  # who will flush
        self._lock = Lock()
        atexit.register(self.flush)

    def msg(self, line: str) -> None:
        """Write soon."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.failure(line)
            return
        with self._lock:
            self._said.append(line)
            promised, self._promised = self._promised is loop, loop
        if not promised:  # also where another loop has ended before it could
            loop.call_soon(self.flush)

    def failure(self, line: str) -> None:
        """Write now, and what was said before."""
        with self._lock:
            self._said.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            said, self._said, self._promised = self._said, [], None
            if said and not self._out.closed:
                self._out.write("\n".join([*said, ""]))
                self._out.flush()

    log = debug = info = msg
    warn = warning = error = err = exception = critical = fatal = failure


def configure(level: str, style: Literal["console", "json"], stream: TextIO | None = None) -> None:
    """Send this process's logs to `stream` (default: standard error)."""
    out = stream or sys.stderr
    lines = _Lines(out)
    chain: list[Processor] = [_json]
    if style == "console":
        chain = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    # Libraries speak through logging; only what an operator must hear passes, in the same style.
    handler = logging.StreamHandler(out)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[remove, *chain]))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def settle() -> None:
    """Loggers stay what they are now, in a process that configures no more.

    Else each line makes a logger of its own, in case the configuration has changed.
    """
    structlog.configure(cache_logger_on_first_use=True)
