"""Whether a server could do its work: each part tried, and what to do about those that cannot."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp

from zekt_bot import plugins
from zekt_bot.db import coverage, engine, plugin_faults, processes
from zekt_bot.db.credentials import CredentialStore
from zekt_bot.db.database import Database
from zekt_bot.domain.recovery import whole
from zekt_bot.errors import (
    ConfigurationError,
    DecryptionFailed,
    GitHubError,
    PluginRejected,
    StorageUnavailable,
)
from zekt_bot.github.client import GitHub
from zekt_bot.github.http import USER_AGENT, exchange
from zekt_bot.github.oidc import RunTokens
from zekt_bot.operations import app_check
from zekt_bot.operations.heartbeat import DEAD_AFTER, MOST_OFF, taken_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from sqlalchemy import RowMapping

    from zekt_bot.clock import Clock
    from zekt_bot.config import App, AppCredentials, Credentials, Settings
    from zekt_bot.db.plugin_faults import Fault
    from zekt_bot.domain.recovery import Coverage, Late
    from zekt_bot.operations.app_check import Point

# GitHub takes an App's JWT that is a minute off; half of that leaves room for the way there.
_MOST_OFF = timedelta(seconds=30)
_AT_START = "A server does so when it starts."
_MAY_MISS = "Events since then may be missing: a worker looks for them, and its log says more."


@dataclass(frozen=True, slots=True)
class Check:
    """What was tried, whether all is well with it, and what was found: if not well, what to do."""

    part: str
    ok: bool
    said: str


async def check(settings: Settings, clock: Clock) -> list[Check]:
    """Try everything that a server with these settings needs.

    Nothing is changed but one row, by which the database shows that it takes rows.
    """
    async with aiohttp.ClientSession() as session:
        return [
            _plugins(settings),
            *await _stored(settings, clock, session),
            await _run_tokens(settings, clock, session),
            await _github_clock(settings, clock, session),
        ]


async def _stored(settings: Settings, clock: Clock, session: aiohttp.ClientSession) -> list[Check]:
    """The database, and the keys, some of which stand in it."""

    async def keys(credentials: Credentials) -> list[Check]:
        github = GitHub(settings, credentials, clock, session)
        return [
            *await _app(github, "orchestrator", settings),
            await _webhook_secret(credentials),
            *await _sign_in(github, credentials, settings),
        ]

    try:
        path = engine.parse(settings.database_url).path
        if path and not path.exists():
            said = f"There is no {path} yet: the first `zekt serve` makes it."
            found = [Check("database", ok=path.parent.is_dir(), said=said)]
            return found + await keys(_Given(settings))
        async with _opened(settings, clock) as database:
            found = await _database(database, clock)
            if found[-1].part == "database":
                return found + await keys(_Given(settings))
            return found + await keys(CredentialStore(settings, database, clock))
    except (ConfigurationError, StorageUnavailable, DecryptionFailed) as error:
        found = [Check("database", ok=False, said=_why(error))]
        return found + await keys(_Given(settings))


@dataclass(frozen=True, slots=True)
class _Given:
    """The credentials of the environment: all that there are where the database cannot be read."""

    settings: Settings

    async def get(self, app: App, *, anew: bool = False) -> AppCredentials:
        del anew
        return self.settings.credentials_of(app)


@asynccontextmanager
async def _opened(settings: Settings, clock: Clock) -> AsyncIterator[Database]:
    database = Database(settings, clock)
    try:
        await database.start(alone=False)
        yield database
    finally:
        await database.close()


def _why(error: Exception) -> str:
    """An error as a sentence; the database's own is its cause."""
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    kind = f" ({type(cause).__name__})" if cause else ""
    cure = " Check DATABASE_URL, and that the database is up." if cause else ""
    return f"{error}{kind}{cure}"


async def _database(database: Database, clock: Clock) -> list[Check]:
    where = database.address.shown
    if not await database.schema_is_current():
        said = f"The tables in {where} are not this version's: run `zekt migrate`."
        return [Check("database", ok=False, said=said)]
    await database.check()
    found = [Check("database", ok=True, said=f"{where} takes rows; its tables are current.")]
    try:
        await database.check_key()
        found.append(Check("secret key", ok=True, said="It opens what is stored."))
    except ConfigurationError as error:
        found.append(Check("secret key", ok=False, said=str(error)))
    faults = await database.query(plugin_faults.present, clock.now())
    found += [_fault(fault) for fault in faults]
    running = await database.query(processes.known)
    found += _processes(running, clock.now())
    found += _lists(await database.query(coverage.every), running, clock.now())
    if not database.address.path:
        told = await database.query(processes.clock)
        off_by = told - clock.now()
        found.append(_off("database clock", off_by, "The database's clock", most=MOST_OFF))
        found.append(await _listening(database))
    return found


def _fault(fault: Fault) -> Check:
    said = (
        f"{fault.plugin} is off in {fault.process}, which said so at "
        f"{fault.at:%Y-%m-%d %H:%M:%SZ}: its {fault.hook} did not return. Mend it, or name it in "
        "ZEKT_DISABLED_PLUGINS; then restart."
    )
    return Check("plugin", ok=False, said=said)


def _processes(rows: list[RowMapping], now: datetime) -> list[Check]:
    """Running processes that found out that something is not well with them."""
    found: list[Check] = []
    for row in (row for row in rows if now - row["beat_at"] < DEAD_AFTER):
        who = f"{row['kind']} {row['host']}:{row['pid']}"
        seconds = (row["clock_offset_us"] or 0) / 1_000_000
        if abs(seconds) > MOST_OFF.total_seconds():
            said = f"The clock of {who} is {-seconds:+.1f} s off, so it takes no work: use NTP."
            found.append(Check("process", ok=False, said=said))
        if row["listening"] is False:
            said = f"{who} hears of no other process's commits: set ZEKT_DIRECT_DATABASE_URL."
            found.append(Check("process", ok=False, said=said))
    return found


def _lists(lists: list[Coverage], rows: list[RowMapping], now: datetime) -> list[Check]:
    """Whether those who run could look for what was missed; where nobody runs, nobody has to."""
    part, (_, until) = "missed events", whole(lists)
    taken = taken_in(rows, now)
    if late := [told for each in lists if (told := each.late(now, taken))]:
        return [_late(part, told, running=taken is not None) for told in late]
    said = f"GitHub's lists were read up to {until:%Y-%m-%d %H:%M:%SZ}." if until else ""
    return [Check(part, ok=True, said=said)] if said else []


def _late(part: str, told: Late, *, running: bool) -> Check:
    if told.goes_on:
        return Check(part, ok=True, said=told.said)
    means = _MAY_MISS if running else _AT_START
    return Check(part, ok=not running, said=f"{told.said} {means}")


async def _listening(database: Database) -> Check:
    part, where = "notifications", database.direct.shown
    try:
        heard = await database.try_listening()
    except StorageUnavailable as error:
        return Check(part, ok=False, said=_why(error))
    if heard:
        return Check(part, ok=True, said=f"What one process commits, others hear of at {where}.")
    said = (
        f"LISTEN at {where} succeeds, and nothing is heard: a pooler in transaction mode stands "
        "there, or it is another database. Set ZEKT_DIRECT_DATABASE_URL to PostgreSQL itself. "
        "Until then each process asks the database every second."
    )
    return Check(part, ok=False, said=said)


def _off(part: str, by: timedelta, whose: str, most: timedelta = _MOST_OFF) -> Check:
    seconds = by.total_seconds()
    if abs(by) <= most:
        return Check(part, ok=True, said=f"{whose} and this machine's agree ({seconds:+.1f} s).")
    said = f"{whose} is {seconds:+.1f} s off from this machine's: set the clocks by NTP."
    return Check(part, ok=False, said=said)


async def _app(github: GitHub, app: App, settings: Settings) -> list[Check]:
    """The App at GitHub, compared with `app.yml`."""
    name = "App" if app == "orchestrator" else "sign-in App"
    try:
        report = await app_check.compare(github.beside(app), app, settings)
    except GitHubError as error:
        return [Check(f"{name} key", ok=False, said=str(error))]
    return [
        Check(f"{name} {point.what}", ok=point.ok, said=_with_page(point))
        for point in report.points
    ]


def _with_page(point: Point) -> str:
    return f"{point.said} Mend it at {point.mend_at}" if not point.ok else point.said


async def _sign_in(github: GitHub, credentials: Credentials, settings: Settings) -> list[Check]:
    """The App that people sign in with, if it has a key; and what no App can be asked."""
    held = await credentials.get("oauth")
    found: list[Check] = []
    if held.app_id and held.private_key:
        found = await _app(github, "oauth", settings)
    elif held.client_id:
        said = app_check.uncompared("oauth", held)
        found = [Check("sign-in App", ok=True, said=said)]
    said = f"GitHub does not tell; look by hand: {', '.join(app_check.UNREADABLE)}."
    return [*found, Check("not readable", ok=True, said=said)]


async def _webhook_secret(credentials: Credentials) -> Check:
    held = await credentials.get("orchestrator")
    if held.webhook_secrets:
        return Check("webhook secret", ok=True, said="There is one; `zekt receive` tries it.")
    said = "There is none, so no webhook is taken: set ZEKT_ORCHESTRATOR_WEBHOOK_SECRET."
    return Check("webhook secret", ok=False, said=said)


async def _run_tokens(settings: Settings, clock: Clock, session: aiohttp.ClientSession) -> Check:
    """Without GitHub's keys no run can send or confirm anything."""
    tokens = RunTokens(settings, clock, session)
    try:
        return Check("run tokens", ok=True, said=await tokens.check())
    except GitHubError as error:
        said = f"{error} Check ZEKT_GITHUB_URL or ZEKT_OIDC_ISSUER: no run can send messages."
        return Check("run tokens", ok=False, said=said)


async def _github_clock(settings: Settings, clock: Clock, session: aiohttp.ClientSession) -> Check:
    """Any answer of GitHub's API has a Date, whoever asks."""
    url, part = f"{settings.github_api_url}/meta", "GitHub clock"
    try:
        answer = await exchange(session, "GET", url, {"user-agent": USER_AGENT}, b"")
        told = parsedate_to_datetime(answer.headers.get("date", ""))
    except GitHubError as error:
        said = f"{error} Check ZEKT_GITHUB_API_URL, and the way out of this network."
        return Check(part, ok=False, said=said)
    except ValueError:
        said = f"{settings.github_api_url} answered without a Date: it is not GitHub's API."
        return Check(part, ok=False, said=said)
    return _off(part, told - clock.now(), "GitHub's clock")


def _plugins(settings: Settings) -> Check:
    try:
        loaded = plugins.load(settings.plugins_dir, settings.disabled_plugins)
    except PluginRejected as error:
        return Check("plugins", ok=False, said=str(error))
    wrong = [plugin.name for plugin in loaded.registry.plugins.values() if plugin.problems]
    said = f" It says what is wrong with {', '.join(wrong)}." if wrong else ""
    return Check("plugins", ok=True, said=f"All are loaded; `zekt plugins` lists them.{said}")
