"""Who may do what; above all, who may not."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import assume, given

from tests.strategies import run_keys
from zekt_bot.domain.access import (
    RUNS_OWN,
    SIDES,
    Action,
    Operator,
    Person,
    Resource,
    Side,
    WorkflowRun,
    decide,
)
from zekt_bot.domain.events import RunKey
from zekt_bot.errors import AccessDenied

ACTIONS: tuple[Action, ...] = get_args(Action)
KEY = RunKey(1, 2, 3)
RUN, MONA = WorkflowRun(KEY), Person(583231, "mona")
PROVIDER, CONSUMER = 11, 22
BOTH = Resource(provider=PROVIDER, consumer=CONSUMER)
OPEN = Resource(provider=PROVIDER, consumer=CONSUMER, open_to_all=True)
# How a person comes to stand on each side of a resource.
STANDS: dict[Side, tuple[Resource, frozenset[int]]] = {
    "provider": (BOTH, frozenset({PROVIDER})),
    "consumer": (BOTH, frozenset({CONSUMER})),
    "anyone": (OPEN, frozenset()),
    "self": (Resource(account=MONA.id), frozenset()),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_an_operator_may_do_everything(action: Action) -> None:
    decide(Operator("cli:me@here"), action)
    decide(Operator("cli:me@here"), action, BOTH)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("side", get_args(Side))
def test_a_person_may_do_what_is_named_for_the_side_and_nothing_else(
    action: Action, side: Side
) -> None:
    if side in SIDES.get(action, ()):
        decide(MONA, action, *STANDS[side])
    else:
        with pytest.raises(AccessDenied, match="mona may not"):
            decide(MONA, action, *STANDS[side])


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("resource", [Resource(), BOTH, Resource(run=KEY), Resource(account=33)])
def test_who_manages_neither_end_may_do_nothing(action: Action, resource: Resource) -> None:
    for manages in (frozenset(), frozenset({33})):
        with pytest.raises(AccessDenied):
            decide(MONA, action, resource, manages)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("subscription:end", "mona may not end this subscription: who .* the consumer repository"),
        ("delivery:read", "mona may not read this delivery: who .* the provider or consumer repos"),
        ("account:rule", "mona may not rule this account: an operator of this server may"),
        ("account:shield", "an operator of this server may, and of a person's account they them"),
    ],
)
def test_a_denial_says_who_may(action: Action, said: str) -> None:
    with pytest.raises(AccessDenied, match=said):
        decide(MONA, action)


def test_what_belongs_to_the_server_is_no_persons() -> None:
    for action in (
        "account:rule",
        "account:read",
        "sending:pause",
        "event:retry",
        "audit:read",
        "data:export",
        "message:store",
        "message:fetch",
        "delivery:confirm",
    ):
        assert action not in SIDES
    assert set(SIDES) < set(ACTIONS)


@pytest.mark.parametrize("action", sorted(set(ACTIONS) - RUNS_OWN))
@pytest.mark.parametrize("resource", [Resource(), BOTH, OPEN, Resource(run=KEY)])
def test_a_run_may_do_nothing_else(action: Action, resource: Resource) -> None:
    with pytest.raises(AccessDenied, match="A workflow run may not"):
        decide(RUN, action, resource, frozenset({PROVIDER, CONSUMER}))


def test_a_run_may_encrypt_and_store_its_own_messages() -> None:
    assert sorted(RUNS_OWN) == ["message:encrypt", "message:store"]
    for action in RUNS_OWN:
        decide(RUN, action, Resource(run=KEY))


@pytest.mark.parametrize("action", ["delivery:confirm", "message:fetch"])
def test_a_run_speaks_for_its_repository_about_what_came_to_it(action: Action) -> None:
    decide(RUN, action, Resource(consumer=KEY.repository_id))
    for other in (Resource(consumer=CONSUMER), Resource(provider=KEY.repository_id), Resource()):
        with pytest.raises(AccessDenied):
            decide(RUN, action, other)


def test_a_message_needs_to_say_whose_it_is() -> None:
    with pytest.raises(AccessDenied):
        decide(RUN, "message:store")


@given(run_keys, run_keys)
def test_a_run_may_not_store_anothers(own: RunKey, others: RunKey) -> None:
    assume(own != others)
    with pytest.raises(AccessDenied):
        decide(WorkflowRun(own), "message:store", Resource(run=others))


def test_an_unheard_of_action_is_denied() -> None:
    for who in (RUN, MONA):
        with pytest.raises(AccessDenied):
            decide(who, "everything:do", OPEN, frozenset({PROVIDER}))  # type: ignore[arg-type]


def test_the_audit_knows_principals_by_their_ids() -> None:
    assert Operator("cli:me@here").actor == "operator:cli:me@here"
    assert MONA.actor == "person:583231"
    assert RUN.actor == "run:1"
