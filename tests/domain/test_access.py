"""Who may do what; above all, who may not."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import assume, given

from tests.strategies import run_keys
from zekt_bot.domain.access import Action, Operator, RunResource, WorkflowRun, decide
from zekt_bot.domain.events import RunKey
from zekt_bot.errors import AccessDenied

ACTIONS: tuple[Action, ...] = get_args(Action)
KEY = RunKey(1, 2, 3)
RUN = WorkflowRun(KEY)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_operator_may_do_everything(action: Action) -> None:
    decide(Operator("cli:me@here"), action)
    decide(Operator("cli:me@here"), action, RunResource(KEY))


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "message:store"])
@pytest.mark.parametrize("resource", [None, RunResource(KEY)])
def test_a_run_may_do_nothing_else(action: Action, resource: RunResource | None) -> None:
    with pytest.raises(AccessDenied, match="run:1 may not"):
        decide(RUN, action, resource)


def test_a_run_may_store_its_own_messages() -> None:
    decide(RUN, "message:store", RunResource(KEY))


def test_a_message_needs_to_say_whose_it_is() -> None:
    with pytest.raises(AccessDenied):
        decide(RUN, "message:store")


@given(run_keys, run_keys)
def test_a_run_may_not_store_anothers(own: RunKey, others: RunKey) -> None:
    assume(own != others)
    with pytest.raises(AccessDenied):
        decide(WorkflowRun(own), "message:store", RunResource(others))


def test_an_unheard_of_action_is_denied() -> None:
    with pytest.raises(AccessDenied):
        decide(RUN, "everything:do", RunResource(KEY))  # type: ignore[arg-type]


def test_the_audit_knows_principals_by_their_ids() -> None:
    assert Operator("cli:me@here").actor == "operator:cli:me@here"
    assert RUN.actor == "run:1"
