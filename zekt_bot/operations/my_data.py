"""What is kept of an account's repositories, given to or deleted for those who manage them.

Whoever manages some of an account's repositories decides on these and on no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.db import lapses
from zekt_bot.db.lapses import Deletion
from zekt_bot.domain.access import Resource, decide
from zekt_bot.domain.audit import Entry
from zekt_bot.errors import Conflict, InvalidInput, NotFound
from zekt_bot.operations import my_repositories

if TYPE_CHECKING:
    from zekt_bot.domain.access import Action
    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.my_repositories import Owned


async def mine(broker: Broker, session: Session, action: Action, login: str) -> Owned:
    """An account's repositories to which this person may do `action`.

    They are those that GitHub, asked with the person's own token, says that they manage: also where
    the orchestration App is gone, and could ask nothing any more.

    Raises:
        NotFound: they manage nothing of such an account, be there one or not.
        SessionEnded, AccessDenied, GitHubError, ConfigurationError, StorageUnavailable.
    """
    found = await my_repositories.listing(broker, session)
    owned = next((one for one in found.owned if one.account.login.lower() == login.lower()), None)
    if owned is None:
        raise NotFound(f"You manage no repository of {login} that Zekt knows.")
    managed = frozenset(each.id for each in owned.repositories)
    for each in owned.repositories:
        decide(session.person, action, Resource(provider=each.id), managed)
    return owned


async def delete(broker: Broker, session: Session, login: str, typed: str) -> int:
    """Delete what is kept of the account's repositories that this person manages; answers how many.

    They take part no longer from this moment. Their events, messages, deliveries, workflows,
    services and subscriptions go within minutes, and then they may begin anew. The audit stays.

    Raises:
        InvalidInput: `typed` is not the account's login.
        Conflict: one of them changed at this moment.
        NotFound, SessionEnded, AccessDenied, GitHubError, ConfigurationError, StorageUnavailable.
    """
    owned = await mine(broker, session, "repository:purge", login)
    if typed.lower() != owned.account.login.lower():
        raise InvalidInput(f"Type {owned.account.login}, the account whose data is deleted.")
    wanted = [each for each in owned.repositories if not each.purging]
    entries = [
        Entry(
            "person:repository:purged",
            session.person.actor,
            account_id=each.account_id,
            repository_id=each.id,
        )
        for each in wanted
    ]
    deletion = Deletion(
        {each.id: each.version for each in wanted}, await broker.entries(entries), broker.now()
    )
    if not await broker.database.write(lapses.begin, deletion, weight=len(wanted) or 1):
        raise Conflict(f"A repository of {owned.account.login} changed at this moment: try again.")
    return len(wanted)
