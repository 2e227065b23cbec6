"""Finished runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, func, or_, select

from zekt_bot.db.lists import reactions
from zekt_bot.db.lists.deliveries import with_names
from zekt_bot.db.lists.parts import read, repository_id
from zekt_bot.db.tables import audit, deliveries, envelopes, jobs, messages, repositories, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Label, RowMapping, Select

    from zekt_bot.domain.lists import EventFilter, Page

_BLOCKS = ("zekt:run:blocked", "zekt:envelope:blocked")
_WORKFLOWS = ".github/workflows/"
_MESSAGE = tuple(column for column in messages.c if column.name not in {"body", "redactions"})
_ENVELOPE = tuple(column for column in envelopes.c if column.name != "body")


def page(connection: Connection, page: Page, wanted: EventFilter) -> list[RowMapping]:
    """Runs that ended, with how many messages and deliveries they made."""
    statement = _runs(*_counts()).where(runs.c.state != "open")
    if wanted.repository:
        statement = statement.where(runs.c.repository_id == repository_id(wanted.repository))
    if wanted.workflow:
        paths = (wanted.workflow, _WORKFLOWS + wanted.workflow)
        named = runs.c.workflow_name == wanted.workflow
        statement = statement.where(or_(runs.c.workflow_path.in_(paths), named))
    if wanted.conclusion:
        statement = statement.where(runs.c.conclusion == wanted.conclusion)
    if wanted.blocked:
        statement = statement.where(
            or_(runs.c.blocked_reason.is_not(None), _blocked_envelope().is_not(None))
        )
    if page.before:
        statement = statement.where(runs.c.id < page.before)
    return read(connection, statement.order_by(runs.c.id.desc()).limit(page.limit))


def one(
    connection: Connection, event_id: str
) -> tuple[RowMapping, dict[str, Sequence[RowMapping]]] | None:
    """One run, with its `jobs`, `messages`, `envelopes` (bodies left out), `deliveries` and
    `reactions` (the consumers' runs); `blocks`: the audit's entries of its being blocked.

    `event_id` is the run's, its correlation id, or that of one of its envelopes.
    """
    of_envelope = select(envelopes.c.run).where(envelopes.c.id == event_id)
    same = (runs.c.id == event_id, runs.c.correlation_id == event_id, runs.c.id.in_(of_envelope))
    found = read(connection, _runs().where(or_(*same)))
    if not found:
        return None
    run_id = found[0]["id"]
    parts: dict[str, Select[Any]] = {
        "jobs": select(jobs).where(jobs.c.run == run_id).order_by(jobs.c.job_id),
        "messages": select(*_MESSAGE).where(messages.c.run == run_id).order_by(messages.c.id),
        "envelopes": select(*_ENVELOPE).where(envelopes.c.run == run_id).order_by(envelopes.c.id),
        "blocks": select(audit).where(
            audit.c.correlation_id == found[0]["correlation_id"], audit.c.verb.in_(_BLOCKS)
        ),
        "deliveries": with_names().where(runs.c.id == run_id).order_by(deliveries.c.id),
    }
    read_parts = {name: read(connection, part) for name, part in parts.items()}
    sent = [row["id"] for row in read_parts["deliveries"]]
    return found[0], {**read_parts, "reactions": reactions.of(connection, sent)}


def _runs(*more: Label[Any]) -> Select[Any]:
    return select(
        runs, repositories.c.full_name, _blocked_envelope().label("envelope_blocked_reason"), *more
    ).outerjoin(repositories, repositories.c.id == runs.c.repository_id)


def _blocked_envelope() -> Any:
    """Why one of the run's envelopes went nowhere, or NULL."""
    reason = func.min(envelopes.c.blocked_reason, type_=Text)
    return select(reason).where(envelopes.c.run == runs.c.id).correlate(runs).scalar_subquery()


def _counts() -> list[Label[Any]]:
    sent = envelopes.join(deliveries, deliveries.c.envelope == envelopes.c.id)
    return [
        select(func.count())
        .select_from(source)
        .where(run == runs.c.id)
        .correlate(runs)
        .scalar_subquery()
        .label(name)
        for name, source, run in (
            ("messages", messages, messages.c.run),
            ("deliveries", sent, envelopes.c.run),
        )
    ]
