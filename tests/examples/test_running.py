"""Each example workflow does what it says: run for real, against a real server."""

from __future__ import annotations

import re
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from tests.examples.world import MESSAGE_TYPE, WORKFLOWS, text_of, told, world
from tests.programs import needs
from tests.shielding import private_key, private_pem, public_pem
from tests.stage import ME
from zekt_bot.domain.events import DEFAULT_EVENT_TYPE
from zekt_bot.operations import shield_keys

if TYPE_CHECKING:
    from pathlib import Path

    from tests.examples.world import World
    from zekt_bot.testing import Dispatch, Repository

RUN_HERE = {
    *("provider-message", "provider-large", "provider-shield", "consumer-receive"),
    *("provider", "provider-curl", "consumer", "consumer-replay-safe", "consumer-durable"),
}


def test_each_example_is_run_here() -> None:
    assert {path.stem for path in WORKFLOWS.glob("*.yml")} == RUN_HERE


def received(dispatch: Dispatch, clear: bytes) -> str:
    """What `consumer-receive` says of a message."""
    delivery = dispatch.client_payload["zekt"]["deliveryId"]
    source = f"react: {delivery}: {len(clear)} bytes from aurora-labs/payments-api"
    summed = subprocess.run(["cksum"], input=clear, capture_output=True, check=True).stdout
    return f"{source}\nreact: {summed.decode()}"


async def test_the_full_circle(sqlite_url: str, tmp_path: Path) -> None:
    async with world(sqlite_url, tmp_path) as here:
        consumer = await here.consume("consumer-receive", await here.provide("provider-message"))
        sent = await here.run("provider-message")
        run = await here.ran(consumer)
        delivery = await here.delivery(consumer, "completed")
        (dispatch,) = here.stage.github.dispatches
        assert (dispatch.repository, dispatch.event_type) == (consumer, MESSAGE_TYPE)
        payload = dispatch.client_payload["zekt"]["payload"]
        assert payload == {"version": "2.4.1", "commit": sent.head_sha}
        assert received(dispatch, orjson.dumps(payload)) in told(run)

        shown = await here.stage.zekt.command("deliveries", "show", delivery)
        steps = re.findall(r"^[+-]\d+\.\d{3} s  ([a-z]+(?: [a-z]+)*)", shown, re.MULTILINE)
        way = ["message stored", "run completed", "run aggregated", "delivery created"]
        way += ["delivery dispatched", "delivery confirmed", "delivery completed"]
        assert [step for step in steps if step in way] == way, shown
        assert "it said so itself" in shown
        assert f"react: {delivery} is completed.\n" in told(run)  # by the post step


async def test_the_step_alone_confirms_what_a_durable_subscription_sends(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with world(sqlite_url, tmp_path) as here:
        service = await here.provide("provider-message")
        consumer = await here.consume("consumer-receive", service)
        path, text = ".github/workflows/consumer-receive.yml", text_of("consumer-receive")
        unnamed = re.sub(r"^run-name:.*\n", "", text, flags=re.MULTILINE)
        here.stage.github.write_file(consumer, path, unnamed)
        await here.stage.zekt.command("subscriptions", "durable", service, consumer.full_name)
        await here.run("provider-message")
        run = await here.ran(consumer)
        delivery = await here.delivery(consumer, "completed")
        assert run.display_title == MESSAGE_TYPE
        assert f"react: {delivery} is confirmed.\n" in told(run)
        shown = await here.stage.zekt.command("deliveries", "show", delivery)
        assert "it said so itself" in shown


async def test_what_is_large_or_encrypted_arrives(sqlite_url: str, tmp_path: Path) -> None:
    async with world(sqlite_url, tmp_path) as here:
        offered = [await here.provide(f"provider-{kind}") for kind in ("large", "shield")]
        consumer = await here.consume("consumer-receive", *offered)
        await by_address(here, consumer)
        await encrypted(here, consumer)


async def by_address(here: World, consumer: Repository) -> None:
    await here.run("provider-large")
    run = await here.ran(consumer)
    await here.delivery(consumer, "completed")
    dispatch = here.stage.github.dispatches[-1]
    sent = f"[{','.join(map(str, range(1, 80001)))}]".encode()
    zekt = dispatch.client_payload["zekt"]
    reference = zekt["payloadRef"]
    assert (zekt["payload"], reference["bytes"]) == (None, len(sent))
    assert reference["sha256"] == sha256(sent).hexdigest()
    assert received(dispatch, sent) in told(run)


async def encrypted(here: World, consumer: Repository) -> None:
    assert here.stage.zekt.broker is not None
    name, pem = consumer.full_name, public_pem(private_key())
    await shield_keys.add(here.stage.zekt.broker, ME, name, pem)
    sent = await here.run("provider-shield")
    run = await here.ran(consumer, 2, "failure")
    delivery = await here.delivery(consumer, "failed")
    assert "The message is encrypted: give this step the private half" in told(run)
    assert f"react: {delivery} is failed." in told(run)  # said by the post step

    consumer.secrets["ZEKT_SHIELD_KEY"] = private_pem(private_key()).decode()
    await here.stage.github.rerun(run)
    assert run.conclusion == "success", told(run)
    await here.delivery(consumer, "completed")
    dispatch = here.stage.github.dispatches[-1]
    assert dispatch.client_payload["zekt"]["payload"]["type"] == "zekt-shield-envelope"
    clear = f'{{"endpoint":"https://payments.example/{sent.id}"}}'
    assert received(dispatch, clear.encode()) in told(run)
    assert "payments.example" not in told(run)  # the log is the consumer's; others may read it


@needs("curl")
async def test_what_comes_twice_is_handled_once(sqlite_url: str, tmp_path: Path) -> None:
    async with world(sqlite_url, tmp_path) as here:
        plain = await here.provide("provider", DEFAULT_EVENT_TYPE)
        message = await here.provide("provider-curl")
        listener = await here.consume("consumer", plain)
        careful = await here.consume("consumer-replay-safe", plain)
        durable = await here.consume("consumer-durable", message)
        await here.stage.zekt.command("subscriptions", "durable", message, durable.full_name)

        sent = await here.run("provider")
        heard = f"Heard from aurora-labs/provider at {sent.head_sha}\n"
        assert heard in told(await here.ran(listener))
        assert heard in told(await here.ran(careful))
        for consumer in (listener, careful):
            await here.delivery(consumer, "completed")

        sent = await here.run("provider-curl")
        size = len(f'{{"commit":"{sent.head_sha}"}}')
        deploying = f"Deploying the {size} bytes of "
        run = await here.ran(durable)
        assert deploying + await here.delivery(durable, "completed") in told(run)

        for consumer, done in ((careful, heard), (durable, deploying)):
            await here.come_twice(consumer)
            assert done not in told(await here.ran(consumer, 2))
