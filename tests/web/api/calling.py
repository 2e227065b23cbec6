"""The API on a real socket: runs of a simulated GitHub call it with their own tokens."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import jsonschema

from tests.stage import Stage, open_stage
from zekt_bot.app import serving
from zekt_bot.web.api import openapi
from zekt_bot.web.api.routes import CLOSED, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.testing import ManualClock, WorkflowRun

OURS = "http://localhost:8080"
RECEIVE = "/api/events/receive"


@dataclass
class Said:
    """An answer; its body is JSON always."""

    status: int
    body: Any
    headers: Any


@dataclass
class Api:
    """A stage and the server before it."""

    stage: Stage
    port: int
    session: aiohttp.ClientSession

    def token(self, run: WorkflowRun, audience: str = OURS, **changed: Any) -> str:
        """What GitHub gives the run; `changed` are claims."""
        return self.stage.github.oidc.token(run, audience, **changed)

    async def call(
        self,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Said:
        """One request; bytes go as they are."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with self.session.request(method, path, data=data, headers=sent) as answer:
            assert answer.content_type == "application/json"
            if answer.status in {429, 503}:
                assert int(answer.headers["Retry-After"]) > 0
            told = await answer.json()
            if answer.status >= 400:
                assert list(told) == ["error"]
            check_documented(method, path, answer.status, told)
            return Said(answer.status, told, answer.headers)

    async def send(
        self, run: WorkflowRun, payload: Any = None, *, token: str | None = None, **changed: Any
    ) -> Said:
        """A message of this run; `changed` are fields of the body, None leaves one out."""
        told = {**message(run), "payload": payload, **changed}
        body = {name: value for name, value in told.items() if value is not None}
        body.setdefault("payload", payload)
        return await self.call(RECEIVE, body, token=token or self.token(run))

    async def run(self, path: str = "release.yml", **options: Any) -> WorkflowRun:
        """A run of the provider that goes on."""
        run = await self.stage.github.start_run(self.stage.provider, path, **options)
        await run.start_job("build")
        return run


def message(run: WorkflowRun) -> dict[str, Any]:
    """The body that zekt-action sends, without its payload."""
    return {
        "eventType": "released",
        "repository": run.repository.full_name,
        "workflowRunId": str(run.id),
        "triggeredBy": run.actor.login,
        "commitSha": run.head_sha,
        "ref": f"refs/heads/{run.head_branch}",
        "workflow": run.workflow.name,
        "timestamp": "2026-07-01T12:00:00.000Z",
    }


DOCUMENT = openapi.document(OPERATIONS, CLOSED, OURS)


def check_documented(method: str, path: str, status: int, body: Any) -> None:
    """What was answered is what the document says, where it says anything of this address."""
    for template, operations in DOCUMENT["paths"].items():
        address = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(f"/?{address}", path) and method.lower() in operations:
            told = operations[method.lower()]["responses"][str(status)]
            schema = told["content"]["application/json"]["schema"]
            whole = {**schema, "components": DOCUMENT["components"]}
            jsonschema.Draft202012Validator(whole).validate(body)


@asynccontextmanager
async def open_api(
    url: str, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[Api]:
    """A server on a stage, at a free port."""
    async with (
        open_stage(url, clock, host="127.0.0.1", port=0, **settings) as stage,
        serving(stage.broker) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield Api(stage, port, session)
