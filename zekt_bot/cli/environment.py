"""Settings from a `.env` file, when it was asked for. The real environment wins over it."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv.parser import parse_stream

from zekt_bot import config
from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ON_REQUEST = {"development": Path(".env")}


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables in force, and the names in the file that no setting has, with the likeliest."""

    variables: Mapping[str, str]
    unknown: Mapping[str, str | None]
    file: Path | None = None


def read(env_file: Path | None, environ: Mapping[str, str] = os.environ) -> Environment:
    """The environment with `env_file` beneath it; without one `./.env` if ZEKT_ENV=development.

    Raises:
        ConfigurationError: the file cannot be read, or a line of it is wrong.
    """
    if env_file is None:
        found = _ON_REQUEST.get(environ.get("ZEKT_ENV", ""))
        env_file = found if found and found.is_file() else None
    if env_file is None:
        return Environment(environ, {})
    given = _parse(env_file)
    real = {name for name, value in environ.items() if value}  # an empty one counts as not set
    beneath = {name: value for name, value in given.items() if not real & _forms(name)}
    known = config.variables()
    unknown = sorted(name for name in given if name.startswith("ZEKT_") and name not in known)
    return Environment(
        {**environ, **beneath}, {name: _likeliest(name, known) for name in unknown}, env_file
    )


def _parse(path: Path) -> dict[str, str]:
    """The file's variables. `$` means nothing special, so that a password may hold one."""
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for binding in parse_stream(lines):
                if binding.error or (binding.key is not None and binding.value is None):
                    raise ConfigurationError(
                        f"{path}, line {binding.original.line}: write NAME=VALUE, with quotes "
                        "around a value of several lines."
                    )
                if binding.key is not None:
                    found[binding.key] = binding.value or ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"--env-file: cannot read {path}: {reason}.") from None
    return found


def _forms(name: str) -> set[str]:
    """The names under which the same setting can be given."""
    plain = name.removesuffix("_FILE")
    return {plain, f"{plain}_FILE"}


def _likeliest(name: str, known: frozenset[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, 0.8)), None)
