"""The Action as GitHub's runner runs it: Node.js of the lock, a real Zekt, a simulated GitHub."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from tests.web.api.calling import Api, open_api
from zekt_bot.testing.act import tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.testing import ManualClock, WorkflowRun

ACTION = Path(__file__).parents[2] / "action"
_TOOLS = tools()
assert _TOOLS is not None
NODE = _TOOLS.node / "node"


@dataclass
class Fault:
    """How one request fails. Without a status the connection is cut; `after`: Zekt has acted."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    after: bool = False


class Wire:
    """What stands before a Zekt: it passes requests on, and fails when told."""

    def __init__(self) -> None:
        """No fault yet, and nobody behind it."""
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, bytes]] = []
        self.url = ""
        """The address that the Action is given."""
        self.behind = 0
        self.session: ClientSession

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Pass it on, or fail."""
        body = await request.read()
        self.requests.append((request.method, request.path, body))
        fault = self.faults.pop(0) if self.faults else None
        if fault is None or fault.after:
            response = await self._passed(request, body)
        if fault is None:
            return response
        if fault.status is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        text = json.dumps(fault.body) if isinstance(fault.body, dict) else fault.body
        return web.Response(status=fault.status, headers=fault.headers, text=text)

    async def _passed(self, request: web.Request, body: bytes) -> web.Response:
        url = f"http://127.0.0.1:{self.behind}{request.path_qs}"
        names = {"Authorization", "Content-Type"}
        headers = {name: value for name, value in request.headers.items() if name in names}
        async with self.session.request(request.method, url, data=body, headers=headers) as answer:
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name in {"Content-Type", "Retry-After"}
            }
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


@asynccontextmanager
async def open_wire() -> AsyncIterator[Wire]:
    """One that listens at a free port."""
    wire = Wire()
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{path:.*}", wire.answer)
    async with ClientSession() as wire.session, TestServer(app) as server:
        wire.url = str(server.make_url("/")).rstrip("/")
        yield wire


@dataclass
class Ended:
    """A step that has ended: its log as the runner shows it, and what it left."""

    code: int
    raw: str
    outputs: dict[str, str]
    state: dict[str, str]
    summary: str

    @property
    def masks(self) -> list[str]:
        """What the runner was told to hide."""
        return [line.removeprefix(MASK) for line in self.raw.splitlines() if line.startswith(MASK)]

    @property
    def log(self) -> str:
        """The log, with those hidden as the runner does."""
        shown = "\n".join(line for line in self.raw.splitlines() if not line.startswith(MASK))
        for mask in self.masks:
            shown = shown.replace(mask, "***")
        return shown

    @property
    def error(self) -> str:
        """The one error that it ended with."""
        assert self.code == 1, self.raw
        (told,) = re.findall(r"^::error title=Zekt::(.*)$", self.raw, re.MULTILINE)
        return str(told)


MASK = "::add-mask::"


@dataclass
class Runner:
    """A job of a run: its folder and its environment."""

    folder: Path
    environment: dict[str, str]

    async def step(self, state: dict[str, str] | None = None, **inputs: Any) -> Ended:
        """Run the main step, or the post step with the state that it left.

        `event_type` is the input `event-type`.
        """
        files = {name: self.folder / name for name in ("output", "state", "summary")}
        for file in files.values():
            file.write_text("")
        told = {name.replace("_", "-").upper(): str(value) for name, value in inputs.items()}
        env = {
            **self.environment,
            **{f"GITHUB_{name.upper()}": str(file) for name, file in files.items()},
            "GITHUB_STEP_SUMMARY": str(files["summary"]),
            **{f"INPUT_{name}": value for name, value in told.items()},
            **{f"STATE_{name}": value for name, value in (state or {}).items()},
        }
        process = await asyncio.create_subprocess_exec(
            NODE,
            ACTION / ("main.mjs" if state is None else "post.mjs"),
            env=env,
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return Ended(
            process.returncode,
            out.decode(),
            read(files["output"]),
            read(files["state"]),
            files["summary"].read_text(),
        )


def read(file: Path) -> dict[str, str]:
    """A file of outputs or state, as the runner reads it."""
    found, text = {}, file.read_bytes().decode()
    while text:
        head, _, rest = text.partition("\n")
        name, _, end = head.partition("<<")
        value, closing, text = rest.partition(f"\n{end}\n")
        assert end
        assert closing
        found[name] = value
    return found


@dataclass
class Scene:
    """A Zekt behind a wire, with a provider and a consumer."""

    api: Api
    wire: Wire
    folder: Path

    def runner(self, run: WorkflowRun, event: dict[str, Any] | None = None) -> Runner:
        """A job of this run, which may ask for tokens."""
        told = self.folder / "event.json"
        told.write_text(json.dumps(event or {}))
        return Runner(
            self.folder,
            {
                "GITHUB_REPOSITORY": run.repository.full_name,
                "GITHUB_RUN_ID": str(run.id),
                "GITHUB_EVENT_NAME": run.event,
                "GITHUB_EVENT_PATH": str(told),
                "GITHUB_WORKSPACE": str(self.folder),
                "RUNNER_TEMP": str(self.folder),
                "INPUT_ZEKT-API-URL": self.wire.url,
                **self.api.stage.github.oidc.environment(run),
            },
        )


@asynccontextmanager
async def open_scene(
    url: str, folder: Path, clock: ManualClock, **settings: Any
) -> AsyncIterator[Scene]:
    """Everything up."""
    async with (
        open_wire() as wire,
        open_api(url, clock, public_url=wire.url, **settings) as api,
    ):
        wire.behind = api.port
        yield Scene(api, wire, folder)
