"""`zekt subscriptions check`: would the consumer's workflows react, and safely so?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from zekt_bot.cli import session
from zekt_bot.cli.errors import NOT_AS_IT_SHOULD_BE
from zekt_bot.cli.options import json_option, login_option
from zekt_bot.cli.output import console, plain, print_json
from zekt_bot.cli.subscription_names import channel_option, name, named_argument
from zekt_bot.operations.preflight import Finding, check_subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

    Names = tuple[str, ...]

_MARKS = {"problem": ("✕ ", "red"), "hint": ("! ", "yellow"), "ok": ("✓ ", "green")}


@click.command()
@named_argument
@channel_option
@json_option
@login_option
@click.pass_context
def check(
    context: click.Context, named: Names, channel: str, json_: bool, login: str | None
) -> None:
    """Read the consumer's workflows at GitHub, and say which would react to the subscription.

    Also what would lose runs or let the sender's text become code, and the cure. It exits with 1
    if there is a problem; hints are none.
    """

    async def look(broker: Broker, who: Principal) -> Sequence[Finding]:
        return await check_subscription(broker, who, name(named, channel))

    findings = session.run(look, login)
    if json_:
        print_json(findings)
    else:
        _print(findings)
    if any(finding.level == "problem" for finding in findings):
        context.exit(NOT_AS_IT_SHOULD_BE)


def _print(findings: Sequence[Finding]) -> None:
    out = console()
    for finding in findings:
        mark, style = _MARKS[finding.level]
        out.print(Text(mark, style) + Text(plain(_said(finding))), soft_wrap=True)


def _said(finding: Finding) -> str:
    if finding.file is None:
        return finding.text
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    if finding.file in finding.text:
        return finding.text.replace(finding.file, place, 1)
    return f"{place}: {finding.text}"
