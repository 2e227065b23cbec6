"""Events, deliveries, messages and the audit of one run, as the terminal shows them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.server import environ_of
from tests.cli.command import KEY, zekt
from tests.pipeline.missing import HOUR, flow, lose, recover
from tests.pipeline.test_proof import NAMED, again, react
from tests.stage import RELEASE, Stage, open_stage
from zekt_bot.cli.output import moment
from zekt_bot.errors import AccessDenied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = b'{"version": "1.4.0", "by": "\xc2\x9b31m"}'


@pytest.fixture
async def environ(migrated_sqlite: str) -> AsyncIterator[dict[str, str]]:
    """A server's settings, after one run with a message was delivered."""
    async with open_stage(migrated_sqlite, secret_keys=(KEY,)) as stage:
        await deliver_one(stage)
        yield environ_of(migrated_sqlite, stage.github, stage.app) | {"ZEKT_SECRET_KEY": KEY}


async def deliver_one(stage: Stage) -> None:
    """A run with a job and a message, on its whole way."""
    await stage.serve("released")
    run = await stage.github.start_run(stage.provider, RELEASE)
    await run.start_job("build")
    await stage.listen()
    await stage.post(run, BODY)
    await run.complete("success")
    await stage.flow()


async def test_what_came_of_a_run_is_found_from_every_noun(environ: dict[str, str]) -> None:
    async def does(*words: str) -> str:
        ended = await zekt(*words, **environ)
        assert ended.code == 0, ended.err
        return ended.out

    (message,) = json.loads(await does("messages", "list", "--json"))
    assert message["id"] in await does("messages", "list", "--event-type", "released")
    shown = await does("messages", "show", message["id"])
    assert (message["sha256"] in shown, "1.4.0" in shown) == (True, False)
    assert "1 delivery" in shown
    assert "dispatched" in shown
    assert "kestrel-bank/core-sync" in shown
    assert (await does("messages", "show", message["id"], "--body")).encode() == BODY + b"\n"
    as_json = await does("messages", "show", message["id"], "--body", "--json")
    assert json.loads(as_json)["body"].encode() == BODY
    assert "\x9b" not in as_json

    event = await does("events", "show", message["envelope_id"])
    for part in ("build", "released", "kestrel-bank/core-sync", message["id"]):
        assert part in event
    delivery = json.loads(
        await does("deliveries", "list", "--json", "--service", "aurora-labs/release")
    )[0]
    told = await does("deliveries", "show", delivery["id"])
    assert "✓ dispatched" in told
    assert "GitHub took it; no workflow reacted." in told

    entries = json.loads(await does("audit", "list", "--verb", "*:delivery:*", "--json"))
    assert [entry["delivery_id"] for entry in entries] == [delivery["id"]] * 2
    assert "zekt:delivery:dispatched" in await does("audit", "list", "--from", "2020-01-01")
    entry = await does("audit", "show", entries[0]["id"])
    assert [line.split() for line in entry.splitlines()][-1] == ["intact", "yes"]


async def test_what_came_late_is_shown_with_why_it_was_not_sent(migrated_url: str) -> None:
    async with open_stage(migrated_url, recover_max_age=HOUR, secret_keys=(KEY,)) as stage:
        before = await stage.finish_run("build")
        stage.clock.advance(HOUR)
        await stage.serve()
        old = await stage.finish_run("build")
        stage.clock.advance(HOUR)
        late = await stage.finish_run("build")
        await lose(stage)
        assert await recover(stage) > 0
        found_at = moment(stage.clock.now())
        await flow(stage)
        heard = await stage.finish_run("build")
        await stage.listen()
        await flow(stage)
        environ = environ_of(migrated_url, stage.github, stage.app) | {"ZEKT_SECRET_KEY": KEY}
        assert len(stage.github.dispatches) == 2

        listed = json.loads((await zekt("events", "list", "--json", **environ)).out)
        events = {row["run_id"]: row for row in listed}
        told = (await zekt("events", "list", **environ)).out
        blocked = json.loads((await zekt("events", "list", "--blocked", "--json", **environ)).out)
        assert {row["run_id"] for row in blocked} == {before.id, old.id}
        for run, state, reason in (
            (before, "blocked", "enabled_later"),
            (old, "blocked", "too_old"),
            (late, "done", None),
            (heard, "done", None),
        ):
            event = events[run.id]
            assert event["blocked_reason"] == reason
            shown = (await zekt("events", "show", event["id"], **environ)).out
            facts = [" ".join(line.split()) for line in shown.splitlines()]
            assert f"state {state}" in facts
            assert reason is None or (f"reason {reason}" in facts and reason in told)
            assert (f"read from GitHub {found_at}" in facts) is (run is not heard)
            assert ("kestrel-bank/core-sync" in shown) is (reason is None)


@pytest.mark.parametrize(
    ("run_name", "said", "known"),
    [(NAMED, "run #1.1", "its name proves it"), (None, "probably run #1.1", "probably its own")],
)
async def test_a_timeline_tells_how_sure_the_consumers_run_is(
    migrated_sqlite: str, run_name: str | None, said: str, known: str
) -> None:
    async with open_stage(migrated_sqlite, secret_keys=(KEY,)) as stage:
        react(stage, ".github/workflows/react.yml", run_name)
        await stage.serve("*")
        await again(stage)
        await stage.listen()
        environ = environ_of(migrated_sqlite, stage.github, stage.app) | {"ZEKT_SECRET_KEY": KEY}
        (delivery,) = json.loads((await zekt("deliveries", "list", "--json", **environ)).out)
        shown = await zekt("deliveries", "show", delivery["id"], **environ)
    assert f" s  {said}  began ({known}) " in re.sub(r" {2,}", "  ", shown.out)


async def test_a_full_page_says_how_to_go_on(environ: dict[str, str]) -> None:
    ended = await zekt("audit", "list", "--limit", "2", **environ)
    assert ended.code == 0
    last = json.loads((await zekt("audit", "list", "--limit", "2", "--json", **environ)).out)[-1]
    assert ended.err == f"\nThe next page: add `--before {last['id']}`.\n"
    after = await zekt("audit", "list", "--limit", "1", "--before", last["id"], **environ)
    assert last["id"] not in after.out


async def test_what_was_not_taken_is_listed_with_its_reason(migrated_sqlite: str) -> None:
    async with open_stage(migrated_sqlite, secret_keys=(KEY,)) as stage:
        await stage.publish("released")
        run = await stage.github.start_run(stage.provider, "other.yml")
        with pytest.raises(AccessDenied):
            await stage.post(run, BODY)
        environ = environ_of(migrated_sqlite, stage.github, stage.app) | {"ZEKT_SECRET_KEY": KEY}
    ended = await zekt("messages", "refused", "--repository", "aurora-labs/payments-api", **environ)
    assert ended.code == 0, ended.err
    assert "not_allowed" in ended.out
    assert ".github/workflows/other.yml" in ended.out
    (row,) = json.loads((await zekt("messages", "refused", "--json", **environ)).out)
    assert (row["run_id"], row["times"], row["size"]) == (run.id, 1, len(BODY))
    again = await zekt("messages", "refused", "--before", row["id"], **environ)
    assert (again.out, again.err.strip()) == ("", "No refused messages fit.")
