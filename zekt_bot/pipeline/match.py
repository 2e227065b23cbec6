"""An envelope that waits becomes deliveries, a page of its subscribers at a time.

Most are matched with their run (`pipeline/aggregate.py`) and never wait.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from zekt_bot.db import envelopes, kept, runs, services, subscriptions, tables, units
from zekt_bot.db.present import present
from zekt_bot.domain.deliveries import RunPolicyFacts
from zekt_bot.pipeline import fan_out
from zekt_bot.pipeline.fan_out import PAGE, FannedOut, Page
from zekt_bot.pipeline.pages import Step, each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.kept import KeptFacts
    from zekt_bot.db.versions import Read
    from zekt_bot.domain.lanes import Pace
    from zekt_bot.operations.broker import Broker


async def match(
    broker: Broker, envelope_ids: Sequence[str], pace: Pace, facts: KeptFacts
) -> dict[str, Exception]:
    """Write the next page of deliveries of each envelope; answers those that failed, and why."""
    read = partial(_read, kept_facts=facts)
    decide = partial(fan_out.decide, pace=pace)
    return await each(broker, envelope_ids, Step(read, decide, _apply, fan_out.tell, fan_out.weigh))


def _read(
    connection: Connection, envelope_ids: Sequence[str], kept_facts: KeptFacts
) -> dict[str, Page]:
    """The envelopes with all that decides about them: six statements, one for each later page of
    subscribers that no neighbour needs too, and two for repositories that are not kept.
    """
    found = envelopes.envelopes_of(connection, envelope_ids)
    by_id = {run.id: run for run in runs.runs_of(connection, [e.run_id for e in found])}
    ran = {
        run.id: (run.key.repository_id, run.facts.workflow_path if run.facts else "")
        for run in by_id.values()
    }
    now = present(connection, repositories={owner for owner, _ in ran.values()})
    known = kept.repositories(connection, kept_facts, now)
    allowed = kept.allowed(connection, kept_facts, now, known, ran.values())
    published = services.of_workflows(connection, ran.values())
    in_clear = runs.in_clear(connection, [e.message_id for e in found if e.message_id])
    asked = {
        each.id: (service.id, each.fanned_out_to)
        for each in found
        if (service := published.get(ran[each.run_id])) and service.published
    }
    pages = subscriptions.subscribers(connection, set(asked.values()), PAGE)
    reads = {}
    for envelope in found:
        run, workflow = by_id[envelope.run_id], ran[envelope.run_id]
        if workflow[0] not in known:  # its account was erased meanwhile
            continue
        service = published.get(workflow)
        page = pages[asked[envelope.id]] if envelope.id in asked else []
        facts = RunPolicyFacts(known[workflow[0]], allowed.get(workflow), run.facts, run.from_fork)
        clear = envelope.message_id in in_clear
        reads[envelope.id] = Page(envelope, run, facts, service, page, now.on_hold, clear)
    return reads


def _apply(connection: Connection, rows: Sequence[FannedOut]) -> list[bool]:
    """Write decisions whose facts still stand."""
    answers = fan_out.standing(connection, rows, [_facts(row.page) for row in rows])
    standing = [row for row, stands in zip(rows, answers, strict=True) if stands]
    fan_out.write(connection, standing)
    envelopes.advance(connection, [row.advance for row in standing])
    if not all(row.page.last for row in standing):
        units.wake(connection, "envelopes")
    return answers


def _facts(page: Page) -> Read:
    return fan_out.facts(page) | {tables.envelopes: {page.envelope.id: page.envelope.version}}
