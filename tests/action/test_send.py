"""`mode: send`: what a provider's step does, and what it says when it cannot."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any

from tests import shielding
from tests.action.running import Fault
from tests.stage import ME
from zekt_bot.db.tables import messages
from zekt_bot.operations import shield_keys
from zekt_bot.shield import open_envelope

if TYPE_CHECKING:
    from tests.action.running import Runner, Scene

ODD = '{ "b" : 1.50,\n"a": 12345678901234567890, "secret": "%0A::add-mask::x" }'


async def provider(scene: Scene) -> Runner:
    """A job of a run of the service."""
    await scene.api.stage.serve("released")
    return scene.runner(await scene.api.run())


async def stored(scene: Scene) -> list[bytes]:
    keyring = scene.api.stage.broker.database.keyring
    rows = await scene.api.stage.rows(messages)
    return [keyring.open(("messages", "body", row["id"]), row["body"]) for row in rows]


async def test_a_message_is_stored_byte_for_byte_and_its_outputs_tell_what_becomes_of_it(
    scene: Scene,
) -> None:
    job = await provider(scene)
    ended = await job.step(event_type="released", payload=f"\n{ODD}\n")
    assert ended.code == 0, ended.raw
    assert await stored(scene) == [ODD.encode()]
    (row,) = await scene.api.stage.rows(messages)
    outputs = dict(ended.outputs)
    assert outputs.pop("correlation-id").startswith("cor_")
    assert outputs == {
        "status": "success",
        "event-id": row["envelope_id"],
        "message-id": row["id"],
        "consumers-notified": "1",
        "redactions": "[]",
    }
    assert f"{row['envelope_id']}: Stored. It goes to 1 consumer" in ended.log
    assert f"<td>{row['envelope_id']}</td>" in ended.summary
    assert ended.state == {}
    secret = "npm" + "_" + "aB3" * 12
    warned = await job.step(event_type="released", payload=json.dumps({"a": secret}))
    assert json.loads(warned.outputs["redactions"]) == [{"path": "/a", "kind": "npm_token"}]
    assert f"::warning title=Zekt::{warned.outputs['event-id']}: Stored. " in warned.raw
    asked = len(scene.wire.requests)
    after = await job.step(ended.state, event_type="released")
    assert (after.code, after.raw, len(scene.wire.requests)) == (0, "", asked)
    # Neither the token nor the message is ever in a log.
    (token,) = ended.masks
    assert token.count(".") == 2
    assert token not in ended.log + ended.summary
    assert "1.50" not in ended.raw + ended.summary


async def test_a_file_is_a_message_too(scene: Scene) -> None:
    job = await provider(scene)
    file = job.folder / "big.json"
    body = json.dumps(["é" * 100_000], ensure_ascii=False).encode()
    file.write_bytes(codecs.BOM_UTF8 + body + b"\r\n")
    ended = await job.step(event_type="released", payload_file="big.json")
    assert ended.code == 0, ended.raw
    assert await stored(scene) == [body]
    assert "consumers fetch it" in ended.log
    nothing = await job.step(event_type="unheard")
    assert nothing.code == 0
    assert f"::notice title=Zekt::{nothing.outputs['event-id']}: " in nothing.raw
    assert b"{}" in await stored(scene)


async def test_a_message_for_a_closed_workflow_says_what_to_do(scene: Scene) -> None:
    await scene.api.stage.serve("released")
    job = scene.runner(await scene.api.run("other.yml"))
    ended = await job.step(event_type="released", payload="1")
    assert ended.error.startswith("Zekt refuses this (403): ")
    assert "other.yml" in ended.error
    assert ended.outputs == {"status": "failed"}


CANNOT: list[tuple[dict[str, Any], str]] = [
    ({"payload": "1"}, "The input event-type is missing"),
    ({"event_type": "x", "payload": '{"token": hunter2}'}, "The message is not JSON"),
    ({"event_type": "x", "payload": '{"a": 1,\n}'}, "look at line 2 column 1"),
    ({"event_type": "x", "payload": "1", "payload_file": "x"}, "not both"),
    ({"event_type": "x", "payload_file": "none.json"}, "payload-file cannot be read (ENOENT)"),
    ({"event_type": "x", "payload_file": "utf16.json"}, "payload-file is not UTF-8"),
    ({"event_type": "x", "payload_file": "large.json"}, "has 524290 bytes; at most 524288"),
    ({"event_type": "x", "shield": "yes"}, "shield is neither true nor false"),
    ({"mode": "sent"}, "mode is neither send nor receive"),
    ({"event_type": "x", "zekt_api_url": ""}, "zekt-api-url is missing"),
    ({"event_type": "x", "zekt_api_url": "http://zekt.example"}, "not an https address"),
    ({"event_type": "x", "zekt_api_url": "https://a:b@zekt.example"}, "not an https address"),
]


async def test_what_cannot_be_sent_is_told_before_a_token_is_asked_for(scene: Scene) -> None:
    job = scene.runner(await scene.api.run())
    (job.folder / "utf16.json").write_text("{}", encoding="utf-16")
    (job.folder / "large.json").write_text(f'"{"x" * 524_288}"')
    for inputs, said in CANNOT:
        ended = await job.step(**inputs)
        assert said in ended.error
        assert "hunter2" not in ended.raw
        assert ended.masks == []
    assert scene.wire.requests == []


async def test_without_the_permission_it_says_which(scene: Scene) -> None:
    job = await provider(scene)
    del job.environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    ended = await job.step(event_type="released")
    assert "`permissions: id-token: write`" in ended.error


async def test_what_passes_by_itself_is_tried_again_and_stored_once(scene: Scene) -> None:
    job = await provider(scene)
    scene.wire.faults += [
        Fault(429, {"Retry-After": "1"}, {"error": "Too often: wait."}),
        Fault(after=True),
    ]
    scene.api.stage.github.fail("GET", "*/request/*", status=503)
    ended = await job.step(event_type="released", payload=ODD)
    assert ended.code == 0, ended.raw
    assert await stored(scene) == [ODD.encode()]
    tries = re.findall(r"Zekt: (.*)\. Trying again in (.*) s\.", ended.log)
    causes, waits = zip(*tries, strict=True)
    assert causes[0] == "it answers 429, Too often: wait"
    assert causes[1].startswith("it cannot be reached, ")
    assert len(causes) == 2
    assert float(waits[0]) >= 1
    assert "GitHub: it answers 503" in ended.log
    assert len(scene.wire.requests) == 3
    assert len(set(scene.wire.requests)) == 1


FINAL = [
    (Fault(429, {"Retry-After": "3600"}, {"error": "The day's quota."}), "The day's quota"),
    (Fault(429, {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, {"message": "Late"}), "Late"),
    (Fault(200, {}, "x" * (2**20 + 1)), "answers with more than Zekt ever would"),
    (Fault(302, {"Location": "https://evil.example/"}, ""), "the token is not sent"),
    (Fault(200, {}, "<html>"), "does not answer in JSON"),
    (Fault(404, {}, "<html>"), "is it a Zekt server?"),
    (Fault(400, {}, {"title": "x\n::add-mask::y ##[error]z"}), "x ::add-mask::y ## [error]z"),
]


async def test_what_does_not_pass_ends_at_once(scene: Scene) -> None:
    job = await provider(scene)
    for fault, said in FINAL:
        scene.wire.faults.append(fault)
        assert said in (await job.step(event_type="released")).error
    assert len(scene.wire.requests) == len(FINAL)


async def test_a_no_without_an_error_is_a_warning_and_fails_no_job(scene: Scene) -> None:
    job = await provider(scene)
    scene.wire.faults.append(Fault(200, {}, {"success": False, "message": "Not today."}))
    ended = await job.step(event_type="released")
    assert ended.code == 0, ended.raw
    assert "::warning title=Zekt::No event: Not today." in ended.raw
    assert ended.outputs == {
        "status": "failed",
        "event-id": "",
        "message-id": "",
        "correlation-id": "",
        "consumers-notified": "0",
        "redactions": "[]",
    }


async def test_a_token_is_for_this_server_unless_another_audience_is_named(scene: Scene) -> None:
    job = await provider(scene)
    wrong = await job.step(event_type="released", audience="https://other.example")
    assert f"another audience: ask GitHub for api://zekt or {scene.wire.url}" in wrong.error
    others: list[dict[str, Any]] = [
        {"audience": "api://zekt"},
        {"zekt_api_url": scene.wire.url + "/"},
    ]
    for inputs in others:
        assert (await job.step(event_type="released", **inputs)).code == 0


async def test_orchestrations_are_the_servers_to_refuse(scene: Scene) -> None:
    job = await provider(scene)
    ended = await job.step(orchestrate="true", payload='{"services": []}')
    assert ended.error.startswith("Zekt refuses this (501): ")


async def test_with_shield_only_its_consumers_read_it(scene: Scene) -> None:
    job = await provider(scene)
    nobody = await job.step(event_type="released", payload=ODD, shield="true")
    assert "nothing was sent" in nobody.error
    assert await stored(scene) == []
    weak = shielding.public_pem(shielding.private_key(3, 1024))
    for key, said in [(weak, "too weak"), ("no key", "cannot be read")]:
        told = {"keys": [{"consumerId": "x", "publicKey": key}]}
        scene.wire.faults.append(Fault(200, {}, told))
        assert said in (await job.step(event_type="released", shield="true")).error
    keys = [shielding.private_key(0), shielding.private_key(1)]
    name = scene.api.stage.consumer.full_name
    for each in keys:
        await shield_keys.add(scene.api.stage.broker, ME, name, shielding.public_pem(each))
    ended = await job.step(event_type="released", payload=ODD, shield="true")
    assert ended.code == 0, ended.raw
    (envelope,) = await stored(scene)
    for each in keys:
        assert open_envelope(envelope, shielding.private_pem(each)) == ODD.encode()
    assert "SHA-256" in ended.summary
    assert "::warning" not in ended.raw
    stage = scene.api.stage
    await stage.subscribe(stage.github.repository(stage.consumer.owner, "without-a-key"))
    warned = await job.step(event_type="released", payload=ODD, shield="true")
    assert f"::warning title=Zekt::{warned.outputs['event-id']}: Stored. It goes to 1" in warned.raw
    assert "It is not encrypted for 1 more. Consumers register a key with" in warned.raw
    assert warned.outputs["consumers-notified"] == "1"
