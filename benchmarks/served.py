"""The processes that are measured: `python -m benchmarks.served MODE`.

`bare`: an aiohttp handler that checks the HMAC of a webhook, or the RS256 signature of a message's
token, and parses the JSON, and stores nothing. `posts URL COUNT BYTES`: plain aiohttp POSTs, as
many at a time as a worker sends. `web`, `worker`, `whole`: Zekt as `serve --no-worker`, `worker`
and `serve` run it, on the settings of the environment. `relaxed`: `web` with `synchronous=NORMAL`.

With ZEKT_BENCH_PROFILE the process writes there where its CPU time went.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy import event
from sqlalchemy.pool import Pool

from benchmarks.sampling import sampled
from zekt_bot import config, logs
from zekt_bot.app import open_broker, serving, settle, working
from zekt_bot.cli.server import stop_signals
from zekt_bot.domain.run_tokens import SHARED_AUDIENCE
from zekt_bot.operations.heartbeat import beating
from zekt_bot.worker import SENDERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy.engine.interfaces import DBAPIConnection

    from zekt_bot.operations.heartbeat import Kind

SECRET = "a webhook secret of the benchmarks"
PUBLIC_KEY = "ZEKT_BENCH_PUBLIC_KEY"
_NORMAL = "PRAGMA synchronous = NORMAL"


@asynccontextmanager
async def bare(environ: Mapping[str, str]) -> AsyncIterator[int]:
    """The most that aiohttp can do with a webhook, and with a run's message."""
    secret = SECRET.encode()
    app = web.Application(client_max_size=2**20)
    if PUBLIC_KEY in environ:
        app.router.add_post("/api/events/receive", _checking_tokens(environ[PUBLIC_KEY]))

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(f"sha256={digest}", request.headers["X-Hub-Signature-256"]):
            return web.Response(status=401)
        orjson.loads(body)
        return web.Response(status=202, body=b"{}", content_type="application/json")

    app.router.add_post("/webhooks/github", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _checking_tokens(pem: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey)

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        token = request.headers["Authorization"].removeprefix("Bearer ")
        try:
            jwt.decode(token, key, algorithms=["RS256"], audience=SHARED_AUDIENCE)
        except jwt.InvalidTokenError:
            return web.Response(status=401)
        orjson.loads(body)
        return web.Response(body=b"{}", content_type="application/json")

    return handle


async def posts(url: str, count: int, size: int) -> None:
    """What aiohttp's client can do at most."""
    headers = {
        "authorization": "token ghs_benchmark0123456789",
        "accept": "application/vnd.github+json",
        "content-type": "application/json",
        "user-agent": "zekt-benchmark",
    }
    body, left = b'{"x": "%s"}' % (b"x" * (size - 9)), iter(range(count))
    async with aiohttp.ClientSession() as session:

        async def sender() -> None:
            for _ in left:
                async with session.post(url, data=body, headers=headers) as response:
                    await response.read()

        print("ready 0", flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # told to begin
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(sender() for _ in range(SENDERS)))
        wall, cpu = time.perf_counter() - began, time.process_time() - used
    print("done", wall, cpu, flush=True)


@asynccontextmanager
async def zekt(environ: Mapping[str, str], *, serve: bool, work: bool) -> AsyncIterator[int]:
    """The product's own parts, put together as its command line does."""
    settings = config.load(environ)
    kind: Kind = "serve" if serve and work else "web" if serve else "worker"
    async with open_broker(settings, server=True) as broker, AsyncExitStack() as parts:
        await parts.enter_async_context(beating(broker, kind))
        running = await parts.enter_async_context(working(broker)) if work else None
        port = await parts.enter_async_context(serving(broker)) if serve else 0
        try:
            yield port
        finally:
            if running:
                running.stop()


@asynccontextmanager
async def relaxed(environ: Mapping[str, str]) -> AsyncIterator[int]:
    """As `web`, on SQLite that syncs no commit: what FULL costs. The product has no such switch."""

    def relax(connection: DBAPIConnection, *_: object) -> None:
        connection.execute(_NORMAL)

    event.listen(Pool, "checkout", relax)
    try:
        async with zekt(environ, serve=True, work=False) as port:
            yield port
    finally:
        event.remove(Pool, "checkout", relax)


MODES: dict[str, Callable[[Mapping[str, str]], AbstractAsyncContextManager[int]]] = {
    "bare": bare,
    "web": partial(zekt, serve=True, work=False),
    "relaxed": relaxed,
    "worker": partial(zekt, serve=False, work=True),
    "whole": partial(zekt, serve=True, work=True),
}


async def until_stopped(mode: str) -> None:
    """Say the port, then serve until SIGTERM."""
    logs.configure("INFO", "json")
    with stop_signals() as stop:
        async with MODES[mode](os.environ) as port:
            if mode != "bare":  # as Zekt's own command does in a process of its own
                settle()
            print("ready", port, flush=True)
            await stop.wait()


def main() -> None:
    """Run the mode that the command line names."""
    mode, *rest = sys.argv[1:]
    with sampled(os.environ.get("ZEKT_BENCH_PROFILE")):
        if mode == "posts":
            asyncio.run(posts(rest[0], int(rest[1]), int(rest[2])))
        else:
            asyncio.run(until_stopped(mode))


if __name__ == "__main__":
    main()
