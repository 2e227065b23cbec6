"""Services: a provider publishes allow-listed workflows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, mirror, subscriptions, tables, versions, workflows
from zekt_bot.db import services as rows_of
from zekt_bot.db.rows import profile_columns
from zekt_bot.domain.access import Person, Resource, decide
from zekt_bot.domain.catalog import Profile, check_profile
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.lists import Page, check_page
from zekt_bot.domain.names import (
    check_full_name,
    check_service_name,
    check_slug,
    check_workflow_path,
)
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import access, lookup, repositories
from zekt_bot.operations.accounts import resolve
from zekt_bot.operations.service_facts import service_facts
from zekt_bot.schemas import check_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Action, Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.operations.broker import Broker

MOST_APPROVED = 100
TAKEN = "taken"
MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Publication:
    """A service to be: its workflow, its short name and how it shows itself.

    No profile: as it was before, or a plain one. `approves`: logins of accounts whose requests
    need no answer; None: as the profile says.
    """

    path: str
    slug: str
    profile: Profile | None = None
    approves: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Writing:
    """A service as it was (None: there was none), and how it shall stand."""

    repository: Repository
    former: Service | None
    values: Mapping[str, Any]
    entry: Entry
    now: datetime


async def publish(
    broker: Broker, principal: Principal, full_name: str, wanted: Publication
) -> Service:
    """Publish an allow-listed workflow as a service, or bring back one that was unpublished.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: not a provider, not on the allow-list, or slug, workflow or alias are taken.
    """
    path, slug = check_workflow_path(wanted.path), check_slug(wanted.slug)
    check_profile(wanted.profile or Profile())
    repository = await repositories.provider(broker, principal, "service:publish", full_name)
    workflow = (repository.id, path)
    if not await broker.database.query(workflows.allowed, [workflow]):
        raise Conflict(
            f"{path} is not on the allow-list of {full_name}: "
            f"run `zekt workflows allow {full_name} {path}` first."
        )
    former = (await broker.database.query(rows_of.of_workflows, [workflow])).get(workflow)
    if former and (former.published or former.slug != slug):
        raise Conflict(
            f"{path} is published as {former.slug} already: a workflow has one service, and its "
            "short name stays. Change the rest with `zekt services edit`."
        )
    profile = wanted.profile or (former.profile if former else Profile())
    profile = await _checked(broker, repository, profile, wanted.approves)
    now = broker.now()
    values = {**profile_columns(profile), "published_at": now, "rests": None}
    if former is None:
        values |= {
            "id": new_id("svc", now),
            "account_id": repository.account_id,
            "repository_id": repository.id,
            "workflow_path": path,
            "slug": slug,
            "version": 1,
            "created_at": now,
        }
    return await _write(broker, principal, "published", repository, (former, values))


async def edit(
    broker: Broker,
    principal: Principal,
    name: str,
    changes: Mapping[str, Any],
    approves: tuple[str, ...] | None = None,
) -> Service:
    """Change how OWNER/SLUG shows itself: `changes` are fields of `Profile`.

    A subscription hears of an event type that is added only when its consumer accepts it.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: the alias is another account's.
    """
    service, repository = await owned(broker, principal, "service:edit", name)
    profile = replace(service.profile, **changes)
    profile = await _checked(broker, repository, profile, approves)
    return await _write(
        broker, principal, "edited", repository, (service, profile_columns(profile))
    )


async def unpublish(broker: Broker, principal: Principal, name: str) -> Service:
    """Stop OWNER/SLUG; `publish` brings it back with its subscriptions.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is not published.
    """
    service, repository = await owned(broker, principal, "service:unpublish", name)
    if not service.published:
        raise Conflict(f"{name} is not published.")
    return await _write(
        broker, principal, "unpublished", repository, (service, {"published_at": None})
    )


async def show(
    broker: Broker, principal: Principal, name: str, consumer: str | None = None
) -> dict[str, Any]:
    """One service; who manages it, or runs this server, sees all of it.

    `consumer`: a repository that they manage, for what only its people may find: a service of
    their own organization, or one that it is invited or subscribed to.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
    """
    access.refuse_runs(principal, "service:read")
    asking = None
    if consumer is not None:
        asking = await access.known(broker, principal, "subscription:read", consumer)
    service = await find(broker, name)
    found = findable(service, name, asking)
    if not found and asking is not None and is_its_name(service, name):
        found = await broker.database.query(subscriptions.between, service.id, asking.id)
    repository = await _source(broker, service)
    managed = await access.manages(broker, principal, [repository])
    _decide_to_read(principal, service, name, managed, found=found)
    whole = not isinstance(principal, Person) or repository.id in managed
    told = service_facts(service, repository if whole else None)
    if whole:
        known = await broker.database.query(mirror.logins, service.profile.approves)
        told["approves_logins"] = [known.get(each) for each in service.profile.approves]
    return told


async def list_services(
    broker: Broker,
    principal: Principal,
    *,
    repository: str | None = None,
    limit: int = 50,
    after: str = "",
) -> list[dict[str, Any]]:
    """Services by id, `limit` of them after the id `after`, of one repository or of all.

    A person who names no repository sees the directory: what is published, listed and public, but
    of no account that is shut out.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
    """
    access.refuse_runs(principal, "service:read")
    check_page(Page(limit, after or None), "svc")
    named = None
    if repository is not None:
        named = await access.known(
            broker, principal, "repository:read", check_full_name(repository)
        )
    public = named is None and isinstance(principal, Person)
    repository_id = named.id if named else None
    found = await broker.database.query(rows_of.page, limit, after, repository_id, public)
    known = await broker.database.query(
        mirror.repositories_by_id, {each.repository_id for each in found}
    )
    return [service_facts(each, None if public else known[each.repository_id]) for each in found]


async def find(broker: Broker, name: str) -> Service:
    """The service OWNER/SLUG, whoever may see it.

    Raises:
        InvalidInput, NotFound, StorageUnavailable.
    """
    owner, _, slug = check_service_name(name).partition("/")
    found = await broker.database.query(rows_of.by_name, owner, slug)
    if found is None:
        raise no_service(name)
    return found


async def owned(
    broker: Broker, principal: Principal, action: Action, name: str
) -> tuple[Service, Repository]:
    """A service with its repository, for whoever may do `action` to it.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    access.refuse_runs(principal, action)
    service = await find(broker, name)
    repository = await _source(broker, service)
    try:
        await access.check(broker, principal, action, provider=repository)
    except AccessDenied:
        if not findable(service, name):
            raise no_service(name) from None
        raise
    return service, repository


def findable(service: Service, name: str, consumer: Repository | None = None) -> bool:
    """Whether everybody, or the people of `consumer`, may find it under this name."""
    if not is_its_name(service, name):
        return False
    asking = consumer is not None and service.may_be_asked_for(consumer)
    return service.open_to_all or (service.published and asking)


def is_its_name(service: Service, name: str) -> bool:
    """Whether consumers may know it under this name: a hidden source under its alias alone."""
    return not service.profile.hidden_source or name.lower() == service.name.lower()


async def check_visible(
    broker: Broker,
    principal: Principal,
    service: Service,
    name: str,
    consumer: Repository | None = None,
) -> None:
    """Return if they, who manage `consumer`, may know that there is such a service.

    Raises:
        NotFound, GitHubError, StorageUnavailable.
    """
    found = findable(service, name, consumer)
    sources = [] if found else [await _source(broker, service)]  # what GitHub is asked for
    managed = await access.manages(broker, principal, sources)
    _decide_to_read(principal, service, name, managed, found=found)


def _decide_to_read(
    principal: Principal, service: Service, name: str, managed: frozenset[int], *, found: bool
) -> None:
    """Raise NotFound for who may not know of it; `found`: under this name everybody may."""
    resource = Resource(service.repository_id, open_to_all=found)
    try:
        decide(principal, "service:read", resource, managed)
    except AccessDenied:
        raise no_service(name) from None


def no_service(name: str) -> NotFound:
    """The same words for what is not there and for what one may not see."""
    return NotFound(f"There is no service {name}: its provider publishes it first.")


async def _source(broker: Broker, service: Service) -> Repository:
    known = await broker.database.query(mirror.repositories_by_id, [service.repository_id])
    return known[service.repository_id]


async def _checked(
    broker: Broker, repository: Repository, profile: Profile, approves: tuple[str, ...] | None
) -> Profile:
    """The profile with the accounts that `approves` names; its alias may be had."""
    if approves is not None:
        if len(approves) > MOST_APPROVED:
            raise InvalidInput(f"At most {MOST_APPROVED} accounts need no answer.")
        ids = tuple([(await resolve(broker, login)).id for login in approves])
        profile = replace(profile, approves=ids)
    profile = check_profile(profile)
    if profile.message_schema is not None:
        await asyncio.to_thread(check_schema, profile.message_schema)
    if profile.alias is not None:
        holder = await lookup.account(broker, profile.alias)
        if holder is not None and holder.get("id") != repository.account_id:
            raise _alias_taken(profile.alias)
    return profile


def _alias_taken(alias: str) -> Conflict:
    return Conflict(f"The alias {alias} is another account's: choose another one.")


async def _write(
    broker: Broker,
    principal: Principal,
    verb: str,
    repository: Repository,
    change: tuple[Service | None, Mapping[str, Any]],
) -> Service:
    former, values = change
    service_id = former.id if former else values["id"]
    slug = former.slug if former else values["slug"]
    entry = await broker.entry(
        f"person:service:{verb}",
        principal.actor,
        account_id=repository.account_id,
        repository_id=repository.id,
        details={"service": service_id, "slug": slug},
    )
    written = await broker.database.write(
        _apply, _Writing(repository, former, values, entry, broker.now())
    )
    if written == MOVED:
        raise Conflict(f"{slug} or its repository changed at this moment: try again.")
    if written == TAKEN:
        raise Conflict(f"The owner has a service {slug} already: choose another short name.")
    if isinstance(written, str):
        raise _alias_taken(values["alias"])
    return written


def _apply(connection: Connection, rows: Sequence[_Writing]) -> list[Service | str]:
    return [_apply_one(connection, row) for row in rows]


def _apply_one(connection: Connection, row: _Writing) -> Service | str:
    """The service as it now stands, or what kept it from that."""
    where = {row.repository.id: row.repository.version}
    if not versions.hold(connection, tables.repositories, where, to_change=True):
        return MOVED
    former, alias = row.former, row.values.get("alias")
    if former and not versions.hold(
        connection, tables.services, {former.id: former.version}, to_change=True
    ):
        return MOVED
    if alias and not rows_of.claim_alias(connection, alias, row.repository.account_id, row.now):
        return "alias"
    if former is None:
        if not rows_of.add(connection, row.values):
            if alias:
                rows_of.free_alias(connection, alias)
            return TAKEN
    else:
        rows_of.change(connection, former.id, **row.values)
        if former.profile.alias and "alias" in row.values:
            rows_of.free_alias(connection, former.profile.alias)
    mirror.touch(connection, row.repository.id)
    audit.record(connection, row.entry)
    made = rows_of.by_id(connection, former.id if former else row.values["id"])
    assert made is not None, "it was written in this unit"  # noqa: S101
    return made
