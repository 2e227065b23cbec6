"""Matching never applies a decision to facts that have moved since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pipeline.between import interfere, suspending, writing
from tests.pipeline.test_match import blocked, done, enveloped
from zekt_bot.db import mirror
from zekt_bot.db import services as service_rows
from zekt_bot.db import subscriptions as subscription_rows
from zekt_bot.db.tables import deliveries, services
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.events import Envelope
from zekt_bot.errors import Conflict

if TYPE_CHECKING:
    from tests.stage import Stage


async def test_approval_between_read_and_write_is_seen(stage: Stage) -> None:
    await stage.publish()
    held = await stage.subscribe(approve=False)
    await enveloped(stage)
    approve = writing(lambda c: subscription_rows.change(c, held.id, state="approved"))
    interfere(stage, Delivery, approve)
    assert await stage.match() == {}
    assert [row["state"] for row in await stage.rows(deliveries)] == ["pending"]


@pytest.mark.parametrize("of", ["providing", "consuming"])
async def test_consent_withdrawn_between_read_and_write_is_seen(stage: Stage, of: str) -> None:
    await stage.serve()
    await enveloped(stage)
    interfere(stage, Delivery, suspending(getattr(stage, of).id))
    await blocked(stage, "consent")


async def test_a_service_changed_between_read_and_write_is_seen(stage: Stage) -> None:
    await stage.serve()
    await enveloped(stage)
    held = (await stage.row(services))["id"]
    narrow = writing(lambda c: service_rows.change(c, held, event_types='["released"]'))
    interfere(stage, Envelope, narrow)
    await done(stage, blocked_reason="event_type_not_declared")


async def test_facts_that_never_stand_still_fail_that_row(stage: Stage) -> None:
    await stage.serve()
    await enveloped(stage)
    move = writing(lambda c: mirror.touch(c, stage.consumer.id))
    interfere(stage, Delivery, move, times=100)
    (error,) = (await stage.match()).values()
    assert isinstance(error, Conflict)
    assert await stage.rows(deliveries) == []
