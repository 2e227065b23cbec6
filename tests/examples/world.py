"""A provider and its consumers with the example workflows in their repositories, run for real."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.acceptance.server import PATIENCE, stage
from tests.stage import ME
from zekt_bot.domain.catalog import Profile
from zekt_bot.operations import services, subscriptions, workflows
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.testing.act import ActRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.acceptance.server import Stage
    from zekt_bot.testing import Repository, WorkflowRun

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "examples" / "workflows"
MESSAGE_TYPE = "release-published"


@dataclass
class World:
    """The server is a process of its own; act runs the files on this machine."""

    stage: Stage

    async def provide(self, example: str, event_type: str = MESSAGE_TYPE) -> str:
        """Let the provider have this example and publish it; gives the service's name."""
        path, provider = f".github/workflows/{example}.yml", self.stage.provider
        self.stage.github.write_file(provider, path, text_of(example))
        broker = self.stage.zekt.broker
        assert broker is not None
        await workflows.allow(broker, ME, provider.full_name, path)
        offered = services.Publication(path, example, Profile(event_types=(event_type,)))
        await services.publish(broker, ME, provider.full_name, offered)
        return f"{provider.owner.login}/{example}"

    async def consume(self, example: str, *offered: str) -> Repository:
        """A repository of the consumer's with this example, approved for these services."""
        stage = self.stage
        consumer = stage.github.repository(stage.consumer.owner, example, private=True)
        self._set_up(consumer)
        stage.github.write_file(consumer, f".github/workflows/{example}.yml", text_of(example))
        broker = stage.zekt.broker
        assert broker is not None
        for service in offered:
            ends = Ends(service, consumer.full_name)
            await subscriptions.request(broker, ME, ends)
            await subscriptions.approve(broker, ME, ends)
        return consumer

    def _set_up(self, repository: Repository) -> None:
        repository.variables["ZEKT_API_URL"] = self.stage.zekt.url

    async def run(self, example: str) -> WorkflowRun:
        """Start the provider's example by hand, and see it through."""
        self._set_up(self.stage.provider)
        run = await self.stage.github.run_workflow(
            self.stage.provider, f"{example}.yml", event="workflow_dispatch"
        )
        assert run.conclusion == "success", told(run)
        return run

    async def ran(
        self, consumer: Repository, times: int = 1, conclusion: str = "success"
    ) -> WorkflowRun:
        """The consumer's newest run, once so many have ended; it ended like this."""

        def ended() -> list[WorkflowRun]:
            runs = self.stage.github.core.world.runs_of(consumer)
            return [run for run in runs if run.status == "completed"]

        await self.stage.github.core.until(lambda: len(ended()) >= times, PATIENCE)
        newest = ended()[0]
        assert newest.conclusion == conclusion, told(newest)
        return newest

    async def come_twice(self, consumer: Repository) -> None:
        """Let GitHub take the consumer's newest dispatch once more: the first answer was lost."""
        github = self.stage.github
        sent = [one for one in github.dispatches if one.repository is consumer]
        await github.core.accept(sent[-1])

    async def delivery(self, consumer: Repository, state: str) -> str:
        """The id of the newest delivery to a consumer, once it is in this state."""

        def newest(rows: list[dict[str, Any]]) -> dict[str, Any]:
            return next((row for row in rows if row["target"] == consumer.full_name), {})

        rows = await self.stage.zekt.until_deliveries(
            lambda rows: newest(rows).get("state") == state
        )
        name: str = newest(rows)["id"]
        return name


def text_of(example: str) -> str:
    """The file as users copy it."""
    return (WORKFLOWS / f"{example}.yml").read_text(encoding="utf-8")


def told(run: WorkflowRun) -> str:
    """What a run's jobs said."""
    return "\n".join(run.log)


@asynccontextmanager
async def world(database_url: str, folder: Path, **settings: str) -> AsyncIterator[World]:
    """Both sides have installed the App; the provider is enabled and publishes nothing more."""
    checkout = folder / "checkout"
    shutil.copytree(ROOT / "action", checkout / "action")
    async with stage(database_url, folder, **settings) as found:
        runner = ActRunner(found.github.core, folder / "runner", {"ACME/zekt@v1": checkout})
        found.github.use_runner(runner)
        yield World(found)
        await found.github.settle()
