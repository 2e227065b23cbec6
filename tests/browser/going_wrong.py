"""What a person reads where something went wrong, and how it is made to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from playwright.async_api import expect
from sqlalchemy import select, update

from tests.browser.walking import press
from tests.db.rows import until
from zekt_bot.db.tables import web_states
from zekt_bot.domain.access import Operator
from zekt_bot.operations import setup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.async_api import Browser, Page, Route
    from sqlalchemy import Connection, Table

    from zekt_bot.cli.demo.console import Door

ME = Operator("cli:me@here")


async def says(page: Page, *words: str) -> None:
    """What a person reads there."""
    for each in words:
        await expect(page.get_by_text(each).first).to_be_visible()


async def shows(page: Page, heading: str) -> None:
    await expect(page.get_by_role("heading", name=heading)).to_be_visible()


def _expire(connection: Connection, rows: Sequence[Table]) -> list[None]:
    for table in rows:
        known = connection.execute(select(table.c.hash, table.c.expires_at)).all()
        for hash_, at in known:
            chosen = update(table).where(table.c.hash == hash_)
            connection.execute(chosen.values(expires_at=at - timedelta(hours=1)))
    return [None] * len(rows)


async def an_hour_passes(door: Door) -> None:
    """For all that was handed to GitHub and has not come back."""
    await door.broker.database.write(_expire, web_states)


async def somebody(door: Door, browser: Browser, login: str = "mona") -> Page:
    """Another person, in a browser of their own."""
    if door.github.core.world.account(login) is None:
        door.github.account(login, "User")
    return await (await browser.new_context()).new_page()


async def kept(door: Door) -> set[str]:
    """The Apps that are stored."""
    found = await setup.progress(door.broker, ME)
    return {each.app for each in (found.oauth, found.orchestrator) if each.done}


async def held_back(page: Page, press_it: str) -> str:
    """Press a button at GitHub that leads back; gives the address, which is not loaded.

    As where the network fails at that moment.
    """
    came: list[str] = []

    async def stop(route: Route) -> None:
        if route.request.method != "POST":
            await route.continue_()
            return
        answer = await route.fetch(max_redirects=0)
        came.append(answer.headers["location"])
        await route.abort()

    await page.route("**/*", stop)
    await press(page, press_it)
    await until(lambda: asyncio.sleep(0, bool(came)))
    await page.unroute("**/*")
    return came[0]


def changed(address: str, **fields: str) -> str:
    """The address with other values in its query."""
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return urlunsplit(parts._replace(query=urlencode({**query, **fields})))
