"""`zekt receive`: a webhook from a file, signed as GitHub would."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import TYPE_CHECKING, BinaryIO

import aiohttp
import click

from zekt_bot.cli import session
from zekt_bot.cli.output import plain
from zekt_bot.errors import ConfigurationError, InvalidInput, ServerUnavailable

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

_TIMEOUT = aiohttp.ClientTimeout(total=30)


@click.command()
@click.argument("file", metavar="FILE", type=click.File("rb"))
@click.option("--event", required=True, metavar="NAME", help="X-GitHub-Event, as workflow_run.")
@click.option("--delivery", metavar="GUID", help="X-GitHub-Delivery. Default: a new one.")
@click.option("--url", metavar="URL", help="The server's. Default: ZEKT_PUBLIC_URL.")
def receive(file: BinaryIO, event: str, delivery: str | None, url: str | None) -> None:
    """Send the payload in FILE to a running server.

    FILE is - for standard input. It is signed with this environment's webhook secret, and the
    server's answer is printed. The same GUID again is a duplicate.
    """
    body, guid = file.read(), delivery or str(uuid.uuid4())

    async def send(broker: Broker, _: Principal) -> str:
        secrets = (await broker.credentials.get("orchestrator")).webhook_secrets
        if not secrets:
            raise ConfigurationError(
                "There is no secret to sign with: set ZEKT_ORCHESTRATOR_WEBHOOK_SECRET as the "
                "server has it."
            )
        digest = hmac.digest(secrets[0], body, hashlib.sha256).hex()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid,
            "X-Hub-Signature-256": f"sha256={digest}",
        }
        server = (url or broker.settings.public_url).rstrip("/")
        return await _post(f"{server}/webhooks/github", body, headers)

    click.echo(session.run(send))


async def _post(url: str, body: bytes, headers: dict[str, str]) -> str:
    """The server's status and words.

    Raises:
        ServerUnavailable: none answers, or it cannot take it now.
        InvalidInput: it does not take it.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as client,
            client.post(url, data=body, headers=headers) as response,
        ):
            said = plain((await response.text(errors="replace"))[:2000])
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        raise ServerUnavailable(
            f"No server answers at {url} ({type(error).__name__}): start `zekt serve`, or give "
            "--url."
        ) from None
    if not response.ok:
        refused = InvalidInput if response.status < 500 else ServerUnavailable
        raise refused(f"The server answered {response.status}: {said}")
    return f"{response.status} {said}"
