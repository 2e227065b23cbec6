"""`POST /api/shield/keys`: whose keys a run is told, and who is told none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests import shielding
from tests.pipeline.test_many_consumers import newcomer
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


@pytest.mark.parametrize("form", ["1.0", "1.0-hybrid", "unnumbered"])
async def test_what_each_existing_client_encrypts_reaches_each_consumer_as_its_own_alone(
    local: Api, form: str
) -> None:
    stage = local.stage
    held = [await stage.serve("released"), await stage.subscribe(await newcomer(stage, 1))]
    owners = [stage.consumer.full_name, "consumer-1/mirror"]
    own_keys = {one.id: shielding.private_key(number) for number, one in enumerate(held)}
    for name, key in zip(owners, own_keys.values(), strict=True):
        await shield_keys.add(stage.broker, ME, name, shielding.public_pem(key))
    await services.edit(stage.broker, ME, SERVICE, {"shield": True})
    run = await local.run()
    token = local.token(run, SHARED)
    told = await local.call(KEYS, {"repository": run.repository.full_name}, token=token)
    keys = {each["consumerId"]: each["publicKey"] for each in told.body["keys"]}
    assert keys == {name: shielding.public_pem(key) for name, key in own_keys.items()}
    whole = shielding.parsed(shielding.FORMS[form](CLEAR, own_keys))
    stored = await local.send(run, whole, token=token)
    assert (stored.status, stored.body["consumersNotified"]) == (200, 2)
    spoilt = await local.send(run, {**whole, "note": "in clear"}, token=token)
    assert (spoilt.status, "and no others" in spoilt.body["error"]) == (400, True)
    await run.complete("success")
    await stage.flow()
    sent = [each.client_payload["zekt"]["payload"] for each in stage.github.dispatches]
    assert len(sent) == 2
    for number, (name, key) in enumerate(own_keys.items()):
        parts: Any = whole["recipients"]
        own = {name: parts[name]} if isinstance(parts, dict) else [parts[number]]
        (envelope,) = [each for each in sent if each["recipients"] == own]
        assert envelope == {**whole, "recipients": own}
        assert open_envelope(shielding.written(envelope), shielding.private_pem(key)) == CLEAR


async def test_a_client_that_keeps_one_key_of_each_consumer_keeps_the_newest(local: Api) -> None:
    await local.stage.serve("released")
    for number in range(2):
        local.stage.clock.advance(timedelta(seconds=1))
        pem = shielding.public_pem(shielding.private_key(number))
        await shield_keys.add(local.stage.broker, ME, local.stage.consumer.full_name, pem)
    run = await local.run()
    told = await local.call(KEYS, {"repository": run.repository.full_name}, token=local.token(run))
    assert len(told.body["keys"]) == 2
    kept = {each["consumerId"]: each["publicKey"] for each in told.body["keys"]}
    assert list(kept.values()) == [shielding.public_pem(shielding.private_key(1))]


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
