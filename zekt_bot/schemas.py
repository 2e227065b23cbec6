"""JSON Schemas (2020-12) that providers write and messages fit.

Both come from strangers, and a schema can ask for more work than any machine does: by patterns that
backtrack, or references that double. So patterns run on RE2, nothing is fetched, and every
validation has a budget of steps, about a second of them on one core.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from contextvars import ContextVar
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST_BYTES = 32_768
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STEPS = 1_000_000
_MOST_KNOWN = 1_000  # verdicts
_MOST_INSTRUCTIONS = 1_000  # of a pattern, as RE2 counts them
_MOST_PATH = 200
_REFERENCES = ("$ref", "$dynamicRef")
_WITHIN = re.compile(r"#(?:/(?:\$defs|definitions)/[^/]+|[A-Za-z_][A-Za-z0-9._-]*)?")
_QUADRATIC = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_left: ContextVar[int] = ContextVar("left")

Path = tuple[str | int, ...]


class _TooMuchWork(Exception):
    """The budget is spent."""


# What jsonschema writes into the sentences of its errors, a whole message at each step otherwise.
class _Object(dict[str, Any]):
    def __repr__(self) -> str:
        return "{}"


class _Array(list[Any]):
    def __repr__(self) -> str:
        return "[]"


class _Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return '""'


def check_schema(text: str) -> str:
    """Return `text`, or raise InvalidInput naming where it is no schema that messages can fit."""
    schema = _parsed(text)
    _check_dialect(schema)
    found, resolver = list(_objects(schema)), _resolver(schema)
    for path, each in found:
        _check_references(resolver, path, each)
        _check_patterns(path, each)
    names = {name for _, each in found for name in each}
    if {"patternProperties", "unevaluatedProperties"} <= names:
        raise InvalidInput(
            "The schema has patternProperties and unevaluatedProperties: this server takes only "
            "one of them. additionalProperties knows the patterns beside it."
        )
    return text


def schema_misfit(schema: str, message: bytes) -> str | None:
    """Where the message does not fit a checked schema, and which part of it; None: it fits.

    Nothing of the message's values is in it. The last verdicts are known: who sends it again,
    because a busy server could not answer in time, hears what was found meanwhile.
    """
    key = hashlib.sha256(schema.encode()).digest() + hashlib.sha256(message).digest()
    with _knowing:
        if key in _known:
            return _known[key]
    found = _misfit(schema, message)
    with _knowing:
        _known[key] = found
        if len(_known) > _MOST_KNOWN:
            _known.popitem(last=False)
    return found


_known: OrderedDict[bytes, str | None] = OrderedDict()
_knowing = Lock()  # messages are looked at in several threads


def _misfit(schema: str, message: bytes) -> str | None:
    spent = _left.set(_STEPS)
    try:
        error = next(_validator(schema).iter_errors(_wrapped(orjson.loads(message))), None)
    except (_TooMuchWork, RecursionError):
        return "it takes too much work to see whether it fits: make the schema or it simpler"
    finally:
        _left.reset(spent)
    if error is None:
        return None
    where, rule = pointer(error.absolute_path), pointer(error.absolute_schema_path)
    lacks = ""
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        lacks = f" (it lacks {pointer(missing[:1])[1:]})"
    return f"{where or 'the root'} does not fit #{rule}{lacks}"


def pointer(path: Any) -> str:
    """A JSON Pointer (RFC 6901), on one line, and cut where it is too long to be read."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    text = "".join(f"/{part}" for part in parts)
    text = "".join(each if each.isprintable() else "�" for each in text[: _MOST_PATH + 1])
    return text if len(text) <= _MOST_PATH else f"{text[:_MOST_PATH]}…"


def _parsed(text: str) -> dict[str, Any]:
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > MOST_BYTES:
        raise InvalidInput(f"The schema has {len(raw)} bytes; at most {MOST_BYTES} are taken.")
    try:
        schema = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The schema is not JSON: {error.msg} (byte {error.pos}).") from None
    if not isinstance(schema, dict):
        raise InvalidInput("The schema must be a JSON object.")
    dialect = schema.get("$schema", _DIALECT)
    if dialect not in (_DIALECT, f"{_DIALECT}#"):
        raise InvalidInput(f"The schema must be of JSON Schema 2020-12: {_DIALECT}.")
    return schema


def _objects(schema: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object in a schema: more than its subschemas, but all of these."""
    waiting: list[tuple[Path, Any]] = [((), schema)]
    while waiting:
        where, each = waiting.pop()
        if isinstance(each, dict):
            yield where, each
            waiting += [((*where, name), inner) for name, inner in each.items()]
        elif isinstance(each, list):
            waiting += [((*where, number), inner) for number, inner in enumerate(each)]


def _check_references(resolver: Any, path: Path, each: Mapping[str, Any]) -> None:
    """Only to schemas within the schema, which were checked with it."""
    from referencing.exceptions import Unresolvable

    if path and isinstance(each.get("$id"), str):
        raise InvalidInput(f"The schema has an $id at #{pointer(path)}: only the whole has one.")
    for name in _REFERENCES:
        target = each.get(name)
        if not isinstance(target, str):
            continue
        where = f"#{pointer((*path, name))}"
        if not _WITHIN.fullmatch(target):
            raise InvalidInput(
                f"{where} must lead to #, #/$defs/NAME or an #anchor: nothing is fetched."
            )
        try:
            resolver.lookup(target)
        except Unresolvable:
            raise InvalidInput(f"{where} leads nowhere.") from None


def _resolver(schema: Mapping[str, Any]) -> Any:
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    empty: Any = Registry()
    return empty.resolver_with_root(DRAFT202012.create_resource(schema))


def _check_patterns(path: Path, each: Mapping[str, Any]) -> None:
    pattern, patterns = each.get("pattern"), each.get("patternProperties")
    found = [((*path, "pattern"), pattern)] if isinstance(pattern, str) else []
    if isinstance(patterns, dict):
        found += [((*path, "patternProperties", name), name) for name in patterns]
    for where, text in found:
        if _compiled(text) is None:
            raise InvalidInput(
                f"#{pointer(where)} is no pattern that RE2 takes, or a large one: look-around and "
                "back references are not known. See https://github.com/google/re2/wiki/Syntax."
            )


def _check_dialect(schema: Any) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema, format_checker=None)
    except SchemaError as error:
        path = f"#{pointer(error.absolute_path)}"
        raise InvalidInput(f"{path} is not as JSON Schema 2020-12 has it.") from None
    except RecursionError:
        raise InvalidInput("The schema is too deep.") from None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """The pattern on RE2, or None."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError):
        return None
    return found if found.programsize <= _MOST_INSTRUCTIONS else None


def _finds(pattern: str, text: str) -> bool:
    found = _compiled(pattern)
    _spend(1 + len(text) * found.programsize // 100)
    return found.search(text) is not None


def _spend(steps: int) -> None:
    left = _left.get() - steps
    if left < 0:
        raise _TooMuchWork
    _left.set(left)


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    from referencing import Registry

    empty: Any = Registry()
    return _dialect()(orjson.loads(schema), registry=empty)


@lru_cache(maxsize=1)
def _dialect() -> Any:
    """JSON Schema 2020-12 with a price on each keyword."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    own = {
        "additionalProperties": _additional_properties,
        "const": _const,
        "enum": _enum,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "uniqueItems": _unique_items,
    }
    known = {**Draft202012Validator.VALIDATORS, **own}
    return extend(Draft202012Validator, {name: _priced(name, fn) for name, fn in known.items()})


def _priced(name: str, keyword: Callable[..., Any]) -> Callable[..., Any]:
    """The keyword at the price of what it looks at."""

    def priced(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        size = len(instance) if isinstance(instance, _Object | _Array) else 0
        asked = len(value) if isinstance(value, dict | list) else 0
        more = size * size // 50 if name in _QUADRATIC else 10 if name in _REFERENCES else 0
        _spend(1 + size + asked + more)
        return keyword(validator, value, instance, schema)

    return priced


def _error(keyword: str, *path: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(keyword, path=path)


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _finds(pattern, instance):
        yield _error("pattern")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, schema in patterns.items():
            for name, value in instance.items():
                if _finds(pattern, name):
                    yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, schema: Any, instance: Any, own: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    patterns = own.get("patternProperties", {})
    for name, value in instance.items():
        if name in own.get("properties", {}) or any(_finds(p, name) for p in patterns):
            continue
        if schema is False:  # of which jsonschema tells no path
            yield _error("additionalProperties", name)
        else:
            yield from validator.descend(value, schema, path=name)


def _const(_: Any, value: Any, instance: Any, __: Any) -> Iterator[Any]:
    if _key(value) != _key(instance):
        yield _error("const")


def _enum(_: Any, values: Any, instance: Any, __: Any) -> Iterator[Any]:
    known = _key(instance)
    if all(_key(value) != known for value in values):
        yield _error("enum")


def _unique_items(_: Any, asked: bool, instance: Any, __: Any) -> Iterator[Any]:
    if asked and isinstance(instance, list) and len(set(map(_key, instance))) < len(instance):
        yield _error("uniqueItems")


def _key(value: Any) -> Any:
    """A value as JSON Schema compares it: 1 is 1.0, and true is not 1."""
    _spend(1)
    if isinstance(value, dict):
        return frozenset((name, _key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return ("array", *map(_key, value))
    return ("boolean", value) if isinstance(value, bool) else value


def _wrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return _Object({_Text(name): _wrapped(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return _Array(map(_wrapped, value))
    return _Text(value) if isinstance(value, str) else value
