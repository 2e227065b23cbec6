"""The payload's JSON Schema against what the broker really sends, and against its page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from tests.docs.pages import DOCS, blocks, page, table
from tests.pipeline.sending import posts
from tests.stage import ME, RELEASE, Stage, open_stage
from zekt_bot.domain.catalog import Profile
from zekt_bot.domain.messages import MOST_BYTES
from zekt_bot.operations import repositories, services, workflows

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA: dict[str, Any] = orjson.loads((DOCS / "reference/payload.schema.json").read_bytes())
VALIDATOR = Draft202012Validator(SCHEMA)
A_MOMENT = timedelta(seconds=5)


def faults(zekt: Any) -> list[str]:
    return [f"{fault.json_path}: {fault.message}" for fault in VALIDATOR.iter_errors(zekt)]


def example() -> dict[str, Any]:
    (found,) = blocks(page("reference/payload.md"), "json")
    zekt: dict[str, Any] = orjson.loads(found)["client_payload"]["zekt"]
    return zekt


async def flow(stage: Stage) -> dict[str, Any]:
    """Run every step; the last `client_payload.zekt` that was posted."""
    await stage.flow()
    zekt: dict[str, Any] = orjson.loads(posts(stage)[-1])["client_payload"]["zekt"]
    return zekt


async def default_event(stage: Stage) -> dict[str, Any]:
    await stage.serve()
    await stage.finish_run("build", "test")
    return await flow(stage)


async def with_a_message(stage: Stage) -> dict[str, Any]:
    await stage.serve("*")
    await stage.post(await stage.finish_run("build"), b'{"version": "1.4.0"}')
    return await flow(stage)


async def with_a_late_message(stage: Stage) -> dict[str, Any]:
    await stage.serve("*")
    run = await stage.finish_run("build")
    await flow(stage)
    await stage.post(run, b"[1, null]")
    stage.clock.advance(A_MOMENT)
    zekt = await flow(stage)
    assert len(posts(stage)) == 2
    return zekt


async def with_a_large_message(stage: Stage) -> dict[str, Any]:
    await stage.serve("*")
    await stage.post(await stage.finish_run("build"), b'"%s"' % (b"x" * 100_000))
    zekt = await flow(stage)
    assert zekt["payloadRef"]["bytes"] == 100_002
    return zekt


async def of_a_hidden_source(stage: Stage) -> dict[str, Any]:
    broker, name = stage.broker, stage.provider.full_name
    hidden = Profile(title="Our releases", alias="the-makers", hidden_source=True)
    await repositories.enable(broker, ME, name)
    await workflows.allow(broker, ME, name, RELEASE)
    await services.publish(broker, ME, name, services.Publication(RELEASE, "release", hidden))
    await stage.subscribe()
    await stage.finish_run("build")
    zekt = await flow(stage)
    assert zekt["sourceRepo"] is None
    return zekt


@pytest.mark.parametrize(
    "sending",
    [default_event, with_a_message, with_a_late_message, with_a_large_message, of_a_hidden_source],
    ids=lambda sending: str(sending.__name__),
)
async def test_what_is_sent_fits_the_schema(
    sending: Callable[[Stage], Any], migrated_sqlite: str
) -> None:
    async with open_stage(migrated_sqlite) as stage:
        assert faults(await sending(stage)) == []


def test_the_schema_is_one_and_the_example_fits_it() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert faults(example()) == []


@pytest.mark.parametrize("name", SCHEMA["required"])
def test_nothing_may_be_missing(name: str) -> None:
    zekt = example()
    del zekt[name]
    assert any("is a required property" in fault for fault in faults(zekt))


def test_a_hidden_source_shows_nothing() -> None:
    found = faults(example() | {"sourceRepo": None})
    hidden = ("jobs", "workflow.path", "workflow.runId", "workflow.htmlUrl", "workflow.actor")
    for name in (*hidden, "workflow.headSha", "workflow.headBranch"):
        assert any(fault.startswith(f"$.{name}:") for fault in found), name


def test_a_message_is_sent_or_referred_to_but_not_both() -> None:
    reference = {"bytes": MOST_BYTES, "sha256": "0" * 64, "expiresAt": "2026-03-01T12:00:00Z"}
    assert faults(example() | {"payload": None, "payloadRef": reference})
    reference["url"] = "https://zekt.example/api/messages/msg_01kjmmgap8ravwnqh6m13q2gat"
    assert faults(example() | {"payloadRef": reference})
    assert not faults(example() | {"payload": None, "payloadRef": reference})


def described(schema: dict[str, Any], name: str = "zekt") -> dict[str, set[str]]:
    """Each field's dotted name and kinds, as the schema has them."""
    found: dict[str, set[str]] = {}
    for key, inner in schema.get("properties", {}).items():
        kinds = inner.get("type", "integer" if "const" in inner else "any")
        found[f"{name}.{key}"] = {kinds} if isinstance(kinds, str) else set(kinds)
        found |= described(inner, f"{name}.{key}")
    if "items" in schema:
        found[f"{name}[]"] = {schema["items"]["type"]}
        found |= described(schema["items"], f"{name}[]")
    return found


def test_the_page_lists_what_the_schema_has() -> None:
    told = {row[0]: set(row[1].split(" or ")) for row in table(page("reference/payload.md"))}

    assert told == described(SCHEMA)
