"""Delivering: policy again, one POST, and what became of it on record."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import delete, update

from tests.db.rows import lane
from tests.pipeline.sending import DISPATCHES, PACED, execute, matched, posts, tokens, verbs
from tests.stage import open_stage
from zekt_bot.db import mirror
from zekt_bot.db.tables import (
    allowed_workflows,
    attempts,
    deliveries,
    repositories,
    services,
    subscriptions,
)
from zekt_bot.domain.deliveries import Outcome
from zekt_bot.errors import DecryptionFailed
from zekt_bot.pipeline.deliver import deliver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Executable

    from tests.stage import Stage

MINUTE = timedelta(minutes=1)


async def test_what_github_took_is_dispatched_and_on_record(stage: Stage) -> None:
    await matched(stage, b'{ "amount": 1.10 }')
    (outcome,) = await stage.deliver()
    assert outcome is not None
    assert (outcome.kind, outcome.status) == ("dispatched", 204)
    row, attempt, (sent,) = await stage.row(deliveries), await stage.row(attempts), posts(stage)
    assert b'"payload":{ "amount": 1.10 },' in sent
    assert orjson.loads(sent)["client_payload"]["zekt"]["deliveryId"] == row["id"]
    values = {"state": "dispatched", "attempts": 1, "due_at": None, "lease": None, "reason": None}
    assert {name: row[name] for name in values} == values
    assert row["dispatched_at"] == stage.clock.now()
    assert (attempt["n"], attempt["status"], attempt["error"]) == (1, 204, None)
    assert (attempt["sha256"], attempt["length"]) == (hashlib.sha256(sent).hexdigest(), len(sent))
    assert attempt["request_id"]
    assert sum(stage.broker.vitals.figures.limit_left.counts) > 0
    assert await verbs(stage) == ["zekt:delivery:created", "zekt:delivery:dispatched"]
    assert await tokens(stage) == PACED.burst - 1
    assert await stage.works() == []


def _revoke() -> Executable:
    return update(subscriptions).values(state="revoked", version=subscriptions.c.version + 1)


def _archive() -> Executable:
    consumer = repositories.c.provider_enabled_at.is_(None)
    return update(repositories).where(consumer).values(archived=True)


@pytest.mark.parametrize(
    ("withdrawn", "reason"),
    [
        (_revoke, "not_approved"),
        (_archive, "no_access"),
        (lambda: update(services).values(published_at=None), "not_approved"),
        (lambda: update(repositories).values(consumer_enabled_at=None), "not_approved"),
        (lambda: delete(allowed_workflows), "not_allowed"),
    ],
)
async def test_what_was_withdrawn_after_the_match_is_not_sent(
    stage: Stage, withdrawn: Callable[[], Executable], reason: str
) -> None:
    await matched(stage)
    await execute(stage, withdrawn())
    await execute(stage, update(repositories).values(version=repositories.c.version + 1))
    await blocked(stage, reason)


@pytest.mark.parametrize("of", ["providing", "consuming"])
async def test_nothing_is_sent_from_or_to_a_suspended_installation(stage: Stage, of: str) -> None:
    await matched(stage)
    await stage.github.suspend(getattr(stage, of))
    await stage.take()
    await stage.route()
    await blocked(stage, "consent")


async def blocked(stage: Stage, reason: str) -> None:
    """Deliver: nothing is posted, no token of the pace is spent, and it is over."""
    assert await stage.deliver() == [None]
    assert posts(stage) == []
    row = await stage.row(deliveries)
    assert (row["state"], row["blocked_reason"], row["due_at"]) == ("blocked", reason, None)
    assert (row["attempts"], row["lease"]) == (0, None)
    assert await stage.rows(attempts) == []
    assert stage.broker.vitals.figures.attempts == {}
    assert await verbs(stage) == ["zekt:delivery:created", "zekt:delivery:blocked"]
    assert await tokens(stage) == PACED.burst


async def test_policy_is_asked_before_every_post_not_only_the_first(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    await execute(stage, _revoke())
    stage.clock.advance(MINUTE)
    assert await stage.deliver() == [None]
    assert (await stage.row(deliveries))["state"] == "blocked"
    assert len(posts(stage)) == 1


async def test_githubs_bad_day_is_tried_again_by_the_schedule(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    row, attempt = await stage.row(deliveries), await stage.row(attempts)
    assert (row["state"], row["reason"], row["attempts"]) == ("retrying", "github_502", 1)
    wait = (row["due_at"] - stage.clock.now()).total_seconds()
    assert 4 <= wait <= 6
    sealed = ("attempts", "error", f"{row['id']}:1")
    assert b"502" not in attempt["error"]
    assert b"502" in stage.broker.database.keyring.open(sealed, attempt["error"])
    stage.clock.advance(timedelta(seconds=6))
    await stage.deliver()
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"], row["attempts"]) == ("dispatched", None, 2)
    assert [one["n"] for one in await stage.rows(attempts)] == [1, 2]
    one, two = posts(stage)
    assert one == two


async def test_a_limit_closes_the_lane_until_github_says(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=429, headers={"Retry-After": "90"})
    await stage.deliver()
    until = stage.clock.now() + timedelta(seconds=90)
    row = await stage.row(deliveries)
    assert (row["state"], row["due_at"]) == ("retrying", until)
    found = await lane(stage.broker.database, f"github:{stage.consuming.id}")
    assert (found["open_at"], found["next_ready_at"]) == (until, until)


async def test_a_busy_github_says_when_to_come_back(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=503, headers={"Retry-After": "600"})
    await stage.deliver()
    row = await stage.row(deliveries)
    assert (row["state"], row["due_at"]) == ("retrying", stage.clock.now() + 10 * MINUTE)
    found = await lane(stage.broker.database, f"github:{stage.consuming.id}")
    assert found["open_at"] is None


async def test_when_the_limit_is_used_up_the_lane_waits_for_the_reset(stage: Stage) -> None:
    await matched(stage)
    reset = stage.clock.now() + 5 * MINUTE
    used = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(reset.timestamp()))}
    stage.github.fail("POST", DISPATCHES, status=204, headers=used)
    await stage.deliver()
    assert (await stage.row(deliveries))["state"] == "dispatched"
    found = await lane(stage.broker.database, f"github:{stage.consuming.id}")
    assert found["open_at"] == reset


async def test_what_github_refuses_for_good_is_dead(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=422)
    await stage.deliver()
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"], row["due_at"]) == ("dead", "github_422", None)
    assert (await verbs(stage))[-1] == "zekt:delivery:dead"


async def test_a_repository_that_was_taken_away_unheard_is_blocked(stage: Stage) -> None:
    await matched(stage)
    other = stage.github.repository(stage.consumer.owner, "other")
    await stage.github.remove_repositories(stage.consuming, stage.consumer)
    await stage.github.add_repositories(stage.consuming, other)
    await stage.deliver()
    row = await stage.row(deliveries)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "no_access")
    assert row["reason"] == "repository_not_granted"
    known = await stage.broker.database.query(mirror.repositories_by_id, [stage.consumer.id])
    assert not known[stage.consumer.id].consented  # so what else waits for it need not try


async def test_while_github_does_not_say_how_it_stands_the_block_alone_is_known(
    stage: Stage,
) -> None:
    await matched(stage)
    await stage.github.uninstall(stage.consuming)
    stage.github.fail("GET", f"/app/installations/{stage.consuming.id}", status=502, times=9)
    await stage.deliver()
    row = await stage.row(deliveries)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "no_access")
    known = await stage.broker.database.query(mirror.repositories_by_id, [stage.consumer.id])
    assert known[stage.consumer.id].consented


async def test_a_new_name_is_followed_and_learned(stage: Stage) -> None:
    await matched(stage)
    await stage.github.rename(stage.consumer, "core-sync-2")
    await stage.deliver()
    assert (await stage.row(deliveries))["state"] == "dispatched"
    known = await stage.broker.database.query(mirror.repositories_by_id, [stage.consumer.id])
    assert known[stage.consumer.id].full_name == "kestrel-bank/core-sync-2"


async def test_after_a_new_installation_its_own_lane_paces_what_is_left(stage: Stage) -> None:
    await matched(stage)
    before = (await stage.row(deliveries))["lane"]
    await stage.github.uninstall(stage.consuming)
    stage.held.clear()  # at this very moment: what was made before would be blocked
    installed = await stage.github.install(stage.app, stage.consumer.owner)
    await stage.listen()
    assert await stage.deliver() == [None]
    row = await stage.row(deliveries)
    assert (before, row["lane"]) == (f"github:{stage.consuming.id}", f"github:{installed.id}")
    assert (row["state"], row["attempts"], row["lease"]) == ("pending", 0, None)
    assert await tokens(stage) == PACED.burst
    (outcome,) = await stage.deliver()
    assert outcome is not None
    assert outcome.kind == "dispatched"
    new = await lane(stage.broker.database, f"github:{installed.id}")
    assert new["tokens"] < stage.broker.settings.lane_burst


async def test_an_error_opens_with_its_own_attempt_alone(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=502, times=2)
    for _ in range(2):
        await stage.deliver()
        stage.clock.advance(MINUTE)
    first, second = await stage.rows(attempts)
    keyring = stage.broker.database.keyring
    for n, error in ((1, first["error"]), (2, second["error"])):
        assert keyring.open(("attempts", "error", f"{first['delivery']}:{n}"), error)
        with pytest.raises(DecryptionFailed):
            keyring.open(("attempts", "error", f"{first['delivery']}:{3 - n}"), error)


async def test_while_the_app_is_refused_a_delivery_waits_for_it(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", "/app/installations/*/access_tokens", status=401, times=9)
    (outcome,) = await stage.deliver()
    assert outcome is not None
    assert outcome.kind == "app_paused"
    row = await stage.row(deliveries)
    assert (row["state"], row["waits_for"]) == ("pending", "app")
    assert row["due_at"] == stage.clock.now() + MINUTE
    assert posts(stage) == []
    assert await tokens(stage) == PACED.burst
    assert (await stage.row(attempts))["outcome"] == "app_paused"


async def test_silence_ends_before_the_lease_does(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, hang=True)
    (work,) = await stage.works()
    outcome = await deliver(stage.broker, work, stage.clock.now() + timedelta(seconds=0.3))
    assert outcome == Outcome("retry", error="The channel took too long.")
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"]) == ("retrying", "no_answer")


async def test_a_channel_that_nobody_offers_is_a_retry(stage: Stage) -> None:
    await matched(stage)
    await execute(stage, update(deliveries).values(channel="pigeon"))
    assert await stage.deliver() == [Outcome("retry", error="No plugin offers the channel pigeon.")]
    assert (await stage.row(deliveries))["state"] == "retrying"


async def test_a_delivery_whose_service_is_gone_is_never_sent(
    migrated_url: str, tmp_path: Path
) -> None:
    (tmp_path / "lenient.py").write_text(
        "from zekt_bot import hookimpl\n\n\n@hookimpl\ndef zekt_block_reason():\n    return None\n"
    )
    options: dict[str, Any] = {"plugins_dir": tmp_path, "disabled_plugins": ("auth",)}
    async with open_stage(migrated_url, **options) as stage:
        await matched(stage)
        await execute(stage, update(deliveries).values(service_id=None))
        assert await stage.deliver() == [None]
        assert (await stage.row(deliveries))["reason"] == "plugin_failed"
        assert posts(stage) == []
