"""The OpenAPI document says what there is, and its examples are what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.web.api.calling import DOCUMENT, check_documented
from zekt_bot.web.api.routes import CLOSED, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.api.calling import Api


def each_operation() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, told in methods.items():
            yield path, method, told


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body that is described, with its place."""
    for path, method, told in each_operation():
        for status, response in told["responses"].items():
            yield f"{method} {path} {status}", response["content"]["application/json"]
        if "requestBody" in told:
            yield f"{method} {path}", told["requestBody"]["content"]["application/json"]


async def test_it_is_served_to_everybody(local: Api) -> None:
    said = await local.call("/api/openapi.json", method="GET")
    assert said.status == 200
    assert said.body == DOCUMENT


def test_it_has_every_operation_and_what_is_not_served() -> None:
    found = {(method.upper(), path) for path, method, _ in each_operation()}
    assert found == {(each.method, each.path) for each in (*OPERATIONS, *CLOSED)}
    names = [told.get("operationId") for *_, told in each_operation()]
    assert sorted(filter(None, names)) == sorted(each.name for each in OPERATIONS)


@pytest.mark.parametrize(("place", "content"), [*contents()], ids=lambda each: str(each)[:60])
def test_every_body_has_an_example_that_fits(place: str, content: dict[str, Any]) -> None:
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(content["example"])


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    used = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert used == set(DOCUMENT["components"]["schemas"])


def test_every_parameter_of_a_path_is_described() -> None:
    for path, _, told in each_operation():
        named = {each["name"] for each in told["parameters"] if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_an_answer_that_is_not_described_is_found() -> None:
    with pytest.raises(KeyError):
        check_documented("POST", "/api/events/receive", 418, {"error": "tea"})
    with pytest.raises(jsonschema.ValidationError):
        check_documented("POST", "/api/events/receive", 200, {"success": True})
