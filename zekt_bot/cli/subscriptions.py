"""`zekt subscriptions`: which consumer repositories hear of which services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.durable import durable
from zekt_bot.cli.options import ENDINGS, acts, lists, repository_argument, service_argument, shows
from zekt_bot.cli.ordered import ordered
from zekt_bot.cli.output import Column, print_facts
from zekt_bot.cli.preflight import check
from zekt_bot.cli.services import RESTS
from zekt_bot.cli.subscription_names import channel_option, name, named_argument, shown
from zekt_bot.domain.catalog import CONCLUSIONS
from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH, STATES, Filters
from zekt_bot.operations import subscription_lists
from zekt_bot.operations import subscriptions as operations
from zekt_bot.operations.replay import let_provider
from zekt_bot.operations.subscription_lists import Which
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.operations.subscription_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.domain.subscriptions import Ending
    from zekt_bot.operations.broker import Broker

    Row = Mapping[str, Any]
    Names = tuple[str, ...]


def _state(row: Row) -> str:
    """An approved one of which nothing can come at the moment rests, or is paused."""
    if row["paused_at"]:
        return "paused"
    resting = row["state"] == "approved" and (row["service_rests"] or row["consumer_rests"])
    return "rests" if resting else str(row["state"])


COLUMNS = (
    Column("state", _state),
    Column("service", "service"),
    Column("consumer", "consumer"),
    Column("requested at", "requested_at", under="{}"),
    Column("channel", "channel", under="{}"),
    Column("subscription", "id", under="{}"),
    Column("words", lambda row: row["words"] or "", under="“{}”"),
)
_FILTERS = (
    click.option(
        "--only-type", "only_types", multiple=True, metavar="TYPE", help="Only this event type."
    ),
    click.option(
        "--conclusion",
        "conclusions",
        multiple=True,
        type=click.Choice(CONCLUSIONS),
        metavar="CONCLUSION",
        help=f"Only runs that ended so: {ENDINGS}.",
    ),
    click.option(
        "--branch",
        "branches",
        multiple=True,
        metavar="PATTERN",
        help="Only runs on these branches: 'main', 'release/**'.",
    ),
    click.option(
        "--setting",
        "texts",
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of the channel; kept encrypted.",
    ),
    click.option(
        "--setting-file",
        "files",
        multiple=True,
        metavar="NAME=PATH",
        help="A setting whose value is in a file: no secret in the history of the shell.",
    ),
)
_accepted = click.option(
    "--event-type",
    "event_types",
    multiple=True,
    metavar="TYPE",
    help="Accept only this event type; repeat for more. Default: all that the service declares; "
    "of an invitation, what it offered.",
)
_words = click.option("--words", metavar="TEXT", default="", help="For the other side to read.")


def wish_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a consumer wants of a service."""
    for option in reversed((*_FILTERS, channel_option)):
        command = option(command)
    return command


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"{text[:40]!r} is no setting: write NAME=VALUE.")
    return name, value


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read ({type(error).__name__}).") from None


def _terms(options: dict[str, Any]) -> Terms:
    files = ((name, _read(path)) for name, path in map(_pair, options["files"]))
    settings = {**dict(map(_pair, options["texts"])), **dict(files)}
    return Terms(
        settings=settings or None,
        event_types=options.get("event_types") or None,
        filters=Filters(options["only_types"], options["conclusions"], options["branches"]),
        words=options.get("words", ""),
    )


def _words_of(ends: Ends) -> str:
    """A subscription's name as the next command takes it."""
    channel = "" if ends.channel == REPOSITORY_DISPATCH else f" --channel {ends.channel}"
    return f"{ends.service} {ends.repository}{channel}"


@click.group()
def subscriptions() -> None:
    """Which consumer repositories hear of which services."""


@subscriptions.command("list")
@click.option("--repository", metavar="OWNER/REPO", help="Only those of this one, at either end.")
@click.option("--service", metavar="OWNER/SLUG", help="Only those to this service.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only those in this state."
)
@lists("subscriptions", COLUMNS)
async def list_(broker: Broker, who: Principal, page: Page, **which: Any) -> list[dict[str, Any]]:
    """List subscriptions, oldest first."""
    wanted = Which(**which, limit=page.limit, after=page.before or "")
    return await subscription_lists.list_subscriptions(broker, who, wanted)


def tell(held: Row) -> None:
    """One subscription as people read it."""
    why = {name: RESTS.get(held[name] or "") for name in ("service_rests", "consumer_rests")}
    told = {name: value for name, value in held.items() if name != "filters"} | why
    facts = {name.replace("_", " "): value for name, value in told.items()}
    filters = {f"only {name}".replace("_", " "): words for name, words in held["filters"].items()}
    print_facts({"subscription": facts.pop("id"), **facts, "state": _state(held), **filters})
    if held["not_accepted"]:
        click.echo(f"\nThe service declares more. Next: `zekt subscriptions accept {held['id']}`.")


@subscriptions.command("show")
@named_argument
@channel_option
@shows(tell)
async def show(broker: Broker, who: Principal, named: Names, channel: str) -> dict[str, Any]:
    """Show a subscription."""
    return await subscription_lists.show(broker, who, name(named, channel))


@subscriptions.command("request")
@service_argument
@repository_argument
@_accepted
@wish_options
@_words
@acts
async def request(
    broker: Broker, who: Principal, service: str, repository: str, **terms: Any
) -> str:
    """Ask for OWNER/SLUG to reach OWNER/REPO, which is thereby enabled as a consumer.

    What may be repeated narrows: several branches, conclusions or types are alternatives.
    """
    ends = Ends(service, repository, terms["channel"])
    made = await operations.request(broker, who, ends, _terms(terms))
    if made.state == "approved":
        return f"{repository} is approved: {service} takes requests of its owner without asking."
    return (
        f"{repository} has asked for {service}. Next, as its provider: "
        f"`zekt subscriptions approve {_words_of(ends)}`."
    )


@subscriptions.command("invite")
@service_argument
@repository_argument
@_words
@channel_option
@acts
async def invite(broker: Broker, who: Principal, service: str, repository: str, **said: str) -> str:
    """Offer OWNER/SLUG to OWNER/REPO, whose people accept or decline.

    A channel's settings are theirs to give, when they accept.
    """
    ends = Ends(service, repository, said["channel"])
    await operations.invite(broker, who, ends, said["words"])
    return (
        f"{repository} is invited to {service}. Next, as its consumer: "
        f"`zekt subscriptions accept {_words_of(ends)}`."
    )


@subscriptions.command("accept")
@named_argument
@_accepted
@wish_options
@acts
async def accept(broker: Broker, who: Principal, named: Names, **terms: Any) -> str:
    """Accept an invitation; or the event types that an approved service added later."""
    one = name(named, terms["channel"])
    service, repository = await shown(broker, who, one)
    made = await operations.accept(broker, who, one, _terms(terms))
    return f"{repository} receives {', '.join(made.event_types)} of {service}."


@subscriptions.command("approve")
@named_argument
@channel_option
@acts
async def approve(broker: Broker, who: Principal, named: Names, channel: str) -> str:
    """Approve what was requested: events of OWNER/SLUG are dispatched to OWNER/REPO."""
    one = name(named, channel)
    service, repository = await shown(broker, who, one)
    await operations.approve(broker, who, one)
    return f"{repository} is approved: it receives the events of {service}."


def _ending(verb: Ending, told: str, said: str) -> None:
    """A verb after which the other side may read why."""

    async def work(broker: Broker, who: Principal, named: Names, channel: str, words: str) -> str:
        one = name(named, channel)
        service, repository = await shown(broker, who, one)
        await operations.end(broker, who, verb, one, words)
        return said.format(service=service, repository=repository)

    work.__doc__ = told
    subscriptions.command(verb)(named_argument(channel_option(_words(acts(work)))))


# What each of them does, and what it says afterwards.
_ENDINGS: dict[Ending, tuple[str, str]] = {
    "reject": (
        "Refuse what was requested; it can be requested again.",
        "{repository} is rejected: it receives nothing of {service}.",
    ),
    "decline": (
        "Refuse an invitation, as its consumer.",
        "{repository} declined {service}.",
    ),
    "revoke": (
        "Take an approval back, as its provider: nothing is sent from now on.",
        "{repository} is revoked: it receives nothing more of {service}.",
    ),
    "withdraw": (
        "Take an invitation back, as its provider.",
        "{repository} is invited to {service} no longer.",
    ),
    "end": (
        "End a subscription, or take a request back, as its consumer.",
        "{repository} has ended {service}: it receives nothing more of it.",
    ),
}
for _verb, (_told, _said) in _ENDINGS.items():
    _ending(_verb, _told, _said)


@subscriptions.command("pause")
@named_argument
@channel_option
@acts
async def pause(broker: Broker, who: Principal, named: Names, channel: str) -> str:
    """Make no deliveries for a while, as the consumer. Events of that time are not made up for."""
    one = name(named, channel)
    service, repository = await shown(broker, who, one)
    await operations.pause(broker, who, one)
    return f"Nothing of {service} is made for {repository} until it resumes."


@subscriptions.command("resume")
@named_argument
@channel_option
@acts
async def resume(broker: Broker, who: Principal, named: Names, channel: str) -> str:
    """Make deliveries again after a pause."""
    one = name(named, channel)
    service, repository = await shown(broker, who, one)
    await operations.resume(broker, who, one)
    return f"{repository} receives {service} again."


def _replay_by_provider(verb: str, told: str, said: str, *, allowed: bool) -> None:
    """Whether the provider may send again what it sent."""

    async def work(broker: Broker, who: Principal, named: Names, channel: str) -> str:
        one = name(named, channel)
        service, repository = await shown(broker, who, one)
        await let_provider(broker, who, one, allowed=allowed)
        return said.format(service=service, repository=repository)

    work.__doc__ = told
    subscriptions.command(verb)(named_argument(channel_option(acts(work))))


_replay_by_provider(
    "allow-replay",
    "Let the provider send deliveries again, as the consumer; so it is at first.",
    "{service} may send again what it sent to {repository}.",
    allowed=True,
)
_replay_by_provider(
    "refuse-replay",
    "Let only the consumer's own people send deliveries again, as the consumer.",
    "Only the people of {repository} send again what {service} sent.",
    allowed=False,
)


@subscriptions.command("configure")
@named_argument
@wish_options
@acts
async def configure(broker: Broker, who: Principal, named: Names, **terms: Any) -> str:
    """Replace what a subscription lets through; the channel's settings only if some are given."""
    one = name(named, terms["channel"])
    service, repository = await shown(broker, who, one)
    await operations.configure(broker, who, one, _terms(terms))
    return f"The subscription of {repository} to {service} is as you said."


subscriptions.add_command(check)
subscriptions.add_command(durable)
subscriptions.add_command(ordered)
