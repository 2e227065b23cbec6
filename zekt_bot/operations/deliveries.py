"""Reading deliveries: lists, and all that happened to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db.lists import deliveries, reactions
from zekt_bot.domain.access import Person, Resource
from zekt_bot.domain.advice import Case, advise, waiting
from zekt_bot.domain.deliveries import STATES
from zekt_bot.domain.lists import DeliveryFilter, Page, check_page
from zekt_bot.domain.names import check_service_name
from zekt_bot.domain.proof import REACTS_WITHIN
from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH
from zekt_bot.errors import AccessDenied, GitHubError, InvalidInput, NotFound
from zekt_bot.operations import services
from zekt_bot.operations.preflight import check_subscription
from zekt_bot.operations.visibility import all_shown, may_list, may_show, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import RowMapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

FIRST_PAGE = Page()
EVERYTHING = DeliveryFilter()
_OF_THE_SOURCE = (
    "source",
    "source_repository_id",
    "provider_account_id",
    "service_owner",
    "workflow_path",
    "run_number",
    "html_url",
)


async def list_deliveries(
    broker: Broker,
    principal: Principal,
    page: Page = FIRST_PAGE,
    wanted: DeliveryFilter = EVERYTHING,
) -> list[dict[str, Any]]:
    """Deliveries, newest first. A person names a service or a consumer that they manage.

    Who manages the consumer alone sees nothing of a hidden source.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    own = wanted.service is not None and await _owns(broker, principal, wanted.service)
    if not own:
        await may_list(broker, principal, "delivery:read", wanted.repository)
    check_page(page, "dlv")
    if wanted.state is not None and wanted.state not in STATES:
        raise InvalidInput(f"{wanted.state!r} is no state; there are {', '.join(STATES)}.")
    found = await broker.database.query(deliveries.page, page, wanted)
    whole = own or not isinstance(principal, Person)
    return [
        one
        for one in (named(row, broker.now(), whole=whole) for row in found)
        if not one["source_is_hidden"] or _is_its_name(wanted.service, one["service"])
    ]


def _is_its_name(asked: str | None, name: str) -> bool:
    """Else asking by the owner's login would tell who hides behind an alias."""
    return asked is None or asked.lower() == name.lower()


async def _owns(broker: Broker, principal: Principal, service: str) -> bool:
    """Whether they may see all that this service sends."""
    check_service_name(service)
    if not isinstance(principal, Person):
        return False
    try:
        await services.owned(broker, principal, "delivery:read", service)
    except (AccessDenied, NotFound):
        return False
    return True


async def show_delivery(broker: Broker, principal: Principal, delivery_id: str) -> dict[str, Any]:
    """One delivery with its `attempts`, `runs` and `history`, oldest first; `why`, `what_to_do`.

    `runs` are the consumer's, `bound_by` its title or only `probable`. `silence`, if none reacted
    though one should have: what a check of the consumer's workflows says of that.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable, DecryptionFailed.
    """
    found = await broker.database.query(deliveries.one, delivery_id)
    ends = (found[0]["source_repository_id"], found[0]["target_repository_id"]) if found else ()
    managed = await may_show(broker, principal, "delivery:read", Resource(*ends))
    if found is None:
        raise NotFound(
            f"There is no delivery {delivery_id}: list them with `zekt deliveries list`."
        )
    row, attempts, history = found
    whole = not isinstance(principal, Person) or row["source_repository_id"] in managed
    delivery = named(row, broker.now(), whole=whole)
    tried = [_attempt(broker, attempt) for attempt in attempts]
    runs = await broker.database.query(reactions.of, [delivery_id])
    silent = _is_silent(row, broker.now()) and not runs
    return {
        **delivery,
        **advise(_case(delivery, row["due_at"], tried, silent=silent))._asdict(),
        "waits_until": row["due_at"],
        "attempts": tried,
        "runs": all_shown(runs),
        "silence": await _silence(broker, principal, row["cause_id"]) if silent else [],
        "history": [
            {
                "at": entry["at"],
                "actor": entry["actor"],
                "verb": entry["verb"],
                "details": orjson.loads(entry["details"]),
            }
            for entry in history
            if entry["delivery_id"] or not _is_untold(row, whole=whole)
        ],
    }


def held_up(row: Mapping[Any, Any], now: datetime) -> dict[str, str | None]:
    """What a delivery is waiting for, if its lane is closed."""
    return {"waiting": waiting(row["lane"], row["due_at"], row["lane_opens_at"], now)}


def _is_silent(row: RowMapping, now: datetime) -> bool:
    """Whether a run should have been heard of by now."""
    sent_at = row["dispatched_at"] if row["state"] == "dispatched" else None
    late = sent_at is not None and now - sent_at >= REACTS_WITHIN
    return late and row["channel"] == REPOSITORY_DISPATCH


async def _silence(broker: Broker, principal: Principal, subscription_id: str) -> list[str]:
    """Why no workflow reacts, as far as the check knows and they may be told."""
    try:
        found = await check_subscription(broker, principal, subscription_id)
    except (AccessDenied, NotFound, GitHubError):
        return []
    return [finding.text for finding in found if finding.level == "problem"]


def named(row: RowMapping, now: datetime, *, whole: bool) -> dict[str, Any]:
    """A delivery with its service as consumers write it; unless `whole`, hidden sources stay so.

    Who is not approved is told no more of an event than that there was one.
    """
    hidden = bool(row["hidden_source"]) and not whole
    owner = row["alias"] or (None if hidden else row["service_owner"]) or "?"
    service = f"{owner}/{row['slug'] or '?'}"
    told = {**shown(row), **held_up(row, now), "service": service, "source_is_hidden": hidden}
    if _is_untold(row, whole=whole):
        told |= dict.fromkeys(_OF_THE_SOURCE) | {"workflow_name": row["title"] or row["slug"]}
    if not whole and row["unapproved"]:
        told["conclusion"] = None
    if hidden and row["waits_for"] == "pause":
        told["reason"] = None  # it may be the id of the provider's account
    return told


def _is_untold(row: RowMapping, *, whole: bool) -> bool:
    """Whether nothing of its source is theirs to know."""
    return not whole and bool(row["hidden_source"] or row["unapproved"])


def _case(
    delivery: Mapping[str, Any],
    due_at: datetime | None,
    attempts: Sequence[Mapping[str, Any]],
    *,
    silent: bool,
) -> Case:
    last = attempts[-1] if attempts else {"status": None, "error": None}
    own = (
        "state",
        "reason",
        "blocked_reason",
        "waits_for",
        "waiting",
        "attempts",
        "event_type",
        "service",
    )
    return Case(
        **{name: delivery[name] for name in own},
        source=delivery["source"] or delivery["service"],
        workflow=delivery["workflow_path"] or "Its workflow",
        consumer=delivery["target"] or "the consumer",
        due_at=due_at,
        silent=silent,
        status=last["status"],
        said=last["error"],
    )


def _attempt(broker: Broker, row: RowMapping) -> dict[str, Any]:
    sealed = row["error"]
    place = ("attempts", "error", f"{row['delivery']}:{row['n']}")
    error = broker.database.keyring.open(place, sealed).decode() if sealed else None
    names = ("n", "at", "outcome", "status", "request_id", "duration_us", "sha256", "length")
    return {**{name: row[name] for name in names}, "error": error}
