"""Sessions and the people they are of, by the SHA-256 of the cookie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from sqlalchemy import delete, func, insert, or_, select, update

from zekt_bot.db import admissions, audit
from zekt_bot.db.sql import upsert
from zekt_bot.db.tables import accounts, operators, people, sessions
from zekt_bot.db.tables import admissions as pins
from zekt_bot.domain.access import Person
from zekt_bot.domain.sessions import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping, Select

    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.sessions import View

# So many tokens of one App does GitHub keep for a person.
MOST_SESSIONS = 10


@dataclass(frozen=True, slots=True)
class Meeting:
    """Somebody at the door, and the accounts that they reach (id → login)."""

    person: Person
    reaches: Mapping[int, str]
    listed: admissions.Listed


@dataclass(frozen=True, slots=True)
class Met:
    """What is known of them: which of the listed logins they have, and reach.

    `blocked`: an operator shut their account out.
    """

    names: frozenset[str]
    reaches: frozenset[str]
    operator: bool
    blocked: bool


@dataclass(frozen=True, slots=True)
class Start:
    """A session that begins; the browser's `former` one is over. `body` is sealed."""

    hash: str
    person: Person
    device: str
    now: datetime
    expires_at: datetime
    body: bytes
    token_expires_at: datetime | None
    former: str | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class End:
    """Sessions of one person that end: one of them, or all.

    `now`: they are over from then on, and stay until their tokens are dead at GitHub. Without it
    these are dead already.
    """

    account_id: int
    entry: Entry
    hash: str | None = None
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A session's token as it is stored, and whether somebody renews it until then."""

    account_id: int
    body: bytes
    expires_at: datetime | None
    version: int
    leased_until: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The wish to renew a token of this version."""

    hash: str
    version: int
    lease: str
    now: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Renewal:
    """A renewed token, or (without `body`) the lease given back."""

    hash: str
    lease: str
    now: datetime
    body: bytes | None = None
    expires_at: datetime | None = None


def place(hash_: str) -> tuple[str, str, str]:
    """Where a session's token is sealed to (`Keyring.seal`)."""
    return "sessions", "body", hash_


def start(connection: Connection, rows: Sequence[Start]) -> list[None]:
    """Begin sessions; a person's oldest ends if they have too many."""
    for row in rows:
        met = {"account_id": row.person.id, "login": row.person.login, "first_seen_at": row.now}
        upsert(connection, people, [met], ["login"])
        former = update(sessions).where(sessions.c.hash == row.former)
        connection.execute(former.values(expires_at=row.now))
        _make_room(connection, row.person.id, row.now)
        connection.execute(
            insert(sessions).values(
                hash=row.hash,
                account_id=row.person.id,
                device=row.device,
                started_at=row.now,
                seen_at=row.now,
                expires_at=row.expires_at,
                body=row.body,
                token_expires_at=row.token_expires_at,
                version=1,
            )
        )
        audit.record(connection, row.entry)
    return [None] * len(rows)


def _make_room(connection: Connection, account_id: int, now: datetime) -> None:
    """End the oldest. They are kept until their tokens are dead: one renewed may be of today."""
    alive = (sessions.c.account_id == account_id) & (sessions.c.expires_at > now)
    newest = select(sessions.c.hash).where(alive).order_by(sessions.c.started_at.desc())
    kept = list(connection.execute(newest.limit(MOST_SESSIONS - 1)).scalars())
    too_many = update(sessions).where(alive, sessions.c.hash.not_in(kept))
    connection.execute(too_many.values(expires_at=now))


def _sessions() -> Select[tuple[object, ...]]:
    chosen = (sessions.c.hash, sessions.c.device, sessions.c.started_at, sessions.c.seen_at)
    rest = (sessions.c.expires_at, people.c.account_id, people.c.login, people.c.shown_first)
    found = select(*chosen, *rest, operators.c.account_id.label("operator"))
    found = found.join(people, people.c.account_id == sessions.c.account_id).outerjoin(
        operators, operators.c.account_id == sessions.c.account_id
    )
    known = found.outerjoin(accounts, accounts.c.id == sessions.c.account_id)
    return known.where(accounts.c.rule.is_distinct_from("block"))


def _session(row: RowMapping) -> Session:
    return Session(
        hash=row["hash"],
        person=Person(row["account_id"], row["login"]),
        device=row["device"],
        started_at=row["started_at"],
        seen_at=row["seen_at"],
        expires_at=row["expires_at"],
        shown_first=cast("View | None", row["shown_first"]),
        operator=row["operator"] is not None,
    )


def find(connection: Connection, hash_: str) -> Session | None:
    """The session with this hash, alive or over; None too if its person is blocked."""
    found = connection.execute(_sessions().where(sessions.c.hash == hash_)).mappings().first()
    if found is None:
        return None
    theirs = select(pins.c.login_lower).where(pins.c.account_id == found["account_id"])
    return replace(_session(found), names=frozenset(connection.execute(theirs).scalars()))


def of_person(connection: Connection, account_id: int, most: int) -> list[Session]:
    """A person's sessions, the one seen last first."""
    theirs = _sessions().where(sessions.c.account_id == account_id)
    rows = connection.execute(theirs.order_by(sessions.c.seen_at.desc()).limit(most)).mappings()
    return [_session(row) for row in rows]


def meet(connection: Connection, rows: Sequence[Meeting]) -> list[Met]:
    """Tell who asks to come in; a listed login is theirs from now on if it was nobody's."""
    return [_meet(connection, row) for row in rows]


def _meet(connection: Connection, row: Meeting) -> Met:
    own, theirs = {row.person.id: row.person.login}, select(operators.c.account_id)
    made = connection.execute(theirs.where(operators.c.account_id == row.person.id)).first()
    rule = select(accounts.c.rule).where(accounts.c.id == row.person.id)
    return Met(
        frozenset(admissions.pinned(connection, row.listed, own)),
        frozenset(admissions.pinned(connection, row.listed, row.reaches)),
        operator=made is not None,
        blocked=connection.execute(rule).scalar() == "block",
    )


def person_by_login(connection: Connection, login: str) -> Person | None:
    """Who signed in with this login, in any case; the newest, if a login went from hand to hand."""
    theirs = select(people.c.account_id, people.c.login)
    found = theirs.where(func.lower(people.c.login) == login.lower())
    row = connection.execute(found.order_by(people.c.first_seen_at.desc())).first()
    return Person(*row) if row else None


def touch(connection: Connection, rows: Sequence[tuple[str, datetime]]) -> list[None]:
    """Note that a session was seen."""
    for hash_, now in rows:
        seen = update(sessions).where(sessions.c.hash == hash_).values(seen_at=now)
        connection.execute(seen)
    return [None] * len(rows)


def choose_view(connection: Connection, rows: Sequence[tuple[int, View]]) -> list[None]:
    """Remember what a person likes to see first."""
    for account_id, view in rows:
        theirs = update(people).where(people.c.account_id == account_id)
        connection.execute(theirs.values(shown_first=view))
    return [None] * len(rows)


def end(connection: Connection, rows: Sequence[End]) -> list[dict[str, bytes]]:
    """End sessions; answers the sealed tokens of those that were there, by hash."""
    return [_end(connection, row) for row in rows]


def _end(connection: Connection, row: End) -> dict[str, bytes]:
    chosen = sessions.c.account_id == row.account_id
    if row.hash is not None:
        chosen &= sessions.c.hash == row.hash
        if row.now is not None:
            chosen &= sessions.c.expires_at > row.now
    found = select(sessions.c.hash, sessions.c.body).where(chosen).with_for_update()
    ended = {each.hash: each.body for each in connection.execute(found)}
    if ended:
        over = update(sessions).values(expires_at=row.now)
        change = delete(sessions) if row.now is None else over
        connection.execute(change.where(sessions.c.hash.in_(ended)))
        audit.record(connection, row.entry)
    return ended


def held(connection: Connection, hash_: str, now: datetime) -> Held | None:
    """The token, sealed, of a session that is not over."""
    chosen = (sessions.c.account_id, sessions.c.body, sessions.c.token_expires_at)
    found = select(*chosen, sessions.c.version, sessions.c.leased_until)
    mine = found.where(sessions.c.hash == hash_, sessions.c.expires_at > now)
    row = connection.execute(mine).first()
    return Held(*row) if row else None


def lease(connection: Connection, rows: Sequence[Lease]) -> list[bool]:
    """Take the renewal of a token upon oneself, unless it was renewed or another is at it."""
    answers = []
    for row in rows:
        free = or_(sessions.c.leased_until.is_(None), sessions.c.leased_until <= row.now)
        mine = update(sessions).where(
            sessions.c.hash == row.hash,
            sessions.c.version == row.version,
            sessions.c.expires_at > row.now,
            free,
        )
        taken = connection.execute(mine.values(lease=row.lease, leased_until=row.until))
        answers.append(taken.rowcount == 1)
    return answers


def renew(connection: Connection, rows: Sequence[Renewal]) -> list[bool]:
    """Store a renewed token while the lease is one's own; answers whether the session lives on.

    The same again, after an outcome that nobody knew, answers the same.
    """
    answers = []
    for row in rows:
        own = or_(sessions.c.lease == row.lease, sessions.c.body == row.body)
        mine = update(sessions).where(sessions.c.hash == row.hash, own)
        values: dict[str, object] = {"lease": None, "leased_until": None}
        if row.body is not None:
            values |= {"body": row.body, "token_expires_at": row.expires_at}
            values["version"] = sessions.c.version + 1
        until = connection.execute(mine.values(values).returning(sessions.c.expires_at)).scalar()
        answers.append(until is not None and until > row.now)
    return answers
