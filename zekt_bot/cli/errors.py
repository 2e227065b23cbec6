"""From an exception to one line on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from zekt_bot.errors import (
    AccessDenied,
    ConfigurationError,
    DecryptionFailed,
    GitHubError,
    NotFound,
    PluginError,
    Refused,
    ServerUnavailable,
    StorageUnavailable,
    ZektError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BUG = NOT_AS_IT_SHOULD_BE = 1
UNUSABLE = 7

# The first class that fits decides, so the narrower ones stand first.
_CODES: tuple[tuple[type[ZektError], int], ...] = (
    (NotFound, 4),
    (AccessDenied, 5),
    (Refused, 3),
    (ConfigurationError, 6),
    (DecryptionFailed, 6),
    (StorageUnavailable, UNUSABLE),
    (ServerUnavailable, UNUSABLE),
    (GitHubError, 8),
    (PluginError, 9),
)
_MEANINGS = {
    0: "done",
    1: "a bug of Zekt, or a check or a demo that found something wrong",
    2: "the command line is wrong",
    3: "refused: the input is invalid, or the present state does not allow it",
    4: "no such thing",
    5: "access denied",
    6: "a setting is missing or wrong",
    7: "the database, the server or the output cannot be used now",
    8: "GitHub did not do what was asked",
    9: "a plugin is at fault",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def exit_codes() -> str:
    """The exit codes, as the help shows them."""
    lines = "\n".join(f"  {code}  {meaning}" for code, meaning in _MEANINGS.items())
    return f"\b\nExit codes:\n{lines}"


def exit_code(error: BaseException) -> int:
    """What a command that ended with `error` exits with."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), BUG)


def sentence(error: ZektError) -> str:
    """The error on one line, with the cure where its message names none."""
    said = _plain(str(error))
    if isinstance(error, StorageUnavailable):
        cause = error.__cause__
        why = f" ({_why(cause)})" if cause is not None else ""
        return f"{said}{why} Check DATABASE_URL, and that the database is up and not full."
    return said


def _plain(text: str) -> str:
    """What strangers said may be in it: one line, which cannot steer the terminal."""
    from zekt_bot.cli.output import plain  # rich takes its time, and most commands succeed

    return plain(text)


def _why(cause: BaseException) -> str:
    """The cause's kind and what it said, without SQLAlchemy's statement and its parameters."""
    origin = getattr(cause, "orig", None) or cause
    said = _plain(str(origin))[:200]
    return f"{type(origin).__name__}: {said}" if said else type(origin).__name__


class ZektGroup(click.Group):
    """The root group: errors raised on purpose become a line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # whoever read our output has gone: click knows what to do
            ctx.exit(_report(error))


def _report(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in _FULL:
        click.echo(f"zekt: {error.strerror}: make room where the output is written.", err=True)
        _drop_output()
        return UNUSABLE
    found = next((e for e in _leaves(error) if isinstance(e, ZektError)), None)
    if found is not None and exit_code(found) != BUG:
        click.echo(f"zekt: {sentence(found)}", err=True)
        return exit_code(found)
    if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    else:
        kinds = ", ".join(sorted({type(leaf).__name__ for leaf in _leaves(error)}))
        click.echo(
            f"zekt: {kinds}: this should not happen. Run again with LOG_LEVEL=DEBUG to see where.",
            err=True,
        )
    return BUG


def _drop_output() -> None:
    """What is still to be written is not tried again: Python would end with a code of its own.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, or the one exception."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
