"""Switching durable on: which workflows of the consumer would confirm, and that they do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.operations.subscribing import ENDS
from tests.stage import ME
from zekt_bot.db.tables import deliveries, runs
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.subscriptions import Durable, Ordered
from zekt_bot.errors import Conflict
from zekt_bot.operations import unproven
from zekt_bot.operations.confirmations import confirm
from zekt_bot.operations.durability import make_durable
from zekt_bot.operations.ordering import make_ordered
from zekt_bot.operations.preflight.findings import RUN_NAME

if TYPE_CHECKING:
    from tests.stage import Stage

PATH = ".github/workflows/react.yml"
ACTION = "uses: ACME/zekt/action@v1\n        with: {mode: receive, zekt-api-url: '${{ vars.URL }}'}"
CURL = 'run: curl --data @body "$ZEKT/api/event-delivery/confirm"'
MAY = "permissions: {id-token: write}"


def reacting(step: str = "run: make", *, top: str = "", job: str = "name: React") -> str:
    """A workflow that starts on any dispatch, with this step."""
    return (
        f"on: repository_dispatch\n{top}\njobs:\n  react:\n    {job}\n    steps:\n      - {step}\n"
    )


CONFIRM = {
    "run-name": reacting(top=RUN_NAME),
    "the Action, its job may ask": reacting(ACTION, job=MAY),
    "the Action, all jobs may ask": reacting(ACTION, top=MAY),
    "the Action, all is allowed": reacting(ACTION, top="permissions: write-all"),
    "the Action under a condition": reacting(f"if: github.ref\n        {ACTION}", top=MAY),
    "a script that calls the API": reacting(CURL, job=MAY),
    "both": reacting(ACTION, top=f"{RUN_NAME}\n{MAY}"),
}
DO_NOT = {
    "nothing": reacting(),
    "another run-name": reacting(top="run-name: Deploy"),
    "the Action without permissions": reacting(ACTION),
    "the Action, its job has fewer": reacting(ACTION, top=MAY, job="permissions: {contents: read}"),
    "the Action that sends": reacting(ACTION.replace("receive", "send"), top=MAY),
    "the Action that never runs": reacting(f"if: false\n        {ACTION}", top=MAY),
    "a script that sends": reacting(CURL.replace("event-delivery/confirm", "events/receive")),
    "another event": reacting(ACTION, top=MAY).replace("repository_dispatch", "push"),
    "a reusable workflow": f"on: repository_dispatch\n{MAY}\njobs: {{a: {{uses: ./x/y.yml}}}}\n",
}


@pytest.mark.parametrize("text", CONFIRM.values(), ids=CONFIRM)
async def test_either_way_to_confirm_is_enough(stage: Stage, text: str) -> None:
    await stage.serve()
    stage.github.write_file(stage.consumer, PATH, text)
    made = await make_durable(stage.broker, ME, ENDS, Durable())
    assert made.durable == Durable()
    ordered = await make_ordered(stage.broker, ME, ENDS, Ordered("ended"))
    assert ordered.ordered == Ordered("ended")


@pytest.mark.parametrize("text", DO_NOT.values(), ids=DO_NOT)
async def test_what_confirms_nothing_is_refused_with_both_ways_to_mend_it(
    stage: Stage, text: str
) -> None:
    await stage.serve()
    stage.github.write_file(stage.consumer, PATH, text)
    with pytest.raises(Conflict) as refused:
        await make_durable(stage.broker, ME, ENDS, Durable())
    said = str(refused.value)
    assert RUN_NAME in said
    assert "`mode: receive` and `zekt-api-url`" in said
    assert "`permissions: id-token: write`" in said
    assert "With --force each delivery is sent as often as set" in said
    with pytest.raises(Conflict, match="With --force the next waits as long as set"):
        await make_ordered(stage.broker, ME, ENDS, Ordered("ended"))
    forced = await make_durable(stage.broker, ME, ENDS, Durable(), force=True)
    assert forced.durable == Durable()


async def test_a_workflow_that_is_disabled_confirms_nothing(stage: Stage) -> None:
    await stage.serve()
    workflow = stage.github.add_workflow(stage.consumer, PATH, text=CONFIRM["both"])
    stage.github.disable_workflow(workflow)
    with pytest.raises(Conflict):
        await make_durable(stage.broker, ME, ENDS, Durable())


async def test_what_its_steps_confirm_is_not_sent_again(stage: Stage) -> None:
    """Two at once, which no guess could tell apart: only what the runs say binds them."""
    await stage.serve()
    stage.github.write_file(stage.consumer, PATH, CONFIRM["the Action, its job may ask"])
    await make_durable(stage.broker, ME, ENDS, Durable())
    for _ in range(2):
        await stage.finish_run("build")
    await stage.flow()
    await stage.github.settle()
    sent = [one.client_payload["zekt"]["deliveryId"] for one in stage.github.dispatches]
    started = [run for run in stage.github.runs if run.repository is stage.consumer]
    assert (len(sent), len(started)) == (2, 2)

    key = RunKey(stage.consumer.id, started[0].id, 1)
    confirmed = await confirm(stage.broker, WorkflowRun(key), sent[0])
    assert confirmed.state == "confirmed"
    await stage.listen()
    bound = [(row["caused_by_delivery_id"], row["bound_by"]) for row in await stage.rows(runs)]
    assert [one for one in bound if one[1]] == [(sent[0], "token")]
    stage.clock.advance(timedelta(minutes=10))
    assert await unproven.send_again(stage.broker) == 1
    await stage.deliver()
    again = [one.client_payload["zekt"]["deliveryId"] for one in stage.github.dispatches[2:]]
    assert again == sent[1:]

    await started[0].complete("success")
    await stage.listen()
    ended = {row["id"]: row["state"] for row in await stage.rows(deliveries)}
    assert ended[sent[0]] == "completed"
