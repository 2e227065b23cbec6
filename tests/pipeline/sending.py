"""A delivery that is due, and looking at what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from tests.db.rows import lane, until
from zekt_bot.db.tables import audit, deliveries
from zekt_bot.domain.lanes import Pace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection, Executable

    from tests.stage import Stage
    from zekt_bot.domain.deliveries import DispatchRequest, Outcome
    from zekt_bot.hookspecs import InstallationApi

PACED = Pace(per_minute=60, burst=4, in_flight=3)
DISPATCHES = "/repos/*/dispatches"


class Answering:
    """A channel that answers what it is told, or raises it."""

    name = "answering"

    def __init__(self, *answers: Outcome | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[DispatchRequest] = []

    def check(self, settings: Mapping[str, str]) -> None: ...

    async def send(self, request: DispatchRequest, client: InstallationApi) -> Outcome:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def asked(stage: Stage, path: str) -> None:
    """Wait until GitHub is asked for something that ends so, from now on."""
    before = len(stage.github.requests)

    async def there() -> bool:
        return any(one.path.endswith(path) for one in stage.github.requests[before:])

    await until(there)


async def matched(stage: Stage, body: bytes | None = None) -> None:
    """An approved subscription's delivery is due, in a paced lane."""
    stage.pace = PACED
    await stage.serve("*")
    run = await stage.finish_run("build")
    if body is not None:
        await stage.post(run, body)
    await stage.prepare()


async def answered(stage: Stage, *answers: Outcome | Exception) -> Mapping[str, Any]:
    """Send once on a channel that answers so; the delivery's row afterwards."""
    await matched(stage)
    channel = Answering(*answers)
    stage.broker.plugins.channels[channel.name] = channel
    await execute(stage, update(deliveries).values(channel=channel.name))
    await stage.deliver()
    assert len(channel.asked) == 1
    return await stage.row(deliveries)


async def execute(stage: Stage, statement: Executable) -> None:
    def write(connection: Connection, rows: Sequence[Executable]) -> list[None]:
        connection.execute(rows[0])
        return [None]

    await stage.broker.database.write(write, statement)


def posts(stage: Stage) -> list[bytes]:
    """The bodies that were posted as dispatches, whatever came of it."""
    return [one.body for one in stage.github.requests if one.path.endswith("/dispatches")]


async def tokens(stage: Stage) -> float:
    found = await lane(stage.broker.database, f"github:{stage.consuming.id}")
    return float(found["tokens"])


async def verbs(stage: Stage) -> list[str]:
    return [row["verb"] for row in await stage.rows(audit) if ":delivery:" in row["verb"]]
