"""`POST /api/shield/keys`: whose keys a run is told, and who is told none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests import shielding
from tests.stage import ME, SERVICE
from zekt_bot.operations import services, shield_keys
from zekt_bot.shield import open_envelope

if TYPE_CHECKING:
    from tests.web.api.calling import Api

KEYS = "/api/shield/keys"
CLEAR = b'{"version": "1.4.0"}'
SHARED = "api://zekt"


async def test_what_a_provider_encrypts_for_the_keys_it_is_told_its_consumer_opens(
    local: Api,
) -> None:
    await local.stage.serve("released")
    pem = shielding.public_pem(shielding.private_key())
    await shield_keys.add(local.stage.broker, ME, local.stage.consumer.full_name, pem)
    await services.edit(local.stage.broker, ME, SERVICE, {"shield": True})
    run = await local.run()
    # As existing clients call it: their audience, and no X-GitHub-Repository.
    asked = {"repository": run.repository.full_name.upper()}
    said = await local.call(KEYS, asked, token=local.token(run, SHARED))
    assert said.status == 200
    ((consumer, told),) = [each.values() for each in said.body["keys"]]
    assert told == pem
    refused = await local.send(run, {"in": "clear"})
    assert (refused.status, "not_encrypted" in refused.body["error"]) == (422, True)
    envelope = shielding.of_version_2(CLEAR, {consumer: shielding.private_key()})
    stored = await local.send(run, shielding.parsed(envelope))
    assert (stored.status, stored.body["consumersNotified"]) == (200, 1)
    await run.complete("success")
    await local.stage.flow()
    (dispatch,) = local.stage.github.dispatches
    sent = shielding.written(dispatch.client_payload["zekt"]["payload"])
    assert open_envelope(sent, shielding.private_pem(shielding.private_key())) == CLEAR


async def test_who_is_told_no_keys(local: Api) -> None:
    run = await local.run()
    asked: dict[str, Any] = {"repository": run.repository.full_name}
    unknown = await local.call(KEYS, asked, token=local.token(run))
    assert (unknown.status, "zekt repositories enable" in unknown.body["error"]) == (404, True)
    await local.stage.serve("released")
    none = await local.call(KEYS, asked, token=local.token(run))
    assert (none.status, none.body) == (200, {"keys": []})
    other = await local.call(KEYS, {"repository": "a/b"}, token=local.token(run))
    assert other.status == 403
    assert (await local.call(KEYS, {}, token=local.token(run))).status == 400
    assert (await local.call(KEYS, asked)).status == 401
