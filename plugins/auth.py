"""What may go on: allow-list and its conditions, hops, declared event types, approval, consent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot import (
    DeliveryPolicyFacts,
    Envelope,
    EnvelopePolicyFacts,
    Run,
    RunPolicyFacts,
    Service,
    hookimpl,
)

if TYPE_CHECKING:
    from zekt_bot import Delivery, Repository


@hookimpl
def zekt_block_reason(
    subject: Run | Envelope | Delivery,
    facts: RunPolicyFacts | EnvelopePolicyFacts | DeliveryPolicyFacts,
) -> str | None:
    """The first reason of the built-in policy, or None. A pair that it does not know raises."""
    if isinstance(facts, RunPolicyFacts) and isinstance(subject, Run):
        return _run(facts) or _loop(subject, facts)
    if isinstance(facts, EnvelopePolicyFacts) and isinstance(subject, Envelope):
        return _service(facts.service, subject.event_type, in_clear=facts.in_clear)
    if isinstance(facts, DeliveryPolicyFacts):
        return _run(facts.run) or _approval(facts) or _access(facts)
    raise TypeError(f"{type(facts).__name__} of a {type(subject).__name__} decide nothing.")


def _run(facts: RunPolicyFacts) -> str | None:
    """May this run leave its repository?"""
    if not facts.repository.provider or facts.allowed is None or facts.ran is None:
        return "not_allowed"
    refused = facts.allowed.conditions.refuse(facts.ran, from_fork=facts.from_fork)
    if refused:
        return refused
    if facts.repository.blocked:
        return "account_blocked"
    if not _sends(facts.repository):
        return "consent"
    return "quota" if facts.over_quota else None


def _sends(provider: Repository) -> bool:
    """Whether anything may come from it: of archived ones the reason is the same, lest it tell
    consumers of a hidden source which repository that is.
    """
    return provider.consented and not provider.archived


def _loop(run: Run, facts: RunPolicyFacts) -> str | None:
    """Has it come too far from where it began?"""
    return "loop" if facts.most_hops is not None and run.hops > facts.most_hops else None


def _approval(facts: DeliveryPolicyFacts) -> str | None:
    """Is the service published, the subscription approved, this event type agreed at both ends?

    Between the owners of that time: who approves anew approves what comes from then on.
    """
    service, subscription = facts.service, facts.subscription
    approved = (
        service is not None
        and service.published
        and service.account_id == facts.provider.account_id
        and subscription is not None
        and subscription.state == "approved"
        and subscription.accepts(facts.event_type)
        and facts.consumer.consumer
        and not facts.changed_hands
    )
    if service is None or not approved:
        return "not_approved"
    return _service(service, facts.event_type, in_clear=facts.in_clear)


def _service(service: Service, event_type: str, *, in_clear: bool) -> str | None:
    """Does it send such an event? It may take only encrypted messages since this one came."""
    if not service.declares(event_type):
        return "event_type_not_declared"
    return "not_encrypted" if in_clear and service.profile.shield else None


def _access(facts: DeliveryPolicyFacts) -> str | None:
    """Is the App installed at both ends, as since it was made? Do workflows run at both?"""
    if facts.consumer.blocked:
        return "account_blocked"
    if not (_sends(facts.provider) and facts.consumer.consented):
        return "consent"
    if facts.consumer.archived:
        return "no_access"
    if "contents" in facts.consumer.lacks:
        return "permission_missing"
    return "withdrawn" if facts.withdrawn else None
