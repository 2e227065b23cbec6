"""`zekt services`: what providers publish."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import (
    TextOf,
    acts,
    lists,
    path_argument,
    repository_argument,
    service_argument,
    shows,
)
from zekt_bot.cli.output import Column, console, harmless_json, paragraphs, print_facts
from zekt_bot.domain.catalog import SECRETS, VISIBILITIES, Profile
from zekt_bot.operations import services as operations
from zekt_bot.operations.services import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.catalog import Service
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker

    Row = Mapping[str, Any]


def _state(row: Row) -> str:
    if row.get("rests"):
        return "rests"
    return "published" if row["published"] else "unpublished"


COLUMNS = (
    Column("service", "service"),
    Column("state", _state),
    Column("visibility", "visibility"),
    Column("title", "title"),
    Column("event types", "event_types", under="{}"),
    Column("source", lambda row: row.get("repository") or "", under="from {}"),
    Column("workflow", lambda row: row.get("workflow_path") or "", under="{}"),
    Column("id", "id", under="{}"),
)

_PROFILE = (
    click.option("--title", metavar="TEXT", help="Its title."),
    click.option("--description", metavar="TEXT", help="What it is, in Markdown."),
    click.option(
        "--description-file",
        type=TextOf(encoding="utf-8"),
        metavar="FILE",
        help="What it is, from a file (- for standard input).",
    ),
    click.option(
        "--tag", "tags", multiple=True, metavar="TAG", help="A word to find it by; repeat."
    ),
    click.option("--alias", metavar="NAME", help="Shown instead of its owner; '' for none."),
    click.option("--visibility", type=click.Choice(VISIBILITIES), help="Who may ask for it."),
    click.option("--listed/--unlisted", default=None, help="Whether the directory names it."),
    click.option(
        "--hidden-source/--shown-source",
        default=None,
        help="Whether consumers learn of repository, run and people. Hiding needs an alias.",
    ),
    click.option(
        "--one-per-type/--any-number",
        default=None,
        help="Whether a run may send one message of each event type, or any number.",
    ),
    click.option(
        "--event-type",
        "event_types",
        multiple=True,
        metavar="TYPE",
        help="An event type that it may send; repeat for more, '*' for any. At first: "
        f"{Profile().event_types[0]}.",
    ),
    click.option(
        "--secrets",
        type=click.Choice(SECRETS),
        help="What is done about secrets of known shapes in its messages. At first: redact.",
    ),
    click.option(
        "--shield/--no-shield",
        default=None,
        help="Whether it takes only messages that are encrypted for its consumers.",
    ),
    click.option(
        "--schema-file",
        type=TextOf(encoding="utf-8"),
        metavar="FILE",
        help="A JSON Schema (2020-12) that its messages must fit; an empty file for none.",
    ),
    click.option(
        "--approve-account",
        "approves",
        multiple=True,
        metavar="LOGIN",
        help="An account whose requests need no answer; repeat. '' for none.",
    ),
)


def profile_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Everything that a service's owner may say about it."""
    for option in reversed(_PROFILE):
        command = option(command)
    return command


def _said(options: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """What was given of the profile, and of whose requests need no answer. An empty text in a list
    stands for none.
    """
    file, approves = options.pop("description_file"), options.pop("approves")
    schema = options.pop("schema_file")
    given = {name: value for name, value in options.items() if value not in (None, ())}
    for name in given.keys() & {"tags", "event_types"}:
        given[name] = tuple(word for word in given[name] if word)
    if file is not None:
        if "description" in given:
            raise click.UsageError("Give --description or --description-file, not both.")
        given["description"] = file
    if schema is not None:
        given["message_schema"] = schema.strip() or None
    if "alias" in given:
        given["alias"] = given["alias"] or None
    return given, tuple(login for login in approves if login) if approves else None


def _warn(service: Service) -> None:
    for warning in service.warnings:
        click.echo(f"Warning: {warning}", err=True)


@click.group()
def services() -> None:
    """The services that providers publish."""


@services.command("list")
@click.option("--repository", metavar="OWNER/REPO", help="Only those of this provider.")
@lists("services", COLUMNS)
async def list_(
    broker: Broker, who: Principal, page: Page, *, repository: str | None
) -> list[dict[str, Any]]:
    """List services, oldest first."""
    after = page.before or ""
    return await operations.list_services(
        broker, who, repository=repository, limit=page.limit, after=after
    )


RESTS = {
    "workflow_gone": "its workflow is gone or disabled at GitHub",
    "transferred": "its repository has another owner: publish it again",
    "alias_taken": "its alias is an account's login now: choose another one",
    "account_blocked": "its account is not admitted to this server",
    "not_installed": "the App is not installed on its repository any more",
    "app_suspended": "its organization suspended the App",
    "archived": "its repository is archived",
    "permission_missing": "its account has not accepted a permission that the App asks for",
    "unavailable": "its source is not available at the moment",
}


_SECRETS = {
    "redact": "taken out of its messages",
    "refuse": "a message with one is refused",
    "keep": "kept as they are sent",
}


def tell(found: Row) -> None:
    """One service as people read it; what its owner may know of it besides, below."""
    out = console()
    print_facts(
        {
            "service": found["service"],
            "title": found["title"],
            "state": _state(found),
            "because": RESTS.get(found.get("rests") or ""),
            "may send": found["event_types"],
            "who may ask": _who_may_ask(found),
            "a run sends": "one message of each type" if found["one_per_type"] else None,
            "source": "hidden from consumers" if found["hidden_source"] else None,
            "secrets": _SECRETS[found["secrets"]],
            "Shield": "its messages are encrypted for each consumer" if found["shield"] else None,
            "tags": found["tags"],
            "id": found["id"],
        },
        out,
    )
    if "repository" in found:
        out.print()
        print_facts(
            {
                "repository": found["repository"],
                "workflow": found["workflow_path"],
                "owner": found["owner"],
                "alias": found["alias"],
                "listed": "yes" if found["listed"] else "no: known to whom its name is told",
                "approves at once": _approved(found),
            },
            out,
        )
    if found["description"]:
        out.print()
        out.print(paragraphs(found["description"]), markup=False)
    if found["message_schema"]:
        click.echo("\nIts messages fit this JSON Schema:\n")
        click.echo(_indented(found["message_schema"]))


def _indented(schema: Row) -> str:
    lines = json.dumps(schema, indent=2, ensure_ascii=False).splitlines()
    return "\n".join(map(harmless_json, lines))


def _approved(found: Row) -> list[str]:
    """The accounts whose requests need no answer; one that Zekt has not heard of by its number."""
    pairs = zip(found["approves"], found["approves_logins"], strict=True)
    return [login or f"account {number}" for number, login in pairs]


def _who_may_ask(found: Row) -> str:
    return {
        "public": "everybody",
        "organization": "repositories of its own organization",
        "private": "nobody: its provider invites",
    }[found["visibility"]]


@services.command("show")
@service_argument
@click.option(
    "--consumer",
    metavar="OWNER/REPO",
    help="As its people may see it: one that it is invited to, or of its own organization.",
)
@shows(tell)
async def show(
    broker: Broker, who: Principal, service: str, consumer: str | None
) -> dict[str, Any]:
    """Show the service OWNER/SLUG."""
    return await operations.show(broker, who, service, consumer)


@services.command("publish")
@repository_argument
@path_argument
@click.option("--slug", required=True, metavar="SLUG", help="Its short name: a-z, 0-9, hyphens.")
@profile_options
@acts
async def publish(
    broker: Broker, who: Principal, repository: str, path: str, **options: Any
) -> str:
    """Publish OWNER/REPO's workflow at PATH as the service OWNER/SLUG, or bring it back."""
    slug = options.pop("slug")
    said, approves = _said(options)
    wanted = Publication(path, slug, Profile(**said) if said else None, approves)
    made = await operations.publish(broker, who, repository, wanted)
    _warn(made)
    return (
        f"{made.name} is published; it may send {', '.join(made.profile.event_types)}. "
        f"Next: `zekt subscriptions request {made.name} OWNER/REPO`."
    )


@services.command("edit")
@service_argument
@profile_options
@acts
async def edit(broker: Broker, who: Principal, service: str, **options: Any) -> str:
    """Change what the service OWNER/SLUG says of itself; what is not given stays.

    Lists are replaced. Of an event type that is added, consumers hear once they accept it.
    """
    said, approves = _said(options)
    if not said and approves is None:
        raise click.UsageError("Nothing to change was given: see `zekt services edit --help`.")
    made = await operations.edit(broker, who, service, said, approves)
    _warn(made)
    types = ", ".join(made.profile.event_types)
    return (
        f"{made.name} is changed; it may send {types}. All of it: `zekt services show {made.name}`."
    )


@services.command("unpublish")
@service_argument
@acts
async def unpublish(broker: Broker, who: Principal, service: str) -> str:
    """Stop the service OWNER/SLUG: nothing goes out. Its subscriptions stay."""
    made = await operations.unpublish(broker, who, service)
    return f"{made.name} is unpublished. `zekt services publish` with its slug brings it back."
