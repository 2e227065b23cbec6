"""`POST /api/events/receive` as its callers meet it: who is let in, what is taken, what is told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import pytest
from structlog.testing import capture_logs

from tests.db.rows import until
from tests.stage import ME, SERVICE
from tests.test_storage_outages import locked, read_only
from tests.web.api.calling import RECEIVE, message, open_api
from tests.web.front import SHORT, talk
from zekt_bot.db.tables import messages as rows
from zekt_bot.db.tables import refused_messages
from zekt_bot.errors import StorageUnavailable
from zekt_bot.operations import repositories, services, workflows
from zekt_bot.web.server import WebDeps

if TYPE_CHECKING:
    from tests.test_storage_outages import Broken
    from tests.web.api.calling import Api
    from zekt_bot.testing import ManualClock

RELEASED = {"version": "1.4.0"}


async def test_a_message_is_stored_before_it_is_answered_and_goes_out_with_its_run(
    api: Api,
) -> None:
    await api.stage.serve("released")
    run = await api.run()
    said = await api.send(run, RELEASED)
    (stored,) = await api.stage.rows(rows)
    assert (said.status, said.body) == (
        200,
        {
            "success": True,
            "eventId": stored["envelope_id"],
            "consumersNotified": 1,
            "consumersLeftOut": 0,
            "message": "Stored. It goes to 1 consumer when its run has ended.",
            "messageId": stored["id"],
            "correlationId": said.body["correlationId"],
            "duplicate": False,
            "redactions": [],
        },
    )
    assert b"1.4.0" not in stored["body"]
    again = await api.send(run, RELEASED)
    assert again.body == {**said.body, "duplicate": True}
    await run.complete("success")
    await api.stage.flow()
    (dispatch,) = api.stage.github.dispatches
    assert dispatch.client_payload["zekt"]["payload"] == RELEASED
    assert dispatch.client_payload["zekt"]["eventId"] == said.body["eventId"]
    late = await api.send(run, {"late": True})
    assert late.body["message"].endswith("now, after its run.")


async def test_the_payloads_own_bytes_are_kept_and_tell_one_message_from_another(
    api: Api,
) -> None:
    await api.stage.serve("released")
    run = await api.run()

    async def send(payload: bytes) -> dict[str, Any]:
        body = json.dumps(message(run)).encode()[:-1] + b', "payload":  ' + payload + b" }"
        said = await api.call(RECEIVE, body, token=api.token(run))
        assert said.status == 200
        told: dict[str, Any] = said.body
        return told

    odd = b'{ "b" : 1.50,\n"a": 12345678901234567890, "c":"\\u0000" }'
    first = await send(odd)
    assert (await send(odd))["duplicate"]
    other = await send(odd.replace(b" ", b""))
    assert other["messageId"] != first["messageId"]
    keyring = api.stage.broker.database.keyring
    opened = {
        keyring.open(("messages", "body", row["id"]), row["body"])
        for row in await api.stage.rows(rows)
    }
    assert opened == {odd, odd.replace(b" ", b"")}


async def test_existing_clients_are_served_as_they_speak(local: Api) -> None:
    await local.stage.serve("released")
    run = await local.run()
    shared = local.token(run, "api://zekt")
    named = {"X-GitHub-Repository": run.repository.full_name.upper(), "Accept": "*/*"}
    body = {**message(run), "payload": 0}
    said = await local.call(RECEIVE, body, token=shared, headers=named)
    assert (said.status, said.body["success"]) == (200, True)
    assert (await local.send(run, 1, workflowRunId=run.id)).status == 200
    lower = {"Authorization": f"bearer {shared}"}
    assert (await local.call(RECEIVE, {**message(run), "payload": 2}, headers=lower)).status == 200


async def test_its_sender_is_told_where_secrets_were(local: Api) -> None:
    await local.stage.serve("released")
    token = "npm" + "_" + "aB3" * 12
    run = await local.run()
    said = await local.send(run, {"a": [token], "b": token})
    kind = "npm_token"
    told = [{"path": "/a/0", "kind": kind}, {"path": "/b", "kind": kind}]
    assert said.body["redactions"] == told
    ending = "Secrets were taken out of it: npm_token at /a/0 and 1 more. Withdraw them."
    assert said.body["message"].endswith(ending)
    assert token not in str(said.body)
    again = await local.send(run, {"a": [token], "b": token})
    assert (again.body["duplicate"], again.body["redactions"]) == (True, told)


async def test_an_address_that_ends_in_a_slash_is_served(local: Api) -> None:
    await local.stage.publish("released")
    run = await local.run()
    body = json.dumps({**message(run), "payload": 1}).encode()
    head = f"POST /{RECEIVE} HTTP/1.1\r\nHost: z\r\nContent-Length: {len(body)}\r\n"
    head += f"Authorization: Bearer {local.token(run)}\r\nConnection: close\r\n\r\n"
    assert b" 200 " in await talk(local.port, head.encode(), body)


async def test_who_calls_must_be_a_run(local: Api) -> None:
    await local.stage.publish("released")
    run = await local.run()
    good = local.token(run)
    bearer = f"Bearer {good}"
    body = {**message(run), "payload": 1}
    for headers in ({}, {"Authorization": good}, {"Authorization": f"Basic {good}"}):
        said = await local.call(RECEIVE, body, headers=headers)
        assert (said.status, said.headers["WWW-Authenticate"]) == (401, "Bearer")
    missing = await local.call(RECEIVE, body)
    assert "id-token: write" in missing.body["error"]
    twice = f"POST {RECEIVE} HTTP/1.1\r\nHost: z\r\nContent-Length: 0\r\nConnection: close\r\n"
    twice += f"Authorization: {bearer}\r\n" * 2 + "\r\n"
    assert b" 401 " in await talk(local.port, twice.encode())
    for changed in (
        {"exp": 1},
        {"iat": 2**33},
        {"iss": "https://token.actions.githubusercontent.com"},
        {"aud": "https://another.example"},
        {"run_id": None},
        {"repository_id": "x"},
    ):
        said = await local.send(run, 1, token=local.token(run, **changed))
        assert said.status == 401
    assert await local.stage.rows(rows) == []


async def test_a_token_is_of_its_own_repository_and_run(api: Api) -> None:
    await api.stage.publish("released")
    run, other = await api.run(), await api.run()
    assert (await api.send(run, 1, token=api.token(other))).status == 403
    elsewhere = await api.stage.github.start_run(api.stage.consumer, "x.yml")
    assert (await api.send(run, 1, token=api.token(elsewhere))).status == 403
    named = {"X-GitHub-Repository": api.stage.consumer.full_name}
    body = {**message(run), "payload": 1}
    assert (await api.call(RECEIVE, body, token=api.token(run), headers=named)).status == 403
    assert await api.stage.rows(rows) == []


async def test_a_new_name_under_a_known_id_is_taken_at_once(api: Api) -> None:
    await api.stage.publish("released")
    run = await api.run()
    api.stage.provider.name = "renamed"
    assert (await api.send(run, 1)).status == 200


async def test_use_without_consent_is_refused_and_shown_to_the_provider(api: Api) -> None:
    run = await api.run()
    assert (await api.send(run, 1)).status == 404
    name = api.stage.provider.full_name
    await repositories.enable(api.stage.broker, ME, name)
    refused = await api.send(run, 1)
    assert (refused.status, f"zekt workflows allow {name}" in refused.body["error"]) == (403, True)
    await workflows.allow(api.stage.broker, ME, name, run.workflow.path)
    required = f"aurora-labs/rules/{run.workflow.path}@refs/heads/main"
    foreign = await api.send(run, 1, token=api.token(run, workflow_ref=required))
    assert (foreign.status, "not one of" in foreign.body["error"]) == (403, True)
    await api.stage.github.suspend(api.stage.providing)
    await api.stage.listen()
    assert (await api.send(run, 1)).status == 403
    assert {row["reason"]: row["times"] for row in await api.stage.rows(refused_messages)} == {
        "not_allowed": 2,
        "app_suspended": 1,
    }


async def test_limits_of_a_run_and_of_its_service(local: Api) -> None:
    await local.stage.publish("*")
    await services.edit(local.stage.broker, ME, SERVICE, {"one_per_type": True})
    run = await local.run()
    assert (await local.send(run, 1)).status == 200
    assert (await local.send(run, 1)).status == 200
    assert (await local.send(run, 2)).status == 409
    for number in range(49):
        assert (await local.send(run, 1, eventType=f"type {number}")).status == 200
    full = await local.send(run, 1, eventType="one more")
    assert (full.status, "at most 50 messages" in full.body["error"]) == (422, True)


async def test_a_repository_calls_so_often_and_no_more(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    async with open_api(migrated_sqlite, clock, api_per_minute=3) as api:
        await api.stage.publish("released")
        run = await api.run()
        assert [(await api.send(run, 1)).status for _ in range(4)] == [200, 200, 200, 429]
        other = await api.stage.github.start_run(api.stage.consumer, "x.yml")
        assert (await api.send(other, 1)).status == 404  # counted by itself
        clock.advance(timedelta(seconds=60))
        assert (await api.send(run, 1)).status == 200


async def test_bad_tokens_of_an_address_are_slowed_and_good_ones_are_not(local: Api) -> None:
    await local.stage.publish("released")
    run = await local.run()
    bad = [(await local.send(run, 1, token="x.y.z")).status for _ in range(61)]
    assert bad == [401] * 60 + [429]
    assert (await local.send(run, 1)).status == 200


async def test_tokens_of_unknown_keys_are_bad_ones(local: Api) -> None:
    await local.stage.publish("released")
    run = await local.run()
    assert (await local.send(run, 1)).status == 200
    forged = jwt.encode({}, local.stage.app.private_key, "RS256", headers={"kid": "unknown"})
    bad = [(await local.send(run, 1, token=forged)).status for _ in range(61)]
    assert bad == [401] + [503] * 59 + [429]
    assert (await local.send(run, 1)).status == 200


async def test_while_nothing_can_be_stored_the_answer_is_503(api: Api) -> None:
    await api.stage.serve("released")
    run = await api.run()

    async def fails(*_: object, **__: object) -> None:
        raise StorageUnavailable

    database = api.stage.broker.database
    write = database.write
    database.write = fails  # type: ignore[assignment, method-assign]
    assert (await api.send(run, 1)).status == 503
    database.write = write  # type: ignore[method-assign]
    assert await api.stage.rows(rows) == []
    assert (await api.send(run, 1)).status == 200


@pytest.mark.parametrize(
    ("fixture", "broken"),
    [("migrated_sqlite", locked), ("migrated_postgres", read_only)],
    ids=["sqlite, locked", "postgresql, read-only"],
)
async def test_what_the_database_refuses_is_503_and_a_call_again_is_taken(
    request: pytest.FixtureRequest, clock: ManualClock, fixture: str, broken: Broken
) -> None:
    url = request.getfixturevalue(fixture)
    async with open_api(url, clock) as api:
        await api.stage.serve("released")
        run = await api.run()
        async with broken(api.stage, url):
            assert (await api.send(run, 1)).status == 503

        async def taken() -> bool:
            return (await api.send(run, 1)).status == 200

        await until(taken)
        assert len(await api.stage.rows(rows)) == 1


async def test_while_github_tells_no_keys_the_answer_is_503(local: Api) -> None:
    run = await local.run()
    local.stage.github.fail("GET", "/_services/token/*", status=502, times=10)
    said = await local.send(run, 1)
    assert (said.status, said.headers["Retry-After"]) == (503, "60")


async def test_an_announced_body_that_is_too_large_is_not_asked_for(local: Api) -> None:
    run = await local.run()
    head = f"POST {RECEIVE} HTTP/1.1\r\nHost: z\r\nAuthorization: Bearer {local.token(run)}\r\n"
    head += "Expect: 100-continue\r\nConnection: close\r\n"
    said = await talk(local.port, f"{head}Content-Length: 700000\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 413 ")
    said = await talk(local.port, f"{head}Content-Length: 2\r\n\r\n".encode(), b"{}")
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")


async def test_a_body_that_does_not_come_is_not_waited_for(
    migrated_sqlite: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zekt_bot.web.server.WebDeps", partial(WebDeps, limits=SHORT))
    async with open_api(migrated_sqlite, clock) as api:
        run = await api.run()
        head = f"POST {RECEIVE} HTTP/1.1\r\nHost: z\r\nContent-Length: 100\r\nConnection: close"
        head += f"\r\nAuthorization: Bearer {api.token(run)}\r\n\r\n"
        assert b" 408 " in await talk(api.port, head.encode(), b'{"a')


async def test_a_database_that_is_too_slow_is_as_good_as_away(
    migrated_sqlite: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = replace(SHORT, store=timedelta(seconds=0.2))
    monkeypatch.setattr("zekt_bot.web.server.WebDeps", partial(WebDeps, limits=soon))
    async with open_api(migrated_sqlite, clock) as api:
        await api.stage.serve("released")
        run = await api.run()
        file = urlsplit(migrated_sqlite).path
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            said = await api.send(run, RELEASED)
            assert (said.status, said.headers["Retry-After"]) == (503, "5")


async def test_an_encoded_body_is_refused(local: Api) -> None:
    run = await local.run()
    named = {"Content-Encoding": "gzip"}
    assert (await local.call(RECEIVE, b"x", token=local.token(run), headers=named)).status == 415


async def test_what_is_no_more_and_what_is_not_yet(local: Api) -> None:
    gone = await local.call("/api/zekt/register-run", {"zekt_run_id": 1})
    assert (gone.status, "version 3" in gone.body["error"]) == (410, True)
    assert (await local.call("/api/orchestration/submit", {})).status == 501
    status = await local.call("/api/orchestration/exec-1/status", method="GET")
    assert status.status == 501
    assert (await local.call("/api/nothing", {})).status == 404
    assert (await local.call(RECEIVE, method="GET")).status == 405


async def test_no_token_and_no_payload_is_logged(local: Api) -> None:
    await local.stage.publish("released")
    run = await local.run()
    good, forged = local.token(run), local.token(run, run_id="1", aud="secret-audience")
    with capture_logs() as lines:
        await local.send(run, "a secret payload", token=good)
        await local.send(run, "a secret payload", token=forged)
        await local.call(RECEIVE, b'{"payload": "a secret', token=good)
    told = repr(lines)
    assert [line["status"] for line in lines if line["event"] == "api.answered"] == [200, 401, 400]
    assert local.stage.broker.vitals.figures.api == {"200": 1, "401": 1, "400": 1}
    for secret in ("a secret", good, forged, "secret-audience"):
        assert secret not in told
