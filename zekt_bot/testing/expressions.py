"""The `${{ … }}` of a workflow's `run-name`, as far as the simulator knows them.

Paths of the `github` context with `.name`, `['name']` and `[0]`; quoted texts, numbers, true,
false, null; `||`, `&&`, parentheses; format() and toJSON(). Anything else is refused when the
workflow is added, so that no test believes in a title that GitHub would not give.

Source: https://docs.github.com/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

Value = Callable[[dict[str, Any]], Any]

KNOWN = frozenset(
    [
        "actor",
        "actor_id",
        "api_url",
        "event",
        "event_name",
        "ref",
        "ref_name",
        "ref_type",
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "run_attempt",
        "run_number",
        "server_url",
        "triggering_actor",
        "workflow",
    ]
)
"""What the simulator fills of the `github` context; of `event`, what a dispatch brings."""

_EXPRESSION = re.compile(r"\$\{\{((?:'(?:[^']|'')*'|[^'])*?)\}\}")
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<sign>\|\||&&|[()\[\].,]))"
)
_PLACE = re.compile(r"\{\{|\}\}|\{(\d+)\}")
_WORDS = {"true": True, "false": False, "null": None}


def title(run_name: str, context: dict[str, Any]) -> str:
    """`run_name` with its expressions filled from `context`, whose one key is `github`.

    Raises:
        ValueError: an expression is none, or the simulator does not know it.
    """
    return _EXPRESSION.sub(lambda found: _text(_parsed(found[1])(context)), run_name)


def check(run_name: str) -> None:
    """Accept what `title` can fill.

    Raises:
        ValueError: an expression is none, or the simulator does not know it.
    """
    title(run_name, {"github": {}})
    if "${{" in _EXPRESSION.sub("", run_name):
        raise ValueError(f"run-name: an expression is not closed in {run_name!r}.")


@cache
def _parsed(source: str) -> Value:
    return _Parser(source).parse()


class _Parser:
    """By recursive descent; each rule gives a function of the context."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens: list[tuple[str, str]] = []
        end = 0
        while found := _TOKEN.match(source, end):
            self._tokens.append((found.lastgroup or "", found[0].strip()))
            end = found.end()
        if source[end:].strip():
            raise self._error(source[end:].strip())
        self._at = 0

    def _error(self, what: str) -> ValueError:
        return ValueError(
            f"run-name: the simulator does not know {what!r} in ${{{{{self._source}}}}}."
        )

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._error("the end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, sign: str) -> bool:
        there = self._tokens[self._at : self._at + 1] == [("sign", sign)]
        self._at += there
        return there

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._error(self._next()[1])

    def parse(self) -> Value:
        value = self._either()
        if self._at < len(self._tokens):
            raise self._error(self._next()[1])
        return value

    def _either(self) -> Value:
        value = self._both()
        while self._take("||"):
            value = _or(value, self._both())
        return value

    def _both(self) -> Value:
        value = self._one()
        while self._take("&&"):
            value = _and(value, self._one())
        return value

    def _one(self) -> Value:
        kind, text = self._next()
        if kind == "sign" and text == "(":
            inner = self._either()
            self._need(")")
            return inner
        if kind == "text":
            return _constant(text[1:-1].replace("''", "'"))
        if kind == "number":
            return _constant(float(text) if "." in text else int(text))
        if kind != "name":
            raise self._error(text)
        if text.lower() in _WORDS:
            return _constant(_WORDS[text.lower()])
        return self._call(text) if self._take("(") else self._path(text)

    def _call(self, name: str) -> Value:
        arguments = [self._either()]
        while self._take(","):
            arguments.append(self._either())
        self._need(")")
        if name.lower() == "format":
            return lambda context: _format(*(one(context) for one in arguments))
        if name.lower() == "tojson" and len(arguments) == 1:
            return lambda context: json.dumps(arguments[0](context), indent=2, ensure_ascii=False)
        raise self._error(f"{name}()")

    def _path(self, root: str) -> Value:
        if root.lower() != "github":
            raise self._error(root)
        keys: list[Value] = []
        while True:
            if self._take("."):
                kind, text = self._next()
                if kind != "name":
                    raise self._error(text)
                keys.append(_constant(text))
            elif self._take("["):
                keys.append(self._either())
                self._need("]")
            else:
                break
        if not keys or str(keys[0]({"github": {}})).lower() not in KNOWN:
            raise self._error(f"github.{keys[0]({'github': {}})}" if keys else root)
        return lambda context: _follow(context["github"], [key(context) for key in keys])


def _constant(value: Any) -> Value:
    return lambda _: value


def _or(left: Value, right: Value) -> Value:
    return lambda context: left(context) if _true(left(context)) else right(context)


def _and(left: Value, right: Value) -> Value:
    return lambda context: right(context) if _true(left(context)) else left(context)


def _true(value: Any) -> bool:
    """An object and a list count as true, empty or not."""
    return isinstance(value, dict | list) or bool(value)


def _follow(value: Any, keys: list[Any]) -> Any:
    """What stands there; null where nothing does. The case of names does not matter."""
    for key in keys:
        if isinstance(value, dict) and isinstance(key, str):
            value = {name.lower(): inner for name, inner in value.items()}.get(key.lower())
        elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def _format(pattern: Any, *values: Any) -> str:
    def fill(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        if int(found[1]) >= len(values):
            raise ValueError(f"run-name: format() has no value for {found[0]}.")
        return _text(values[int(found[1])])

    return _PLACE.sub(fill, _text(pattern))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "Object" if isinstance(value, dict) else "Array"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
