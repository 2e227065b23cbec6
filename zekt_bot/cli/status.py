"""`zekt status`: who works, what waits and since when, and since when nothing was missed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from zekt_bot.cli import session
from zekt_bot.cli.options import json_option
from zekt_bot.cli.output import Column, console, moment, plain, print_json, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

_EVERY = 1.0


def _state(row: dict[str, Any]) -> Text:
    if not row["alive"]:
        return Text("no heartbeat", "red")
    if row["clock_is_off"]:
        return Text(f"clock {row['clock_offset_seconds']:+.1f} s off", "red")
    if row["hears"] is False:
        return Text("hears nothing", "red")
    return Text("well", "green")


_PROCESSES = (
    Column("PROCESS", "kind"),
    Column("STATE", _state),
    Column("HOST", "host", under="on {}"),
    Column("PID", "pid", right=True, under="pid {}"),
    Column("HEARTBEAT", "beat_at", under="heartbeat {}"),
    Column("SINCE", "started_at", under="since {}"),
)
_WAITING = (
    Column("QUEUE", "queue"),
    Column("STATE", "state"),
    Column("WAITS FOR", "waits_for"),
    Column("ROWS", "rows", right=True),
    Column("OLDEST", "oldest_at", under="oldest {}"),
    Column("LATE", lambda row: f"{row['late_seconds']:.0f} s", right=True),
)


@click.command()
@click.option("--watch", is_flag=True, help="Show it again each second, until Ctrl-C.")
@json_option
def status(watch: bool, json_: bool) -> None:
    """Show who works, what waits, and how whole it is.

    How long the oldest work waits, since when no event was missed, and until when anybody looked.

    `GET /status` answers the same as JSON.
    """
    if watch and json_:
        raise click.UsageError("--watch is for people: leave out --json, or ask in a loop.")
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            session.run(_watch)
        return
    found = session.run(_read)
    if json_:
        print_json(found)
    else:
        _print(found, console())


async def _read(broker: Broker, who: Principal) -> dict[str, Any]:
    from zekt_bot.operations.status import status as read

    return await read(broker, who)


async def _watch(broker: Broker, who: Principal) -> None:
    while True:
        found = await _read(broker, who)
        click.clear()
        _print(found, console())
        await asyncio.sleep(_EVERY)


def _print(found: dict[str, Any], out: Console) -> None:
    if found["processes"]:
        print_table(_PROCESSES, found["processes"], out)
    else:
        out.print("Nobody works: start `zekt serve`.", style="red")
    out.print()
    print_table(_WAITING, found["waiting"], out)
    out.print()
    since, until = found["no_gap_since"], found["looked_until"]
    known = since and f"No event is missing since {moment(since)}, up to {moment(until)}."
    out.print(known or _UNKNOWN)
    gaps = found["gaps"]
    for gap in gaps["first"]:
        name, at = plain(gap["repository"]), moment(gap["since"])
        out.print(f"Except of {name}: its runs since {at} could not be compared.", style="yellow")
    if more := gaps["repositories"] - len(gaps["first"]):
        out.print(f"And of {more} more repositories.", style="yellow")
    for each in (each for each in found["coverage"] if each["unread"]):
        style = "yellow" if each["goes_on"] else "red"
        out.print(plain(each["unread"]), style=style, markup=False)


_UNKNOWN = "Since when no event is missing is not known yet."
