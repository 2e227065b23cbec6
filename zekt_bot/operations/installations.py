"""The mirror of accounts, installations and repositories, as GitHub's news moves it.

Only a webhook's body is signed, an old body can be sent again, and GitHub promises no order. So
news that takes away (deleted, suspend, removed, archived) acts at once, and every news makes Zekt
ask GitHub, whose answer acts if nothing moved while it was asked. What comes late, because its
webhook was missed, takes nothing away by itself: it may be long undone, and a block is final.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, inbox, mirror
from zekt_bot.domain.audit import GITHUB
from zekt_bot.errors import Conflict, MalformedEvent, NotFound
from zekt_bot.operations import fields, lookup, withdrawals
from zekt_bot.operations.accounts import admit
from zekt_bot.operations.as_told import (
    account_of,
    covered,
    detached,
    installed,
    owner_of,
    uninstalled,
)
from zekt_bot.operations.consequences import foresee

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.db.mirror import Seen
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.operations.as_told import Step
    from zekt_bot.operations.broker import Broker

_MOST_ASKED = 5
_AT_ONCE = 16
_TAKEN = {"deleted": "deleted", "suspend": "suspended"}
_MARKED: dict[str | None, dict[str, bool]] = {
    "archived": {"archived": True},
    "privatized": {"private": True},
}


@dataclass(frozen=True, slots=True)
class News:
    """A stored webhook, opened and parsed."""

    inbox_id: str
    guid: str
    event: str
    action: str | None
    body: dict[str, Any]
    received_at: datetime
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class _Applying:
    inbox_id: str | None
    seen: Seen | None
    apply: Step
    entry: Entry | None
    now: datetime


async def installation_changed(broker: Broker, news: News) -> None:
    """`installation`: what takes away acts as told; then as GitHub answers."""
    installation_id = fields.number(fields.part(news.body, "installation"), "id")
    taken = _TAKEN.get(news.action or "")
    if taken is not None:
        now = broker.now()
        await _take_away(
            broker, news, lambda c: mirror.set_installation_state(c, installation_id, taken, now)
        )
    listed = _listed(news.body, "repositories")
    if listed and taken is None:
        await _learn(broker, news, installation_id, "repositories")
    await _confirm(broker, news, installation_id, listed, _installer(news, installation_id))


def _installer(news: News, installation_id: int) -> list[Step]:
    """GitHub's answers never tell who it was. It is a courtesy: without a sender it is left out."""
    with contextlib.suppress(MalformedEvent):
        if news.action == "created":
            person = account_of(fields.part(news.body, "sender"))
            return [lambda c: mirror.set_installer(c, installation_id, person)]
    return []


async def repositories_changed(broker: Broker, news: News) -> None:
    """`installation_repositories`: removed ones go at once; then as GitHub answers."""
    installation_id = fields.number(fields.part(news.body, "installation"), "id")
    removed = _listed(news.body, "repositories_removed")
    if removed:
        now = broker.now()
        await _take_away(broker, news, lambda c: mirror.detach(c, installation_id, removed, now))
    added = _listed(news.body, "repositories_added")
    if added:
        await _learn(broker, news, installation_id, "repositories_added")
    await _confirm(broker, news, installation_id, [*removed, *added])


async def repository_changed(broker: Broker, news: News) -> None:
    """`repository`: deleted, archived and privatized act at once; then as GitHub answers."""
    repository_id = fields.number(fields.part(news.body, "repository"), "id")
    installation_id = fields.number(fields.part(news.body, "installation"), "id")
    now = broker.now()
    if news.action == "deleted":
        gone = [repository_id]
        await _take_away(broker, news, lambda c: mirror.detach(c, installation_id, gone, now))
    elif news.action in _MARKED:
        marks = _MARKED[news.action]
        await _take_away(
            broker, news, lambda c: mirror.change_repository(c, repository_id, marks, now)
        )
    await _confirm(broker, news, installation_id, [repository_id])


async def account_renamed(broker: Broker, news: News) -> None:
    """`installation_target` (renamed): GitHub is asked for the account's present login."""
    installation_id = fields.number(fields.part(news.body, "installation"), "id")
    await _confirm(broker, news, installation_id, ())


async def find_repository(
    broker: Broker, full_name: str, *, for_operator: bool = True
) -> Repository:
    """The repository that is named OWNER/REPO at GitHub now, and covered by the App.

    Raises:
        NotFound: the App is not installed there, or there is no such repository.
        NotAdmitted: its account is not; where the App is not installed only an operator hears so.
        GitHubError: GitHub does not answer as it should.
    """
    told = await broker.github.repository_installation(full_name)
    if told is None:
        if for_operator:  # what others name shall not cost some installation its requests
            await _admit_owner(broker, full_name)
        raise not_shown(full_name)
    await admit(broker, account_of(fields.part(told, "account")))
    installation_id = fields.number(told, "id")
    named = await broker.github.repository(installation_id, full_name=full_name)
    repository_id = fields.number(named, "id") if named else 0
    if named:
        await look_at(broker, installation_id, repository_id)
    found = await broker.database.query(mirror.repositories_by_id, [repository_id])
    if repository_id not in found or not found[repository_id].consented:
        raise not_shown(full_name)
    return found[repository_id]


async def _admit_owner(broker: Broker, full_name: str) -> None:
    """Raise NotAdmitted for an account that is not, be there such a repository or not."""
    owner = await lookup.account(broker, full_name.partition("/")[0])
    if owner is not None:
        await admit(broker, account_of(owner))


def not_shown(full_name: str) -> NotFound:
    """The same words for what is not there and for what one may not see."""
    return NotFound(
        f"GitHub shows no {full_name} to the App: install the App on it, or check the name."
    )


async def _take_away(broker: Broker, news: News, apply: Step) -> None:
    if not news.recovered:
        await _take(broker, apply)


async def _take(broker: Broker, apply: Step) -> None:
    """At once, whatever GitHub says afterwards; the webhook is done only when it has."""
    await broker.database.write(_write, _Applying(None, None, apply, None, broker.now()))


async def _confirm(
    broker: Broker,
    news: News,
    installation_id: int,
    repository_ids: Sequence[int],
    also: Sequence[Step] = (),
) -> None:
    """Write how GitHub says that the installation stands, and these repositories in it.

    Of what is not enabled GitHub is asked when somebody enables it.

    Raises:
        Conflict: other news kept coming in while GitHub was asked.
    """
    known = await broker.database.query(mirror.repositories_by_id, repository_ids)
    alone = news.event == "repository"
    asked = [r.id for r in known.values() if alone or r.provider or r.consumer]
    await _settle_all(broker, installation_id, asked)
    await withdrawals.look(broker, installation_id, repository_ids)
    entry = await _entry(broker, news)
    done = _Applying(news.inbox_id, None, _all(also), entry, broker.now())
    await broker.database.write(_write, done)


async def look(
    broker: Broker, installation_id: int, repository_ids: Sequence[int], verb: str, **subject: int
) -> bool:
    """Write how GitHub says that an installation and these repositories stand. False: as known.

    What nobody had told is told to the audit, as `verb` about the ids in `subject`.

    Raises:
        Conflict: news kept coming in while GitHub was asked.
        GitHubError, StorageUnavailable.
    """
    place = (installation_id, repository_ids)
    before = await broker.database.query(mirror.seen, *place)
    await _settle_all(broker, *place)
    if await broker.database.query(mirror.seen, *place) == before:
        return False
    await withdrawals.look(broker, *place)
    entry = await broker.entry(verb, GITHUB, **subject)
    await broker.database.write(_write, _Applying(None, None, _all(()), entry, broker.now()))
    return True


async def look_at(broker: Broker, installation_id: int, repository_id: int) -> bool:
    """The same for one repository.

    Raises:
        as `look`.
    """
    verb = "github:repository:confirmed"
    return await look(broker, installation_id, [repository_id], verb, repository_id=repository_id)


async def _learn(broker: Broker, news: News, installation_id: int, name: str) -> None:
    """Note the repositories that news say are covered, so that lists can show them.

    It is a courtesy: what is not told whole is left out.
    """
    rows, now = [], broker.now()
    for item in news.body.get(name) or ():
        with contextlib.suppress(MalformedEvent):
            account = fields.part(fields.part(news.body, "installation"), "account")
            row = {
                "id": fields.number(item, "id"),
                "full_name": fields.text(item, "full_name", 300),
                "account_id": fields.number(account, "id"),
                "private": item.get("private") is not False,
            }
            rows.append(row)
    await _take(broker, lambda c: mirror.learn(c, rows, installation_id, now))


async def _settle_all(broker: Broker, installation_id: int, repository_ids: Sequence[int]) -> None:
    await _settle(broker, installation_id, ())  # first: it is written whatever comes after
    for start in range(0, len(repository_ids), _AT_ONCE):
        await _settle(broker, installation_id, repository_ids[start : start + _AT_ONCE])


async def _settle(broker: Broker, installation_id: int, repository_ids: Sequence[int]) -> None:
    for _ in range(_MOST_ASKED):
        seen = await broker.database.query(mirror.seen, installation_id, repository_ids)
        steps = await _as_github_says(broker, installation_id, seen)
        applying = _Applying(None, seen, _all(steps), None, broker.now())
        if await broker.database.write(_write, applying):
            return
    raise Conflict(f"Installation {installation_id} kept changing while GitHub was asked of it.")


async def _as_github_says(broker: Broker, installation_id: int, seen: Seen) -> list[Step]:
    told = await broker.github.installation(installation_id)
    if told is None:
        return [uninstalled(installation_id, broker.now())]
    asked = list(seen.repositories) if told.get("suspended_at") is None else []
    answers = await asyncio.gather(*(_granted(broker, installation_id, each) for each in asked))
    gone = [each for each, answer in zip(asked, answers, strict=True) if answer is None]
    granted = [answer for answer in answers if answer is not None]
    owned = [(fields.number(each, "id"), owner_of(each)) for each in granted]
    owners = {
        owner.id: owner
        for owner in (account_of(fields.part(told, "account")), *dict(owned).values())
    }
    consequences = await foresee(
        broker, owners.values(), [(each, owner.id) for each, owner in owned]
    )
    now = broker.now()  # what was made while GitHub was asked was made before it answered
    return [
        installed(told, consequences, now),
        *(detached(installation_id, each, now) for each in gone),
        *(covered(each, installation_id, consequences, now) for each in granted),
    ]


async def _granted(
    broker: Broker, installation_id: int, repository_id: int
) -> dict[str, Any] | None:
    """The repository, if the installation covers it; a public one is readable without that."""
    repository = await broker.github.repository(installation_id, repository_id=repository_id)
    if repository is None:
        return None
    covering = await broker.github.repository_installation(
        fields.text(repository, "full_name", 300)
    )
    return repository if covering and covering.get("id") == installation_id else None


async def _entry(broker: Broker, news: News) -> Entry:
    action = "".join(c if c.isalpha() else "_" for c in (news.action or "changed").lower())
    account_id = None
    with contextlib.suppress(MalformedEvent):  # not every news names it
        account = fields.part(fields.part(news.body, "installation"), "account")
        account_id = fields.number(account, "id")
    return await broker.entry(
        f"github:{news.event}:{action if action.isascii() else 'changed'}",
        GITHUB,
        account_id=account_id,
    )


def _write(connection: Connection, rows: Sequence[_Applying]) -> list[bool]:
    return [_write_one(connection, row) for row in rows]


def _write_one(connection: Connection, row: _Applying) -> bool:
    """False: the facts moved since GitHub was asked, and nothing was written."""
    if row.seen and not mirror.still(connection, row.seen):
        return False
    row.apply(connection)
    if row.inbox_id:
        inbox.processed(connection, [row.inbox_id], row.now)
    if row.entry:
        audit.record(connection, row.entry)
    return True


def _all(steps: Sequence[Step]) -> Step:
    def apply(connection: Connection) -> None:
        for step in steps:
            step(connection)

    return apply


def _listed(body: dict[str, Any], name: str) -> list[int]:
    listed = body.get(name)
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise MalformedEvent(f"{name} is not a list of repositories")
    return [fields.number(item, "id") for item in listed]
