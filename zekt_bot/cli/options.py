"""The options that many commands share, and the three kinds of commands that a noun has.

Each is an async function of the broker, a principal and its own options; it stands lowest, so that
its own options come first in the help:

    @deliveries.command("list")
    @click.option("--state", help="Only those in this state.")
    @lists("deliveries", COLUMNS)          # --limit --before --json --as
    async def list_(broker, who, page, **filters): return rows

    @deliveries.command("show")
    @click.argument("delivery_id", metavar="ID")
    @shows(tell)                           # --json --as
    async def show(broker, who, delivery_id): return found

    @repositories.command("enable")
    @repository_argument
    @acts                                  # --as
    async def enable(broker, who, repository): return "What was done. Next: `zekt …`."
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any

import click

from zekt_bot.cli import session
from zekt_bot.cli.output import print_json, print_table
from zekt_bot.clock import SystemClock
from zekt_bot.domain.catalog import CONCLUSIONS
from zekt_bot.domain.lists import MOST_ROWS, Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from zekt_bot.cli.output import Column

    Work = Callable[..., Awaitable[Any]]
    Command = Callable[..., None]

# Too long for a metavar: a choice of them would stand beside the option on one line.
ENDINGS = ", ".join(CONCLUSIONS)
_AGES = {"m": "minutes", "h": "hours", "d": "days"}

_limit = click.option(
    "--limit",
    type=click.IntRange(1, MOST_ROWS),
    default=50,
    show_default=True,
    help="How many at most.",
)
_before = click.option("--before", metavar="ID", help="Only what follows this one: the next page.")
json_option = click.option("--json", "json_", is_flag=True, help="Print one JSON document.")
login_option = click.option(
    "--as",
    "login",
    metavar="LOGIN",
    help="As this GitHub user, who may do what GitHub lets them manage. Default: the operator.",
)

repository_argument = click.argument("repository", metavar="OWNER/REPO")
path_argument = click.argument("path", metavar="PATH")
service_argument = click.argument("service", metavar="OWNER/SLUG")


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601, in UTC if it names no zone; or how long ago, such as 90m, 24h, 7d."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it."""
        if isinstance(value, datetime):
            return value
        age = re.fullmatch(r"(\d{1,5})([mhd])", value)
        if age:
            return SystemClock().now() - timedelta(**{_AGES[age.group(2)]: int(age.group(1))})
        try:
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):  # in UTC it may lie beyond the first or the last year
            self.fail(f"{value!r} is no time: write 2026-03-01, 2026-03-01T14:02Z or 24h.")


class TextOf(click.File):
    """The text of a file; `-` is standard input."""

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Read it."""
        file: IO[str] = super().convert(value, param, ctx)
        try:
            return file.read()
        except UnicodeDecodeError:
            file.close()
            self.fail(f"{value!r} is no text in UTF-8.", param, ctx)


def lists(noun: str, columns: Sequence[Column], key: str = "id") -> Callable[[Work], Command]:
    """A command that lists `noun` in pages; `key` is the field that `--before` takes of a row."""

    def decorated(work: Work) -> Command:
        @_limit
        @_before
        @json_option
        @login_option
        @functools.wraps(work)
        def command(
            limit: int, before: str | None, json_: bool, login: str | None, **filters: Any
        ) -> None:
            _refuse_empty(filters)
            page = Page(limit, before)
            rows = session.run(lambda broker, who: work(broker, who, page, **filters), login)
            if json_:
                print_json(rows)
            elif rows:
                print_table(columns, rows)
                if len(rows) == limit:
                    click.echo(f"\nThe next page: add `--before {rows[-1][key]}`.", err=True)
            else:
                chosen = before or any(filters.values())
                click.echo(f"No {noun} fit." if chosen else f"No {noun} yet.", err=True)

        return command

    return decorated


def _refuse_empty(filters: Mapping[str, Any]) -> None:
    """A variable of the shell that is not set must not list what everybody has."""
    context = click.get_current_context()
    for option in context.command.params:
        if filters.get(option.name or "") == "":
            raise click.BadParameter("it is empty: name one, or leave it out.", context, option)


def shows(tell: Callable[[Any], None]) -> Callable[[Work], Command]:
    """A command that shows one thing: as JSON, or as `tell` tells it to people."""

    def decorated(work: Work) -> Command:
        @json_option
        @login_option
        @functools.wraps(work)
        def command(json_: bool, login: str | None, **arguments: Any) -> None:
            found = session.run(lambda broker, who: work(broker, who, **arguments), login)
            (print_json if json_ else tell)(found)

        return command

    return decorated


def acts(work: Work) -> Command:
    """A command that does something; `work` answers what to say."""

    @login_option
    @functools.wraps(work)
    def command(login: str | None, **arguments: Any) -> None:
        click.echo(session.run(lambda broker, who: work(broker, who, **arguments), login))

    return command
