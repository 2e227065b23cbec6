"""A message that was too large to be sent, and who may fetch it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests import shielding
from tests.stage import ME, SERVICE
from zekt_bot import hookimpl
from zekt_bot.db.tables import audit, deliveries
from zekt_bot.operations import replay, retention, subscriptions
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.plugins.registry import Plugin
from zekt_bot.shield import open_envelope

if TYPE_CHECKING:
    from tests.web.api.calling import Api
    from zekt_bot.testing import WorkflowRun

LARGE = b'[ "' + b"x" * 100_000 + b'", 1.50 ]'


@dataclass
class Sent:
    """A large message that went to the consumer, and a run of the consumer."""

    api: Api
    run: WorkflowRun
    reference: dict[str, Any]

    @property
    def path(self) -> str:
        url: str = self.reference["url"]
        return url.removeprefix("http://localhost:8080")

    async def fetch(self, run: WorkflowRun | None = None, path: str | None = None) -> Any:
        token = self.api.token(run or self.run)
        headers = {"Authorization": f"Bearer {token}"}
        async with self.api.session.get(path or self.path, headers=headers) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.read()


async def sent(api: Api, body: bytes = LARGE) -> Sent:
    """A large message on its way."""
    await api.stage.serve("released")
    run = await api.stage.finish_run("build")
    await api.stage.post(run, body)
    await api.stage.flow()
    told = api.stage.github.dispatches[-1].client_payload["zekt"]
    reacting = await api.stage.github.start_run(api.stage.consumer, "react.yml")
    return Sent(api, reacting, told.get("payloadRef") or {})


async def test_its_bytes_are_those_that_the_consumer_was_told(api: Api) -> None:
    one = await sent(api)
    status, body = await one.fetch()
    assert (status, body) == (200, LARGE)
    assert one.reference["bytes"] == len(body)
    assert one.reference["sha256"] == hashlib.sha256(body).hexdigest()
    (entry,) = [e for e in await api.stage.rows(audit) if e["verb"] == "run:message:fetched"]
    assert entry["actor"] == f"run:{api.stage.consumer.id}"
    assert entry["delivery_id"]


async def test_it_is_nobody_elses(local: Api) -> None:
    one = await sent(local)
    provider = await local.run()
    stranger = local.stage.github.repository(local.stage.github.account("mallory"), "x")
    other = await local.stage.github.start_run(stranger, "x.yml")
    for run in (provider, other):
        assert (await one.fetch(run))[0] == 404
    for path in ("/api/messages/msg_" + "0" * 26, "/api/messages/1", "/api/messages/%00"):
        assert (await one.fetch(path=path))[0] == 404
    assert (await local.call(one.path, method="GET")).status == 401


async def test_a_revocation_acts_here_too(api: Api) -> None:
    one = await sent(api)
    ends = Ends(SERVICE, api.stage.consumer.full_name)
    await subscriptions.end(api.stage.broker, ME, "revoke", ends)
    status, body = await one.fetch()
    assert (status, b"not_approved" in body) == (403, True)


async def test_what_was_blocked_is_fetched_by_nobody_though_consent_is_back(api: Api) -> None:
    stage, ends = api.stage, Ends(SERVICE, api.stage.consumer.full_name)
    await stage.serve("released")
    run = await stage.finish_run("build")
    made = await stage.post(run, LARGE)
    await stage.prepare()
    await subscriptions.end(stage.broker, ME, "revoke", ends)
    await stage.deliver()
    await stage.subscribe()
    assert [row["state"] for row in await stage.rows(deliveries)] == ["blocked"]
    reacting = await stage.github.start_run(stage.consumer, "react.yml")
    path = f"/api/messages/{made.message_id}"
    assert (await Sent(api, reacting, {}).fetch(path=path))[0] == 404
    await replay.replay(stage.broker, ME, (await stage.row(deliveries))["id"])
    await stage.deliver()
    assert await Sent(api, reacting, {}).fetch(path=path) == (200, LARGE)


async def test_what_age_deleted_is_gone(local: Api) -> None:
    one = await sent(local)
    local.stage.clock.advance(timedelta(days=91))
    await retention.purge(local.stage.broker, lambda: False)
    status, body = await one.fetch()
    assert (status, b"ZEKT_PAYLOAD_DAYS" in body) == (410, True)


class Shortens:
    @hookimpl
    def zekt_transform(self) -> bytes:
        return b'"short"'


@pytest.mark.parametrize("body", [b'"a secret for others"', LARGE])
async def test_what_a_plugin_changes_on_the_way_is_not_had_unchanged(
    local: Api, body: bytes
) -> None:
    one = await sent(local, body)
    local.stage.broker.plugins.registry.register(Shortens(), Plugin("short", origin="built-in"))
    (row,) = [e for e in await local.stage.rows(audit) if e["verb"] == "run:message:stored"]
    message = row["details"].split('"message":"')[1][:30]
    assert (await one.fetch(path=f"/api/messages/{message}"))[0] == 404


async def test_of_an_encrypted_message_each_fetches_its_own(local: Api) -> None:
    held = await local.stage.serve("released")
    run = await local.stage.finish_run("build")
    keys = {held.id: shielding.private_key(0), "sub_of_another": shielding.private_key(1)}
    await local.stage.post(run, shielding.of_version_2(LARGE, keys))
    await local.stage.flow()
    reference = local.stage.github.dispatches[-1].client_payload["zekt"]["payloadRef"]
    reacting = await local.stage.github.start_run(local.stage.consumer, "react.yml")
    _, body = await Sent(local, reacting, reference).fetch()
    assert hashlib.sha256(body).hexdigest() == reference["sha256"]
    assert [each["consumerId"] for each in json.loads(body)["recipients"]] == [held.id]
    assert open_envelope(body, shielding.private_pem(keys[held.id])) == LARGE
