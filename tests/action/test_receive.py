"""`mode: receive`: what a consumer's step does, and what becomes of the delivery."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import shielding
from tests.action.running import Fault
from tests.stage import ME
from zekt_bot.db.tables import deliveries
from zekt_bot.domain.run_tokens import SHARED_AUDIENCE
from zekt_bot.operations import replay, retention

if TYPE_CHECKING:
    from tests.action.running import Ended, Runner, Scene

SMALL = b'{"n":12345678901234567890,"r":1.50,"s":"\\u00e9 %0A ${{ x }}","deep":[1e3,-0]}'
LARGE = b'[ "' + b"x" * 100_000 + b'", 1.50 ]'
MINE = shielding.private_key(0)


@dataclass
class Arrived:
    """A delivery, and a job of a run that it started."""

    scene: Scene
    event: dict[str, Any]
    job: Runner

    @property
    def wire(self) -> dict[str, Any]:
        """What Zekt sent."""
        found: dict[str, Any] = self.event["client_payload"]["zekt"]
        return found

    async def receive(self, *, told: bytes | None = None, **inputs: Any) -> Ended:
        """The main step; `told` is the event's file byte for byte."""
        Path(self.job.environment["GITHUB_EVENT_PATH"]).write_bytes(
            told if told is not None else json.dumps(self.event).encode()
        )
        return await self.job.step(mode="receive", **inputs)

    async def after(self, ended: Ended, status: str = "success") -> Ended:
        """The post step of a job that ended so."""
        return await self.job.step(ended.state, mode="receive", job_status=status)

    async def state(self) -> str:
        """The delivery's."""
        rows = await self.scene.api.stage.rows(deliveries)
        return str({row["id"]: row["state"] for row in rows}[self.wire["deliveryId"]])


async def arrive(scene: Scene, body: bytes | None = SMALL, *, shield: bool = False) -> Arrived:
    """A message on its way; with `shield` it is encrypted for the consumer."""
    stage = scene.api.stage
    held = await stage.serve("*")
    run = await stage.finish_run("build")
    if body is not None:
        sealed = shielding.of_version_2(
            body, {"sub_of_another": shielding.private_key(1), held.id: MINE}
        )
        await stage.post(run, sealed if shield else body)
    await stage.flow()
    return await started(scene)


async def started(scene: Scene) -> Arrived:
    """The newest dispatch, and a run of it."""
    stage = scene.api.stage
    sent = stage.github.requests[-1]
    told = {"action": stage.github.dispatches[-1].event_type, **json.loads(sent.body)}
    run = await stage.github.start_run(stage.consumer, "react.yml", event="repository_dispatch")
    return Arrived(scene, told, scene.runner(run))


async def test_a_message_is_confirmed_handed_over_and_completed(scene: Scene) -> None:
    one = await arrive(scene)
    raw = next(
        each for each in reversed(scene.api.stage.github.requests) if b"client_payload" in each.body
    )
    scene.wire.faults.append(Fault(503, {}, {"error": "Away."}))
    ended = await one.receive(told=raw.body)
    assert ended.code == 0, ended.raw
    file = Path(ended.outputs["payload-file"])
    assert ended.outputs == {
        "payload": SMALL.decode().replace("\\u00e9", "é"),  # numbers stay as they are written
        "payload-file": str(file),
        "delivery-id": one.wire["deliveryId"],
        "correlation-id": one.wire["correlationId"],
        "event-id": one.wire["eventId"],
        "event-type": "released",
        "source-repo": scene.api.stage.provider.full_name,
        "is-replay": "false",
    }
    assert file.read_text("utf-8") == ended.outputs["payload"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert await one.state() == "confirmed"
    assert "1.50" not in ended.raw + ended.summary
    after = await one.after(ended)
    assert after.code == 0, after.raw
    assert await one.state() == "completed"
    assert not file.exists()


async def test_a_job_that_was_cancelled_fails_the_delivery(scene: Scene) -> None:
    one = await arrive(scene, None)
    one.wire["sourceRepo"] = None
    ended = await one.receive()
    assert (ended.outputs["payload"], ended.outputs["source-repo"]) == ("null", "")
    assert ended.outputs["event-type"] == "zekt-workflow-completed"
    await one.after(ended, "cancelled")
    assert await one.state() == "failed"


async def test_a_replay_says_so(scene: Scene) -> None:
    first = await arrive(scene)
    stage = scene.api.stage
    await replay.replay(stage.broker, ME, first.wire["deliveryId"])
    await stage.deliver()
    again = await (await started(scene)).receive()
    assert again.outputs["is-replay"] == "true"
    assert again.outputs["delivery-id"] != first.wire["deliveryId"]


async def test_a_large_message_is_fetched_and_must_be_the_one_that_was_named(scene: Scene) -> None:
    one = await arrive(scene, LARGE)
    ended = await one.receive()
    assert ended.code == 0, ended.raw
    assert Path(ended.outputs["payload-file"]).read_bytes() == LARGE
    assert ended.outputs["payload"] == ""
    assert "read the file that payload-file names" in ended.log
    reference = one.wire["payloadRef"]
    asked = len(scene.wire.requests)
    for changed in ({"sha256": "0" * 64}, {"bytes": 1}):
        one.wire["payloadRef"] = {**reference, **changed}
        assert "not the one that the event names" in (await one.receive()).error
    assert len(scene.wire.requests) == asked + 4
    # The token goes to no server that an event names, only to the one of the workflow.
    one.wire["payloadRef"] = {
        **reference,
        "url": reference["url"].replace("127.0.0.1", "127.0.0.2"),
    }
    url, audience = scene.wire.url, SHARED_AUDIENCE
    refused = (await one.receive(audience=audience)).error
    assert f"which is neither at {url} nor at {audience}: if that is your server's" in refused
    assert f"which is not at {url}: if that is your server's" in (await one.receive()).error
    assert "No token was sent there" in refused
    one.wire["payloadRef"] = reference
    scene.api.stage.clock.advance(timedelta(days=91))
    await retention.purge(scene.api.stage.broker, lambda: False)
    gone = await one.receive()
    assert gone.error.startswith("Zekt refuses this (410): ")
    await one.after(gone, "failure")
    assert await one.state() == "failed"


@pytest.mark.parametrize("body", [b'{"secret": "a secret of two"}', LARGE], ids=["small", "large"])
async def test_an_encrypted_message_opens_with_the_consumers_key(scene: Scene, body: bytes) -> None:
    one = await arrive(scene, body, shield=True)
    assert "give this step the private half" in (await one.receive()).error
    other = shielding.private_pem(shielding.private_key(1)).decode()
    assert "not encrypted for this private-key" in (await one.receive(private_key=other)).error
    pem = shielding.private_pem(MINE).decode()
    for key in (pem, pem.replace("\n", "\\n")):
        ended = await one.receive(private_key=key, shield="true")
        assert ended.code == 0, ended.raw
        assert Path(ended.outputs["payload-file"]).read_bytes() == body
        hidden = pem.splitlines()[1:-1]
        assert set(hidden) <= {*ended.masks, hidden[-1]}
        assert (body.decode() in ended.masks) == (body != LARGE)
        assert "secret" not in ended.log + ended.summary


async def test_what_cannot_be_opened_says_what_to_do(scene: Scene) -> None:
    one = await arrive(scene, shield=True)
    for key, said in [
        ("no key", "is no private key in PEM"),
        (shielding.private_pem(MINE, b"passphrase").decode(), "has a passphrase"),
        (shielding.private_pem(shielding.other_key()).decode(), "is not an RSA key"),
    ]:
        assert said in (await one.receive(private_key=key)).error
    one.wire["payload"] = json.loads(shielding.of_version_1(b"a word", {"sub_1": MINE}))
    old = await one.receive(private_key=shielding.private_pem(MINE).decode())
    assert old.error == "The message is not JSON: tell its provider."
    assert "a word" not in old.raw
    one.wire["payload"]["recipients"] = 1
    odd = await one.receive(private_key=shielding.private_pem(MINE).decode())
    assert "not encrypted for this private-key" in odd.error
    one.wire["payload"]["version"] = "3.0"
    assert 'encrypted in form "3.0"' in (await one.receive(private_key="any")).error


async def test_what_came_in_clear_is_not_taken_where_shield_is_wanted(scene: Scene) -> None:
    one = await arrive(scene)
    assert "The message is not encrypted" in (await one.receive(shield="true")).error


async def test_what_zekt_did_not_send_is_not_taken(scene: Scene) -> None:
    one = await arrive(scene)
    others: list[tuple[dict[str, Any], str]] = [
        ({"version": 2}, "The event has form 2, and this Action reads form 1"),
        ({"deliveryId": "../../x"}, "names no delivery of Zekt"),
        ({"deliveryId": "dlv_" + "0" * 26}, "Zekt refuses this (404): "),
    ]
    for changed, said in others:
        event = {"client_payload": {"zekt": {**one.wire, **changed}}}
        ended = await one.receive(told=json.dumps(event).encode())
        assert said in ended.error
        assert ended.state == {}
        assert (await one.after(ended)).raw == ""
    plain = await one.receive(told=b'{"action": "deploy", "client_payload": {"a": 1}}')
    assert "Zekt did not start this run, repository_dispatch did" in plain.error
    assert await one.state() == "dispatched"


async def test_a_jobs_end_that_cannot_be_told_fails_no_job(scene: Scene) -> None:
    one = await arrive(scene)
    ended = await one.receive()
    scene.wire.faults.append(Fault(503, {"Retry-After": "600"}, {"error": "Away."}))
    unknown = await one.after(ended, "")
    assert (unknown.code, "The job's end is not known here" in unknown.raw) == (0, True)
    after = await one.after(ended)
    assert after.code == 0
    assert "::warning title=Zekt::Zekt cannot be asked" in after.raw
    assert "Zekt hears from GitHub how the run ends" in after.raw
