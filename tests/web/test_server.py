"""What the HTTP front answers to whom, and how much of a body it reads."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from tests.web.front import (
    HEAD,
    PATIENT,
    SECRET,
    SHORT,
    TOKEN,
    UNKNOWN,
    Parts,
    front,
    post,
    signed,
    talk,
)
from zekt_bot import logs
from zekt_bot.clock import SystemClock
from zekt_bot.config import AppCredentials, Settings
from zekt_bot.domain.webhooks import Receipt, VerifiedWebhook
from zekt_bot.errors import ConfigurationError, StorageUnavailable
from zekt_bot.testing import ManualClock
from zekt_bot.web.api.routes import CLOSED, OPERATIONS
from zekt_bot.web.console import gate
from zekt_bot.web.console.routes import PAGES
from zekt_bot.web.deps import Ignored, Readiness
from zekt_bot.web.server import ROUTES, Role, WebDeps, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


async def test_a_webhook_is_stored_and_named() -> None:
    parts = Parts()
    async with front(parts) as (_, session):
        body = b'{"action": "completed"}'
        told = {"delivery": "72d3162e-CC78", "duplicate": False}
        assert await post(session, body) == (202, told)
        assert parts.stored[0].raw == body
        parts.receipt = Receipt(duplicate=True)
        assert await post(session, body) == (202, {**told, "duplicate": True})
        parts.receipt = Receipt(duplicate=True, requeued=True)
        assert await post(session, body) == (202, {**told, "duplicate": True, "requeued": True})
        parts.receipt = Receipt(ignored="repository_not_enabled")
        assert (await post(session, body))[1]["ignored"] == "repository_not_enabled"


async def test_a_ping_is_answered_and_not_stored() -> None:
    parts = Parts()
    async with front(parts) as (_, session):
        assert await post(session, X_GitHub_Event="ping") == (200, {"pong": True})
        assert parts.stored == []


async def test_a_secret_that_came_meanwhile_is_read_before_the_401() -> None:
    parts = Parts(newer=AppCredentials(webhook_secrets=(b"new",)))
    async with front(parts) as (_, session):
        sent = signed(b"{}", b"new")
        async with session.post("/webhooks/github", data=b"{}", headers=sent) as answer:
            assert answer.status == 202
        sent = signed(b"{}", b"wrong")
        async with session.post("/webhooks/github", data=b"{}", headers=sent) as answer:
            assert answer.status == 401


async def test_a_secret_that_is_newer_than_the_last_look_is_read_before_the_401() -> None:
    parts = Parts(newest=AppCredentials(webhook_secrets=(b"newest",)))
    async with front(parts) as (_, session):
        for secret, status in ((b"newest", 202), (SECRET, 202), (b"wrong", 401)):
            sent = signed(b"{}", secret)
            async with session.post("/webhooks/github", data=b"{}", headers=sent) as answer:
                assert answer.status == status
    assert len(parts.stored) == 2


async def test_503_without_secret_room_or_storage() -> None:
    parts = Parts(held=AppCredentials())
    async with front(parts, inflight_bytes=1000) as (_, session):
        status, told = await post(session)
        assert (status, "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET" in told["error"]) == (503, True)
        parts.held = AppCredentials(webhook_secrets=(SECRET,))
        assert (await post(session, b'{"x": "' + b"y" * 1000 + b'"}'))[0] == 503
        assert (await post(session))[0] == 202  # the room was given back
        parts.error = StorageUnavailable()
        assert (await post(session))[0] == 503
        async with session.get("/readyz") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        async with session.get("/healthz") as answer:
            assert answer.status == 200


async def test_who_signs_nothing_hears_401_whatever_else_is_missing() -> None:
    async with (
        front(Parts(held=AppCredentials()), inflight_bytes=1) as (_, session),
        session.post("/webhooks/github", data=b"{}") as answer,
    ):
        assert answer.status == 401


async def test_chunked_bodies_count_as_they_grow() -> None:
    parts = Parts()

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"x": "'
        for _ in range(10):
            yield b"y" * 1000
        yield b'"}'

    whole = b"".join([piece async for piece in pieces()])
    async with front(parts, inflight_bytes=20_000) as (_, session):
        sent = signed(whole)
        async with session.post("/webhooks/github", data=pieces(), headers=sent) as answer:
            assert answer.status == 202
        assert parts.stored[0].raw == whole
    async with (
        front(parts, inflight_bytes=5_000) as (_, session),
        session.post("/webhooks/github", data=pieces(), headers=sent) as answer,
    ):
        assert answer.status == 503


async def test_unknown_addresses_and_methods_are_json() -> None:
    async with front(Parts()) as (_, session):
        async with session.get("/nowhere?secret=1") as answer:
            said = await answer.json()
            assert (answer.status, list(said)) == (404, ["error"])
            assert "/api/openapi.json" in said["error"]
        async with session.get("/webhooks/github") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
            assert list(await answer.json()) == ["error"]
        async with session.head("/readyz") as answer:
            assert answer.status == 200


async def test_a_failing_store_is_our_fault_and_says_nothing_else() -> None:
    parts = Parts(error=RuntimeError("a secret value"))
    async with front(parts) as (_, session):
        status, told = await post(session, Accept="text/html")
        assert status == 500
        assert "secret value" not in told["error"]


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ((b"\x16\x03\x01 secret bytes\r\n\r\n",), b" 400 "),
        ((b"GET / HTTP/1.1\r\nHost: zekt\r\nbad header secret\r\n\r\n",), b" 400 "),
        ((HEAD + UNKNOWN + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nsecret\r\n"), b" 400 "),
        ((HEAD + UNKNOWN + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nsec"), b" 408 "),
        ((HEAD + UNKNOWN + b"Content-Length: 10\r\n\r\n", b"sec"), b" 408 "),
        ((HEAD + UNKNOWN + b"Content-Length: 26214401\r\n\r\n",), b" 413 "),
        ((HEAD + b"Content-Length: 26214400\r\n\r\n",), b" 401 "),
        ((HEAD + b"Authorization: secret",), b""),
        ((b"",), b""),
    ],
)
async def test_what_is_not_http_or_not_in_time(
    pieces: tuple[bytes, ...], said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    out = io.StringIO()
    logs.configure("DEBUG", "json", out)
    async with front(Parts(), SHORT) as (port, _):
        answer = await talk(port, *pieces)
    status, _, body = answer.partition(b"\r\n")
    assert said in status
    if said:
        assert list(json.loads(body.rpartition(b"\r\n\r\n")[2])) == ["error"]
    for text in (answer.decode(), out.getvalue(), caplog.text):
        assert "secret" not in text.replace("webhook secret", "")


async def test_the_order_of_refusals_with_a_right_signature() -> None:
    async with front(Parts()) as (_, session):
        form = "application/x-www-form-urlencoded"
        bad = {"Content_Type": form, "X_GitHub_Event": "Bad Event"}
        assert (await post(session, b"no json", **bad))[0] == 415
        bad["Content_Type"] = "application/json"
        assert (await post(session, b"no json", **bad))[0] == 400
        assert (await post(session, b"no json", X_Hub_Signature_256="sha256=" + "0" * 64))[0] == 401


async def test_a_taken_port_is_named() -> None:
    async with front(Parts()) as (port, _):
        with pytest.raises(ConfigurationError, match=str(port)):
            async with front(Parts(), port=port):
                pass


async def test_keep_alive_outlives_the_time_of_a_head() -> None:
    async with front(Parts(), SHORT) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: zekt\r\n\r\n")
            assert b" 200 " in await reader.readline()
            await reader.readuntil(b'"ok"}')
            await asyncio.sleep(0.4)  # longer than a head may take
        writer.close()


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_database_that_is_too_slow_is_as_good_as_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    soon = timedelta(seconds=0.1)
    for part in ("ready", "get"):  # what a store waits for, and the credentials
        with monkeypatch.context() as patched:
            patched.setattr(Parts, part, lambda *_, **__: never())
            async with front(Parts(), replace(PATIENT, look=soon, store=soon)) as (port, session):
                assert (await post(session))[0] == 503
                async with session.get("/readyz") as answer:
                    assert answer.status == (503 if part == "ready" else 200)
                if part == "get":  # nor is a body waited for that nobody could verify
                    head = HEAD + UNKNOWN + b"Connection: close\r\nContent-Length: 10\r\n\r\n"
                    assert b" 503 " in await talk(port, head)


async def test_readiness_is_asked_once_a_second_whoever_wants_to_know() -> None:
    asked, clock = [], ManualClock()

    async def check() -> None:
        asked.append(clock.now())
        if len(asked) == 2:
            raise StorageUnavailable

    readiness = Readiness(check, clock)
    within = timedelta(seconds=1)
    assert await asyncio.gather(*(readiness.ask(within) for _ in range(9))) == [True] * 9
    clock.advance(timedelta(seconds=0.9))
    assert await readiness.ask(within)
    assert len(asked) == 1
    clock.advance(timedelta(seconds=0.1))
    assert not await readiness.ask(within)
    assert not await readiness.ask(within)
    clock.advance(timedelta(seconds=1))
    assert await readiness.ask(within)
    assert len(asked) == 3


async def test_what_was_ignored_is_told_once_a_minute_and_at_the_end() -> None:
    clock = ManualClock()
    ignored = Ignored(clock)
    with capture_logs() as lines:
        telling = aiter(ignored.telling(web.Application()))
        await anext(telling)
        await asyncio.sleep(0)
        clock.advance(timedelta(minutes=1))  # nothing to tell
        await asyncio.sleep(0)
        for reason in ("event_not_handled", "account_not_admitted", "event_not_handled"):
            ignored.count(reason)
        await asyncio.sleep(0)
        assert lines == []
        clock.advance(timedelta(minutes=1))
        await asyncio.sleep(0.01)
        ignored.count("repository_unknown")
        await anext(telling, None)
    assert [{k: v for k, v in line.items() if k != "log_level"} for line in lines] == [
        {"event": "webhooks.ignored", "event_not_handled": 2, "account_not_admitted": 1},
        {"event": "webhooks.ignored", "repository_unknown": 1},
    ]


# An address of the API, also by a client whose address of this server ends in a slash.
SPELLED: tuple[Callable[[str], str], ...] = (str, lambda path: f"/{path}")

# Every route, and who is let in: a new route has to be entered here.
MATRIX = {
    ("GET", "/healthz"): {"anonymous": 200, "github": 200, "operator": 200},
    ("GET", "/readyz"): {"anonymous": 200, "github": 200, "operator": 200},
    ("GET", "/api/openapi.json"): {"anonymous": 200, "github": 200, "operator": 200},
    ("GET", "/metrics"): {"anonymous": 401, "github": 401, "operator": 200},
    ("GET", "/status"): {"anonymous": 401, "github": 401, "operator": 200},
    ("POST", "/webhooks/github"): {"anonymous": 401, "github": 202, "operator": 401},
    ("POST", "/webhooks/github/oauth"): {"anonymous": 401, "github": 202, "operator": 401},
}


async def test_every_route_lets_in_whom_the_table_says() -> None:
    app = build(WebDeps(Settings(), Parts(), Parts().store, Parts().ready, SystemClock()))
    routed = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    with_get = {("HEAD", path) for method, path in routed if method == "GET"}
    assert set(app[gate.PAGES].values()) == set(PAGES)
    pages = {
        (page.method, route.resource.canonical)
        for route, page in app[gate.PAGES].items()
        if route.resource is not None
    } | {("GET", "/static/{name}")}
    api = {
        (each.method, spelled(each.path)) for each in (*OPERATIONS, *CLOSED) for spelled in SPELLED
    }
    assert routed - {("*", "/{path}")} - with_get - pages - api == set(MATRIX)
    for row in MATRIX.values():
        assert set(row) == set(get_args(Role))
    sends = {
        "anonymous": {},
        "github": signed(b"{}"),
        "operator": {"Authorization": f"Bearer {TOKEN}"},
    }
    async with front(Parts(), metrics_tokens=(TOKEN,)) as (_, session):
        for route in ROUTES:
            for role, status in MATRIX[route.method, route.path].items():
                body = b"{}" if route.method == "POST" else None
                async with session.request(
                    route.method, route.path, data=body, headers=sends[role]
                ) as answer:
                    assert answer.status == status, (route.path, role)
                assert (role in route.roles) == (status < 400)


async def test_who_only_announces_bodies_keeps_nobody_out() -> None:
    announced = b"Content-Length: 26000000\r\n\r\n"
    async with front(Parts(), PATIENT) as (port, session):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        for _, writer in idle:
            writer.write(HEAD + UNKNOWN + announced)
            await writer.drain()
        assert (await post(session))[0] == 202
        for _, writer in idle:
            writer.close()


async def test_bodies_count_until_they_are_stored() -> None:
    inside, stored, body = asyncio.Event(), asyncio.Event(), b'{"x": "' + b"y" * 600 + b'"}'

    class Slow(Parts):
        async def store(self, webhook: VerifiedWebhook) -> Receipt:
            inside.set()
            await stored.wait()
            return await super().store(webhook)

    parts = Slow()
    async with front(parts, inflight_bytes=1000) as (_, session):
        first = asyncio.create_task(post(session, body))
        async with asyncio.timeout(60):
            await inside.wait()
        assert (await post(session, body))[0] == 503
        stored.set()
        assert (await first)[0] == 202


@pytest.mark.parametrize("path", [b"/webhooks/github", b"/healthz", b"/nowhere"])
async def test_what_a_client_expects_is_not_told_back(path: bytes) -> None:
    async with front(Parts(), SHORT) as (port, _):
        head = b"POST " + path + b" HTTP/1.1\r\nHost: zekt\r\nContent-Length: 0\r\n" + UNKNOWN
        said = await talk(port, head + b"Expect: SECRETWORD\r\nConnection: close\r\n\r\n")
        assert b" 417 " in said
        assert b"application/json" in said
        assert b"SECRETWORD" not in said
        head += b"Expect: 100-continue\r\nConnection: close\r\n"
        said = await talk(port, head + b"\r\n")
        assert said.startswith(b"HTTP/1.1 100 Continue\r\n")
        assert said.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    ("lines", "status"),
    [(b"Content-Length: 9\r\n", b"401"), (UNKNOWN + b"Content-Length: 26214401\r\n", b"413")],
)
async def test_no_body_is_asked_for_whose_head_is_wrong(lines: bytes, status: bytes) -> None:
    async with front(Parts(), SHORT) as (port, _):
        head = HEAD + b"Connection: close\r\nExpect: 100-continue\r\n" + lines
        said = await talk(port, head + b"\r\n")
        assert said.startswith(b"HTTP/1.1 " + status)
        assert b"100 Continue" not in said
