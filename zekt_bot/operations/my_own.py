"""What Zekt keeps of the person who is signed in: to take along, and to delete."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, people
from zekt_bot.db.people import Forgetting
from zekt_bot.errors import Conflict, InvalidInput
from zekt_bot.operations import sessions

if TYPE_CHECKING:
    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker


async def export(broker: Broker, session: Session) -> dict[str, Any]:
    """What is kept, by what it is about; of tokens only until when they are good.

    Raises:
        StorageUnavailable.
    """
    person = session.person
    entry = await broker.entry("person:profile:exported", person.actor)
    await broker.database.write(audit.record_all, entry)
    return asdict(await broker.database.query(people.kept, person))


async def delete(broker: Broker, session: Session, typed: str) -> None:
    """End all of their sessions and forget their name and what they chose; the audit keeps the id.

    Raises:
        InvalidInput: `typed` is not their login.
        Conflict: they are an operator of this server by what it stored.
        StorageUnavailable.
    """
    person = session.person
    if session.operator:
        raise Conflict(
            "You are an operator of this server. Let somebody take that from you first: "
            f"`zekt operators remove {person.login}`."
        )
    if typed.lower() != person.login.lower():
        raise InvalidInput(f"Type {person.login}, your login.")
    entry = await broker.entry("person:profile:deleted", person.actor)
    ended = await broker.database.write(people.forget, Forgetting(person, entry, broker.now()))
    broker.roles.forget(session.hash)
    await sessions.give_back(broker, ended)
