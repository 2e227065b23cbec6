"""What decides about a message that arrives, and what becomes of it, as things stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from zekt_bot.db import mirror, services, subscriptions, workflows
from zekt_bot.domain.messages import MessagePolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.domain.catalog import AllowedWorkflow, Repository, Service
    from zekt_bot.domain.events import Run, RunKey
    from zekt_bot.domain.subscriptions import Audience
    from zekt_bot.operations.broker import Broker


STRANGERS = 0  # no account's id
_REGISTER = "Consumers register a key with `zekt shield keys add OWNER/REPO FILE`."


class Asked(NamedTuple):
    """A run, and the file of its repository that it runs."""

    key: RunKey
    workflow_path: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Its repository and, of the workflow, its allow-list entry, its service and who hears that."""

    repository: Repository
    workflow_path: str | None
    allowed: AllowedWorkflow | None
    service: Service | None
    audience: tuple[Audience, ...]

    @property
    def policy(self) -> MessagePolicy:
        """What plugins decide on."""
        return MessagePolicy(self.repository, self.service)


def facts(connection: Connection, rows: Sequence[Asked]) -> list[Facts | None]:
    """Of each run; None: nothing is known of its repository."""
    known = mirror.repositories_by_id(connection, {row.key.repository_id for row in rows})
    ran = {(row.key.repository_id, row.workflow_path) for row in rows if row.workflow_path}
    named = [(owner, path) for owner, path in ran if path]
    allowed = workflows.allowed(connection, named)
    found = services.of_workflows(connection, named)
    heard: dict[str, list[Audience]] = {service.id: [] for service in found.values()}
    for each in subscriptions.audience(connection, list(heard)):
        heard[each.service_id].append(each)
    return [
        Facts(
            known[row.key.repository_id],
            row.workflow_path,
            allowed.get(_workflow(row)),
            service := found.get(_workflow(row)),
            tuple(heard[service.id]) if service else (),
        )
        if row.key.repository_id in known
        else None
        for row in rows
    ]


def _workflow(row: Asked) -> tuple[int, str]:
    return (row.key.repository_id, row.workflow_path or "")


async def counted_for(broker: Broker, key: RunKey) -> int:
    """The account that what a run sends is counted for before anybody has read it.

    Those who may neither send nor receive count as one, since whoever wants to has any number of
    accounts at GitHub. Raises StorageUnavailable.
    """
    return await broker.database.ask(_counted_for, key.repository_id)


def _counted_for(connection: Connection, rows: Sequence[int]) -> list[int]:
    known = mirror.repositories_by_id(connection, set(rows))
    return [_account(known.get(row)) for row in rows]


def _account(repository: Repository | None) -> int:
    if repository is None or repository.blocked:
        return STRANGERS
    return repository.account_id if repository.provider or repository.consumer else STRANGERS


class Expected(NamedTuple):
    """How many consumers get a message; when, or why none does; how many more cannot read it."""

    consumers: int
    said: str
    left_out: int = 0


def expects(
    found: Facts, run: Run, event_type: str, readers: Sequence[Audience] | None
) -> Expected:
    """What becomes of a message of this run.

    `readers`: whom of its audience it is encrypted for; None: it is in clear.
    """
    hearing = _number(found.audience, event_type)
    nobody = _nobody(found, run, event_type, hearing)
    if nobody:
        return Expected(0, nobody)
    number = hearing if readers is None else _number(readers, event_type)
    left_out = max(0, hearing - number)
    if not number:
        why = f"it is encrypted for none of the {left_out} that hear this event type now"
        return Expected(0, f"Stored. It goes to nobody: {why}. {_REGISTER}", left_out)
    when = "now, after its run" if run.aggregated_at else "when its run has ended"
    said = f"Stored. It goes to {number} {_consumers(number)} {when}."
    if left_out:
        said += f" It is not encrypted for {left_out} more. {_REGISTER}"
    return Expected(number, said, left_out)


def _nobody(found: Facts, run: Run, event_type: str, hearing: int) -> str | None:
    """Why nobody would get it, were it in clear; None: somebody does."""
    service = found.service
    if run.blocked_reason:
        return f"Stored, and it goes to nobody: its run was blocked ({run.blocked_reason})."
    if service is None or not service.published or service.rests:
        return "Stored. It goes to nobody: no service publishes this workflow now."
    if not service.declares(event_type):
        return f"Stored. It goes to nobody: {service.name} does not declare this event type."
    if not hearing:
        return f"Stored. No approved subscription to {service.name} hears this event type now."
    return None


def _number(audience: Sequence[Audience], event_type: str) -> int:
    return sum(each.number for each in audience if each.may_hear(event_type))


def _consumers(number: int) -> str:
    return "consumer" if number == 1 else "consumers"
