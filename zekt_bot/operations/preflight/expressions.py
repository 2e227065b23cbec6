"""GitHub's expressions, `${{ … }}`: where they stand in a text, and which values they read.

Nothing is evaluated. Every function takes time in proportion to its text.

Source: https://docs.github.com/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Value = tuple[str | None, ...]
"""What is read, name by name in small letters; None is any name: `github.event.*` and
`github.event[env.NAME]` are both ("github", "event", None)."""

_QUOTE_OR_END = re.compile(r"'|\}\}")
_TOKEN = re.compile(r"'[^']*(?:''[^']*)*'|[A-Za-z_][\w-]*|\|\||&&|[^\s]")
_NAME = re.compile(r"[A-Za-z_]")


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands between `${{` and `}}`, and where the `${{` begins."""

    text: str
    start: int


def find(text: str) -> Iterator[Expression]:
    """The expressions of a text; one that does not end is none, and nothing after it is."""
    start = text.find("${{")
    while start >= 0:
        end = _end(text, start + 3)
        if end is None:
            return
        yield Expression(text[start + 3 : end], start)
        start = text.find("${{", end + 2)


def _end(text: str, at: int) -> int | None:
    """Where the `}}` stands that is in no string."""
    while (found := _QUOTE_OR_END.search(text, at)) is not None:
        if found[0] == "}}":
            return found.start()
        closing = text.find("'", found.end())
        if closing < 0:
            return None
        at = closing + 1
    return None


def values(expression: str) -> list[Value]:
    """All values that an expression reads, functions' names among them."""
    return list(_values(_TOKEN.findall(expression)))


def _values(tokens: Sequence[str]) -> Iterator[Value]:
    at = 0
    while at < len(tokens):
        if _NAME.match(tokens[at]) is None:
            at += 1
            continue
        value, at = _value(tokens, at)
        yield value


def _value(tokens: Sequence[str], at: int) -> tuple[Value, int]:
    """The value that begins at `at`, and where what follows it begins."""
    names: list[str | None] = [tokens[at].lower()]
    at += 1
    while at + 1 < len(tokens):
        following = tokens[at + 1]
        if tokens[at] == "." and (following == "*" or _NAME.match(following)):
            names.append(None if following == "*" else following.lower())
            at += 2
        elif tokens[at] == "[" and tokens[at + 2 : at + 3] == ["]"] and following[0] == "'":
            names.append(following[1:-1].replace("''", "'").lower())
            at += 3
        elif tokens[at] == "[":
            names.append(None)  # what is in the brackets is read for itself
            return tuple(names), at + 1
        else:
            break
    return tuple(names), at


def touches(value: Value, path: Sequence[str]) -> bool:
    """Whether reading `value` may read what is at `path`: as a whole, a part of it, or with all
    that holds it."""
    return all(name is None or name == wanted for name, wanted in zip(value, path, strict=False))


def alternatives(expression: str) -> list[tuple[list[Value], bool]]:
    """The operands of an expression's outermost `||`: what each reads, and whether it is nothing
    but one value or one string, so that it is the answer wherever it is not empty."""
    operands: list[list[str]] = [[]]
    depth = 0
    for piece in _TOKEN.findall(expression):
        depth += (piece in "([") - (piece in ")]")
        if piece == "||" and depth == 0:
            operands.append([])
        else:
            operands[-1].append(piece)
    return [(list(_values(tokens)), _is_plain(tokens)) for tokens in operands]


def _is_plain(tokens: Sequence[str]) -> bool:
    if not tokens:
        return False
    if _NAME.match(tokens[0]):
        return _value(tokens, 0)[1] == len(tokens)
    return len(tokens) == 1 and tokens[0] not in {"''", "0"}
