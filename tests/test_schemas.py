"""JSON Schemas of providers: what is taken, what fits, and what they cannot do to the server."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from zekt_bot import schemas
from zekt_bot.domain.messages import MOST_BYTES
from zekt_bot.errors import InvalidInput

TOO_MUCH = "it takes too much work to see whether it fits: make the schema or it simpler"


def misfit(schema: Any, message: Any) -> str | None:
    """As for a schema that was checked; `message` is a value, or the bytes of one."""
    body = message if isinstance(message, bytes) else orjson.dumps(message)
    return schemas.schema_misfit(schemas.check_schema(orjson.dumps(schema).decode()), body)


NAMES = st.sampled_from(["a", "b", "ab", "x/y"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, 1, 1.0, 2.5, -1, "", "a", "ab", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["null", "boolean", "object", "array", "number", "string", "integer"])
PATTERNS = st.sampled_from(["^a", "b$", "^a?b+$", "[0-9]", "a|b"])


def _with(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "enum": st.lists(VALUES, min_size=1, max_size=2),
            "const": VALUES,
            "pattern": PATTERNS,
            "maxLength": st.integers(0, 2),
            "minimum": st.sampled_from([0, 1.5]),
            "uniqueItems": st.booleans(),
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "contains": inner,
            "required": st.lists(NAMES, max_size=2, unique=True),
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
            "additionalProperties": inner,
            "propertyNames": inner,
            "not": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "if": inner,
            "then": inner,
            "unevaluatedItems": inner,
        },
    )


SCHEMAS = st.recursive(st.booleans() | _with(st.booleans()), _with, max_leaves=6)


@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)), VALUES)
def test_a_message_fits_as_json_schema_has_it(schema: dict[str, Any], value: Any) -> None:
    fits = Draft202012Validator(schema).is_valid(orjson.loads(orjson.dumps(value)))
    assert (misfit(schema, value) is None) == fits


@pytest.mark.parametrize(
    ("schema", "message", "said"),
    [
        ({"type": "object"}, [], "the root does not fit #/type"),
        ({"required": ["a", "b"]}, {"a": 1}, "the root does not fit #/required (it lacks b)"),
        ({"required": ["a\nb"]}, {}, "the root does not fit #/required (it lacks a�b)"),
        (
            {"properties": {"a/b": {"items": {"$ref": "#/$defs/n~1m"}}}, "$defs": {"n/m": {}}},
            {"a/b": ["x", 1]},
            None,
        ),
        (
            {"properties": {"a~/b": {"items": {"type": "string"}}}},
            {"a~/b": ["x", "secret", 1]},
            "/a~0~1b/2 does not fit #/properties/a~0~1b/items/type",
        ),
        (
            {"patternProperties": {"^x": {"const": 1}}, "additionalProperties": False},
            {"xy": 2},
            "/xy does not fit #/patternProperties/^x/const",
        ),
        (
            {"patternProperties": {"^x": True}, "additionalProperties": False},
            {"xy": 2, "y\u202e": 1},
            "/y� does not fit #/additionalProperties",
        ),
        ({"uniqueItems": True}, [1, 1.0], "the root does not fit #/uniqueItems"),
        ({"uniqueItems": True}, [{"a": [1]}, {"a": [1]}], "the root does not fit #/uniqueItems"),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], None),
        ({"additionalProperties": False}, {"k" * 300: 1}, f"/{'k' * 199}… does not fit "),
    ],
)
def test_the_first_misfit_is_told_by_its_path_and_nothing_of_its_values(
    schema: Any, message: Any, said: str | None
) -> None:
    told = misfit(schema, message)
    assert (told or "")[: len(said or "")] == (said or "")
    assert (told is None) == (said is None)
    assert told is None or ("secret" not in told and told.isprintable())


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "not JSON"),
        ("[]", "must be a JSON object"),
        ("true", "must be a JSON object"),
        ('{"$schema": "http://json-schema.org/draft-07/schema#"}', "2020-12"),
        ('{"type": "text"}', "#/type is not as JSON Schema 2020-12 has it"),
        ('{"properties": {"a": 1}}', "#/properties/a is not as"),
        ('{"$ref": "https://example.org/schema"}', "#/$ref must lead to #.*nothing is fetched"),
        ('{"items": {"$dynamicRef": "other.json#x"}}', "#/items/$dynamicRef must lead to"),
        ('{"$ref": "#/properties/a", "properties": {"a": {}}}', "must lead to"),
        ('{"$ref": "#/$defs/a"}', "#/$ref leads nowhere"),
        ('{"$ref": "#a"}', "#/$ref leads nowhere"),
        ('{"$defs": {"a": {"$id": "https://example.org/a"}}}', "only the whole has one"),
        ('{"pattern": "(?=a)b"}', "#/pattern is no pattern that RE2 takes"),
        ('{"pattern": "((a{1000}){1000})"}', "is no pattern that RE2 takes"),
        ('{"pattern": "[a-z]{1000}[a-z]{500}"}', "or a large one"),
        ('{"patternProperties": {"(a": {}}}', "#/patternProperties/(a is no"),
        (
            '{"patternProperties": {}, "anyOf": [{"unevaluatedProperties": false}]}',
            "takes only one",
        ),
        (f'{{"title": "{"x" * 32_768}"}}', "32781 bytes; at most 32768"),
        ('{"items":' * 1000 + "{}" + "}" * 1000, "not JSON|too deep"),
        ('{"items":' * 500 + "{}" + "}" * 500, "too deep"),
        ('{"title": "\ud800"}', "not JSON"),
    ],
)
def test_what_is_no_schema_that_messages_can_fit_is_refused_by_name(schema: str, said: str) -> None:
    with pytest.raises(InvalidInput) as told:
        schemas.check_schema(schema)
    assert re.search(said.replace("$", r"\$").replace("(a", r"\(a"), str(told.value)), told.value


@pytest.mark.parametrize(
    "schema",
    [
        "{}",
        '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.org/s"}',
        '{"$ref": "#/$defs/a", "$defs": {"a": {"$anchor": "here", "items": {"$ref": "#here"}}}}',
        '{"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}}',
        '{"pattern": "^\\\\p{Lu}+$", "format": "email"}',
    ],
)
def test_what_json_schema_has_is_taken(schema: str) -> None:
    assert schemas.check_schema(schema) == schema


LONG_ONES = [[list(range(2000))]] * 57
COMPARED: dict[str, dict[str, Any]] = {
    "const": {"$defs": {"a": {"const": LONG_ONES[0]}}},
    "enum": {"$defs": {"a": {"enum": LONG_ONES[:1]}}},
}
DOUBLING = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}


@pytest.mark.parametrize(
    ("schema", "message", "said"),
    [
        ({"$ref": "#/$defs/a0", "$defs": {**DOUBLING, "a60": {}}}, {}, TOO_MUCH),
        ({"$ref": "#"}, {}, TOO_MUCH),
        ({"items": {"$ref": "#"}}, b"[" * 1000 + b"]" * 1000, TOO_MUCH),
        (
            {"unevaluatedProperties": False, "properties": {"a": True}},
            {f"k{n}": 1 for n in range(40_000)},
            TOO_MUCH,
        ),
        ({"items": {"pattern": "(a|b)*a(a|b){300}$"}}, ["a" * 400] * 500, TOO_MUCH),
        ({"pattern": "(x+x+)+y"}, "x" * 300_000, "the root does not fit #/pattern"),
        ({"anyOf": [{"type": "string"}] * 300}, [[0] * 200_000], "the root does not fit #/anyOf"),
        ({"items": {"uniqueItems": True}}, [[{"a": n} for n in range(30_000)]], None),
        (
            {"items": {"allOf": [{"$ref": "#/$defs/a"}] * 200}, **COMPARED["const"]},
            LONG_ONES,
            TOO_MUCH,
        ),
        (
            {"items": {"allOf": [{"$ref": "#/$defs/a"}] * 200}, **COMPARED["enum"]},
            LONG_ONES,
            TOO_MUCH,
        ),
    ],
    ids=[
        "doubling",
        "loop",
        "deep",
        "quadratic",
        "pattern",
        "backtracking",
        "errors",
        "unique",
        "const",
        "enum",
    ],
)
def test_a_hostile_schema_takes_no_more_than_its_budget(
    schema: Any, message: Any, said: str | None
) -> None:
    assert misfit(schema, message) == said


def test_a_budget_is_of_one_message_alone() -> None:
    schema = {"uniqueItems": True}
    assert [misfit(schema, [n, *range(10, 300_000)]) for n in range(3)] == [None] * 3


ROW = {"file": "a/b", "line": 117, "rule": "x", "text": ""}
ROWS = {
    "properties": {"rows": {"items": {"$ref": "#/$defs/row"}}},
    "$defs": {
        "row": {
            "type": "object",
            "required": sorted(ROW),
            "additionalProperties": False,
            "properties": {
                "file": {"type": "string", "minLength": 1},
                "line": {"type": "integer", "minimum": 1},
                "rule": {"enum": ["x", "y"]},
                "text": {"type": "string"},
            },
        }
    },
}


def test_the_largest_message_has_room_for_what_schemas_usually_ask() -> None:
    count = MOST_BYTES // (len(orjson.dumps(ROW)) + 1)
    assert misfit(ROWS, {"rows": [ROW] * count}) is None


def test_who_sends_it_again_hears_what_was_found_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "_known", OrderedDict())
    monkeypatch.setattr(schemas, "_MOST_KNOWN", 2)
    schema, good, bad = {"items": {"type": "integer"}}, [1, 2], [1, "2"]
    before = [misfit(schema, good), misfit(schema, bad)]
    assert before == [None, "/1 does not fit #/items/type"]
    monkeypatch.setattr(schemas, "_STEPS", 0)
    assert [misfit(schema, good), misfit(schema, bad)] == before
    assert misfit({"items": {"type": "number"}}, good) == TOO_MUCH
    assert misfit(schema, good) == TOO_MUCH  # the oldest was forgotten
