"""What the API and the scripts share: who is told of what, and which runs a dispatch starts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from zekt_bot.testing import app_shapes, dispatches, payloads
from zekt_bot.testing.faults import Faults
from zekt_bot.testing.oidc import OidcIssuer
from zekt_bot.testing.people import People
from zekt_bot.testing.ratelimits import RateLimits
from zekt_bot.testing.runs import RunOptions, new_run
from zekt_bot.testing.shapes import GITHUB_COM
from zekt_bot.testing.webhooks import Hooks
from zekt_bot.testing.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from datetime import datetime

    from zekt_bot.clock import Clock
    from zekt_bot.testing.dispatches import Dispatch
    from zekt_bot.testing.model import Account, App, Installation, Repository, Token, Workflow
    from zekt_bot.testing.runs import Job, Runner, WorkflowRun
    from zekt_bot.testing.shapes import Json, Urls
    from zekt_bot.testing.webhooks import WebhookDelivery


class Core:
    """One GitHub host without its server."""

    def __init__(self, clock: Clock, hook_timeout: float = 10.0) -> None:
        """`hook_timeout`: the real seconds that a webhook's receiver may take."""
        self.clock = clock
        self.world = World(clock)
        self.people = People(clock)
        self.urls: Urls = GITHUB_COM
        self.hooks = Hooks(self.world, hook_timeout)
        self.faults = Faults()
        self.limits = RateLimits(clock)
        self.oidc = OidcIssuer(self)
        self.runner: Runner | None = None
        self.dispatches: list[Dispatch] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failures: list[BaseException] = []
        self._changed = asyncio.Condition()

    def now(self) -> datetime:
        """The present moment."""
        return self.clock.now()

    def next_id(self, kind: str) -> int:
        """A new number."""
        return self.world.next_id(kind)

    async def announce(self, event: str, about: Repository, payload: Json) -> list[WebhookDelivery]:
        """Send an event of a repository to each App that subscribed to it and is there."""
        bodies: dict[App, Json] = {}
        for installation in self.world.live_installations():
            if installation.hears(event) and installation.covers(about):
                part = app_shapes.installation_reference(installation)
                bodies[installation.app] = {**payload, "installation": part}
        return await self.hooks.send(bodies, event)

    async def announce_installation(
        self,
        installation: Installation,
        action: str,
        repositories: Iterable[Repository],
        by: Account | None = None,
    ) -> None:
        """Send `installation`, which every App gets of its own."""
        sender = by or self.world.sender
        body = payloads.installation(installation, action, repositories, sender, self.urls)
        await self.hooks.send({installation.app: body}, "installation")

    async def announce_repositories(
        self,
        installation: Installation,
        added: Iterable[Repository] = (),
        removed: Iterable[Repository] = (),
        by: Account | None = None,
    ) -> None:
        """Send `installation_repositories`, which every App gets of its own."""
        if installation.suspended_at is not None:
            return
        sender = by or self.world.sender
        body = payloads.installation_repositories(installation, added, removed, sender, self.urls)
        await self.hooks.send({installation.app: body}, "installation_repositories")

    async def withdraw(self, app: App, person: Account) -> None:
        """A person takes an App's authorization back: its tokens die, and it hears of it."""
        self.people.withdraw(app, person)
        body = payloads.github_app_authorization(person, self.urls)
        await self.hooks.send({app: body}, "github_app_authorization")

    async def announce_run(self, run: WorkflowRun, action: str) -> None:
        """Send `workflow_run`."""
        body = payloads.workflow_run(run, action, None, self.urls)
        await self.announce("workflow_run", run.repository, body)
        await self.changed()

    async def announce_job(self, job: Job, action: str) -> None:
        """Send `workflow_job`."""
        body = payloads.workflow_job(job, action, None, self.urls)
        await self.announce("workflow_job", job.run.repository, body)

    async def changed(self) -> None:
        """Wake who waits for something to happen."""
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Return once the condition holds after some change.

        Raises:
            TimeoutError: it does not within so many real seconds.
        """
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(condition)

    async def accept(self, dispatch: Dispatch) -> None:
        """Write a dispatch down; the runs that it starts begin after GitHub has answered."""
        self.dispatches.append(dispatch)
        await self.changed()
        workflows = [w for w in dispatch.repository.workflows if w.starts_on(dispatch.event_type)]
        for workflow in workflows:
            self.spawn(self._start(workflow, dispatch))

    async def _start(self, workflow: Workflow, dispatch: Dispatch) -> None:
        options: RunOptions = {
            "event": "repository_dispatch",
            "actor": dispatch.app.bot,
            "display_title": dispatches.run_title(workflow, dispatch),
            "client_payload": dispatch.client_payload,
            "payload": dispatches.event(dispatch),
        }
        run = await self.begin(workflow, options)
        await run.start()
        if workflow.finishes is not None:
            for name in workflow.jobs:
                job = await run.start_job(name)
                await job.complete(workflow.finishes)
            await run.complete(workflow.finishes)
        elif self.runner is not None:
            await self.play(run)

    async def play(self, run: WorkflowRun) -> None:
        """Let the runner run its jobs, to its end."""
        assert self.runner is not None  # noqa: S101
        await run.start()
        await run.complete(await self.runner.run(run))

    async def begin(self, workflow: Workflow, options: RunOptions) -> WorkflowRun:
        """A new run, with its `requested` webhook."""
        run = new_run(self, workflow, self.world.sender, options)
        self.world.runs.append(run)
        await self.announce_run(run, "requested")
        return run

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let it go on beside the request; `settle` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    async def settle(self) -> None:
        """Wait until all that goes on by itself is over: runs of dispatches, redeliveries.

        Raises:
            Exception: what went wrong there.
        """
        while self._tasks:
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)
        if self._failures:
            raise self._failures.pop(0)

    async def cancel_all(self) -> None:
        """End what still goes on."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def token(self, value: str) -> Token | None:
        """The installation token with this value."""
        return self.world.tokens.get(value)
