"""Messages that are not taken: what their sender hears, and what their provider is shown."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from zekt_bot.db import refusals
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.messages import MOST_BYTES_OF_A_RUN, MOST_LATE, MOST_OF_A_RUN
from zekt_bot.domain.quotas import seconds_left
from zekt_bot.errors import AccessDenied, Conflict, MessageRefused, NotFound, QuotaExceeded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import WorkflowRun
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.events import RunKey
    from zekt_bot.domain.messages import IncomingMessage
    from zekt_bot.errors import Refused
    from zekt_bot.operations.arriving import Facts
    from zekt_bot.operations.broker import Broker


def unknown(key: RunKey) -> NotFound:
    """For a repository that nobody has heard of, of which nothing is kept."""
    return NotFound(
        f"Repository {key.repository_id} is not enabled as a provider: "
        "run `zekt repositories enable OWNER/REPO`."
    )


async def refuse(
    broker: Broker, principal: WorkflowRun, message: IncomingMessage, facts: Facts, reason: str
) -> Refused:
    """What to raise; the refusal is noted, unless nothing is kept of that account.

    Raises:
        StorageUnavailable.
    """
    if reason != "account_blocked":
        await note(broker, principal, message, facts, {"reason": reason})
    name = facts.repository.full_name
    if reason in {"account_blocked", "not_enabled"}:
        return NotFound(
            f"{name} is not enabled as a provider: run `zekt repositories enable {name}`, or "
            "enable it on this server's page Repositories."
        )
    if reason in {"not_installed", "app_suspended"}:
        return AccessDenied(
            f"The orchestration App is not installed on {name}, or is suspended there: install it "
            "at GitHub, or let an owner unsuspend it."
        )
    if reason == "not_allowed":
        return AccessDenied(_not_allowed(name, facts.workflow_path))
    if reason == "run_is_over":
        return Conflict(
            f"Zekt was done with this run more than {MOST_LATE / timedelta(hours=1):.0f} hours "
            "ago: send messages while the run is going. Another attempt of it counts anew."
        )
    if reason == "one_per_type":
        return Conflict(
            "This run has sent another message of this event type, and its service takes one of "
            "each: send it under another type, or let the service take any number."
        )
    if reason == "over_quota":
        return QuotaExceeded(
            "This account has sent as many messages, or bytes of them, as this server takes of "
            "one account in a day (UTC): send it again tomorrow.",
            retry_after=seconds_left(broker.now()),
        )
    return MessageRefused(
        f"A run sends at most {MOST_OF_A_RUN} messages and {MOST_BYTES_OF_A_RUN} bytes of them: "
        "put what belongs together into one."
    )


def _not_allowed(name: str, path: str | None) -> str:
    if path is None:
        return (
            f"The workflow file that runs is not one of {name}: only a workflow of the repository "
            "itself can be on its allow-list."
        )
    return (
        f"{path} is not on the allow-list of {name}: run `zekt workflows allow {name} {path}`, or "
        "allow it on this server's pages."
    )


async def note(
    broker: Broker,
    principal: WorkflowRun,
    message: IncomingMessage,
    facts: Facts,
    details: Mapping[str, str],
) -> None:
    """Note what was refused, for its provider and the audit; `details` have the `reason`.

    Raises:
        StorageUnavailable.
    """
    now, account_id = broker.now(), facts.repository.account_id
    row = {
        "id": new_id("ref", now),
        **message.run._asdict(),
        "reason": details["reason"],
        "account_id": account_id,
        "workflow_path": facts.workflow_path,
        "event_type": message.event_type,
        "size": len(message.body),
        "times": 1,
        "first_at": now,
        "last_at": now,
    }
    entry: Entry | None = None
    if details["reason"] != "over_quota":  # of which the audit hears once an hour
        entry = await broker.entry(
            "run:message:refused",
            principal.actor,
            account_id=account_id,
            repository_id=message.run.repository_id,
            details=details,
        )
    await broker.database.write(refusals.note, (row, entry))
