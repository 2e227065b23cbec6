"""Store a webhook: this commit is the promise to GitHub."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from zekt_bot.db import admissions, aside, audit, inbox, mirror, units
from zekt_bot.db.aside import Aside, Requeue
from zekt_bot.domain.audit import SYSTEM
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.webhooks import FromGitHubApi, Receipt
from zekt_bot.pipeline.verify import HANDLED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.db.inbox import Part
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.events import RunKey
    from zekt_bot.domain.webhooks import Webhook
    from zekt_bot.operations.broker import Broker

# A consumer that provides nothing is heard only for what may prove a delivery.
CONSUMER_RUNS = {"repository_dispatch", "workflow_run"}
# Whoever was admitted once may always withdraw.
_TAKES_AWAY = {
    "installation": {"deleted", "suspend"},
    "installation_repositories": {"removed"},
    "repository": {"deleted", "archived", "privatized", "transferred"},
}


class _Hearers(NamedTuple):
    """Whether plugins want this event, and also of repositories that are enabled for nothing."""

    any: bool
    of_all: bool


class _Storing(NamedTuple):
    webhook: Webhook
    row: Mapping[str, Any]
    allowed: tuple[str, ...]
    now: datetime
    entry: Entry | None
    hearers: _Hearers

    @property
    def asks_again(self) -> bool:
        """Whether somebody wishes what it tells to be tried again, if it is known already."""
        return not (self.webhook.malformed or isinstance(self.webhook, FromGitHubApi))


async def store(broker: Broker, webhook: Webhook) -> Receipt:
    """Store `webhook`, or say why not; admission is read in the same transaction.

    What was set aside is tried again when GitHub sends it again: the button works, for the webhook
    itself and for the run that it tells of. What Zekt itself reads again is no such wish.

    Raises:
        StorageUnavailable: nothing was stored, or nobody knows.
    """
    heard = broker.plugins.hears(webhook.event)
    if webhook.event not in HANDLED and not heard:
        return Receipt(ignored="event_not_handled")
    now = broker.now()
    row_id = new_id("inb", now)
    key = webhook.run_key
    row = {
        "id": row_id,
        "app": webhook.app,
        "guid": webhook.guid,
        "event": webhook.event,
        "action": _column(webhook.action),
        "installation_id": webhook.installation_id,
        "account_id": webhook.account_id,
        "repository_id": webhook.repository_id,
        "run_id": key.run_id if key else None,
        "run_attempt": key.run_attempt if key else None,
        "raw": broker.database.keyring.seal(("inbox", "raw", row_id), webhook.raw),
        "recovered": isinstance(webhook, FromGitHubApi),
        "state": "set_aside" if webhook.malformed else "pending",
        "reason": webhook.malformed,
        "failures": 0,
        "received_at": now,
        "due_at": None if webhook.malformed else inbox.due_from(webhook.event, now),
    }
    entry = await _entry(broker, "set_aside", webhook, row_id) if webhook.malformed else None
    hearers = _Hearers(heard, broker.settings.observe_all)
    storing = _Storing(webhook, row, broker.settings.allowed_accounts, now, entry, hearers)
    receipt, set_aside = await broker.database.write(_store, storing)
    if key and not (receipt.ignored or receipt.duplicate):
        broker.traces.tell(
            "webhook", key, now, broker.now(), event=webhook.event, action=webhook.action or ""
        )
    if not set_aside:
        return receipt
    told = [(row, await _requeued(broker, webhook, row)) for row in set_aside]
    again = await broker.database.write(aside.requeue, Requeue(told, now))
    return replace(receipt, requeued=again)


async def _entry(broker: Broker, verb: str, webhook: Webhook, row_id: str) -> Entry:
    return await broker.entry(
        f"zekt:webhook:{verb}",
        SYSTEM,
        account_id=webhook.account_id,
        repository_id=webhook.repository_id,
        details={"inbox": row_id, "event": webhook.event},
    )


async def _requeued(broker: Broker, webhook: Webhook, row: Aside) -> Entry:
    if row.table == "inbox":
        return await _entry(broker, "requeued", webhook, row.id)
    return await broker.entry(
        f"zekt:{row.noun}:requeued",
        SYSTEM,
        correlation_id=row.correlation_id,
        repository_id=webhook.repository_id,
        details={row.noun: row.id},
    )


def _column(action: str | None) -> str | None:
    """An action as its column takes it; the body keeps what was really said."""
    return action[:64].replace("\0", "\ufffd") if action else None


def _store(connection: Connection, rows: Sequence[_Storing]) -> list[tuple[Receipt, list[Aside]]]:
    """What became of each; with what is set aside, if it is a duplicate that somebody sent."""
    asking = {
        row.webhook.account_id: row.webhook.account_login or ""
        for row in rows
        if row.webhook.account_id is not None
    }
    listed = admissions.Listed(rows[0].allowed, rows[0].now)
    admitted = admissions.admitted(connection, listed, asking)
    wanted = {row.webhook.repository_id for row in rows} - {None}
    known = inbox.taking_part(connection, [i for i in wanted if i is not None])
    fates = [
        _fate(row, known)
        if _is_in(connection, row, admitted, known)
        else _Fate(refused="account_not_admitted")
        for row in rows
    ]
    taken = [
        {**row.row, "observed": fate.observed}
        for row, fate in zip(rows, fates, strict=True)
        if fate.refused is None
    ]
    new, before = inbox.add(connection, taken)
    if new:
        units.wake(connection, "inbox")
    for row in rows:
        if row.entry and row.row["id"] in new:
            audit.record(connection, row.entry)
    receipts = [
        Receipt(ignored=fate.refused) if fate.refused else Receipt(row.row["id"] not in new)
        for row, fate in zip(rows, fates, strict=True)
    ]
    again = [
        row.webhook if receipt.duplicate and row.asks_again else None
        for row, receipt in zip(rows, receipts, strict=True)
    ]
    keys = {key for webhook in again if webhook and (key := _run_told(webhook))}
    of_runs = aside.of_runs(connection, keys) if keys else {}
    return [
        (receipt, _set_aside(webhook, before, of_runs) if webhook else [])
        for receipt, webhook in zip(receipts, again, strict=True)
    ]


def _run_told(webhook: Webhook) -> RunKey | None:
    """The run that a webhook is about as a whole."""
    return webhook.run_key if webhook.event == "workflow_run" else None


def _set_aside(
    webhook: Webhook,
    before: Mapping[tuple[str, str], str],
    of_runs: Mapping[RunKey, list[Aside]],
) -> list[Aside]:
    """What stands aside of a webhook that came again: of its run, and its own row."""
    key, own = _run_told(webhook), before.get((webhook.app, webhook.guid))
    of_run = of_runs.get(key, []) if key else []
    return [*of_run, Aside("inbox", own)] if own else of_run


def _is_in(
    connection: Connection, row: _Storing, admitted: set[int], known: Mapping[int, Part]
) -> bool:
    """Whether the account is admitted, or withdraws what it gave when it was."""
    webhook = row.webhook
    if webhook.account_id in admitted or (webhook.account_id is None and not row.allowed):
        return True
    if webhook.action not in _TAKES_AWAY.get(webhook.event, ()):
        return False
    return webhook.repository_id in known or mirror.knows(
        connection, webhook.installation_id, webhook.account_id
    )


class _Fate(NamedTuple):
    """Why a webhook is not stored; or whether it is stored for plugins alone."""

    refused: str | None
    observed: bool = False


def _fate(row: _Storing, known: Mapping[int, Part]) -> _Fate:
    """What becomes of a webhook of an admitted account."""
    webhook = row.webhook
    refused = _refusal(webhook, known) if webhook.event in HANDLED else "event_not_handled"
    if refused is None or not row.hearers.any:
        return _Fate(refused)
    repository = known.get(webhook.repository_id or 0)
    enabled = repository is not None and (repository.provider or repository.consumer)
    if enabled or webhook.repository_id is None or row.hearers.of_all:
        return _Fate(None, observed=webhook.event in HANDLED)
    return _Fate("repository_not_enabled")


def _refusal(webhook: Webhook, known: Mapping[int, Part]) -> str | None:
    """Why the broker does not want it, or None."""
    if webhook.event not in {"workflow_run", "workflow_job", "repository"}:
        return None
    if webhook.repository_id is None:
        return None  # it lacks what it should have: kept, and set aside
    repository = known.get(webhook.repository_id)
    if webhook.event == "repository":
        return None if repository else "repository_unknown"
    if repository is None or not (repository.provider or repository.consumer):
        return "repository_not_enabled"
    if repository.provider:
        return None
    if webhook.event == "workflow_run" and webhook.run_event in CONSUMER_RUNS:
        return None
    return "not_wanted_of_a_consumer"
