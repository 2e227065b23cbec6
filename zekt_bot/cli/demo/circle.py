"""The full circle: two of the example workflows, run for real with the Zekt Action."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import zekt_bot
from zekt_bot.cli import timeline
from zekt_bot.cli.demo import looks
from zekt_bot.cli.demo.stage import MESSAGE_TYPE
from zekt_bot.cli.output import console
from zekt_bot.cli.session import operator
from zekt_bot.domain.catalog import Profile
from zekt_bot.operations import services, subscriptions, workflows
from zekt_bot.operations.deliveries import show_delivery
from zekt_bot.operations.services import Publication
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.testing import act

if TYPE_CHECKING:
    from zekt_bot.cli.demo.stage import Stage
    from zekt_bot.cli.demo.teller import Teller
    from zekt_bot.testing import Repository, WorkflowRun

SENDS, RECEIVES = "provider-message.yml", "consumer-receive.yml"
WAY = {
    *("run:message:stored", "github:run:completed", "zekt:run:aggregated"),
    *("zekt:delivery:created", "zekt:delivery:dispatched"),
    *("zekt:delivery:confirmed", "zekt:delivery:completed"),
}
_OF_ZEKT = re.compile(r"[\w-]+: (evt|dlv)_")
_ROOT = Path(zekt_bot.__file__).parents[1]


def is_possible() -> bool:
    """Whether act is here, and the files that a checkout has and a wheel has not."""
    there = [_ROOT / "action/action.yml", _ROOT / "examples/workflows" / SENDS]
    return act.tools() is not None and all(path.is_file() for path in there)


async def tell_circle(stage: Stage, teller: Teller) -> None:
    """Let one workflow send a message, and another one receive it."""
    teller.step("The full circle: two example workflows, run for real")
    if not stage.runs_files:
        teller.say("left out: it needs act and the example files, as in `make demo` of a checkout")
        return
    consumer = await _set_up(stage)
    began = asyncio.get_running_loop().time()
    sent = await stage.world.github.run_workflow(
        stage.world.provider, SENDS, event="workflow_dispatch"
    )
    _say_of(teller, sent)
    received = await looks.ended(stage, consumer)
    delivery = await looks.completed(stage, consumer)
    took = asyncio.get_running_loop().time() - began
    _say_of(teller, received)
    ends = [run and run.conclusion for run in (sent, received)]
    teller.check(
        ends == ["success", "success"], f"{SENDS} and {RECEIVES} ran to their ends, in {took:.1f} s"
    )
    if delivery is None:
        teller.check(False, f"the delivery to {consumer.full_name} is completed")
        return
    await _show(stage, teller, delivery["id"])


async def _set_up(stage: Stage) -> Repository:
    """Both files where they belong, and a consumer that is approved."""
    broker, who, github = stage.broker, operator(), stage.world.github
    checkout = stage.folder / "checkout"
    shutil.copytree(_ROOT / "action", checkout / "action")
    actions = {"ACME/zekt@v1": checkout}
    github.use_runner(act.ActRunner(github.core, stage.folder / "runner", actions))
    provider = stage.world.provider
    consumer = github.repository(stage.world.approved.owner, "release-board", private=True)
    for repository, example in ((provider, SENDS), (consumer, RECEIVES)):
        text = (_ROOT / "examples/workflows" / example).read_text(encoding="utf-8")
        github.write_file(repository, f".github/workflows/{example}", text)
        repository.variables["ZEKT_API_URL"] = stage.url
    path, name = f".github/workflows/{SENDS}", provider.full_name
    await workflows.allow(broker, who, name, path)
    profile = Profile(event_types=(MESSAGE_TYPE,))
    await services.publish(broker, who, name, Publication(path, "announcements", profile))
    ends = Ends(f"{provider.owner.login}/announcements", consumer.full_name)
    await subscriptions.request(broker, who, ends)
    await subscriptions.approve(broker, who, ends)
    return consumer


def _say_of(teller: Teller, run: WorkflowRun | None) -> None:
    """What the steps said in a run of event and delivery; all that was said, if it went wrong."""
    if run is None:
        return
    teller.say(f"{run.repository.full_name} ran {run.workflow.path}: {run.conclusion}")
    for line in run.log:
        if run.conclusion != "success" or _OF_ZEKT.match(line):
            teller.say(f"· {line}")


async def _show(stage: Stage, teller: Teller, delivery: str) -> None:
    """The delivery's whole way, as `zekt deliveries show` draws it."""
    found = await show_delivery(stage.broker, operator(), delivery)
    console().print(timeline.timeline(found))
    told = {entry["verb"] for entry in found["history"]}
    teller.check(
        told >= WAY and [run["bound_by"] for run in found["runs"]] == ["token"],
        "the delivery's timeline has each step, confirmed and completed by the consumer's run",
    )
