"""The spine through real processes: signed webhooks in, dispatches out, whatever goes wrong."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.acceptance.server import BRIEF, RELEASE, SECRET, Stage, stage
from zekt_bot.testing import payloads, sign, webhook_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def finish_run(s: Stage, **options: Any) -> Any:
    """A run of the provider's allowed workflow, from its start to its end."""
    run = await s.github.start_run(s.provider, RELEASE, **options)
    job = await run.start_job("build")
    await job.complete("success")
    await run.complete("success")
    return run


async def test_a_finished_run_reaches_its_consumer(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as s:
        run = await finish_run(s)
        (dispatch,) = await s.github.wait_for_dispatches(1)
        zekt = dispatch.client_payload["zekt"]
        assert dispatch.repository is s.consumer
        assert dispatch.event_type == zekt["eventType"] == "zekt-workflow-completed"
        assert zekt["workflow"]["runId"] == run.id
        assert zekt["workflow"]["path"] == RELEASE
        assert [job["name"] for job in zekt["jobs"]] == ["build"]
        (delivery,) = await s.zekt.until_deliveries(lambda rows: rows[0]["state"] == "dispatched")
        assert delivery["id"] == zekt["deliveryId"]
        consumed = await s.github.wait_for_run(s.consumer, "completed")
        assert consumed.client_payload == dispatch.client_payload


@pytest.mark.at_length(10)
async def test_rerun_duplicates_and_disorder_send_each_event_once(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as s:
        with s.github.hold() as held:
            run = await finish_run(s)
            await run.rerun()
            await run.complete("failure")
        for delivery in reversed(held):
            await s.github.deliver(delivery)
        await asyncio.gather(*(s.github.deliver(held[-1]) for _ in range(50)))
        dispatches = await s.github.wait_for_dispatches(2)
        await s.zekt.until_deliveries(lambda rows: all(r["state"] == "dispatched" for r in rows))
        assert sorted((d.client_payload["zekt"]["workflow"]["runAttempt"]) for d in dispatches) == [
            1,
            2,
        ]


@pytest.mark.at_length(10)
async def test_a_fork_never_fires_a_service(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as s:
        stranger = s.github.account("stranger", "User")
        fork = s.github.repository(stranger, "payments-api", fork=True)
        await finish_run(s, fork=fork, head_branch="main", event="pull_request")
        await finish_run(s, fork_deleted=True, event="pull_request")
        async with asyncio.timeout(60):
            while True:
                ours = [
                    e for e in await s.zekt.events() if e["full_name"] == "aurora-labs/payments-api"
                ]
                if [e["blocked_reason"] for e in ours] == ["from_fork", "from_fork"]:
                    break
                await asyncio.sleep(0.05)
        assert s.github.dispatches == []


@pytest.mark.at_length(10)
async def test_killed_after_the_202_it_still_dispatches(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path, **BRIEF) as s:
        await finish_run(s)  # every webhook was answered before this returns
        accepted = [d for d in s.github.deliveries if d.event == "workflow_run"]
        assert {d.status_code for d in accepted} == {202}
        assert await s.zekt.end(signal.SIGKILL) == -signal.SIGKILL
        await s.zekt.start()
        await s.github.wait_for_dispatches(1)
        (delivery,) = await s.zekt.until_deliveries(lambda rows: rows[0]["state"] == "dispatched")
        sent = {d.client_payload["zekt"]["deliveryId"] for d in s.github.dispatches}
        assert sent == {delivery["id"]}


@pytest.mark.at_length(10)
async def test_killed_while_github_holds_the_post_it_is_sent_again(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path, **BRIEF) as s:
        s.github.fail("POST", "/repos/*/dispatches", hang=True)
        await finish_run(s)
        async with asyncio.timeout(60):
            while not any(r.path.endswith("/dispatches") for r in s.github.requests):
                await asyncio.sleep(0.02)
        await s.zekt.end(signal.SIGKILL)
        await s.zekt.start()
        await s.github.wait_for_dispatches(1)
        await s.zekt.until_deliveries(lambda rows: rows[0]["state"] == "dispatched")
        assert len(s.github.dispatches) == 1


@pytest.mark.at_length(10)
async def test_sigterm_ends_cleanly_and_nothing_secret_was_logged(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as s:
        await finish_run(s, display_title="a title that strangers wrote")
        await s.github.wait_for_dispatches(1)
        await s.zekt.until_deliveries(lambda rows: rows[0]["state"] == "dispatched")
        assert await s.zekt.end() == 0
        said = s.zekt.log.read_text()
        for secret in (SECRET, "ghs_", "PRIVATE KEY", "sha256=", "a key of the tests"):
            assert secret not in said
        assert all(json.loads(line) for line in said.splitlines())


@pytest.mark.at_length(10)
async def test_advising_plugins_that_raise_cost_no_second_post(
    sqlite_url: str, tmp_path: Path
) -> None:
    (tmp_path / "plugins").mkdir()
    for hook, argument in (("zekt_retry_delay", "attempt"), ("zekt_audit_details", "entry")):
        (tmp_path / "plugins" / f"broken_{argument}.py").write_text(
            f"from zekt_bot import hookimpl\n\n\n@hookimpl(tryfirst=True)\n"
            f"def {hook}({argument}):\n    raise RuntimeError('a plugin of the tests')\n"
        )
    async with stage(sqlite_url, tmp_path, ZEKT_PLUGINS_DIR=str(tmp_path / "plugins")) as s:
        s.github.fail("POST", "/repos/*/dispatches", status=500, when="after")
        await finish_run(s)
        await s.zekt.until_deliveries(lambda rows: bool(rows) and rows[0]["attempts"] == 1)
        posts = [r for r in s.github.requests if r.path.endswith("/dispatches")]
        assert len(posts) == 1
        (delivery,) = await s.zekt.deliveries()
        assert delivery["state"] == "retrying"
        said = s.zekt.log.read_text()
        assert "broken_attempt" in said
        assert "broken_entry" in said


async def test_every_refusal_over_http(sqlite_url: str, tmp_path: Path) -> None:
    async with stage(sqlite_url, tmp_path) as s, aiohttp.ClientSession() as session:
        url = f"{s.zekt.url}/webhooks/github"
        before = _inbox(sqlite_url)

        async def post(body: bytes, drop: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
            sent = {**webhook_headers(s.app, "workflow_run", body), **headers}
            sent.pop(drop, None)
            async with session.post(url, data=body, headers=sent) as answer:
                return answer.status, await answer.json()

        form = "application/x-www-form-urlencoded"
        refusals = [
            (401, await post(b"{}", drop="X-Hub-Signature-256")),
            (401, await post(b"{}", **{"X-Hub-Signature-256": "sha256=" + "0" * 64})),
            (401, await post(b"{}", **{"X-Hub-Signature-256": sign("another", b"{}")})),
            (400, await post(b"{}", drop="X-GitHub-Event")),
            (400, await post(b"{}", drop="X-GitHub-Delivery")),
            (
                400,
                await post(
                    b"{",
                ),
            ),
            (400, await post(b"[1]")),
            (400, await post(b'{"n": NaN}')),
            (400, await post(b'{"t": "\xff"}')),
            (400, await post(b"[" * 100_000 + b"]" * 100_000)),
            (415, await post(b"payload=%7B%7D", **{"Content-Type": form})),
        ]
        for wanted, (status, told) in refusals:
            assert status == wanted
            assert list(told) == ["error"]
        assert "application/json" in refusals[-1][1][1]["error"]
        assert await post(b"{}", **{"X-GitHub-Event": "ping"}) == (200, {"pong": True})
        large = {"Content-Length": str(26_214_401), "X-Hub-Signature-256": "sha256=" + "0" * 64}
        reader, writer = await asyncio.open_connection("127.0.0.1", s.zekt.port)
        head = "".join(f"{name}: {value}\r\n" for name, value in large.items())
        writer.write(f"POST /webhooks/github HTTP/1.1\r\nHost: zekt\r\n{head}\r\n".encode())
        assert b" 413 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
        await answers_a_run_of_nobody(s, session)
        await cuts_a_chunked_body_off_at_githubs_limit(s, session)
        await accepts_nothing_without_a_secret(s, session)
        assert _inbox(sqlite_url) == before


async def answers_a_run_of_nobody(s: Stage, session: aiohttp.ClientSession) -> None:
    stranger = s.github.repository(s.github.account("nobody"), "thing")
    run = await s.github.start_run(stranger, "ci.yml")
    body = json.dumps(payloads.workflow_run(run, "completed", urls=s.github.urls)).encode()
    headers = webhook_headers(s.app, "workflow_run", body)
    async with session.post(f"{s.zekt.url}/webhooks/github", data=body, headers=headers) as a:
        assert a.status == 202
        assert (await a.json())["ignored"]


async def cuts_a_chunked_body_off_at_githubs_limit(
    s: Stage, session: aiohttp.ClientSession
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(26):
            yield b"x" * (1 << 20)

    headers, url = webhook_headers(s.app, "star", b"{}"), f"{s.zekt.url}/webhooks/github"
    async with session.post(url, data=pieces(), headers=headers) as answer:
        assert (answer.status, list(await answer.json())) == (413, ["error"])


async def accepts_nothing_without_a_secret(s: Stage, session: aiohttp.ClientSession) -> None:
    await s.zekt.end()
    del s.zekt.environ["ZEKT_ORCHESTRATOR_WEBHOOK_SECRET"]
    await s.zekt.start()
    headers = webhook_headers(s.app, "workflow_run", b"{}")
    url = f"{s.zekt.url}/webhooks/github"
    async with session.post(url, data=b"{}", headers=headers) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0


async def test_of_fifty_at_once_one_is_stored(sqlite_url: str, tmp_path: Path) -> None:
    async with stage(sqlite_url, tmp_path) as s, aiohttp.ClientSession() as session:
        with s.github.hold() as held:
            run = await s.github.start_run(s.provider, RELEASE)
            await run.complete("success")
        before = _inbox(sqlite_url)

        async def send() -> bool:
            url, sent = f"{s.zekt.url}/webhooks/github", held[-1]
            async with session.post(url, data=sent.body, headers=sent.headers) as answer:
                assert answer.status == 202
                return bool((await answer.json())["duplicate"])

        assert sorted(await asyncio.gather(*(send() for _ in range(50)))) == [False] + [True] * 49
        assert _inbox(sqlite_url) == before + 1
        await s.github.wait_for_dispatches(1)


async def test_what_is_not_wanted_or_too_much_over_http(sqlite_url: str, tmp_path: Path) -> None:
    admitted = {"ZEKT_ALLOWED_ACCOUNTS": "aurora-labs,kestrel-bank"}
    limits = admitted | {"ZEKT_INFLIGHT_BYTES": str(1 << 20)}
    async with stage(sqlite_url, tmp_path, **limits) as s, aiohttp.ClientSession() as session:
        url, before = f"{s.zekt.url}/webhooks/github", _inbox(sqlite_url)

        async def post(event: str, body: bytes) -> tuple[int, dict[str, Any]]:
            headers = webhook_headers(s.app, event, body)
            async with session.post(url, data=io.BytesIO(body), headers=headers) as answer:
                if answer.status == 503:
                    assert int(answer.headers["Retry-After"]) > 0
                return answer.status, await answer.json()

        status, told = await post("star", b"{}")
        assert (status, told["ignored"]) == (202, "event_not_handled")
        strange = s.github.repository(s.github.account("nobody"), "thing")
        run = await s.github.start_run(strange, "ci.yml")
        body = json.dumps(payloads.workflow_run(run, "completed", urls=s.github.urls)).encode()
        status, told = await post("workflow_run", body)
        assert (status, told["ignored"]) == (202, "account_not_admitted")
        status, told = await post("star", b'{"x": "' + b"y" * (1 << 20) + b'"}')
        assert (status, list(told)) == (503, ["error"])
        assert (await post("star", b"{}"))[0] == 202  # the room was given back
        assert _inbox(sqlite_url) == before


@pytest.mark.long
async def test_a_body_that_does_not_come_is_given_up(sqlite_url: str, tmp_path: Path) -> None:
    async with stage(sqlite_url, tmp_path) as s:
        reader, writer = await asyncio.open_connection("127.0.0.1", s.zekt.port)
        signature = b"X-Hub-Signature-256: sha256=" + b"0" * 64
        head = b"POST /webhooks/github HTTP/1.1\r\nHost: zekt\r\nContent-Length: 9\r\n" + signature
        writer.write(head + b"\r\n\r\n{")
        async with asyncio.timeout(80):
            assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


def _inbox(url: str) -> int:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    try:
        return int(connection.execute("SELECT count(*) FROM inbox").fetchone()[0])
    finally:
        connection.close()
