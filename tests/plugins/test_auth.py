"""The built-in policy: each reason it blocks for, what it lets through, and denial by default."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import ran, repository, service, subscription
from zekt_bot import (
    AllowedWorkflow,
    Conditions,
    Delivery,
    DeliveryPolicyFacts,
    Envelope,
    EnvelopePolicyFacts,
    PluginFailed,
    Run,
    RunKey,
    RunPolicyFacts,
)
from zekt_bot.plugins import load

NOW = datetime(2026, 7, 1, tzinfo=UTC)
PATH = ".github/workflows/release.yml"
PLUGINS = load()


PROVIDER, CONSUMER = repository(1, consumer=False), repository(2, provider=False)
ALLOWED = AllowedWorkflow(PROVIDER.id, PATH)
FORKS = replace(ALLOWED, conditions=Conditions(forks=True))
SERVICE = service("released")
SUBSCRIPTION = subscription("*")
RUN = Run("run_1", RunKey(PROVIDER.id, 10, 1), "cor_1", "gathering", 1, 0, None)
ENVELOPE = Envelope("evt_1", "run_1", "message", "released", "msg_1", 1, "", NOW)
DELIVERY = Delivery(
    "dlv_1",
    "evt_1",
    "subscription",
    "sub_1",
    0,
    CONSUMER.id,
    "repository_dispatch",
    "github:77",
    "pending",
    0,
    NOW,
)
RUN_FACTS = RunPolicyFacts(PROVIDER, ALLOWED, ran(), from_fork=False)
FACTS = DeliveryPolicyFacts(RUN_FACTS, SERVICE, SUBSCRIPTION, PROVIDER, CONSUMER, "released")


async def reason_of(subject: Any, facts: Any) -> str | None:
    blocked = await PLUGINS.block_reason(subject, facts)
    assert blocked is None or blocked.plugin == "auth"
    return blocked.reason if blocked else None


async def of_run(**changes: Any) -> str | None:
    return await reason_of(RUN, replace(RUN_FACTS, **changes))


async def of_delivery(**changes: Any) -> str | None:
    return await reason_of(DELIVERY, replace(FACTS, **changes))


async def test_what_everyone_agreed_to_goes_on() -> None:
    assert await of_run() is None
    assert await reason_of(ENVELOPE, EnvelopePolicyFacts(SERVICE)) is None
    assert await of_delivery() is None


async def test_a_workflow_off_the_allow_list_is_blocked() -> None:
    assert await of_run(allowed=None) == "not_allowed"


@pytest.mark.parametrize(("hops", "reason"), [(0, None), (8, None), (9, "loop")])
async def test_a_run_too_far_from_its_beginning_is_a_loop(hops: int, reason: str | None) -> None:
    run, facts = replace(RUN, hops=hops), replace(RUN_FACTS, most_hops=8)
    assert await reason_of(run, facts) == reason
    assert await reason_of(run, replace(facts, most_hops=None)) is None


async def test_a_repository_that_is_no_provider_is_blocked_whatever_its_list_says() -> None:
    assert await of_run(repository=replace(PROVIDER, provider=False)) == "not_allowed"


async def test_a_fork_is_blocked_unless_the_allow_list_names_forks() -> None:
    assert await of_run(from_fork=True) == "from_fork"
    assert await of_run(from_fork=True, allowed=FORKS) is None


@pytest.mark.parametrize(
    ("head", "fork"), [(PROVIDER.id, False), (PROVIDER.id + 1, True), (None, True)]
)
async def test_a_head_repository_that_is_another_or_nobody_knows_is_a_fork(
    head: int | None, fork: bool
) -> None:
    run = replace(RUN, facts=ran(head_repository_id=head))
    reason = await reason_of(run, replace(RUN_FACTS, from_fork=run.from_fork))
    assert reason == ("from_fork" if fork else None)


async def test_a_run_whose_webhook_never_came_is_blocked() -> None:
    assert await of_run(ran=None, allowed=FORKS) == "not_allowed"


@pytest.mark.parametrize(
    ("conditions", "run", "reason"),
    [
        ({}, {"conclusion": "failure", "head_branch": None}, None),
        ({}, {"conclusion": "cancelled"}, "conclusion_not_allowed"),
        ({}, {"conclusion": None}, "conclusion_not_allowed"),
        ({"conclusions": ("cancelled",)}, {"conclusion": "cancelled"}, None),
        ({}, {"event": "pull_request"}, "run_event_not_allowed"),
        ({"events": ("pull_request",)}, {"event": "pull_request"}, None),
        ({"events": ("push",)}, {"event": "schedule"}, "run_event_not_allowed"),
        ({"branches": ("main",)}, {"head_branch": "main"}, None),
        ({"branches": ("main",)}, {"head_branch": "mainly"}, "branch_not_allowed"),
        ({"branches": ("main",)}, {"head_branch": None}, "branch_not_allowed"),
        ({"branches": ("x", "release/*")}, {"head_branch": "release/2"}, None),
    ],
)
async def test_a_run_leaves_as_its_entrys_conditions_say(
    conditions: dict[str, Any], run: dict[str, Any], reason: str | None
) -> None:
    allowed = replace(ALLOWED, conditions=Conditions(**conditions))
    assert await of_run(allowed=allowed, ran=ran(**run)) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"installation_id": None},
        {"installation_state": None},
        {"installation_state": "suspended"},
        {"installation_state": "deleted"},
    ],
)
async def test_without_the_app_at_an_end_there_is_no_consent(changes: dict[str, Any]) -> None:
    provider, consumer = replace(PROVIDER, **changes), replace(CONSUMER, **changes)
    assert await of_run(repository=provider) == "consent"
    assert await of_delivery(run=replace(RUN_FACTS, repository=provider)) == "consent"
    assert await of_delivery(provider=provider) == "consent"
    assert await of_delivery(consumer=consumer) == "consent"


async def test_an_event_type_that_the_service_does_not_declare_is_blocked() -> None:
    stray = replace(ENVELOPE, event_type="deploy-now")
    assert await reason_of(stray, EnvelopePolicyFacts(SERVICE)) == "event_type_not_declared"
    silent = service()
    assert await reason_of(ENVELOPE, EnvelopePolicyFacts(silent)) == "event_type_not_declared"


async def test_a_service_that_declares_every_event_type_may_send_any() -> None:
    any_type = service("*")
    stray = replace(ENVELOPE, event_type="deploy-now")
    assert await reason_of(stray, EnvelopePolicyFacts(any_type)) is None


@pytest.mark.parametrize("in_clear", [False, True])
async def test_a_service_that_asks_for_shield_sends_nothing_in_clear(in_clear: bool) -> None:
    closed = replace(SERVICE, profile=replace(SERVICE.profile, shield=True))
    reason = "not_encrypted" if in_clear else None
    assert await reason_of(ENVELOPE, EnvelopePolicyFacts(closed, in_clear)) == reason
    assert await of_delivery(service=closed, in_clear=in_clear) == reason
    assert await of_delivery(in_clear=in_clear) is None


async def test_a_delivery_whose_service_no_longer_declares_its_event_type_is_blocked() -> None:
    assert await of_delivery(service=service("deployed")) == "event_type_not_declared"
    assert await of_delivery(event_type="deploy-now") == "event_type_not_declared"


@pytest.mark.parametrize("state", ["requested", "rejected", "revoked", "ended"])
async def test_only_an_approved_subscription_delivers(state: Any) -> None:
    assert await of_delivery(subscription=replace(SUBSCRIPTION, state=state)) == "not_approved"


@pytest.mark.parametrize(
    "changes",
    [
        {"service": None},
        {"service": replace(SERVICE, published=False)},
        {"subscription": None},
        {"consumer": replace(CONSUMER, consumer=False)},
        {"subscription": subscription("deployed")},
        {"changed_hands": True},
    ],
)
async def test_what_was_withdrawn_delivers_no_more(changes: dict[str, Any]) -> None:
    assert await of_delivery(**changes) == "not_approved"


async def test_nothing_comes_from_an_archived_repository_or_reaches_one() -> None:
    archived = replace(PROVIDER, archived=True)
    assert await of_run(repository=archived) == "consent"
    assert await of_delivery(provider=archived) == "consent"
    assert await of_delivery(consumer=replace(CONSUMER, archived=True)) == "no_access"


async def test_a_consumer_that_may_not_be_written_to_is_not_reached() -> None:
    lacking = replace(CONSUMER, lacks=("actions", "contents"))
    assert await of_delivery(consumer=lacking) == "permission_missing"
    assert await of_delivery(consumer=replace(CONSUMER, lacks=("actions",))) is None


async def test_what_was_taken_back_since_is_blocked_though_all_is_agreed_again() -> None:
    assert await of_delivery(withdrawn=True) == "withdrawn"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"allowed": None}, "not_allowed"),
        ({"from_fork": True}, "from_fork"),
        ({"repository": replace(PROVIDER, provider=False)}, "not_allowed"),
    ],
)
async def test_the_run_is_judged_again_before_a_delivery(
    changes: dict[str, Any], reason: str
) -> None:
    assert await of_delivery(run=replace(RUN_FACTS, **changes)) == reason


@pytest.mark.parametrize("subject", [RUN, DELIVERY])
async def test_facts_that_do_not_fit_their_subject_let_nothing_through(subject: Any) -> None:
    with pytest.raises(PluginFailed, match="zekt_block_reason"):
        await reason_of(subject, EnvelopePolicyFacts(SERVICE))


async def test_a_run_beyond_the_quota_of_its_account_does_not_leave() -> None:
    assert await reason_of(RUN, replace(RUN_FACTS, over_quota=True)) == "quota"


async def test_facts_of_an_unknown_kind_let_nothing_through() -> None:
    unknown: Any = object()
    with pytest.raises(PluginFailed, match="zekt_block_reason"):
        await reason_of(RUN, unknown)


FLAGS = st.booleans()


@given(allowed=FLAGS, forks=FLAGS, fork=FLAGS, provider=FLAGS, installed=FLAGS)
async def test_a_run_leaves_only_if_every_condition_holds(
    allowed: bool, forks: bool, fork: bool, provider: bool, installed: bool
) -> None:
    facts = RunPolicyFacts(
        replace(PROVIDER, provider=provider, installation_id=77 if installed else None),
        (FORKS if forks else ALLOWED) if allowed else None,
        ran(),
        from_fork=fork,
    )
    free = provider and allowed and (forks or not fork) and installed
    assert (await reason_of(RUN, facts) is None) == free


@given(published=FLAGS, approved=FLAGS, consumer=FLAGS, installed=FLAGS, archived=FLAGS)
async def test_a_delivery_leaves_only_if_every_condition_holds(
    published: bool, approved: bool, consumer: bool, installed: bool, archived: bool
) -> None:
    reason = await of_delivery(
        service=replace(SERVICE, published=published),
        subscription=replace(SUBSCRIPTION, state="approved" if approved else "ended"),
        consumer=replace(
            CONSUMER,
            consumer=consumer,
            installation_state="active" if installed else "suspended",
            archived=archived,
        ),
    )
    free = published and approved and consumer and installed and not archived
    assert (reason is None) == free
