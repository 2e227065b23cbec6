"""What the tests of messages share: a run that may send them, and what is stored of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from tests.stage import ME, RELEASE
from zekt_bot.db.tables import messages as rows
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.lists import AuditFilter, Page
from zekt_bot.operations import audit, repositories, workflows

if TYPE_CHECKING:
    from tests.stage import Stage

PROVIDER, TYPE = "aurora-labs/payments-api", "release-published"
SECRET = b'{"note": "what nobody but the consumer should read"}'


TOKEN = "ghp" + "_" + "aB3" * 12


async def enabled(stage: Stage) -> WorkflowRun:
    """A run of the provider, which is enabled and has its workflow on the allow-list."""
    await repositories.enable(stage.broker, ME, PROVIDER)
    await workflows.allow(stage.broker, ME, PROVIDER, RELEASE)
    return WorkflowRun(RunKey(stage.provider.id, 7, 1), RELEASE)


async def stored(stage: Stage) -> list[bytes]:
    """The bodies as they lie in the database."""
    statement = select(rows.c.body)
    return await stage.broker.database.query(lambda c: list(c.execute(statement).scalars()))


async def audited(stage: Stage, verb: str) -> list[dict[str, Any]]:
    """The audit's entries of this verb."""
    return await audit.list_entries(stage.broker, ME, Page(), AuditFilter(verb=verb))
