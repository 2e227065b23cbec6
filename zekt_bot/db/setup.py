"""The one row of the first setup, and what it ends in: Apps, an operator, the accounts served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import select, update

from zekt_bot.db import admissions, audit, credentials, web_states
from zekt_bot.db.sql import insert_if_new, upsert
from zekt_bot.db.tables import operators, setup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from zekt_bot.config import App
    from zekt_bot.db.web_states import Return, Standing
    from zekt_bot.domain.audit import Entry

_ID = "setup"
_OURS = select(setup).where(setup.c.id == _ID)


@dataclass(frozen=True, slots=True)
class Link:
    """A new link, known by its token's fingerprint.

    `first`: only if there never was one. `again`: although the setup is over.
    """

    token: str
    now: datetime
    expires_at: datetime
    entry: Entry
    first: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Entering:
    """A browser that brings a token; both are fingerprints."""

    token: str
    browser: str
    now: datetime
    until: datetime
    entry: Entry


@dataclass(frozen=True, slots=True)
class NewApp:
    """An App that GitHub made of a manifest; `rows` are sealed credentials."""

    app: App
    state: Return
    rows: list[dict[str, str | bytes]]
    entry: Entry


@dataclass(frozen=True, slots=True)
class NewOperator:
    """A person who operates this server from now on."""

    account_id: int
    login: str
    now: datetime
    entry: Entry


@dataclass(frozen=True, slots=True)
class Chosen:
    """The logins that are served, in small letters; none: everybody."""

    logins: tuple[str, ...]
    now: datetime
    entry: Entry


@dataclass(frozen=True, slots=True)
class End:
    """The setup is over."""

    now: datetime
    entry: Entry


def current(connection: Connection) -> Row[tuple[object, ...]] | None:
    """The setup's row; None: it never began."""
    return connection.execute(_OURS).one_or_none()


def offer(connection: Connection, rows: Sequence[Link]) -> list[bool]:
    """Keep a new link in the place of the former one; False: it is over, or not the first."""
    return [_offer(connection, row) for row in rows]


def _offer(connection: Connection, row: Link) -> bool:
    made = {"token_hash": row.token, "token_expires_at": row.expires_at}
    begun = insert_if_new(connection, setup, {"id": _ID, "began_at": row.now, **made})
    if not begun and not row.first:
        ours = update(setup).where(setup.c.id == _ID)
        chosen = ours if row.again else ours.where(setup.c.finished_at.is_(None))
        fresh = {**made, "browser": None, "browser_until": None}
        begun = bool(connection.execute(chosen.values(fresh)).rowcount)
    if begun:
        audit.record(connection, row.entry)
    return begun


def enter(connection: Connection, rows: Sequence[Entering]) -> list[bool]:
    """Let the browser with this token do the setup; the token is used up. False: it is dead.

    A setup that was over is open again from then on: an unused link changes nothing.
    """
    return [_enter(connection, row) for row in rows]


def _enter(connection: Connection, row: Entering) -> bool:
    living = (
        setup.c.id == _ID,
        setup.c.token_hash == row.token,
        setup.c.token_expires_at > row.now,
    )
    fresh = {"browser": row.browser, "browser_until": row.until, "finished_at": None}
    values = {"token_hash": None, **fresh}
    entered = bool(connection.execute(update(setup).where(*living).values(values)).rowcount)
    if entered:
        audit.record(connection, row.entry)
    return entered


def put_app(connection: Connection, rows: Sequence[NewApp]) -> list[Standing | Literal["taken"]]:
    """Keep a new App's credentials if its state is still good and there are none.

    The orchestration App is public: until somebody decides whom this server works for, for nobody.
    """
    return [_put_app(connection, row) for row in rows]


def _put_app(connection: Connection, row: NewApp) -> Standing | Literal["taken"]:
    standing = web_states.take_one(connection, row.state).standing
    if standing != "ours":
        return standing
    if credentials.has(connection, row.app):
        return "taken"
    credentials.put(connection, row.app, row.rows)
    if row.app == "orchestrator":
        undecided = setup.c.id == _ID, setup.c.accounts.is_(None)
        connection.execute(update(setup).where(*undecided).values(accounts=admissions.NOBODY))
    audit.record(connection, row.entry)
    return standing


def forget_app(connection: Connection, rows: Sequence[tuple[App, Entry]]) -> list[bool]:
    """Keep nothing of an App any more; False: nothing was kept."""
    answers = []
    for app, entry in rows:
        answers.append(credentials.remove(connection, app))
        if answers[-1]:
            audit.record(connection, entry)
    return answers


def put_operator(connection: Connection, rows: Sequence[NewOperator]) -> list[bool]:
    """Make a person an operator; False: they are one already, or the setup is over."""
    return [_put_operator(connection, row) for row in rows]


def _put_operator(connection: Connection, row: NewOperator) -> bool:
    if _is_over(connection):
        return False
    new = {"account_id": row.account_id, "login": row.login, "since": row.now}
    made = insert_if_new(connection, operators, new)
    if made:
        audit.record(connection, row.entry)
    return made


def choose_accounts(connection: Connection, rows: Sequence[Chosen]) -> list[None]:
    """Keep whom this server works for; the mirror follows in the same write."""
    for row in rows:
        kept = {"id": _ID, "began_at": row.now, "accounts": ",".join(row.logins)}
        upsert(connection, setup, [kept], ["accounts"])
        admissions.settle(connection, [admissions.Listed((), row.now)])
        audit.record(connection, row.entry)
    return [None] * len(rows)


def finish(connection: Connection, rows: Sequence[End]) -> list[bool]:
    """End the setup: its link and its browser are nothing from now on. False: it was over."""
    return [_finish(connection, row) for row in rows]


def _finish(connection: Connection, row: End) -> bool:
    dead = {"token_hash": None, "token_expires_at": None, "browser": None, "browser_until": None}
    insert_if_new(connection, setup, {"id": _ID, "began_at": row.now})
    open_one = setup.c.id == _ID, setup.c.finished_at.is_(None)
    ended = update(setup).where(*open_one).values(finished_at=row.now, **dead)
    over = bool(connection.execute(ended).rowcount)
    if over:
        audit.record(connection, row.entry)
    return over


def _is_over(connection: Connection) -> bool:
    found = connection.execute(_OURS.with_for_update()).one_or_none()
    return found is not None and found.finished_at is not None
