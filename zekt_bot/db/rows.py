"""From rows to domain values. Columns carry a prefix, so that one join fills several values."""

from __future__ import annotations

import json
from collections import namedtuple
from datetime import timedelta
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import and_, or_

from zekt_bot.db.tables import (
    accounts,
    allowed_workflows,
    deliveries,
    installations,
    messages,
    repositories,
    services,
)
from zekt_bot.domain.catalog import AllowedWorkflow, Conditions, Profile, Repository, Service
from zekt_bot.domain.consent import lacking
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.events import Envelope, Job, Message, Run, RunFacts, RunKey
from zekt_bot.domain.subscriptions import Durable, Filters, Ordered, Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, FromClause, Join, Label, RowMapping

    Row = RowMapping | Mapping[str, Any]


def labelled(prefix: str, source: FromClause, names: tuple[str, ...]) -> list[Label[Any]]:
    """The columns `names` of `source`, labelled with `prefix`."""
    return [source.c[name].label(prefix + name) for name in names]


APP = "orchestrator"  # only its state gives or takes consent


def _without(table: FromClause, *unread: str) -> tuple[str, ...]:
    """The columns that are read of each row: what nobody looks at costs as much."""
    return tuple(column.name for column in table.c if column.name not in unread)


RUN = (
    "id",
    *RunKey._fields,
    "correlation_id",
    "state",
    "version",
    "hops",
    *RunFacts.__dataclass_fields__,
    "gather_until",
    "aggregated_at",
    "recovered_at",
    "blocked_reason",
    "caused_by_delivery_id",
    "bound_by",
)
ENVELOPE = (
    "id",
    "run",
    "kind",
    "event_type",
    "message",
    "version",
    "fanned_out_to",
    "created_at",
    "blocked_reason",
)
MESSAGE = _without(messages, "step_ref", "redactions")
DELIVERY = _without(
    deliveries, "blocked_reason", "reason", "dispatched_at", "prove_by", "updated_at", "due_at"
)
SERVICE = _without(services, "created_at")
SUBSCRIPTION = (
    "id",
    "service_id",
    "repository_id",
    "channel",
    "lane",
    "event_types",
    "filters",
    "state",
    "approved_at",
    "paused_at",
    "resumed_at",
    "durable_after",
    "durable_sends",
    "ordered_by",
    "ordered_within",
    "ordered_stops",
    "version",
)
REPOSITORY = _without(repositories, "full_name_lower", "updated_at")
ALLOWED = _without(allowed_workflows)


def run_of(row: Row) -> Run:
    """A run; its facts are there once a `workflow_run` webhook told them."""
    return Run(
        id=row["id"],
        key=RunKey(*_KEY(row)),
        correlation_id=row["correlation_id"],
        state=row["state"],
        version=row["version"],
        hops=row["hops"],
        facts=RunFacts(*_FACTS(row)) if row["workflow_path"] is not None else None,
        gather_until=row["gather_until"],
        aggregated_at=row["aggregated_at"],
        recovered_at=row["recovered_at"],
        blocked_reason=row["blocked_reason"],
        caused_by_delivery_id=row["caused_by_delivery_id"],
        bound_by=row["bound_by"],
    )


_KEY = itemgetter(*RunKey._fields)
_FACTS = itemgetter(*RunFacts.__dataclass_fields__)


def job_of(row: Row) -> Job:
    """A job."""
    return Job(*_JOB(row))


_JOB = itemgetter(*Job.__dataclass_fields__)


def message_of(row: Row) -> Message:
    """A message without its body."""
    return Message(
        id=row["id"],
        run_id=row["run"],
        envelope_id=row["envelope_id"],
        event_type=row["event_type"],
        sha256=row["sha256"],
        size=row["size"],
        created_at=row["created_at"],
        shield=row["shield"],
    )


def envelope_of(row: Row) -> Envelope:
    """An envelope without its body."""
    return Envelope(
        id=row["id"],
        run_id=row["run"],
        kind=row["kind"],
        event_type=row["event_type"],
        message_id=row["message"],
        version=row["version"],
        fanned_out_to=row["fanned_out_to"],
        created_at=row["created_at"],
        blocked_reason=row["blocked_reason"],
    )


def delivery_of(row: Row) -> Delivery:
    """A delivery."""
    return Delivery(*_DELIVERY(row))


_DELIVERY = itemgetter(
    *("envelope" if name == "envelope_id" else name for name in Delivery.__dataclass_fields__)
)


def admitted(account: FromClause) -> ColumnElement[bool]:
    """Whether an account is not shut out."""
    rule, listed = account.c.rule, account.c.listed
    in_force = or_(rule.is_not(None), listed.is_distinct_from(False))
    return and_(rule.is_distinct_from("block"), in_force)


_STANDING = ("state", "permissions", "rule", "listed")  # its installation's, its account's
_named: Any = namedtuple  # its fields are known only here
_Whole = _named("_Whole", (*REPOSITORY, *_STANDING))


class RepositoryRows:
    """A repository with what decides about it: its installation's state, its account's rule."""

    def __init__(self, prefix: str) -> None:
        """Tables of its own, so that two of them fit into one statement."""
        self._prefix = prefix
        self.table = repositories.alias(f"{prefix}repository")
        self._installation = installations.alias(f"{prefix}installation")
        self._account = accounts.alias(f"{prefix}account")
        self._read = itemgetter(*(prefix + name for name in _Whole._fields))

    @property
    def columns(self) -> list[Label[Any]]:
        """What `read` needs."""
        return [
            *labelled(self._prefix, self.table, REPOSITORY),
            *labelled(self._prefix, self._installation, ("state", "permissions")),
            *labelled(self._prefix, self._account, ("rule", "listed")),
        ]

    def joined(
        self, source: FromClause | None = None, on: ColumnElement[bool] | None = None
    ) -> Join:
        """`source`, or nothing else, with the repository that `on` says."""
        table: FromClause = self.table if source is None else source.join(self.table, on)
        installation, account, own = self._installation.c, self._account.c, self.table.c
        ours = and_(installation.id == own.installation_id, installation.app == APP)
        return table.outerjoin(self._installation, ours).outerjoin(
            self._account, account.id == own.account_id
        )

    @property
    def takes_part(self) -> ColumnElement[bool]:
        """Whether it is enabled as a consumer, and nothing stands in its way."""
        return and_(
            self.table.c.consumer_enabled_at.is_not(None),
            self.table.c.archived.is_(False),
            self._installation.c.state == "active",
            admitted(self._account),
        )

    def read(self, row: Row) -> Repository:
        """The repository in a row of such a statement."""
        own = _Whole(*self._read(row))
        provider = own.provider_enabled_at is not None
        consumer = own.consumer_enabled_at is not None
        return Repository(
            id=own.id,
            full_name=own.full_name,
            account_id=own.account_id,
            installation_id=own.installation_id,
            installation_state=own.state,
            private=own.private,
            archived=own.archived,
            provider=provider,
            consumer=consumer,
            blocked=own.rule == "block" or (own.rule is None and own.listed is False),
            version=own.version,
            provider_since=own.provider_enabled_at,
            consumer_since=own.consumer_enabled_at,
            heard_since=own.heard_since,
            unread_since=own.unread_since,
            purging=own.purging_since is not None,
            lapsed_at=own.lapsed_at,
            withdrawn_at=own.withdrawn_at,
            lacks=_lacking(own.permissions or "{}", provider=provider, consumer=consumer),
        )


@lru_cache(256)  # most accounts granted the same
def _lacking(permissions: str, *, provider: bool, consumer: bool) -> tuple[str, ...]:
    return lacking(orjson.loads(permissions), provider=provider, consumer=consumer)


def allowed_of(row: Row) -> AllowedWorkflow:
    """An allow-list entry."""
    conditions = Conditions(
        branches=_listed(row["branches"]),
        events=_listed(row["events"]),
        conclusions=_listed(row["conclusions"]),
        forks=row["forks"],
    )
    since = row["created_at"]
    return AllowedWorkflow(row["repository_id"], row["path"], conditions, since)


@lru_cache(1024)  # most lists are the same few
def _listed(text: str) -> tuple[Any, ...]:
    return tuple(orjson.loads(text))


def service_of(row: Row, p: str, owner: str | None) -> Service:
    """A service."""
    return Service(
        id=row[p + "id"],
        account_id=row[p + "account_id"],
        owner=owner or "",
        slug=row[p + "slug"],
        repository_id=row[p + "repository_id"],
        workflow_path=row[p + "workflow_path"],
        published=row[p + "published_at"] is not None,
        rests=row[p + "rests"],
        profile=Profile(
            title=row[p + "title"],
            description=row[p + "description"],
            tags=_listed(row[p + "tags"]),
            alias=row[p + "alias"],
            visibility=row[p + "visibility"],
            listed=row[p + "listed"],
            hidden_source=row[p + "hidden_source"],
            event_types=_listed(row[p + "event_types"]),
            approves=_listed(row[p + "approves"]),
            one_per_type=row[p + "one_per_type"],
            secrets=row[p + "secrets"],
            message_schema=row[p + "message_schema"],
            shield=row[p + "shield"],
        ),
        version=row[p + "version"],
        former_alias=row[p + "former_alias"],
    )


def profile_columns(profile: Profile) -> dict[str, Any]:
    """A profile as the columns of its service."""
    return {
        name: json.dumps(value) if isinstance(value, tuple) else value
        for name in Profile.__dataclass_fields__
        for value in (getattr(profile, name),)
    }


def subscription_of(row: Row, p: str = "") -> Subscription:
    """A subscription."""
    return Subscription(
        id=row[p + "id"],
        service_id=row[p + "service_id"],
        repository_id=row[p + "repository_id"],
        channel=row[p + "channel"],
        state=row[p + "state"],
        event_types=_listed(row[p + "event_types"]),
        filters=filters_of(row[p + "filters"]),
        paused=row[p + "paused_at"] is not None,
        lane=row[p + "lane"],
        version=row[p + "version"],
        approved_at=row[p + "approved_at"],
        resumed_at=row[p + "resumed_at"],
        durable=durable_of(row[p + "durable_after"], row[p + "durable_sends"]),
        ordered=ordered_of(row, p),
    )


def durable_of(after: int | None, sends: int | None) -> Durable | None:
    """How a subscription is made durable, or None."""
    return None if after is None or sends is None else Durable(timedelta(seconds=after), sends)


def ordered_of(row: Row, p: str = "") -> Ordered | None:
    """How a subscription is ordered, or None."""
    by = row[p + "ordered_by"]
    if by is None:
        return None
    within = timedelta(seconds=row[p + "ordered_within"])
    return Ordered(by, within, stops=row[p + "ordered_stops"])


@lru_cache(1024)
def filters_of(text: str) -> Filters:
    """Filters from their column."""
    return Filters(**{name: tuple(values) for name, values in orjson.loads(text).items()})
