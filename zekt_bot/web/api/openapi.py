"""`GET /api/openapi.json`: the API described by its own models and table of operations.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from aiohttp import web

from zekt_bot.web.api.edge import USUAL
from zekt_bot.web.api.models import EXAMPLES, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zekt_bot.web.api.edge import Operation
    from zekt_bot.web.api.routes import Closed

DOCUMENT = web.AppKey("DOCUMENT", bytes)
_SCHEMAS = "#/components/schemas/"
_ANY = (msgspec.Raw, None)
_NAMED = re.compile(r"\{(\w+)\}")
_WAIT = {
    "Retry-After": {
        "description": "Seconds after which to call again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_REPOSITORY = {
    "name": "X-GitHub-Repository",
    "in": "header",
    "description": "If it is there, it must be the token's repository: OWNER/REPO.",
    "schema": {"type": "string"},
}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The run's OpenID Connect token, which GitHub gives to a job that has "
    "`id-token: write`, for this server's address as its audience.",
}


async def serve(request: web.Request) -> web.Response:
    """Give the document, to anybody."""
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


def encoded(operations: Sequence[Operation], closed: Sequence[Closed], url: str) -> bytes:
    """The document as it is served at `url`."""
    return orjson.dumps(document(operations, closed, url))


def document(operations: Sequence[Operation], closed: Sequence[Closed], url: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these."""
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    for gone in closed:
        paths.setdefault(gone.path, {})[gone.method.lower()] = _closed(gone)
    models = {model for each in operations for model in (each.takes, each.gives)}
    _, schemas = msgspec.json.schema_components(
        sorted((Problem, *models.difference(_ANY)), key=lambda model: model.__name__),
        ref_template=f"{_SCHEMAS}{{name}}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Zekt",
            "version": version("zekt-bot"),
            "summary": "What workflow runs call",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"runToken": _TOKEN}},
    }


def _operation(each: Operation) -> dict[str, Any]:
    said = (each.act.__doc__ or "").strip()
    told: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "description": said,
        "security": [{"runToken": []}],
        "parameters": [*_parameters(each.path), _REPOSITORY],
        "responses": _responses(each),
    }
    if each.takes is not None:
        told["requestBody"] = {"required": True, "content": _content(each.takes)}
    return told


def _parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _NAMED.findall(path)
    ]


def _responses(each: Operation) -> dict[str, Any]:
    found = {status: [said] for status, said in USUAL.items()}
    for status, said in each.refusals.items():
        found.setdefault(status, []).append(said)
    done = {"200": {"description": "Done.", "content": _content(each.gives)}}
    return done | {str(status): _refusal(status, found[status]) for status in sorted(found)}


def _refusal(status: int, said: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {'; or '.join(said)}.",
        "content": {
            "application/json": {
                "schema": {"$ref": f"{_SCHEMAS}{Problem.__name__}"},
                "example": {"error": f"{said[0][0].upper()}{said[0][1:]}."},
            }
        },
    }
    if status in {429, 503}:
        told["headers"] = _WAIT
    return told


def _content(model: type) -> dict[str, Any]:
    """JSON of a model; of none: any JSON."""
    if model in _ANY:
        return {"application/json": {"schema": {}, "example": {"version": "1.4.0"}}}
    schema = {"$ref": f"{_SCHEMAS}{model.__name__}"}
    return {"application/json": {"schema": schema, "example": EXAMPLES[model]}}


def _closed(gone: Closed) -> dict[str, Any]:
    return {
        "summary": "Not served",
        "deprecated": gone.status == HTTPStatus.GONE,
        "security": [],
        "parameters": _parameters(gone.path),
        "responses": {str(gone.status): _refusal(gone.status, [gone.said.rstrip(".")])},
    }
